"""The output of a rollout while it runs: lines for people, or one JSON object a line."""

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from rich.console import Console
from rich.text import Text

from threatmon.cli import progress
from threatmon.cli.output import show
from threatmon.fleet.changes import StackPreview
from threatmon.fleet.dangers import dangers
from threatmon.fleet.preview_report import report
from threatmon.fleet.rollout import StackUpdate, UpdateState
from threatmon.reports.model import Report, Section, State, Status, Table

_STATES: Mapping[UpdateState, State] = {
    "updated": "ok",
    "unchanged": "ok",
    "failed": "failed",
    "not started": "warning",
}
_STYLES: Mapping[State, str] = {"ok": "green", "failed": "bold red", "warning": "yellow"}


class _JsonLog:
    def previewed(self, previews: Sequence[StackPreview]) -> None:
        for preview in previews:
            _print_event(
                "previewed",
                stack=preview.stack,
                changes=len(preview.to_do),
                new=preview.is_new,
                dangers=[danger._asdict() for danger in dangers(preview.changes)],
                error=preview.error,
                notes=preview.notes,
            )

    def stopped(self, reason: str) -> None:
        _print_event("stopped", reason=reason)

    def planned(self, waves: Sequence[Sequence[str]]) -> None:
        _print_event("planned", waves=waves)

    def started(self, stack: str) -> None:
        _print_event("started", stack=stack)

    def ended(self, update: StackUpdate) -> None:
        _print_event("ended", **update._asdict())

    def finished(self, updates: Sequence[StackUpdate]) -> None:
        _print_event("finished", **{state.replace(" ", "_"): count for state, count in _counts(updates).items()})


class _TextLog:
    def previewed(self, previews: Sequence[StackPreview]) -> None:
        show(report(previews), "text")

    def stopped(self, reason: str) -> None:
        progress.say(reason)

    def planned(self, waves: Sequence[Sequence[str]]) -> None:
        for number, wave in enumerate(waves):
            _print(f"{f'Wave {number}' if number else 'Canary'}: {', '.join(wave)}")

    def started(self, stack: str) -> None:
        """Print nothing: several stacks are under way at a time."""

    def ended(self, update: StackUpdate) -> None:
        line = Text(f"{update.state:<11} ", _STYLES[_STATES[update.state]]).append(update.stack, "bold")
        if update.state == "updated":
            line.append(f"  {update.changed} changes in {update.seconds:.1f} s", "default")
        _print(line)
        for further in (*update.notes, *(update.error or "").splitlines()):
            _print(f"    {further}")

    def finished(self, updates: Sequence[StackUpdate]) -> None:
        if not updates:
            _print("No stack to update.")
            return
        rows = [_row(update) for update in sorted(updates, key=lambda update: (update.wave, update.stack))]
        counts = _counts(updates)
        again = " Run the same command again to continue." if counts["failed"] or counts["not started"] else ""
        sentence = f"{', '.join(f'{count} {state}' for state, count in counts.items() if count)}.{again}"
        table = Table("", ("Wave", "Stack", "State", "Changes", "Seconds"), rows, heading="Stack")
        show(Report("Rollout", [Section("", [table, sentence])]), "text")


RolloutLog = _JsonLog | _TextLog


def rollout_log(output: Literal["text", "json"]) -> RolloutLog:
    """Return what prints lines for people, or a JSON object a line; its ``started`` may be called on any thread."""
    return _JsonLog() if output == "json" else _TextLog()


def _print(line: str | Text) -> None:
    Console().print(line, markup=False, highlight=False, soft_wrap=True)


def _row(update: StackUpdate) -> tuple[str | Status, ...]:
    wave = "-" if update.state == "unchanged" else str(update.wave or "canary")
    numbers = (str(update.changed), f"{update.seconds:.1f}") if update.state == "updated" else ("", "")
    return wave, update.stack, Status(_STATES[update.state], update.state), *numbers


def _counts(updates: Sequence[StackUpdate]) -> dict[UpdateState, int]:
    return {state: sum(update.state == state for update in updates) for state in _STATES}


def _print_event(event: str, **facts: Any) -> None:
    line = json.dumps({"time": datetime.now(UTC).isoformat(), "event": event, **facts})
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
