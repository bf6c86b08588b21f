"""Messages of the dead-letter queue, and the plain text in which they are sent again.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from threatmon.model.email import MESSAGE_QUOTA, InvalidMessageError, Transformer, mail, render
from threatmon.model.one_line import one_line
from threatmon.model.severity import BANDS, Band

# https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
SUBJECT_LENGTH = 99  # "less than 100 characters"

_TEXT_BYTES = MESSAGE_QUOTA - 1024  # leaves room for the subject
_FIELD_LENGTH = 1000  # of one value in the readable part; the event below it is whole


class Publication(NamedTuple):
    """What SNS gets: ``subject`` is None if EventBridge would not set one either."""

    subject: str | None
    body: str


class DeadLetter(NamedTuple):
    """The content of a message in the dead-letter queue. What it does not say is empty."""

    body: str
    """the event as EventBridge had it; if a stranger wrote to the queue, any text"""
    detail: Mapping[str, Any]
    """the finding in it"""
    target_arn: str
    """the topic it could not be delivered to"""
    error: str
    """why, as ``CODE: message`` on one line"""

    def field(self, name: str) -> str:
        """Return a scalar of the finding (``type``, ``severity``, ``accountId``...) as one line."""
        value = self.detail.get(name)
        return one_line(value)[:_FIELD_LENGTH] if isinstance(value, str | int | float) else ""

    @property
    def band(self) -> Band | None:
        """The finding's severity band."""
        return next((band for band in BANDS if self.detail.get("severity") in band), None)


def read(body: str, attributes: Mapping[str, str]) -> DeadLetter:
    """Read a message of the queue: its body, and its message attributes by name."""
    error = ": ".join(attributes[name] for name in ("ERROR_CODE", "ERROR_MESSAGE") if attributes.get(name))
    return DeadLetter(body, _finding(body), attributes.get("TARGET_ARN", ""), one_line(error)[:_FIELD_LENGTH])


def _finding(body: str) -> Mapping[str, Any]:
    try:
        event = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    detail = event.get("detail") if isinstance(event, dict) else None
    return detail if isinstance(detail, dict) else {}


def plain_text(dead_letter: DeadLetter, *mail_args: str | None) -> Publication:
    """Return the finding's mail as plain text, and the whole event below it, cut to what SNS takes.

    ``mail_args`` are those of :func:`mail` after the band. Any body will do; one without a finding is sent as it is,
    its control characters escaped.
    """
    lines = [
        f"This could not be delivered ({dead_letter.error or 'no reason given'}). It is sent again as plain text.",
        "",
        *_mail_lines(dead_letter, mail_args),
        "What could not be delivered:",
        one_line(dead_letter.body),
    ]
    return Publication(_subject(dead_letter), _cut("\n".join(lines)))


def raw_event(dead_letter: DeadLetter) -> Publication | None:
    """Return the untouched event, for subscribers that read it; None if it is too long for SNS."""
    # SNS takes no unpaired surrogate; escaped, it is the same JSON.
    body = dead_letter.body.encode("utf-8", "backslashreplace")
    return Publication(None, body.decode()) if len(body) <= MESSAGE_QUOTA else None


def _subject(dead_letter: DeadLetter) -> str:
    severity = dead_letter.band.name.upper() if dead_letter.band else ""
    place = ", ".join(filter(None, [dead_letter.field("accountId"), dead_letter.field("region")]))
    parts = ["Sent again:", severity, dead_letter.field("type") or "an alert", f"({place})" if place else ""]
    ascii_only = " ".join(filter(None, parts)).encode("ascii", "replace").decode()
    return ascii_only[:SUBJECT_LENGTH].rstrip()


def _mail_lines(dead_letter: DeadLetter, mail_args: Sequence[Any]) -> list[str]:
    """Return the lines of the usual mail without its quotes, except those that the finding breaks."""
    if dead_letter.band is None:
        return []
    paths, template = mail(dead_letter.band, *mail_args)
    try:
        event = {"detail": _escaped(dead_letter.detail)}
        lines = [_rendered(Transformer(paths, line), event) for line in template.split("\n")]
    except RecursionError:
        return []
    return [*(line for line in lines if line is not None), ""]


def _rendered(line: Transformer, event: Mapping[str, Any]) -> str | None:
    try:
        return " ".join(json.loads(render(line, event)).split())
    except InvalidMessageError:  # a value is no scalar
        return None


def _escaped(value: Any) -> Any:
    """Return a JSON value whose texts can stand within quotes as they are."""
    if isinstance(value, str):
        return json.dumps(one_line(value[:_FIELD_LENGTH]), ensure_ascii=False)[1:-1]
    if isinstance(value, dict):
        return {key: _escaped(entry) for key, entry in value.items()}
    return [_escaped(entry) for entry in value] if isinstance(value, list) else value


def _cut(text: str) -> str:
    encoded = text.encode()
    if len(encoded) <= _TEXT_BYTES:
        return text
    note = f"\n[cut: the whole message has {len(encoded)} bytes, and SNS takes {MESSAGE_QUOTA}]"
    return encoded[: _TEXT_BYTES - len(note)].decode(errors="ignore") + note
