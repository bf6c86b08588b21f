"""Fields of a finding (the ``detail`` of its event), any of which may be missing."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from threatmon.model.severity import band_of

Json = Mapping[str, Any]


def at(node: Any, *path: str) -> Any:
    """Return the value at a path of names, None if there is none."""
    for name in path:
        node = node.get(name) if isinstance(node, Mapping) else None
    return node


def each(node: Any) -> list[Any]:
    """Return the entries of a list, none if it is no list."""
    return node if isinstance(node, list) else []


def text(value: Any) -> str | None:
    """Return a text that is not empty, else None."""
    return value if isinstance(value, str) and value else None


def time_of(value: Any) -> datetime | None:
    """Return a time in UTC, None if it is none."""
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    try:
        time = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def severity_word(finding: Json) -> str:
    """Return LOW, MEDIUM, HIGH or CRITICAL; ``?`` if the severity is none."""
    band = band_of(finding.get("severity"))
    return band.name.upper() if band else "?"
