import json
from collections.abc import Iterator
from itertools import chain
from typing import Any

import pytest
from examples import ACCOUNT, REGION
from stack_in_account import HEALTH, stack_file, stack_in_account

from threatmon import cli
from threatmon.cli import fleet
from threatmon.emulator.account import EmulatedAccount
from threatmon.evaluation.policy_evaluator import allows, statements
from threatmon.model.location import Location
from tools import permissions_docs
from tools.permissions import SCOPES, UnknownActionError, document
from tools.permissions_docs import commands

PLACE = Location(ACCOUNT, REGION, "aws", "amazonaws.com")
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html: of a managed policy, without white space
QUOTA = 6144
NAMED = [scope for scope in SCOPES if scope.resources != ["*"]]


@pytest.fixture(scope="module")
def stack() -> Iterator[dict[str, list[str]]]:
    """ARNs of what a stack with every kind of resource deploys, by service."""
    subscriber = {"protocol": "sqs", "endpoint": "arn:aws:sqs:eu-west-1:111122223333:siem", "format": "raw"}
    with stack_in_account(stack_file("prod", alerts={"subscribers": [subscriber]}, **HEALTH)) as stack:
        account, outputs = stack.account, stack.outputs
        yield {
            "topics": [topic["TopicArn"] for topic in account.client("sns").list_topics()["Topics"]],
            "queues": [account.arn("sqs", outputs["deadLetterQueueUrl"].split("/")[-1])],
            "rules": [account.arn("events", f"rule/{name}") for name in outputs["ruleNames"]],
            "detectors": [account.arn("guardduty", f"detector/{outputs['detectorId']}")],
            "log groups": [account.arn("logs", f"log-group:{outputs['logGroupName']}{end}") for end in ("", ":*")],
            "alarms": [
                alarm["AlarmArn"]
                for alarm in account.client("cloudwatch").describe_alarms(AlarmTypes=["MetricAlarm"])["MetricAlarms"]
            ],
            "keys": [key["KeyArn"] for key in account.client("kms").list_keys()["Keys"]],
        }


def policy(*actions: str, stack: str = "prod", place: Location = PLACE) -> str:
    return json.dumps(document(actions, place, stack))


def test_every_command_says_what_it_asks_of_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    assert commands()["demo"] == ()
    assert "sns:Publish" in commands()["redrive"]
    assert set(commands()) == {*cli.COMMANDS, *(f"fleet {name}" for name in fleet.COMMANDS)} - {"fleet"}
    monkeypatch.setitem(cli.COMMANDS, "lazy", "Has no PERMISSIONS.")
    with pytest.raises(AttributeError, match=r"threatmon.cli.lazy.*PERMISSIONS"):
        commands()


def test_the_document_is_current() -> None:
    written = permissions_docs.FILE.read_text(encoding="utf-8")
    assert written == permissions_docs.text(), "run `python -m tools.permissions_docs`"


def test_the_document_has_one_policy_for_each_command_that_needs_one() -> None:
    blocks = permissions_docs.text().split("```json\n")[1:]
    policies = [json.loads(block.partition("```")[0]) for block in blocks]
    expected = [set(actions) for actions in commands().values() if actions]
    assert [set(chain(*(one["Action"] for one in statements(policy)))) for policy in policies] == expected


@pytest.mark.parametrize("name", [name for name, actions in commands().items() if actions])
def test_each_policy_is_one_that_iam_takes_and_allows_the_commands_actions_alone(name: str) -> None:
    text = policy(*commands()[name])
    assert len("".join(text.split())) <= QUOTA
    with EmulatedAccount(ACCOUNT, REGION) as account:
        account.client("iam").create_policy(PolicyName=name, PolicyDocument=text)
    allowed = statements(json.loads(text))
    assert sorted(action for one in allowed for action in one["Action"]) == sorted(commands()[name])
    assert "*" not in [character for one in allowed for action in one["Action"] for character in action]
    # For everything only if IAM leaves no choice.
    assert [one["Sid"] for one in allowed if one["Resource"] == ["*"]] in ([], ["NoResourceToNarrowTo"])


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


def test_only_the_topic_of_untouched_events_may_be_published_to(stack: dict[str, list[str]]) -> None:
    allowed = [arn for arn in stack["topics"] if allows(policy("sns:Publish"), "sns:Publish", arn)]
    assert allowed == [arn for arn in stack["topics"] if arn.endswith("-alerts-topic-raw")]
    assert len(allowed) == 1


@pytest.mark.parametrize("action", ["states:StartExecution", "states:ListExecutions"])
def test_only_the_stacks_own_state_machine_may_be_started_and_looked_at(action: str) -> None:
    machine = "arn:aws:states:eu-west-1:111122223333:stateMachine:threat-monitor-prod"
    assert allows(policy(action), action, machine)
    assert not allows(policy(action), action, machine + "-2")


@pytest.mark.parametrize(
    ("action", "arn"),
    [
        ("sqs:DeleteMessage", "arn:aws:sqs:eu-west-1:111122223333:orders"),
        ("sqs:DeleteMessage", "arn:aws:sqs:eu-west-1:444455556666:threat-monitor-prod-alerts-dead-letters"),
        ("sqs:DeleteMessage", "arn:aws:sqs:us-east-1:111122223333:threat-monitor-prod-alerts-dead-letters"),
        ("sns:Publish", "arn:aws:sns:eu-west-1:111122223333:orders"),
        ("logs:StartQuery", "arn:aws:logs:eu-west-1:111122223333:log-group:/threat-monitor/dev/flow-logs:*"),
        ("events:ListTargetsByRule", "arn:aws:events:eu-west-1:111122223333:rule/other"),
        (
            "cloudwatch:DescribeAlarms",
            "arn:aws:cloudwatch:eu-west-1:444455556666:alarm:threat-monitor-prod-health-dead-letters",
        ),
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
    allowed = {
        service: allows(text, "kms:Decrypt", key, context={"kms:ViaService": host}) for service, host in hosts.items()
    }
    assert allowed == {"sns": True, "sqs": True, "s3": False}
    assert not allows(text, "kms:Decrypt", key)


def test_an_action_that_nobody_thought_about_is_refused_by_name() -> None:
    with pytest.raises(UnknownActionError, match=r"s3:GetObject, sqs:PurgeQueue: add each to tools.permissions.SCOPES"):
        document(["sqs:PurgeQueue", "sns:Publish", "s3:GetObject"], PLACE, "prod")


def test_other_partitions_and_stacks_have_arns_of_their_own() -> None:
    china = Location("444455556666", "cn-north-1", "aws-cn", "amazonaws.com.cn")
    [statement] = statements(document(["logs:StartQuery"], china, "blue"))
    group = "arn:aws-cn:logs:cn-north-1:444455556666:log-group:/threat-monitor/blue/flow-logs"
    assert statement["Resource"] == [group, f"{group}:*"]


@pytest.mark.parametrize("scope", NAMED, ids=lambda scope: scope.sid)
def test_a_wildcard_for_a_whole_resource_has_a_reason(scope: Any) -> None:
    whole = [arn for arn in scope.resources if arn.endswith(("/*", ":alarm:*"))]
    assert bool(scope.why) is bool(whole)
