"""The policy documents of the pipeline, as dicts; callers write them as JSON."""

from collections.abc import Sequence
from typing import Any

from threatmon.model.location import Location

Document = dict[str, Any]

# https://docs.aws.amazon.com/step-functions/latest/dg/cw-logs.html#cloudwatch-iam-policy
LOG_DELIVERY: Sequence[str] = (
    *(f"logs:{verb}LogDelivery" for verb in ("Create", "Delete", "Get", "Update")),
    *("logs:DescribeLogGroups", "logs:DescribeResourcePolicies", "logs:ListLogDeliveries", "logs:PutResourcePolicy"),
)
"""What a state machine's role needs to write to a log group."""


def policy_document(*statements: Document) -> Document:
    """Make a policy document of statements."""
    return {"Version": "2012-10-17", "Statement": list(statements)}


def key_policy(location: Location, log_group_names: Sequence[str]) -> Document:
    """Make the policy of the key that encrypts the log groups, the topics and the dead-letter queue.

    The log groups are named exactly in the encryption context:
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/encrypt-log-data-kms.html
    EventBridge names the account and the rule, as measured, although this page says that it supports no condition:
    https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html
    """
    log_group_arns = [location.arn("logs", f"log-group:{name}") for name in log_group_names]
    return policy_document(
        _owner_administers_key(location),
        _publishes_encrypted(
            "EventBridgePublishes", "events.amazonaws.com", {"StringEquals": {"aws:SourceAccount": location.id}}
        ),
        _allow(
            # Regional, and in China under another suffix.
            {"Service": f"logs.{location.region}.{location.dns_suffix}"},
            ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:Describe*"],
            "*",
            sid="CloudWatchLogsStores",
            condition={"ArnEquals": {"kms:EncryptionContext:aws:logs:arn": log_group_arns}},
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
    source = {"ArnLike": {"aws:SourceArn": location.arn("ec2", "vpc-flow-log/*")}}
    return policy_document(_assume("vpc-flow-logs.amazonaws.com", location, source))


def flow_log_write(location: Location, log_group_name: str) -> Document:
    """Make the policy of the flow logs' role: to write to one log group.

    Without ``logs:CreateLogGroup``, which AWS's example has: late records would bring the group back after a destroy,
    unencrypted and without retention.
    """
    arn = location.arn("logs", f"log-group:{log_group_name}")
    actions = ["logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogGroups", "logs:DescribeLogStreams"]
    return policy_document(_allow(None, actions, [arn, f"{arn}:*"]))  # the group, and the streams in it


def start_trust(location: Location, rule_arns: Sequence[str]) -> Document:
    """Make the trust policy of the role by which these rules, and nobody else, start the state machine.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-identity-based.html
    """
    return policy_document(_assume("events.amazonaws.com", location, {"ArnEquals": {"aws:SourceArn": list(rule_arns)}}))


def start_execution(state_machine_arn: str) -> Document:
    """Make the policy of the rules' role: to start one state machine."""
    return policy_document(_allow(None, "states:StartExecution", state_machine_arn))


def state_machine_trust(location: Location, state_machine_name: str) -> Document:
    """Make the trust policy of the state machine's role: for this one, and nobody else.

    https://docs.aws.amazon.com/step-functions/latest/dg/procedure-create-iam-role.html
    """
    arn = location.arn("states", f"stateMachine:{state_machine_name}")
    return policy_document(_assume("states.amazonaws.com", location, {"ArnEquals": {"aws:SourceArn": arn}}))


def state_machine_permissions(
    location: Location, topic_arns: Sequence[str], queue_arn: str, kms_key_arn: str, metric_namespace: str
) -> Document:
    """Make the policy of the state machine's role: publish, queue what fails, count it, and log errors.

    The key serves its topics and its queue alone. Log delivery and metrics cannot be limited to resources:
    https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoncloudwatch.html
    """
    services = [f"{service}.{location.region}.{location.dns_suffix}" for service in ("sns", "sqs")]
    return policy_document(
        _allow(None, "sns:Publish", list(topic_arns)),
        _allow(None, "sqs:SendMessage", queue_arn),
        _allow(
            None,
            ["kms:Decrypt", "kms:GenerateDataKey"],
            kms_key_arn,
            condition={"StringEquals": {"kms:ViaService": services}},
        ),
        _allow(
            None,
            "cloudwatch:PutMetricData",
            "*",
            condition={"StringEquals": {"cloudwatch:namespace": metric_namespace}},
        ),
        _allow(None, list(LOG_DELIVERY), "*"),
    )


def chat_trust() -> Document:
    """Make the trust policy of the role of a chat channel, which has no permissions.

    A guardrail that denies everything comes on top. Notifications need no role; AWS documents no source condition.
    https://docs.aws.amazon.com/chatbot/latest/adminguide/understanding-permissions.html
    """
    return policy_document(_allow({"Service": "chatbot.amazonaws.com"}, "sts:AssumeRole"))


def topic_policy(topic_arn: str, owner: str, rule_arns: Sequence[str] = ()) -> Document:
    """Make the policy of a topic: for ``owner``, as in the policy SNS gives every topic, and for these rules."""
    rules = [_rules_deliver("sns:Publish", topic_arn, rule_arns)] if rule_arns else []
    return policy_document(_owner_administers_topic(topic_arn, owner), *rules)


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


def _assume(service: str, location: Location, condition: Document) -> Document:
    account = {"StringEquals": {"aws:SourceAccount": location.id}}
    return _allow({"Service": service}, "sts:AssumeRole", condition=account | condition)


def _owner_administers_key(location: Location) -> Document:
    return _allow({"AWS": location.root}, "kms:*", "*", sid="OwnerAdministers")  # "*" in a key policy is this key


def _publishes_encrypted(sid: str, service: str, condition: Document | None = None) -> Document:
    return _allow({"Service": service}, ["kms:Decrypt", "kms:GenerateDataKey"], "*", sid=sid, condition=condition)


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
