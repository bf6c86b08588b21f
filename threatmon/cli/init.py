"""``threatmon init``: looks at an account, and writes a complete stack file for it."""

import difflib
import secrets
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import typer
import yaml
from botocore.exceptions import EndpointConnectionError, InvalidRegionError, UnknownRegionError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from threatmon import project
from threatmon.errors import CHECK_FAILED, UsageError
from threatmon.model.names import is_stack_name
from threatmon.model.settings import ConfigFaults, parse
from threatmon.reports import plain
from threatmon.stacks import old_aws as session
from threatmon.stacks import survey, template
from threatmon.stacks.files import StackFile, load
from threatmon.stacks.old_aws import Aws
from threatmon.stacks.survey import Survey
from threatmon.stacks.template import Choice, Network

PERMISSIONS = survey.PERMISSIONS

# Which option gives which key, and a value that has no fault.
_OPTIONS = {
    "subnetIds": ("--subnet", ["subnet-00000000"]),
    "vpcIds": ("--vpc", []),
    "alertEmails": ("--email", ["a@example.com"]),
    "findingTypes": ("--finding-type", ["*"]),
}


def init(  # noqa: PLR0913, PLR0917 - one parameter for each option
    stack: Annotated[str, typer.Argument(help="The new stack; Pulumi.<stack>.yaml is written.")],
    profile: Annotated[str | None, typer.Option(help="The AWS profile to look with; it is not written down.")] = None,
    region: Annotated[
        str | None, typer.Option(help="The Region; the profile's, or AWS_DEFAULT_REGION, unless set.")
    ] = None,
    subnet: Annotated[list[str] | None, typer.Option(help="A subnet to log. Repeatable.")] = None,
    vpc: Annotated[list[str] | None, typer.Option(help="A VPC to log as a whole. Repeatable.")] = None,
    email: Annotated[list[str] | None, typer.Option(help="Who gets the alerts. Repeatable.")] = None,
    finding_type: Annotated[
        list[str] | None,
        typer.Option(help="A finding type or family that alerts; all from medium upwards unless set. Repeatable."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a stack file that exists.")] = False,
) -> None:
    """Look at an account, and write a complete, commented stack file for it.

    Changes nothing in the account, and does not run Pulumi. In a terminal it asks for what is not given.

    Example: threatmon init prod --profile audit --region eu-west-1
    """
    before = _before(stack, force=force)
    given = {"subnetIds": subnet, "vpcIds": vpc, "alertEmails": email, "findingTypes": finding_type}
    _refuse_faults(faults(given))
    asks = not yes and in_a_terminal()
    default_region = _default_region(profile)
    region = region or default_region
    if not asks:
        _refuse_gaps(before, region, given, yes=yes)
    connection = _connect(before, profile, region or typer.prompt("Region"))
    with Console(stderr=True).status(f"Reading account {connection.account_id}, {connection.region}"):
        found = survey.survey(connection, stack)
    choice = Choice(
        stack,
        connection.account_id,
        connection.region,
        _networks(Console(), connection, found, [*(subnet or ()), *(vpc or ())]),
        email or _asked_emails(),
        found.detector,
        finding_type or (),
    )
    _show(choice, found)
    text = template.text(choice, template.kept_of(before.text))
    if text == before.text:
        typer.echo(f"{before.path.name} says all this already.")
        return
    _show_changes(before, text)
    if asks and not typer.confirm(f"Write {before.path.name}?", default=not before.text):
        typer.echo("Nothing is written.")
        raise typer.Exit(CHECK_FAILED)
    _write(before.path, text)
    _show_next_steps(choice, profile, exists=bool(before.text))


def in_a_terminal() -> bool:
    """Whether there is somebody to ask."""
    return sys.stdin.isatty()


# -- the file before --------------------------------------------------------------------------------------------------


class Before(NamedTuple):
    """The stack file that is there; its text is empty where there is none."""

    path: Path
    text: str
    file: StackFile


def _before(stack: str, *, force: bool) -> Before:
    """Raises :class:`UsageError` where the file cannot or may not be written, StackFileError where it is no YAML."""
    if not is_stack_name(stack):
        raise UsageError(
            f"{plain(stack)} is no name of a stack: expected up to 100 letters, digits, hyphens, underscores and dots, "
            "no hyphen in front, and neither organisation nor project."
        )
    path = project.ROOT / f"Pulumi.{stack}.yaml"
    if not path.exists():
        return Before(path, "", StackFile(stack, {}))
    if not force:
        raise UsageError(f"{path.name} exists; --force replaces it, and shows what that changes.")
    file = load(project.ROOT, stack)
    return Before(path, path.read_text(encoding="utf-8"), file)


# -- what is given ----------------------------------------------------------------------------------------------------


def faults(given: Mapping[str, Sequence[str] | None]) -> list[str]:
    """What is wrong with the values of options, by the keys they are for."""
    fine = {key: value for key, (_, value) in _OPTIONS.items()}
    try:
        parse(fine | {key: list(values) for key, values in given.items() if values})
    except ConfigFaults as error:
        return [plain(f"{_OPTIONS[str(fault.path[0])][0]}: {fault.text}") for fault in error.faults]
    return []


def _refuse_faults(found: Sequence[str]) -> None:
    if found:
        raise UsageError("\n".join(found))


def _refuse_gaps(before: Before, region: str | None, given: Mapping[str, Sequence[str] | None], *, yes: bool) -> None:
    needed = {
        "--region": region,
        "--subnet or --vpc": given["subnetIds"] or given["vpcIds"],
        "--email": given["alertEmails"],
        f"--yes (it replaces {before.path.name})": yes or not before.text,
    }
    missing = [option for option, value in needed.items() if not value]
    if missing:
        why = "--yes" if yes else "without a terminal"
        raise UsageError(f"Nothing can be asked ({why}), so these options are needed: {', '.join(missing)}.")


def _default_region(profile: str | None) -> str | None:
    try:
        return session.new_session(profile, None).region_name
    except UsageError as error:
        raise UsageError(str(error).replace("aws:profile", "--profile")) from None


def _connect(before: Before, profile: str | None, region: str) -> Aws:
    """The account; of a stack that has a file, only one that it may touch."""
    config = {"aws:profile": profile, "aws:region": region, "aws:allowedAccountIds": before.file.account_ids}
    try:
        return session.connect(StackFile(before.file.name, config))
    except (EndpointConnectionError, InvalidRegionError, UnknownRegionError):
        known = session.new_session(profile, region).get_available_regions("guardduty")
        if region in known:
            raise
        near = "".join(f"; did you mean {it}?" for it in difflib.get_close_matches(region, known, n=1))
        raise UsageError(f"--region: {plain(region)} is no Region that answers{near}") from None


# -- choosing ---------------------------------------------------------------------------------------------------------


def _networks(console: Console, connection: Aws, found: Survey, ids: Sequence[str]) -> list[Network]:
    return _named(connection, found, ids) if ids else _asked_networks(console, connection, found)


def _named(connection: Aws, found: Survey, ids: Sequence[str]) -> list[Network]:
    """The networks of these ids. Raises :class:`UsageError` for those that the account has not, or cannot log."""
    known = {it.id: it for it in found.networks}
    kinds = {"subnet": "subnets", "vpc": "VPCs"}
    refused: list[str] = []
    for id_ in ids:
        kind = id_.partition("-")[0]
        if id_ not in known and kinds[kind] not in found.unread:
            refused.append(f"--{kind}: {id_} is not in account {connection.account_id}, {connection.region}")
        elif id_ in known and known[id_].owner:
            refused.append(f"--{kind}: {id_} is shared by account {known[id_].owner}, which alone can log it")
    _refuse_faults(refused)
    return [known.get(id_, Network(id_, id_ if id_.startswith("vpc-") else "")) for id_ in ids]


def _asked_networks(console: Console, connection: Aws, found: Survey) -> list[Network]:
    networks = [it for it in found.networks if not it.owner]
    if not networks:
        where = f"in account {connection.account_id}, {connection.region}"
        reasons = [found.unread[what] for what in ("subnets", "VPCs") if what in found.unread]
        raise UsageError("\n".join([*reasons, f"No subnet or VPC to log is to be seen {where}."]))
    console.print(_table(networks))
    unlogged = [index for index, it in enumerate(networks) if not it.is_vpc and not it.logged_to]
    # Where nobody can tell what is logged already, nothing is the default: a second flow log costs as much again.
    default = template.as_numbers(unlogged) if "flow logs" not in found.unread else ""
    while True:
        answer = typer.prompt("Which to log (such as 2,4-6)", default=default or None)
        try:
            chosen = template.numbered(answer, len(networks))
        except ValueError as error:
            typer.echo(str(error))
            continue
        if chosen:
            return [networks[index] for index in chosen]
        typer.echo("At least one is needed.")


def _table(networks: Sequence[Network]) -> Table:
    table = Table()
    for column in ("", "to log", "name", "addresses", "free", "zone", "", "flow logs to"):
        table.add_column(column, justify="right" if column == "free" else "left", overflow="fold")
    for number, it in enumerate(networks, start=1):
        if it.is_vpc and number > 1:
            table.add_section()
        free = f"{it.free} of {it.size}" if it.size is not None else ""
        routed = {True: "public", False: "private", None: ""}[it.public]
        what = f"whole {it.id}" if it.is_vpc else it.id
        logged_to = "\n".join(map(plain, it.logged_to))
        table.add_row(*map(Text, (str(number), what, plain(it.name), it.cidr, free, it.zone, routed, logged_to)))
    return table


def _asked_emails() -> list[str]:
    while True:
        answer = typer.prompt("Who gets the alerts (e-mail addresses, a space or comma between)")
        emails = answer.replace(",", " ").split()
        found = faults({"alertEmails": emails})
        if emails and not found:
            return emails
        typer.echo("\n".join(it.replace("--email: ", "") for it in found) or "At least one is needed.")


# -- output -----------------------------------------------------------------------------------------------------------


def _show(choice: Choice, found: Survey) -> None:
    """What the file will say, and what is to be known of it."""
    detector = choice.detector
    typer.echo(f"Account {choice.account_id}, {choice.region}: {len(choice.networks)} to log:")
    for it in choice.networks:
        typer.echo(f"  {it.id}  {it.description}")
    typer.echo(f"Detector: {detector.mode} {detector.id or ''}".rstrip())
    for remark in detector.remarks:
        typer.echo(f"  {plain(remark)}")
    warnings = [f"{what} could not be read. {plain(said)}" for what, said in found.unread.items()]
    warnings += [f"{it} is in a VPC that is logged whole; its traffic is recorded twice." for it in choice.overlaps]
    warnings += [
        f"{it.id} has a flow log already; a further one costs as much again." for it in choice.networks if it.logged_to
    ]
    warnings += parse(choice.config)[1]
    for warning in warnings:
        typer.echo(f"Warning: {warning}", err=True)


def _show_changes(before: Before, text: str) -> None:
    if not before.text:
        return
    name = before.path.name
    changes = difflib.unified_diff(before.text.split("\n"), text.split("\n"), name, f"{name} (new)", lineterm="")
    typer.echo("\n".join(map(plain, changes)))
    dropped = sorted(before.file.config.keys() - before.file.shared - yaml.safe_load(text)["config"].keys())
    if dropped:
        typer.echo(f"Warning: set before, and not in the new file: {plain(', '.join(dropped))}", err=True)


def _show_next_steps(choice: Choice, profile: str | None, *, exists: bool) -> None:
    stack, key = choice.stack, f"awskms://alias/threat-monitor-secrets?region={choice.region}"
    steps = [f"export AWS_PROFILE={profile}"] if profile else []
    steps += [
        f"pulumi stack init {stack}" + ("   # unless it exists" if exists else ""),
        "    # for a team, with secrets encrypted by a KMS key of yours that each of them may use:",
        f"    # pulumi stack init {stack} --secrets-provider '{key}'",
        f"make preview STACK={stack}",
    ]
    typer.echo("\n".join([f"Wrote Pulumi.{stack}.yaml. Read it, then:", *(f"  {step}" for step in steps)]))


# -- writing ----------------------------------------------------------------------------------------------------------


def _write(path: Path, text: str) -> None:
    """All of the file or nothing, whatever happens meanwhile; it keeps its mode. Raises :class:`UsageError`."""
    path = path.resolve()  # a link stays one
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with unfinished.open("x", encoding="utf-8") as file:
            file.write(text)
        if path.exists():
            shutil.copymode(path, unfinished)
        unfinished.replace(path)
    except OSError as error:
        raise UsageError(f"{path.name} cannot be written: {error.strerror}") from None
    finally:
        unfinished.unlink(missing_ok=True)
