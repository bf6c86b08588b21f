"""The options of all commands on a fleet by which stacks are chosen."""

from collections.abc import Sequence
from typing import Annotated

import typer

from threatmon import project
from threatmon.errors import UsageError
from threatmon.fleet.changed_files import changed_files
from threatmon.fleet.targets import Target, read, select

Stacks = Annotated[
    list[str] | None,
    typer.Option("--stacks", metavar="GLOB", help="Only these stacks, such as 'prod-*' or a,b; may be repeated."),
]
ChangedSince = Annotated[
    str | None,
    typer.Option(
        "--changed-since",
        metavar="REV",
        help="Only the stacks that the changes of this branch since REV (such as origin/main) affect.",
    ),
]


def selected(stacks: Sequence[str] | None, changed_since: str | None) -> list[Target]:
    """Return the stacks that the options choose; all if both are None.

    Raises :class:`threatmon.fleet.targets.FleetFaults` with the faults of all stack files, chosen or not (two stacks
    may claim the same), or of the choice; :class:`UsageError` if an option makes no sense.
    """
    globs = (
        ["*"] if stacks is None else [glob for given in stacks for part in given.split(",") if (glob := part.strip())]
    )
    if not globs:
        raise UsageError("--stacks is empty; leave it out for every stack, or name some: --stacks 'prod-*'.")
    targets = read(project.ROOT)
    if not targets and stacks is None:
        return []
    return select(targets, globs, None if changed_since is None else changed_files(project.ROOT, changed_since))
