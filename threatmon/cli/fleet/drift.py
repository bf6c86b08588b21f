"""``threatmon fleet drift``: where accounts differ from what their stacks remember."""

import typer

from threatmon.cli.fleet.previews import PARALLEL, Parallel, Role, fleet_with, preview_all, shown
from threatmon.cli.fleet.selection import Format, Stacks, selected
from threatmon.errors import CHECK_FAILED
from threatmon.fleet.changes import StackPreview
from threatmon.fleet.preview_report import DRIFT

PERMISSIONS = ()


def drift(stacks: Stacks = None, output: Format = "text", parallel: Parallel = PARALLEL, role: Role = None) -> None:
    """Compare every account with what its stack remembers of it; changes nothing.

    What somebody changed by hand is put back by `pulumi up --refresh`. Exit 1 if anything differs, or cannot be told.

    Example: threatmon fleet drift --stacks 'prod-*'
    """
    found: list[StackPreview] = []
    if targets := selected(stacks, None):
        fleet = fleet_with(role)
        found = preview_all("Compared", fleet.drift, fleet, targets, parallel)
    typer.echo(shown(found, output, DRIFT))
    if any(it.error is not None or it.to_do for it in found):
        raise typer.Exit(CHECK_FAILED)
