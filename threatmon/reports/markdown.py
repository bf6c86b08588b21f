"""A report as GitHub's Markdown (https://github.github.com/gfm/), cut to a limit if there is one."""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeVar

from threatmon.reports import model
from threatmon.reports.escape import code, fenced, markdown

COMMENT_LIMIT = 65_536
"""Characters of a comment on GitHub."""
_DIFF_SIGNS = {"~": "!"}  # green, red and orange are +, - and !
_ADDRESS = re.compile(r"https?://[\w./:?=&%#~+,-]+", re.ASCII)
_T = TypeVar("_T")


class _Text(NamedTuple):
    """What is shown of an item, and how many lines and sections of it are not."""

    text: str
    lines: int = 0
    sections: int = 0


def render(report: model.Report, limit: int | None = None, whole: str = "") -> str:
    """Return the report as Markdown of ``limit`` characters at most; no text of it becomes markup.

    What finds no room is counted at the end, with ``whole``, the address of the whole report or words for it. Raises
    :class:`ValueError` if the title and that sentence do not fit.
    """
    hashes = "##" if report.marker else "#"
    top = f"{report.marker}\n" * bool(report.marker) + f"{hashes} {markdown(report.title)}\n"

    def write(section: model.Section) -> str:
        return _heading(section, hashes) + "".join(map(_write, section.blocks))

    def cut(section: model.Section, room: int) -> _Text:
        heading = _heading(section, hashes)
        blocks = list(_fit(section.blocks, room - len(heading), _write, _cut))
        body = "".join(block.text for block in blocks)
        return _Text(heading + body, sum(block.lines for block in blocks)) if body else _Text("", sections=1)

    complete = top + "".join(map(write, report.sections))
    if limit is None or len(complete) <= limit:
        return complete
    lines = sum(_lines(block) for section in report.sections for block in section.blocks)
    least = len(top) + len(_rest(lines, len(report.sections), whole))
    if limit < least:
        raise ValueError(f"limit: {limit} characters are too few for the title of the report; it takes {least}")
    sections = list(_fit(report.sections, limit - least, write, cut))
    texts, lines_left, sections_left = zip(*sections, strict=True)
    return f"{top}{''.join(texts)}{_rest(sum(lines_left), sum(sections_left), whole)}"


def _fit(
    items: Sequence[_T], room: int, write: Callable[[_T], str], cut: Callable[[_T, int], _Text]
) -> Iterator[_Text]:
    """Yield items in their order. Each has half of the room that is left, or all that later ones do not need."""
    later = sum(len(write(item)) for item in items)
    for item in items:
        text = write(item)
        later -= len(text)
        own = max(room // 2, room - later)
        shown = _Text(text) if len(text) <= own else cut(item, own)
        room -= len(shown.text)
        yield shown


def _cut(block: model.Block, room: int) -> _Text:
    """Return as much of a block as there is room for, perhaps nothing."""
    block = block.as_table() if isinstance(block, model.Checks | model.Facts) else block
    if isinstance(block, model.Names):
        few = f"\n{model.first_few(block.names, _name)}\n"
        return _Text(few) if len(few) <= room else _Text("", 1)
    if not isinstance(block, model.Table | model.Listing):
        return _Text("", 1)
    count = _lines(block)
    kept = bisect_right(range(1, count), room, key=lambda rows: len(_write(_first(block, rows))))
    return _Text(_write(_first(block, kept)) if kept else "", count - kept)


def _first(block: model.Table | model.Listing, rows: int) -> model.Table | model.Listing:
    return replace(block, rows=block.rows[:rows], more=block.more + _lines(block) - rows)


def _lines(block: model.Block) -> int:
    has_rows = isinstance(block, model.Table | model.Listing | model.Checks | model.Facts)
    return max(1, len(block.rows)) if has_rows else 1


def _rest(lines: int, sections: int, whole: str) -> str:
    parts = [model.counted(count, noun) for count, noun in ((sections, "section"), (lines, "line")) if count]
    where = f"; the whole report: {f'<{whole}>' if _ADDRESS.fullmatch(whole) else code(whole)}" if whole else "."
    return f"\n... {' and '.join(parts)} {'is' if lines + sections == 1 else 'are'} not shown here{where}\n"


# -- blocks, each after an empty line ---------------------------------------------------------------------------------


def _heading(section: model.Section, hashes: str) -> str:
    return f"\n{hashes}# {markdown(section.title)}\n" if section.title else ""


def _write(block: model.Block) -> str:
    return "".join(f"{line}\n" for line in ("", *_block(block)))


def _block(block: model.Block) -> list[str]:
    match block:
        case str() | model.Status():
            return [_value(block)]
        case model.Table():
            return [*([f"**{title}**", ""] if (title := markdown(block.title)) else []), *_rows(block), *_more(block)]
        case model.Facts() | model.Checks():
            return _rows(block.as_table())
        case model.Drawing():
            return fenced("mermaid", block.mermaid.split("\n"))
        case model.Listing():
            rows = [line._replace(sign=_DIFF_SIGNS.get(line.sign, line.sign)) for line in block.rows]
            return [*fenced(block.kind, replace(block, rows=rows).lines()), *_more(block)]
        case model.Names(names):
            few = model.first_few(names, _name)
            opened, most = f"<details><summary>All {len(names):,}</summary>", model.first_few(names, _name, model.MOST)
            return [few, "", opened, "", most, "", "</details>"] if names[model.FEW :] else [few]


def _rows(table: model.Table) -> list[str]:
    rows = [list(map(markdown, table.columns)), ["---" for _ in table.columns]]
    rows += [[_value(cell) for cell in row] for row in table.rows]
    return [f"| {' | '.join(row)} |" for row in rows]


def _more(block: model.Table | model.Listing) -> list[str]:
    return ["", f"... and {block.more:,} more"] if block.more else []


def _value(value: model.Value) -> str:
    return markdown(f"{model.SIGNS[value.state]} {value}" if isinstance(value, model.Status) else value)


def _name(name: str) -> str:
    return code(model.short(name))
