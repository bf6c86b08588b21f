"""What the checks make of answers that no emulated account gives; for the others see test_stack_checks.py."""

import json
from typing import Any

import pytest
from examples import ACCOUNT, KEY_ARN, OTHER_ACCOUNT, REGION, SUBNET

from threatmon.evaluation.explain import rules_of
from threatmon.evaluation.roles import Role
from threatmon.model.alarms import METRIC_NAMESPACE
from threatmon.model.channels import CHAT_ENDPOINT
from threatmon.model.location import Location
from threatmon.model.policies import key_policy, queue_policy, state_machine_permissions, state_machine_trust
from threatmon.model.queries import FIELDS, log_format
from threatmon.model.settings import Settings, parse
from threatmon.verify import checks
from threatmon.verify.checks import CheckResult, KmsKey
from threatmon.verify.recipients import Recipient

PLACE = Location(ACCOUNT, REGION, "aws", "amazonaws.com")
GROUP = "/threat-monitor/dev/flow-logs"
GROUP_ARN = PLACE.arn("logs", f"log-group:{GROUP}")
TOPIC, QUEUE = PLACE.arn("sns", "topic"), PLACE.arn("sqs", "queue")
MACHINE = PLACE.arn("states", "stateMachine:machine")
RULES = [PLACE.arn("events", f"rule/{name}") for name in ("a", "b")]


def settings(**changes: Any) -> Settings:
    return parse({"subnetIds": [SUBNET], "alertEmails": ["soc@example.com"], **changes})[0]


def failure(result: CheckResult) -> str | None:
    """What a failed check found; None if it is ok."""
    assert result.state == ("ok" if not result.todo else "failed")
    return result.found if result.todo else None


# -- detection --------------------------------------------------------------------------------------------------------


def test_all_that_differs_is_said_in_one_line() -> None:
    answer = {"Status": "DISABLED", "FindingPublishingFrequency": "SIX_HOURS"}
    assert checks.detector(settings(findingPublishingFrequency="ONE_HOUR"), answer).found == (
        "Status is DISABLED, expected ENABLED; FindingPublishingFrequency is SIX_HOURS, expected ONE_HOUR"
    )


@pytest.mark.parametrize(
    ("plans", "enabled", "found"),
    [
        ({}, [], None),
        ({}, ["AI_PROTECTION", "EKS_RUNTIME_MONITORING"], None),
        ({"s3": True, "ai": True}, ["S3_DATA_EVENTS", "AI_PROTECTION"], None),
        ({"ai": False}, ["AI_PROTECTION"], "ai is on, expected off"),
        ({"s3": True}, [], "s3 is off, expected on"),
        ({}, ["S3_DATA_EVENTS", "RUNTIME_MONITORING"], "s3 is on, expected off; runtime is on, expected off"),
    ],
)
def test_plans_are_on_or_off_as_declared_and_the_others_stay_as_they_are(
    plans: dict[str, bool], enabled: list[str], found: str | None
) -> None:
    answer = {"Features": [{"Name": name, "Status": "ENABLED"} for name in enabled]}
    assert failure(checks.protection_plans(settings(protectionPlans=plans), answer)) == found


# -- evidence ---------------------------------------------------------------------------------------------------------

FLOW_LOG: dict[str, Any] = {
    "FlowLogId": "fl-1",
    "FlowLogStatus": "ACTIVE",
    "DeliverLogsStatus": "SUCCESS",
    "TrafficType": "ALL",
    "MaxAggregationInterval": 60,
    "LogDestination": GROUP_ARN,
    "LogFormat": log_format("extended"),
}


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"LogDestination": f"{GROUP_ARN}:*"}, None),
        ({"LogDestination": "", "LogGroupName": GROUP}, None),
        ({"FlowLogStatus": "FAILED"}, "FlowLogStatus is FAILED, expected ACTIVE"),
        ({"TrafficType": "REJECT"}, "TrafficType is REJECT, expected ALL"),
        ({"MaxAggregationInterval": 600}, "MaxAggregationInterval is 600, expected 60"),
        ({"LogFormat": "${srcaddr}"}, "format is another, expected extended"),
        (
            {"LogFormat": " ".join(f"${{{field}}}" for field in FIELDS["default"])},
            "format is default, expected extended",
        ),
    ],
)
def test_a_flow_log_is_as_configured(change: dict[str, Any], found: str | None) -> None:
    assert failure(checks.flow_log(settings(), GROUP, [FLOW_LOG | change])) == found


