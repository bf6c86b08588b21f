"""A report as data: sections of blocks, for a person to read; and one document for a machine.

Texts are unescaped, perhaps an attacker's; the renderers escape them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

State = Literal["failed", "unknown", "warning", "ok"]
STATES: tuple[State, ...] = ("failed", "unknown", "warning", "ok")
"""Worst first."""
SIGNS: Mapping[State, str] = {"failed": "\N{BALLOT X}", "unknown": "?", "warning": "!", "ok": "\N{CHECK MARK}"}
"""For readers who see no colours."""

FEW, MOST = 3, 200
_STEP = 1000
_UNITS = ("B", "kB", "MB", "GB", "TB")


@dataclass(frozen=True)
class Status:
    """A text with a state, shown by colour or sign; without ``word`` it is the state's name."""

    state: State
    word: str = ""

    def __str__(self) -> str:
        """Return the word."""
        return self.word or self.state


Value = str | Status


@dataclass(frozen=True)
class Table:
    """Rows under a title, which may be empty, and the number of rows left out.

    ``heading`` is the column that names a row, for a screen reader: by default the first that is no status.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Value]]
    more: int = 0
    heading: str = ""


@dataclass(frozen=True)
class Facts:
    """Names and values, one pair a line."""

    rows: Sequence[tuple[str, Value]]

    def as_table(self) -> Table:
        """Return the pairs as a table without titles."""
        return Table("", ("", ""), self.rows)


class Check(NamedTuple):
    """The state of one subject, and what to do about it."""

    state: State
    subject: str
    found: str
    todo: str = ""


@dataclass(frozen=True)
class Checks:
    """Checks, one a line."""

    rows: Sequence[Check]

    def as_table(self) -> Table:
        """Return the checks as a table; a column of what to do only if there is anything to do."""
        columns = ("State", "What", "Found", "To do")[: 4 if any(check.todo for check in self.rows) else 3]
        rows = [(Status(check.state), *check[1 : len(columns)]) for check in self.rows]
        return Table("", columns, rows, heading="What")


@dataclass(frozen=True)
class Drawing:
    """One drawing, as lines of text and as Mermaid."""

    text: str
    mermaid: str


@dataclass(frozen=True)
class Names:
    """A list of names, possibly long: its first few are shown at once."""

    names: Sequence[str]


class Line(NamedTuple):
    """One line of a listing. The sign of a diff's line is ``+``, ``-``, ``~`` or a space."""

    sign: str
    text: str


@dataclass(frozen=True)
class Listing:
    """Lines of a diff with their signs, of a text or command without; ``more`` are left out."""

    rows: Sequence[Line]
    kind: Literal["diff", "text", "sh"] = "diff"
    more: int = 0

    def lines(self) -> list[str]:
        """Return each line, in a diff after its sign."""
        return [f"{line.sign} {line.text}" if self.kind == "diff" else line.text for line in self.rows]


Block = str | Status | Facts | Table | Checks | Drawing | Names | Listing


@dataclass(frozen=True)
class Section:
    """Blocks under a title, which may be empty. A block that is a ``str`` or :class:`Status` is a paragraph."""

    title: str
    blocks: Sequence[Block] = ()


@dataclass(frozen=True)
class Report:
    """A title, its sections, and the same as ``data`` for a machine: values that ``json`` or ``str`` writes.

    ``marker`` is an HTML comment at the start of the Markdown, by which CI finds the comment it has to update.
    """

    title: str
    sections: Sequence[Section]
    data: Mapping[str, Any] = field(default_factory=dict[str, Any])
    marker: str = ""


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], most: int) -> Table:
    """Return a table of the first ``most`` rows; a cell that is None is empty."""
    cells = [
        tuple(cell if isinstance(cell, Status) else "" if cell is None else str(cell) for cell in row)
        for row in rows[:most]
    ]
    return Table(title, columns, cells, max(0, len(rows) - most))


def verbatim(text: str, kind: Literal["text", "sh"] = "text") -> Listing:
    """Return a text of several lines as a listing."""
    return Listing([Line("", line) for line in text.split("\n")], kind)


def size(count: int) -> str:
    """Return bytes in the unit people read: ``1.5 MB``."""
    value, unit = float(count), 0
    while value >= _STEP and unit < len(_UNITS) - 1:
        value, unit = value / _STEP, unit + 1
    return f"{count} B" if unit == 0 else f"{value:.1f} {_UNITS[unit]}"


def counted(count: int, noun: str) -> str:
    """Return ``1 change``, ``1,200 changes``."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def first_few(names: Sequence[str], put: Callable[[str], str] = str, most: int = FEW) -> str:
    """Return ``a, b, c and 44 more``, each name as ``put`` writes it."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(map(put, names[:most])) + more


def short(text: str, width: int = 200) -> str:
    """Return a text of ``width`` characters at most: a longer one ends in ``…``."""
    return text if len(text) <= width else f"{text[: width - 1]}…"
