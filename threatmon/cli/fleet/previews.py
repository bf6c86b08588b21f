"""Previews of many stacks in parallel, with progress, for the commands that need them."""

from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from threatmon.cli import progress
from threatmon.errors import UsageError
from threatmon.fleet import made, roles
from threatmon.fleet.automation import Fleet
from threatmon.fleet.changes import StackPreview
from threatmon.fleet.engine import Engine
from threatmon.fleet.targets import Target
from threatmon.fleet.workers import in_parallel, interruptible
from threatmon.fleet.workspaces import Workspaces

Parallel = Annotated[
    int, typer.Option("--parallel", min=1, max=64, metavar="N", help="Number of stacks to work on at the same time.")
]
Role = Annotated[
    str | None,
    typer.Option(
        "--role", metavar="NAME", help="Assume this role in each stack's account, with CI's identity if there is one."
    ),
]
PARALLEL = 4


def fleet_with(role: str | None) -> Fleet:
    """Return the project's stacks, reached with the credentials of that role, or else with this process's own."""
    workspaces = Workspaces(Engine(), lambda target: roles.environment(target, role) if role else {})
    return Fleet(
        workspaces,
        lambda target, operation: made.find(
            lambda: roles.connected(target, role), target.stack, operation.type, operation.name
        ),
        progress.say,
    )


def preview_all(
    title: str, work: Callable[[Target], StackPreview], fleet: Fleet, targets: Sequence[Target], parallel: int
) -> list[StackPreview]:
    """Return what ``work`` gives for each stack, by name. Raises :class:`UsageError` if it is interrupted."""
    previews: list[StackPreview] = []
    with progress.bar(title, len(targets)) as count, interruptible(progress.say, fleet.interrupt) as stopping:
        for preview in in_parallel(work, targets, parallel, stopping.is_set):
            previews.append(preview)
            count(f"{preview.stack}: failed" if preview.error else preview.stack)
    if stopping.is_set():
        raise UsageError("Interrupted; nothing was changed.")
    return sorted(previews)
