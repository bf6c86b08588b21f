"""The policy documents of the pipeline, as dicts; whoever hands one to AWS serialises it."""

from collections.abc import Sequence
from typing import Any

from threatmon.model.location import Location

Document = dict[str, Any]


def policy_document(*statements: Document) -> Document:
    """Make a policy document of statements."""
    return {"Version": "2012-10-17", "Statement": list(statements)}


def _log_group(location: Location, name: str) -> str:
    return location.arn("logs", f"log-group:{name}")


def key_policy(location: Location, log_group_name: str) -> Document:
    """The policy of the key that encrypts the log group, the topics and the dead-letter queue.

    The log group is named exactly in the encryption context:
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/encrypt-log-data-kms.html
    EventBridge's statement has no source condition, because EventBridge supports none on an encrypted topic:
    https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html
    """
    return policy_document(
        _owner_administers_key(location),
        _publishes_encrypted("EventBridgePublishes", "events.amazonaws.com"),
        {
            "Sid": "CloudWatchLogsStores",
            "Effect": "Allow",
            # Regional, and in China under another suffix.
            "Principal": {"Service": f"logs.{location.region}.{location.dns_suffix}"},
            "Action": ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:Describe*"],
            "Resource": "*",
            "Condition": {"ArnEquals": {"kms:EncryptionContext:aws:logs:arn": _log_group(location, log_group_name)}},
        },
    )


def alarm_key_policy(location: Location) -> Document:
    """Return the policy of the key that encrypts the alarms' topic.

    https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html"""
    return policy_document(
        _owner_administers_key(location), _publishes_encrypted("AlarmsPublish", "cloudwatch.amazonaws.com")
    )


def _owner_administers_key(location: Location) -> Document:
    return {
        "Sid": "OwnerAdministers",
        "Effect": "Allow",
        "Principal": {"AWS": location.root},
        "Action": "kms:*",
        "Resource": "*",  # in a key policy, this key
    }


def _publishes_encrypted(sid: str, service: str) -> Document:
    return {
        "Sid": sid,
        "Effect": "Allow",
        "Principal": {"Service": service},
        "Action": ["kms:Decrypt", "kms:GenerateDataKey*"],
        "Resource": "*",
    }


def flow_log_trust(location: Location) -> Document:
    """Who may assume the flow logs' role: this account's and Region's flow logs, nobody else's.

    The id of a flow log does not exist before the role does, hence the wildcard:
    https://docs.aws.amazon.com/vpc/latest/userguide/flow-logs-iam-role.html
    """
    return policy_document(
        {
            "Effect": "Allow",
            "Principal": {"Service": "vpc-flow-logs.amazonaws.com"},
            "Action": "sts:AssumeRole",
            "Condition": {
                "StringEquals": {"aws:SourceAccount": location.id},
                "ArnLike": {"aws:SourceArn": location.arn("ec2", "vpc-flow-log/*")},
            },
        }
    )


def flow_log_write(location: Location, log_group_name: str) -> Document:
    """What the flow logs' role may do: write to one log group.

    Without ``logs:CreateLogGroup``, which AWS's example has: late records would bring the group back after a destroy,
    unencrypted and without retention.
    """
    arn = _log_group(location, log_group_name)
    return policy_document(
        {
            "Effect": "Allow",
            "Action": [
                "logs:CreateLogStream",
                "logs:PutLogEvents",
                "logs:DescribeLogGroups",
                "logs:DescribeLogStreams",
            ],
            "Resource": [arn, f"{arn}:*"],  # the group, and the streams in it
        }
    )


def topic_policy(topic_arn: str, owner: str, rule_arns: Sequence[str]) -> Document:
    """Who may use a topic: ``owner``, as in the policy SNS gives every topic, and these rules."""
    return policy_document(_owner_administers_topic(topic_arn, owner), _rules_may("sns:Publish", topic_arn, rule_arns))


def alarm_topic_policy(topic_arn: str, location: Location) -> Document:
    """Who may use the alarms' topic: the account, and its alarms.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Notify_Users_Alarm_Changes.html
    """
    return policy_document(
        _owner_administers_topic(topic_arn, location.root),
        {
            "Sid": "AlarmsPublish",
            "Effect": "Allow",
            "Principal": {"Service": "cloudwatch.amazonaws.com"},
            "Action": "sns:Publish",
            "Resource": topic_arn,
            "Condition": {"StringEquals": {"aws:SourceAccount": location.id}},
        },
    )


def _owner_administers_topic(topic_arn: str, owner: str) -> Document:
    return {
        "Sid": "OwnerAdministers",
        "Effect": "Allow",
        "Principal": {"AWS": owner},
        "Action": [
            "sns:AddPermission",
            "sns:DeleteTopic",
            "sns:GetTopicAttributes",
            "sns:ListSubscriptionsByTopic",
            "sns:Publish",
            "sns:RemovePermission",
            "sns:SetTopicAttributes",
            "sns:Subscribe",
        ],
        "Resource": topic_arn,
    }


def queue_policy(queue_arn: str, rule_arns: Sequence[str]) -> Document:
    """Who may write to the dead-letter queue: these rules.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html
    """
    return policy_document(_rules_may("sqs:SendMessage", queue_arn, rule_arns))


def _rules_may(action: str, resource: str, rule_arns: Sequence[str]) -> Document:
    return {
        "Sid": "RulesDeliver",
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": action,
        "Resource": resource,
        "Condition": {"ArnEquals": {"aws:SourceArn": list(rule_arns)}},
    }
