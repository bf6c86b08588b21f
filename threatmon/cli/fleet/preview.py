"""``threatmon fleet preview``: what an update would do to many stacks, as one result."""

import json
from pathlib import Path
from typing import Annotated

import typer

from threatmon.cli.fleet.options import ChangedSince, Stacks, selected
from threatmon.cli.fleet.previews import PARALLEL, Parallel, Role, fleet_with, preview_all
from threatmon.cli.output import OutputOption, show
from threatmon.errors import CHECK_FAILED, UsageError
from threatmon.fleet.changes import StackPreview
from threatmon.fleet.preview_document import missing_previews, read_document
from threatmon.fleet.preview_report import PREVIEW, report
from threatmon.reports.markdown import COMMENT_LIMIT

PERMISSIONS = ()


def preview(
    stacks: Stacks = None,
    changed_since: ChangedSince = None,
    output: OutputOption = "text",
    parallel: Parallel = PARALLEL,
    role: Role = None,
    results: Annotated[
        list[Path] | None,
        typer.Option(
            "--from", metavar="FILE", help="Combine reports printed by --output json instead of previewing. Repeatable."
        ),
    ] = None,
    expect: Annotated[
        Path | None,
        typer.Option(
            "--expect",
            metavar="FILE",
            help="With --from: fail for each stack of this `fleet matrix` that has no report.",
        ),
    ] = None,
    pointer: Annotated[
        str, typer.Option("--pointer", metavar="URL", help="Link to the whole report, shown if the comment is cut.")
    ] = "",
) -> None:
    """Preview stacks side by side, and group the results: equal changes once, and what is dangerous.

    Nothing is changed, not even the state of a stack that does not exist yet. Exit 1 if a preview fails.

    Example: threatmon fleet preview --changed-since origin/main --output markdown
    """
    if expect and not results:
        raise UsageError("--expect needs the reports that it is compared with: --from FILE.")
    previews: list[StackPreview] = []
    if results:
        previews = _read(results)
        previews += missing_previews(previews, _expected(expect) if expect else ())
    elif targets := selected(stacks, changed_since):
        fleet = fleet_with(role)
        previews = preview_all("Previewed", fleet.preview, fleet, targets, parallel) + fleet.without_file()
    show(report(previews), output, limit=COMMENT_LIMIT, whole=pointer or PREVIEW.whole)
    if any(found.error is not None for found in previews):
        raise typer.Exit(CHECK_FAILED)


def _read(files: list[Path]) -> list[StackPreview]:
    previews: dict[str, StackPreview] = {}
    for file in files:
        try:
            found = read_document(json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError, RecursionError) as error:
            raise UsageError(
                f"--from {file}: not what `threatmon fleet preview --output json` prints: {error}"
            ) from None
        for each in found:
            if previews.setdefault(each.stack, each) != each and not each.without_file:
                raise UsageError(
                    f"--from {file}: a preview of stack {each.stack} was already given; give only one of them."
                )
    return list(previews.values())


def _expected(file: Path) -> list[str]:
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))["include"]
        return [stack for entry in entries for stack in (entry.get("stacks") or entry["stack"]).split(",")]
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise UsageError(f"--expect {file}: not what `threatmon fleet matrix` prints: {error}") from None
