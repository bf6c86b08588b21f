"""The channels by which people and machines get alerts, and the filters of their subscriptions."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

from threatmon.model.severity import SeverityName, lowest

# text: the mail for people; raw: the event as EventBridge has it.
MessageFormat = Literal["text", "raw"]
# What the state machine sends to.
FormattedChannel = Literal["mail", "slack", "teams"]
CHANNELS: Sequence[FormattedChannel] = get_args(FormattedChannel)

TOPICS: Mapping[MessageFormat, str] = {"text": "topic", "raw": "topic-raw"}
"""What the topic of each format is called within a stack."""

MACHINE_TARGET, RAW_TARGET = "state-machine", "raw"
"""The ids of a rule's targets: the state machine, and the topic of raw events"""

DEAD_LETTER_SECONDS = 14 * 24 * 3600
"""How long the dead-letter queue keeps a message: the most SQS does"""
DEAD_LETTER_BYTES = 1024 * 1024
"""The longest message that it takes: the most SQS does; the provider's 256 KiB would lose larger events"""

CHAT_ENDPOINT = "https://global.sns-api.chatbot.amazonaws.com"
"""By which Amazon Q Developer in chat applications subscribes itself to a topic.

https://docs.aws.amazon.com/chatbot/latest/adminguide/test-notifications-cw.html
"""


def topic_of(channel: FormattedChannel) -> str:
    """Return what the topic of a channel is called within a stack."""
    return TOPICS["text"] if channel == "mail" else f"topic-{channel}"


def filter_policy(message_format: MessageFormat, minimum: SeverityName | None) -> dict[str, Any] | None:
    """Return the filter policy of a subscription from a severity up, None if it takes everything.

    The mail's is on the message attributes, a raw event's on the message's body; :func:`filter_scope` says so to SNS.
    https://docs.aws.amazon.com/sns/latest/dg/sns-subscription-filter-policies.html
    """
    if (severity := lowest(minimum)) is None:
        return None
    condition = {"severity": [{"numeric": [">=", severity]}]}
    return condition if message_format == "text" else {"detail": condition}


def filter_scope(message_format: MessageFormat) -> Literal["MessageAttributes", "MessageBody"]:
    """Return what the filter policy of a subscription is about."""
    return "MessageAttributes" if message_format == "text" else "MessageBody"
