"""``threatmon investigate``: from an alert to what happened, on one screen."""

from pathlib import Path
from typing import Annotated

import typer

from threatmon import project
from threatmon.cli.event_files import read_events
from threatmon.cli.output import OutputOption, show
from threatmon.cli.progress import status
from threatmon.errors import CHECK_FAILED, UsageError
from threatmon.evaluation.findings import Event
from threatmon.investigate import guardduty, investigation
from threatmon.investigate.insights import Insights
from threatmon.investigate.report import report
from threatmon.investigate.subject import Subject, subject_of
from threatmon.investigate.traffic import BYTES_PER_GB
from threatmon.model import names
from threatmon.model.one_line import one_line
from threatmon.stacks.connect import connect
from threatmon.stacks.files import load, settings_of

PERMISSIONS = investigation.PERMISSIONS


def investigate(
    finding_id: Annotated[str | None, typer.Argument(help="The finding's id, as in the mail.")] = None,
    event: Annotated[
        Path | None,
        typer.Option(
            help="A file with the finding: an event, or what `aws guardduty get-findings` prints; - is standard input."
        ),
    ] = None,
    instance: Annotated[str | None, typer.Option(help="An instance id, if there is no finding.")] = None,
    stack: Annotated[str, typer.Option(help="The stack that watches the account: Pulumi.<stack>.yaml.")] = "dev",
    hours: Annotated[
        float | None,
        typer.Option(
            min=0.1,
            help="Hours to look at before and after the finding (instance: up to now); more cost more.",
        ),
    ] = None,
    max_gb: Annotated[float, typer.Option(min=0, help="Stop the queries when they have scanned this much.")] = 100,
    output: OutputOption = "text",
) -> None:
    """Show what a finding is about, how exposed its instance is, and whom it talked to.

    Also shows what else was found on the instance. Exit 0 if the finding or instance was found, 1 if
    not.

    Example: threatmon investigate 1ab92989eaf0e742df4a014d5c0a8841 --stack dev
    """
    if sum(given is not None for given in (finding_id, event, instance)) != 1:
        raise UsageError("Give one of FINDING_ID, --event and --instance.")
    finding = _only_finding(event) if event else None
    stack_file = load(project.ROOT, stack)
    settings = settings_of(stack_file)
    with status("Connecting") as say:
        aws = connect(stack_file)
        if finding_id:
            finding = guardduty.finding(aws, finding_id, settings.detector.id)
        asked = Insights(aws, names.log_group(stack), max_bytes=int(max_gb * BYTES_PER_GB))
        subject = subject_of(finding) if finding else Subject(instance)
        found = investigation.look_into(aws, settings, subject, asked, hours=hours, say=say)
    show(report(found), output)
    if not found.anything:
        raise typer.Exit(CHECK_FAILED)


def _only_finding(path: Path) -> Event:
    """Return the `detail` of the one event in a file."""
    events = read_events(path)
    if len(events) != 1:
        ids = ", ".join(str(event["detail"].get("id")) for event in events)
        raise UsageError(f"{path}: holds {len(events)} findings ({one_line(ids)}); investigate one of them")
    return events[0]["detail"]
