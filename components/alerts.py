"""The alerts: EventBridge rules on findings, SNS topics, subscriptions, a dead-letter queue."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi
import pulumi_aws as aws

from components.location import location_of
from components.outputs import json_of
from threatmon.model.channels import by_channel
from threatmon.model.email import mail
from threatmon.model.event_patterns import AlertRule, alert_rules, compact
from threatmon.model.location import Location
from threatmon.model.policies import queue_policy, topic_policy
from threatmon.model.settings import AlertSettings, AlertSubscriber
from threatmon.model.severity import SeverityName

_FOURTEEN_DAYS = 14 * 24 * 3600  # the most SQS keeps a message
_ONE_MEBIBYTE = 1024 * 1024  # the most SQS takes; the provider's 256 KiB would lose larger events
# EventBridge's own defaults, stated so that a review sees them:
# https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-retry-policy.html
_RETRIES = aws.cloudwatch.EventTargetRetryPolicyArgs(maximum_event_age_in_seconds=24 * 3600, maximum_retry_attempts=185)


@dataclass(frozen=True)
class FindingAlertsArgs:
    """What :class:`FindingAlerts` takes."""

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
    location: pulumi.Output[Location] | None = None


class FindingAlerts(pulumi.ComponentResource):
    """Mails GuardDuty findings of chosen types and severities to people.

    One rule for each severity band, so that the mail can name it; every target has a dead-letter queue for what cannot
    be delivered.

    Creates: a topic for each message format and lowest severity in use, with its policy and subscriptions; a
    dead-letter queue with its policy; the rules with their targets.
    Raises :class:`ValueError` if nobody would get the alerts, or no key is given.
    """

    topic_arn: pulumi.Output[str]
    """ARN of the topic that mails."""
    topic_names: Mapping[str, pulumi.Output[str]]
    """Names of the topics, by their channel (``topic``, ``topic-raw``, ``topic-high``...), that of the mail first."""
    dead_letter_queue_url: pulumi.Output[str]
    dead_letter_queue_name: pulumi.Output[str]
    rule_names: Mapping[str, pulumi.Output[str]]
    """Names of the rules, by their severity band (``high``, ``high-2``...)."""

    def __init__(self, name: str, args: FindingAlertsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        if not args.emails and not args.settings.subscribers:
            raise ValueError("emails: is empty, and so is settings.subscribers; alerts need somebody to go to")
        kms_key_arn = args.settings.kms_key_arn or args.kms_key_arn
        if kms_key_arn is None:
            raise ValueError("kms_key_arn: is required, unless settings.kms_key_arn is set")
        super().__init__("threat-monitor:index:FindingAlerts", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        location = location_of(self, args.location)

        alerting = alert_rules(
            args.finding_types,
            args.minimum_severity,
            include_samples=args.settings.include_samples,
            include_archived=args.settings.include_archived,
        )
        rules = {
            rule.key: aws.cloudwatch.EventRule(
                f"{name}-{rule.key}",
                description=f"GuardDuty findings of {rule.band.name} severity, for {name}",
                event_pattern=compact(rule.pattern),
                opts=child,
            )
            for rule in alerting
        }
        rule_arns = [rule.arn for rule in rules.values()]

        queue = aws.sqs.Queue(
            f"{name}-dead-letters",
            message_retention_seconds=_FOURTEEN_DAYS,
            max_message_size=_ONE_MEBIBYTE,
            kms_master_key_id=kms_key_arn,
            opts=child,
        )
        queue_access = aws.sqs.QueuePolicy(
            f"{name}-dead-letters-policy",
            queue_url=queue.url,
            policy=json_of(queue_policy, queue_arn=queue.arn, rule_arns=rule_arns),
            opts=child,
        )

        topics: dict[str, aws.sns.Topic] = {}
        addresses = [AlertSubscriber(protocol="email", endpoint=address) for address in args.emails]
        channels = by_channel([*addresses, *args.settings.subscribers], usual=args.minimum_severity)
        for channel, subscribers in channels.items():
            word, suffix = channel.topic(args.minimum_severity), channel.suffix(args.minimum_severity)
            topic = topics[word] = aws.sns.Topic(
                f"{name}-{word}", display_name="GuardDuty alerts", kms_master_key_id=kms_key_arn, opts=child
            )
            access = aws.sns.TopicPolicy(
                f"{name}-{word}-policy",
                arn=topic.arn,
                policy=json_of(topic_policy, topic_arn=topic.arn, owner=location.root, rule_arns=rule_arns),
                opts=child,
            )
            # Without these permissions EventBridge would drop what it cannot deliver.
            permitted = pulumi.ResourceOptions(parent=self, depends_on=[access, queue_access])
            for rule in alerting:
                if channel.takes(rule.band):
                    aws.cloudwatch.EventTarget(
                        f"{name}-{rule.key}{suffix}",
                        rule=rules[rule.key].name,
                        arn=topic.arn,
                        input_transformer=_transformer(rule, location, args) if channel.format == "text" else None,
                        dead_letter_config=aws.cloudwatch.EventTargetDeadLetterConfigArgs(arn=queue.arn),
                        retry_policy=_RETRIES,
                        opts=permitted,
                    )
            for subscriber in subscribers:
                aws.sns.TopicSubscription(
                    f"{name}-{_subscription_name(subscriber)}",
                    topic=topic.arn,
                    protocol=subscriber.protocol,
                    # An address is no secret, as the resource's name shows it.
                    endpoint=subscriber.endpoint
                    if _is_address(subscriber)
                    else pulumi.Output.secret(subscriber.endpoint),
                    opts=child,
                )

        self.topic_arn = next(iter(topics.values())).arn
        self.topic_names = {key: topic.name for key, topic in topics.items()}
        self.dead_letter_queue_url = queue.url
        self.dead_letter_queue_name = queue.name
        self.rule_names = {key: rule.name for key, rule in rules.items()}
        self.register_outputs(
            {
                "topicArn": self.topic_arn,
                "deadLetterQueueUrl": self.dead_letter_queue_url,
                "ruleNames": list(self.rule_names.values()),
            }
        )


def _transformer(
    rule: AlertRule, location: pulumi.Output[Location], args: FindingAlertsArgs
) -> aws.cloudwatch.EventTargetInputTransformerArgs:
    shown = (args.settings.account_alias, args.log_group_name, args.dashboard_name)
    transformer = location.partition.apply(lambda partition: mail(rule.band, partition, *shown))
    return aws.cloudwatch.EventTargetInputTransformerArgs(
        input_paths=transformer.input_paths, input_template=transformer.input_template
    )


def _subscription_name(subscriber: AlertSubscriber) -> str:
    """Return a name that follows the subscriber, not its place in a list, and that shows no token."""
    if _is_address(subscriber):
        return subscriber.endpoint
    digest = hashlib.sha256(f"{subscriber.protocol} {subscriber.endpoint} {subscriber.format}".encode()).hexdigest()
    return f"{subscriber.protocol}-{digest[:8]}"


def _is_address(subscriber: AlertSubscriber) -> bool:
    return subscriber.protocol == "email" and subscriber.format == "text"
