import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pytest

from threatmon.evaluation.explain import rules_of
from threatmon.model import protection_plans
from threatmon.model.email import mail
from threatmon.model.location import Location
from threatmon.model.policies import key_policy, queue_policy, topic_policy
from threatmon.model.queries import FIELDS, log_format
from threatmon.model.settings import Settings, parse
from threatmon.model.severity import BANDS
from threatmon.verify import checks
from threatmon.verify.checks import Channel, Key, Subscriber

PLACE = Location("111122223333", "eu-west-1", "aws", "amazonaws.com")
GROUP = "/threat-monitor/dev/flow-logs"
GROUP_ARN = PLACE.arn("logs", f"log-group:{GROUP}")
TOPIC, QUEUE = PLACE.arn("sns", "topic"), PLACE.arn("sqs", "queue")
RULES = [PLACE.arn("events", f"rule/{name}") for name in ("a", "b")]
KEY = PLACE.arn("kms", "key/11112222-3333-4444-5555-666677778888")
TOKEN = "https://hooks.example.com/T0KEN"
NOTHING: Mapping[str, Any] = MappingProxyType({})


def settings(**changes: Any) -> Settings:
    config = {"subnetIds": ["subnet-0123456789abcdef0"], "alertEmails": ["soc@example.com"]}
    return parse(config | changes)[0]


# -- detection --------------------------------------------------------------------------------------------------------

DETECTOR: dict[str, Any] = {
    "Status": "ENABLED",
    "FindingPublishingFrequency": "SIX_HOURS",
    "Features": [{"Name": name, "Status": "DISABLED"} for name in protection_plans.FEATURES.values()],
}


def test_a_detector_as_configured_is_fine() -> None:
    assert checks.detector(settings(), DETECTOR) == ("ok", "Status ENABLED, FindingPublishingFrequency SIX_HOURS", "")


def test_all_that_differs_is_said_in_one_line() -> None:
    verdict = checks.detector(settings(findingPublishingFrequency="ONE_HOUR"), DETECTOR | {"Status": "DISABLED"})
    assert verdict.found == (
        "Status is DISABLED, expected ENABLED; FindingPublishingFrequency is SIX_HOURS, expected ONE_HOUR"
    )


def test_a_detector_that_is_looked_up_only_has_to_be_enabled() -> None:
    looked_up = settings(detector={"mode": "lookup"})
    assert checks.detector(looked_up, {"Status": "ENABLED", "FindingPublishingFrequency": "ONE_HOUR"}).state == "ok"
    verdict = checks.detector(looked_up, {"Status": "DISABLED"})
    assert verdict[1:] == ("Status is DISABLED, expected ENABLED", "Ask whoever manages the detector to enable it.")


def test_a_plan_that_is_listed_as_off_is_off() -> None:
    assert checks.protection_plans(settings(), DETECTOR).state == "ok"


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
def test_plans_are_on_or_off_as_stated_and_the_unstated_stay_as_they_are(
    plans: dict[str, bool], enabled: list[str], found: str | None
) -> None:
    answer = {"Features": [{"Name": name, "Status": "ENABLED"} for name in enabled]}
    verdict = checks.protection_plans(settings(protectionPlans=plans), answer)
    assert (verdict.state, verdict.found if found else None) == ("failed" if found else "ok", found)


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
    "change",
    [
        {},
        {"LogDestination": f"{GROUP_ARN}:*"},
        # As DescribeFlowLogs answers where the flow log was made with the group's name.
        {"LogDestination": "", "LogGroupName": GROUP},
    ],
)
def test_a_flow_log_as_configured_is_fine(change: dict[str, Any]) -> None:
    assert checks.flow_log(settings(), GROUP, [FLOW_LOG | change]).state == "ok"


