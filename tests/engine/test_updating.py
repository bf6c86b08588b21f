"""What a change of each setting does to a deployed stack."""

from typing import Any

import pytest
from engine.checkout import inventory
from engine.stacks import SUBNETS, Stack
from examples import SLACK, TEAMS, VPC

from threatmon.emulator.emulated import Properties

FLOW_LOGS = [f"FlowLog flow-logs-{subnet}" for subnet in SUBNETS]
RULE = "EventRule alerts-findings"
MACHINE = "StateMachine alerts-formatter-state-machine"
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
TAGGED = [
    *FLOW_LOGS,
    RULE,
    MACHINE,
    "Detector detection-detector",
    "Key encryption-key",
    "LogGroup alerts-formatter-log-group",
    "LogGroup flow-logs-log-group",
    "Queue alerts-dead-letters",
    "Role alerts-formatter-role",
    "Role alerts-start-role",
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
    "finding types": ({"findingTypes": ["Recon:EC2/*"]}, {RULE: "update"}),
    "no samples": ({"alerts": {"includeSamples": False}}, {RULE: "update"}),
    "archived findings too": ({"alerts": {"includeArchived": True}}, {RULE: "update"}),
    "a lower severity": ({"minimumSeverity": "medium"}, {RULE: "update"}),
    "a higher severity": ({"minimumSeverity": "critical"}, {RULE: "update"}),
    "other traffic, a name for the account and runbooks": (
        {
            "flowLogs": {"trafficType": "REJECT"},
            "alerts": {"accountAlias": "production", "runbooks": {"Recon:*": "https://wiki.example.com/scans"}},
        },
        {**_all(FLOW_LOGS, "replace"), MACHINE: "update"},
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
                "MetricAlarm health-failed-executions",
                "MetricAlarm health-no-flow-logs",
                "MetricAlarm health-old-dead-letters",
                "MetricAlarm health-plain-messages",
                "MetricAlarm health-undeliverable-topic",
                "MetricAlarm health-undelivered-findings",
                "Topic health-topic",
                "TopicPolicy health-topic-policy",
                "TopicSubscription health-security@example.com",
            ],
            "create",
        ),
    ),
    "chat": (
        {"alerts": {"slack": SLACK}},
        {
            "Role alerts-chat-role": "create",
            "SlackChannelConfiguration alerts-chat-slack": "create",
            "Topic alerts-chat-topic-slack": "create",
            "TopicPolicy alerts-chat-topic-slack-policy": "create",
            "RolePolicy alerts-formatter-policy": "update",
            MACHINE: "update",
        },
    ),
    "other default tags": ({"aws:defaultTags": {"tags": {"team": "security"}}}, _all(TAGGED, "update")),
}


@pytest.mark.parametrize(("settings", "planned"), CHANGES.values(), ids=CHANGES)
def test_a_changed_setting_touches_these_resources_and_no_others(
    settings: dict[str, Any], planned: dict[str, str], deployed: Stack
) -> None:
    deployed.configure(**settings)
    assert deployed.preview() == planned


def test_a_raw_subscriber_gets_a_topic_and_a_target_of_its_own(deployed: Stack) -> None:
    deployed.configure(alerts={"subscribers": [PAGER]})
    planned = deployed.preview()
    [subscription] = [name for name in planned if name.startswith("TopicSubscription alerts-https-")]
    assert planned == {
        subscription: "create",
        "Topic alerts-topic-raw": "create",
        "TopicPolicy alerts-topic-raw-policy": "create",
        "EventTarget alerts-findings-raw": "create",
    }


def test_another_severity_of_a_reader_keeps_the_subscription(stack: Stack) -> None:
    subscriptions = []
    for severity in ("high", "critical", None, "high"):
        reader = {"protocol": "email", "endpoint": "chief@example.com", "minimumSeverity": severity}
        stack.configure(alerts={"subscribers": [{key: value for key, value in reader.items() if value}]})
        stack.up().succeeded()
        subscriptions.append(stack.resources()["TopicSubscription alerts-chief@example.com"])
    assert len({subscription["id"] for subscription in subscriptions}) == 1
    assert [subscription["inputs"].get("filterPolicy") for subscription in subscriptions] == [
        '{"severity": [{"numeric": [">=", 7]}]}',
        '{"severity": [{"numeric": [">=", 9]}]}',
        None,
        '{"severity": [{"numeric": [">=", 7]}]}',
    ]
    assert stack.preview() == {}
    stack.drift().succeeded()


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
    assert "/threat-monitor/dev/flow-logs" in inventory(stack.account)["log groups"]


def test_a_stack_that_changes_to_everything_and_back_is_as_it_was(stack: Stack) -> None:
    stack.up().succeeded()
    before = inventory(stack.account)
    stack.configure(
        vpcIds=[VPC],
        minimumSeverity="low",
        alertEmails=["security@example.com", "on-call@example.com"],
        alerts={"subscribers": [PAGER], "accountAlias": "production", "slack": SLACK, "teams": TEAMS},
        protectionPlans={"s3": True, "runtime": True},
        health={"enabled": True},
    )
    stack.up().succeeded()
    grown = inventory(stack.account)
    assert {kind: len(grown[kind]) for kind in ("rules", "topics", "alarms", "flow logs", "slack channels")} == {
        "rules": 1,
        "topics": 5,
        "alarms": 10,
        "flow logs": 3,
        "slack channels": 1,
    }

    stack.configure()
    stack.up().succeeded()
    assert inventory(stack.account) == before
