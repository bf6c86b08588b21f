"""Progress of long work, on standard error."""

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text


@contextmanager
def status(text: str) -> Generator[Callable[[str], None]]:
    """Show a line until the block ends, if there is a terminal; yield a function that replaces its text."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    with Console(stderr=True).status(Text(text)) as line:
        yield lambda text: line.update(Text(text))


@contextmanager
def bar(title: str, total: int) -> Generator[Callable[[str], None]]:
    """Show how much of ``total`` is done until the block ends; yield a function that counts one more, given its name.

    Without a terminal, as in CI, each is a line: ``Previewed 2 of 50: prod-eu``.
    """
    done = 0
    columns = TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    shown = Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())
    with shown:
        task = shown.add_task(title, total=total)

        def count(what: str) -> None:
            nonlocal done
            done += 1
            shown.advance(task)
            if shown.disable:
                say(f"{title} {done} of {total}: {what}")

        yield count


def say(text: str) -> None:
    """Print a line, above what is shown of progress."""
    sys.stderr.write(f"{text}\n")
