from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from html.parser import HTMLParser
from string import printable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from threatmon.fleet.coverage import LEVEL_OF, Coverage, Part, Stack, Subnet, SubnetState
from threatmon.fleet.coverage_report import gaps, html, report, stacks, subnets, summary, verdict
from threatmon.reports import Table, render

AT = datetime(2026, 11, 22, 12, 30, tzinfo=UTC)
OK = Part("ok", "fine")
VOID = frozenset({"meta"})
TAGS = frozenset(
    {"html", "head", "meta", "title", "style", "body", "header", "nav", "a", "main", "section", "h1", "h2", "p"}
    | {"dl", "dt", "dd", "table", "caption", "thead", "tbody", "tr", "th", "td"}
)


def stack(name: str = "prod", account: str = "111122223333", region: str = "eu-west-1", **parts: Part) -> Stack:
    whole = {"detector": OK, "plans": OK, "rules": OK, "last_alert": OK, **parts}
    return Stack(name, account, region, subscriptions={"soc@example.com": whole.pop("subscription", OK)}, **whole)


def subnet(state: SubnetState = "covered", id_: str = "subnet-1", **changes: str) -> Subnet:
    texts = {"stack": "prod", "name": "web", "vpc_id": "vpc-1", "cidr": "10.0.0.0/24", "found": "as said", **changes}
    return Subnet(state, "111122223333", "eu-west-1", id=id_, **texts)


WHOLE = Coverage(AT, (stack(),), (subnet(),))
HURT = Coverage(
    AT,
    (
        stack("dev", detector=Part("gap", "DISABLED", "Enable it."), last_alert=Part("unknown", "denied")),
        stack("prod", "444455556666", "us-east-1", subscription=Part("gap", "is not confirmed", "Confirm it.")),
    ),
    (subnet("uncovered", stack=""), subnet("another's", "subnet-2", stack=""), subnet("covered", "subnet-3")),
)


