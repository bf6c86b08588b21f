import json
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

import pytest

from threatmon.model.location import Location
from threatmon.model.policies import (
    Document,
    flow_log_trust,
    flow_log_write,
    key_policy,
    queue_policy,
    topic_policy,
)

GROUP = "/threat-monitor/dev/flow-logs"
# Amazon's services are named in China as elsewhere, but for the regional ones, such as CloudWatch Logs:
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/encrypt-log-data-kms.html
ACCOUNTS = {
    "eu-west-1": Location("111122223333", "eu-west-1", "aws", "amazonaws.com"),
    "us-gov-west-1": Location("111122223333", "us-gov-west-1", "aws-us-gov", "amazonaws.com"),
    "cn-north-1": Location("111122223333", "cn-north-1", "aws-cn", "amazonaws.com.cn"),
}
LOGS_PRINCIPAL = {
    "eu-west-1": "logs.eu-west-1.amazonaws.com",
    "us-gov-west-1": "logs.us-gov-west-1.amazonaws.com",
    "cn-north-1": "logs.cn-north-1.amazonaws.com.cn",
}
REGIONS = list(ACCOUNTS)


def arn(region: str, service: str, resource: str) -> str:
    return f"arn:{ACCOUNTS[region].partition}:{service}:{region}:111122223333:{resource}"


def root(region: str) -> str:
    return f"arn:{ACCOUNTS[region].partition}:iam::111122223333:root"


def rule_arns(region: str) -> list[str]:
    return [arn(region, "events", f"rule/threat-monitor-{band}") for band in ("medium", "high")]


def documents(region: str) -> dict[str, Document]:
    account = ACCOUNTS[region]
    return {
        "key_policy": key_policy(account, GROUP),
        "flow_log_trust": flow_log_trust(account),
        "flow_log_write": flow_log_write(account, GROUP),
        "topic_policy": topic_policy(arn(region, "sns", "alerts"), account.root, rule_arns(region)),
        "queue_policy": queue_policy(arn(region, "sqs", "dead-letters"), rule_arns(region)),
    }


def statements(region: str, name: str) -> list[Document]:
    document = documents(region)[name]
    assert set(document) == {"Version", "Statement"}
    assert document["Version"] == "2012-10-17"
    assert json.loads(json.dumps(document)) == document
    return document["Statement"]


@pytest.mark.parametrize("region", REGIONS)
def test_the_key_serves_its_owner_eventbridge_and_the_logs_of_one_group(region: str) -> None:
    assert statements(region, "key_policy") == [
        {
            "Sid": "OwnerAdministers",
            "Effect": "Allow",
            "Principal": {"AWS": root(region)},
            "Action": "kms:*",
            "Resource": "*",
        },
        {
            "Sid": "EventBridgePublishes",
            "Effect": "Allow",
            "Principal": {"Service": "events.amazonaws.com"},
            "Action": ["kms:Decrypt", "kms:GenerateDataKey*"],
            "Resource": "*",
        },
        {
            "Sid": "CloudWatchLogsStores",
            "Effect": "Allow",
            "Principal": {"Service": LOGS_PRINCIPAL[region]},
            "Action": ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:Describe*"],
            "Resource": "*",
            "Condition": {
                "ArnEquals": {"kms:EncryptionContext:aws:logs:arn": arn(region, "logs", f"log-group:{GROUP}")}
            },
        },
    ]


@pytest.mark.parametrize("region", REGIONS)
def test_eventbridges_statement_on_the_key_has_no_condition(region: str) -> None:
    # It supports none: https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html
    [statement] = [s for s in statements(region, "key_policy") if s["Principal"] == {"Service": "events.amazonaws.com"}]
    assert "Condition" not in statement


@pytest.mark.parametrize("region", REGIONS)
def test_only_this_accounts_flow_logs_may_assume_their_role(region: str) -> None:
    assert statements(region, "flow_log_trust") == [
        {
            "Effect": "Allow",
            "Principal": {"Service": "vpc-flow-logs.amazonaws.com"},
            "Action": "sts:AssumeRole",
            "Condition": {
                "StringEquals": {"aws:SourceAccount": "111122223333"},
                "ArnLike": {"aws:SourceArn": arn(region, "ec2", "vpc-flow-log/*")},
            },
        }
    ]


