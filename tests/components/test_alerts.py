import json
from functools import cache
from typing import Any

import pulumi
import pytest
from examples import ACCOUNT, KEY_ARN
from harness import (
    QUEUE,
    QUEUE_POLICY,
    ROLE,
    ROLE_POLICY,
    RULE,
    SLACK,
    STATE_MACHINE,
    SUBSCRIPTION,
    TARGET,
    TOPIC,
    TOPIC_POLICY,
    AwsMocks,
    inputs_by_urn,
    made,
    named,
    run_component,
    texts,
    the,
)

from components.alerts import FindingAlerts, FindingAlertsArgs
from threatmon.emulator.program import ProgramRun
from threatmon.model.event_patterns import PATTERN_QUOTA
from threatmon.model.finding_types import catalogue
from threatmon.model.settings import AlertSettings, AlertSubscriber, SlackSettings

MAIL = "security@example.com"
TOKEN = "T0PS3CRET"
HOOK = f"https://hooks.example.com/{TOKEN}"
BOUNDARY = f"arn:aws:iam::{ACCOUNT}:policy/Boundary"
# Enough names to exceed the quota of one pattern, none of which covers another.
MANY_TYPES = sorted(catalogue())


def subscriber(protocol: Any, endpoint: str, **values: Any) -> AlertSubscriber:
    return AlertSubscriber(protocol=protocol, endpoint=endpoint, **values)


RAW = subscriber("sqs", f"arn:aws:sqs:eu-west-1:{ACCOUNT}:siem", format="raw")
SLACK_CHANNEL = SlackSettings(workspace_id="T0123456789", channel_id="C0123456789")


def deploy(*subscribers: AlertSubscriber, mocks: AwsMocks | None = None, **args: Any) -> ProgramRun:
    given: dict[str, Any] = {
        "stack": "dev",
        "emails": [MAIL],
        "kms_key_arn": KEY_ARN,
        "settings": AlertSettings(subscribers=subscribers),
        **args,
    }

    def build() -> None:
        alerts = FindingAlerts("page", FindingAlertsArgs(**given))
        pulumi.export("topic", alerts.topic_arn)
        pulumi.export("topics", alerts.topic_names)
        pulumi.export("machine", alerts.state_machine_arn)
        pulumi.export("queue", alerts.dead_letter_queue_url)
        pulumi.export("queue name", alerts.dead_letter_queue_name)
        pulumi.export("rules", alerts.rule_names)

    return run_component(build, mocks=mocks)


@cache
def usual(*, raw: bool = False, chat: bool = False) -> ProgramRun:
    """Deploy the defaults, with or without a raw subscriber and a chat channel."""
    return deploy(settings=AlertSettings(subscribers=(RAW,) * raw, slack=SLACK_CHANNEL if chat else None))


def statements(registration: Any, key: str = "policy") -> list[dict[str, Any]]:
    return json.loads(registration.inputs[key])["Statement"]


def arn(run: ProgramRun, name: str, type_: str = "") -> str:
    return made(named(run, name, type_))["arn"]


# -- rules ------------------------------------------------------------------------------------------------------------


def test_one_rule_matches_findings_of_the_chosen_types_from_the_chosen_severity_up() -> None:
    rule = the(deploy(finding_types=["Recon:EC2/Portscan", "Trojan:*"], minimum_severity="high"), RULE)
    assert rule.name == "page-findings"
    assert set(rule.inputs) == {"name", "description", "eventPattern", "state"}
    assert rule.inputs["name"] == "threat-monitor-dev-page-findings"
    assert rule.inputs["state"] == "ENABLED"
    assert json.loads(rule.inputs["eventPattern"]) == {
        "source": ["aws.guardduty"],
        "detail-type": ["GuardDuty Finding"],
        "detail": {
            "type": ["Recon:EC2/Portscan", {"prefix": "Trojan:"}],
            "severity": [{"numeric": [">=", 7]}],
            "service": {"archived": [False, {"exists": False}]},
        },
    }


def test_samples_and_archived_findings_follow_their_settings() -> None:
    settings = AlertSettings(include_samples=False, include_archived=True)
    pattern = json.loads(the(deploy(settings=settings), RULE).inputs["eventPattern"])
    assert pattern["detail"]["service"] == {"additionalInfo": {"sample": [False, {"exists": False}]}}


