"""``threatmon cost``: what a stack costs in a month, and what other settings would change."""

from typing import Annotated

import typer

from threatmon import project
from threatmon.cli.output import OutputOption, show
from threatmon.errors import UsageError
from threatmon.stacks.connect import connect
from threatmon.stacks.files import load
from threatmon.stacks.monthly_cost import measure, report

PERMISSIONS = ("cloudwatch:GetMetricStatistics",)


def cost(
    stack: Annotated[str, typer.Option(help="The stack: Pulumi.<stack>.yaml.")] = "dev",
    gb_per_day: Annotated[float | None, typer.Option(min=0, max=1_000_000, help="GB of flow logs a day now.")] = None,
    measured: Annotated[bool, typer.Option("--measure", help="Take the volume of the last seven days.")] = False,
    output: OutputOption = "text",
) -> None:
    """Estimate what a stack costs in a month, and what other settings would change.

    Needs no account, except for --measure.

    Example: threatmon cost --stack prod --gb-per-day 5
    """
    if measured == (gb_per_day is not None):
        raise UsageError("Give the volume, --gb-per-day 5, or have it measured: --measure.")
    stack_file = load(project.ROOT, stack)
    volume = measure(connect(stack_file), stack) if gb_per_day is None else (gb_per_day, None)
    show(report(stack_file, *volume), output)
