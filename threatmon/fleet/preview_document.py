"""The previews of a fleet for a machine: what a CI job leaves for the one that puts all jobs' results together."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError

from threatmon.fleet.changes import StackPreview
from threatmon.fleet.differences import without_secrets
from threatmon.fleet.grouping import fold, status
from threatmon.fleet.preview_report import PREVIEW, Wording, headline

VERSION = 1
_PREVIEWS = TypeAdapter(list[StackPreview])


def document(previews: Sequence[StackPreview], wording: Wording = PREVIEW) -> dict[str, Any]:
    """Everything, uncut, as JSON: the previews ``folded``, and each under ``stacks``. Secrets are hidden.

    Raises :class:`ValueError` where two different previews are of one stack.
    """
    folded = fold(previews)
    return {
        "version": VERSION,
        "headline": headline(folded, wording),
        "folded": _plain(folded),
        "stacks": [_stack(it) for _, it in sorted({it.stack: it for it in previews}.items())],
    }


def read_document(found: Any) -> list[StackPreview]:
    """The previews of a document. Raises :class:`ValueError` for anything else."""
    if not isinstance(found, Mapping) or found.get("version") != VERSION:
        raise ValueError(f"expected the JSON of `threatmon fleet preview --format json`, version {VERSION}")
    try:
        return _PREVIEWS.validate_python(
            [{key: it for key, it in stack.items() if key != "status"} for stack in found["stacks"]]
        )
    except ValidationError as error:
        faults = [f"stacks.{'.'.join(map(str, it['loc']))}: {it['msg']}" for it in error.errors()]
        raise ValueError("\n".join(faults)) from None
    except (LookupError, TypeError, AttributeError):
        raise ValueError("stacks: expected a list of previews") from None


def _stack(preview: StackPreview) -> dict[str, Any]:
    changes = [_plain(without_secrets(it)) for it in preview.changes]
    return {**preview._asdict(), "notes": list(preview.notes), "changes": changes, "status": status(preview)}


def _plain(value: Any) -> Any:
    """Named tuples as objects, others as lists."""
    if not isinstance(value, tuple):
        return value
    fields = getattr(value, "_asdict", None)
    return {key: _plain(it) for key, it in fields().items()} if fields else [_plain(it) for it in value]
