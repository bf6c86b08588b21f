"""``threatmon fleet up``: a change rolled out over many stacks, a canary first, then waves of growing size."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from threatmon.cli.fleet.previews import PARALLEL, Parallel, Role, fleet_with, preview_all
from threatmon.cli.fleet.selection import ChangedSince, Stacks, selected
from threatmon.errors import CHECK_FAILED, UsageError
from threatmon.fleet import recovery
from threatmon.fleet.automation import Fleet
from threatmon.fleet.changes import StackPreview
from threatmon.fleet.dangers import KINDS, dangers
from threatmon.fleet.preview_report import report
from threatmon.fleet.rollout import Outcome, roll_out, waves
from threatmon.fleet.targets import Target
from threatmon.fleet.workers import interruptible, side_by_side
from threatmon.reports.text import print_report

PERMISSIONS = recovery.PERMISSIONS

_STYLES = {"updated": "green", "unchanged": "dim", "failed": "bold red", "not started": "yellow"}


def up(  # noqa: PLR0913, PLR0917 - options of the command line
    stacks: Stacks = None,
    changed_since: ChangedSince = None,
    canary: Annotated[
        list[str] | None,
        typer.Option("--canary", metavar="STACK", help="Goes first; may be repeated. The first by name unless given."),
    ] = None,
    growth: Annotated[int, typer.Option("--growth", min=1, metavar="N", help="How much larger each wave is.")] = 2,
    parallel: Parallel = PARALLEL,
    allow: Annotated[
        list[str] | None,
        typer.Option("--allow", metavar="KIND", help=f"A danger to let through: {', '.join(KINDS)}."),
    ] = None,
    role: Role = None,
    stale_after: Annotated[
        int, typer.Option("--stale-after", min=1, metavar="MINUTES", help="Age of another machine's lock to clear.")
    ] = 60,
    yes: Annotated[bool, typer.Option("--yes", help="Deploy without asking.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object for each thing that happens.")] = False,
) -> None:
    """Update stacks: the canary first, then waves of growing size; the first failure stops the rest.

    Every stack is previewed before the first is touched: a preview that fails, or a dangerous change that is not
    allowed, stops everything. Interrupted or killed, the same command goes on where it stopped. Exit 1 unless every
    stack is up to date in the end.

    Example: threatmon fleet up --canary staging --allow finding-type-dropped
    """
    if not yes and not sys.stdin.isatty():
        raise UsageError("There is no terminal to ask on; --yes updates without asking.")
    if unknown := sorted(set(allow or ()) - KINDS.keys()):
        raise UsageError(f"--allow {', '.join(unknown)}: no such danger; there are {', '.join(KINDS)}.")
    targets = {target.stack: target for target in selected(stacks, changed_since)}
    if unknown := sorted(set(canary or ()) - targets.keys()):
        raise UsageError(f"--canary {', '.join(unknown)}: not among the stacks to update ({', '.join(targets)}).")
    log = _Log(as_json=as_json)
    if not targets:
        log.summary([])
        return
    fleet = fleet_with(role, timedelta(minutes=stale_after))
    previews = {it.stack: it for it in preview_all("Previewed", fleet.preview, fleet, list(targets.values()), parallel)}
    log.previews(list(previews.values()))
    if not _is_safe(list(previews.values()), allow or (), log):
        raise typer.Exit(CHECK_FAILED)

    to_do = [stack for stack, it in previews.items() if it.to_do or it.is_new]
    planned = waves(to_do, [stack for stack in canary or () if stack in to_do], growth)
    log.plan(planned)
    if to_do and not yes and not _confirmed(len(to_do)):
        log.stopped("Nothing was changed.")
        raise typer.Exit(CHECK_FAILED)
    complete = [stack for stack in targets if stack not in to_do]
    outcomes = _rolled_out(lambda waves_: _deployed(fleet, targets, waves_, parallel, log), planned, complete, log)
    log.summary(outcomes)
    if _has_stopped(outcomes):
        raise typer.Exit(CHECK_FAILED)


def _rolled_out(
    deployed: Callable[[Sequence[Sequence[str]]], Iterator[Outcome]],
    planned: Sequence[Sequence[str]],
    complete: Sequence[str],
    log: "_Log",
) -> list[Outcome]:
    outcomes: list[Outcome] = []
    for outcome in deployed(planned):
        outcomes.append(outcome)
        log.outcome(outcome)
    if not any(it.notes for it in outcomes) or _has_stopped(outcomes):
        return [*outcomes, *(Outcome(stack, "unchanged") for stack in complete)]
    # A run was killed, and may have left a lock on a stack that it had completed.
    for outcome in map(_unchanged, deployed([complete])):
        outcomes.append(outcome)
        if outcome.notes or outcome.state != "unchanged":
            log.outcome(outcome)
    return outcomes


def _has_stopped(outcomes: Sequence[Outcome]) -> bool:
    return any(it.state in ("failed", "not started") for it in outcomes)


def _unchanged(outcome: Outcome) -> Outcome:
    """What an update came to that had nothing to change."""
    return outcome._replace(state="unchanged") if outcome.state == "updated" and not outcome.changed else outcome


def _is_safe(previews: Sequence[StackPreview], allowed: Sequence[str], log: "_Log") -> bool:
    """Whether every preview succeeded, and every danger is allowed."""
    failed = [it.stack for it in previews if it.error is not None]
    found = sorted({danger.kind for it in previews for danger in dangers(it.changes)} - set(allowed))
    if failed:
        log.stopped(f"Nothing was changed: {len(failed)} of {len(previews)} previews failed.")
    if found:
        log.stopped(f"Nothing was changed: dangerous changes. To let them through: --allow {' --allow '.join(found)}")
    return not failed and not found


def _confirmed(count: int) -> bool:
    return typer.confirm(f"Update {count} stack(s)?", err=True)


def _deployed(
    fleet: Fleet,
    targets: Mapping[str, Target],
    planned: Sequence[Sequence[str]],
    parallel: int,
    log: "_Log",
) -> Iterator[Outcome]:
    stopping, failed = Event(), Event()

    def update(stack: str) -> Outcome:
        log.started(stack)
        outcome = fleet.update(targets[stack])
        if outcome.state == "failed":
            failed.set()
        return outcome

    def deploy(wave: Sequence[str]) -> Iterator[Outcome]:
        return side_by_side(update, wave, parallel, lambda: stopping.is_set() or failed.is_set())

    with interruptible(stopping, log.said, fleet.interrupt):
        yield from roll_out(planned, deploy)


class _Log:
    """Tells what happens: lines for people, or one JSON object a line."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._console = Console()
        self._errors = Console(stderr=True)

    def previews(self, previews: Sequence[StackPreview]) -> None:
        """What the updates will do."""
        if self._as_json:
            for it in previews:
                found = [danger._asdict() for danger in dangers(it.changes)]
                self._event(
                    "previewed",
                    stack=it.stack,
                    changes=len(it.to_do),
                    new=it.is_new,
                    dangers=found,
                    error=it.error,
                    notes=it.notes,
                )
        else:
            print_report(report(previews), self._console)

    def plan(self, planned: Sequence[Sequence[str]]) -> None:
        """The order."""
        if self._as_json:
            self._event("planned", waves=planned)
        for number, wave in enumerate(() if self._as_json else planned):
            name = f"Wave {number}" if number else "Canary"
            self._console.print(f"{name}: {', '.join(wave)}", markup=False, highlight=False, soft_wrap=True)

    def started(self, stack: str) -> None:
        """A stack's update begins."""
        if self._as_json:
            self._event("started", stack=stack)

    def outcome(self, outcome: Outcome) -> None:
        """What became of a stack."""
        if self._as_json:
            self._event("ended", **outcome._asdict())
            return
        line = Text(f"{outcome.state:<11} ", style=_STYLES[outcome.state]).append(outcome.stack, style="bold")
        if outcome.state == "updated":
            line.append(f"  {outcome.changed} changes in {outcome.seconds:.1f} s", style="default")
        self._console.print(line, soft_wrap=True)
        for note in outcome.notes:
            self._console.print(f"    {note}", markup=False, highlight=False, soft_wrap=True)
        if outcome.error:
            indented = "\n".join(f"    {it}" for it in outcome.error.splitlines())
            self._console.print(indented, markup=False, highlight=False, soft_wrap=True)

    def summary(self, outcomes: Sequence[Outcome]) -> None:
        """How it ended."""
        counts = {state: sum(it.state == state for it in outcomes) for state in _STYLES}
        if self._as_json:
            self._event("finished", **{state.replace(" ", "_"): count for state, count in counts.items()})
            return
        if not outcomes:
            self._console.print("No stack to update.")
            return
        table = Table("wave", "stack", "state", "changes", "seconds")
        for it in sorted(outcomes, key=lambda it: (it.wave, it.stack)):
            wave = "-" if it.state == "unchanged" else "canary" if it.wave == 0 else str(it.wave)
            numbers = (str(it.changed), f"{it.seconds:.1f}") if it.state == "updated" else ("", "")
            table.add_row(wave, Text(it.stack), Text(it.state, style=_STYLES[it.state]), *numbers)
        self._console.print(table)
        told = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
        again = " Run the same command again to go on." if counts["failed"] or counts["not started"] else ""
        self._console.print(f"{told}.{again}", highlight=False)

    def stopped(self, reason: str) -> None:
        """Why nothing is done."""
        if self._as_json:
            self._event("stopped", reason=reason)
        else:
            self._errors.print(reason, markup=False, highlight=False, soft_wrap=True)

    def said(self, message: str) -> None:
        """A word to whoever pressed Ctrl-C."""
        self._errors.print(message, markup=False, highlight=False)

    def _event(self, event: str, **facts: Any) -> None:
        line = json.dumps({"time": datetime.now(UTC).isoformat(), "event": event, **facts})
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
