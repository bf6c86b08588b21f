import re
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token
from reports.generated import SAMPLE, hostile, normal, outline, reports

from threatmon.reports import model
from threatmon.reports.escape import code, markdown
from threatmon.reports.rendering import render

_KINDS = {"heading_open": "heading", "paragraph_open": "paragraph", "th_open": "cell", "td_open": "cell"}
_FRAME = {
    f"{part}_{end}"
    for part in ("heading", "paragraph", "table", "thead", "tbody", "tr", "th", "td")
    for end in ("open", "close")
}
# What GitHub acts on in a text that is not code: mentions, addresses, issues, emoji, formulas.
_LIVE = re.compile(r"@\w|\w@|https?:/|ftp:/|www\.|#\d|gh-\d|:(?!\d\d:)[\w+-]+:|\$", re.IGNORECASE)
_SENTENCE = re.compile(
    r"\n\.\.\. (?:([\d,]+) sections?)?(?: and )?(?:([\d,]+) lines?)? (?:is|are) not shown here[.;][^\n]*\n\Z"
)


def parsed(text: str) -> list[tuple[str, str]]:
    """Return the outline of a text as GitHub reads it; fails if any text of it has become markup."""
    found: list[tuple[str, str]] = []
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(text)
    details = 0
    for before, token in zip([None, *tokens], tokens, strict=False):
        if token.type == "inline" and before:
            found.append((_KINDS[before.type], inline(token)))
        elif token.type == "fence":
            assert token.map
            assert text.split("\n")[token.map[1] - 1] == token.markup  # it ends at its own fence
            found.append(("code", token.content.removesuffix("\n")))
        elif token.type == "html_block" and (
            opened := re.fullmatch(r"<details><summary>(All \d+)</summary>", token.content.strip())
        ):
            details += 1
            found.append(("paragraph", opened[1]))
        elif token.type == "html_block" and token.content.strip() == "</details>":
            details -= 1
        elif token.type == "html_block":
            assert token.content.strip() == "<!-- a marker -->"
        else:
            assert token.type in _FRAME
    assert details == 0
    return normal(iter(found))


def inline(token: Token) -> str:
    children = [child for child in token.children or [] if child.type != "text" or child.content]
    kinds = [child.type for child in children]
    if kinds[:1] == ["strong_open"]:  # the title of a table
        children = children[1:-1]
        assert kinds[-1] == "strong_close"
    assert {child.type for child in children} <= {"text", "code_inline"}
    assert not [child.content for child in children if child.type == "text" and _LIVE.search(child.content)]
    return "".join(child.content for child in children)


def test_each_block_as_github_reads_it() -> None:
    assert (
        render(SAMPLE, "markdown")
        == """\
# A title

A sentence.

| State | What | Found | To do |
| --- | --- | --- | --- |
| \N{CHECK MARK} ok | detector | ENABLED |  |
| \N{BALLOT X} failed | topic | is gone | Deploy it. |
| ! warning | key | is old | Deploy it. |

|  |  |
| --- | --- |
| Severity | MEDIUM |
| Id | 1a |

`a`, `b`, `c` and 1 more

<details><summary>All 4</summary>

`a`, `b`, `c`, `d`

</details>

## Traffic

**Ports**

| State | Port |
| --- | --- |
| \N{BALLOT X} open | 22 |
|  | 4444 |

... and 3 more

```mermaid
flowchart LR
```

\N{CHECK MARK} All is well.

```diff
+ a: 1
! b: 2
    c
```

... and 1,200 more

````sh
an ```error```

````
"""
    )


def test_a_comment_begins_with_its_marker_and_has_smaller_headings() -> None:
    assert (
        render(model.Report("t", [model.Section("s")], marker="<!-- m -->"), "markdown")
        == "<!-- m -->\n## t\n\n### s\n"
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ask @octocat", "ask `@octocat`"),
        ("soc@example.com", "`soc@example.com`"),
        ("see (https://a.example/?b_c)", "see `(https://a.example/?b_c)`"),
        ("arn:aws:sns:eu-west-1:1:t", "`arn:aws:sns:eu-west-1:1:t`"),
        ("at 12:30:45, i-0a", "at 12:30:45, i-0a"),
        ("fixes #12 | GH-3", r"fixes `#12` \| `GH-3`"),
        ("1. a", r"1\. a"),
        ("---", r"\---"),
        ("2026-11-22", "2026-11-22"),
        ("-2.4 %", "-2.4 %"),
    ],
)
def test_a_word_that_github_would_act_on_is_code(text: str, shown: str) -> None:
    assert markdown(text) == shown