def test_a_flow_log_of_somebody_else_is_left_alone() -> None:
    other = FLOW_LOG | {"FlowLogId": "fl-2", "LogDestination": "arn:aws:s3:::bucket", "FlowLogStatus": "FAILED"}
    assert checks.flow_log(settings(), GROUP, [other, FLOW_LOG]).state == "ok"
    assert checks.flow_log(settings(), GROUP, [other]).found == f"no flow log to {GROUP}; 1 to other destinations"


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"FlowLogStatus": "FAILED"}, "FlowLogStatus is FAILED, expected ACTIVE"),
        (
            {"DeliverLogsStatus": "FAILED", "DeliverLogsErrorMessage": "Rate limited"},
            "DeliverLogsStatus is FAILED, expected SUCCESS (Rate limited)",
        ),
        ({"TrafficType": "REJECT"}, "TrafficType is REJECT, expected ALL"),
        ({"MaxAggregationInterval": 600}, "MaxAggregationInterval is 600, expected 60"),
        ({"LogFormat": "${srcaddr}"}, "format is another, expected extended"),
        (
            {"LogFormat": " ".join(f"${{{field}}}" for field in FIELDS["default"])},
            "format is default, expected extended",
        ),
    ],
)
def test_a_flow_log_that_is_not_as_configured_fails(change: dict[str, Any], found: str) -> None:
    verdict = checks.flow_log(settings(), GROUP, [FLOW_LOG | change])
    assert verdict[:2] == ("failed", found)
    assert "`pulumi up --refresh`" in verdict.todo


def test_two_flow_logs_to_one_group_say_how_to_delete_one() -> None:
    verdict = checks.flow_log(settings(), GROUP, [FLOW_LOG, FLOW_LOG | {"FlowLogId": "fl-2"}])
    assert verdict.found == f"2 flow logs to {GROUP}"
    assert verdict.todo.endswith("--flow-log-ids fl-1 fl-2")


LOG_GROUP = {"retentionInDays": 365, "logGroupClass": "STANDARD", "kmsKeyId": KEY}


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (LOG_GROUP, None),
        (LOG_GROUP | {"retentionInDays": 30}, "retentionInDays is 30, expected 365"),
        (LOG_GROUP | {"retentionInDays": None}, "retentionInDays is not set, expected 365"),
        (LOG_GROUP | {"kmsKeyId": None}, "kmsKeyId is not set, expected a key of yours"),
        (LOG_GROUP | {"logGroupClass": "INFREQUENT_ACCESS"}, "logGroupClass is INFREQUENT_ACCESS, expected STANDARD"),
        (None, "is not there; flow logs are being lost"),
    ],
)
def test_a_log_group_keeps_what_it_should_as_it_should(answer: dict[str, Any] | None, found: str | None) -> None:
    verdict = checks.log_group(settings(), answer)
    assert (verdict.state, verdict.found if found else None) == ("failed" if found else "ok", found)


def test_a_log_group_of_another_class_is_not_promised_to_be_mended_in_place() -> None:
    verdict = checks.log_group(settings(), LOG_GROUP | {"logGroupClass": "INFREQUENT_ACCESS"})
    assert "has to be replaced" in verdict.todo


# -- encryption -------------------------------------------------------------------------------------------------------


def test_a_configured_key_has_to_be_the_one_in_use() -> None:
    configured = settings(alerts={"kmsKeyArn": KEY})
    assert checks.encryption(configured, KEY).state == "ok"
    assert checks.encryption(configured, "alias/aws/sns").found == f"key is alias/aws/sns, expected {KEY}"
    assert checks.encryption(settings(), None).found == "key is not set, expected a key of yours"


def key(arn: str = KEY, state: str = "Enabled", without: str = "", **condition: Any) -> Key:
    document = key_policy(PLACE, GROUP)
    for statement in document["Statement"]:
        if statement["Sid"] == "EventBridgePublishes" and condition:
            statement["Condition"] = condition
    document["Statement"] = [it for it in document["Statement"] if it["Sid"] != without]
    return Key({"Arn": arn, "KeyState": state}, json.dumps(document))


