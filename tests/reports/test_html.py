from collections import Counter
from html.parser import HTMLParser

from hypothesis import given
from reports.generated import SAMPLE, normal, outline, reports

from threatmon.reports import model
from threatmon.reports.rendering import render

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


@given(reports)
def test_any_report_is_read_back_as_it_was_and_no_text_makes_a_tag_or_attribute(report: model.Report) -> None:
    text = render(report, "html")
    text.encode()
    page = Page(text)
    assert normal((_KINDS[tag], text) for tag, text in page.texts if tag in _KINDS) == outline(report)
    assert {tag for tag, _ in page.texts} <= _TAGS
    assert {name for _, name, _ in page.attributes} <= _ATTRIBUTES
    assert page.of("style") == Page(render(SAMPLE, "html")).of("style")


def test_the_page_loads_nothing_and_runs_nothing() -> None:
    text = render(SAMPLE, "html")
    page = Page(text)
    assert page.values("content", "meta")[0] == "default-src 'none'; style-src 'unsafe-inline'"
    assert all(address.startswith("#") for address in page.values("href"))
    assert "url(" not in text
    assert "@import" not in text


def test_the_links_of_the_page_lead_somewhere_and_a_section_without_a_title_has_none() -> None:
    page = Page(render(SAMPLE, "html"))
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    assert page.values("href") == ["#section-1"]
    assert {"section-1", *page.values("aria-labelledby")} <= {*ids}


def test_a_state_has_a_sign_beside_its_colour() -> None:
    page = Page(render(SAMPLE, "html"))
    assert page.of("td")[0] == "\N{CHECK MARK} ok"
    assert "\N{CHECK MARK} All is well." in page.of("p")
    assert page.values("class") == ["state ok", "state failed", "state warning", "state failed", "state ok"]


def test_the_page_says_to_a_screen_reader_what_its_parts_are() -> None:
    page = Page(render(SAMPLE, "html"))
    assert page.values("lang", "html") == ["en"]
    assert page.of("title") == page.of("h1") == ["A title"]
    assert page.of("th") == [
        *("State", "What", "Found", "To do", "detector", "topic", "key"),
        *("State", "Port", "22", "4444"),
    ]
    assert Counter(page.values("scope")) == {"col": 6, "row": 5}
    assert Counter(page.values("role"))["columnheader"] == 6


def test_the_page_fits_a_phone_and_a_sheet_of_paper() -> None:
    text = render(SAMPLE, "html")
    assert "width=device-width" in Page(text).values("content", "meta")[1]
    assert "@media screen and (max-width" in text
    assert "@media print" in text
