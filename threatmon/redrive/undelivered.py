"""What could not be delivered, wherever it waits."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from threatmon.model.one_line import one_line
from threatmon.model.severity import Band, band_of

_FIELD_LENGTH = 1000


class Undelivered(NamedTuple):
    """An alert that did not reach everyone. What is not known is empty."""

    id: str
    """of a message, its id; of an execution, its ARN"""
    since: float
    """seconds since 1970"""
    body: str
    """an event; if a stranger wrote to the queue, or started the execution, any text"""
    event: Mapping[str, Any]
    """the JSON object that ``body`` is"""
    target_arn: str
    """what it could not be delivered to, or by"""
    channels: Sequence[str]
    """those that missed it; empty if that does not say more than the target"""
    error: str
    """why, on one line"""
    receipt: str | None = None
    """of a message, what SQS wants to see to delete it"""

    @property
    def kind(self) -> Literal["message", "execution"]:
        """Where it waits: in the queue, or in the list of failed executions."""
        return "message" if self.receipt else "execution"

    @property
    def detail(self) -> Mapping[str, Any]:
        """The finding."""
        detail = self.event.get("detail")
        return detail if isinstance(detail, dict) else {}

    @property
    def band(self) -> Band | None:
        """The finding's severity band."""
        return band_of(self.detail.get("severity"))

    def field(self, name: str) -> str:
        """Return a scalar of the finding (``type``, ``severity``, ``accountId``...) as one line."""
        value = self.detail.get(name)
        return cut_line(value) if isinstance(value, str | int | float) else ""


def json_object(text: str) -> Mapping[str, Any]:
    """Return the object that a text is; empty if it is none, or one that AWS would not take for JSON."""
    try:
        value = json.loads(text)
        json.dumps(value, allow_nan=False)  # Python reads NaN, and 1e999 as infinite
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def cut_line(text: object) -> str:
    """Return a text on one line that is not too long to read."""
    return one_line(text)[:_FIELD_LENGTH]


def reason(*parts: str | None) -> str:
    """Return what is known of an error (a code and a message, say) on one line."""
    return cut_line(": ".join(filter(None, parts)))
