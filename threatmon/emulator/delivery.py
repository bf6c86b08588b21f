"""What EventBridge and SNS do with an event, by the rules, targets and policies that the account holds.

moto's EventBridge neither fills input templates nor checks permissions, so both are done here.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from operator import itemgetter
from typing import Any

from threatmon.emulator.account import EmulatedAccount
from threatmon.evaluation.event_matcher import mismatch
from threatmon.evaluation.policy_evaluator import may_publish, may_use_key
from threatmon.model.email import InvalidMessageError, Transformer, render, sendable


@dataclass(frozen=True)
class RuleMatch:
    """Says which condition of a rule stopped the event; None if the rule let it through."""

    rule: str
    stopped_by: str | None


@dataclass(frozen=True)
class DeliveryAttempt:
    """One attempt of a rule at a target: ``error_code`` is None if the target took the message."""

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
class EventDelivery:
    """What became of an event: which rules matched, what was tried, who got a message, what the queue took."""

    event: Mapping[str, Any]
    rules: list[RuleMatch] = field(default_factory=list[RuleMatch])
    attempts: list[DeliveryAttempt] = field(default_factory=list[DeliveryAttempt])
    notifications: list[Notification] = field(default_factory=list[Notification])
    dead_letters: list[DeliveryAttempt] = field(default_factory=list[DeliveryAttempt])

    @property
    def matched(self) -> bool:
        """Whether a rule let the event through."""
        return any(match.stopped_by is None for match in self.rules)

    @property
    def lost(self) -> list[DeliveryAttempt]:
        """What neither a target nor a dead-letter queue took."""
        return [attempt for attempt in self.attempts if attempt.error_code and attempt not in self.dead_letters]


# SNS gives this subject to what EventBridge publishes, because EventBridge cannot set one.
_SUBJECT = "AWS Notification Message"


def deliver(account: EmulatedAccount, event: Mapping[str, Any]) -> EventDelivery:
    """Send an event to the account's default bus, and return what becomes of it."""
    return next(deliver_all(account, [event]))


def deliver_all(account: EmulatedAccount, events: Iterable[Mapping[str, Any]]) -> Iterator[EventDelivery]:
    """Send events to the account's default bus one by one; its configuration is read once."""
    bus = _Bus(account)
    return map(bus.deliver, events)


class _Bus:
    """The default bus of an account, which asks for each part of the configuration once."""

    def __init__(self, account: EmulatedAccount) -> None:
        self._account = account
        self._read = cache(
            lambda service, operation, **parameters: getattr(account.client(service), operation)(**parameters)
        )

    def deliver(self, event: Mapping[str, Any]) -> EventDelivery:
        delivery = EventDelivery(event)
        for rule in sorted(self._read("events", "list_rules")["Rules"], key=itemgetter("Name")):
            enabled = rule["State"] == "ENABLED"
            stopped_by = mismatch(json.loads(rule["EventPattern"]), event) if enabled else "the rule is disabled"
            delivery.rules.append(RuleMatch(rule["Name"], stopped_by))
            if stopped_by:
                continue
            for target in self._read("events", "list_targets_by_rule", Rule=rule["Name"])["Targets"]:
                attempt = self._attempt(rule, target, event)
                delivery.attempts.append(attempt)
                if attempt.error_code is None:
                    delivery.notifications += self._published(target["Arn"], attempt.message)
                elif self._dead_letter(rule["Arn"], target, event, attempt.error_code):
                    delivery.dead_letters.append(attempt)
        return delivery

    def _attempt(self, rule: Mapping[str, Any], target: Mapping[str, Any], event: Mapping[str, Any]) -> DeliveryAttempt:
        arn = target["Arn"]
        message = _written(event)
        try:
            if "InputTransformer" in target:
                transformer = target["InputTransformer"]
                message = render(Transformer(transformer["InputPathsMap"], transformer["InputTemplate"]), event)
            sendable(message)
        except InvalidMessageError as error:
            return DeliveryAttempt(rule["Name"], arn, message, error.code)
        topic = self._read("sns", "get_topic_attributes", TopicArn=arn)["Attributes"]
        allowed = may_publish(topic["Policy"], rule["Arn"], "sns:Publish", arn)
        served = allowed and self._key_serves(topic.get("KmsMasterKeyId"))
        return DeliveryAttempt(rule["Name"], arn, message, None if served else "NO_PERMISSIONS")

    def _key_serves(self, key_id: str | None) -> bool:
        """Return whether EventBridge may use the key of a topic or queue; without a key, nothing is encrypted."""
        if not key_id:
            return True
        policy = self._read("kms", "get_key_policy", KeyId=key_id, PolicyName="default")["Policy"]
        return may_use_key(policy, "events.amazonaws.com")

    def _published(self, topic_arn: str, message: str) -> list[Notification]:
        """Return what each subscriber who has confirmed gets. moto would post to https endpoints, so nothing is sent."""
        return [
            Notification(subscription["Protocol"], subscription["Endpoint"], _SUBJECT, message)
            for subscription in self._read("sns", "list_subscriptions_by_topic", TopicArn=topic_arn)["Subscriptions"]
            if subscription["SubscriptionArn"] != "PendingConfirmation"
        ]

    def _dead_letter(self, rule_arn: str, target: Mapping[str, Any], event: Mapping[str, Any], error_code: str) -> bool:
        """Return whether the target's dead-letter queue took the event."""
        queue_arn = target.get("DeadLetterConfig", {}).get("Arn")
        if not queue_arn:
            return False
        url = self._read("sqs", "get_queue_url", QueueName=queue_arn.split(":")[-1])["QueueUrl"]
        # A tuple, not a list, because answers are kept by their parameters.
        queue = self._read("sqs", "get_queue_attributes", QueueUrl=url, AttributeNames=("All",))["Attributes"]
        allowed = may_publish(queue.get("Policy", "{}"), rule_arn, "sqs:SendMessage", queue_arn)
        if not allowed or not self._key_serves(queue.get("KmsMasterKeyId")):
            return False
        # https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html
        attributes = {"RULE_ARN": rule_arn, "TARGET_ARN": target["Arn"], "ERROR_CODE": error_code}
        body = _written(event)
        # The name, type and value of each attribute count.
        size = len(body.encode()) + sum(len(f"{name}String{value}") for name, value in attributes.items())
        if size > int(queue["MaximumMessageSize"]):
            return False
        self._account.client("sqs").send_message(
            QueueUrl=url,
            MessageBody=body,
            MessageAttributes={
                name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
            },
        )
        return True


def _written(event: Mapping[str, Any]) -> str:
    """Return the event as EventBridge writes it: compact, in UTF-8, with no escape that is not needed."""
    text = json.dumps(event, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8", "backslashreplace").decode()  # half of a surrogate pair
