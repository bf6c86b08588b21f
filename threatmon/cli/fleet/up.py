"""``threatmon fleet up``: a change rolled out over many stacks, a canary first, then waves of growing size."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from threading import Event
from typing import Annotated, Literal

import typer

from threatmon.cli import progress
from threatmon.cli.fleet.options import ChangedSince, Stacks, selected
from threatmon.cli.fleet.previews import PARALLEL, Parallel, Role, fleet_with, preview_all
from threatmon.cli.fleet.rollout_log import RolloutLog, rollout_log
from threatmon.errors import CHECK_FAILED, UsageError
from threatmon.fleet import made
from threatmon.fleet.automation import Fleet
from threatmon.fleet.dangers import KINDS
from threatmon.fleet.rollout import StackUpdate, blockers, has_stopped, roll_out, waves
from threatmon.fleet.targets import Target
from threatmon.fleet.workers import in_parallel, interruptible

PERMISSIONS = made.PERMISSIONS


def up(  # noqa: PLR0913, PLR0917 - options of the command line
    stacks: Stacks = None,
    changed_since: ChangedSince = None,
    canary: Annotated[
        list[str] | None,
        typer.Option(
            "--canary", metavar="STACK", help="A stack to update first; may be repeated. Default: the first by name."
        ),
    ] = None,
    growth: Annotated[
        int,
        typer.Option("--growth", min=1, metavar="N", help="How many times as large each wave is as the one before."),
    ] = 2,
    parallel: Parallel = PARALLEL,
    allow: Annotated[
        list[str] | None,
        typer.Option("--allow", metavar="KIND", help=f"A kind of danger to allow: {', '.join(KINDS)}."),
    ] = None,
    role: Role = None,
    yes: Annotated[bool, typer.Option("--yes", help="Deploy without asking.")] = False,
    output: Annotated[
        Literal["text", "json"],
        typer.Option("--output", "-o", help="Lines for people, or a JSON object a line for each event."),
    ] = "text",
) -> None:
    """Update stacks: the canary first, then waves of growing size; the first failure stops the rest.

    Every stack is previewed before the first is touched: a preview that fails, or a dangerous change that is not
    allowed, stops everything. Interrupted or killed, the same command goes on from there. Exit 1 unless every
    stack is up to date in the end.

    Example: threatmon fleet up --canary staging --allow finding-type-dropped
    """
    if not yes and not sys.stdin.isatty():
        raise UsageError("There is no terminal for the confirmation; use --yes to update without it.")
    if unknown := sorted(set(allow or ()) - KINDS.keys()):
        raise UsageError(f"--allow {', '.join(unknown)}: no such danger; there are {', '.join(KINDS)}.")
    targets = {target.stack: target for target in selected(stacks, changed_since)}
    if unknown := sorted(set(canary or ()) - targets.keys()):
        raise UsageError(f"--canary {', '.join(unknown)}: not among the stacks to update ({', '.join(targets)}).")
    log = rollout_log(output)
    if not targets:
        log.finished([])
        return
    fleet = fleet_with(role)
    previews = preview_all("Previewed", fleet.preview, fleet, list(targets.values()), parallel)
    log.previewed(previews + fleet.without_file())
    unreadable = [preview for preview in previews if fleet.is_unreadable(preview.stack)]
    if reasons := blockers([preview for preview in previews if preview not in unreadable], allow or ()):
        for reason in reasons:
            log.stopped(f"Nothing was changed: {reason}")
        raise typer.Exit(CHECK_FAILED)

    to_do = [preview.stack for preview in previews if preview.to_do or preview.is_new]
    planned = waves(to_do, [stack for stack in canary or () if stack in to_do], growth)
    log.planned(planned)
    if to_do and not yes and not typer.confirm(f"Update {len(to_do)} stack(s)?", err=True):
        log.stopped("Nothing was changed.")
        raise typer.Exit(CHECK_FAILED)
    deployed = partial(_deployed, fleet, targets, parallel=parallel, allowed=allow or (), log=log)
    updates = list(_logged(deployed(planned), log))
    updates += _logged((StackUpdate(each.stack, "failed", error=each.error) for each in unreadable), log)
    complete = sorted(targets.keys() - {update.stack for update in updates})
    if any(update.notes for update in updates) and not has_stopped(updates):
        # A run was killed, and may have left a lock on a stack that it had completed.
        checked = map(_unchanged, deployed([complete]))
        updates += _logged(checked, log)
    else:
        updates += [StackUpdate(stack, "unchanged") for stack in complete]
    log.finished(updates)
    if has_stopped(updates):
        raise typer.Exit(CHECK_FAILED)


def _deployed(
    fleet: Fleet,
    targets: Mapping[str, Target],
    planned: Sequence[Sequence[str]],
    *,
    parallel: int,
    allowed: Sequence[str],
    log: RolloutLog,
) -> Iterator[StackUpdate]:
    failed = Event()

    def update(stack: str) -> StackUpdate:
        log.started(stack)
        done = fleet.update(targets[stack])
        if fleet.is_outdated(stack):
            reasons = blockers([fleet.preview(targets[stack])], allowed)
            again = (
                done._replace(error="\n".join([done.error or "", *reasons]))
                if reasons
                else fleet.update(targets[stack])
            )
            done = again._replace(notes=tuple(dict.fromkeys([*done.notes, *again.notes])))
        if done.state == "failed":
            failed.set()
        return done

    with interruptible(progress.say, fleet.interrupt) as stopping:
        yield from roll_out(
            planned, lambda wave: in_parallel(update, wave, parallel, lambda: stopping.is_set() or failed.is_set())
        )


def _logged(updates: Iterator[StackUpdate], log: RolloutLog) -> Iterator[StackUpdate]:
    for update in updates:
        if update.notes or update.state != "unchanged":
            log.ended(update)
        yield update


def _unchanged(update: StackUpdate) -> StackUpdate:
    """Return the update of a stack that had nothing to change as what it is."""
    return update._replace(state="unchanged") if update.state == "updated" and not update.changed else update
