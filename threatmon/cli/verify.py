"""``threatmon verify``: whether a deployed stack can do what it is for."""

import time
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from threatmon import project
from threatmon.aws.reader import Aws
from threatmon.cli.output import OutputOption, show
from threatmon.cli.progress import status
from threatmon.errors import CHECK_FAILED, UsageError
from threatmon.reports.model import STATES, Check, Checks, Report, Section, counted
from threatmon.stacks.connect import connect
from threatmon.stacks.files import load, settings_of
from threatmon.stacks.outputs import stack_outputs
from threatmon.verify import delivery_test, rendering, stack_checks
from threatmon.verify.delivery_test import SampleDelivery
from threatmon.verify.deployed_stack import DeployedStack

PERMISSIONS = tuple(sorted([*stack_checks.PERMISSIONS, *rendering.PERMISSIONS, "guardduty:CreateSampleFindings"]))


def verify(
    stack: Annotated[str, typer.Option(help="The stack to check; it has to be deployed.")] = "dev",
    send: Annotated[
        bool, typer.Option("--send", help="Also make sample findings, and wait until they are counted as delivered.")
    ] = False,
    timeout: Annotated[int, typer.Option(min=1, help="Minutes to wait for what was sent.")] = 15,
    output: OutputOption = "text",
) -> None:
    """Check that a deployed stack can detect, record, choose, write and deliver; with --send, try it.

    Also has AWS write alerts about sample findings, sent to nobody, and compares them with what is expected; each takes
    a second. Changes nothing; --send makes sample findings, and whoever is subscribed gets alerts about them. Exit code
    1 if something failed or could not be checked; a warning is neither.

    Example: threatmon verify --stack prod --send
    """
    stack_file = load(project.ROOT, stack)
    settings = settings_of(stack_file)
    plan = delivery_test.plan(settings) if send else None
    outputs = stack_outputs(stack)
    aws = connect(stack_file)
    _refuse_another_place(stack, aws, outputs)
    deployed = DeployedStack(aws, settings, stack)
    with status("Checking the stack") as say:
        checks = stack_checks.run(stack_checks.checks_of(deployed))
        checks += rendering.checks(deployed, say, time.sleep)
        delivery = delivery_test.send(deployed, plan, 60 * timeout, say) if plan else None
    passed = all(check.state in ("ok", "warning") for check in checks)
    show(_report(deployed, checks, delivery, passed=passed), output)
    if not passed or (delivery and not delivery.arrived):
        raise typer.Exit(CHECK_FAILED)


def _refuse_another_place(stack: str, aws: Aws, outputs: Mapping[str, Any]) -> None:
    """Raise :class:`UsageError` if the stack is deployed elsewhere: every check would say that nothing is there."""
    *_, region, account_id, _ = outputs.get("topicArn", f":{aws.region}:{aws.account_id}:").split(":")
    if (region, account_id) != (aws.region, aws.account_id):
        raise UsageError(
            f"Stack {stack} is deployed to account {account_id}, {region}, but this is account {aws.account_id}, "
            f"{aws.region}. Use another profile, or fix aws:region."
        )


def _report(stack: DeployedStack, checks: Sequence[Check], delivery: SampleDelivery | None, *, passed: bool) -> Report:
    states = [check.state for check in checks]
    counts = ", ".join(f"{states.count(state)} {state}" for state in STATES if state in states)
    account, region = stack.aws.account_id, stack.aws.region
    return Report(
        f"Stack {stack.stack} in account {account}, {region}",
        [
            Section("", [Checks(checks), f"{counted(len(checks), 'check')}: {counts}."]),
            *([delivery.section()] if delivery else []),
        ],
        {
            "stack": stack.stack,
            "account": account,
            "region": region,
            "passed": passed,
            "checks": [check._asdict() for check in checks],
            **({"sent": delivery.document()} if delivery else {}),
        },
    )
