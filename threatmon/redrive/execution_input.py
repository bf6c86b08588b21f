"""What an execution that sends an alert again gets as its input."""

import json
from collections.abc import Mapping
from typing import Any

from threatmon.model.state_machine import CHANNELS_KEY, QUOTA
from threatmon.redrive.undelivered import Undelivered

# Characters of a text that is no event. JSON writes one in at most six bytes.
_BODY_LENGTH = 40_000
_SHORT, _LONG = 300, 3000
# What stays of an event that is too long, and how many characters of it: what it takes to see how urgent it is and to
# find the rest in GuardDuty.
_KEPT: Mapping[str, Any] = {
    **dict.fromkeys(("version", "id", "source", "detail-type", "account", "region", "time"), _SHORT),
    "detail": {
        **dict.fromkeys(("id", "arn", "type", "severity", "accountId", "region", "partition", "title"), _SHORT),
        **dict.fromkeys(("createdAt", "updatedAt"), _SHORT),
        "description": _LONG,
        "resource": {
            "resourceType": _SHORT,
            "instanceDetails": {"instanceId": _SHORT},
            "accessKeyDetails": dict.fromkeys(("accessKeyId", "principalId", "userName", "userType"), _SHORT),
            "eksClusterDetails": {"name": _SHORT},
        },
        "service": {
            **dict.fromkeys(("archived", "count", "eventFirstSeen", "eventLastSeen"), _SHORT),
            "additionalInfo": {"sample": _SHORT},
        },
    },
}


def execution_input(alert: Undelivered) -> str:
    """Return JSON of at most :data:`QUOTA` bytes: the event, or of one that is too long what matters most.

    What is no event becomes one without a finding, which the state machine sends as it is.
    """
    channels = {CHANNELS_KEY: list(alert.channels)} if alert.channels else {}
    forms: list[Mapping[str, Any]] = [alert.event] if alert.event else []
    forms += [{**_shortened(alert.event, _KEPT), "shortened": True}] if alert.detail else []
    forms.append({"detail": None, "body": _cut(alert.body, _BODY_LENGTH)})
    texts = (_json({**form, **channels}) for form in forms)
    return next(text for text in texts if len(text.encode()) <= QUOTA)


def _shortened(value: Any, kept: int | Mapping[str, Any]) -> Any:
    """Return of a value what is kept, or None if it is not of that kind."""
    if isinstance(kept, int):
        return _cut(value, kept) if isinstance(value, str | int | float) else None
    if not isinstance(value, dict):
        return None
    parts = {name: _shortened(value.get(name), what) for name, what in kept.items()}
    return {name: part for name, part in parts.items() if part is not None}


def _cut(value: Any, length: int) -> Any:
    return f"{value[:length]}... (cut)" if isinstance(value, str) and len(value) > length else value


def _json(value: object) -> str:
    """Return compact JSON in UTF-8, which has no half of a surrogate pair."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "replace").decode()
