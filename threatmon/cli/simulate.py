"""``threatmon simulate``: sample findings of chosen types, or the plan of a real port scan."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import typer
from botocore.exceptions import ClientError
from rich.console import Console
from rich.progress import track

from threatmon import project
from threatmon.errors import CHECK_FAILED, UsageError
from threatmon.evaluation.explain import rules_of
from threatmon.model import finding_types
from threatmon.model.settings import Settings
from threatmon.stacks.facts import place_of, settings_of
from threatmon.stacks.files import StackFile, load
from threatmon.stacks.old_aws import Aws, connect
from threatmon.stacks.outputs import stack_outputs
from threatmon.verify import port_scan_plan
from threatmon.verify.sample_findings import Expectation, Selection, batches, expectation, select

PERMISSIONS = ("guardduty:CreateSampleFindings",)


@dataclass
class Samples:
    """What came of the calls."""

    created: list[str] = field(default_factory=list[str])
    refused: dict[str, str] = field(default_factory=dict[str, str])
    """types that GuardDuty makes no samples of, and what it says"""


def simulate(
    stack: Annotated[str, typer.Option(help="The stack to test: Pulumi.<stack>.yaml.")] = "dev",
    types: Annotated[
        list[str] | None,
        typer.Option(
            "--type", help="A finding type, or a family (Recon:EC2/*), instead of the configured ones. Repeatable."
        ),
    ] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Print how to run a real port scan instead; calls nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Create sample findings of the configured types, and say which rules should mail them.

    Example: threatmon simulate --stack dev --type Recon:EC2/Portscan
    """
    stack_file = load(project.ROOT, stack)
    settings = settings_of(stack_file)
    if plan:
        if types:
            raise UsageError("--plan is of a port scan; leave --type out.")
        _show_plan(stack_file, settings, as_json=as_json)
        return
    selection = _selection(types, settings)
    aws = connect(stack_file)
    outputs = stack_outputs(stack)
    if not outputs.get("detectorId"):
        raise UsageError(
            f"Stack {stack} is only half deployed: it has no output detectorId. Run `make up STACK={stack}`."
        )
    samples = _create(aws, outputs["detectorId"], selection.types)
    expected = expectation(samples.created, rules_of(settings))
    report = {
        "stack": stack,
        "region": aws.region,
        "detectorId": outputs["detectorId"],
        "created": samples.created,
        "refused": samples.refused,
        "leftOut": selection.left_out,
        "expected": _named(expected, settings, outputs.get("ruleNames", [])),
        "warnings": _warnings(settings, outputs.get("ruleNames", [])),
    }
    if as_json:
        typer.echo(json.dumps(report, indent=2))
    else:
        _show(Console(), report)
    if samples.refused:
        raise typer.Exit(CHECK_FAILED)


# -- which types ------------------------------------------------------------------------------------------------------


def _selection(types: Sequence[str] | None, settings: Settings) -> Selection:
    faults = [
        f"--type: {entry} {fault}"
        for entry in types or []
        if (fault := finding_types.fault(entry))
        and not (settings.allow_unknown_finding_types and finding_types.is_well_formed(entry))
    ]
    if faults:
        raise UsageError("\n".join(faults))
    selection = select(types or settings.finding_types)
    if not selection.types:
        raise UsageError("\n".join(["There is no sample to create:", *_reasons(selection.left_out)]))
    return selection


def _reasons(reasons: Mapping[str, str]) -> list[str]:
    return [f"  {name} {reason}" for name, reason in reasons.items()]


# -- the calls --------------------------------------------------------------------------------------------------------


def _create(aws: Aws, detector_id: str, types: Sequence[str]) -> Samples:
    """Sample findings of the types. What GuardDuty refuses does not stop the rest."""
    guardduty, samples = aws.client("guardduty"), Samples()
    console = Console(stderr=True)
    calls = track(
        batches(types), "Creating sample findings", console=console, transient=True, disable=not console.is_terminal
    )
    try:
        for batch in calls:
            for part, refusal in _accepted(guardduty, detector_id, batch):
                if refusal:
                    samples.refused[part[0]] = refusal
                else:
                    samples.created += part
    except ClientError:
        if samples.created:
            typer.echo(f"{len(samples.created)} of {len(types)} sample findings were created; then:", err=True)
        raise
    return samples