def test_a_flow_log_of_somebody_else_is_left_alone() -> None:
    other = FLOW_LOG | {"FlowLogId": "fl-2", "LogDestination": "arn:aws:s3:::bucket", "FlowLogStatus": "FAILED"}
    assert checks.flow_log(settings(), GROUP, [other, FLOW_LOG]).state == "ok"
    assert checks.flow_log(settings(), GROUP, [other]).found == f"no flow log to {GROUP}; 1 to other destinations"


def test_a_log_group_of_another_class_has_to_be_replaced() -> None:
    answer = {"retentionInDays": 365, "logGroupClass": "INFREQUENT_ACCESS", "kmsKeyId": KEY_ARN}
    result = checks.log_group(settings(), answer)
    assert result.found == "logGroupClass is INFREQUENT_ACCESS, expected STANDARD"
    assert "has to be replaced" in result.todo


# -- encryption -------------------------------------------------------------------------------------------------------


def key(arn: str = KEY_ARN, state: str = "Enabled", **condition: Any) -> KmsKey:
    document = key_policy(PLACE, [GROUP])
    for statement in document["Statement"]:
        if statement["Sid"] == "EventBridgePublishes" and condition:
            statement["Condition"] = condition
    return KmsKey({"Arn": arn, "KeyState": state}, json.dumps(document))


@pytest.mark.parametrize(
    ("users", "found", "todo"),
    [
        ({"topic": key(), "log group": key(f"{KEY_ARN}0")}, "one key expected for all, found topic: arn:", "pulumi"),
        ({}, "one key expected for all, found none", "pulumi"),
        ({"topic": key(state="Disabled")}, f"{KEY_ARN} is Disabled", "read: aws kms enable-key --key-id"),
        (
            {"topic": key(StringEquals={"aws:SourceAccount": OTHER_ACCOUNT})},
            f"{KEY_ARN}: its policy does not let EventBridge use it",
            "in it, for this account",
        ),
    ],
)
def test_one_key_in_force_serves_all_and_lets_eventbridge_in(users: dict[str, KmsKey], found: str, todo: str) -> None:
    result = checks.keys(users, ROLE, [GROUP], PLACE)
    assert result.state == "failed"
    assert result.found.startswith(found)
    assert todo in result.todo


def key_with(*statements: Any) -> KmsKey:
    return KmsKey({"Arn": KEY_ARN, "KeyState": "Enabled"}, json.dumps({"Statement": [*SERVICES, *statements]}))


ROLE = Role(
    f"arn:aws:iam::{ACCOUNT}:role/machine",
    json.dumps(state_machine_trust(PLACE, "machine")),
    json.dumps(state_machine_permissions(PLACE, [TOPIC], QUEUE, KEY_ARN, METRIC_NAMESPACE)),
)
SERVICES = [entry for entry in key_policy(PLACE, [GROUP])["Statement"] if entry["Sid"] != "OwnerAdministers"]
USE: dict[str, Any] = {"Effect": "Allow", "Action": ["kms:Decrypt", "kms:GenerateDataKey"], "Resource": "*"}
TO_ACCOUNT, TO_ROLE = {**USE, "Principal": {"AWS": ACCOUNT}}, {**USE, "Principal": {"AWS": ROLE.arn}}


@pytest.mark.parametrize(
    ("statements", "role", "serves"),
    [
        ([TO_ACCOUNT], ROLE, True),
        ([TO_ACCOUNT], ROLE._replace(policy='{"Statement": []}'), False),
        ([TO_ROLE], ROLE._replace(policy='{"Statement": []}'), True),
        ([], ROLE, False),
        ([TO_ACCOUNT, {**TO_ROLE, "Effect": "Deny"}], ROLE, False),
        ([{**TO_ACCOUNT, "Action": "kms:Decrypt"}], ROLE, False),
        ([{**TO_ROLE, "Condition": {"StringEquals": {"kms:ViaService": "sns.eu-west-1.amazonaws.com"}}}], ROLE, False),
        ([], None, True),
    ],
)
def test_a_key_serves_the_state_machine_by_its_own_policy_or_leaves_it_to_the_role(
    statements: list[Any], role: Role | None, *, serves: bool
) -> None:
    result = checks.keys({"topic": key_with(*statements)}, role, [GROUP], PLACE)
    assert result.state == ("ok" if serves else "failed")
    assert serves or f"let {ROLE.arn} use it" in result.todo


