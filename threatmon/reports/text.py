"""A report on a terminal, or in a file or pipe, which have no width to keep to."""

import re
from io import StringIO
from itertools import groupby

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table as RichTable
from rich.text import Text

from threatmon.model.one_line import one_line
from threatmon.reports import model

_UNLIMITED = 10**9
_STYLES: dict[model.State, str] = {"failed": "bold red", "unknown": "bold magenta", "warning": "yellow", "ok": "green"}
_SIGN_STYLES = {"+": "green", "-": "red", "~": "yellow"}
_SPACED = (model.Table, model.Checks, model.Drawing)
_NUMBER = re.compile(r"[-+]?[\d,]*\.?\d+")


def render(report: model.Report) -> str:
    """Return the report as text without colours."""
    file = StringIO()
    print_report(report, Console(file=file))
    return file.getvalue()


def print_report(report: model.Report, console: Console) -> None:
    """Print the report; no text of it does anything to the terminal. Without one, no line is wrapped or cut."""
    if not console.is_terminal:
        console = Console(file=console.file, width=_UNLIMITED, color_system=None)
    _print(console, (one_line(report.title), "bold"))
    for section in report.sections:
        title = one_line(section.title)
        _print(console, (f"\n{title}\n{'-' * len(title)}" if title else "", "bold"))
        for index, block in enumerate(section.blocks):
            if index and any(isinstance(either, _SPACED) for either in section.blocks[index - 1 : index + 1]):
                _print(console)
            _print_block(console, block)


def _print_block(console: Console, block: model.Block) -> None:
    match block:
        case str() | model.Status():
            _print(console, _text(block))
        case model.Table():
            _print_table(console, block)
        case model.Facts():
            _print_table(console, block.as_table())
        case model.Checks():
            _print_checks(console, block)
        case model.Drawing():
            _print(console, "\n".join(map(one_line, block.text.split("\n"))))
        case model.Names(names):
            _print(console, one_line(model.first_few(names)))
        case model.Listing():
            _print_listing(console, block)


def _print_checks(console: Console, checks: model.Checks) -> None:
    """Print what to do once below checks that follow each other and need the same."""
    width = max((len(one_line(check.subject)) for check in checks.rows), default=0)
    for todo, alike in groupby(checks.rows, lambda check: check.todo):
        for state, subject, found, _ in alike:
            _print(console, (f"{state:<8}", _STYLES[state]), f"{one_line(subject):<{width}}  {one_line(found)}")
        if todo:
            _print(console, f"{'':8}-> {one_line(todo)}")


def _print_listing(console: Console, listing: model.Listing) -> None:
    """Print the lines indented, so that none looks like one of ours."""
    for row, line in zip(listing.rows, listing.lines(), strict=True):
        _print(console, (f"  {one_line(line)}".rstrip(), _SIGN_STYLES.get(row.sign, "")))
    _print_more(console, listing.more, "  ")


def _print_table(console: Console, table: model.Table) -> None:
    if table.title:
        _print(console, (f"{one_line(table.title)}\n", "bold"))
    _print_rows(console, table)
    _print_more(console, table.more)


def _print_rows(console: Console, table: model.Table) -> None:
    """Print a table if no word of it has to be broken, else a paragraph a row."""
    grid = RichTable(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=any(table.columns))
    for index, column in enumerate(table.columns):
        numbers = all(_NUMBER.fullmatch(str(row[index])) for row in table.rows)
        grid.add_column(Text(one_line(column)), justify="right" if numbers else "left")
    for row in table.rows:
        grid.add_row(*map(_text, row))
    if Measurement.get(console, console.options.update(max_width=_UNLIMITED), grid).minimum <= console.width:
        with console.capture() as captured:
            console.print(grid)
        console.out("\n".join(line.rstrip() for line in captured.get().rstrip("\n").split("\n")), highlight=False)
        return
    for row in table.rows:
        _print(console, _text(row[0]))
        for column, cell in zip(table.columns[1:], row[1:], strict=True):
            if str(cell):
                _print(console, f"  {one_line(column)}: " if column else "  ", _text(cell))


def _print_more(console: Console, more: int, indentation: str = "") -> None:
    if more:
        _print(console, f"{indentation}... and {more:,} more")


def _text(value: model.Value) -> Text:
    return Text(one_line(value), _STYLES[value.state] if isinstance(value, model.Status) else "")


def _print(console: Console, *parts: str | Text | tuple[str, str]) -> None:
    console.print(Text.assemble(*parts), soft_wrap=True)
