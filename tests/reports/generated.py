"""Reports whose texts are hostile, and the outline of a report that each format has to be read back as."""

from collections.abc import Iterator

from hypothesis import strategies as st

from threatmon.model.one_line import one_line
from threatmon.reports import model
from threatmon.reports.model import MOST, SIGNS, STATES

SAMPLE = model.Report(
    "A title",
    [
        model.Section(
            "",
            [
                "A sentence.",
                model.Checks(
                    [
                        model.Check("ok", "detector", "ENABLED"),
                        model.Check("failed", "topic", "is gone", "Deploy it."),
                        model.Check("warning", "key", "is old", "Deploy it."),
                    ]
                ),
                model.Facts([("Severity", "MEDIUM"), ("Id", "1a")]),
                model.Names(["a", "b", "c", "d"]),
            ],
        ),
        model.Section(
            "Traffic",
            [
                model.Table("Ports", ("State", "Port"), [(model.Status("failed", "open"), "22"), ("", "4444")], 3),
                model.Drawing("a\n  |", "flowchart LR"),
                model.Status("ok", "All is well."),
                model.Listing([model.Line("+", "a: 1"), model.Line("~", "b: 2"), model.Line(" ", "  c")], more=1200),
                model.verbatim("an ```error```\n", "sh"),
            ],
        ),
    ],
)

_SNIPPETS = """
@octocat a@evil.example #123 gh-7 acme/prod#1 https://evil.example/x www.evil.example xmpp:a@b.example :smile: :100: $x$
<script>alert(1)</script> </td><img/src=x> </style> </pre> <!-- --> ]]> &lt; &#64; ``` ~~~ `a` **a** _a_ ~~a~~
[a](b) ![a](b) [a]:b [^1] [bold] - + * 1. 2) --- === # > | \\ \\| \\` || $`a`$ 12:30:45
arn:aws:sns:eu-west-1:111122223333:topic
""".split()  # noqa: SIM905 - no list of them is easier to read
hostile = st.lists(
    st.one_of(
        st.sampled_from(
            [*_SNIPPETS, "\n", "\r", "\t", " ", "    ", "\x1b[2J", "\x00", "\ud800", "\u202e", "\u200b", "\x9b"]
        ),
        st.text(max_size=5),
    ),
    max_size=6,
).map("".join)
states = st.sampled_from(STATES)
values = st.one_of(hostile, st.builds(model.Status, states, hostile))
_lines = st.lists(st.builds(model.Line, st.sampled_from("+- "), hostile), min_size=1, max_size=5)


@st.composite
def _tables(draw: st.DrawFn) -> model.Table:
    columns = draw(st.lists(hostile, min_size=1, max_size=3, unique=True))
    rows = draw(st.lists(st.tuples(*(values for _ in columns)), max_size=4))
    return model.Table(draw(hostile), columns, rows, draw(st.sampled_from([0, 1200])))


blocks: st.SearchStrategy[model.Block] = st.one_of(
    values,
    st.builds(model.Facts, st.lists(st.tuples(hostile, values), max_size=4)),
    _tables(),
    st.builds(model.Checks, st.lists(st.builds(model.Check, states, hostile, hostile, hostile), max_size=4)),
    hostile.map(lambda text: model.Drawing(text, text)),
    st.builds(model.Names, st.lists(hostile.map("n".__add__), min_size=1, max_size=5)),
    st.builds(model.Listing, _lines, st.sampled_from(["diff", "text", "sh"]), st.sampled_from([0, 3])),
)
reports = st.builds(
    model.Report,
    hostile,
    st.lists(st.builds(model.Section, hostile, st.lists(blocks, max_size=4)), max_size=4),
    marker=st.sampled_from(["", "<!-- a marker -->"]),
)


def outline(report: model.Report) -> list[tuple[str, str]]:
    """Return the kind of each text, a heading, paragraph, cell or code, and the text, if it is not empty."""
    found = [("heading", report.title)]
    for section in report.sections:
        found += [("heading", section.title), *(part for block in section.blocks for part in _outline(block))]
    return normal(
        (kind, "\n".join(map(one_line, text.split("\n"))) if kind == "code" else one_line(text)) for kind, text in found
    )


def normal(found: Iterator[tuple[str, str]]) -> list[tuple[str, str]]:
    tidy = ((kind, "\n".join(line.rstrip() for line in text.split("\n")).strip()) for kind, text in found)
    return [(kind, text) for kind, text in tidy if text]


def _outline(block: model.Block) -> Iterator[tuple[str, str]]:
    match block:
        case str() | model.Status():
            yield "paragraph", _shown(block)
        case model.Facts() | model.Checks():
            yield from _outline(block.as_table())
        case model.Table():
            yield "paragraph", block.title
            yield from (("cell", column) for column in block.columns)
            yield from (("cell", _shown(cell)) for row in block.rows for cell in row)
        case model.Drawing():
            yield "code", block.text
        case model.Listing():
            yield "code", "\n".join(map(one_line, block.lines()))
        case model.Names(names):
            yield "paragraph", model.first_few(names)
            if len(names) > 3:
                yield from (("paragraph", f"All {len(names)}"), ("paragraph", model.first_few(names, most=MOST)))
    if isinstance(block, model.Table | model.Listing) and block.more:
        yield "paragraph", f"... and {block.more:,} more"


def _shown(value: model.Value) -> str:
    return f"{SIGNS[value.state]} {value}" if isinstance(value, model.Status) else value
