"""``threatmon explain``: whether a finding would alert, offline."""

from pathlib import Path
from typing import Annotated

import typer

from threatmon import project
from threatmon.cli.event_files import read_events
from threatmon.cli.output import OutputOption, show
from threatmon.errors import CHECK_FAILED
from threatmon.evaluation.explain import explain as explained
from threatmon.evaluation.explain import report
from threatmon.model import names
from threatmon.stacks.files import load, settings_of
from threatmon.stacks.location import location_of

PERMISSIONS: tuple[str, ...] = ()


def explain(
    event: Annotated[
        Path,
        typer.Argument(
            metavar="EVENT.json",
            help="An EventBridge event, or what `aws guardduty get-findings` prints; - for standard input.",
        ),
    ],
    stack: Annotated[str, typer.Option(help="The stack whose rules to evaluate: Pulumi.<stack>.yaml.")] = "dev",
    output: OutputOption = "text",
) -> None:
    """Say whether a finding would alert, by which rule or why not, and show the mail.

    Needs no account. Exit 0 if every finding of the file would alert, 1 if one would not.

    Example: aws guardduty get-findings --detector-id ID --finding-ids ID | threatmon explain - --stack dev
    """
    stack_file = load(project.ROOT, stack)
    settings, location = settings_of(stack_file), location_of(stack_file)
    links = names.log_group(stack), names.dashboard(stack)
    explanations = explained(read_events(event), settings, location, *links)
    show(report(stack, location.region, explanations), output)
    if not all(explanation.alerts for explanation in explanations):
        raise typer.Exit(CHECK_FAILED)
