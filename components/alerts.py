"""The choice and the delivery: EventBridge rules on findings, SNS topics, subscriptions, a dead-letter queue."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components.account import account_of
from threatmon.model.channels import MessageFormat, by_channel
from threatmon.model.email import mail
from threatmon.model.event_patterns import AlertRule, alert_rules, compact
from threatmon.model.location import Location
from threatmon.model.policies import queue_policy, topic_policy
from threatmon.model.severity import SeverityName

_FOURTEEN_DAYS = 14 * 24 * 3600  # the most SQS keeps a message
_ONE_MEBIBYTE = 1024 * 1024  # the most SQS takes; the provider's 256 KiB would lose larger events
_ONE_DAY = 24 * 3600  # EventBridge's own defaults, stated so that a review sees them:
_ATTEMPTS = 185  # https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-retry-policy.html


@dataclass(frozen=True)
class AlertSubscriber:
    """Where alerts go besides the e-mail addresses."""

    protocol: str
    """an SNS protocol: email, email-json, https, sqs, lambda or sms"""
    endpoint: str
    """address, URL, ARN or phone number; all but an address are kept secret, since a URL may hold a token"""
    format: MessageFormat = "text"
    minimum_severity: SeverityName | None = None
    """lowest severity it gets; that of the alerts unless set"""


@dataclass(frozen=True)
class FindingAlertsArgs:
    """What :class:`FindingAlerts` takes."""

    emails: Sequence[str]
    """addresses that get the mail; each has to confirm it"""
    kms_key_arn: pulumi.Input[str]
    """key of the topics and the queue; its policy lets EventBridge use it (see :class:`EncryptionKey`)"""
    finding_types: Sequence[str] = ("*",)
    """exact types, families by a trailing ``*``, or ``*``"""
    minimum_severity: SeverityName = "medium"
    """lowest severity that alerts: low, medium, high or critical"""
    include_samples: bool = True
    """let sample findings through"""
    include_archived: bool = False
    """let findings through that were archived by hand"""
    account_alias: str | None = None
    """name of the account in the mail"""
    log_group_name: str | None = None
    """log group of the flow logs the mail links to"""
    dashboard_name: str | None = None
    """dashboard the mail links to"""
    subscribers: Sequence[AlertSubscriber] = ()
    """further subscribers"""
    account: pulumi.Output[Location] | None = None
    """where it is deployed, if known already; else the provider is asked"""


class FindingAlerts(pulumi.ComponentResource):
    """Mails GuardDuty findings of chosen types and severities to people.

    One rule for each severity band, so that the mail can name it; every target has a dead-letter queue for what cannot
    be delivered.

    Creates: a topic for each message format and lowest severity in use, with its policy and subscriptions; a
    dead-letter queue with its policy; the rules with their targets.
    """

    topic_arn: pulumi.Output[str]
    """ARN of the topic that mails."""
    topic_names: Mapping[str, pulumi.Output[str]]
    """Names of all topics, each by a word for it."""
    dead_letter_queue_url: pulumi.Output[str]
    """URL of the queue of what could not be delivered."""
    dead_letter_queue_name: pulumi.Output[str]
    """Its name."""
    rule_names: Mapping[str, pulumi.Output[str]]
    """Names of the rules, each by its severity band (``high``, ``high-2``...)."""

    def __init__(self, name: str, args: FindingAlertsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        if not args.emails and not args.subscribers:
            raise ValueError("emails: is empty, and so is subscribers; alerts need somebody to go to")
        super().__init__("threat-monitor:index:FindingAlerts", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        account = account_of(self, args.account)

        wanted = alert_rules(
            args.finding_types,
            args.minimum_severity,
            include_samples=args.include_samples,
            include_archived=args.include_archived,
        )
        rules = {
            rule.key: aws.cloudwatch.EventRule(
                f"{name}-{rule.key}",
                description=f"GuardDuty findings of {rule.band.name} severity, for {name}",
                event_pattern=compact(rule.pattern),
                opts=child,
            )
            for rule in wanted
        }
        rule_arns = pulumi.Output.all(*[rule.arn for rule in rules.values()])

        queue = aws.sqs.Queue(
            f"{name}-dead-letters",
            message_retention_seconds=_FOURTEEN_DAYS,
            max_message_size=_ONE_MEBIBYTE,
            kms_master_key_id=args.kms_key_arn,
            opts=child,
        )
        queue_access = aws.sqs.QueuePolicy(
            f"{name}-dead-letters-policy",
            queue_url=queue.url,
            policy=pulumi.Output.all(queue.arn, rule_arns).apply(lambda it: json.dumps(queue_policy(it[0], it[1]))),
            opts=child,
        )

        subscribers = [*(AlertSubscriber("email", address) for address in args.emails), *args.subscribers]
        topics: dict[str, aws.sns.Topic] = {}
        for channel, listeners in by_channel(subscribers, args.minimum_severity).items():
            suffix = channel.suffix(args.minimum_severity)
            topic = topics[suffix] = aws.sns.Topic(
                f"{name}-topic{suffix}",
                display_name="GuardDuty alerts",
                kms_master_key_id=args.kms_key_arn,
                opts=child,
            )
            access = aws.sns.TopicPolicy(
                f"{name}-topic{suffix}-policy",
                arn=topic.arn,
                policy=pulumi.Output.all(topic.arn, account, rule_arns).apply(
                    lambda it: json.dumps(topic_policy(it[0], it[1].root, it[2]))
                ),
                opts=child,
            )
            # Without these permissions EventBridge would drop what it cannot deliver.
            permitted = pulumi.ResourceOptions(parent=self, depends_on=[access, queue_access])
            for rule in wanted:
                if channel.takes(rule.band):
                    aws.cloudwatch.EventTarget(
                        f"{name}-{rule.key}{suffix}",
                        rule=rules[rule.key].name,
                        arn=topic.arn,
                        input_transformer=_transformer(rule, account, args) if channel.format == "text" else None,
                        dead_letter_config=aws.cloudwatch.EventTargetDeadLetterConfigArgs(arn=queue.arn),
                        retry_policy=aws.cloudwatch.EventTargetRetryPolicyArgs(
                            maximum_event_age_in_seconds=_ONE_DAY, maximum_retry_attempts=_ATTEMPTS
                        ),
                        opts=permitted,
                    )
            for subscriber in listeners:
                aws.sns.TopicSubscription(
                    f"{name}-{_subscription_name(subscriber)}",
                    topic=topic.arn,
                    protocol=subscriber.protocol,
                    endpoint=_endpoint(subscriber),
                    opts=child,
                )

        # The mail of every alert comes first.
        self.topic_arn = next(iter(topics.values())).arn
        self.topic_names = {f"topic{suffix}": topic.name for suffix, topic in topics.items()}
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
    rule: AlertRule, account: pulumi.Output[Location], args: FindingAlertsArgs
) -> aws.cloudwatch.EventTargetInputTransformerArgs:
    template = account.apply(
        lambda account: mail(rule.band, account.partition, args.account_alias, args.log_group_name, args.dashboard_name)
    )
    return aws.cloudwatch.EventTargetInputTransformerArgs(
        input_paths=template.apply(lambda it: it.input_paths),
        input_template=template.apply(lambda it: it.input_template),
    )


def _endpoint(subscriber: AlertSubscriber) -> pulumi.Input[str]:
    """The endpoint, in the clear only where it is an address that the resource's name shows anyway."""
    return subscriber.endpoint if _is_address(subscriber) else pulumi.Output.secret(subscriber.endpoint)


def _subscription_name(subscriber: AlertSubscriber) -> str:
    """A name that follows the subscriber, not its place in a list, and that tells no token."""
    if _is_address(subscriber):
        return subscriber.endpoint
    digest = hashlib.sha256(f"{subscriber.protocol} {subscriber.endpoint} {subscriber.format}".encode()).hexdigest()
    return f"{subscriber.protocol}-{digest[:8]}"


def _is_address(subscriber: AlertSubscriber) -> bool:
    return subscriber.protocol == "email" and subscriber.format == "text"
