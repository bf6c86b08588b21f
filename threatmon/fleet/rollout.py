"""The order of a rollout: canaries first, then waves of growing size, and what stops it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

State = Literal["updated", "unchanged", "failed", "not started"]


class Outcome(NamedTuple):
    """What became of one stack in a rollout."""

    stack: str
    state: State
    wave: int = 0
    """the canaries are wave 0"""
    seconds: float = 0.0
    changed: int = 0
    """resources created, updated, replaced or deleted"""
    error: str | None = None
    notes: tuple[str, ...] = ()
    """what an interrupted run had left, and what was done about it"""


Waves = Sequence[Sequence[str]]


def waves(stacks: Iterable[str], canaries: Sequence[str] = (), growth: int = 2) -> list[tuple[str, ...]]:
    """The stacks by wave: the canaries (the first by name unless given), then ``growth`` times as many in each wave.

    A rollout that goes on begins with a canary again: what it stopped for is not known to be mended.
    Raises :class:`ValueError` for a canary that is not among the stacks, and for a growth below 1.
    """
    if growth < 1:
        raise ValueError(f"a growth of {growth} never ends; it is at least 1")
    remaining = sorted(set(stacks))
    if unknown := sorted(set(canaries) - set(remaining)):
        raise ValueError(f"{', '.join(unknown)}: not among the stacks to update ({', '.join(remaining) or 'none'})")
    first = tuple(dict.fromkeys(canaries)) or tuple(remaining[:1])
    remaining = [stack for stack in remaining if stack not in first]
    planned = [first] if first else []
    size = len(first) * growth
    while remaining:
        planned.append(tuple(remaining[:size]))
        remaining = remaining[size:]
        size *= growth
    return planned


def roll_out(planned: Waves, deploy: Callable[[Sequence[str]], Iterable[Outcome]]) -> Iterator[Outcome]:
    """Deploys wave after wave, and yields what became of each stack, of every stack once.

    ``deploy`` gets the stacks of one wave, and may leave out what it did not start. After a wave in which not every
    stack was updated nothing more is started.
    """
    stopped = False
    for number, wave in enumerate(planned):
        done: set[str] = set()
        for outcome in () if stopped else deploy(wave):
            done.add(outcome.stack)
            stopped |= outcome.state == "failed"
            yield outcome._replace(wave=number)
        missing = [stack for stack in wave if stack not in done]
        yield from (Outcome(stack, "not started", number) for stack in missing)
        stopped |= bool(missing)
