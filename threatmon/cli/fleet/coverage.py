"""``threatmon fleet coverage``: which accounts, Regions and subnets are watched, and which are not."""

import json
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import typer
from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table as RichTable
from rich.text import Text

from threatmon.cli.fleet.previews import Role
from threatmon.cli.fleet.selection import Stacks, selected
from threatmon.errors import CHECK_FAILED, UsageError
from threatmon.fleet import coverage_report, roles
from threatmon.fleet.coverage import (
    ALERTS,
    DAYS,
    Answers,
    Coverage,
    Gap,
    Rule,
    Unanswered,
    document,
    nothing,
)
from threatmon.fleet.coverage import coverage as folded
from threatmon.fleet.targets import Target
from threatmon.reports import Table, plain, render
from threatmon.stacks.files import StackFile
from threatmon.stacks.old_aws import Aws, explained
from threatmon.verify.checks import Answer

PERMISSIONS = (
    "cloudwatch:GetMetricData",
    "ec2:DescribeFlowLogs",
    "ec2:DescribeSubnets",
    "events:ListRules",
    "events:ListTargetsByRule",
    "guardduty:GetDetector",
    "guardduty:ListDetectors",
    "sns:ListSubscriptionsByTopic",
)

Format = Literal["text", "markdown", "html", "json"]
Connect = Callable[[StackFile], Aws]
_T = TypeVar("_T")
_U = TypeVar("_U")

# Finer periods are not kept for so long:
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_concepts.html#metrics-retention
_PERIOD = 3600
_UNLIMITED = 10_000  # a file or a pipe has no width to keep to
_STYLES = {"gap": "bold red", "unknown": "bold magenta", "note": "yellow", "ok": "green"}


# -- asking -----------------------------------------------------------------------------------------------------------


def gather(aws: Aws, now: datetime) -> Answers:
    """What an account says of itself; a question it refuses takes no other with it."""
    rules = _tried(lambda: _rules(aws))
    topics = _then(rules, lambda it: sorted({arn for rule in it for arn in rule.topic_arns}))
    return Answers(
        detector=_tried(lambda: _detector(aws)),
        subnets=_tried(lambda: _every(aws, "ec2", "describe_subnets", "Subnets")),
        flow_logs=_tried(lambda: _every(aws, "ec2", "describe_flow_logs", "FlowLogs")),
        rules=rules,
        subscriptions=_then(topics, lambda arns: {arn: _subscriptions(aws, arn) for arn in arns}),
        last_alert=_then(topics, lambda arns: _last_alert(aws, arns, now)),
    )


def _tried(ask: Callable[[], _T]) -> _T | Unanswered:
    try:
        return ask()
    except (BotoCoreError, ClientError) as error:
        return Unanswered(explained(error))


def _then(answer: _T | Unanswered, ask: Callable[[_T], _U]) -> _U | Unanswered:
    return answer if isinstance(answer, Unanswered) else _tried(lambda: ask(answer))


def _every(aws: Aws, service: str, operation: str, key: str, **asked: Any) -> list[Any]:
    pages = aws.client(service).get_paginator(operation).paginate(**asked)
    return [entry for page in pages for entry in page[key]]


def _detector(aws: Aws) -> Answer | None:
    ids = _every(aws, "guardduty", "list_detectors", "DetectorIds")  # an account has one for each Region
    return aws.client("guardduty").get_detector(DetectorId=ids[0]) if ids else None


def _rules(aws: Aws) -> list[Rule]:
    """The rules on findings and where they send to: what EventBridge does, not what a topic's name promises."""
    return [
        Rule(rule["Name"], rule["State"], tuple(_topics(aws, rule["Name"])))
        for rule in _every(aws, "events", "list_rules", "Rules", NamePrefix=ALERTS)
    ]


def _topics(aws: Aws, rule_name: str) -> Iterator[str]:
    for target in _every(aws, "events", "list_targets_by_rule", "Targets", Rule=rule_name):
        *_, service, _region, _account_id, name = target["Arn"].split(":", 5)
        if service == "sns" and name.startswith(f"{ALERTS}topic"):
            yield target["Arn"]


def _subscriptions(aws: Aws, topic_arn: str) -> list[Answer]:
    try:
        return _every(aws, "sns", "list_subscriptions_by_topic", "Subscriptions", TopicArn=topic_arn)
    except aws.client("sns").exceptions.NotFoundException:  # the topic is gone, its rule is not
        return []


def _last_alert(aws: Aws, topic_arns: Sequence[str], now: datetime) -> datetime | None:
    """The hour in which one of the topics last delivered anything.

    https://docs.aws.amazon.com/sns/latest/dg/sns-monitoring-using-cloudwatch.html
    """
    if not topic_arns:
        return None
    queries = [
        {"Id": f"topic{number}", "MetricStat": {"Metric": _delivered(arn), "Period": _PERIOD, "Stat": "Sum"}}
        for number, arn in enumerate(topic_arns)
    ]
    results = _every(
        aws,
        "cloudwatch",
        "get_metric_data",
        "MetricDataResults",
        MetricDataQueries=queries,
        StartTime=now - timedelta(days=DAYS),
        EndTime=now,
    )
    times = (
        time
        for result in results
        for time, count in zip(result["Timestamps"], result["Values"], strict=True)
        if count > 0
    )
    return max(times, default=None)


def _delivered(topic_arn: str) -> dict[str, Any]:
    dimension = {"Name": "TopicName", "Value": topic_arn.rpartition(":")[2]}
    return {"Namespace": "AWS/SNS", "MetricName": "NumberOfNotificationsDelivered", "Dimensions": [dimension]}