def test_a_large_selection_is_split_over_several_rules_each_with_its_targets_and_its_permissions() -> None:
    run = deploy(RAW, finding_types=MANY_TYPES)
    rules = run.of_type(RULE)
    patterns = [rule.inputs["eventPattern"] for rule in rules]
    assert len(patterns) > 1
    assert [rule.name for rule in rules] == [
        f"page-findings{suffix}" for suffix in ("", *(f"-{number}" for number in range(2, len(rules) + 1)))
    ]
    assert all(len(pattern) <= PATTERN_QUOTA for pattern in patterns)
    assert sorted(type_ for pattern in patterns for type_ in json.loads(pattern)["detail"]["type"]) == MANY_TYPES
    targets = {(target.inputs["rule"], target.inputs["arn"]) for target in run.of_type(TARGET)}
    arns = (made(the(run, STATE_MACHINE))["arn"], arn(run, "page-topic-raw"))
    assert targets == {(made(rule)["name"], target_arn) for rule in rules for target_arn in arns}
    assert len(run.of_type(TARGET)) == len(targets)
    sources = sorted(made(rule)["arn"] for rule in rules)
    for policy in (named(run, "page-topic-raw-policy"), the(run, QUEUE_POLICY)):
        assert sorted(statements(policy)[-1]["Condition"]["ArnEquals"]["aws:SourceArn"]) == sources
    [trust] = statements(named(run, "page-start-role"), "assumeRolePolicy")
    assert sorted(trust["Condition"]["ArnEquals"]["aws:SourceArn"]) == sources


# -- delivery ---------------------------------------------------------------------------------------------------------


def test_the_rule_starts_the_state_machine_by_a_role_and_the_machine_publishes_to_the_topic_that_mails() -> None:
    run = usual()
    machine, topic = the(run, STATE_MACHINE), the(run, TOPIC)
    target = the(run, TARGET)
    assert target.inputs["arn"] == made(machine)["arn"]
    assert target.inputs["roleArn"] == arn(run, "page-start-role")
    assert made(topic)["arn"] in machine.inputs["definition"]
    assert the(run, SUBSCRIPTION).inputs == {"topic": made(topic)["arn"], "protocol": "email", "endpoint": MAIL}


def test_the_role_of_the_rule_may_start_that_machine_alone_and_no_other_rule_may_use_it() -> None:
    run = usual()
    role = named(run, "page-start-role")
    assert statements(role, "assumeRolePolicy") == [
        {
            "Effect": "Allow",
            "Principal": {"Service": "events.amazonaws.com"},
            "Action": "sts:AssumeRole",
            "Condition": {
                "StringEquals": {"aws:SourceAccount": ACCOUNT},
                "ArnEquals": {"aws:SourceArn": [made(the(run, RULE))["arn"]]},
            },
        }
    ]
    policies = [policy for policy in run.of_type(ROLE_POLICY) if policy.inputs["role"] == made(role)["name"]]
    assert [statements(policy) for policy in policies] == [
        [{"Effect": "Allow", "Action": "states:StartExecution", "Resource": made(the(run, STATE_MACHINE))["arn"]}]
    ]


def test_every_target_retries_for_a_day_and_gives_what_it_cannot_deliver_to_the_queue() -> None:
    run = usual(raw=True)
    queue_arn = made(the(run, QUEUE))["arn"]
    assert [target.name for target in run.of_type(TARGET)] == ["page-findings", "page-findings-raw"]
    for target in run.of_type(TARGET):
        assert target.inputs["deadLetterConfig"] == {"arn": queue_arn}
        assert target.inputs["retryPolicy"] == {"maximumRetryAttempts": 185, "maximumEventAgeInSeconds": 86400}


def test_no_target_changes_the_event() -> None:
    for target in usual(raw=True).of_type(TARGET):
        assert not {"input", "inputPath", "inputTransformer"} & target.inputs.keys()


