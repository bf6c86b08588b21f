"""``threatmon fleet coverage``: which accounts, Regions and subnets are watched, and which are not."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from threatmon.cli.fleet.options import Stacks, selected
from threatmon.cli.fleet.previews import Role
from threatmon.cli.output import OutputOption, show
from threatmon.cli.progress import bar
from threatmon.errors import CHECK_FAILED, UsageError
from threatmon.fleet import coverage as fleet_coverage
from threatmon.fleet import roles
from threatmon.fleet.coverage import StackCoverage
from threatmon.fleet.coverage_report import report
from threatmon.fleet.targets import Target
from threatmon.fleet.workers import in_parallel
from threatmon.verify import stack_checks

PERMISSIONS = stack_checks.PERMISSIONS


def coverage(
    stacks: Stacks = None,
    parallel: Annotated[int, typer.Option(min=1, help="Number of accounts to read at the same time.")] = 8,
    role: Role = None,
    output: OutputOption = "text",
) -> None:
    """Show which accounts, Regions and subnets are watched, and what is missing.

    Makes the checks of `threatmon verify` for every stack, without asking the engine, and looks at every subnet of the
    accounts. Changes nothing. Exit code 1 if something failed or is unknown.

    Example: threatmon fleet coverage --output html > coverage.html
    """
    targets = selected(stacks, None)
    if not targets:
        raise UsageError("There is no stack file, so no account was read.")
    now = datetime.now(UTC)

    def cover(target: Target) -> StackCoverage:
        return fleet_coverage.cover(target, lambda: roles.connected(target, role), now)

    found: list[StackCoverage] = []
    with bar("Asked", len(targets)) as count:
        for stack in in_parallel(cover, targets, parallel):
            found.append(stack)
            count(stack.target.stack)
    whole = fleet_coverage.coverage(found, now)
    show(report(whole), output)
    if whole.problems:
        raise typer.Exit(CHECK_FAILED)
