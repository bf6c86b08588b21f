"""The order of a rollout: canaries first, then waves of growing size, and what stops it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

from threatmon.fleet.changes import StackPreview
from threatmon.fleet.dangers import dangers

UpdateState = Literal["updated", "unchanged", "failed", "not started"]


class StackUpdate(NamedTuple):
    """The result of one stack in a rollout."""

    stack: str
    state: UpdateState
    wave: int = 0
    """the canaries are wave 0"""
    seconds: float = 0.0
    changed: int = 0
    """resources created, updated, replaced or deleted"""
    error: str | None = None
    notes: tuple[str, ...] = ()
    """what an interrupted run had left behind, and what was done about it"""


def waves(stacks: Iterable[str], canaries: Sequence[str] = (), growth: int = 2) -> list[tuple[str, ...]]:
    """Return the stacks by wave: the canaries (the first by name unless given), then ``growth`` times as many a wave.

    A rollout that goes on begins with a canary again: what it stopped for may not be fixed. ``canaries`` are among the
    stacks; ``growth`` is at least 1.
    """
    remaining = sorted(set(stacks))
    first = tuple(dict.fromkeys(canaries)) or tuple(remaining[:1])
    remaining = [stack for stack in remaining if stack not in first]
    planned = [first] if first else []
    size = len(first) * growth
    while remaining:
        planned.append(tuple(remaining[:size]))
        remaining = remaining[size:]
        size *= growth
    return planned


def roll_out(
    planned: Sequence[Sequence[str]], deploy: Callable[[Sequence[str]], Iterable[StackUpdate]]
) -> Iterator[StackUpdate]:
    """Deploy wave after wave, and yield what became of each stack, of every stack once.

    ``deploy`` gets the stacks of one wave, and may leave out what it did not start. After a wave in which not every
    stack was updated nothing more is started.
    """
    stopped = False
    for number, wave in enumerate(planned):
        done: set[str] = set()
        for update in () if stopped else deploy(wave):
            done.add(update.stack)
            stopped |= update.state == "failed"
            yield update._replace(wave=number)
        missing = [stack for stack in wave if stack not in done]
        yield from (StackUpdate(stack, "not started", number) for stack in missing)
        stopped |= bool(missing)


def has_stopped(updates: Iterable[StackUpdate]) -> bool:
    """Say whether a stack was not updated."""
    return any(update.state in ("failed", "not started") for update in updates)


def blockers(previews: Sequence[StackPreview], allowed: Iterable[str]) -> list[str]:
    """Return why stacks may not be updated: previews that failed, and dangers that are not allowed by their kind."""
    failed = sum(preview.error is not None for preview in previews)
    found = sorted({danger.kind for preview in previews for danger in dangers(preview.changes)} - set(allowed))
    reasons = [f"{failed} of {len(previews)} previews failed."] if failed else []
    return reasons + ([f"dangerous changes. To let them through: --allow {' --allow '.join(found)}"] if found else [])
