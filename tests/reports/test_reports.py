import pytest
from hypothesis import given
from hypothesis import strategies as st

from threatmon.reports import Drawing, Facts, Report, Section, Table, markdown, plain, size, table


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (1_500_000, "1.5 MB"),
        (2 * 10**9, "2.0 GB"),
        (10**16, "10000.0 TB"),
    ],
)
def test_bytes_are_told_in_the_unit_people_read(count: int, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [("a\nb", "a\\nb"), ("\x1b[31mred", "\\x1b[31mred"), ("\u202egnp.exe", "\\u202egnp.exe"), ("Grüße", "Grüße")],
)
def test_what_a_terminal_would_act_on_is_escaped(text: str, shown: str) -> None:
    assert plain(text) == shown


def test_a_table_has_its_first_rows_and_counts_the_others() -> None:
    made = table("Ports", ("Port", "Name"), [(22, "SSH"), (4444, None), (1, "x")], 2)
    assert made == Table("Ports", ("Port", "Name"), [("22", "SSH"), ("4444", "")], 1)


def test_markdown_has_headings_tables_sentences_and_the_drawing_as_mermaid() -> None:
    report = Report(
        "Recon:EC2/Portscan",
        [
            Section("The finding", [Facts([("Severity", "MEDIUM (5)")]), "A sentence."]),
            Section("Traffic", [Table("Ports", ("Port",), [("22",)], 3), Drawing("internet", "flowchart LR")]),
        ],
    )
    assert markdown(report) == (
        "# Recon:EC2/Portscan\n\n"
        "## The finding\n\n|  |  |\n| --- | --- |\n| Severity | MEDIUM (5) |\n\nA sentence.\n\n"
        "## Traffic\n\n**Ports**\n\n| Port |\n| --- |\n| 22 |\n\n... and 3 more\n\n"
        "```mermaid\nflowchart LR\n```\n"
    )


@given(st.text(st.one_of(st.sampled_from("|`*_[]<>#~&\\\n\r"), st.characters())))
def test_no_text_turns_into_markup_or_breaks_a_row(text: str) -> None:
    plainly = markdown(Report("t", [Section("s", [Facts([("a", "b")]), Table("x", ("c",), [("d",)])])]))
    hostile = markdown(Report("t", [Section("s", [Facts([("a", text)]), Table("x", ("c",), [(text,)])])]))
    assert hostile.count("\n") == plainly.count("\n")
    for line, expected in zip(hostile.split("\n"), plainly.split("\n"), strict=True):
        bare = line.replace("\\\\", "").replace("\\|", "").replace("\\<", "").replace("\\`", "")
        assert bare.count("|") == expected.count("|")
        assert bare.count("`") == bare.count("<") == 0