class Page(HTMLParser):
    """A page as a browser reads it: its tags, and the texts of its cells."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str | None]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value) for name, value in attrs]
        self.texts.append((tag, ""))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.texts:
            tag, text = self.texts[-1]
            self.texts[-1] = tag, text + data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)

    def of(self, tag: str) -> list[str]:
        return [text.strip() for name, text in self.texts if name == tag]

    def values(self, attribute: str, tag: str = "") -> list[str | None]:
        return [value for of, name, value in self.attributes if name == attribute and tag in ("", of)]


def tables(found: Coverage) -> Iterator[Table]:
    yield from (gaps(found), stacks(found), subnets(found))


# -- what is said -----------------------------------------------------------------------------------------------------


def test_the_summary_counts_accounts_regions_stacks_and_subnets() -> None:
    assert summary(HURT) == [
        ("Asked at", "2026-11-22 12:30 UTC"),
        ("Accounts", "2"),
        ("Regions", "2"),
        ("Stacks", "2: 2 gap"),
        ("Subnets", "3: 1 uncovered, 1 another's, 1 covered"),
    ]


def test_no_subnets_are_none() -> None:
    assert summary(Coverage(AT, (stack(),), ()))[-1] == ("Subnets", "0")


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (WHOLE, "Everything that was asked about is covered."),
        (HURT, "3 gaps; 1 not known."),
        (Coverage(AT, (stack(detector=Part("gap", "none")),), ()), "1 gap."),
        (Coverage(AT, (stack(detector=Part("unknown", "denied")),), ()), "No gaps; 1 not known."),
    ],
)
def test_the_verdict_tells_gaps_from_what_is_not_known(found: Coverage, said: str) -> None:
    assert verdict(found) == said


def test_a_stack_has_a_row_with_a_word_for_each_part() -> None:
    assert stacks(HURT).rows == [
        ("gap", "111122223333", "eu-west-1", "dev", "DISABLED", "fine", "fine", "1 of 1 confirmed", "unknown"),
        ("gap", "444455556666", "us-east-1", "prod", "fine", "fine", "fine", "0 of 1 confirmed", "fine"),
    ]
    unasked = Coverage(AT, (stack(subscription=Part("unknown", "denied")),), ())
    assert stacks(unasked).rows[0][-2] == "unknown"


def test_a_subnet_of_no_stack_says_so() -> None:
    assert subnets(HURT).rows[0][:6] == ("uncovered", "111122223333", "eu-west-1", "none", "subnet-1", "web")


def test_gaps_come_with_what_to_do() -> None:
    assert gaps(HURT).rows[0] == (
        "gap", "111122223333", "eu-west-1", "dev", "detector", "DISABLED", "Enable it."
    )  # fmt: skip


def test_the_report_puts_gaps_before_everything_that_is_fine() -> None:
    assert [section.title for section in report(HURT).sections] == [
        "Summary",
        "Gaps",
        "Stacks",
        "Subnets",
        "What this does not say",
    ]
    assert report(WHOLE).sections[1].blocks == ["None."]


def test_every_format_says_that_other_regions_were_not_asked() -> None:
    said = "Only the accounts and Regions that stack files name were asked"
    assert said in render(report(WHOLE), "markdown")
    assert said in html(WHOLE)


def test_the_markdown_has_every_row() -> None:
    text = render(report(HURT), "markdown")
    assert "| gap | 111122223333 | eu-west-1 | dev | detector | DISABLED | Enable it. |" in text
    assert sum(line.startswith("| ") for line in text.splitlines()) == 7 + 3 * 2 + sum(
        len(table.rows) for table in tables(HURT)
    )


# -- the page ---------------------------------------------------------------------------------------------------------


def test_the_page_has_every_cell_of_every_table() -> None:
    page = Page(html(HURT))
    cells = [cell for table in tables(HURT) for row in table.rows for cell in map(str, row[1:])]
    shown = Counter(page.of("td") + page.of("th"))
    assert all(shown[cell] >= count for cell, count in Counter(cells).items())
    assert page.tags["table"] == 3


def test_a_state_is_told_by_word_and_sign_and_not_by_colour_alone() -> None:
    page = Page(html(HURT))
    assert page.of("td")[0] == "\N{BALLOT X} gap"
    assert {"? unknown", "i another's", "\N{CHECK MARK} covered"} <= set(page.of("td"))
    assert {"state gap", "state unknown", "state note", "state ok"} == set(page.values("class"))


def test_each_state_of_a_subnet_has_its_class() -> None:
    for state, level in LEVEL_OF.items():
        page = Page(html(Coverage(AT, (), (subnet(state),))))
        assert f"state {level}" in page.values("class")


def test_the_page_loads_nothing_and_runs_nothing() -> None:
    text = html(HURT)
    page = Page(text)
    assert page.values("content", "meta")[0] == "default-src 'none'; style-src 'unsafe-inline'"
    assert set(page.tags) <= TAGS
    assert all(value and value.startswith("#") for value in page.values("href"))
    assert "url(" not in text
    assert "@import" not in text


def test_the_links_of_the_page_lead_somewhere() -> None:
    page = Page(html(HURT))
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    assert {f"#{id_}" for id_ in ids} >= set(page.values("href"))
    assert set(ids) >= set(page.values("aria-labelledby"))


def test_the_page_tells_a_screen_reader_what_its_parts_are() -> None:
    page = Page(html(HURT))
    assert page.values("lang", "html") == ["en"]
    assert page.of("title") == ["Coverage of the fleet: 3 gaps; 1 not known."]
    assert page.of("h1") == ["Coverage of the fleet"]
    assert len(page.values("scope", "th")) == page.tags["th"]
    assert page.tags["caption"] == page.tags["table"]
    rows = sum(len(table.rows) for table in tables(HURT))
    assert Counter(page.values("scope")) == {"col": sum(len(table.columns) for table in tables(HURT)), "row": rows}


def test_the_page_fits_a_phone_and_a_sheet_of_paper() -> None:
    text = html(HURT)
    assert "width=device-width" in (Page(text).values("content", "meta")[1] or "")
    assert "@media screen and (max-width" in text
    assert "@media print" in text
    assert "position: sticky" in text


HOSTILE = st.one_of(
    st.text(),
    st.text(alphabet=printable),
    st.sampled_from(
        [
            "</td><script>alert(1)</script>",
            '"><img src=x onerror=alert(1)>',
            "</style><style>*{display:none}</style>",
            "<!-- ",
            "]]>",
            "&lt;b&gt;",
            "\ud800",
            "\x00\x1b[2J",
            "\u202etxt.exe",
        ]
    ),
)


@given(name=HOSTILE, found=HOSTILE, stack_name=HOSTILE, reason=HOSTILE, subscriber=HOSTILE)
def test_no_text_of_others_makes_a_tag_or_an_attribute(
    name: str, found: str, stack_name: str, reason: str, subscriber: str
) -> None:
    def coverage(name: str, found: str, stack_name: str, reason: str, subscriber: str) -> Coverage:
        hurt = stack(stack_name, detector=Part("unknown", reason), rules=Part("gap", found, reason))
        hurt = hurt._replace(subscriptions={subscriber: Part("gap", found, reason)})
        return Coverage(AT, (hurt,), (subnet("uncovered", name=name, found=found, stack=""),))

    text = html(coverage(name, found, stack_name, reason, subscriber))
    text.encode()
    hostile, harmless = Page(text), Page(html(coverage("a", "b", "c", "d", "e")))
    assert hostile.open == []
    assert hostile.tags == harmless.tags
    assert Counter(hostile.attributes) == Counter(harmless.attributes)


@given(HOSTILE)
def test_what_others_wrote_is_shown_as_they_wrote_it(text: str) -> None:
    page = Page(html(Coverage(AT, (), (subnet(name=f"[{text}]"),))))
    visible = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
    assert f"[{visible}]" in page.of("td")