@pytest.mark.parametrize("region", REGIONS)
def test_the_flow_logs_may_write_to_their_group_alone(region: str) -> None:
    group = arn(region, "logs", f"log-group:{GROUP}")
    assert statements(region, "flow_log_write") == [
        {
            "Effect": "Allow",
            "Action": [
                "logs:CreateLogStream",
                "logs:PutLogEvents",
                "logs:DescribeLogGroups",
                "logs:DescribeLogStreams",
            ],
            "Resource": [group, f"{group}:*"],
        }
    ]


def test_nothing_may_create_a_log_group() -> None:
    # A late record would bring the group back after a destroy.
    for region in REGIONS:
        assert "CreateLogGroup" not in json.dumps(documents(region))
        actions = {action for s in statements(region, "flow_log_write") for action in s["Action"]}
        assert not any(fnmatchcase("logs:CreateLogGroup", action) for action in actions)


@pytest.mark.parametrize("region", REGIONS)
def test_the_topic_serves_its_owner_and_these_rules(region: str) -> None:
    topic = arn(region, "sns", "alerts")
    owner, rules = statements(region, "topic_policy")
    assert owner["Effect"] == "Allow"
    assert owner["Principal"] == {"AWS": root(region)}
    assert owner["Resource"] == topic
    assert "Condition" not in owner
    # The policy SNS gives every topic: https://docs.aws.amazon.com/sns/latest/dg/sns-access-policy-use-cases.html
    assert owner["Action"] == [
        "sns:AddPermission",
        "sns:DeleteTopic",
        "sns:GetTopicAttributes",
        "sns:ListSubscriptionsByTopic",
        "sns:Publish",
        "sns:RemovePermission",
        "sns:SetTopicAttributes",
        "sns:Subscribe",
    ]
    assert rules == {
        "Sid": "RulesDeliver",
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sns:Publish",
        "Resource": topic,
        "Condition": {"ArnEquals": {"aws:SourceArn": rule_arns(region)}},
    }


@pytest.mark.parametrize("region", REGIONS)
def test_the_queue_serves_these_rules_alone(region: str) -> None:
    assert statements(region, "queue_policy") == [
        {
            "Sid": "RulesDeliver",
            "Effect": "Allow",
            "Principal": {"Service": "events.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": arn(region, "sqs", "dead-letters"),
            "Condition": {"ArnEquals": {"aws:SourceArn": rule_arns(region)}},
        }
    ]


# -- wildcards --------------------------------------------------------------------------------------------------------

WILDCARDS = {
    ("key_policy", "Resource", "*"): "in a key policy the only resource is the key itself",
    ("key_policy", "Action", "kms:*"): "the account keeps control of its own key, or nobody has it",
    ("key_policy", "Action", "kms:GenerateDataKey*"): "as AWS documents it: also GenerateDataKeyWithoutPlaintext",
    ("key_policy", "Action", "kms:ReEncrypt*"): "as AWS documents it: ReEncryptFrom and ReEncryptTo",
    ("key_policy", "Action", "kms:Describe*"): "as AWS documents it for CloudWatch Logs",
    ("flow_log_write", "Resource", f"log-group:{GROUP}:*"): "the streams of the one group, named by AWS",
}


def wildcards(region: str) -> Iterator[tuple[str, str, str]]:
    def texts(value: Any) -> Iterator[str]:
        if isinstance(value, str):
            yield value
        else:
            for item in value.values() if isinstance(value, dict) else value:
                yield from texts(item)

    for name in documents(region):
        for statement in statements(region, name):
            assert not {"NotAction", "NotResource", "NotPrincipal"} & set(statement)
            for part in ("Principal", "Action", "Resource"):
                for text in texts(statement.get(part, [])):
                    if "*" in text or "?" in text:
                        yield name, part, text.removeprefix(arn(region, "logs", ""))


@pytest.mark.parametrize("region", REGIONS)
def test_there_is_no_wildcard_without_a_reason_and_no_reason_without_a_wildcard(region: str) -> None:
    assert set(wildcards(region)) == set(WILDCARDS)


@pytest.mark.parametrize("region", REGIONS)
def test_kms_star_is_the_owners_alone(region: str) -> None:
    [statement] = [s for s in statements(region, "key_policy") if "kms:*" in s["Action"]]
    assert statement["Principal"] == {"AWS": root(region)}


@pytest.mark.parametrize("region", REGIONS)
def test_every_arn_is_of_the_regions_partition(region: str) -> None:
    parts = json.dumps(documents(region)).split("arn:")[1:]
    assert {part.split(":")[0] for part in parts} == {ACCOUNTS[region].partition}
