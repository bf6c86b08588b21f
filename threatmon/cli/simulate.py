"""``threatmon simulate``: sample findings of chosen types, or the plan of a real port scan."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Annotated

import typer

from threatmon import project
from threatmon.cli.output import OutputOption, show
from threatmon.cli.progress import status
from threatmon.errors import CHECK_FAILED, UsageError
from threatmon.evaluation.explain import rules_of
from threatmon.model import finding_types, names
from threatmon.model.settings import Settings
from threatmon.reports.model import Facts, Report, Section, Status, counted, first_few, verbatim
from threatmon.stacks.connect import connect
from threatmon.stacks.files import StackFile, load, settings_of
from threatmon.stacks.location import location_of
from threatmon.stacks.outputs import stack_outputs
from threatmon.verify import port_scan_plan
from threatmon.verify.sample_findings import Samples, Selection, create, expectation, select

PERMISSIONS = ("guardduty:CreateSampleFindings",)


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
    output: OutputOption = "text",
) -> None:
    """Create sample findings of the configured types, and say which rules should mail them.

    Example: threatmon simulate --stack dev --type Recon:EC2/Portscan
    """
    stack_file = load(project.ROOT, stack)
    settings = settings_of(stack_file)
    if plan and types:
        raise UsageError("--plan is always a port scan; leave --type out.")
    if plan:
        show(_plan_report(stack_file, settings), output)
        return
    selection = _selection(types, settings)
    aws = connect(stack_file)
    outputs = stack_outputs(stack)
    if not outputs.get("detectorId"):
        raise UsageError(
            f"Stack {stack} is only half deployed: it has no output detectorId. Run `make up STACK={stack}`."
        )
    with status("Creating sample findings") as say:
        samples = create(aws, outputs["detectorId"], selection.types, say)
    place = {"stack": stack, "region": aws.region, "detectorId": outputs["detectorId"]}
    show(_report(place, settings, selection, samples, outputs.get("ruleNames", [])), output)
    if samples.refused:
        raise typer.Exit(CHECK_FAILED)


def _selection(types: Sequence[str] | None, settings: Settings) -> Selection:
    """Return the types to make samples of. Raises :class:`UsageError` for misspelt ones, or if none is left."""
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
        reasons = [f"  {name} {reason}" for name, reason in selection.left_out.items()]
        raise UsageError("\n".join(["There is no sample to create:", *reasons]))
    return selection


def _report(
    place: Mapping[str, str], settings: Settings, selection: Selection, samples: Samples, deployed: Sequence[str]
) -> Report:
    rules = rules_of(settings)
    expected = expectation(samples.created, rules)
    by_rule = {names.alert_rule(place["stack"], key): types for key, types in expected.by_rule.items()}
    warnings: list[str] = []
    if not settings.alerts.include_samples:
        warnings.append("threat-monitor:alerts.includeSamples is false: the rules let no sample through.")
    if len(rules) != len(deployed):
        made = counted(len(rules), "rule")
        warnings.append(f"The stack file makes {made}, deployed: {len(deployed)}. Run `make preview`.")
    created = f"Created in {place['region']}, detector {place['detectorId']}: {_samples(samples.created)}."
    rows = [(rule, _samples(types)) for rule, types in by_rule.items()]
    if expected.varying:
        rows.append(("perhaps", f"{_samples(expected.varying)}, whose severity varies"))
    repeats = "A sample that exists already may count as a repeat, and be mailed hours later: archive old ones first."
    lists = {
        "Left out": selection.left_out.items(),
        "Refused by GuardDuty": _by_reason(samples.refused),
        "No rule lets these through": expected.silent.items(),
    }
    return Report(
        f"Sample findings for stack {place['stack']}",
        [
            Section("", [*(Status("warning", warning) for warning in warnings), created]),
            *([Section("Within about 5 minutes these rules should mail", [Facts(rows), repeats])] if rows else []),
            *(Section(title, [Facts(list(reasons))]) for title, reasons in lists.items() if reasons),
        ],
        {
            **place,
            "created": samples.created,
            "refused": samples.refused,
            "leftOut": selection.left_out,
            "expected": {"byRule": by_rule, "varyingSeverity": expected.varying, "silent": expected.silent},
            "warnings": warnings,
        },
    )


def _samples(types: Sequence[str]) -> str:
    return f"{counted(len(types), 'sample')} ({first_few(types)})" if types else "no sample"


def _by_reason(refused: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return types and reason, one entry for each reason."""
    types = defaultdict[str, list[str]](list)
    for name, reason in refused.items():
        types[reason].append(name)
    return [(first_few(named), reason) for reason, named in types.items()]


def _plan_report(stack: StackFile, settings: Settings) -> Report:
    values = port_scan_plan.values_of(stack.name, settings, location_of(stack), stack.config.get("aws:profile"))
    text = port_scan_plan.text(values)
    data = {"stack": stack.name, "region": stack.region, "values": values, "text": text}
    shown = [Section("", [verbatim(text.rstrip("\n"), "sh")])]
    return Report(f"Port scan to test stack {stack.name}", shown, data)
