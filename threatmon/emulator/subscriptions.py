"""Who gets a message that was published to a topic."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from threatmon.emulator.inside import Account, Notification
from threatmon.emulator.messages import filterable
from threatmon.evaluation.event_matcher import matches

DEFAULT_SUBJECT = "AWS Notification Message"


def notifications(account: Account, published: Mapping[str, Any]) -> Iterator[Notification]:
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
