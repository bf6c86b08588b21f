"""The recipients of a stack's alerts, and their subscriptions to its topics."""

from collections.abc import Sequence
from typing import NamedTuple

from threatmon.aws.reader import Answer
from threatmon.model.channels import CHAT_ENDPOINT, TOPICS, FormattedChannel, MessageFormat, topic_of
from threatmon.model.settings import SECRET_PLACEHOLDER, Settings
from threatmon.model.severity import SeverityName


class Recipient(NamedTuple):
    """Somebody to be subscribed. ``name`` is fit to be printed; ``endpoint`` is None if it is a secret unknown here."""

    name: str
    protocol: str
    endpoint: str | None
    format: MessageFormat = "text"
    minimum_severity: SeverityName | None = None


def recipients(settings: Settings) -> dict[str, list[Recipient]]:
    """Return who gets the alerts, by what their topic is called within the stack (``topic-raw``)."""
    further = [
        Recipient(
            subscriber.endpoint
            if (subscriber.protocol, subscriber.format) == ("email", "text")
            else f"alerts.subscribers[{index}] ({subscriber.protocol})",
            subscriber.protocol,
            None if subscriber.endpoint == SECRET_PLACEHOLDER else subscriber.endpoint,
            subscriber.format,
            subscriber.minimum_severity,
        )
        for index, subscriber in enumerate(settings.alerts.subscribers)
    ]
    by_topic: dict[str, list[Recipient]] = {TOPICS["text"]: []}
    for recipient in [*by_email(settings.alert_emails), *further]:
        by_topic.setdefault(TOPICS[recipient.format], []).append(recipient)
    return by_topic | {
        topic_of(channel): [
            Recipient("chat application", "https", CHAT_ENDPOINT, minimum_severity=chat.minimum_severity)
        ]
        for channel, chat in settings.alerts.chats.items()
    }


def formatted_topics(settings: Settings) -> dict[FormattedChannel, str]:
    """Return the channels that the state machine formats for, each with what its topic is called."""
    return {channel: topic_of(channel) for channel in settings.alerts.channels}


def by_email(addresses: Sequence[str]) -> list[Recipient]:
    """Return a recipient for each address."""
    return [Recipient(address, "email", address) for address in addresses]


def subscriptions_of(wanted: Sequence[Recipient], answers: Sequence[Answer]) -> list[Answer | None]:
    """Return the subscription of each recipient among those of ListSubscriptionsByTopic, or None.

    It is found by endpoint; a recipient whose endpoint is secret takes what is left of its protocol.
    """
    # What was unsubscribed is listed as Deleted for up to three days.
    left = [answer for answer in answers if answer["SubscriptionArn"] != "Deleted"]
    found: list[Answer | None] = [None] * len(wanted)
    for index, recipient in sorted(enumerate(wanted), key=lambda entry: entry[1].endpoint is None):
        found[index] = next((answer for answer in left if _is_of(answer, recipient)), None)
        left = [answer for answer in left if answer is not found[index]]
    return found


def _is_of(answer: Answer, recipient: Recipient) -> bool:
    same = recipient.endpoint is None or answer["Endpoint"].lower() == recipient.endpoint.lower()
    return same and answer["Protocol"] == recipient.protocol