# -- choice -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ({"source": ["x"]}, "r matches other findings, by detail, detail-type, source"),
        ([], "r matches other findings, by all conditions"),
        (None, "r matches other findings, by all conditions"),
    ],
)
def test_a_rule_has_exactly_its_pattern(pattern: Any, found: str) -> None:
    [wanted, *_] = rules_of(settings())
    answer = {"State": "ENABLED", "EventPattern": json.dumps(pattern)} if pattern is not None else {"State": "ENABLED"}
    assert failure(checks.rule(wanted, "r", answer)) == found


def test_a_number_is_the_same_with_and_without_a_fraction() -> None:
    [wanted, *_] = rules_of(settings())
    pattern = json.dumps(wanted.pattern).replace("4,", "4.0,")
    assert checks.rule(wanted, "r", {"State": "ENABLED", "EventPattern": pattern}).state == "ok"


# -- delivery ---------------------------------------------------------------------------------------------------------

TARGET: dict[str, Any] = {"Id": "t", "Arn": MACHINE, "RoleArn": ROLE.arn, "DeadLetterConfig": {"Arn": QUEUE}}
RETRIES = {"MaximumRetryAttempts": 185, "MaximumEventAgeInSeconds": 86400}


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({}, None),
        ({"RetryPolicy": RETRIES}, None),
        ({"Input": "{}"}, "it changes the event"),
        ({"InputPath": "$.detail"}, "it changes the event"),
        ({"InputTransformer": {"InputTemplate": '"x"'}}, "it changes the event"),
        ({"RoleArn": None}, "it has no role"),
        ({"DeadLetterConfig": {"Arn": f"{QUEUE}2"}}, f"what cannot be delivered does not go to {QUEUE}"),
        ({"RetryPolicy": RETRIES | {"MaximumRetryAttempts": 1}}, "its retry policy is not the configured one"),
        (
            {"Input": "{}", "DeadLetterConfig": {}},
            f"it changes the event; what cannot be delivered does not go to {QUEUE}",
        ),
    ],
)
def test_a_target_gets_the_event_as_it_is_retries_and_keeps_what_it_cannot_deliver(
    change: dict[str, Any], found: str | None
) -> None:
    target = {name: value for name, value in (TARGET | change).items() if value is not None}
    assert failure(checks.target([target, TARGET | {"Arn": "another"}], MACHINE, QUEUE)) == found


def test_what_is_a_target_twice_gets_every_finding_twice() -> None:
    assert checks.target([TARGET, TARGET], MACHINE, QUEUE).found == f"2 targets on {MACHINE}"


def test_a_topic_needs_no_role() -> None:
    topic = {name: value for name, value in TARGET.items() if name != "RoleArn"} | {"Arn": TOPIC}
    assert checks.target([topic], TOPIC, QUEUE).state == "ok"


@pytest.mark.parametrize(
    ("text", "shut_out"),
    [
        (None, "a, b"),
        (json.dumps(queue_policy(QUEUE, RULES[:1])), "b"),
        (json.dumps(queue_policy(f"{QUEUE}2", RULES)), "a, b"),
        (json.dumps(queue_policy(QUEUE, [])), "a, b"),
    ],
)
def test_a_policy_that_shuts_rules_out_names_them(text: str | None, shut_out: str) -> None:
    found = checks.policy(text, "sqs:SendMessage", QUEUE, RULES).found
    assert found == f"sqs:SendMessage is not allowed to {shut_out}"


@pytest.mark.parametrize(
    ("protocol", "arn", "attributes", "state"),
    [
        ("email", "PendingConfirmation", {}, "failed"),
        ("email", "", {"PendingConfirmation": "true"}, "failed"),
        ("email", "", {"ConfirmationWasAuthenticated": "false"}, "warning"),
        ("email", "", {}, "warning"),
        ("https", "", {"ConfirmationWasAuthenticated": "false"}, "warning"),
        ("email", "", {"ConfirmationWasAuthenticated": "true"}, "ok"),
        ("sqs", "", {"ConfirmationWasAuthenticated": "false"}, "ok"),
        ("sms", "", {}, "ok"),
    ],
)
def test_a_subscription_is_confirmed_and_ended_by_nobody_else(
    protocol: str, arn: str, attributes: dict[str, str], state: str
) -> None:
    recipient = Recipient("r", protocol, "endpoint")
    result = checks.subscription({"Protocol": protocol, "SubscriptionArn": arn}, attributes, TOPIC, recipient)
    assert result.state == state
    assert (f"--topic-arn {TOPIC} --authenticate-on-unsubscribe true" in result.todo) is (state != "ok")


