"""``threatmon fleet drift``: where accounts differ from what their stacks remember."""

import json

import typer

from threatmon.cli.errors import CHECK_FAILED
from threatmon.cli.fleet.previews import PARALLEL, Parallel, Role, fleet_with, preview_all
from threatmon.cli.fleet.selection import Format, Stacks, selected
from threatmon.fleet.changes import Preview
from threatmon.fleet.folding import fold
from threatmon.fleet.preview_comment import markdown
from threatmon.fleet.preview_document import document
from threatmon.fleet.preview_report import DRIFT, text

PERMISSIONS = ()


def drift(stacks: Stacks = None, output: Format = "text", parallel: Parallel = PARALLEL, role: Role = None) -> None:
    """Compare every account with what its stack remembers of it; changes nothing.

    What somebody changed by hand is put back by `pulumi up --refresh`. Exit 1 if anything differs, or cannot be told.

    Example: threatmon fleet drift --stacks 'prod-*'
    """
    found: list[Preview] = []
    if targets := selected(stacks, None):
        fleet = fleet_with(role)
        found = preview_all("Compared", fleet.drift, fleet, targets, parallel)
    if output == "json":
        typer.echo(json.dumps(document(found, DRIFT), indent=2))
    else:
        folded = fold(found)
        shown = markdown(folded, DRIFT) if output == "markdown" else text(folded, DRIFT)
        typer.echo(shown.rstrip("\n"))
    if any(it.error is not None or it.to_do for it in found):
        raise typer.Exit(CHECK_FAILED)
