"""A report as one self-contained HTML page."""

import xml.etree.ElementTree as ET
from pathlib import Path

from threatmon.model.one_line import one_line
from threatmon.reports import model

# https://developer.mozilla.org/en-US/docs/Web/HTTP/Reference/Headers/Content-Security-Policy
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def render(report: model.Report) -> str:
    """Return the report as a page: no scripts, nothing loaded, every text escaped by the library that writes it."""
    root = ET.Element("html", lang="en")
    head = ET.SubElement(root, "head")
    ET.SubElement(head, "meta", charset="utf-8")
    ET.SubElement(head, "meta", {"http-equiv": "Content-Security-Policy", "content": _POLICY})
    ET.SubElement(head, "meta", name="viewport", content="width=device-width, initial-scale=1")
    _add(head, "title", report.title)
    ET.SubElement(head, "style").text = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
    body = ET.SubElement(root, "body")
    _add(ET.SubElement(body, "header"), "h1", report.title)
    navigation = ET.SubElement(body, "nav", {"aria-label": "Sections"})
    main = ET.SubElement(body, "main")
    for number, section in enumerate(report.sections):
        part = ET.SubElement(main, "section", id=f"section-{number}")
        if section.title:
            _add(navigation, "a", section.title, href=f"#section-{number}")
            _add(part, "h2", section.title, id=f"title-{number}")
            part.set("aria-labelledby", f"title-{number}")
        for block in section.blocks:
            _block(part, block)
    ET.indent(root, "")
    return "<!doctype html>\n" + ET.tostring(root, encoding="unicode", method="html") + "\n"


def _block(parent: ET.Element, block: model.Block) -> None:
    match block:
        case str() | model.Status():
            _add(parent, "p", block)
        case model.Facts():
            listed = ET.SubElement(parent, "dl")
            for name, value in block.rows:
                _add(listed, "dt", name)
                _add(listed, "dd", value)
        case model.Table():
            _table(parent, block)
        case model.Checks():
            _table(parent, block.as_table())
        case model.Drawing():
            _lines(parent, block.text.split("\n"))
        case model.Listing():
            _lines(parent, block.lines())
            _more(parent, block.more)
        case model.Names(names):
            _add(parent, "p", model.first_few(names))
            if names[model.FEW :]:
                details = ET.SubElement(parent, "details")
                _add(details, "summary", f"All {len(names):,}")
                _add(details, "p", model.first_few(names, most=model.MOST))


def _table(parent: ET.Element, shown: model.Table) -> None:
    table = ET.SubElement(parent, "table", role="table")
    if shown.title:
        _add(table, "caption", shown.title)
    titles = ET.SubElement(ET.SubElement(table, "thead", role="rowgroup"), "tr", role="row")
    for column in shown.columns:
        _add(titles, "th", column, scope="col", role="columnheader")
    body = ET.SubElement(table, "tbody", role="rowgroup")
    states = {index for row in shown.rows for index, cell in enumerate(row) if isinstance(cell, model.Status)}
    others = [index for index in range(len(shown.columns)) if index not in states]
    heading = shown.columns.index(shown.heading) if shown.heading else next(iter(others), 0)
    for cells in shown.rows:
        row = ET.SubElement(body, "tr", role="row")
        for index, (column, cell) in enumerate(zip(shown.columns, cells, strict=True)):
            tag, role = ("th", {"scope": "row", "role": "rowheader"}) if index == heading else ("td", {"role": "cell"})
            _add(row, tag, cell, **role).set("data-column", one_line(column))
    _more(parent, shown.more)


def _lines(parent: ET.Element, lines: list[str]) -> None:
    ET.SubElement(parent, "pre").text = "\n".join(one_line(line) for line in lines)


def _more(parent: ET.Element, more: int) -> None:
    if more:
        _add(parent, "p", f"... and {more:,} more")


def _add(parent: ET.Element, tag: str, value: model.Value, **attributes: str) -> ET.Element:
    element = ET.SubElement(parent, tag, attributes)
    element.text = one_line(value)
    if isinstance(value, model.Status):
        element.text = f"{model.SIGNS[value.state]} {element.text}"
        element.set("class", f"state {value.state}")
    return element