CONFIRMED = {"Protocol": "sqs", "SubscriptionArn": "arn:aws:sns:eu-west-1:111122223333:topic:1"}
GRAVE = {"severity": [{"numeric": [">=", 9]}]}


@pytest.mark.parametrize(
    ("recipient", "policy", "scope", "found"),
    [
        (Recipient("r", "sqs", "q"), None, None, None),
        (Recipient("r", "sqs", "q"), {}, None, None),
        (Recipient("r", "sqs", "q", "text", "low"), None, None, None),
        (Recipient("r", "sqs", "q", "text", "critical"), GRAVE, None, None),
        (Recipient("r", "sqs", "q", "text", "critical"), GRAVE, "MessageAttributes", None),
        (Recipient("r", "sqs", "q", "raw", "critical"), {"detail": GRAVE}, "MessageBody", None),
        (Recipient("r", "https", CHAT_ENDPOINT, "text", "critical"), None, None, None),
        (Recipient("r", "sqs", "q"), GRAVE, None, "expected none"),
        (Recipient("r", "sqs", "q", "text", "critical"), None, None, "is not set, expected {"),
        (Recipient("r", "sqs", "q", "text", "critical"), {"detail": GRAVE}, None, "expected {"),
        (Recipient("r", "sqs", "q", "text", "critical"), GRAVE, "MessageBody", "expected the MessageAttributes"),
        (Recipient("r", "sqs", "q", "raw", "critical"), {"detail": GRAVE}, None, "expected the MessageBody"),
        (Recipient("r", "https", CHAT_ENDPOINT, "text", "critical"), GRAVE, None, "expected none"),
    ],
)
def test_a_subscription_is_filtered_as_configured_and_a_chat_not_at_all(
    recipient: Recipient, policy: Any, scope: str | None, found: str | None
) -> None:
    attributes = {"FilterPolicy": json.dumps(policy) if policy is not None else None, "FilterPolicyScope": scope}
    given = {name: value for name, value in attributes.items() if value is not None}
    said = failure(checks.subscription(CONFIRMED, given, TOPIC, recipient))
    assert said is None if found is None else said and found in said


def test_further_subscriptions_are_counted_by_protocol() -> None:
    mine, ended, mail, hook = (
        {"Protocol": protocol, "SubscriptionArn": arn, "Endpoint": arn}
        for protocol, arn in (("email", "1"), ("email", "Deleted"), ("email", "2"), ("https", "3"))
    )
    assert checks.further_subscriptions([mine, ended], [mine], TOPIC).state == "ok"
    result = checks.further_subscriptions([mine, hook, mail], [mine], TOPIC)
    assert result[:2] == ("warning", "2 that the stack file does not have (email, https)")


def test_a_dead_letter_that_somebody_looks_at_right_now_counts() -> None:
    counts = {"ApproximateNumberOfMessages": "2", "ApproximateNumberOfMessagesNotVisible": "1"}
    assert checks.dead_letters(counts).found == "not delivered: 3"


# -- alarms -----------------------------------------------------------------------------------------------------------

ALARM: dict[str, Any] = {
    "AlarmName": "a",
    "AlarmDescription": "Do this.",
    "ActionsEnabled": True,
    "AlarmActions": [TOPIC],
    "StateValue": "INSUFFICIENT_DATA",
    "StateReason": "why",
}
NOTIFIES = {"InsufficientDataActions": [TOPIC]}


@pytest.mark.parametrize(
    ("change", "state", "found", "todo"),
    [
        ({"StateValue": "ALARM", "AlarmDescription": None}, "failed", "ALARM: why", "Look at it"),
        ({"AlarmActions": []}, "failed", "notifies nobody: it has no actions", "`pulumi up --refresh`"),
        ({}, "warning", "has no data yet", "Look again"),
        (NOTIFIES | {"StateReason": "Unchecked: Initial alarm creation"}, "warning", "has no data yet", "Look again"),
        (NOTIFIES, "failed", "INSUFFICIENT_DATA: why", "Do this."),
    ],
)
def test_an_alarm_is_quiet_and_able_to_notify(change: dict[str, Any], state: str, found: str, todo: str) -> None:
    result = checks.alarm(ALARM | change)
    assert result[:2] == (state, found)
    assert todo in result.todo
