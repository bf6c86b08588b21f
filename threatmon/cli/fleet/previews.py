"""Previews of many stacks side by side, with progress, for the commands that need them."""

import sys
from collections.abc import Callable, Sequence
from datetime import timedelta
from threading import Event
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from threatmon.errors import UsageError
from threatmon.fleet import recovery, roles
from threatmon.fleet.automation import Fleet
from threatmon.fleet.changes import StackPreview
from threatmon.fleet.engine import Engine
from threatmon.fleet.interruptions import Interrupted
from threatmon.fleet.targets import Target
from threatmon.fleet.workers import interruptible, side_by_side

Parallel = Annotated[int, typer.Option("--parallel", min=1, max=64, metavar="N", help="Stacks under way at a time.")]
Role = Annotated[
    str | None,
    typer.Option(
        "--role",
        metavar="NAME",
        help="Assume this role in each stack's account, with CI's identity where there is one.",
    ),
]
PARALLEL = 4


def fleet_with(role: str | None, stale_after: timedelta = timedelta(hours=1)) -> Fleet:
    """The project's stacks, with the credentials of that role or else this process's own."""

    def find(target: Target, interrupted: Interrupted) -> str | None:
        return recovery.find(lambda: roles.connected(target, role), target.stack, interrupted)

    return Fleet(
        Engine(),
        environment_of=lambda target: roles.environment(target, role) if role else {},
        find=find,
        stale_after=stale_after,
    )


def preview_all(
    title: str, work: Callable[[Target], StackPreview], fleet: Fleet, targets: Sequence[Target], parallel: int
) -> list[StackPreview]:
    """What ``work`` says of each stack, by name. Raises :class:`UsageError` where it was interrupted."""
    console = Console(stderr=True)
    stopping = Event()

    found: list[StackPreview] = []
    with (
        interruptible(stopping, console.print, fleet.interrupt),
        Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not sys.stderr.isatty(),
        ) as progress,
    ):
        task = progress.add_task(title, total=len(targets))
        for preview in side_by_side(work, targets, parallel, stopping.is_set):
            found.append(preview)
            progress.advance(task)
            if progress.disable:
                failed = ": failed" if preview.error else ""
                console.print(
                    f"{title} {len(found)} of {len(targets)}: {preview.stack}{failed}", markup=False, highlight=False
                )
    if stopping.is_set():
        raise UsageError("Interrupted; nothing was changed.")
    return sorted(found)
