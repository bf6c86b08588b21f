"""Who gets a message that was published to a topic."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from threatmon.emulator.messages import filterable
from threatmon.evaluation.event_matcher import matches

if TYPE_CHECKING:
    from threatmon.emulator.account import EmulatedAccount

DEFAULT_SUBJECT = "AWS Notification Message"


@dataclass(frozen=True)
class Notification:
    """A message as a subscriber gets it."""

    protocol: str
    endpoint: str
    subject: str
    body: str


def notifications(account: "EmulatedAccount", published: Mapping[str, Any]) -> Iterator[Notification]:
    """Yield what each subscriber gets, given the parameters of `Publish`; moto would post to https endpoints."""
    for subscription in account.backend("sns").subscriptions.values():
        attributes = subscription.attributes
        is_confirmed = not attributes["PendingConfirmation"]
        if subscription.topic.arn == published["TopicArn"] and is_confirmed and _lets_through(attributes, published):
            yield Notification(
                subscription.protocol,
                subscription.endpoint,
                published.get("Subject", DEFAULT_SUBJECT),
                published["Message"],
            )


def _lets_through(subscription: Mapping[str, Any], published: Mapping[str, Any]) -> bool:
    """Return whether a subscription's filter policy lets a message through.

    https://docs.aws.amazon.com/sns/latest/dg/sns-subscription-filter-policies.html
    """
    policy = json.loads(subscription.get("FilterPolicy") or "{}")
    if not policy:
        return True
    if subscription.get("FilterPolicyScope") == "MessageBody":
        values = _parsed(published["Message"])
    else:
        values = filterable(published.get("MessageAttributes", {}))
    return isinstance(values, Mapping) and matches(policy, values)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
