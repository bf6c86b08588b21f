"""``threatmon fleet list``: every stack, where it is, what it watches, whom it tells, and when it was last updated."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from threatmon import project
from threatmon.cli.fleet.selection import ChangedSince, Format, Stacks, selected
from threatmon.errors import UsageError
from threatmon.fleet.targets import Target
from threatmon.stacks.engine import find_engine, reason

_PATIENCE = 60  # seconds for the backend to answer
_COLUMNS = ("Stack", "Account", "Region", "Subnets", "VPCs", "Addresses", "Detector", "Last update")


def list(  # noqa: A001 - the command's name
    stacks: Stacks = None, changed_since: ChangedSince = None, format_: Format = "text"
) -> None:
    """List the stacks of the fleet.

    Faults of all stack files are told at once, before anything is asked of the engine or the cloud; exit code 2. Where
    the engine or its backend cannot be reached, only the last updates are unknown. Secrets are never printed.

    Example: threatmon fleet list --stacks 'prod-*' --format markdown
    """
    targets = selected(stacks, changed_since)
    updates, problem = dict[str, Mapping[str, Any]](), None
    try:
        updates = last_updates() if targets else updates
    except UsageError as error:
        problem = str(error)
    if format_ == "json":
        typer.echo(json.dumps(_document(targets, updates, problem), indent=2))
        return
    rows = [_row(target, _shown(updates.get(target.stack), problem)) for target in targets]
    if format_ == "markdown":
        typer.echo(_markdown(rows))
    else:
        _show(rows)
    if problem:
        typer.echo(problem, err=True)


def last_updates() -> dict[str, Mapping[str, Any]]:
    """What the engine knows of each stack of the project, by name: ``lastUpdate`` (ISO 8601), ``updateInProgress``,
    ``resourceCount``, as far as the backend says. Raises :class:`UsageError` where it cannot be asked.

    https://www.pulumi.com/docs/iac/cli/commands/pulumi_stack_ls/
    """
    command = [str(find_engine()), "stack", "ls", "--json", "--non-interactive"]
    try:
        done = subprocess.run(  # noqa: S603 - our engine
            command,
            cwd=project.ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_PATIENCE,
        )
        if not done.returncode:
            # An organisation may stand before the name: acme/prod.
            return {entry["name"].rpartition("/")[2]: entry for entry in json.loads(done.stdout)}
        why = reason(done.stderr) or f"`pulumi stack ls` ended with {done.returncode}"
    except subprocess.TimeoutExpired:
        why = f"the backend did not answer within {_PATIENCE} seconds"
    except (OSError, ValueError) as error:
        why = f"`pulumi stack ls` did not work: {error}"
    raise UsageError(f"The last updates are unknown: {reason(why)}")


def _shown(update: Mapping[str, Any] | None, problem: str | None) -> str:
    if problem:
        return "unknown"
    if update and update.get("updateInProgress"):
        return "under way"
    if not update or not update.get("lastUpdate"):
        return "never"
    moment = datetime.fromisoformat(update["lastUpdate"]).astimezone(UTC)
    return f"{moment:%Y-%m-%d %H:%M} UTC" + (", empty" if update.get("resourceCount") == 0 else "")


def _row(target: Target, last_update: str) -> tuple[str, ...]:
    settings = target.settings
    return (
        target.stack,
        target.account_id,
        target.region,
        str(len(settings.subnet_ids)),
        str(len(settings.vpc_ids)),
        ", ".join(settings.alert_emails),
        settings.detector.mode,
        last_update,
    )


def _show(rows: Sequence[Sequence[str]]) -> None:
    # A file or a pipe has no width to keep to.
    console = Console(width=None if sys.stdout.isatty() else 10_000)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for column in _COLUMNS:
        # In a narrow terminal, these give way; half an account id is of no use.
        table.add_column(column, no_wrap=column not in ("Addresses", "Last update"), overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)
    console.print(f"{len(rows)} stack{'' if len(rows) == 1 else 's'}", highlight=False)


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    lines = [_COLUMNS, ("---",) * len(_COLUMNS), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _document(
    targets: Sequence[Target], updates: Mapping[str, Mapping[str, Any]], problem: str | None
) -> dict[str, Any]:
    def entry(target: Target) -> dict[str, Any]:
        settings, update = target.settings, updates.get(target.stack, {})
        return {
            "stack": target.stack,
            "account": target.account_id,
            "region": target.region,
            "subnetIds": settings.subnet_ids,
            "vpcIds": settings.vpc_ids,
            "alertEmails": settings.alert_emails,
            "detector": settings.detector.mode,
            "lastUpdate": update.get("lastUpdate"),
            "updateInProgress": update.get("updateInProgress", False),
        }

    return {"stacks": [entry(target) for target in targets], "problem": problem}
