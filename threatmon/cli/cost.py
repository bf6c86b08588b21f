"""``threatmon cost``: a monthly estimate of a stack's bill, and what other settings would change."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer
from pydantic.alias_generators import to_camel
from rich.console import Console
from rich.table import Table
from rich.text import Text

from threatmon import project
from threatmon.emulator.deployment import deployed
from threatmon.errors import UsageError
from threatmon.model import names
from threatmon.stacks import monthly_cost
from threatmon.stacks.facts import settings_of
from threatmon.stacks.files import StackFile, load
from threatmon.stacks.monthly_cost import Change, Item, Measurement, Resources
from threatmon.stacks.old_aws import Aws, connect

PERMISSIONS = ("cloudwatch:GetMetricStatistics",)

_MEASURED_DAYS = 7


def cost(
    stack: Annotated[str, typer.Option(help="The stack: Pulumi.<stack>.yaml.")] = "dev",
    gb_per_day: Annotated[
        float | None,
        typer.Option(min=0, max=1_000_000, help="Volume of the flow logs with the stack's present settings."),
    ] = None,
    measure: Annotated[bool, typer.Option("--measure", help="Take the volume of the last seven days.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Estimate what a stack costs in a month, and what other settings would change.

    Needs no account, unless to measure.

    Example: threatmon cost --stack prod --gb-per-day 5
    """
    if measure == (gb_per_day is not None):
        raise UsageError("Give the volume, --gb-per-day 5, or have it measured: --measure.")
    stack_file = load(project.ROOT, stack)
    flow_logs = settings_of(stack_file).flow_logs
    measured = _measured(connect(stack_file), stack) if gb_per_day is None else None
    volume = measured.gb_per_day if measured else gb_per_day or 0
    resources = _resources(stack_file)
    items = monthly_cost.estimate(volume, flow_logs, resources)
    changes = monthly_cost.changes(volume, flow_logs, resources)
    if as_json:
        typer.echo(json.dumps(_document(stack_file, volume, measured, items, changes), indent=2))
    else:
        _show(Console(), stack_file, volume, measured, items, changes)


def _measured(aws: Aws, stack: str) -> Measurement:
    """What CloudWatch Logs counted. Raises :class:`UsageError` where it counted nothing."""
    group, now = names.log_group(stack), datetime.now(UTC)
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CloudWatch-Logs-Monitoring-CloudWatch-Metrics.html
    answer = aws.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/Logs",
        MetricName="IncomingBytes",
        Dimensions=[{"Name": "LogGroupName", "Value": group}],
        StartTime=now - timedelta(days=_MEASURED_DAYS),
        EndTime=now,
        Period=3600,
        Statistics=["Sum"],
    )
    hourly = {point["Timestamp"].timestamp(): point["Sum"] for point in answer["Datapoints"]}
    found = monthly_cost.measurement(hourly, now.timestamp())
    if found is None:
        raise UsageError(
            f"{group} in {aws.region} has received nothing for {_MEASURED_DAYS} days, so there is nothing to measure: "
            "give the volume, --gb-per-day 5, or find out why with `threatmon verify`."
        )
    return found


def _resources(stack: StackFile) -> Resources:
    """What the program makes of the stack file, by running it against an emulated account."""
    with deployed(stack) as (_, run):
        return monthly_cost.resources_of((it.type, it.inputs) for it in run.resources.values())


# -- output -----------------------------------------------------------------------------------------------------------


def _notes(stack: StackFile, measured: Measurement | None) -> list[str]:
    notes = [f"Prices: {monthly_cost.REGION}, {monthly_cost.DATED}, {monthly_cost.SOURCE} ({monthly_cost.CAVEAT})."]
    if stack.region != monthly_cost.REGION:
        notes.append(f"This stack is in {stack.region}, where prices differ; by how much is not known here.")
    if measured and measured.days < _MEASURED_DAYS - 0.1:
        notes.append(f"Records go back only {measured.days:.1f} days, and the rest is extrapolated from them.")
    notes += [f"Assumed: {it}." for it in monthly_cost.ASSUMPTIONS]
    return notes + [f"Not estimated: {it}" for it in monthly_cost.NOT_ESTIMATED]


def _show(
    console: Console,
    stack: StackFile,
    volume: float,
    measured: Measurement | None,
    items: Sequence[Item],
    changes: Sequence[Change],
) -> None:
    source = f"measured over {measured.days:.1f} days" if measured else "as given"
    console.print(f"[bold]Stack {stack.name}[/], {volume:,.2f} GB of flow logs a day, {source}\n", highlight=False)
    bill, free = monthly_cost.total(items), sum(item.free for item in items)
    table = _table("what", "how much", "USD a month")
    for item in items:
        table.add_row(item.what, Text(item.basis), _usd(item.usd))
    table.add_section()
    table.add_row("total", f"less {_usd(free)} where the account's free tiers are unused", _usd(bill))
    console.print(table, "", sep="\n")
    table = _table("with", "assuming", "USD a month", "change")
    for change in changes:
        setting = f"flowLogs.{to_camel(change.setting)}: {change.value}"
        table.add_row(setting, Text(change.assumption), _usd(change.usd), f"{change.usd - bill:+,.2f}")
    if changes:
        console.print(table, "", sep="\n")
    for note in _notes(stack, measured):
        console.print(note, soft_wrap=True, markup=False, highlight=False)


def _table(*columns: str) -> Table:
    table = Table()
    for column in columns:
        table.add_column(column, justify="right" if column in ("USD a month", "change") else "left")
    return table


def _usd(amount: float) -> str:
    return f"{amount:,.2f}"


def _document(
    stack: StackFile, volume: float, measured: Measurement | None, items: Sequence[Item], changes: Sequence[Change]
) -> dict[str, Any]:
    bill = monthly_cost.total(items)
    return {
        "stack": stack.name,
        "region": stack.region,
        "gbPerDay": volume,
        "measuredDays": measured.days if measured else None,
        "prices": {
            "region": monthly_cost.REGION,
            "dated": monthly_cost.DATED,
            "source": monthly_cost.SOURCE,
            "caveat": monthly_cost.CAVEAT,
        },
        "items": [
            {"what": it.what, "basis": it.basis, "usd": round(it.usd, 2), "freeTierUsd": round(it.free, 2)}
            for it in items
        ],
        "totalUsd": round(bill, 2),
        "changes": [
            {
                "setting": f"flowLogs.{to_camel(it.setting)}",
                "value": it.value,
                "assumption": it.assumption,
                "totalUsd": round(it.usd, 2),
                "differenceUsd": round(it.usd - bill, 2),
            }
            for it in changes
        ],
        "notes": _notes(stack, measured),
    }
