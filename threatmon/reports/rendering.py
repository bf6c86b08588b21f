"""A report in the form a person or a machine asks for."""

import json
from typing import Literal

from threatmon.reports import html, markdown
from threatmon.reports.model import Report

Output = Literal["text", "json", "markdown", "html"]


def render(report: Report, output: Output, *, limit: int | None = None, whole: str = "") -> str:
    """Return the report with one newline at its end, as text without colours.

    ``limit`` and ``whole`` are those of :func:`markdown.render`, for Markdown only.
    """
    match output:
        case "json":
            return json.dumps(dict(report.data), indent=2, default=str) + "\n"
        case "markdown":
            return markdown.render(report, limit, whole)
        case "html":
            return html.render(report)
        case "text":
            from threatmon.reports import text  # noqa: PLC0415 - only who prints text pays for rich

            return text.render(report)
