"""A report as one self-contained HTML page."""

import xml.etree.ElementTree as ET

from threatmon.reports import model
from threatmon.reports.escape import one_line

# https://developer.mozilla.org/en-US/docs/Web/HTTP/Reference/Headers/Content-Security-Policy
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
# On a phone each row is a card, and each cell begins with the name of its column; the roles keep tables what they are
# for screen readers there: https://developer.mozilla.org/en-US/docs/Web/CSS/display#tables
_STYLE = """
:root { color-scheme: light dark; --ok: #1a6b2d; --warning: #7a5200; --failed: #b3141b; --unknown: #7b2d8b;
  --line: #8888; --head: #f2f2f2; --page: #fff; --text: #1b1b1b; }
@media (prefers-color-scheme: dark) { :root { --ok: #7fd18f; --warning: #e8c060; --failed: #ff8f8a; --unknown: #dba3e8;
  --head: #2b2b2b; --page: #1b1b1b; --text: #eee; } }
body { margin: 0 auto; padding: 1rem; max-width: 110rem; background: var(--page); color: var(--text);
  font: 1rem/1.4 system-ui, sans-serif; overflow-wrap: anywhere; }
table { width: 100%; border-collapse: collapse; margin-bottom: 1rem; }
caption { text-align: left; font-weight: bold; padding: .5rem 0; }
th, td { padding: .3rem .5rem; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
thead th { position: sticky; top: 0; background: var(--head); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; }
dt { font-weight: bold; }
dd { margin: 0; }
pre { overflow-x: auto; padding: .5rem; background: var(--head); }
p.state { font-size: 1.2rem; }
tbody th { font-weight: normal; }
td.state, [data-column=Account], [data-column=Region] { white-space: nowrap; }
.state { font-weight: bold; }
nav a { margin-right: 1rem; }
.ok { color: var(--ok); } .warning { color: var(--warning); } .failed { color: var(--failed); }
.unknown { color: var(--unknown); }
@media screen and (max-width: 60rem) {
  table, tbody, tr, th, td { display: block; border: 0; }
  caption { display: block; }
  thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  tbody tr { border: 1px solid var(--line); border-radius: .4rem; margin-bottom: .6rem; padding: .3rem; }
  tbody td, tbody th { padding: .1rem .3rem; }
  tbody td::before, tbody th::before { content: attr(data-column) ": "; font-weight: bold; color: var(--text); }
}
@media print {
  :root { color-scheme: light; --ok: #000; --warning: #000; --failed: #000; --unknown: #000; --page: #fff;
    --text: #000; }
  body { font-size: 8pt; padding: 0; max-width: none; }
  nav { display: none; }
  thead th { position: static; background: none; border-bottom: 2px solid; }
  tr { break-inside: avoid; }
  pre { white-space: pre-wrap; }
}
"""


def render(report: model.Report) -> str:
    """Return the report as a page: no scripts, nothing loaded, every text escaped by the library that writes it."""
    root = ET.Element("html", lang="en")
    head = ET.SubElement(root, "head")
    ET.SubElement(head, "meta", charset="utf-8")
    ET.SubElement(head, "meta", {"http-equiv": "Content-Security-Policy", "content": _POLICY})
    ET.SubElement(head, "meta", name="viewport", content="width=device-width, initial-scale=1")
    _add(head, "title", report.title)
    ET.SubElement(head, "style").text = _STYLE
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
