"""The alerts: EventBridge rules on findings, a state machine that writes, SNS topics, a dead-letter queue."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import pulumi
import pulumi_aws as aws

from components.alert_topic import AlertTopic, alert_topic
from components.chat import ChatNotifications, ChatNotificationsArgs
from components.formatter import AlertFormatter, AlertFormatterArgs
from components.location import arn_of, location_of, role_name
from components.outputs import json_of
from threatmon.model import names
from threatmon.model.channels import (
    DEAD_LETTER_BYTES,
    DEAD_LETTER_SECONDS,
    MACHINE_TARGET,
    RAW_TARGET,
    TOPICS,
    FormattedChannel,
    MessageFormat,
    filter_policy,
    filter_scope,
)
from threatmon.model.event_patterns import alert_rules, compact
from threatmon.model.location import Location
from threatmon.model.policies import queue_policy, start_execution, start_trust
from threatmon.model.settings import AlertSettings, AlertSubscriber
from threatmon.model.severity import SeverityName

# EventBridge's own defaults, stated so that a review sees them:
# https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-retry-policy.html
_RETRIES = aws.cloudwatch.EventTargetRetryPolicyArgs(maximum_event_age_in_seconds=24 * 3600, maximum_retry_attempts=185)


@dataclass(frozen=True)
class FindingAlertsArgs:
    """What :class:`FindingAlerts` takes."""

    stack: str
    """the stack's name, after which everything is named"""
    emails: Sequence[str]
    """addresses that get the mail"""
    kms_key_arn: pulumi.Input[str] | None = None
    """key of the topics and the queue, if ``settings.kms_key_arn`` names none; its policy lets EventBridge use it (see
    :class:`components.encryption.EncryptionKey`)"""
    settings: AlertSettings = field(default_factory=AlertSettings)
    """what is sent, and to whom besides"""
    finding_types: Sequence[str] = ("*",)
    """exact types, families by a trailing ``*``, or ``*``"""
    minimum_severity: SeverityName = "medium"
    """lowest severity that alerts: low, medium, high or critical"""
    log_group_name: str | None = None
    """log group of the flow logs the mail links to"""
    dashboard_name: str | None = None
    """dashboard the mail links to"""
    permissions_boundary: str | None = None
    """ARN of the policy that no role may exceed"""
    location: pulumi.Output[Location] | None = None