@pytest.mark.parametrize(
    ("users", "found", "todo"),
    [
        ({"topic": key(), "log group": key()}, None, ""),
        ({"topic": key(), "log group": key(f"{KEY}0")}, f"one key expected for all, found topic: {KEY}; log", "pulumi"),
        ({}, "one key expected for all, found none", "pulumi"),
        ({"topic": key(state="Disabled")}, f"{KEY} is Disabled", "aws kms enable-key --key-id"),
        ({"topic": key(state="PendingDeletion")}, f"{KEY} is PendingDeletion", "aws kms cancel-key-deletion --key-id"),
        ({"topic": key(without="EventBridgePublishes")}, f"{KEY}: its policy does not let", "kms:GenerateDataKey*"),
        (
            {"topic": key(StringEquals={"aws:SourceAccount": "111122223333"})},
            f"{KEY}: its policy does not let EventBridge use it",
            "without source conditions",
        ),
    ],
)
def test_one_key_in_force_serves_all_and_lets_eventbridge_in(
    users: dict[str, Key], found: str | None, todo: str
) -> None:
    verdict = checks.keys(users)
    assert verdict.state == ("failed" if found else "ok")
    assert verdict.found.startswith(found or KEY)
    assert todo in verdict.todo


# -- choice -----------------------------------------------------------------------------------------------------------


def test_rules_are_found_by_pattern_whatever_their_names_and_order() -> None:
    wanted = rules_of(settings())
    patterns = {f"name-{rule.key}": json.loads(json.dumps(rule.pattern)) for rule in reversed(wanted)}
    assert checks.names_of_rules(wanted, patterns) == {rule.key: f"name-{rule.key}" for rule in wanted}


def test_a_rule_whose_pattern_changed_and_one_that_is_gone_keep_their_places() -> None:
    wanted = rules_of(settings())
    patterns = {f"name-{rule.key}": rule.pattern for rule in wanted}
    patterns |= {"name-medium": None, "name-critical": {"source": ["x"]}}  # pyright: ignore[reportAssignmentType]
    assert checks.names_of_rules(wanted, patterns) == {rule.key: f"name-{rule.key}" for rule in wanted}


def test_a_rule_that_is_not_deployed_has_no_name() -> None:
    wanted = rules_of(settings())
    assert checks.names_of_rules(wanted, {"name": wanted[-1].pattern}) == {wanted[-1].key: "name"}
    assert checks.names_of_rules(wanted, {}) == {}


@pytest.mark.parametrize(
    ("name", "state", "pattern", "found"),
    [
        ("r", "ENABLED", None, None),
        (None, None, None, "the stack has no rule for it"),
        ("r", None, None, "r is not there"),
        ("r", "DISABLED", None, "r is DISABLED"),
        ("r", "ENABLED", {"source": ["x"]}, "r matches other findings, by detail, detail-type, source"),
        ("r", "ENABLED", [], "r matches other findings, by all conditions"),
    ],
)
def test_a_rule_is_there_enabled_and_has_exactly_its_pattern(
    name: str | None, state: str | None, pattern: Any, found: str | None
) -> None:
    [wanted, *_] = rules_of(settings())
    verdict = checks.rule(wanted, name, state, wanted.pattern if pattern is None else pattern)
    assert (verdict.state, verdict.found if found else None) == ("failed" if found else "ok", found)


def test_a_number_is_the_same_with_and_without_a_fraction() -> None:
    [wanted, *_] = rules_of(settings())
    pattern = json.loads(json.dumps(wanted.pattern).replace("4,", "4.0,"))
    assert checks.rule(wanted, "r", "ENABLED", pattern).state == "ok"


# -- delivery ---------------------------------------------------------------------------------------------------------

