"""``threatmon init``: a complete stack file for an account."""

import difflib
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from threatmon import project
from threatmon.aws import session
from threatmon.aws.reader import Aws
from threatmon.aws.regions import known_regions
from threatmon.cli import progress
from threatmon.cli.output import show
from threatmon.cli.ranges import as_ranges, indexes_of
from threatmon.errors import CHECK_FAILED, UsageError
from threatmon.model.names import is_stack_name
from threatmon.model.one_line import one_line
from threatmon.model.settings import ConfigFaults, parse
from threatmon.reports.model import Facts, Line, Listing, Report, Section, Table
from threatmon.stacks import survey, template, yaml
from threatmon.stacks.files import StackFile, file_name, load, save
from threatmon.stacks.networks import Network
from threatmon.stacks.survey import Survey

PERMISSIONS = survey.PERMISSIONS

_OPTIONS = {"subnetIds": "--subnet", "vpcIds": "--vpc", "alertEmails": "--email", "findingTypes": "--finding-type"}
_FAULTLESS = {"subnetIds": ["subnet-00000000"], "alertEmails": ["a@example.com"]}
_COLUMNS = ("", "To log", "Name", "Addresses", "Free", "Zone", "Access", "Flow logs to")


def init(  # noqa: PLR0913, PLR0917 - one parameter for each option
    stack: Annotated[str, typer.Argument(help="The new stack; Pulumi.<stack>.yaml is written.")],
    profile: Annotated[
        str | None, typer.Option(help="The AWS profile to read the account with; it is not written to the file.")
    ] = None,
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
    """Look at an account, and write a complete stack file for it.

    The file has each setting that is not set as a comment. Changes nothing in the account, and does not run Pulumi. In
    a terminal it asks for what is not given.

    Example: threatmon init prod --profile audit --region eu-west-1
    """
    before = _file_before(stack, force=force)
    _refuse(_faults(subnetIds=subnet, vpcIds=vpc, alertEmails=email, findingTypes=finding_type))
    region = region or _default_region(profile)
    asks = not yes and sys.stdin.isatty()
    if not asks:
        needed = {
            "--region": region,
            "--subnet or --vpc": subnet or vpc,
            "--email": email,
            f"--yes (it replaces {file_name(stack)})": yes or not before,
        }
        if missing := [option for option, value in needed.items() if not value]:
            why = "--yes" if yes else "without a terminal"
            raise UsageError(f"There is no dialogue ({why}), so these options are required: {', '.join(missing)}.")
    aws = _connect(before or StackFile(stack, {}), profile, region or typer.prompt("Region"))
    with progress.status(f"Reading account {aws.account_id}, {aws.region}"):
        found = survey.survey(aws, stack)
    ids = [*(subnet or ()), *(vpc or ())]
    networks = _named(aws, found, ids) if ids else _ask_for_networks(aws, found)
    emails = email or _ask_for_emails()
    choice = template.NewStackFile(
        stack, aws.account_id, aws.region, networks, emails, found.detector, finding_type or ()
    )
    _show(choice, found)
    path = project.ROOT / file_name(stack)
    text_before = path.read_text(encoding="utf-8") if before else ""
    text = template.text(choice, text_before)
    if text == text_before:
        typer.echo(f"{path.name} is up to date already.")
        return
    if before:
        _show_changes(before, text_before, text)
    if asks and not typer.confirm(f"Write {path.name}?", default=not before):
        typer.echo("Nothing is written.")
        raise typer.Exit(CHECK_FAILED)
    save(project.ROOT, stack, text)
    typer.echo("\n  ".join([f"Wrote {path.name}. Read it, then:", *_next_steps(choice, profile, exists=bool(before))]))


def _file_before(stack: str, *, force: bool) -> StackFile | None:
    """Return the stack file that is to be replaced. Raises StackFileError if it cannot be read."""
    if not is_stack_name(stack):
        raise UsageError(
            f"{one_line(stack)} is not a valid stack name: expected up to 100 letters, digits, hyphens, underscores, "
            "dots; no hyphen first, and neither organisation nor project."
        )
    if not (project.ROOT / file_name(stack)).exists():
        return None
    if not force:
        raise UsageError(f"{file_name(stack)} exists; --force replaces it, and shows what that changes.")
    return load(project.ROOT, stack)


def _faults(**given: Sequence[str] | None) -> list[str]:
    """Return what is wrong with the values of options, given by the keys they are for."""
    try:
        parse(_FAULTLESS | {key: list(values) for key, values in given.items() if values})
    except ConfigFaults as error:
        return [one_line(f"{_OPTIONS[str(fault.path[0])]}: {fault.text}") for fault in error.faults]
    return []


def _refuse(faults: Sequence[str]) -> None:
    if faults:
        raise UsageError("\n".join(faults))


def _default_region(profile: str | None) -> str | None:
    try:
        return session.new_session(profile, None).region_name
    except UsageError as error:
        raise UsageError(str(error).replace("aws:profile", "--profile")) from None


def _connect(stack: StackFile, profile: str | None, region: str) -> Aws:
    """Return the account; of a stack that has a file, only one that it may touch."""
    known = known_regions()
    if region not in known:
        near = "".join(f"; did you mean {name}?" for name in difflib.get_close_matches(region, known, n=1))
        raise UsageError(f"--region: {one_line(region)} is not a Region that botocore knows{near}")
    source, accounts = file_name(stack.name), stack.account_ids
    return session.connect(profile=profile, region=region, roles=(), allowed_accounts=accounts, source=source)


def _named(aws: Aws, found: Survey, ids: Sequence[str]) -> list[Network]:
    """Return the networks of these ids. Raises :class:`UsageError` for ids the account does not have or cannot log."""
    known = {network.id: network for network in found.networks}
    faults: list[str] = []
    for id_ in ids:
        option, kind = ("--vpc", "VPCs") if id_.startswith("vpc-") else ("--subnet", "subnets")
        if id_ not in known and kind not in found.refused:
            faults.append(f"{option}: {id_} is not in account {aws.account_id}, {aws.region}")
        elif id_ in known and known[id_].owner:
            faults.append(f"{option}: {id_} is shared by account {known[id_].owner}, which alone can log it")
    _refuse(faults)
    return [known.get(id_, Network(id_, id_ if id_.startswith("vpc-") else "")) for id_ in ids]


def _ask_for_networks(aws: Aws, found: Survey) -> list[Network]:
    account = f"account {aws.account_id}, {aws.region}"
    networks = [network for network in found.networks if not network.owner]
    if not networks:
        reasons = [str(found.refused[what]) for what in ("subnets", "VPCs") if what in found.refused]
        raise UsageError("\n".join([*reasons, f"There is no subnet or VPC to log in {account}."]))
    rows = [(str(number), *_row(network)) for number, network in enumerate(networks, start=1)]
    show(Report(f"What {account} has", [Section("", [Table("", _COLUMNS, rows)])]), "text")
    unlogged = [index for index, network in enumerate(networks) if not network.is_vpc and not network.logged_to]
    # If it is not known what is logged already, nothing is the default: a second flow log costs as much again.
    default = as_ranges(unlogged) if "flow logs" not in found.refused else ""
    while True:
        answer = typer.prompt("Which to log (such as 2,4-6)", default=default or None)
        try:
            chosen = [networks[index] for index in indexes_of(answer, len(networks))]
        except ValueError as error:
            typer.echo(str(error))
            continue
        if chosen:
            return chosen
        typer.echo("At least one is needed.")


def _row(network: Network) -> tuple[str, ...]:
    free = f"{network.free} of {network.size}" if network.size is not None else ""
    id_ = f"whole {network.id}" if network.is_vpc else network.id
    logs = ", ".join(network.logged_to)
    return id_, network.name, network.cidr, free, network.zone, network.access, logs


def _ask_for_emails() -> list[str]:
    while True:
        answer = typer.prompt("Who gets the alerts (e-mail addresses, a space or comma between)")
        emails = answer.replace(",", " ").split()
        faults = _faults(alertEmails=emails)
        if emails and not faults:
            return emails
        typer.echo("\n".join(fault.removeprefix("--email: ") for fault in faults) or "At least one is needed.")


def _show(choice: template.NewStackFile, found: Survey) -> None:
    """Print what the file will say, and warnings."""
    networks, detector = choice.networks, choice.detector
    to_log = Section(f"{len(networks)} to log", [Facts([(network.id, network.description) for network in networks])])
    sections = [to_log, Section(f"Detector: {detector.mode} {detector.id or ''}".rstrip(), detector.remarks)]
    show(Report(f"Account {choice.account_id}, {choice.region}", sections), "text")
    warnings = [f"{what} could not be read. {error}" for what, error in found.refused.items()]
    warnings += [f"{id_} is in a VPC that is logged whole; its traffic is recorded twice." for id_ in choice.overlaps]
    logged = [network.id for network in networks if network.logged_to]
    warnings += [f"{id_} has a flow log already; another one doubles the cost." for id_ in logged]
    for warning in [*warnings, *parse(choice.config)[1]]:
        typer.echo(f"Warning: {one_line(warning)}", err=True)


def _show_changes(before: StackFile, text_before: str, text: str) -> None:
    lines = [*difflib.unified_diff(text_before.split("\n"), text.split("\n"), lineterm="")][2:]
    changes = Listing([Line(line[:1].replace("@", " "), line[1:]) for line in lines])
    show(Report(f"Changes of {file_name(before.name)}", [Section("", [changes])]), "text")
    dropped = sorted(before.config.keys() - before.shared - yaml.read(text)["config"].keys())
    if dropped:
        typer.echo(f"Warning: set before, and not in the new file: {one_line(', '.join(dropped))}", err=True)


def _next_steps(choice: template.NewStackFile, profile: str | None, *, exists: bool) -> list[str]:
    key = f"awskms://alias/threat-monitor-secrets?region={choice.region}"
    return [
        *([f"export AWS_PROFILE={profile}"] if profile else []),
        f"pulumi stack init {choice.stack}{'   # unless it exists' if exists else ''}",
        "    # for a team, with secrets encrypted by a KMS key of yours that each of them may use:",
        f"    # pulumi stack init {choice.stack} --secrets-provider '{key}'",
        f"make preview STACK={choice.stack}",
    ]