class FindingAlerts(pulumi.ComponentResource):
    """Sends GuardDuty findings of chosen types and severities to people, chat channels and machines.

    People and chat get what the state machine writes, machines the event as it is, which does not depend on it. What a
    target of a rule or the state machine cannot deliver goes to the dead-letter queue.

    Creates: the rules with their targets and the role by which they start the state machine; :class:`AlertFormatter`;
    a topic for each message format in use, with its policy and subscriptions; :class:`ChatNotifications`, if a channel
    is configured; a dead-letter queue with its policy.
    Raises :class:`ValueError` if nobody would get the alerts, or no key is given.
    """

    topic_arn: pulumi.Output[str]
    """ARN of the topic that mails."""
    topic_names: dict[str, pulumi.Output[str]]
    """Names of the topics, by what they are called within a stack (``topic``, ``topic-raw``, ``topic-slack``...)."""
    state_machine_arn: pulumi.Output[str]
    dead_letter_queue_url: pulumi.Output[str]
    dead_letter_queue_name: pulumi.Output[str]
    rule_names: Mapping[str, pulumi.Output[str]]
    """Names of the rules, by their keys (``findings``, ``findings-2``...)."""

    def __init__(self, name: str, args: FindingAlertsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        settings = args.settings
        if not (args.emails or settings.subscribers or settings.chats):
            raise ValueError("emails: is empty, and so is settings.subscribers; alerts need somebody to go to")
        kms_key_arn = settings.kms_key_arn or args.kms_key_arn
        if kms_key_arn is None:
            raise ValueError("kms_key_arn: is required, unless settings.kms_key_arn is set")
        super().__init__("threat-monitor:index:FindingAlerts", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        location = location_of(self, args.location)

        rules = _rules(name, args, child)
        rule_arns = [arn_of(location, "events", rule.name, "rule/") for rule in rules.values()]
        queue, queue_access = _dead_letter_queue(name, args.stack, kms_key_arn, location, rule_arns, child)
        addresses = [AlertSubscriber(protocol="email", endpoint=address) for address in args.emails]
        subscribers = [*addresses, *settings.subscribers]
        topics = _topics(name, args.stack, subscribers, kms_key_arn, location, rule_arns, child)
        channels: dict[FormattedChannel, pulumi.Output[str]] = {"mail": topics["text"].arn}
        self.topic_names = {TOPICS[message_format]: made.topic.name for message_format, made in topics.items()}
        if settings.chats:
            chat = ChatNotifications(
                f"{name}-chat",
                ChatNotificationsArgs(
                    stack=args.stack,
                    kms_key_arn=kms_key_arn,
                    slack=settings.slack,
                    teams=settings.teams,
                    permissions_boundary=args.permissions_boundary,
                    location=location,
                ),
                child,
            )
            channels.update(chat.topic_arns)
            self.topic_names.update(chat.topic_names)
        formatter = AlertFormatter(
            f"{name}-formatter",
            AlertFormatterArgs(
                stack=args.stack,
                topic_arns=channels,
                dead_letter_queue_arn=arn_of(location, "sqs", queue.name),
                dead_letter_queue_url=queue.url,
                kms_key_arn=kms_key_arn,
                settings=settings,
                log_group_name=args.log_group_name,
                dashboard_name=args.dashboard_name,
                permissions_boundary=args.permissions_boundary,
                location=location,
            ),
            child,
        )
        targets = {"": _started(name, args, location, rule_arns, formatter.state_machine_arn, child)}
        if "raw" in topics:
            targets["-raw"] = _Target(RAW_TARGET, topics["raw"].topic.arn, topics["raw"].policy)
        for suffix, target in targets.items():
            # Without these permissions EventBridge would drop what it cannot deliver.
            permitted = pulumi.ResourceOptions(parent=self, depends_on=[target.permissions, queue_access])
            for key, rule in rules.items():
                aws.cloudwatch.EventTarget(
                    f"{name}-{key}{suffix}",
                    target_id=target.id,
                    rule=rule.name,
                    arn=target.arn,
                    role_arn=target.role_arn,
                    dead_letter_config=aws.cloudwatch.EventTargetDeadLetterConfigArgs(arn=queue.arn),
                    retry_policy=_RETRIES,
                    opts=permitted,
                )

        self.topic_arn = topics["text"].topic.arn
        self.state_machine_arn = formatter.state_machine_arn
        self.dead_letter_queue_url = queue.url
        self.dead_letter_queue_name = queue.name
        self.rule_names = {key: rule.name for key, rule in rules.items()}
        self.register_outputs(
            {
                "topicArn": self.topic_arn,
                "stateMachineArn": self.state_machine_arn,
                "deadLetterQueueUrl": self.dead_letter_queue_url,
                "ruleNames": list(self.rule_names.values()),
            }
        )


class _Target(NamedTuple):
    """What each rule sends to, and the permissions that it takes."""

    id: str
    arn: pulumi.Output[str]
    permissions: pulumi.Resource
    role_arn: pulumi.Output[str] | None = None


def _rules(name: str, args: FindingAlertsArgs, opts: pulumi.ResourceOptions) -> dict[str, aws.cloudwatch.EventRule]:
    return {
        rule.key: aws.cloudwatch.EventRule(
            f"{name}-{rule.key}",
            name=names.physical(args.stack, f"{name}-{rule.key}"),
            description=f"GuardDuty findings, for {name}",
            event_pattern=compact(rule.pattern),
            state="ENABLED",
            opts=opts,
        )
        for rule in alert_rules(
            args.finding_types,
            args.minimum_severity,
            include_samples=args.settings.include_samples,
            include_archived=args.settings.include_archived,
        )
    }


def _dead_letter_queue(
    name: str,
    stack: str,
    kms_key_arn: pulumi.Input[str],
    location: pulumi.Output[Location],
    rule_arns: Sequence[pulumi.Output[str]],
    opts: pulumi.ResourceOptions,
) -> tuple[aws.sqs.Queue, aws.sqs.QueuePolicy]:
    queue = aws.sqs.Queue(
        f"{name}-dead-letters",
        name=names.physical(stack, f"{name}-dead-letters"),
        message_retention_seconds=DEAD_LETTER_SECONDS,
        max_message_size=DEAD_LETTER_BYTES,
        kms_master_key_id=kms_key_arn,
        opts=opts,
    )
    policy = json_of(queue_policy, queue_arn=arn_of(location, "sqs", queue.name), rule_arns=list(rule_arns))
    return queue, aws.sqs.QueuePolicy(f"{name}-dead-letters-policy", queue_url=queue.url, policy=policy, opts=opts)


def _topics(
    name: str,
    stack: str,
    subscribers: Sequence[AlertSubscriber],
    kms_key_arn: pulumi.Input[str],
    location: pulumi.Output[Location],
    rule_arns: Sequence[pulumi.Output[str]],
    opts: pulumi.ResourceOptions,
) -> dict[MessageFormat, AlertTopic]:
    """Make a topic for the mail, whoever is subscribed, and one for raw events if somebody wants them."""
    topics: dict[MessageFormat, AlertTopic] = {
        "text": alert_topic(f"{name}-{TOPICS['text']}", stack, kms_key_arn, location, opts)
    }
    if any(subscriber.format == "raw" for subscriber in subscribers):
        raw = f"{name}-{TOPICS['raw']}"
        topics["raw"] = alert_topic(raw, stack, kms_key_arn, location, opts, rule_arns=rule_arns)
    for subscriber in subscribers:
        filtered = filter_policy(subscriber.format, subscriber.minimum_severity)
        aws.sns.TopicSubscription(
            f"{name}-{_subscription_name(subscriber)}",
            topic=topics[subscriber.format].topic.arn,
            protocol=subscriber.protocol,
            # An address is no secret, as the resource's name shows it.
            endpoint=subscriber.endpoint if _is_address(subscriber) else pulumi.Output.secret(subscriber.endpoint),
            filter_policy=json.dumps(filtered) if filtered else None,
            filter_policy_scope=filter_scope(subscriber.format) if filtered else None,
            opts=opts,
        )
    return topics


def _started(
    name: str,
    args: FindingAlertsArgs,
    location: pulumi.Output[Location],
    rule_arns: Sequence[pulumi.Output[str]],
    state_machine_arn: pulumi.Output[str],
    opts: pulumi.ResourceOptions,
) -> _Target:
    """Make the role by which the rules start the state machine, and return what they send to."""
    role = aws.iam.Role(
        f"{name}-start-role",
        name=role_name(location, args.stack, f"{name}-start-role"),
        description=f"Starts the state machine of {name}",
        assume_role_policy=json_of(start_trust, location=location, rule_arns=list(rule_arns)),
        permissions_boundary=args.permissions_boundary,
        opts=opts,
    )
    policy = json_of(start_execution, state_machine_arn=state_machine_arn)
    permissions = aws.iam.RolePolicy(
        f"{name}-start-policy", name=f"{name}-start-policy", role=role.name, policy=policy, opts=opts
    )
    return _Target(MACHINE_TARGET, state_machine_arn, permissions, role.arn)


def _subscription_name(subscriber: AlertSubscriber) -> str:
    """Return a name that follows the subscriber, not its place in a list, and that shows no token."""
    if _is_address(subscriber):
        return subscriber.endpoint
    digest = hashlib.sha256(f"{subscriber.protocol} {subscriber.endpoint} {subscriber.format}".encode()).hexdigest()
    return f"{subscriber.protocol}-{digest[:8]}"


def _is_address(subscriber: AlertSubscriber) -> bool:
    return subscriber.protocol == "email" and subscriber.format == "text"
