import subprocess
import sys
from datetime import UTC, datetime
from io import StringIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reports.generated import SAMPLE, hostile, reports
from rich.console import Console

from threatmon.model.one_line import one_line
from threatmon.reports import model
from threatmon.reports.rendering import render
from threatmon.reports.text import print_report


def on_terminal(report: model.Report, width: int, **options: Any) -> str:
    file = StringIO()
    print_report(report, Console(file=file, force_terminal=True, width=width, **options))
    return file.getvalue()


def test_each_block_on_a_terminal_and_in_a_file() -> None:
    expected = """\
A title

A sentence.

ok      detector  ENABLED
failed  topic     is gone
warning key       is old
        -> Deploy it.

Severity  MEDIUM
Id        1a
a, b, c and 1 more

Traffic
-------
Ports

State  Port
open     22
       4444
... and 3 more

a
  |

All is well.
  + a: 1
  ~ b: 2
      c
  ... and 1,200 more
  an ```error```

"""
    assert render(SAMPLE, "text") == expected
    assert on_terminal(SAMPLE, 80, color_system=None) == expected


def test_a_table_that_does_not_fit_is_a_paragraph_a_row() -> None:
    table = model.Table(
        "", ("State", "Subnet", "Name"), [(model.Status("ok", "covered"), "subnet-0123456789", ""), ("b", "c", "d")]
    )
    report = model.Report("t", [model.Section("s", [table])])
    assert "State    Subnet             Name\n" in on_terminal(report, 33, color_system=None)
    assert on_terminal(report, 25, color_system=None) == (
        "t\n\ns\n-\ncovered\n  Subnet: subnet-0123456789\nb\n  Subnet: c\n  Name: d\n"
    )


def test_states_and_signs_are_coloured() -> None:
    shown = on_terminal(SAMPLE, 80, color_system="standard")
    for coloured in ("\x1b[1;31mopen", "\x1b[32mok", "\x1b[33mwarning", "\x1b[32m  + a: 1", "\x1b[33m  ~ b: 2"):
        assert coloured in shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb", "a\\nb"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\ud800", "\\ud800"),
        ("Grüße", "Grüße"),
    ],
)
def test_what_a_terminal_would_act_on_is_escaped(text: str, shown: str) -> None:
    assert one_line(text) == shown


@given(reports, st.integers(5, 100))
def test_no_text_does_anything_to_a_terminal(report: model.Report, width: int) -> None:
    for shown in (render(report, "text"), on_terminal(report, width, color_system=None)):
        assert all(char.isprintable() or char == "\n" for char in shown)


@given(st.lists(hostile, min_size=8, max_size=8), st.integers(0, 300))
def test_without_a_terminal_every_text_is_one_whole_line(texts: list[str], padding: int) -> None:
    title, heading, paragraph, name, value, cell, found, line = (f"[{text}{'x ' * padding}]" for text in texts)
    table, checks = model.Table("", ("c",), [(cell,)]), model.Checks([model.Check("ok", "s", found)])
    blocks = [paragraph, model.Facts([(name, value)]), table, checks, model.Listing([model.Line("+", line)])]
    lines = render(model.Report(title, [model.Section(heading, blocks)]), "text").split("\n")
    for text in (title, heading, paragraph, f"{one_line(name)}  {one_line(value)}", cell):
        assert one_line(text) in lines
    assert {f"ok      s  {one_line(found)}", f"  + {one_line(line)}"} < {*lines}


def test_json_is_the_data_and_nothing_else_and_a_time_in_it_is_a_text() -> None:
    data = {"at": datetime(2026, 11, 22, 12, 30, tzinfo=UTC), "\ud800": [1, None]}
    shown = render(model.Report("t", [model.Section("s", ["x"])], data), "json")
    assert shown == '{\n  "at": "2026-11-22 12:30:00+00:00",\n  "\\ud800": [\n    1,\n    null\n  ]\n}\n'


def test_only_who_prints_text_loads_rich() -> None:
    program = "import sys, threatmon.reports.rendering; assert 'rich' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)