def _accepted(guardduty: Any, detector_id: str, types: Sequence[str]) -> Iterator[tuple[Sequence[str], str | None]]:
    """The parts of a batch that were taken, and single types with the reason for which they were not.

    One type that GuardDuty does not know (in this Region, or yet) has it refuse the whole call, without naming it.
    """
    try:
        guardduty.create_sample_findings(DetectorId=detector_id, FindingTypes=list(types))
    except guardduty.exceptions.BadRequestException as error:
        reason = error.response["Error"]["Message"]
        if "detector" in reason.lower():
            raise UsageError(
                f"GuardDuty does not know detector {detector_id} of the stack's outputs here ({reason}) "
                "Run `pulumi up --refresh`."
            ) from None
        if len(types) == 1:
            yield types, reason
            return
        middle = len(types) // 2
        yield from _accepted(guardduty, detector_id, types[:middle])
        yield from _accepted(guardduty, detector_id, types[middle:])
    else:
        yield types, None


# -- what to expect ---------------------------------------------------------------------------------------------------


def _named(expected: Expectation, settings: Settings, deployed: Sequence[str]) -> dict[str, Any]:
    """The expectation under the names of the deployed rules, which are put out in the order of the settings' rules."""
    keys = [rule.key for rule in rules_of(settings)]
    rule_names = dict(zip(keys, deployed, strict=True)) if len(keys) == len(deployed) else {}
    by_rule = {rule_names.get(key, key): types for key, types in expected.by_rule.items()}
    return {"byRule": by_rule, "varyingSeverity": expected.varying, "silent": expected.silent}


def _warnings(settings: Settings, deployed: Sequence[str]) -> list[str]:
    warnings: list[str] = []
    if not settings.alerts.include_samples:
        warnings.append("threat-monitor:alerts.includeSamples is false: the rules let no sample through.")
    if len(rules_of(settings)) != len(deployed):
        warnings.append(
            f"The stack file makes {len(rules_of(settings))} rules, {len(deployed)} are deployed: run `make preview`."
        )
    return warnings


# -- output -----------------------------------------------------------------------------------------------------------


def _show(console: Console, report: Mapping[str, Any]) -> None:
    def line(text: str = "") -> None:
        console.print(text, soft_wrap=True, markup=False, highlight=False)

    for warning in report["warnings"]:
        line(f"Warning: {warning}")
    line(f"Created in {report['region']}, detector {report['detectorId']}: {_samples(report['created'])}.")
    for title, reasons in (("Left out", report["leftOut"]), ("Refused by GuardDuty", report["refused"])):
        if reasons:
            line("\n".join([f"{title}:", *_reasons(reasons)]))
    by_rule, varying, silent = report["expected"].values()
    if by_rule or varying:
        line("\nWithin about 5 minutes these rules should mail:")
    for rule, types in by_rule.items():
        line(f"  {rule}: {_samples(types)}")
    if varying:
        line(f"  one or the other: {_samples(varying)}, whose severity varies")
    if silent:
        line("\nNo rule lets these through:")
        line("\n".join(f"  {name}: {reason}" for name, reason in silent.items()))
    if by_rule or varying:
        line("\nA sample that exists already may count as a repeat, and be mailed hours later: archive old ones first.")


_FEW = 3


def _samples(types: Sequence[str]) -> str:
    count = "1 sample" if len(types) == 1 else f"{len(types)} samples"
    shown = ", ".join(types[:_FEW]) + (", ..." if len(types) > _FEW else "")
    return f"{count} ({shown})" if types else count


def _show_plan(stack: StackFile, settings: Settings, *, as_json: bool) -> None:
    plan = port_scan_plan.plan(stack.name, settings, place_of(stack), stack.config.get("aws:profile"))
    if as_json:
        document = plan._asdict() | {
            "steps": [step._asdict() for step in plan.steps],
            "expect": [moment._asdict() for moment in plan.expect],
        }
        typer.echo(json.dumps({"stack": stack.name, "region": stack.region, **document}, indent=2))
    else:
        Console().print(_plan_text(stack, plan), soft_wrap=True, markup=False, highlight=False)


def _plan_text(stack: StackFile, plan: port_scan_plan.Plan) -> str:
    """The plan as a text to read from top to bottom; what is no command is a comment, so that a step can be pasted."""
    lines = [f"# A port scan between two instances, to see the alert of stack {stack.name} arrive. For bash."]
    for title, texts in (("Before", plan.before), ("Safety", plan.safety), ("Stop if", plan.stop)):
        lines += ["#", f"# {title}:", *(f"# - {text}" for text in texts)]
    for number, step in enumerate(plan.steps, start=1):
        lines += ["", f"# {number}. {step.title}", *step.commands]
    lines += ["", "# What to expect:", *(f"# - {moment.when}: {moment.what}" for moment in plan.expect)]
    return "\n".join(lines)
