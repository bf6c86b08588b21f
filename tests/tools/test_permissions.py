import json
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from threatmon import cli
from threatmon.cli import fleet
from threatmon.emulator.account import EmulatedAccount
from threatmon.emulator.deployment import deployed
from threatmon.evaluation.policy_evaluator import allows, statements
from threatmon.model.location import Location
from threatmon.stacks.files import StackFile
from tools import permissions_docs
from tools.permissions import SCOPES, UnknownActionError, document
from tools.permissions_docs import MissingPermissionsError, commands

PLACE = Location("111122223333", "eu-west-1", "aws", "amazonaws.com")
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html: of a managed policy, without white space
QUOTA = 6144
NAMED = [scope for scope in SCOPES if scope.resources != ["*"]]


@pytest.fixture(scope="module")
def stack() -> Iterator[dict[str, list[str]]]:
    """ARNs of what a stack with every kind of resource deploys, by service."""
    subscriber = {"protocol": "sqs", "endpoint": "arn:aws:sqs:eu-west-1:111122223333:siem", "format": "raw"}
    config = {
        "aws:region": PLACE.region,
        "aws:allowedAccountIds": [PLACE.id],
        "threat-monitor:subnetIds": ["subnet-0123456789abcdef0"],
        "threat-monitor:alertEmails": ["a@example.com"],
        "threat-monitor:alerts": {"subscribers": [subscriber]},
        "threat-monitor:health": {"enabled": True},
    }
    with deployed(StackFile("prod", config)) as (account, run):
        outputs = run.outputs
        yield {
            "topics": [it["TopicArn"] for it in account.client("sns").list_topics()["Topics"]],
            "queues": [account.arn("sqs", outputs["deadLetterQueueUrl"].split("/")[-1])],
            "rules": [account.arn("events", f"rule/{name}") for name in outputs["ruleNames"]],
            "detectors": [account.arn("guardduty", f"detector/{outputs['detectorId']}")],
            "log groups": [account.arn("logs", f"log-group:{outputs['logGroupName']}{end}") for end in ("", ":*")],
            "alarms": [
                it["AlarmArn"]
                for it in account.client("cloudwatch").describe_alarms(AlarmTypes=["MetricAlarm"])["MetricAlarms"]
            ],
            "keys": [it["KeyArn"] for it in account.client("kms").list_keys()["Keys"]],
        }


def policy(*actions: str, stack: str = "prod", place: Location = PLACE) -> str:
    return json.dumps(document(actions, place, stack))


def test_every_command_says_what_it_asks_of_aws() -> None:
    found = commands()
    assert set(found) == {*cli.COMMANDS, *(f"fleet {name}" for name in fleet.COMMANDS)} - {"fleet"}
    assert found["demo"] == ()


def test_a_command_that_does_not_say_it_fails_loudly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "careless.py").write_text("def careless() -> None: ...\n", encoding="utf-8")
    monkeypatch.setattr(cli, "__path__", [*cli.__path__, str(tmp_path)])
    try:
        with pytest.raises(MissingPermissionsError, match=r"threatmon.cli.careless defines no PERMISSIONS"):
            commands()
    finally:
        sys.modules.pop("threatmon.cli.careless")


def test_the_document_is_current() -> None:
    written = permissions_docs.FILE.read_text(encoding="utf-8")
    assert written == permissions_docs.text(), "run `python -m tools.permissions_docs`"


def test_the_document_has_one_policy_for_each_command_that_needs_one() -> None:
    blocks = permissions_docs.text().split("```json\n")[1:]
    policies = [json.loads(block.partition("```")[0]) for block in blocks]
    expected = [set(actions) for actions in commands().values() if actions]
    assert [set(chain(*(it["Action"] for it in statements(policy)))) for policy in policies] == expected


@pytest.mark.parametrize("name", [name for name, actions in commands().items() if actions])
def test_each_policy_is_one_that_iam_takes(name: str) -> None:
    text = policy(*commands()[name])
    assert len("".join(text.split())) <= QUOTA
    with EmulatedAccount(PLACE.id, PLACE.region) as account:
        created = account.client("iam").create_policy(PolicyName=name, PolicyDocument=text)["Policy"]
    assert created["PolicyName"] == name


@pytest.mark.parametrize("name", [name for name, actions in commands().items() if actions])
def test_each_policy_allows_the_commands_actions_and_no_others(name: str) -> None:
    actions = commands()[name]
    found = [action for it in statements(document(actions, PLACE, "prod")) for action in it["Action"]]
    assert sorted(found) == sorted(actions)
    assert all("*" not in action for action in found)


