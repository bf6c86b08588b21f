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
    flow_log_trust,
    flow_log_write,
    key_policy,
    queue_policy,
    topic_policy,
)

GROUP = "/threat-monitor/dev/flow-logs"
# Only regional services, such as CloudWatch Logs, have another name in China:
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/encrypt-log-data-kms.html
LOGS_PRINCIPALS = {
    Location("111122223333", "eu-west-1", "aws", "amazonaws.com"): "logs.eu-west-1.amazonaws.com",
    Location("111122223333", "us-gov-west-1", "aws-us-gov", "amazonaws.com"): "logs.us-gov-west-1.amazonaws.com",
    Location("111122223333", "cn-north-1", "aws-cn", "amazonaws.com.cn"): "logs.cn-north-1.amazonaws.com.cn",
}
every_partition = pytest.mark.parametrize("location", LOGS_PRINCIPALS, ids=lambda location: location.partition)


def rule_arns(location: Location) -> list[str]:
    return [location.arn("events", f"rule/threat-monitor-{band}") for band in ("medium", "high")]


MAKERS: dict[str, Callable[[Location], Document]] = {
    "key": lambda location: key_policy(location, GROUP),
    "alarms' key": alarm_key_policy,
    "role's trust": flow_log_trust,
    "role": lambda location: flow_log_write(location, GROUP),
    "topic": lambda location: topic_policy(location.arn("sns", "alerts"), location.root, rule_arns(location)),
    "alarms' topic": lambda location: alarm_topic_policy(location.arn("sns", "alarms"), location),
    "queue": lambda location: queue_policy(location.arn("sqs", "dead-letters"), rule_arns(location)),
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
        "role's trust": ["vpc-flow-logs.amazonaws.com"],
        "role": [],
        "topic": [owner, events],
        "alarms' topic": [owner, alarms],
        "queue": [events],
    }


@every_partition
def test_each_service_may_act_for_this_account_these_rules_or_this_group_only(location: Location) -> None:
    group = {"ArnEquals": {"kms:EncryptionContext:aws:logs:arn": location.arn("logs", f"log-group:{GROUP}")}}
    rules = {"ArnEquals": {"aws:SourceArn": rule_arns(location)}}
    account = {"StringEquals": {"aws:SourceAccount": "111122223333"}}
    flow_logs = {**account, "ArnLike": {"aws:SourceArn": location.arn("ec2", "vpc-flow-log/*")}}
    conditions = {name: [s["Condition"] for s in statements(name, location) if "Condition" in s] for name in MAKERS}
    assert conditions == {
        # EventBridge supports no condition on a key: https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html
        "key": [group],
        "alarms' key": [],
        "role's trust": [flow_logs],
        "role": [],
        "topic": [rules],
        "alarms' topic": [account],
        "queue": [rules],
    }


@every_partition
def test_only_the_owner_may_do_everything_with_a_key(location: Location) -> None:
    for name in ("key", "alarms' key"):
        [statement] = [s for s in statements(name, location) if "kms:*" in s["Action"]]
        assert statement["Principal"] == {"AWS": location.root}


@every_partition
def test_the_flow_logs_may_write_to_their_group_alone_and_create_none(location: Location) -> None:
    group = location.arn("logs", f"log-group:{GROUP}")
    [statement] = statements("role", location)
    assert statement["Resource"] == [group, f"{group}:*"]
    assert "logs:PutLogEvents" in statement["Action"]
    # A late record would bring the group back after a destroy.
    assert not any(fnmatchcase("logs:CreateLogGroup", action) for action in statement["Action"])


@every_partition
def test_every_arn_is_of_the_regions_partition(location: Location) -> None:
    parts = json.dumps([statements(name, location) for name in MAKERS]).split("arn:")[1:]
    assert {part.split(":")[0] for part in parts} == {location.partition}
