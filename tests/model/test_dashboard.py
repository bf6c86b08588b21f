import json
from itertools import combinations
from typing import Any

import pytest

from threatmon.model.dashboard import body
from threatmon.model.queries import FormatName, saved_queries

GROUP = "/threat-monitor/dev/flow-logs"
RULES = ["rule", "rule-2"]
MACHINE = "arn:aws:states:eu-west-1:111122223333:stateMachine:threat-monitor-dev"


def widgets(log_format: FormatName = "extended") -> dict[str, dict[str, Any]]:
    made = body(
        "eu-west-1",
        GROUP,
        log_format,
        topic_name="alerts",
        queue_name="dead-letters",
        rule_names=RULES,
        state_machine_arn=MACHINE,
    )
    assert list(made) == ["widgets"]
    return {widget["properties"]["title"]: widget for widget in json.loads(json.dumps(made))["widgets"]}


def test_findings_and_deliveries_are_above_traffic_and_all_of_it_is_of_the_stacks_region() -> None:
    assert {title: widget["properties"]["region"] for title, widget in widgets().items()} == dict.fromkeys(
        [
            "Findings by rule",
            "Delivery",
            "Formatting",
            "Flow-log volume",
            "By destination port",
            "Rejected",
            "Port scans",
        ],
        "eu-west-1",
    )


def test_what_matches_what_is_delivered_formatted_or_failed_and_what_is_recorded_is_counted() -> None:
    assert {title: w["properties"].get("metrics") for title, w in widgets().items() if w["type"] == "metric"} == {
        "Findings by rule": [["AWS/Events", "TriggeredRules", "RuleName", rule] for rule in RULES],
        "Delivery": [
            ["AWS/SNS", "NumberOfNotificationsDelivered", "TopicName", "alerts"],
            ["AWS/SNS", "NumberOfNotificationsFailed", "TopicName", "alerts"],
            # A depth is not summed up.
            ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", "dead-letters", {"stat": "Maximum"}],
            *(["AWS/Events", "FailedInvocations", "RuleName", rule] for rule in RULES),
        ],
        "Formatting": [
            ["AWS/States", "ExecutionsSucceeded", "StateMachineArn", MACHINE],
            ["AWS/States", "ExecutionsFailed", "StateMachineArn", MACHINE],
            ["ThreatMonitor", "PlainMessages", "StateMachine", "threat-monitor-dev"],
        ],
        "Flow-log volume": [
            ["AWS/Logs", "IncomingBytes", "LogGroupName", GROUP],
            ["AWS/Logs", "IncomingLogEvents", "LogGroupName", GROUP, {"yAxis": "right"}],
        ],
    }


@pytest.mark.parametrize("log_format", ["default", "extended"])
def test_a_table_shows_the_saved_query_of_the_format_on_the_log_group(log_format: FormatName) -> None:
    shown = widgets(log_format)
    for title in ("by destination port", "rejected", "port scans"):
        widget = shown[title.capitalize()]
        assert widget["type"] == "log"
        assert widget["properties"]["query"] == f"SOURCE '{GROUP}' | {saved_queries(log_format)[title]}"
        assert widget["properties"]["view"] == "table"


def test_no_widget_covers_another_or_leaves_the_grid_of_24_columns() -> None:
    cells = [
        {(x, y) for x in range(w["x"], w["x"] + w["width"]) for y in range(w["y"], w["y"] + w["height"])}
        for w in widgets().values()
    ]
    assert all(cells)
    assert not any(one & other for one, other in combinations(cells, 2))
    assert all(0 <= x < 24 for each in cells for x, _ in each)