@pytest.mark.parametrize("name", [name for name, actions in commands().items() if actions])
def test_a_policy_is_for_everything_only_where_iam_leaves_no_choice(name: str) -> None:
    for statement in statements(document(commands()[name], PLACE, "prod")):
        assert (statement["Resource"] == ["*"]) is (statement["Sid"] == "NoResourceToNarrowTo")


@pytest.mark.parametrize(
    ("action", "kind"),
    [
        ("cloudwatch:DescribeAlarms", "alarms"),
        ("events:DescribeRule", "rules"),
        ("events:ListTargetsByRule", "rules"),
        ("guardduty:GetDetector", "detectors"),
        ("kms:GetKeyPolicy", "keys"),
        ("logs:StartQuery", "log groups"),
        ("sns:GetTopicAttributes", "topics"),
        ("sqs:DeleteMessage", "queues"),
        ("sqs:ReceiveMessage", "queues"),
    ],
)
def test_a_policy_reaches_every_resource_of_the_deployed_stack(
    stack: dict[str, list[str]], action: str, kind: str
) -> None:
    assert stack[kind]
    assert [arn for arn in stack[kind] if not allows(policy(action), action, arn)] == []


def test_only_the_topics_that_alert_may_be_published_to(stack: dict[str, list[str]]) -> None:
    allowed = [arn for arn in stack["topics"] if allows(policy("sns:Publish"), "sns:Publish", arn)]
    assert len(allowed) == len(stack["topics"]) - 1 == 2
    assert not [arn for arn in allowed if "health" in arn]


@pytest.mark.parametrize(
    ("action", "arn"),
    [
        ("sqs:DeleteMessage", "arn:aws:sqs:eu-west-1:111122223333:orders"),
        ("sqs:DeleteMessage", "arn:aws:sqs:eu-west-1:444455556666:threat-monitor-alerts-dead-letters-1"),
        ("sqs:DeleteMessage", "arn:aws:sqs:us-east-1:111122223333:threat-monitor-alerts-dead-letters-1"),
        ("sns:Publish", "arn:aws:sns:eu-west-1:111122223333:orders"),
        ("logs:StartQuery", "arn:aws:logs:eu-west-1:111122223333:log-group:/threat-monitor/dev/flow-logs:*"),
        ("events:ListTargetsByRule", "arn:aws:events:eu-west-1:111122223333:rule/other"),
        ("cloudwatch:DescribeAlarms", "arn:aws:cloudwatch:eu-west-1:444455556666:alarm:threat-monitor-health-1"),
        ("guardduty:GetDetector", "arn:aws:guardduty:eu-west-1:444455556666:detector/1"),
    ],
)
def test_a_policy_reaches_nothing_else(action: str, arn: str) -> None:
    assert not allows(policy(action), action, arn)


def test_the_key_may_be_used_through_the_topics_and_the_queue_alone(stack: dict[str, list[str]]) -> None:
    text, key = policy("kms:Decrypt"), stack["keys"][0]
    hosts = {
        "sns": "sns.eu-west-1.amazonaws.com",
        "sqs": "sqs.eu-west-1.amazonaws.com",
        "s3": "s3.eu-west-1.amazonaws.com",
    }
    allowed = {it: allows(text, "kms:Decrypt", key, context={"kms:ViaService": host}) for it, host in hosts.items()}
    assert allowed == {"sns": True, "sqs": True, "s3": False}
    assert not allows(text, "kms:Decrypt", key)


def test_an_action_that_nobody_thought_about_is_refused_by_name() -> None:
    with pytest.raises(UnknownActionError, match=r"s3:GetObject, sqs:PurgeQueue: say in tools.permissions.SCOPES"):
        document(["sqs:PurgeQueue", "sns:Publish", "s3:GetObject"], PLACE, "prod")


def test_every_action_has_one_scope() -> None:
    every: list[Any] = [action for actions in commands().values() for action in actions]
    named = [action for it in statements(document(every, PLACE, "prod")) for action in it["Action"]]
    assert sorted(named) == sorted(set(every))


def test_other_partitions_and_stacks_have_arns_of_their_own() -> None:
    china = Location("444455556666", "cn-north-1", "aws-cn", "amazonaws.com.cn")
    [statement] = statements(document(["logs:StartQuery"], china, "blue"))
    group = "arn:aws-cn:logs:cn-north-1:444455556666:log-group:/threat-monitor/blue/flow-logs"
    assert statement["Resource"] == [group, f"{group}:*"]


@pytest.mark.parametrize("scope", NAMED, ids=lambda scope: scope.sid)
def test_a_wildcard_for_a_whole_resource_has_a_reason(scope: Any) -> None:
    whole = [arn for arn in scope.resources if arn.endswith(("/*", ":alarm:*"))]
    assert bool(scope.why) is bool(whole)
