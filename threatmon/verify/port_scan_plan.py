"""A real port scan in a stack's subnet, to copy and paste: ``port_scan_plan.txt`` with the stack's values put in."""

from collections.abc import Mapping
from importlib.resources import files
from shlex import quote
from string import Template

from threatmon.evaluation.explain import rules_of
from threatmon.model import names, queries
from threatmon.model.location import Location
from threatmon.model.settings import Settings
from threatmon.verify.sample_findings import expectation

FINDING_TYPE = "Recon:EC2/Portscan"
_REPEAT = {"FIFTEEN_MINUTES": "fifteen minutes", "ONE_HOUR": "hour", "SIX_HOURS": "six hours"}
_FINE_AGGREGATION = 60


class _PlanTemplate(Template):
    delimiter = "@"  # the shell needs the dollar


def text(values: Mapping[str, str]) -> str:
    """Return the plan with these values: bash, in which all that is no command is a comment."""
    template = files("threatmon.verify") / "port_scan_plan.txt"
    return _PlanTemplate(template.read_text(encoding="utf-8")).substitute(values)


def values_of(stack: str, settings: Settings, account: Location, profile: str | None = None) -> dict[str, str]:
    """Return what a stack puts into the plan, quoted for bash.

    ``account.id`` is empty if the stack file allows any account; ``profile`` is the AWS profile that it names.
    """
    traffic_type = settings.flow_logs.traffic_type
    return {
        "stack": quote(stack),
        "whose_account": f"account {account.id}" if account.id else "the account",
        "environment": _environment(account, profile),
        "subnet": _subnet(settings),
        "partition": account.partition,
        "dns_suffix": account.dns_suffix,
        "log_group": quote(names.log_group(stack)),
        "query": quote(queries.saved_queries(settings.flow_logs.format)["port scans"]),
        "detector": settings.detector.id or "$(aws guardduty list-detectors --query 'DetectorIds[0]' --output text)",
        # https://docs.aws.amazon.com/vpc/latest/userguide/flow-logs.html#flow-logs-basics
        "record_minutes": "10" if settings.flow_logs.aggregation_seconds == _FINE_AGGREGATION else "20",
        "recorded": "" if traffic_type == "ALL" else f" (only {traffic_type} is recorded)",
        "finding_type": FINDING_TYPE,
        "mail": _mail(settings),
        # https://docs.aws.amazon.com/guardduty/latest/ug/guardduty_findings_eventbridge.html
        "repeat": _REPEAT[settings.finding_publishing_frequency],
    }


def _environment(account: Location, profile: str | None) -> str:
    lines = [f"export AWS_REGION={quote(account.region)}"]
    if profile:
        lines.append(f"export AWS_PROFILE={quote(profile)}")
    if account.id:
        caller = "$(aws sts get-caller-identity --query Account --output text)"
        # A profile that does not exist makes every later command fail, however much was pasted at once.
        stop = '{ echo "STOP: another account. Open a new shell."; export AWS_PROFILE=another-account; }'
        lines.append(f'[ "{caller}" = {quote(account.id)} ] || {stop}')
    return "\n".join(lines)


def _subnet(settings: Settings) -> str:
    if settings.subnet_ids:
        return quote(settings.subnet_ids[0])
    vpc = f"--filters Name=vpc-id,Values={quote(settings.vpc_ids[0])}"
    return f"$(aws ec2 describe-subnets {vpc} --query 'Subnets[0].SubnetId' --output text)"


def _mail(settings: Settings) -> str:
    expected = expectation([FINDING_TYPE], rules_of(settings), samples=False)
    if FINDING_TYPE in expected.silent:
        return f"no mail, because this stack does not alert on it: {expected.silent[FINDING_TYPE]}"
    return f"the mail, by the rule {next(iter(expected.by_rule))}, to {', '.join(settings.alert_emails)}"
