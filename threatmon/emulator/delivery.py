"""What EventBridge and SNS do with an event, on the rules, targets and policies as the account stores them.

moto's EventBridge neither fills input templates nor asks anyone's permission, so both are done here.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any
from unittest.mock import patch

from threatmon.emulator.account import EmulatedAccount
from threatmon.evaluation.event_matcher import mismatch
from threatmon.evaluation.policy_evaluator import may_publish, may_use_key
from threatmon.model.email import InvalidMessageError, Transformer, render, sendable


@dataclass(frozen=True)
class Verdict:
    """Whether a rule let the event through: ``reason`` is the condition that stopped it, None if none did."""

    rule: str
    reason: str | None


@dataclass(frozen=True)
class Delivery:
    """One attempt of a rule at a target: ``error_code`` is None where the target took the message."""

    rule: str
    target_arn: str
    message: str
    error_code: str | None = None


@dataclass(frozen=True)
class Notification:
    """A message as a subscriber gets it."""

    protocol: str
    endpoint: str
    subject: str
    body: str


@dataclass
class Journey:
    """An event's way: through which rules, to which targets, to whom, and what ended in a dead-letter queue."""

    verdicts: list[Verdict] = field(default_factory=list[Verdict])
    deliveries: list[Delivery] = field(default_factory=list[Delivery])
    notifications: list[Notification] = field(default_factory=list[Notification])
    dead_letters: list[Delivery] = field(default_factory=list[Delivery])

    @property
    def lost(self) -> list[Delivery]:
        """What neither a target nor a dead-letter queue took."""
        return [d for d in self.deliveries if d.error_code and d not in self.dead_letters]


# SNS gives this subject to what EventBridge publishes, because EventBridge cannot set one.
_SUBJECT = "AWS Notification Message"


def deliver(account: EmulatedAccount, event: Mapping[str, Any]) -> Journey:
    """Sends an event to the account's default bus and follows it."""
    journey = Journey()
    events = account.client("events")
    for rule in sorted(events.list_rules()["Rules"], key=itemgetter("Name")):
        enabled = rule["State"] == "ENABLED"
        reason = mismatch(json.loads(rule["EventPattern"]), event) if enabled else "the rule is disabled"
        journey.verdicts.append(Verdict(rule["Name"], reason))
        if reason is None:
            for target in events.list_targets_by_rule(Rule=rule["Name"])["Targets"]:
                _hand_over(account, rule, target, event, journey)
    return journey


def _hand_over(
    account: EmulatedAccount, rule: Mapping[str, Any], target: Mapping[str, Any], event: Mapping[str, Any], to: Journey
) -> None:
    delivery = _attempt(account, rule, target, event)
    to.deliveries.append(delivery)
    if delivery.error_code is None:
        to.notifications += _published(account, target["Arn"], delivery.message)
    elif _dead_letter(account, rule["Arn"], target, event, delivery):
        to.dead_letters.append(delivery)


def _attempt(
    account: EmulatedAccount, rule: Mapping[str, Any], target: Mapping[str, Any], event: Mapping[str, Any]
) -> Delivery:
    arn = target["Arn"]
    topic = account.client("sns").get_topic_attributes(TopicArn=arn)["Attributes"]
    message = _written(event)
    try:
        if "InputTransformer" in target:
            transformer = target["InputTransformer"]
            message = render(Transformer(transformer["InputPathsMap"], transformer["InputTemplate"]), event)
        sendable(message)
    except InvalidMessageError as error:
        return Delivery(rule["Name"], arn, message, error.code)
    allowed = may_publish(topic["Policy"], rule["Arn"], "sns:Publish", arn)
    if not allowed or not _key_serves(account, topic.get("KmsMasterKeyId")):
        return Delivery(rule["Name"], arn, message, "NO_PERMISSIONS")
    return Delivery(rule["Name"], arn, message)


def _written(event: Mapping[str, Any]) -> str:
    """The event as EventBridge writes it: compact, in UTF-8, escaped only where it must be."""
    text = json.dumps(event, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8", "backslashreplace").decode()  # half of a surrogate pair


def _key_serves(account: EmulatedAccount, key_id: str | None) -> bool:
    """Whether EventBridge may use the key of a topic or queue (none: nothing is encrypted)."""
    if not key_id:
        return True
    policy = account.client("kms").get_key_policy(KeyId=key_id, PolicyName="default")["Policy"]
    return may_use_key(policy, "events.amazonaws.com")


def _published(account: EmulatedAccount, topic_arn: str, message: str) -> list[Notification]:
    """What the topic's subscribers get, as the topic has it; whoever has not confirmed gets nothing."""
    sns = account.client("sns")
    # moto would post to https endpoints for real, and look for queues of other accounts.
    with patch("moto.sns.models.Subscription.publish"):
        sns.publish(TopicArn=topic_arn, Message=message)
    _, body, subject, *_ = account.backend("sns").topics[topic_arn].sent_notifications[-1]
    subscriptions = sns.list_subscriptions_by_topic(TopicArn=topic_arn)["Subscriptions"]
    return [
        Notification(subscription["Protocol"], subscription["Endpoint"], subject or _SUBJECT, body)
        for subscription in subscriptions
        if subscription["SubscriptionArn"] != "PendingConfirmation"
    ]


def _dead_letter(
    account: EmulatedAccount,
    rule_arn: str,
    target: Mapping[str, Any],
    event: Mapping[str, Any],
    delivery: Delivery,
) -> bool:
    """Whether the target's dead-letter queue took the event."""
    queue_arn = target.get("DeadLetterConfig", {}).get("Arn")
    if not queue_arn:
        return False
    sqs = account.client("sqs")
    url = sqs.get_queue_url(QueueName=queue_arn.split(":")[-1])["QueueUrl"]
    queue = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    if not may_publish(queue.get("Policy", "{}"), rule_arn, "sqs:SendMessage", queue_arn):
        return False
    if not _key_serves(account, queue.get("KmsMasterKeyId")):
        return False
    # https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html
    attributes = {"RULE_ARN": rule_arn, "TARGET_ARN": target["Arn"], "ERROR_CODE": str(delivery.error_code)}
    body = _written(event)
    # Attributes count, by name, type and value.
    size = len(body.encode()) + sum(len(f"{name}String{value}") for name, value in attributes.items())
    if size > int(queue["MaximumMessageSize"]):
        return False
    sqs.send_message(
        QueueUrl=url,
        MessageBody=body,
        MessageAttributes={k: {"DataType": "String", "StringValue": v} for k, v in attributes.items()},
    )
    return True