@given(reports)
@example(
    model.Report("a #", [model.Section("1. a", ["- a", "-", "1) a", "2.", "===", "    code", "> a", "# a", "a\r- b"])])
)
def test_any_report_is_read_back_as_it_was_and_no_text_becomes_markup(report: model.Report) -> None:
    assert parsed(render(report, "markdown")) == outline(report)


@given(
    reports,
    st.integers(0, 10_000),
    st.sampled_from(["", "https://ci.example/runs/1", "the @job's `log`", "https://a/<b>"]),
)
def test_a_cut_report_keeps_to_its_limit_and_its_title_and_is_well_formed(
    report: model.Report, room: int, whole: str
) -> None:
    complete = render(report, "markdown")
    try:
        text = render(report, "markdown", limit=1, whole=whole)
    except ValueError as error:
        least = int(str(error).rpartition(" ")[2])
        limit = least + room * max(0, len(complete) - least) // 10_000
        text = render(report, "markdown", limit=limit, whole=whole)
        assert len(text) <= limit
    if text != complete:
        sentence = _SENTENCE.search(text)
        assert sentence
        text = text[: sentence.start()]
        assert not whole or whole in parsed_sentence(sentence[0])
    parsed(text)
    assert text.startswith(render(replace(report, sections=[]), "markdown"))


def parsed_sentence(text: str) -> str:
    (paragraph,) = [token for token in MarkdownIt().parse(text) if token.type == "inline"]
    assert {child.type for child in paragraph.children or []} <= {"text", "code_inline", "link_open", "link_close"}
    return "".join(child.content for child in paragraph.children or [])


def test_a_limit_below_the_least_is_refused_and_the_least_is_enough() -> None:
    report = model.Report("A title", [model.Section("s", ["x" * 1000])])
    with pytest.raises(ValueError, match="limit: 10 characters are too few") as raised:
        render(report, "markdown", limit=10)
    least = int(str(raised.value).rpartition(" ")[2])
    assert render(report, "markdown", limit=least) == "# A title\n\n... 1 section is not shown here.\n"
    with pytest.raises(ValueError, match=f"takes {least}"):
        render(report, "markdown", limit=least - 1)


@given(st.lists(st.integers(1, 60), min_size=1, max_size=6), st.integers(120, 3000))
def test_what_is_left_out_is_counted(sizes: Sequence[int], limit: int) -> None:
    def block(section: int, rows: int) -> model.Table | model.Listing | model.Checks:
        texts = [f"row {section}.{row}." for row in range(rows)]
        makers = (
            lambda: model.Table("", ("a",), [(text,) for text in texts]),
            lambda: model.Listing([model.Line("+", text) for text in texts]),
            lambda: model.Checks([model.Check("ok", text, "fine") for text in texts]),
        )
        return makers[section % 3]()

    sections = [model.Section(f"title {number}", [block(number, rows)]) for number, rows in enumerate(sizes)]
    text = render(model.Report("t", sections), "markdown", limit=limit)
    found = _SENTENCE.search(text)
    missing_sections, missing_lines = (int(count or 0) for count in found.groups()) if found else (0, 0)
    shown = [text.count(f"row {number}.") for number in range(len(sizes))]
    assert missing_sections == sum(f"# title {number}\n" not in text for number in range(len(sizes)))
    assert missing_lines == sum(rows - kept for rows, kept in zip(sizes, shown, strict=True) if kept)
    assert sum(map(int, re.findall(r"\n\.\.\. and (\d+) more\n", text))) == missing_lines


def test_each_section_leaves_half_of_the_room_to_the_later_ones_but_takes_what_they_do_not_need() -> None:
    long = [model.Listing([model.Line("-", "x" * 20)] * 1000)]
    sections = [model.Section("a", long), model.Section("b", long), model.Section("c", ["short"])]
    text = render(model.Report("t", sections), "markdown", limit=4000)
    first, second, third = text.split("\n## ")[1:]
    assert 1700 < len(first) < 2000
    assert 1600 < len(second) < 2000
    assert "short" in third
    assert 3800 < len(text) <= 4000


@given(hostile)
def test_a_code_span_holds_any_text(text: str) -> None:
    (paragraph,) = [token for token in MarkdownIt().parse(f"a {code(text)} b") if token.type == "inline"]
    assert [child.type for child in paragraph.children or []] == ["text", "code_inline", "text"]
