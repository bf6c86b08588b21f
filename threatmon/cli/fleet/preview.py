"""``threatmon fleet preview``: what an update would do to many stacks, as one result."""

import json
from pathlib import Path
from typing import Annotated

import typer

from threatmon.cli.fleet.previews import PARALLEL, Parallel, Role, fleet_with, preview_all, shown
from threatmon.cli.fleet.selection import ChangedSince, Format, Stacks, selected
from threatmon.errors import CHECK_FAILED, UsageError
from threatmon.fleet.changes import StackPreview
from threatmon.fleet.preview_document import read_document

PERMISSIONS = ()


def preview(
    stacks: Stacks = None,
    changed_since: ChangedSince = None,
    output: Format = "text",
    parallel: Parallel = PARALLEL,
    role: Role = None,
    results: Annotated[
        list[Path] | None,
        typer.Option("--from", metavar="FILE", help="Previews nothing; puts together what --format json printed."),
    ] = None,
    pointer: Annotated[
        str, typer.Option("--pointer", metavar="URL", help="Where the whole report is, for a comment that is cut.")
    ] = "",
) -> None:
    """Preview stacks side by side, and fold the results: the same change once, what differs, what is dangerous.

    Nothing is changed, not even the state of a stack that does not exist yet. Exit 1 if a preview fails.

    Example: threatmon fleet preview --changed-since origin/main --format markdown
    """
    previews = _read(results) if results else _made(stacks, changed_since, parallel, role)
    typer.echo(shown(previews, output, pointer=pointer))
    if any(it.error is not None for it in previews):
        raise typer.Exit(CHECK_FAILED)


def _made(stacks: list[str] | None, changed_since: str | None, parallel: int, role: str | None) -> list[StackPreview]:
    targets = selected(stacks, changed_since)
    if not targets:
        return []
    fleet = fleet_with(role)
    return preview_all("Previewed", fleet.preview, fleet, targets, parallel)


def _read(files: list[Path]) -> list[StackPreview]:
    found: dict[str, StackPreview] = {}
    for file in files:
        try:
            previews = read_document(json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise UsageError(
                f"--from {file}: not what `threatmon fleet preview --format json` prints: {error}"
            ) from None
        for it in previews:
            if found.setdefault(it.stack, it) != it:
                raise UsageError(f"--from {file}: another preview of stack {it.stack} came before; give one of them.")
    return list(found.values())
