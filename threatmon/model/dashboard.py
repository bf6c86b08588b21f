"""The CloudWatch dashboard of a stack, as the dict CloudWatch takes.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html
"""

from collections.abc import Sequence
from typing import Any

from threatmon.model import queries
from threatmon.model.alarms import METRIC_NAMESPACE, PLAIN_MESSAGES_METRIC

Body = dict[str, Any]

_WIDTH, _HEIGHT = 12, 6


def body(
    region: str,
    log_group_name: str,
    log_format: queries.FormatName,
    *,
    topic_name: str,
    queue_name: str,
    rule_names: Sequence[str],
    state_machine_arn: str,
) -> Body:
    """Return the dashboard: findings and deliveries above, traffic below."""
    graphs: dict[str, list[list[Any]]] = {
        "Findings by rule": [["AWS/Events", "TriggeredRules", "RuleName", rule_name] for rule_name in rule_names],
        "Delivery": [
            ["AWS/SNS", "NumberOfNotificationsDelivered", "TopicName", topic_name],
            ["AWS/SNS", "NumberOfNotificationsFailed", "TopicName", topic_name],
            ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", queue_name, {"stat": "Maximum"}],
            *[["AWS/Events", "FailedInvocations", "RuleName", rule_name] for rule_name in rule_names],
        ],
        "Formatting": [
            ["AWS/States", "ExecutionsSucceeded", "StateMachineArn", state_machine_arn],
            ["AWS/States", "ExecutionsFailed", "StateMachineArn", state_machine_arn],
            [METRIC_NAMESPACE, PLAIN_MESSAGES_METRIC, "StateMachine", state_machine_arn.rpartition(":")[2]],
        ],
        "Flow-log volume": [
            ["AWS/Logs", "IncomingBytes", "LogGroupName", log_group_name],
            ["AWS/Logs", "IncomingLogEvents", "LogGroupName", log_group_name, {"yAxis": "right"}],
        ],
    }
    saved = queries.saved_queries(log_format)
    widgets = [
        *(_metrics(title, region, metrics) for title, metrics in graphs.items()),
        *(
            _log_query(title.capitalize(), region, log_group_name, saved[title])
            for title in ("by destination port", "rejected", "port scans")
        ),
    ]
    return {"widgets": [widget | _place(index) for index, widget in enumerate(widgets)]}


def _place(index: int) -> Body:
    return {"x": index % 2 * _WIDTH, "y": index // 2 * _HEIGHT, "width": _WIDTH, "height": _HEIGHT}


def _metrics(title: str, region: str, metrics: list[list[Any]]) -> Body:
    shown = {"stat": "Sum", "period": 300, "view": "timeSeries", "metrics": metrics}
    return {"type": "metric", "properties": {"title": title, "region": region, **shown}}


def _log_query(title: str, region: str, log_group_name: str, query: str) -> Body:
    properties = {"title": title, "region": region, "view": "table", "query": f"SOURCE '{log_group_name}' | {query}"}
    return {"type": "log", "properties": properties}