def test_the_account_alone_may_use_the_topic_that_mails_and_rules_also_the_raw_one_and_the_queue() -> None:
    run = usual(raw=True)
    events, owner = {"Service": "events.amazonaws.com"}, {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    for policy, resource, principals in (
        (named(run, "page-topic-policy"), arn(run, "page-topic"), [owner]),
        (named(run, "page-topic-raw-policy"), arn(run, "page-topic-raw"), [owner, events]),
        (the(run, QUEUE_POLICY), made(the(run, QUEUE))["arn"], [events]),
    ):
        assert [statement["Principal"] for statement in statements(policy)] == principals
        assert {statement["Resource"] for statement in statements(policy)} == {resource}
    assert {policy.inputs["arn"] for policy in run.of_type(TOPIC_POLICY)} == {
        made(t)["arn"] for t in run.of_type(TOPIC)
    }
    assert the(run, QUEUE_POLICY).inputs["queueUrl"] == made(the(run, QUEUE))["url"]


def test_targets_wait_for_the_permissions_they_need() -> None:
    run = usual(raw=True)
    for name, access in {"page-findings": "page-start-policy", "page-findings-raw": "page-topic-raw-policy"}.items():
        assert {named(run, access).urn, the(run, QUEUE_POLICY).urn} <= named(run, name, "EventTarget").depends_on


def test_the_queue_keeps_all_it_can_and_topics_and_queue_are_encrypted_with_the_key() -> None:
    run = usual(raw=True)
    assert the(run, QUEUE).inputs == {
        "name": "threat-monitor-dev-page-dead-letters",
        "messageRetentionSeconds": 14 * 24 * 3600,
        "maxMessageSize": 1024 * 1024,
        "kmsMasterKeyId": KEY_ARN,
    }
    expected = {"displayName": "GuardDuty alerts", "kmsMasterKeyId": KEY_ARN}
    assert {topic.name: topic.inputs for topic in run.of_type(TOPIC)} == {
        "page-topic": {"name": "threat-monitor-dev-page-topic", **expected},
        "page-topic-raw": {"name": "threat-monitor-dev-page-topic-raw", **expected},
    }


def test_the_key_of_the_settings_comes_before_the_other() -> None:
    own = KEY_ARN.replace("1234", "5678")
    settings = AlertSettings(kms_key_arn=own)
    for run in (deploy(settings=settings), deploy(settings=settings, kms_key_arn=None)):
        assert the(run, TOPIC).inputs["kmsMasterKeyId"] == the(run, QUEUE).inputs["kmsMasterKeyId"] == own
        assert KEY_ARN not in "".join(text for r in run.resources.values() for text in texts(dict(r.inputs)))


@pytest.mark.parametrize("missing", [{"emails": []}, {"kms_key_arn": None}])
def test_alerts_for_nobody_or_without_a_key_are_refused_by_the_name_of_the_input(missing: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(missing))):
        deploy(**missing)


def test_every_role_stays_within_the_boundary_that_is_given() -> None:
    bounded = deploy(settings=AlertSettings(slack=SLACK_CHANNEL), permissions_boundary=BOUNDARY)
    roles = {role.name: role.inputs["permissionsBoundary"] for role in bounded.of_type(ROLE)}
    assert roles == dict.fromkeys(["page-chat-role", "page-formatter-role", "page-start-role"], BOUNDARY)
    assert not [role for role in usual(chat=True).of_type(ROLE) if "permissionsBoundary" in role.inputs]


@pytest.mark.parametrize(
    ("region", "partition"), [("eu-west-1", "aws"), ("us-gov-west-1", "aws-us-gov"), ("cn-north-1", "aws-cn")]
)
def test_the_machine_uses_the_integrations_of_its_partition(region: str, partition: str) -> None:
    run = deploy(mocks=AwsMocks(region, partition))
    definition = json.loads(the(run, STATE_MACHINE).inputs["definition"])
    [branch] = definition["States"]["Channels"]["Branches"]
    resources = {state["Resource"] for state in branch["States"].values() if "Resource" in state}
    assert resources == {
        f"arn:{partition}:states:::{integration}"
        for integration in ("sns:publish", "sqs:sendMessage", "aws-sdk:cloudwatch:putMetricData")
    }


# -- channels ---------------------------------------------------------------------------------------------------------


def test_a_raw_subscriber_gets_the_event_from_the_rule_itself_by_a_topic_of_its_own() -> None:
    run = usual(raw=True)
    raw_arn = arn(run, "page-topic-raw")
    target = named(run, "page-findings-raw", "EventTarget")
    assert target.inputs["arn"] == raw_arn
    assert target.inputs["rule"] == made(the(run, RULE))["name"]
    assert "roleArn" not in target.inputs  # the topic's policy lets the rule in
    [subscription] = [s for s in run.of_type(SUBSCRIPTION) if s.inputs["protocol"] == "sqs"]
    assert subscription.inputs["topic"] == raw_arn
    assert raw_arn not in the(run, STATE_MACHINE).inputs["definition"]


def test_without_a_raw_subscriber_there_is_no_raw_topic_and_one_target() -> None:
    run = usual()
    assert the(run, TOPIC).name == "page-topic"
    assert the(run, TARGET).name == "page-findings"


@pytest.mark.parametrize("values", [{}, {"minimum_severity": "low"}])
def test_a_subscriber_to_every_alert_has_no_filter(values: dict[str, Any]) -> None:
    run = deploy(subscriber("https", HOOK, **values), subscriber("https", HOOK, format="raw", **values))
    for subscription in run.of_type(SUBSCRIPTION):
        assert not {"filterPolicy", "filterPolicyScope"} & subscription.inputs.keys()


