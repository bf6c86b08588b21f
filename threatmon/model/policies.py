"""The policy documents of the pipeline, as dicts; callers write them as JSON."""

from collections.abc import Sequence
from typing import Any

from threatmon.model.location import Location

Document = dict[str, Any]


def policy_document(*statements: Document) -> Document:
    """Make a policy document of statements."""
    return {"Version": "2012-10-17", "Statement": list(statements)}


def key_policy(location: Location, log_group_name: str) -> Document:
    """Make the policy of the key that encrypts the log group, the topics and the dead-letter queue.

    The log group is named exactly in the encryption context:
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/encrypt-log-data-kms.html
    EventBridge's statement has no source condition, because EventBridge supports none on an encrypted topic:
    https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html
    """
    log_group_arn = location.arn("logs", f"log-group:{log_group_name}")
    return policy_document(
        _owner_administers_key(location),
        _publishes_encrypted("EventBridgePublishes", "events.amazonaws.com"),
        _allow(
            # Regional, and in China under another suffix.
            {"Service": f"logs.{location.region}.{location.dns_suffix}"},
            ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:Describe*"],
            "*",
            sid="CloudWatchLogsStores",
            condition={"ArnEquals": {"kms:EncryptionContext:aws:logs:arn": log_group_arn}},
        ),
    )


def alarm_key_policy(location: Location) -> Document:
    """Make the policy of the key that encrypts the alarms' topic.

    https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html
    """
    return policy_document(
        _owner_administers_key(location), _publishes_encrypted("AlarmsPublish", "cloudwatch.amazonaws.com")
    )


def flow_log_trust(location: Location) -> Document:
    """Make the trust policy of the flow logs' role: for flow logs of this account and Region, and nobody else.

    The id of a flow log does not exist before the role does, hence the wildcard:
    https://docs.aws.amazon.com/vpc/latest/userguide/flow-logs-iam-role.html
    """
    return policy_document(
        _allow(
            {"Service": "vpc-flow-logs.amazonaws.com"},
            "sts:AssumeRole",
            condition={
                "StringEquals": {"aws:SourceAccount": location.id},
                "ArnLike": {"aws:SourceArn": location.arn("ec2", "vpc-flow-log/*")},
            },
        )
    )


def flow_log_write(location: Location, log_group_name: str) -> Document:
    """Make the policy of the flow logs' role: to write to one log group.

    Without ``logs:CreateLogGroup``, which AWS's example has: late records would bring the group back after a destroy,
    unencrypted and without retention.
    """
    arn = location.arn("logs", f"log-group:{log_group_name}")
    actions = ["logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogGroups", "logs:DescribeLogStreams"]
    return policy_document(_allow(None, actions, [arn, f"{arn}:*"]))  # the group, and the streams in it


def topic_policy(topic_arn: str, owner: str, rule_arns: Sequence[str]) -> Document:
    """Make the policy of a topic: for ``owner``, as in the policy SNS gives every topic, and for these rules."""
    return policy_document(
        _owner_administers_topic(topic_arn, owner), _rules_deliver("sns:Publish", topic_arn, rule_arns)
    )


def alarm_topic_policy(topic_arn: str, location: Location) -> Document:
    """Make the policy of the alarms' topic: for the account and its alarms.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Notify_Users_Alarm_Changes.html
    """
    return policy_document(
        _owner_administers_topic(topic_arn, location.root),
        _allow(
            {"Service": "cloudwatch.amazonaws.com"},
            "sns:Publish",
            topic_arn,
            sid="AlarmsPublish",
            condition={"StringEquals": {"aws:SourceAccount": location.id}},
        ),
    )


def queue_policy(queue_arn: str, rule_arns: Sequence[str]) -> Document:
    """Make the policy of the dead-letter queue: for these rules alone.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html
    """
    return policy_document(_rules_deliver("sqs:SendMessage", queue_arn, rule_arns))


def _allow(
    principal: Document | None,
    actions: str | list[str],
    resources: str | list[str] | None = None,
    *,
    sid: str | None = None,
    condition: Document | None = None,
) -> Document:
    statement = {
        "Sid": sid,
        "Effect": "Allow",
        "Principal": principal,
        "Action": actions,
        "Resource": resources,
        "Condition": condition,
    }
    return {key: value for key, value in statement.items() if value is not None}


def _owner_administers_key(location: Location) -> Document:
    return _allow({"AWS": location.root}, "kms:*", "*", sid="OwnerAdministers")  # "*" in a key policy is this key


def _publishes_encrypted(sid: str, service: str) -> Document:
    return _allow({"Service": service}, ["kms:Decrypt", "kms:GenerateDataKey*"], "*", sid=sid)


def _owner_administers_topic(topic_arn: str, owner: str) -> Document:
    actions = [
        *("sns:AddPermission", "sns:DeleteTopic", "sns:GetTopicAttributes", "sns:ListSubscriptionsByTopic"),
        *("sns:Publish", "sns:RemovePermission", "sns:SetTopicAttributes", "sns:Subscribe"),
    ]
    return _allow({"AWS": owner}, actions, topic_arn, sid="OwnerAdministers")


def _rules_deliver(action: str, resource: str, rule_arns: Sequence[str]) -> Document:
    return _allow(
        {"Service": "events.amazonaws.com"},
        action,
        resource,
        sid="RulesDeliver",
        condition={"ArnEquals": {"aws:SourceArn": list(rule_arns)}},
    )
