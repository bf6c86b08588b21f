"""``threatmon fleet drift``: what differs between the accounts and the state of their stacks."""

import typer

from threatmon.cli.fleet.options import Stacks, selected
from threatmon.cli.fleet.previews import PARALLEL, Parallel, Role, fleet_with, preview_all
from threatmon.cli.output import OutputOption, show
from threatmon.errors import CHECK_FAILED
from threatmon.fleet.changes import StackPreview
from threatmon.fleet.preview_report import DRIFT, report
from threatmon.reports.markdown import COMMENT_LIMIT

PERMISSIONS = ()


def drift(
    stacks: Stacks = None, output: OutputOption = "text", parallel: Parallel = PARALLEL, role: Role = None
) -> None:
    """Compare every account with what its stack remembers of it; change nothing.

    `pulumi up --refresh` puts back what somebody changed by hand. Exit 1 if anything differs, or a comparison fails.

    Example: threatmon fleet drift --stacks 'prod-*'
    """
    previews: list[StackPreview] = []
    if targets := selected(stacks, None):
        fleet = fleet_with(role)
        previews = preview_all("Compared", fleet.drift, fleet, targets, parallel)
    show(report(previews, DRIFT), output, limit=COMMENT_LIMIT, whole=DRIFT.whole)
    if any(found.error is not None or found.to_do for found in previews):
        raise typer.Exit(CHECK_FAILED)
