"""What a change of each setting does to a deployed stack."""

from typing import Any

import pytest
from engine.checkout import inventory
from engine.stacks import SUBNETS, Stack
from examples import VPC

from threatmon.emulator.emulated import Properties

FLOW_LOGS = [f"FlowLog flow-logs-{subnet}" for subnet in SUBNETS]
RULES = ["EventRule alerts-high", "EventRule alerts-critical"]
TARGETS = ["EventTarget alerts-high", "EventTarget alerts-critical"]
QUERIES = [
    f"QueryDefinition investigation-{query}"
    for query in (
        "top-talkers",
        "by-destination-port",
        "rejected",
        "port-scans",
        "port-sweeps",
        "bytes-out",
        "gaps-in-the-record",
    )
]
RULE_ARNS_IN = ["TopicPolicy alerts-topic-policy", "QueuePolicy alerts-dead-letters-policy"]
TAGGED = [
    *FLOW_LOGS,
    *RULES,
    "Detector detection-detector",
    "Key encryption-key",
    "LogGroup flow-logs-log-group",
    "Queue alerts-dead-letters",
    "Role flow-logs-role",
    "Topic alerts-topic",
]
PAGER = {"protocol": "https", "endpoint": "https://example.com/token", "format": "raw"}


def _all(names: list[str], operation: str) -> dict[str, str]:
    return dict.fromkeys(names, operation)


# Settings -> what the engine plans, per resource. Settings that touch different resources share a preview.
CHANGES: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "nothing that is deployed": (
        {"subnetIds": [SUBNETS[1], SUBNETS[0]], "flowLogs": {"keepOnDestroy": True}, "protect": True},
        {},
    ),
    "a subnet less, a VPC and a reader more": (
        {"subnetIds": [SUBNETS[0]], "vpcIds": [VPC], "alertEmails": ["on-call@example.com", "security@example.com"]},
        {
            f"FlowLog flow-logs-{VPC}": "create",
            FLOW_LOGS[1]: "delete",
            "TopicSubscription alerts-on-call@example.com": "create",
        },
    ),
    "the detector and the retention": (
        {
            "findingPublishingFrequency": "ONE_HOUR",
            "protectionPlans": {"s3": True, "ai": True},
            "flowLogs": {"retentionDays": 400},
        },
        {
            "Detector detection-detector": "update",
            "DetectorFeature detection-ai": "create",
            "DetectorFeature detection-s3": "update",
            "LogGroup flow-logs-log-group": "update",
        },
    ),
    "finding types": ({"findingTypes": ["Recon:EC2/*"]}, _all(RULES, "update")),
    "no samples": ({"alerts": {"includeSamples": False}}, _all(RULES, "update")),
    "archived findings too": ({"alerts": {"includeArchived": True}}, _all(RULES, "update")),
    "a lower severity": (
        {"minimumSeverity": "medium"},
        {
            "EventRule alerts-medium": "create",
            "EventTarget alerts-medium": "create",
            "Dashboard investigation-dashboard": "update",
            **_all(RULE_ARNS_IN, "update"),
        },
    ),
    "a higher severity": (
        {"minimumSeverity": "critical"},
        {
            "EventRule alerts-high": "delete",
            "EventTarget alerts-high": "delete",
            "Dashboard investigation-dashboard": "update",
            **_all(RULE_ARNS_IN, "update"),
        },
    ),
    "other traffic, and a name for the account": (
        {"flowLogs": {"trafficType": "REJECT"}, "alerts": {"accountAlias": "production"}},
        {**_all(FLOW_LOGS, "replace"), **_all(TARGETS, "update")},
    ),
    "wider records": ({"flowLogs": {"aggregationSeconds": 600}}, _all(FLOW_LOGS, "replace")),
    "another record format": (
        {"flowLogs": {"format": "default"}},
        {
            **_all(FLOW_LOGS, "replace"),
            **_all(QUERIES, "update"),
            "Dashboard investigation-dashboard": "update",
        },
    ),
    "another class of log group": (
        {"flowLogs": {"logGroupClass": "INFREQUENT_ACCESS"}},
        {**_all(FLOW_LOGS, "replace"), "LogGroup flow-logs-log-group": "replace"},
    ),
    "alarms": (
        {"health": {"enabled": True}},
        _all(
            [
                "Key health-key",
                "MetricAlarm health-dead-letters",
                "MetricAlarm health-no-flow-logs",
                "MetricAlarm health-old-dead-letters",
                "MetricAlarm health-undeliverable-topic",
                "MetricAlarm health-undelivered-critical",
                "MetricAlarm health-undelivered-high",
                "Topic health-topic",
                "TopicPolicy health-topic-policy",
                "TopicSubscription health-security@example.com",
            ],
            "create",
        ),
    ),
    "other default tags": ({"aws:defaultTags": {"tags": {"team": "security"}}}, _all(TAGGED, "update")),
}


@pytest.mark.parametrize(("settings", "planned"), CHANGES.values(), ids=CHANGES)
def test_a_changed_setting_touches_these_resources_and_no_others(
    settings: dict[str, Any], planned: dict[str, str], deployed: Stack
) -> None:
    deployed.configure(**settings)
    assert deployed.preview() == planned


def test_a_raw_subscriber_gets_a_topic_and_targets_of_its_own(deployed: Stack) -> None:
    deployed.configure(alerts={"subscribers": [PAGER]})
    planned = deployed.preview()
    [subscription] = [name for name in planned if name.startswith("TopicSubscription alerts-https-")]
    assert planned == {
        subscription: "create",
        "Topic alerts-topic-raw": "create",
        "TopicPolicy alerts-topic-raw-policy": "create",
        "EventTarget alerts-high-raw": "create",
        "EventTarget alerts-critical-raw": "create",
    }


def _flow_logs(stack: Stack) -> dict[str, Properties]:
    return {log["ResourceId"]: log for log in stack.account.client("ec2").describe_flow_logs()["FlowLogs"]}


def test_replaced_flow_logs_record_on_into_the_same_group(stack: Stack) -> None:
    stack.up().succeeded()
    before = _flow_logs(stack)
    stack.configure(flowLogs={"format": "default", "aggregationSeconds": 600, "retentionDays": 400})
    stack.up().succeeded()

    after = _flow_logs(stack)
    assert after.keys() == before.keys() == set(SUBNETS)
    assert all(after[subnet]["FlowLogId"] != before[subnet]["FlowLogId"] for subnet in SUBNETS)
    assert {log["MaxAggregationInterval"] for log in after.values()} == {600}
    assert {log["LogDestination"] for log in after.values()} == {log["LogDestination"] for log in before.values()}
    assert inventory(stack.account)["log groups"] == ["/threat-monitor/dev/flow-logs"]


def test_a_stack_that_changes_to_everything_and_back_is_as_it_was(stack: Stack) -> None:
    stack.up().succeeded()
    before = inventory(stack.account)
    stack.configure(
        vpcIds=[VPC],
        minimumSeverity="low",
        alertEmails=["security@example.com", "on-call@example.com"],
        alerts={"subscribers": [PAGER], "accountAlias": "production"},
        protectionPlans={"s3": True, "runtime": True},
        health={"enabled": True},
    )
    stack.up().succeeded()
    grown = inventory(stack.account)
    assert len(grown["rules"]) == 4
    assert len(grown["topics"]) == 3
    assert len(grown["alarms"]) == 9
    assert len(grown["flow logs"]) == 3

    stack.configure()
    stack.up().succeeded()
    assert inventory(stack.account) == before
