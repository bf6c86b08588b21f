"""Reports: one model, and its renderers for people (text, Markdown, HTML) and machines (JSON)."""

import json
from typing import Literal

from threatmon.reports import html, markdown
from threatmon.reports.escape import one_line
from threatmon.reports.escape import one_line as plain
from threatmon.reports.model import (
    STATES,
    Block,
    Check,
    Checks,
    Drawing,
    Facts,
    Line,
    Listing,
    Names,
    Report,
    Section,
    State,
    Status,
    Table,
    Value,
    counted,
    first_few,
    short,
    size,
    table,
    verbatim,
)

Output = Literal["text", "json", "markdown", "html"]

__all__ = [
    "STATES",
    "Block",
    "Check",
    "Checks",
    "Drawing",
    "Facts",
    "Line",
    "Listing",
    "Names",
    "Output",
    "Report",
    "Section",
    "State",
    "Status",
    "Table",
    "Value",
    "counted",
    "first_few",
    "one_line",
    "plain",
    "render",
    "short",
    "size",
    "table",
    "verbatim",
]


def render(report: Report, output: Output, *, limit: int | None = None, whole: str = "") -> str:
    """Return the report, with one newline at its end; as text it has no colours (:func:`text.print_report` has).

    ``limit`` and ``whole`` are those of :func:`markdown.render`, and for Markdown alone.
    """
    if output == "json":
        return json.dumps(dict(report.data), indent=2, default=str) + "\n"
    if output == "markdown":
        return markdown.render(report, limit, whole)
    if output == "html":
        return html.render(report)
    from threatmon.reports import text  # noqa: PLC0415 - only who prints text pays for rich

    return text.render(report)
