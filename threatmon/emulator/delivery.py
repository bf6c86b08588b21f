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
class FailedDelivery:
    """What a target of a rule did not take, and why."""

    rule: str
    error_code: str


@dataclass(frozen=True)
class Notification:
    """A message as a subscriber gets it."""

    protocol: str
    endpoint: str
    subject: str
    body: str


@dataclass
class EventDelivery:
    """What became of an event."""

    event: Mapping[str, Any]
    stopped_by: dict[str, str | None] = field(default_factory=dict[str, str | None])
    """rule -> the condition that stopped the event, None if the rule let it through"""
    notifications: list[Notification] = field(default_factory=list[Notification])
    dead_letters: list[FailedDelivery] = field(default_factory=list[FailedDelivery])
    """what the dead-letter queue took"""
    lost: list[FailedDelivery] = field(default_factory=list[FailedDelivery])
    """what it did not take either"""

    @property
    def matched(self) -> bool:
        """Whether a rule let the event through."""
        return None in self.stopped_by.values()


# SNS gives this subject to what EventBridge publishes, because EventBridge cannot set one.
_SUBJECT = "AWS Notification Message"


def deliver(account: EmulatedAccount, event: Mapping[str, Any]) -> EventDelivery:
    """Send an event to the account's default bus, and return what becomes of it."""
    return next(deliver_all(account, [event]))


def deliver_all(account: EmulatedAccount, events: Iterable[Mapping[str, Any]]) -> Iterator[EventDelivery]:
    """Send events to the account's default bus one by one; its configuration is read once."""
    return map(_Bus(account).deliver, events)


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
            delivery.stopped_by[rule["Name"]] = stopped_by
            if stopped_by:
                continue
            for target in self._read("events", "list_targets_by_rule", Rule=rule["Name"])["Targets"]:
                message, error_code = self._message(rule, target, event)
                if error_code is None:
                    delivery.notifications += self._received(target["Arn"], message)
                else:
                    queued = self._dead_letter(rule["Arn"], target, event, error_code)
                    (delivery.dead_letters if queued else delivery.lost).append(
                        FailedDelivery(rule["Name"], error_code)
                    )
        return delivery

    def _message(
        self, rule: Mapping[str, Any], target: Mapping[str, Any], event: Mapping[str, Any]
    ) -> tuple[str, str | None]:
        """Return what a target gets, and the error code if it cannot take it."""
        arn, message = target["Arn"], _written(event)
        try:
            if "InputTransformer" in target:
                transformer = target["InputTransformer"]
                message = render(Transformer(transformer["InputPathsMap"], transformer["InputTemplate"]), event)
            sendable(message)
        except InvalidMessageError as error:
            return message, error.code
        topic = self._read("sns", "get_topic_attributes", TopicArn=arn)["Attributes"]
        allowed = may_publish(topic["Policy"], rule["Arn"], "sns:Publish", arn)
        served = allowed and self._key_serves(topic.get("KmsMasterKeyId"))
        return message, None if served else "NO_PERMISSIONS"

    def _key_serves(self, key_id: str | None) -> bool:
        """Return whether EventBridge may use the key of a topic or queue; without a key, nothing is encrypted."""
        if not key_id:
            return True
        policy = self._read("kms", "get_key_policy", KeyId=key_id, PolicyName="default")["Policy"]
        return may_use_key(policy, "events.amazonaws.com")

    def _received(self, topic_arn: str, message: str) -> list[Notification]:
        """Return what each confirmed subscriber gets; moto is not asked, for it would post to https endpoints."""
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
