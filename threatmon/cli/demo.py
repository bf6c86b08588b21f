"""``threatmon demo``: a stack deployed to an emulated account, and a finding that becomes a mail there."""

from pathlib import Path
from typing import Annotated

import typer

from threatmon import project
from threatmon.cli.event_files import read_events
from threatmon.cli.output import OutputOption, show
from threatmon.emulator.demonstration import demonstrate, report
from threatmon.errors import CHECK_FAILED
from threatmon.stacks.files import load


def demo(
    stack: Annotated[str, typer.Option(help="The stack file to deploy: Pulumi.<stack>.yaml.")] = "dev",
    event: Annotated[
        Path | None,
        typer.Option(help="A file of events or findings, as for `explain`, instead of the recorded port scan."),
    ] = None,
    output: OutputOption = "text",
) -> None:
    """Deploy a stack to an emulated AWS account, and show how a finding becomes a mail.

    Needs no account. Exit 1 if a rule lets a finding through and nobody gets a message.

    Example: threatmon demo --stack dev
    """
    stack_file = load(project.ROOT, stack)
    shown = demonstrate(stack_file, read_events(event) if event else ())
    show(report(shown), output)
    if shown.failed:
        raise typer.Exit(CHECK_FAILED)