MAIL = mail(BANDS[0], "aws")
MESSAGE = {"InputPathsMap": MAIL.input_paths, "InputTemplate": MAIL.input_template}
TARGET: dict[str, Any] = {"Id": "t", "Arn": TOPIC, "InputTransformer": MESSAGE, "DeadLetterConfig": {"Arn": QUEUE}}
RETRIES = {"MaximumRetryAttempts": 185, "MaximumEventAgeInSeconds": 86400}


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({}, None),
        ({"RetryPolicy": RETRIES}, None),
        ({"Arn": f"{TOPIC}2"}, f"no target on {TOPIC}"),
        ({"InputTransformer": None}, "its message is not the configured one"),
        ({"InputTransformer": MESSAGE | {"InputTemplate": '"x"'}}, "its message is not the configured one"),
        ({"InputPath": "$.detail"}, "its message is not the configured one"),
        ({"DeadLetterConfig": {}}, f"what cannot be delivered does not go to {QUEUE}"),
        ({"DeadLetterConfig": {"Arn": f"{QUEUE}2"}}, f"what cannot be delivered does not go to {QUEUE}"),
        ({"RetryPolicy": RETRIES | {"MaximumRetryAttempts": 1}}, "its retry policy is not the configured one"),
        (
            {"InputTransformer": None, "DeadLetterConfig": {}},
            f"its message is not the configured one; what cannot be delivered does not go to {QUEUE}",
        ),
    ],
)
def test_a_target_words_the_mail_retries_and_keeps_what_it_cannot_deliver(
    change: dict[str, Any], found: str | None
) -> None:
    target = {name: value for name, value in (TARGET | change).items() if value is not None}
    verdict = checks.target([target, TARGET | {"Arn": "another"}], TOPIC, QUEUE, MAIL)
    assert (verdict.state, verdict.found if found else None) == ("failed" if found else "ok", found)


def test_a_topic_that_is_a_target_twice_gets_every_message_twice() -> None:
    assert checks.target([TARGET, TARGET], TOPIC, QUEUE, MAIL).found == f"2 targets on {TOPIC}"


def test_a_raw_target_hands_the_event_over_untouched() -> None:
    raw = {name: value for name, value in TARGET.items() if name != "InputTransformer"}
    assert checks.target([raw], TOPIC, QUEUE, None).state == "ok"
    assert checks.target([TARGET], TOPIC, QUEUE, None).found == "its message is not the configured one"


def test_policies_let_each_rule_deliver() -> None:
    topic, queue = topic_policy(TOPIC, PLACE.root, RULES), queue_policy(QUEUE, RULES)
    assert checks.policy(json.dumps(topic), "sns:Publish", TOPIC, RULES).state == "ok"
    assert checks.policy(json.dumps(queue), "sqs:SendMessage", QUEUE, RULES).state == "ok"


@pytest.mark.parametrize(
    ("text", "shut_out"),
    [
        (None, "a, b"),
        ("", "a, b"),
        (json.dumps(queue_policy(QUEUE, RULES[:1])), "b"),
        (json.dumps(queue_policy(f"{QUEUE}2", RULES)), "a, b"),
        (json.dumps(queue_policy(QUEUE, [])), "a, b"),
    ],
)
def test_a_policy_that_shuts_rules_out_names_them(text: str | None, shut_out: str) -> None:
    verdict = checks.policy(text, "sqs:SendMessage", QUEUE, RULES)
    assert verdict[:2] == ("failed", f"sqs:SendMessage is not allowed to {shut_out}")


def test_subscribers_are_grouped_as_topics_are_and_named_without_their_endpoints() -> None:
    several = settings(
        alerts={
            "subscribers": [
                {"protocol": "https", "endpoint": TOKEN, "format": "raw"},
                {"protocol": "https", "endpoint": "secret"},
                {"protocol": "email", "endpoint": "boss@example.com", "minimumSeverity": "high"},
            ]
        }
    )
    assert checks.subscribers(several) == {
        Channel("text", "medium"): [
            Subscriber("soc@example.com", "email", "soc@example.com"),
            Subscriber("alerts.subscribers[1] (https)", "https", None),
        ],
        Channel("raw", "medium"): [Subscriber("alerts.subscribers[0] (https)", "https", TOKEN)],
        Channel("text", "high"): [Subscriber("boss@example.com", "email", "boss@example.com")],
    }


def listed(endpoint: str, protocol: str = "email", arn: str = "") -> dict[str, str]:
    return {"Endpoint": endpoint, "Protocol": protocol, "SubscriptionArn": arn or f"{TOPIC}:{endpoint}"}


def test_subscriptions_are_found_by_endpoint_and_secret_ones_among_what_is_left() -> None:
    secret, known = Subscriber("a", "https", None), Subscriber("b", "https", TOKEN)
    mailbox = Subscriber("c", "email", "SOC@example.com")
    answers = [listed(TOKEN, "https"), listed("https://other", "https"), listed("soc@example.com")]
    assert checks.subscriptions_of([secret, known, mailbox], answers) == [answers[1], answers[0], answers[2]]


