"""The coverage of a fleet as tables, as Markdown, and as one HTML page that needs nothing else."""

import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from threatmon.fleet.coverage import DAYS, LEVEL_OF, LEVELS, Coverage, Level, Part, Stack
from threatmon.reports import Facts, Report, Section, Table, plain

TITLE = "Coverage of the fleet"
LIMITS = (
    "Only the accounts and Regions that stack files name were asked; GuardDuty and flow logs of others are not known.",
    f"The last alert is the hour (UTC) in which a topic of the stack last delivered anything, a sample finding too, "
    f"within {DAYS} days.",
    "threatmon verify --stack STACK looks at all of one stack.",
)
_WORDS: Mapping[Level, str] = {"gap": "gap", "unknown": "unknown", "note": "note", "ok": "covered"}
_LEVELS: Mapping[str, Level] = {**{word: level for level, word in _WORDS.items()}, **LEVEL_OF}


def level_of(state: str) -> Level:
    """That of a word in a column of states."""
    return _LEVELS[state]


# -- tables -----------------------------------------------------------------------------------------------------------


def verdict(found: Coverage) -> str:
    """One sentence."""
    counts = Counter(gap.level for gap in found.gaps)
    if not counts:
        return "Everything that was asked about is covered."
    gaps = f"{counts['gap'] or 'No'} gap{'s' * (counts['gap'] != 1)}"
    return f"{gaps}; {counts['unknown']} not known." if counts["unknown"] else f"{gaps}."


def summary(found: Coverage) -> list[tuple[str, str]]:
    """How much there is, and how it stands."""
    places = {(row.account_id, row.region) for row in found.stacks}
    return [
        ("Asked at", f"{found.at:%Y-%m-%d %H:%M} UTC"),
        ("Accounts", str(len({account_id for account_id, _ in places}))),
        ("Regions", str(len({region for _, region in places}))),
        ("Stacks", _counted([_WORDS[row.level] for row in found.stacks], [_WORDS[level] for level in LEVELS])),
        ("Subnets", _counted([row.state for row in found.subnets], LEVEL_OF)),
    ]


def _counted(words: Sequence[str], order: Iterable[str]) -> str:
    counts = Counter(words)
    told = ", ".join(f"{counts[word]} {word}" for word in order if word in counts)
    return f"{len(words)}: {told}" if told else "0"


def gaps(found: Coverage) -> Table:
    """What is missing or not known."""
    return Table(
        "What is missing or not known",
        ("State", "Account", "Region", "Stack", "What", "Found", "To do"),
        [(it.level, it.account_id, it.region, it.stack or "none", it.subject, it.found, it.todo) for it in found.gaps],
    )


def stacks(found: Coverage) -> Table:
    """A row for each stack."""
    return Table(
        "Each stack, those with gaps first",
        ("State", "Account", "Region", "Stack", "Detector", "Plans", "Rules", "Subscriptions", "Last alert (UTC)"),
        [
            (
                _WORDS[it.level],
                it.account_id,
                it.region,
                it.name,
                *(_short(part) for part in (it.detector, it.plans, it.rules)),
                _confirmed(it),
                _short(it.last_alert),
            )
            for it in found.stacks
        ],
    )


def _short(part: Part) -> str:
    """Why it is not known is among the gaps."""
    return "unknown" if part.level == "unknown" else part.found


def _confirmed(stack: Stack) -> str:
    parts = stack.subscriptions.values()
    if any(part.level == "unknown" for part in parts):
        return "unknown"
    return f"{sum(part.level == 'ok' for part in parts)} of {len(parts)} confirmed"


def subnets(found: Coverage) -> Table:
    """A row for each subnet."""
    return Table(
        "Each subnet, those with gaps first",
        ("State", "Account", "Region", "Stack", "Subnet", "Name", "VPC", "CIDR", "Flow log"),
        [
            (it.state, it.account_id, it.region, it.stack or "none", it.id, it.name, it.vpc_id, it.cidr, it.found)
            for it in found.subnets
        ],
    )


def report(found: Coverage) -> Report:
    """Everything, the gaps first."""
    missing = [gaps(found)] if found.gaps else []
    return Report(
        TITLE,
        [
            Section("Summary", [verdict(found), Facts(summary(found))]),
            Section("Gaps", missing or ["None."]),
            Section("Stacks", [stacks(found)]),
            Section("Subnets", [subnets(found)]),
            Section("What this does not say", LIMITS),
        ],
    )


# -- the page ---------------------------------------------------------------------------------------------------------

