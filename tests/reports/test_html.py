from collections import Counter
from html.parser import HTMLParser

from hypothesis import given
from reports.generated import normal, outline, reports

from threatmon.reports import model, render

_KINDS = {"h1": "heading", "h2": "heading", "p": "paragraph", "caption": "paragraph", "summary": "paragraph"} | {
    "pre": "code",
    **dict.fromkeys(("th", "td", "dt", "dd"), "cell"),
}
_TAGS = {*_KINDS, "html", "head", "meta", "title", "style", "body", "header", "nav", "a", "main", "section", "dl"} | {
    *("details", "table", "thead", "tbody", "tr")
}
_ATTRIBUTES = {"lang", "charset", "http-equiv", "content", "name", "aria-label", "aria-labelledby", "id", "href"} | {
    *("role", "scope", "class", "data-column")
}


class Page(HTMLParser):
    """A page as a browser reads it: its tags, attributes and texts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self.texts.append((tag, ""))
        self.open += [tag] if tag != "meta" else []

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

    def values(self, attribute: str, tag: str = "") -> list[str]:
        return [value for of, name, value in self.attributes if name == attribute and tag in ("", of)]


SUBNETS = model.Table(
    "Each subnet",
    ("State", "Account", "Subnet"),
    [
        (model.Status("failed", "uncovered"), "111122223333", "subnet-1"),
        (model.Status("ok"), "111122223333", "subnet-2"),
    ],
    heading="Subnet",
)
PAGE = model.Report(
    "Coverage",
    [
        model.Section("Summary", [model.Status("failed", "1 gap.")]),
        model.Section("Subnets", [SUBNETS]),
        model.Section("", [model.Checks([model.Check("ok", "key", "")])]),
    ],
)


@given(reports)
def test_any_report_is_read_back_as_it_was_and_no_text_makes_a_tag_or_attribute(report: model.Report) -> None:
    text = render(report, "html")
    text.encode()
    page = Page(text)
    assert normal((_KINDS[tag], text) for tag, text in page.texts if tag in _KINDS) == outline(report)
    assert {tag for tag, _ in page.texts} <= _TAGS
    assert {name for _, name, _ in page.attributes} <= _ATTRIBUTES
    assert page.of("style") == Page(render(PAGE, "html")).of("style")


def test_the_page_loads_nothing_and_runs_nothing() -> None:
    text = render(PAGE, "html")
    page = Page(text)
    assert page.values("content", "meta")[0] == "default-src 'none'; style-src 'unsafe-inline'"
    assert all(address.startswith("#") for address in page.values("href"))
    assert "url(" not in text
    assert "@import" not in text


def test_the_links_of_the_page_lead_somewhere_and_a_section_without_a_title_has_none() -> None:
    page = Page(render(PAGE, "html"))
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    assert page.values("href") == ["#section-0", "#section-1"]
    assert {*ids} >= {*(address.removeprefix("#") for address in page.values("href")), *page.values("aria-labelledby")}


def test_a_state_has_a_sign_beside_its_colour() -> None:
    page = Page(render(PAGE, "html"))
    assert page.of("td")[0] == "\N{BALLOT X} uncovered"
    assert page.of("p")[0] == "\N{BALLOT X} 1 gap."
    assert page.values("class") == ["state failed", "state failed", "state ok", "state ok"]


def test_the_page_says_to_a_screen_reader_what_its_parts_are() -> None:
    page = Page(render(PAGE, "html"))
    assert page.values("lang", "html") == ["en"]
    assert page.of("title") == page.of("h1") == ["Coverage"]
    assert page.of("th") == ["State", "Account", "Subnet", "subnet-1", "subnet-2", "State", "What", "Found", "key"]
    assert Counter(page.values("scope")) == {"col": 6, "row": 3}
    assert Counter(page.values("role"))["columnheader"] == 6


def test_the_page_fits_a_phone_and_a_sheet_of_paper() -> None:
    text = render(PAGE, "html")
    assert "width=device-width" in Page(text).values("content", "meta")[1]
    assert "@media screen and (max-width" in text
    assert "@media print" in text
