import json
from functools import cache
from typing import Any

import pytest
from examples import ACCOUNT
from harness import ALARM, KEY, QUEUE, RULE, SUBSCRIPTION, TOPIC, TOPIC_POLICY, made, run, run_component, the

from components.health import PipelineHealth, PipelineHealthArgs
from threatmon.emulator.program import ProgramRun, Registration
from threatmon.model.location import Location
from threatmon.model.policies import alarm_key_policy, alarm_topic_policy

MACHINE = f"arn:aws:states:eu-west-1:{ACCOUNT}:stateMachine:threat-monitor-dev"
EMAILS = ("watch@example.com", "lead@example.com")


@cache
def deploy(emails: tuple[str, ...] = EMAILS) -> ProgramRun:
    args = PipelineHealthArgs(
        stack="dev",
        emails=emails,
        rule_names={"findings": "rule", "findings-2": "rule-2"},
        topic_names={"topic": "alerts", "topic-raw": "alerts-raw", "topic-slack": "alerts-slack"},
        state_machine_arn=MACHINE,
        dead_letter_queue_name="dead-letters",
        log_group_name="/flow-logs",
    )
    return run_component(lambda: PipelineHealth("watch", args))


def watched(alarm: Registration) -> set[tuple[Any, ...]]:
    """Namespace, name and resource of each metric of an alarm."""
    metrics = [query["metric"] for query in alarm.inputs["metricQueries"] if "metric" in query]
    return {(metric["namespace"], metric["metricName"], *metric["dimensions"].values()) for metric in metrics}


def test_everything_between_a_match_and_a_reader_is_watched() -> None:
    undelivered = ("FailedInvocations", "InvocationsSentToDlq", "InvocationsFailedToBeSentToDlq")
    undeliverable = (
        "NumberOfNotificationsFailed",
        *(
            f"NumberOfNotificationsFilteredOut-{reason}"
            for reason in ("InvalidAttributes", "InvalidMessageBody", "NoMessageAttributes")
        ),
    )
    failed = ("ExecutionsFailed", "ExecutionsTimedOut", "ExecutionsAborted", "ExecutionThrottled")
    assert {alarm.name.removeprefix("watch-"): watched(alarm) for alarm in deploy().of_type(ALARM)} == {
        "undelivered-findings": {("AWS/Events", metric, "rule") for metric in undelivered},
        "undelivered-findings-2": {("AWS/Events", metric, "rule-2") for metric in undelivered},
        "undeliverable-topic": {("AWS/SNS", metric, "alerts") for metric in undeliverable},
        "undeliverable-topic-raw": {("AWS/SNS", metric, "alerts-raw") for metric in undeliverable},
        "undeliverable-topic-slack": {("AWS/SNS", metric, "alerts-slack") for metric in undeliverable},
        "failed-executions": {("AWS/States", metric, MACHINE) for metric in failed},
        "plain-messages": {("ThreatMonitor", "PlainMessages", "threat-monitor-dev")},
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


def test_only_for_flow_logs_is_missing_data_an_alarm() -> None:
    result = deploy()
    topic = made(the(result, TOPIC))["arn"]
    for alarm in result.of_type(ALARM):
        stops = alarm.name == "watch-no-flow-logs"
        assert alarm.inputs["treatMissingData"] == ("missing" if stops else "notBreaching")
        assert alarm.inputs.get("insufficientDataActions") == ([topic] if stops else None)
        assert alarm.inputs["comparisonOperator"] == ("LessThanThreshold" if stops else "GreaterThanThreshold")


def test_a_dead_letter_that_waits_for_a_day_raises_a_second_alarm() -> None:
    thresholds = {alarm.name: alarm.inputs["threshold"] for alarm in deploy().of_type(ALARM)}
    assert thresholds["watch-old-dead-letters"] == 24 * 3600
    assert thresholds["watch-dead-letters"] == 0


def test_its_topic_and_key_are_its_own_and_open_to_alarms() -> None:
    result = deploy()
    topic, key = the(result, TOPIC), the(result, KEY)
    location = Location(ACCOUNT, "eu-west-1", "aws", "amazonaws.com")
    assert topic.inputs["kmsMasterKeyId"] == made(key)["arn"]
    assert json.loads(the(result, TOPIC_POLICY).inputs["policy"]) == alarm_topic_policy(made(topic)["arn"], location)
    assert json.loads(key.inputs["policy"]) == alarm_key_policy(location)


def test_each_address_gets_the_alarms_by_mail() -> None:
    result = deploy()
    topic = made(the(result, TOPIC))["arn"]
    subscriptions = {
        s.name: (s.inputs["protocol"], s.inputs["endpoint"], s.inputs["topic"]) for s in result.of_type(SUBSCRIPTION)
    }
    assert subscriptions == {f"watch-{address}": ("email", address, topic) for address in EMAILS}


def test_alarms_for_nobody_are_refused_by_the_name_of_the_input() -> None:
    with pytest.raises(ValueError, match="emails"):
        deploy(emails=())


def test_a_stack_has_no_alarms_unless_it_asks_for_them() -> None:
    assert run().of_type(ALARM) == []


def test_a_stack_watches_its_own_path_and_shares_neither_topic_nor_key_with_it() -> None:
    result = run(health={"enabled": True})
    resources = {resource for alarm in result.of_type(ALARM) for *_, resource in watched(alarm)}
    alerts, health = result.of_type(TOPIC)
    assert resources == {
        *(made(rule)["name"] for rule in result.of_type(RULE)),
        made(alerts)["name"],
        result.outputs["stateMachineArn"],
        result.outputs["stateMachineArn"].rpartition(":")[2],
        made(the(result, QUEUE))["name"],
        result.outputs["logGroupName"],
    }
    assert made(health)["name"] not in resources
    assert alerts.inputs["kmsMasterKeyId"] != health.inputs["kmsMasterKeyId"]
