"""Preview, drift and update of one stack, by Pulumi's Automation API.

https://www.pulumi.com/docs/iac/guides/building-extending/automation-api/
"""

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial

from pulumi.automation import CommandError, PulumiFn, Stack

from threatmon.errors import ThreatmonError
from threatmon.fleet.changes import StackPreview
from threatmon.fleet.engine import engine_message
from threatmon.fleet.event_collector import EventCollector
from threatmon.fleet.locks import when_unlocked
from threatmon.fleet.places import why_moved
from threatmon.fleet.previewed import Previewed
from threatmon.fleet.recovery import InterruptedOperation, interrupted_operations, look_up, repair
from threatmon.fleet.rollout import StackUpdate
from threatmon.fleet.targets import Target
from threatmon.fleet.workspaces import Workspaces

_FAILURES = (CommandError, ThreatmonError)


@dataclass(frozen=True)
class Fleet:
    """Previews and updates stacks; its methods may run side by side, and report what fails rather than raise it."""

    workspaces: Workspaces
    find: Callable[[Target, InterruptedOperation], str | None] = lambda _, __: None
    """returns the id of what an interrupted creation has made, if it can be found"""
    say: Callable[[str], object] = lambda _: None
    """says what an update waits for, while it does"""
    _previewed: dict[str, Previewed] = field(default_factory=dict[str, Previewed])

    def preview(self, target: Target) -> StackPreview:
        """Return what an update would do. Raises :class:`UsageError` if the stacks cannot be listed."""
        workspaces = self.workspaces
        is_new = target.stack not in workspaces.known
        seen = self._previewed[target.stack] = Previewed(target.stack)

        def run(events: EventCollector) -> None:
            workspaces.refuse_unreadable(target)
            if is_new:
                workspaces.refuse_renamed(target)
            with workspaces.throwaway(target) if is_new else nullcontext(workspaces.open(target)) as stack:
                stack.preview(program=seen.seen_by(workspaces.program), on_event=events, color="never")

        events = EventCollector()
        preview = _preview(target, events, run, is_new=is_new)
        seen.before = events.before
        # A provider that refuses the new place keeps the engine from reporting the old one.
        deployed = workspaces.places(target) if preview.error and not is_new else events.places
        return preview._replace(error=why_moved(target, deployed) or preview.error)

    def is_unreadable(self, stack: str) -> bool:
        """Say whether the state of a stack cannot be read, which concerns no other stack."""
        known = self.workspaces.known.get(stack)
        return known is not None and known.fault is not None

    def is_outdated(self, stack: str) -> bool:
        """Say whether the last update of a stack found another state than its preview, and changed nothing."""
        return stack in self._previewed and self._previewed[stack].is_outdated

    def without_file(self) -> list[StackPreview]:
        """Return the stacks that have no file. Raises :class:`UsageError` if the stacks cannot be listed."""
        return [
            StackPreview(left.known.name, left.account_id, left.region, without_file=True, notes=(left.advice,))
            for left in self.workspaces.leftovers
        ]

    def drift(self, target: Target) -> StackPreview:
        """Return what differs between the account and the stack's state."""

        def run(events: EventCollector) -> None:
            self.workspaces.refuse_unreadable(target)
            self.workspaces.open(target).preview_refresh(on_event=events, color="never")

        return _preview(target, EventCollector(refreshing=True), run, is_new=False)

    def interrupt(self) -> None:
        """Ask every engine under way to stop; each saves the state of its stack first."""
        self.workspaces.engine.interrupt()

    def update(self, target: Target) -> StackUpdate:
        """Deploy one stack, and repair what a killed run has left of it."""
        began = time.monotonic()
        notes: list[str] = []
        changed, error = 0, None
        try:
            stack = self.workspaces.create(target)
            seen = self._previewed.get(target.stack) or Previewed(target.stack)
            previewed = seen.required_by(
                self.workspaces.program, partial(self.workspaces.run, target, "stack", "export")
            )
            self._recover(target, stack, notes)
            events, error = self._up(stack, notes, previewed)
            changed = events.changed
        except _FAILURES as failure:
            error = _error(EventCollector(), failure)
        seconds = time.monotonic() - began
        return StackUpdate(target.stack, "failed" if error else "updated", 0, seconds, changed, error, tuple(notes))

    def _recover(self, target: Target, stack: Stack, notes: list[str]) -> None:
        """Take over what a killed run made, before anything is made a second time.

        Raises :class:`ThreatmonError` if the account cannot be searched for it.
        """
        run = partial(self.workspaces.run, target)
        found = look_up(interrupted_operations(run("stack", "export")), partial(self.find, target))
        notes += [f"an earlier run was interrupted while {key}: {value.summary}" for key, value in found.items()]
        if not all(result.answered for result in found.values()):
            raise ThreatmonError("Nothing was changed: what an interrupted run made, if anything, cannot be looked up.")
        if found:
            self._when_unlocked(partial(repair, run, found), stack, notes)

    def _when_unlocked(self, action: Callable[[], object], stack: Stack, notes: list[str]) -> None:
        records = self.workspaces.engine.records
        when_unlocked(stack.name, action, stack.cancel, notes, records=records, say=self.say)

    def _up(self, stack: Stack, notes: list[str], program: PulumiFn) -> tuple[EventCollector, str | None]:
        """Return what the engine reports of an update, and why it failed if it did."""
        events = EventCollector()
        up = partial(stack.up, program=program, on_event=events, color="never", show_secrets=False)
        try:
            self._when_unlocked(up, stack, notes)
        except CommandError as failure:
            return events, _error(events, failure)
        return events, None


def _preview(
    target: Target, events: EventCollector, run: Callable[[EventCollector], object], *, is_new: bool
) -> StackPreview:
    error = None
    try:
        run(events)
    except _FAILURES as failure:
        error = _error(events, failure)
    place = target.stack, target.account_id, target.region
    return StackPreview(*place, tuple(events.changes), error, is_new, notes=tuple(events.warnings))


def _error(events: EventCollector, failure: Exception) -> str:
    if isinstance(failure, CommandError):
        return "\n".join(dict.fromkeys(events.errors)) or engine_message(failure)
    return str(failure)
