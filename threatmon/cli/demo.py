"""``threatmon demo``: a stack deployed to an emulated account, and a finding on its way through it."""

import copy
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from rich.console import Console
from rich.tree import Tree

from threatmon import project
from threatmon.emulator.account import EmulatedAccount
from threatmon.emulator.delivery import Journey, deliver
from threatmon.emulator.deployment import Deployment, deployed
from threatmon.emulator.program import ProgramRun
from threatmon.errors import CHECK_FAILED, UsageError
from threatmon.stacks.files import load

Event = Mapping[str, Any]


class Outcome(NamedTuple):
    """An event, and the way it took."""

    event: Event
    journey: Journey


def demo(
    stack: Annotated[str, typer.Option(help="The stack file to deploy: Pulumi.<stack>.yaml.")] = "dev",
    event: Annotated[
        Path | None, typer.Option(help="An event as EventBridge delivers it, instead of the recorded port scan.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Deploy a stack to an emulated AWS account and show how a finding becomes a mail. Needs no account.

    Example: threatmon demo --stack dev
    """
    started = time.perf_counter()
    with deployed(load(project.ROOT, stack)) as deployment:
        deployed_at = time.perf_counter()
        account = deployment.account
        _confirm_subscriptions(account)
        wanted = _read(event) if event else _recorded("ec2_portscan", account)
        alert = Outcome(wanted, deliver(account, wanted))
        quiet = next(_unmatched(account, wanted), None)
        timings = {"deployment": deployed_at - started, "delivery": time.perf_counter() - deployed_at}
        if as_json:
            typer.echo(json.dumps(_document(stack, deployment, alert, quiet, timings), indent=2))
        else:
            _show(Console(), stack, deployment, alert, quiet, timings)
    matched = any(verdict.reason is None for verdict in alert.journey.verdicts)
    if matched and not alert.journey.notifications:
        raise typer.Exit(CHECK_FAILED)


def _confirm_subscriptions(account: EmulatedAccount) -> None:
    """What the readers do by the link in their first mail."""
    for arn in account.backend("sns").subscriptions:
        account.confirm_subscription(arn)


# -- events -----------------------------------------------------------------------------------------------------------


def _recorded(name: str, account: EmulatedAccount) -> dict[str, Any]:
    """A recorded event, as it would have come from this account and Region."""
    text = files("threatmon.emulator").joinpath("events", f"{name}.json").read_text(encoding="utf-8")
    return json.loads(text.replace("111122223333", account.account_id).replace("eu-west-1", account.region))


def _read(path: Path) -> dict[str, Any]:
    try:
        event = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read as JSON: {error}") from None
    if not isinstance(event, dict) or not isinstance(event.get("detail"), dict):
        raise UsageError(f"{path}: expected an event as EventBridge delivers it, with `detail-type` and `detail`")
    return event


def _unmatched(account: EmulatedAccount, alerting: Event) -> Iterator[Outcome]:
    """Findings, and last an event that is none, that this stack lets pass in silence."""
    archived = copy.deepcopy(dict(alerting))
    archived["detail"].setdefault("service", {})["archived"] = True
    api_call = dict(alerting) | {"detail-type": "AWS API Call via CloudTrail"}
    for event in (_recorded("iam_user", account), archived, api_call):
        journey = deliver(account, event)
        if not journey.deliveries:
            yield Outcome(event, journey)


# -- output -----------------------------------------------------------------------------------------------------------


def _show(
    console: Console,
    stack: str,
    deployment: Deployment,
    alert: Outcome,
    quiet: Outcome | None,
    timings: Mapping[str, float],
) -> None:
    account, run = deployment
    console.print(
        f"[bold]Stack {stack}[/] in account {account.account_id}, {account.region}, emulated in this process\n"
    )
    console.print(_tree(run), "", sep="\n")
    console.print(
        "[bold]The subscribers confirm[/], as each has to by the first mail. Then GuardDuty sends a finding:\n"
    )
    _show_outcome(console, alert)
    for notification in alert.journey.notifications:
        console.rule(f"{notification.protocol} to {notification.endpoint}: {notification.subject}")
        console.print(notification.body, soft_wrap=True, markup=False, highlight=False)
        console.rule()
    if quiet:
        console.print("\n[bold]What must not alert, does not:[/]\n")
        _show_outcome(console, quiet)
    seconds = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in timings.items())
    console.print(f"{len(run.resources)} resources, {len(alert.journey.notifications)} message(s). Took: {seconds}.")


def _show_outcome(console: Console, outcome: Outcome) -> None:
    event, journey = outcome
    detail = event["detail"]
    console.print(
        f"  {event.get('detail-type')}: {detail.get('type')}, severity {detail.get('severity')}", highlight=False
    )
    for verdict in journey.verdicts:
        text = f"does not match: {verdict.reason}" if verdict.reason else "matches: every condition holds"
        console.print(f"  {verdict.rule} {text}", highlight=False, markup=False, soft_wrap=True)
    sent = f"{len(journey.notifications)} message(s) sent" if journey.notifications else "nothing is sent"
    console.print(f"  -> {sent}, {len(journey.dead_letters)} in the dead-letter queue\n", highlight=False)


def _tree(run: ProgramRun) -> Tree:
    """The resources under their parents, as a preview shows them."""
    tree = Tree("[bold]Resources[/] that `pulumi up` would create")
    branches: dict[str, Tree] = {}
    for urn, resource in sorted(run.resources.items(), key=lambda item: (item[0].count("$"), item[0])):
        kind = resource.type.split(":")[-1]
        branches[urn] = branches.get(resource.parent, tree).add(f"{kind} [dim]{resource.name}[/]", highlight=False)
    return tree


def _document(
    stack: str, deployment: Deployment, alert: Outcome, quiet: Outcome | None, timings: Mapping[str, float]
) -> dict[str, Any]:
    account, run = deployment
    return {
        "stack": stack,
        "account": account.account_id,
        "region": account.region,
        "resources": [
            {"urn": r.urn, "type": r.type, "name": r.name, "parent": r.parent} for r in run.resources.values()
        ],
        "outputs": run.outputs,
        "alert": {"event": alert.event, **asdict(alert.journey)},
        "quiet": {"event": quiet.event, **asdict(quiet.journey)} if quiet else None,
        "seconds": timings,
    }
