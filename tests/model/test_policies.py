"""What is a rule in the policies. Their whole text is in the recorded registrations."""

import json
from collections.abc import Callable
from fnmatch import fnmatchcase

import pytest

from threatmon.model.location import Location
from threatmon.model.policies import (
    Document,
    alarm_key_policy,
    alarm_topic_policy,
    chat_trust,
    flow_log_trust,
    flow_log_write,
    key_policy,
    queue_policy,
    start_execution,
    start_trust,
    state_machine_permissions,
    state_machine_trust,
    topic_policy,
)

GROUP, ERRORS = "/threat-monitor/dev/flow-logs", "/aws/vendedlogs/states/threat-monitor-dev"
MACHINE, NAMESPACE = "threat-monitor-dev", "ThreatMonitor"
# Only regional services, such as CloudWatch Logs, have another name in China:
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/encrypt-log-data-kms.html
LOGS_PRINCIPALS = {
    Location("111122223333", "eu-west-1", "aws", "amazonaws.com"): "logs.eu-west-1.amazonaws.com",
    Location("111122223333", "us-gov-west-1", "aws-us-gov", "amazonaws.com"): "logs.us-gov-west-1.amazonaws.com",
    Location("111122223333", "cn-north-1", "aws-cn", "amazonaws.com.cn"): "logs.cn-north-1.amazonaws.com.cn",
}
every_partition = pytest.mark.parametrize("location", LOGS_PRINCIPALS, ids=lambda location: location.partition)


def rule_arns(location: Location) -> list[str]:
    return [location.arn("events", f"rule/threat-monitor-{name}") for name in ("findings", "findings-2")]


def topic_arns(location: Location) -> list[str]:
    return [location.arn("sns", name) for name in ("alerts", "alerts-slack")]


def queue_arn(location: Location) -> str:
    return location.arn("sqs", "dead-letters")


def key_arn(location: Location) -> str:
    return location.arn("kms", "key/1234")


MAKERS: dict[str, Callable[[Location], Document]] = {
    "key": lambda location: key_policy(location, [GROUP, ERRORS]),
    "alarms' key": alarm_key_policy,
    "flow logs' trust": flow_log_trust,
    "flow logs": lambda location: flow_log_write(location, GROUP),
    "rules' trust": lambda location: start_trust(location, rule_arns(location)),
    "rules": lambda location: start_execution(location.arn("states", f"stateMachine:{MACHINE}")),
    "machine's trust": lambda location: state_machine_trust(location, MACHINE),
    "machine": lambda location: state_machine_permissions(
        location, topic_arns(location), queue_arn(location), key_arn(location), NAMESPACE
    ),
    "chat's trust": lambda _: chat_trust(),
    "topic": lambda location: topic_policy(location.arn("sns", "alerts"), location.root),
    "raw topic": lambda location: topic_policy(location.arn("sns", "raw"), location.root, rule_arns(location)),
    "alarms' topic": lambda location: alarm_topic_policy(location.arn("sns", "alarms"), location),
    "queue": lambda location: queue_policy(queue_arn(location), rule_arns(location)),
}


def statements(name: str, location: Location) -> list[Document]:
    document = MAKERS[name](location)
    assert set(document) == {"Version", "Statement"}
    assert document["Version"] == "2012-10-17"
    assert json.loads(json.dumps(document)) == document
    return document["Statement"]


@every_partition
def test_each_policy_serves_these_principals_and_no_other(location: Location) -> None:
    owner, events, alarms = location.root, "events.amazonaws.com", "cloudwatch.amazonaws.com"
    served = {
        name: [next(iter(s["Principal"].values())) for s in statements(name, location) if "Principal" in s]
        for name in MAKERS
    }
    assert served == {
        "key": [owner, events, LOGS_PRINCIPALS[location]],
        "alarms' key": [owner, alarms],
        "flow logs' trust": ["vpc-flow-logs.amazonaws.com"],
        "flow logs": [],
        "rules' trust": [events],
        "rules": [],
        "machine's trust": ["states.amazonaws.com"],
        "machine": [],
        "chat's trust": ["chatbot.amazonaws.com"],
        "topic": [owner],
        "raw topic": [owner, events],
        "alarms' topic": [owner, alarms],
        "queue": [events],
    }


