"""A report as data: what a terminal prints and a ticket holds. Its texts may come from anywhere."""

from collections.abc import Sequence
from dataclasses import dataclass, field

_STEP = 1000
_UNITS = ("B", "kB", "MB", "GB", "TB")


@dataclass(frozen=True)
class Facts:
    """Named values, one a line."""

    rows: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Table:
    """Rows under a heading. ``more`` says how many further rows are left out."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    more: int = 0


@dataclass(frozen=True)
class Drawing:
    """One drawing, as lines for a terminal and as Mermaid."""

    text: str
    mermaid: str


Block = str | Facts | Table | Drawing


@dataclass(frozen=True)
class Section:
    """A part of a report; a block that is text is a sentence."""

    title: str
    blocks: Sequence[Block] = field(default_factory=tuple)


@dataclass(frozen=True)
class Report:
    """A title and the sections under it."""

    title: str
    sections: Sequence[Section]


def plain(text: object) -> str:
    """Any text as one line that a terminal only shows: what it would act on is escaped."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in str(text))


def size(count: int) -> str:
    """Bytes in the unit people read: ``1.5 MB``."""
    value, unit = float(count), 0
    while value >= _STEP and unit < len(_UNITS) - 1:
        value, unit = value / _STEP, unit + 1
    return f"{count} B" if unit == 0 else f"{value:.1f} {_UNITS[unit]}"


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], most: int) -> Table:
    """A table of the first ``most`` rows."""
    cells = [tuple("" if cell is None else str(cell) for cell in row) for row in rows[:most]]
    return Table(title, columns, cells, max(0, len(rows) - most))


def markdown(report: Report) -> str:
    """The report as GitHub's Markdown, which most trackers read; no text of it turns into markup."""
    lines = [f"# {_escaped(report.title)}"]
    for section in report.sections:
        lines += ["", f"## {_escaped(section.title)}"]
        for block in section.blocks:
            lines += ["", *_block(block)]
    return "\n".join([*lines, ""])


def _block(block: Block) -> list[str]:
    if isinstance(block, str):
        return [_escaped(block)]
    if isinstance(block, Facts):
        return _rows(("", ""), [(name, value) for name, value in block.rows])
    if isinstance(block, Drawing):
        return ["```mermaid", block.mermaid, "```"]
    more = ["", f"... and {block.more} more"] if block.more else []
    return [f"**{_escaped(block.title)}**", "", *_rows(block.columns, block.rows), *more]


def _rows(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    cells = [columns, ["---"] * len(columns), *rows]
    return [
        "|".join(["", *(f" {cell if index == 1 else _escaped(cell)} " for cell in row), ""])
        for index, row in enumerate(cells)
    ]


_MARKUP = str.maketrans({char: f"\\{char}" for char in "\\`*_[]<>|~#"} | {"&": "&amp;"})


def _escaped(text: str) -> str:
    return plain(text).translate(_MARKUP)
