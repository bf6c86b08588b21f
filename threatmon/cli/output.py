"""The one option of all commands for how a report is printed."""

import sys
from typing import Annotated

import typer

from threatmon.reports.model import Report
from threatmon.reports.rendering import Output, render

OutputOption = Annotated[Output, typer.Option("--output", "-o", help="How the result is printed.")]


def show(report: Report, output: Output, *, limit: int | None = None, whole: str = "") -> None:
    """Print a report; as text on a terminal with colours. ``limit`` and ``whole`` are those of ``reports.markdown``."""
    if output == "text":
        from rich.console import Console  # noqa: PLC0415 - only who prints text pays for rich

        from threatmon.reports.text import print_report  # noqa: PLC0415 - as above

        print_report(report, Console())
    else:
        sys.stdout.write(render(report, output, limit=limit, whole=whole))
