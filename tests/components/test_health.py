import json
from typing import Any

import pytest
from examples import ACCOUNT
from harness import AwsMocks, made, run, run_component

from components.health import PipelineHealth, PipelineHealthArgs
from threatmon.emulator.program import ProgramRun, Registration
from threatmon.model import alarms

ALARM = "aws:cloudwatch/metricAlarm:MetricAlarm"
KEY, TOPIC, TOPIC_POLICY, SUBSCRIPTION = (
    "aws:kms/key:Key",
    "aws:sns/topic:Topic",
    "aws:sns/topicPolicy:TopicPolicy",
    "aws:sns/topicSubscription:TopicSubscription",
)
ARGS: dict[str, Any] = {
    "emails": ["watch@example.com", "lead@example.com"],
    "rule_names": {"high": "rule-high", "critical": "rule-critical"},
    "topic_names": {"topic": "alerts", "topic-raw": "alerts-raw"},
    "dead_letter_queue_name": "dead-letters",
    "log_group_name": "/flow-logs",
}


def deploy(mocks: AwsMocks | None = None, **changes: Any) -> ProgramRun:
    wanted = PipelineHealthArgs(**{**ARGS, **changes})
    return run_component(lambda: PipelineHealth("watch", wanted), mocks=mocks)


def the(result: ProgramRun, type_: str) -> Registration:
    (found,) = result.of_type(type_)
    return found


def watched(alarm: Registration) -> set[tuple[str, str, str]]:
    """Namespace, metric and watched resource of each metric of an alarm."""
    metrics = [query["metric"] for query in alarm.inputs["metricQueries"] if "metric" in query]
    return {(m["namespace"], m["metricName"], *m["dimensions"].values()) for m in metrics}  # type: ignore[misc]


def test_everything_between_a_match_and_a_reader_is_watched() -> None:
    found = {alarm.name.removeprefix("watch-"): watched(alarm) for alarm in deploy().of_type(ALARM)}
    undelivered = ("FailedInvocations", "InvocationsSentToDlq", "InvocationsFailedToBeSentToDlq")
    assert found == {
        "undelivered-high": {("AWS/Events", metric, "rule-high") for metric in undelivered},
        "undelivered-critical": {("AWS/Events", metric, "rule-critical") for metric in undelivered},
        "undeliverable-topic": {("AWS/SNS", "NumberOfNotificationsFailed", "alerts")},
        "undeliverable-topic-raw": {("AWS/SNS", "NumberOfNotificationsFailed", "alerts-raw")},
        "dead-letters": {("AWS/SQS", "ApproximateNumberOfMessagesVisible", "dead-letters")},
        "old-dead-letters": {("AWS/SQS", "ApproximateAgeOfOldestMessage", "dead-letters")},
        "no-flow-logs": {("AWS/Logs", "IncomingLogEvents", "/flow-logs")},
    }


def test_every_alarm_acts_and_says_when_it_is_over() -> None:
    result = deploy()
    topic = made(the(result, TOPIC))["arn"]
    for alarm in result.of_type(ALARM):
        assert alarm.inputs["actionsEnabled"] is True
        assert alarm.inputs["alarmActions"] == alarm.inputs["okActions"] == [topic]
        assert alarm.inputs["alarmDescription"]
        assert [q["expression"] for q in alarm.inputs["metricQueries"] if q.get("returnData")] == ["SUM(METRICS())"]
        assert the(result, TOPIC_POLICY).urn in alarm.depends_on


def test_no_data_is_no_trouble_but_for_the_flow_logs_where_it_is_the_trouble() -> None:
    result = deploy()
    topic = made(the(result, TOPIC))["arn"]
    for alarm in result.of_type(ALARM):
        stops = alarm.name == "watch-no-flow-logs"
        assert alarm.inputs["treatMissingData"] == ("missing" if stops else "notBreaching")
        assert alarm.inputs.get("insufficientDataActions") == ([topic] if stops else None)
        assert alarm.inputs["comparisonOperator"] == ("LessThanThreshold" if stops else "GreaterThanThreshold")


def test_a_dead_letter_that_waits_for_a_day_is_told_of_again() -> None:
    thresholds = {alarm.name: alarm.inputs["threshold"] for alarm in deploy().of_type(ALARM)}
    assert thresholds["watch-old-dead-letters"] == 24 * 3600
    assert thresholds["watch-dead-letters"] == 0


def test_its_topic_is_open_to_the_accounts_alarms_only_and_encrypted_with_a_key_they_may_use() -> None:
    result = deploy()
    assert the(result, TOPIC).inputs["kmsMasterKeyId"] == made(the(result, KEY))["arn"]
    owner, alarm = json.loads(the(result, TOPIC_POLICY).inputs["policy"])["Statement"]
    assert owner["Principal"] == {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    assert alarm["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert alarm["Condition"] == {"StringEquals": {"aws:SourceAccount": ACCOUNT}}
    statements = json.loads(the(result, KEY).inputs["policy"])["Statement"]
    assert [s["Principal"] for s in statements[1:]] == [{"Service": "cloudwatch.amazonaws.com"}]


def test_each_address_is_told_by_mail() -> None:
    result = deploy()
    topic = made(the(result, TOPIC))["arn"]
    subscriptions = {
        s.name: (s.inputs["protocol"], s.inputs["endpoint"], s.inputs["topic"]) for s in result.of_type(SUBSCRIPTION)
    }
    assert subscriptions == {f"watch-{address}": ("email", address, topic) for address in ARGS["emails"]}


def test_alarms_for_nobody_are_refused_by_the_name_of_the_input() -> None:
    with pytest.raises(ValueError, match="emails"):
        deploy(emails=[])


def test_a_stack_has_no_alarms_unless_it_asks_for_them() -> None:
    assert run().of_type(ALARM) == []


def test_a_stack_that_asks_for_them_watches_its_own_rules_topics_queue_and_group() -> None:
    result = run(health={"enabled": True})
    names = {made(r)["name"] for t in ("aws:cloudwatch/eventRule:EventRule", TOPIC) for r in result.of_type(t)}
    resources = {resource for alarm in result.of_type(ALARM) for *_, resource in watched(alarm)}
    health_topic = next(made(t)["name"] for t in result.of_type(TOPIC) if "health" in t.name)
    assert resources >= names - {health_topic}
    assert result.outputs["logGroupName"] in resources
    assert health_topic not in resources


def test_what_watches_shares_neither_topic_nor_key_with_what_it_watches() -> None:
    result = run(health={"enabled": True})
    keys = {t.name: t.inputs["kmsMasterKeyId"] for t in result.of_type(TOPIC)}
    assert len(set(keys.values())) == len(keys) == 2


@pytest.mark.parametrize(
    "alarm", [alarms.UNDELIVERED, alarms.DEAD_LETTERS, alarms.OLD_DEAD_LETTERS, alarms.UNDELIVERABLE]
)
def test_an_alarm_on_counts_goes_off_above_its_threshold(alarm: alarms.Alarm) -> None:
    assert (alarm.comparison, alarm.missing_data) == ("GreaterThanThreshold", "notBreaching")