def test_a_subscription_that_was_ended_is_not_there() -> None:
    mailbox = Subscriber("soc", "email", "soc@example.com")
    assert checks.subscriptions_of([mailbox], [listed("soc@example.com", arn="Deleted")]) == [None]
    assert checks.subscriptions_of([mailbox], [listed("soc@example.com", "email-json")]) == [None]
    assert checks.subscription(None, {}, TOPIC).found == "is not there"


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
    verdict = checks.subscription(listed("x", protocol, arn), attributes, TOPIC)
    assert verdict.state == state
    assert ("--authenticate-on-unsubscribe true" in verdict.todo) is (state != "ok")
    assert (TOPIC in verdict.todo) is (state != "ok")


def test_further_subscriptions_are_counted_by_protocol_and_never_shown() -> None:
    mine, ended = listed("soc@example.com"), listed("gone@example.com", arn="Deleted")
    assert checks.further_subscriptions([mine, ended], [mine], TOPIC).state == "ok"
    verdict = checks.further_subscriptions([mine, listed(TOKEN, "https"), listed("x")], [mine], TOPIC)
    assert verdict[:2] == ("warning", "2 that the stack file does not have (email, https)")
    assert TOKEN not in "".join(verdict)


@pytest.mark.parametrize(
    ("attributes", "found"),
    [
        ({"ApproximateNumberOfMessages": "0", "ApproximateNumberOfMessagesNotVisible": "0"}, None),
        ({"ApproximateNumberOfMessages": "2"}, "not delivered: 2"),
        # Somebody looks at it right now.
        (
            {"ApproximateNumberOfMessages": "0", "ApproximateNumberOfMessagesNotVisible": "1"},
            "not delivered: 1",
        ),
    ],
)
def test_the_dead_letter_queue_is_empty(attributes: dict[str, str], found: str | None) -> None:
    verdict = checks.dead_letters(attributes)
    assert (verdict.state, verdict.found if found else None) == ("failed" if found else "ok", found)


# -- alarms -----------------------------------------------------------------------------------------------------------

ALARM: dict[str, Any] = {
    "AlarmName": "a",
    "AlarmDescription": "Do this.",
    "ActionsEnabled": True,
    "AlarmActions": [TOPIC],
    "StateValue": "OK",
    "StateReason": "fine",
}
UNCHECKED = "Unchecked: Initial alarm creation"


@pytest.mark.parametrize(
    ("answer", "state", "found", "todo"),
    [
        (ALARM, "ok", "OK, actions enabled", ""),
        (None, "failed", "is not there", "`pulumi up --refresh`"),
        (ALARM | {"StateValue": "ALARM"}, "failed", "ALARM: fine", "Do this."),
        (ALARM | {"StateValue": "ALARM", "AlarmDescription": None}, "failed", "ALARM: fine", "Look at it"),
        (ALARM | {"ActionsEnabled": False}, "failed", "tells nobody", "--alarm-names a"),
        (ALARM | {"AlarmActions": []}, "failed", "tells nobody", "`pulumi up --refresh`"),
        (ALARM | {"StateValue": "INSUFFICIENT_DATA"}, "warning", "has no data yet", "Look again"),
        (
            ALARM | {"StateValue": "INSUFFICIENT_DATA", "InsufficientDataActions": [TOPIC], "StateReason": UNCHECKED},
            "warning",
            "has no data yet",
            "Look again",
        ),
        (
            ALARM | {"StateValue": "INSUFFICIENT_DATA", "InsufficientDataActions": [TOPIC]},
            "failed",
            "INSUFFICIENT_DATA: fine",
            "Do this.",
        ),
    ],
)
def test_an_alarm_is_quiet_and_able_to_speak(answer: dict[str, Any] | None, state: str, found: str, todo: str) -> None:
    verdict = checks.alarm(answer)
    assert verdict.state == state
    assert verdict.found.startswith(found)
    assert todo in verdict.todo
