"""``threatmon investigate``: from an alert to what happened, on one screen."""

import json
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from threatmon import project
from threatmon.cli.event_files import read_events
from threatmon.errors import CHECK_FAILED, UsageError
from threatmon.evaluation import findings
from threatmon.investigate import insights, network_context, traffic
from threatmon.investigate.exposure import Exposure, Surroundings, exposure
from threatmon.investigate.investigation import (
    Found,
    Subject,
    Traffic,
    Window,
    endpoint,
    recorded_instance,
    subject,
    window,
)
from threatmon.investigate.network_context import attempt, find_instance, look_around
from threatmon.investigate.report import document, report
from threatmon.model import names
from threatmon.model.queries import FormatName
from threatmon.model.settings import Settings
from threatmon.reports import Block, Drawing, Facts, Report, Table, plain, render, size
from threatmon.stacks.facts import settings_of
from threatmon.stacks.files import load
from threatmon.stacks.old_aws import Aws, connect

PERMISSIONS: tuple[str, ...] = tuple(
    sorted(
        {
            "guardduty:GetFindings",
            "guardduty:ListDetectors",
            "guardduty:ListFindings",
            *insights.PERMISSIONS,
            *network_context.PERMISSIONS,
        }
    )
)

# https://docs.aws.amazon.com/guardduty/latest/APIReference/API_GetFindings.html
_MOST_FINDINGS = 50
_LATEST_FIRST = {"AttributeName": "updatedAt", "OrderBy": "DESC"}