@every_partition
def test_each_service_may_act_for_this_account_these_rules_this_machine_or_these_groups_only(
    location: Location,
) -> None:
    groups = [location.arn("logs", f"log-group:{group}") for group in (GROUP, ERRORS)]
    rules = {"ArnEquals": {"aws:SourceArn": rule_arns(location)}}
    account = {"StringEquals": {"aws:SourceAccount": "111122223333"}}
    machine = {"ArnEquals": {"aws:SourceArn": location.arn("states", f"stateMachine:{MACHINE}")}}
    regional = f"{location.region}.{location.dns_suffix}"
    conditions = {name: [s["Condition"] for s in statements(name, location) if "Condition" in s] for name in MAKERS}
    assert conditions == {
        "key": [account, {"ArnEquals": {"kms:EncryptionContext:aws:logs:arn": groups}}],
        "alarms' key": [],
        "flow logs' trust": [{**account, "ArnLike": {"aws:SourceArn": location.arn("ec2", "vpc-flow-log/*")}}],
        "flow logs": [],
        "rules' trust": [{**account, **rules}],
        "rules": [],
        "machine's trust": [{**account, **machine}],
        "machine": [
            {"StringEquals": {"kms:ViaService": [f"sns.{regional}", f"sqs.{regional}"]}},
            {"StringEquals": {"cloudwatch:namespace": NAMESPACE}},
        ],
        "chat's trust": [],  # AWS documents none
        "topic": [],
        "raw topic": [rules],
        "alarms' topic": [account],
        "queue": [rules],
    }


@every_partition
def test_the_rules_may_start_the_one_machine_and_do_nothing_else(location: Location) -> None:
    arn = location.arn("states", f"stateMachine:{MACHINE}")
    assert statements("rules", location) == [{"Effect": "Allow", "Action": "states:StartExecution", "Resource": arn}]


@every_partition
def test_the_machine_may_publish_queue_use_their_key_count_and_log_and_do_nothing_else(location: Location) -> None:
    allowed = {
        action: s["Resource"]
        for s in statements("machine", location)
        for action in ([s["Action"]] if isinstance(s["Action"], str) else s["Action"])
    }
    deliveries = {action for action in allowed if action.startswith("logs:")}
    assert {action: resource for action, resource in allowed.items() if action not in deliveries} == {
        "sns:Publish": topic_arns(location),
        "sqs:SendMessage": queue_arn(location),
        "kms:Decrypt": key_arn(location),
        "kms:GenerateDataKey": key_arn(location),
        "cloudwatch:PutMetricData": "*",
    }
    # https://docs.aws.amazon.com/step-functions/latest/dg/cw-logs.html
    assert deliveries == {
        *(f"logs:{verb}LogDelivery" for verb in ("Create", "Delete", "Get", "Update")),
        *("logs:ListLogDeliveries", "logs:PutResourcePolicy"),
        *("logs:DescribeResourcePolicies", "logs:DescribeLogGroups"),
    }


@every_partition
def test_only_the_owner_may_do_everything_with_a_key(location: Location) -> None:
    for name in ("key", "alarms' key"):
        [statement] = [s for s in statements(name, location) if "kms:*" in s["Action"]]
        assert statement["Principal"] == {"AWS": location.root}


@every_partition
def test_the_flow_logs_may_write_to_their_group_alone_and_create_none(location: Location) -> None:
    group = location.arn("logs", f"log-group:{GROUP}")
    [statement] = statements("flow logs", location)
    assert statement["Resource"] == [group, f"{group}:*"]
    assert "logs:PutLogEvents" in statement["Action"]
    # A late record would bring the group back after a destroy.
    assert not any(fnmatchcase("logs:CreateLogGroup", action) for action in statement["Action"])


@every_partition
def test_every_arn_is_of_the_regions_partition(location: Location) -> None:
    parts = json.dumps([statements(name, location) for name in MAKERS]).split("arn:")[1:]
    assert {part.split(":")[0] for part in parts} == {location.partition}
