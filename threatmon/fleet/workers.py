"""Parallel work on many stacks, and the handling of Ctrl-C and SIGTERM."""

import signal
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from threading import Event
from types import FrameType
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def in_parallel(
    work: Callable[[_Item], _Result],
    items: Sequence[_Item],
    parallel: int,
    is_stopping: Callable[[], bool] = lambda: False,
) -> Iterator[_Result]:
    """Yield each result when it is ready. Begin no further item once ``is_stopping`` or once ``work`` has raised."""

    def unless_stopping(item: _Item) -> list[_Result]:
        return [] if is_stopping() else [work(item)]

    with ThreadPoolExecutor(max_workers=parallel) as pool:
        try:
            for future in as_completed([pool.submit(unless_stopping, item) for item in items]):
                yield from future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


@contextmanager
def interruptible(say: Callable[[str], None], interrupt: Callable[[], None]) -> Generator[Event]:
    """Yield an event that a first Ctrl-C (or SIGTERM) sets; each further one calls ``interrupt``."""
    stopping = Event()

    def handle(_signal: int, _frame: FrameType | None) -> None:
        if stopping.is_set():
            say("Interrupting the stacks in progress; the state of each is saved.")
            interrupt()
        else:
            stopping.set()
            say("Stopping after the stacks in progress. Press Ctrl-C again to interrupt them.")

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