def ask(
    targets: Sequence[Target], connect_to: Connect, now: datetime, parallel: int
) -> Generator[tuple[Target, Answers]]:
    """The answers of the targets' accounts, as they come; one that cannot be asked answers why."""

    def answers(target: Target) -> Answers:
        try:
            return gather(connect_to(target.file), now)
        except UsageError as error:
            return nothing(str(error))
        except (BotoCoreError, ClientError) as error:
            return nothing(explained(error))

    pool = ThreadPoolExecutor(parallel)
    try:
        asked = {pool.submit(answers, target): target for target in targets}
        for done in as_completed(asked):
            yield asked[done], done.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # whoever interrupts waits for what is under way alone


# -- the command ------------------------------------------------------------------------------------------------------


def coverage(
    stacks: Stacks = None,
    format_: Annotated[Format, typer.Option("--format", help="How it is printed.")] = "text",
    output: Annotated[Path | None, typer.Option(help="Write it to this file instead.")] = None,
    parallel: Annotated[int, typer.Option(min=1, help="Accounts asked side by side.")] = 8,
    role: Role = None,
) -> None:
    """Show which accounts, Regions and subnets are watched, and what is missing.

    Changes nothing. Exit code 1 where something is missing or could not be found out.

    Example: threatmon fleet coverage --format html --output coverage.html
    """
    targets = selected(stacks, None)
    if not targets:
        raise UsageError("There is no stack file, so no account was asked.")
    now = datetime.now(UTC)
    by_name = {target.stack: target for target in targets}
    answered = ask(targets, lambda file: roles.connected(by_name[file.name], role), now, parallel)
    found = folded(_watched(answered, len(targets)), now)
    if output:
        _write(output, found, format_)
        typer.echo(f"{output}: {coverage_report.verdict(found)}", err=True)
    else:
        console = Console()
        _print(console if console.is_terminal else Console(width=_UNLIMITED), found, format_)
    if found.gaps:
        raise typer.Exit(CHECK_FAILED)


def _watched(answered: Iterator[tuple[Target, Answers]], of: int) -> Iterator[tuple[Target, Answers]]:
    console = Console(stderr=True)
    with console.status(f"Asking {of} accounts") as status:
        for done, (target, answers) in enumerate(answered, 1):
            status.update(f"{done} of {of} asked, {target.stack} last")
            yield target, answers


def _write(path: Path, found: Coverage, format_: Format) -> None:
    try:
        with path.open("w", encoding="utf-8") as file:
            _print(Console(file=file, width=_UNLIMITED, color_system=None), found, format_)
    except OSError as error:
        raise UsageError(f"--output {path}: {error.strerror}") from None


def _print(console: Console, found: Coverage, format_: Format) -> None:
    if format_ == "text":
        show(console, found)
        return
    texts: dict[Format, Callable[[], str]] = {
        "markdown": lambda: render(coverage_report.report(found), "markdown"),
        "html": lambda: coverage_report.html(found),
        "json": lambda: json.dumps(document(found), indent=2) + "\n",
    }
    console.file.write(texts[format_]())


# -- text -------------------------------------------------------------------------------------------------------------


def show(console: Console, found: Coverage) -> None:
    """Prints the coverage, the gaps first."""
    console.print(Text(coverage_report.TITLE, "bold"))
    for name, value in coverage_report.summary(found):
        _line(console, f"{name:<9} {value}")
    console.print(Text(f"\n{coverage_report.verdict(found)}", "bold" if found.gaps else "bold green"))
    _show_gaps(console, found.gaps)
    for table in (coverage_report.stacks(found), coverage_report.subnets(found)):
        console.print(Text(f"\n{table.title}\n", "bold"))
        _show_table(console, table)
    console.print()
    for limit in coverage_report.LIMITS:
        _line(console, limit)


def _line(console: Console, *parts: str | tuple[str, str]) -> None:
    console.print(Text.assemble(*parts), soft_wrap=True)


def _show_gaps(console: Console, gaps: Iterable[Gap]) -> None:
    for (account_id, region, stack), group in groupby(gaps, lambda it: (it.account_id, it.region, it.stack)):
        _line(console, (f"\n{f'stack {stack}' if stack else 'no stack'} ({account_id}, {region})", "bold"))
        for todo, alike in groupby(group, lambda it: it.todo):
            for it in alike:
                _line(console, (f"  {it.level:<8}", _STYLES[it.level]), plain(f"{it.subject}: {it.found}"))
            if todo:
                _line(console, f"          -> {plain(todo)}")


def _show_table(console: Console, shown: Table) -> None:
    """A table where no word of it has to be broken, else a paragraph a row."""
    table = RichTable(box=None, padding=(0, 1, 0, 0))
    for column in shown.columns:
        table.add_column(column)
    rows = [[plain(cell) for cell in row] for row in shown.rows]
    for row in rows:
        table.add_row(*(Text(cell, _style(cell) if index == 0 else "") for index, cell in enumerate(row)))
    needed = Measurement.get(console, console.options.update(max_width=_UNLIMITED), table).minimum
    if needed <= console.width:
        console.print(table)
        return
    for row in rows:
        _line(console, (row[0], _style(row[0])))
        for column, cell in zip(shown.columns[1:], row[1:], strict=True):
            if cell:
                _line(console, f"  {column}: {cell}")


def _style(state: str) -> str:
    return _STYLES[coverage_report.level_of(state)]