def test_a_subscriber_with_a_severity_of_its_own_shares_the_topic_and_filters_on_what_its_message_says() -> None:
    run = deploy(
        subscriber("sms", "+491701234567", minimum_severity="critical"),
        subscriber("https", HOOK, format="raw", minimum_severity="high"),
    )
    shown = {
        s.inputs["protocol"]: (
            s.inputs["topic"],
            json.loads(s.inputs["filterPolicy"]) if "filterPolicy" in s.inputs else None,
            s.inputs.get("filterPolicyScope"),
        )
        for s in run.of_type(SUBSCRIPTION)
    }
    assert shown == {
        "email": (arn(run, "page-topic"), None, None),
        "sms": (arn(run, "page-topic"), {"severity": [{"numeric": [">=", 9]}]}, "MessageAttributes"),
        "https": (arn(run, "page-topic-raw"), {"detail": {"severity": [{"numeric": [">=", 7]}]}}, "MessageBody"),
    }


@pytest.mark.parametrize("settings", [AlertSettings(subscribers=(RAW,)), AlertSettings(slack=SLACK_CHANNEL)])
def test_alerts_need_no_address_if_somebody_else_gets_them(settings: AlertSettings) -> None:
    run = deploy(emails=[], settings=settings)
    assert not [s for s in run.of_type(SUBSCRIPTION) if s.inputs["protocol"] == "email"]
    assert len(run.of_type(RULE)) == 1


def test_without_a_chat_channel_nothing_is_made_for_one() -> None:
    run = usual(raw=True)
    assert not [r.name for r in run.resources.values() if "chat" in r.name or "chat" in r.type]


def test_a_chat_channel_gets_what_the_machine_writes_by_a_topic_of_its_own() -> None:
    run = usual(chat=True)
    topic = named(run, "page-chat-topic-slack")
    assert the(run, SLACK).inputs["snsTopicArns"] == [made(topic)["arn"]]
    assert topic.inputs["kmsMasterKeyId"] == KEY_ARN
    assert made(topic)["arn"] in the(run, STATE_MACHINE).inputs["definition"]
    assert the(run, TARGET).inputs["arn"] == made(the(run, STATE_MACHINE))["arn"]


def test_a_subscribers_endpoint_is_a_secret_and_shows_nowhere_else() -> None:
    run = deploy(
        subscriber("https", HOOK),
        subscriber("https", HOOK, format="raw"),
        subscriber("sqs", f"arn:aws:sqs:eu-west-1:{ACCOUNT}:{TOKEN}", format="raw"),
        subscriber("lambda", f"arn:aws:lambda:eu-west-1:{ACCOUNT}:function:{TOKEN}"),
        subscriber("email-json", f"{TOKEN}@example.com", format="raw"),
        subscriber("email", f"{TOKEN}@example.com", format="raw"),
        subscriber("sms", f"+1555{TOKEN}"),
    )
    hidden = [s for s in run.of_type(SUBSCRIPTION) if s.inputs["endpoint"] != MAIL]
    assert [s.secret_inputs for s in hidden] == [{"endpoint"}] * 7
    elsewhere = [
        text
        for r in run.resources.values()
        for text in (r.urn, r.name, *texts({k: v for k, v in r.inputs.items() if r not in hidden or k != "endpoint"}))
    ]
    assert not [text for text in elsewhere if TOKEN in text]


def test_the_address_of_a_mail_is_in_plain_text_as_the_name_shows_it_anyway() -> None:
    subscription = the(usual(), SUBSCRIPTION)
    assert subscription.name == f"page-{MAIL}"
    assert subscription.secret_inputs == frozenset()


# -- names and outputs ------------------------------------------------------------------------------------------------


def test_the_order_of_addresses_subscribers_and_finding_types_changes_nothing() -> None:
    emails, others = ["a@example.com", "b@example.com"], [RAW, subscriber("https", HOOK)]
    one_way = deploy(*others, emails=emails, finding_types=MANY_TYPES)
    the_other = deploy(*others[::-1], emails=emails[::-1], finding_types=MANY_TYPES[::-1])
    assert inputs_by_urn(one_way) == inputs_by_urn(the_other)


def test_another_address_adds_one_resource_and_changes_no_other() -> None:
    before, after = inputs_by_urn(usual()), inputs_by_urn(deploy(emails=["a@example.com", MAIL]))
    (added,) = after.keys() - before.keys()
    assert added.endswith("a@example.com")
    assert after == {**before, added: after[added]}


def test_its_outputs_are_what_the_rest_of_the_stack_names() -> None:
    run = usual(raw=True, chat=True)
    topics = {"topic": "page-topic", "topic-raw": "page-topic-raw", "topic-slack": "page-chat-topic-slack"}
    assert run.outputs == {
        "topic": arn(run, "page-topic"),
        "topics": {key: made(named(run, name))["name"] for key, name in topics.items()},
        "machine": made(the(run, STATE_MACHINE))["arn"],
        "queue": made(the(run, QUEUE))["url"],
        "queue name": made(the(run, QUEUE))["name"],
        "rules": {"findings": made(the(run, RULE))["name"]},
    }