def investigate(
    finding_id: Annotated[str | None, typer.Argument(help="The finding's id, as in the mail.")] = None,
    event: Annotated[
        Path | None,
        typer.Option(
            help="The finding from a file: an event, or what `aws guardduty get-findings` prints; - reads it."
        ),
    ] = None,
    instance: Annotated[str | None, typer.Option(help="An instance id, where there is no finding.")] = None,
    stack: Annotated[str, typer.Option(help="The stack that watches the account: Pulumi.<stack>.yaml.")] = "dev",
    hours: Annotated[
        float | None,
        typer.Option(
            min=0.1, help="Hours looked at before and after the finding (of an instance, up to now); more cost more."
        ),
    ] = None,
    max_gb: Annotated[float, typer.Option(min=0, help="Stop the queries when they have scanned so much.")] = 100,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown for a ticket.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Show what a finding is about, how exposed its instance is, whom it talked to, and what else was found on it.

    Ends with 0 if the finding or instance was found, with 1 if nothing could be found out.

    Example: threatmon investigate 1ab92989eaf0e742df4a014d5c0a8841 --stack dev
    """
    if sum(given is not None for given in (finding_id, event, instance)) != 1:
        raise UsageError("Give one of FINDING_ID, --event and --instance.")
    if as_markdown and as_json:
        raise UsageError("Give one of --markdown and --json.")
    recorded = _read(event) if event else None
    stack_file = load(project.ROOT, stack)
    settings = settings_of(stack_file)
    aws = connect(stack_file)
    if finding_id:
        try:
            recorded = _finding(aws, settings, finding_id)
        except _MissingError as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(CHECK_FAILED) from None
    about = subject(recorded) if recorded else Subject(instance)
    with _progress() as say:
        found = _look(aws, settings, about, names.log_group(stack), hours, max_gb, say)
    if as_json:
        typer.echo(json.dumps(document(found), indent=2, default=str))
    elif as_markdown:
        typer.echo(render(report(found), "markdown"))
    else:
        _show(Console(), report(found))
    if not found.anything:
        raise typer.Exit(CHECK_FAILED)


class _MissingError(Exception):
    """What was asked for is not there; ``str()`` of it says what."""


# -- the subject ------------------------------------------------------------------------------------------------------


def _read(path: Path) -> findings.Event:
    """The `detail` of the one event in a file."""
    events = read_events(path)
    if len(events) != 1:
        ids = ", ".join(str(it["detail"].get("id")) for it in events)
        raise UsageError(f"{path}: holds {len(events)} findings ({plain(ids)}); investigate one of them")
    return events[0]["detail"]


def _finding(aws: Aws, settings: Settings, finding_id: str) -> findings.Event:
    """The `detail` of a finding that GuardDuty has."""
    detector_id = _detector(aws, settings)
    answer = aws.client("guardduty").get_findings(DetectorId=detector_id, FindingIds=[finding_id])
    found = next((findings.event_of(it)["detail"] for it in answer["Findings"]), None)
    if found is None:
        raise _MissingError(
            f"Detector {detector_id} in account {aws.account_id}, {aws.region} has no finding {plain(finding_id)}."
            " GuardDuty keeps findings for 90 days; is it of another account or Region (--stack)?"
        )
    return found


def _detector(aws: Aws, settings: Settings) -> str:
    if settings.detector.id:
        return settings.detector.id
    ids = aws.client("guardduty").list_detectors()["DetectorIds"]  # an account has one for each Region
    if not ids:
        raise _MissingError(
            f"GuardDuty has no detector in account {aws.account_id}, {aws.region}: is the stack deployed?"
        )
    return ids[0]


# -- looking ----------------------------------------------------------------------------------------------------------


def _look(
    aws: Aws,
    settings: Settings,
    about: Subject,
    log_group_name: str,
    hours: float | None,
    max_gb: float,
    say: Callable[[str], object],
) -> Found:
    """Everything about a subject; what fails is left out, with its reason."""
    elsewhere = _elsewhere(aws, about)
    if elsewhere:
        return Found(about, failures=dict.fromkeys(("exposure", "traffic", "others"), elsewhere))
    failures: dict[str, str] = {}
    notes: list[str] = []
    for service in ("ec2", "elb", "elbv2", "guardduty", "iam", "logs"):
        aws.client(service)  # made here, as making them is not safe in threads
    say("Asking EC2 for the instance")
    described = _instance(aws, about, failures, notes)
    limits = insights.Limits(bytes_scanned=int(max_gb * traffic.BYTES_PER_GB))
    asked = insights.Insights(aws.client("logs"), log_group_name, limits=limits)
    with ThreadPoolExecutor() as pool:
        around = pool.submit(look_around, aws, described, failures) if described else None
        others = pool.submit(_others, aws, settings, about, failures) if about.instance_id else None
        times = window(about.finding, datetime.now(UTC), hours)
        # In this thread, which Ctrl-C interrupts: no query may be left running.
        answered = _traffic(asked, settings.flow_logs.format, about, described, times, failures, say)
        seen, role_name = _exposure(described, around.result()) if described and around else (None, None)
        listed = others.result() if others else None
    return Found(about, seen, role_name, answered, listed, notes, failures)


def _elsewhere(aws: Aws, about: Subject) -> str | None:
    """Why this stack's account can tell nothing of the subject; None where it can."""
    home = (aws.account_id, aws.region)
    if (about.account_id or home[0], about.region or home[1]) == home:
        return None
    return (
        f"The finding is of account {about.account_id}, {about.region}, and these credentials are of {home[0]},"
        f" {home[1]}: name the stack of that account with --stack."
    )


def _instance(aws: Aws, about: Subject, failures: dict[str, str], notes: list[str]) -> dict[str, Any] | None:
    """The instance as EC2 describes it; where it has none any more, or does not tell, as the finding recorded it."""
    if not about.instance_id:
        return None
    instance_id = about.instance_id
    described = attempt("instance", lambda: find_instance(aws, instance_id), failures, "Instance unknown")
    if described and described.get("NetworkInterfaces"):
        return described
    recorded = recorded_instance(about.finding)
    if recorded and recorded["NetworkInterfaces"]:
        state = "is not described" if "instance" in failures else "is gone"
        notes.append(
            f"The instance {state}: interfaces, groups and addresses are those of the finding, the rest is of now."
        )
        return recorded
    if not described and "instance" not in failures:
        failures["instance"] = f"EC2 in account {aws.account_id}, {aws.region} does not know {instance_id} (any more)."
    return described


def _exposure(described: dict[str, Any], looked: tuple[Surroundings, str | None]) -> tuple[Exposure, str | None]:
    around, role_name = looked
    return exposure(described, around), role_name


def _others(aws: Aws, settings: Settings, about: Subject, failures: dict[str, str]) -> list[dict[str, Any]] | None:
    def ask() -> list[dict[str, Any]]:
        guardduty, detector_id = aws.client("guardduty"), _detector(aws, settings)
        criteria = {"Criterion": {"resource.instanceDetails.instanceId": {"Equals": [about.instance_id]}}}
        ids = guardduty.list_findings(
            DetectorId=detector_id, FindingCriteria=criteria, SortCriteria=_LATEST_FIRST, MaxResults=_MOST_FINDINGS
        )["FindingIds"]
        own = (about.finding or {}).get("id")
        wanted = [it for it in ids if it != own]
        if not wanted:
            return []
        answer = guardduty.get_findings(DetectorId=detector_id, FindingIds=wanted, SortCriteria=_LATEST_FIRST)
        return [findings.event_of(it)["detail"] for it in answer["Findings"]]

    try:
        return attempt("others", ask, failures, "Other findings unknown")
    except _MissingError as error:
        failures["others"] = str(error)
        return None


def _traffic(
    asked: insights.Insights,
    log_format: FormatName,
    about: Subject,
    described: dict[str, Any] | None,
    times: Window,
    failures: dict[str, str],
    say: Callable[[str], object],
) -> Traffic | None:
    whose = endpoint(about.instance_id, described)
    try:
        queries = traffic.queries(log_format, whose, about.remote_addresses)
    except traffic.NoEndpointError as error:
        if about.instance_id:
            failures["traffic"] = f"Traffic unknown: {error}"
        return None
    started = time.monotonic()

    def show(it: insights.Progress) -> None:
        say(f"Logs Insights: {it.done} of {it.of} queries done, {size(it.bytes_scanned)} scanned")

    answers = asked.run(queries, times.start, times.end, show)
    return Traffic(
        window=times,
        entries={name: traffic.READERS[name](it.rows, whose) for name, it in answers.items() if it.failure is None},
        failures={name: it.failure for name, it in answers.items() if it.failure is not None},
        records=sum(it.records_matched for it in answers.values()),
        bytes_scanned=sum(it.bytes_scanned for it in answers.values()),
        seconds=time.monotonic() - started,
    )


# -- output -----------------------------------------------------------------------------------------------------------


@contextmanager
def _progress() -> Generator[Callable[[str], object]]:
    """A line that says what is being waited for, where somebody watches."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _: None
        return
    with console.status("Connecting") as status:
        yield status.update


def _show(console: Console, shown: Report) -> None:
    console.print(Text(plain(shown.title), "bold"))
    for section in shown.sections:
        console.print()
        console.rule(Text(section.title), align="left", characters="-")
        for block in section.blocks:
            _show_block(console, block)


def _show_block(console: Console, block: Block) -> None:
    if isinstance(block, str):
        console.print(Text(plain(block)), soft_wrap=True)
    elif isinstance(block, Drawing):
        console.print(Text(f"\n{block.text}\n"), soft_wrap=True)
    elif isinstance(block, Facts):
        grid = RichTable.grid(padding=(0, 2, 0, 0))
        for name, value in block.rows:
            grid.add_row(Text(plain(name), "dim"), Text(plain(value), overflow="fold"))
        console.print(grid)
    elif isinstance(block, Table):
        console.print()
        console.print(_rich(block))
        if block.more:
            console.print(f"... and {block.more} more")


def _rich(block: Table) -> RichTable:
    table = RichTable(box=None, title=Text(plain(block.title), "bold"), title_justify="left", padding=(0, 2, 0, 0))
    for column in block.columns:
        table.add_column(column, overflow="fold")
    for row in block.rows:
        table.add_row(*(Text(plain(cell)) for cell in row))
    return table
