"""The previews of a fleet as JSON, which CI jobs pass to the job that combines their results."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from threatmon.fleet.changes import StackPreview
from threatmon.fleet.grouping import FleetPreview, status

VERSION = 2
_PREVIEWS = TypeAdapter(list[StackPreview])


def document(fleet: FleetPreview, headline: str) -> dict[str, Any]:
    """Return everything, uncut, as JSON: what is equal under ``groups``, and each preview under ``stacks``."""
    return {
        "version": VERSION,
        "headline": headline,
        "groups": {name: _plain(groups) for name, groups in fleet._asdict().items() if name != "previews"},
        "stacks": [{**_plain(preview), "status": status(preview)} for preview in fleet.previews],
    }


def read_document(found: Any) -> list[StackPreview]:
    """Return the previews of a document. Raises :class:`ValueError` for anything else."""
    if not isinstance(found, Mapping) or found.get("version") != VERSION:
        raise ValueError(f"expected the JSON of `threatmon fleet preview --output json`, version {VERSION}")
    try:
        return _PREVIEWS.validate_python(
            [{key: value for key, value in stack.items() if key != "status"} for stack in found["stacks"]]
        )
    except ValidationError as error:
        faults = [f"stacks.{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()]
        raise ValueError("\n".join(faults)) from None
    except (LookupError, TypeError, AttributeError):
        raise ValueError("stacks: expected a list of previews") from None


def missing_previews(previews: Iterable[StackPreview], expected: Iterable[str]) -> list[StackPreview]:
    """Return a failed preview for each expected stack that has none: its job failed, or its report was lost."""
    missing = sorted(set(expected) - {preview.stack for preview in previews})
    error = "There is no report on it: the job that previews it has failed, or its report is not given by --from."
    return [StackPreview(stack, "", "", error=error) for stack in missing]


def _plain(value: Any) -> Any:
    """Return named tuples as objects, other tuples as lists."""
    if not isinstance(value, list | tuple):
        return value
    fields = getattr(value, "_asdict", None)
    return {key: _plain(entry) for key, entry in fields().items()} if fields else [_plain(entry) for entry in value]
