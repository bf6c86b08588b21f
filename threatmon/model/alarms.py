"""The alarms on the alert path itself, as data.

Metrics: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-monitoring.html,
https://docs.aws.amazon.com/step-functions/latest/dg/procedure-cw-metrics.html,
https://docs.aws.amazon.com/sns/latest/dg/sns-monitoring-using-cloudwatch.html,
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html,
https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CloudWatch-Logs-Monitoring-CloudWatch-Metrics.html
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

METRIC_NAMESPACE = "ThreatMonitor"
PLAIN_MESSAGES_METRIC = "PlainMessages"


class Alarm(NamedTuple):
    """An alarm on the sum of ``metrics`` of one resource, which ``dimension`` names.

    It goes off if the sum over ``period`` seconds compares with ``threshold`` as ``comparison`` says. ``missing_data``
    is what it means that there is no datapoint: ``notBreaching``, that nothing happened; ``missing``, that nobody
    knows, which is worth a mail too.
    """

    description: str
    namespace: str
    metrics: Sequence[str]
    dimension: str
    statistic: Literal["Sum", "Maximum"] = "Sum"
    period: int = 300
    comparison: Literal["GreaterThanThreshold", "LessThanThreshold"] = "GreaterThanThreshold"
    threshold: float = 0
    missing_data: Literal["notBreaching", "missing"] = "notBreaching"


UNDELIVERED = Alarm(
    "Findings matched this rule and did not arrive: failed, dead-lettered or lost. See the dead-letter queue.",
    "AWS/Events",
    ["FailedInvocations", "InvocationsSentToDlq", "InvocationsFailedToBeSentToDlq"],
    "RuleName",
)
FAILED_EXECUTIONS = Alarm(
    "The state machine could not finish with a finding, or start in time. Send it again with `threatmon redrive`.",
    "AWS/States",
    ["ExecutionsFailed", "ExecutionsTimedOut", "ExecutionsAborted", "ExecutionThrottled"],
    "StateMachineArn",
)
PLAIN_MESSAGES = Alarm(
    "Findings were sent unformatted, because formatting failed. Run `threatmon verify`, and see the state machine's"
    " executions.",
    METRIC_NAMESPACE,
    [PLAIN_MESSAGES_METRIC],
    "StateMachine",
)
DEAD_LETTERS = Alarm(
    "Findings wait in the dead-letter queue. Send them again with `threatmon redrive`.",
    "AWS/SQS",
    ["ApproximateNumberOfMessagesVisible"],
    "QueueName",
    statistic="Maximum",
)
OLD_DEAD_LETTERS = Alarm(
    "Findings have waited in the dead-letter queue for a day; after 14 days they are gone.",
    "AWS/SQS",
    ["ApproximateAgeOfOldestMessage"],
    "QueueName",
    statistic="Maximum",
    threshold=24 * 3600,
)
UNDELIVERABLE = Alarm(
    "SNS could not hand an alert to a subscriber. Check the subscriptions.",
    "AWS/SNS",
    # A message whose attributes cannot be read reaches no subscriber with a filter.
    [
        "NumberOfNotificationsFailed",
        "NumberOfNotificationsFilteredOut-InvalidAttributes",
        "NumberOfNotificationsFilteredOut-InvalidMessageBody",
        "NumberOfNotificationsFilteredOut-NoMessageAttributes",
    ],
    "TopicName",
)
# Interfaces without traffic leave NODATA records, so an hour without any means that delivery has stopped. The metric is
# then missing, not zero. A new alarm starts without data too, but that is no change of state and sends no mail.
NO_FLOW_LOGS = Alarm(
    "No flow-log record has arrived for an hour. Check the flow logs' DeliverLogsStatus.",
    "AWS/Logs",
    ["IncomingLogEvents"],
    "LogGroupName",
    period=3600,
    comparison="LessThanThreshold",
    threshold=1,
    missing_data="missing",
)
# By what they are called within a stack, which has one for each rule or topic, and one of every other.
_ALARMS: Mapping[str, Alarm] = {
    "undelivered": UNDELIVERED,
    "undeliverable": UNDELIVERABLE,
    "failed-executions": FAILED_EXECUTIONS,
    "plain-messages": PLAIN_MESSAGES,
    "dead-letters": DEAD_LETTERS,
    "old-dead-letters": OLD_DEAD_LETTERS,
    "no-flow-logs": NO_FLOW_LOGS,
}


class NamedAlarm(NamedTuple):
    """An alarm of a stack: what it is called there, and the key of its rule or topic, if it watches one of several."""

    name: str
    alarm: Alarm
    key: str | None


def of_stack(rules: Iterable[str], topics: Iterable[str]) -> list[NamedAlarm]:
    """Return the alarms of a stack, given the keys of its rules and topics."""
    keys = {UNDELIVERED.dimension: list(rules), UNDELIVERABLE.dimension: list(topics)}
    return [
        NamedAlarm(f"{name}-{key}" if key else name, alarm, key)
        for name, alarm in _ALARMS.items()
        for key in keys.get(alarm.dimension, [None])
    ]