# A state is told by its word and its sign; the colour only repeats them.
_SIGNS: Mapping[Level, str] = {"gap": "\N{BALLOT X}", "unknown": "?", "note": "i", "ok": "\N{CHECK MARK}"}
# The first of these that a table has names each of its rows.
_HEADING = ("What", "Subnet", "Stack")
# https://developer.mozilla.org/en-US/docs/Web/HTTP/Reference/Headers/Content-Security-Policy
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
# On a phone each row is a card, and each cell begins with the name of its column; the roles keep tables what they are
# for screen readers there: https://developer.mozilla.org/en-US/docs/Web/CSS/display#tables
_STYLE = """
:root { color-scheme: light dark; --ok: #1a6b2d; --note: #7a5200; --gap: #b3141b; --unknown: #7b2d8b;
  --line: #8888; --head: #f2f2f2; --page: #fff; --text: #1b1b1b; }
@media (prefers-color-scheme: dark) { :root { --ok: #7fd18f; --note: #e8c060; --gap: #ff8f8a; --unknown: #dba3e8;
  --head: #2b2b2b; --page: #1b1b1b; --text: #eee; } }
body { margin: 0 auto; padding: 1rem; max-width: 110rem; background: var(--page); color: var(--text);
  font: 1rem/1.4 system-ui, sans-serif; }
table { width: 100%; border-collapse: collapse; margin-bottom: 1rem; }
caption { text-align: left; font-weight: bold; padding: .5rem 0; }
th, td { padding: .3rem .5rem; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line);
  overflow-wrap: anywhere; }
thead th { position: sticky; top: 0; background: var(--head); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; }
dt { font-weight: bold; }
dd { margin: 0; }
#section-0 > p { font-size: 1.2rem; font-weight: bold; }
tbody th { font-weight: normal; }
.state, [data-column=Account], [data-column=Region] { white-space: nowrap; }
.state { font-weight: bold; }
nav a { margin-right: 1rem; }
.ok { color: var(--ok); } .note { color: var(--note); } .gap { color: var(--gap); } .unknown { color: var(--unknown); }
@media screen and (max-width: 60rem) {
  table, tbody, tr, th, td { display: block; border: 0; }
  caption { display: block; }
  thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  tbody tr { border: 1px solid var(--line); border-radius: .4rem; margin-bottom: .6rem; padding: .3rem; }
  tbody td, tbody th { padding: .1rem .3rem; }
  tbody td::before, tbody th::before { content: attr(data-column) ": "; font-weight: bold; color: var(--text); }
}
@media print {
  :root { color-scheme: light; --ok: #000; --note: #000; --gap: #000; --unknown: #000; --page: #fff; --text: #000; }
  body { font-size: 8pt; padding: 0; max-width: none; }
  nav { display: none; }
  thead th { position: static; background: none; border-bottom: 2px solid; }
  tr { break-inside: avoid; }
}
"""


def html(found: Coverage) -> str:
    """The report as one page: no scripts, nothing loaded, every text escaped by the library that writes it."""
    page = report(found)
    root = ET.Element("html", lang="en")
    head = ET.SubElement(root, "head")
    ET.SubElement(head, "meta", charset="utf-8")
    ET.SubElement(head, "meta", {"http-equiv": "Content-Security-Policy", "content": _POLICY})
    ET.SubElement(head, "meta", name="viewport", content="width=device-width, initial-scale=1")
    _add(head, "title", f"{page.title}: {verdict(found)}")
    ET.SubElement(head, "style").text = _STYLE
    body = ET.SubElement(root, "body")
    _add(ET.SubElement(body, "header"), "h1", page.title)
    navigation = ET.SubElement(body, "nav", {"aria-label": "Sections"})
    main = ET.SubElement(body, "main")
    for number, section in enumerate(page.sections):
        _add(navigation, "a", section.title, href=f"#section-{number}")
        part = ET.SubElement(main, "section", {"id": f"section-{number}", "aria-labelledby": f"title-{number}"})
        _add(part, "h2", section.title, id=f"title-{number}")
        for block in section.blocks:
            if isinstance(block, Table):
                _table(part, block)
            elif isinstance(block, Facts):
                _facts(part, block)
            else:
                _add(part, "p", str(block))
    ET.indent(root, "")
    return "<!doctype html>\n" + ET.tostring(root, encoding="unicode", method="html") + "\n"


def _add(parent: ET.Element, tag: str, text: str, **attributes: str) -> ET.Element:
    element = ET.SubElement(parent, tag, attributes)
    element.text = plain(text)
    return element


def _facts(parent: ET.Element, facts: Facts) -> None:
    listed = ET.SubElement(parent, "dl")
    for name, value in facts.rows:
        _add(listed, "dt", name)
        _add(listed, "dd", str(value))


def _table(parent: ET.Element, shown: Table) -> None:
    table = ET.SubElement(parent, "table", role="table")
    _add(table, "caption", shown.title)
    titles = ET.SubElement(ET.SubElement(table, "thead", role="rowgroup"), "tr", role="row")
    for column in shown.columns:
        _add(titles, "th", column, scope="col", role="columnheader")
    body = ET.SubElement(table, "tbody", role="rowgroup")
    heading = next(column for column in _HEADING if column in shown.columns)
    for cells in shown.rows:
        row = ET.SubElement(body, "tr", role="row")
        for column, cell in zip(shown.columns, map(str, cells), strict=True):
            if column == "State":
                level = _LEVELS[cell]
                entry = _add(row, "td", f"{_SIGNS[level]} {cell}", role="cell")
                entry.set("class", f"state {level}")
            elif column == heading:
                entry = _add(row, "th", cell, scope="row", role="rowheader")
            else:
                entry = _add(row, "td", cell, role="cell")
            entry.set("data-column", column)
