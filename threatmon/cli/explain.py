"""``threatmon explain``: what a stack would make of a finding, offline."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from rich.console import Console

from threatmon import project
from threatmon.cli.event_files import read_events
from threatmon.errors import CHECK_FAILED
from threatmon.evaluation.explain import Verdict, alerts, verdicts
from threatmon.model import names
from threatmon.stacks.facts import place_of, settings_of
from threatmon.stacks.files import StackFile, load

PERMISSIONS: tuple[str, ...] = ()

# Longer texts of a finding are cut where they are no part of the mail.
_LONGEST = 200


class Explained(NamedTuple):
    """An event, and the verdict of each rule on it."""

    event: Mapping[str, Any]
    verdicts: Sequence[Verdict]


def explain(
    event: Annotated[
        Path,
        typer.Argument(
            metavar="EVENT.json", help="An EventBridge event, or what `aws guardduty get-findings` prints; - reads it."
        ),
    ],
    stack: Annotated[str, typer.Option(help="The stack whose rules are asked: Pulumi.<stack>.yaml.")] = "dev",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Say whether a finding would alert, by which rule or why not, and show the mail. Needs no account.

    Ends with 0 if every finding of the file would alert, with 1 if one would not.

    Example: aws guardduty get-findings --detector-id ID --finding-ids ID | threatmon explain - --stack dev
    """
    stack_file = load(project.ROOT, stack)
    settings, partition = settings_of(stack_file), place_of(stack_file).partition
    links = names.log_group(stack), names.dashboard(stack)
    explained = [Explained(given, verdicts(given, settings, partition, *links)) for given in read_events(event)]
    if as_json:
        typer.echo(json.dumps(_document(stack_file, explained), indent=2))
    else:
        _show(Console(), stack_file, explained)
    if not all(alerts(one.verdicts) for one in explained):
        raise typer.Exit(CHECK_FAILED)


# -- output -----------------------------------------------------------------------------------------------------------


def _show(console: Console, stack: StackFile, explained: Sequence[Explained]) -> None:
    for one in explained:
        _show_one(console, stack, one)
    if len(explained) > 1:
        count = sum(alerts(one.verdicts) for one in explained)
        console.print(f"{count} of {len(explained)} findings would alert.", highlight=False)


def _show_one(console: Console, stack: StackFile, one: Explained) -> None:
    event, detail = one.event, one.event["detail"]
    _show_line(
        console,
        f"{event.get('detail-type')}: {detail.get('type')}, severity {detail.get('severity')}, id {detail.get('id')}",
    )
    if event.get("region") != stack.region:
        _show_line(
            console, f"  note: it is of Region {event.get('region')}; stack {stack.name} sees those of {stack.region}"
        )
    for verdict in one.verdicts:
        text = f"does not match: {verdict.stopped_by}" if verdict.stopped_by else "matches: every condition holds"
        _show_line(console, f"  rule {verdict.rule} {text}")
    matched = [verdict for verdict in one.verdicts if not verdict.stopped_by]
    if not matched:
        _show_line(console, "  -> it would not alert")
    for verdict in matched:
        if verdict.mail is None:
            _show_line(console, "  -> it would land in the dead-letter queue, because its mail cannot be sent:")
            _show_line(console, f"     {verdict.dead_letter}")
        else:
            _show_line(console, f"  -> it would alert, by the rule {verdict.rule}")
            console.rule("the mail")
            for line in verdict.mail.split("\n"):
                _show_line(console, line, longest=len(line))
            console.rule()
    console.print()


def _show_line(console: Console, text: str, longest: int = _LONGEST) -> None:
    """A finding's texts are a stranger's: none may steer the terminal, fill it, or look like a line of ours."""
    cut = text if len(text) <= longest else f"{text[:longest]}..."
    shown = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in cut)
    console.print(shown, soft_wrap=True, markup=False, highlight=False)


def _document(stack: StackFile, explained: Sequence[Explained]) -> dict[str, Any]:
    return {
        "stack": stack.name,
        "region": stack.region,
        "alerts": all(alerts(one.verdicts) for one in explained),
        "findings": [
            {
                **{name: one.event["detail"].get(name) for name in ("id", "type", "severity", "accountId", "region")},
                "alerts": alerts(one.verdicts),
                "rules": [
                    {"rule": it.rule, "stoppedBy": it.stopped_by, "mail": it.mail, "deadLetter": it.dead_letter}
                    for it in one.verdicts
                ],
            }
            for one in explained
        ],
    }
