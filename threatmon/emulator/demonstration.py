"""``threatmon demo``: a stack deployed to an emulated account, and the delivery of findings there."""

import copy
import json
import time
from collections.abc import Iterator, Sequence
from importlib.resources import files
from typing import Any, NamedTuple

from threatmon.emulator.account import EmulatedAccount
from threatmon.emulator.delivery import EventDelivery, deliver_all
from threatmon.emulator.deployment import deployed
from threatmon.emulator.inside import Notification
from threatmon.emulator.program import ProgramRun, Registration
from threatmon.evaluation.explain import RuleVerdict, mail_text, summary
from threatmon.evaluation.findings import Event
from threatmon.reports.model import Facts, Report, Section, counted, verbatim
from threatmon.stacks.files import StackFile


class Demonstration(NamedTuple):
    """What was deployed where, what became of the findings, and of an event that no rule lets through (or None)."""

    stack: str
    account_id: str
    region: str
    run: ProgramRun
    findings: Sequence[EventDelivery]
    quiet: EventDelivery | None
    seconds: dict[str, float]

    @property
    def failed(self) -> bool:
        """Whether a rule let a finding through, and nobody got a message."""
        return any(found.matched and not found.notifications for found in self.findings)


def demonstrate(stack: StackFile, events: Sequence[Event] = ()) -> Demonstration:
    """Deploy the stack, confirm its subscriptions, and send the events, or a recorded port scan if there are none.

    Raises what :func:`threatmon.emulator.deployment.deployed` raises.
    """
    started = time.perf_counter()
    with deployed(stack) as deployment:
        deployed_at = time.perf_counter()
        account = deployment.account
        deployment.confirm_subscriptions()
        sent = events or [_recorded("ec2_portscan", account)]
        findings = list(deliver_all(account, sent))
        quiet = next((other for other in deliver_all(account, _others(account, sent[0])) if not other.matched), None)
        seconds = {"deployment": deployed_at - started, "delivery": time.perf_counter() - deployed_at}
        return Demonstration(stack.name, account.account_id, account.region, deployment.run, findings, quiet, seconds)


def _recorded(name: str, account: EmulatedAccount) -> Event:
    """Return a recorded event, as it would have come from this account and Region."""
    text = files("threatmon.emulator").joinpath("events", f"{name}.json").read_text(encoding="utf-8")
    return json.loads(text.replace("111122223333", account.account_id).replace("eu-west-1", account.region))


def _others(account: EmulatedAccount, alerting: Event) -> Iterator[Event]:
    """Yield findings, and last an event that is none, which a stack may let pass in silence."""
    yield _recorded("iam_user", account)
    archived = copy.deepcopy(alerting)
    archived["detail"].setdefault("service", {})["archived"] = True
    yield archived
    yield alerting | {"detail-type": "AWS API Call via CloudTrail"}


def report(shown: Demonstration) -> Report:
    """Return the resources, what became of each event, each message, and how long it took."""
    sent = [notification for found in shown.findings for notification in found.notifications]
    seconds = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in shown.seconds.items())
    sections = [
        Section("Resources that `pulumi up` would create", [verbatim("\n".join(_tree(shown.run)))]),
        *(
            section
            for found in shown.findings
            for section in (
                _section("GuardDuty sends a finding, after the subscribers have confirmed", found),
                *map(_message, found.notifications),
            )
        ),
        *([_section("What must not alert, does not", shown.quiet)] if shown.quiet else []),
        Section("", [f"{counted(len(shown.run.resources), 'resource')}, {counted(len(sent), 'message')}; {seconds}"]),
    ]
    return Report(
        f"Stack {shown.stack} in account {shown.account_id}, {shown.region}, emulated in this process",
        sections,
        _data(shown),
    )


def _section(title: str, found: EventDelivery) -> Section:
    verdicts = Facts([(rule, str(RuleVerdict(rule, stopped_by))) for rule, stopped_by in found.stopped_by.items()])
    sent = f"{counted(len(found.notifications), 'message')} sent" if found.notifications else "nothing is sent"
    return Section(
        title, [summary(found.event), verdicts, f"-> {sent}, {len(found.dead_letters)} in the dead-letter queue"]
    )


def _message(message: Notification) -> Section:
    is_mail = message.protocol.startswith("email")
    text = mail_text(message.subject, message.body) if is_mail else message.body
    return Section(f"{message.protocol} to {message.endpoint}", [verbatim(text)])


def _tree(run: ProgramRun) -> Iterator[str]:
    """Yield the resources under their parents, as a preview shows them."""
    children: dict[str, list[Registration]] = {}
    for urn in sorted(run.resources):
        parent = run.resources[urn].parent
        children.setdefault(parent if parent in run.resources else "", []).append(run.resources[urn])

    def branches(parent: str, indentation: str) -> Iterator[str]:
        *others, last = children[parent]
        for resource in (*others, last):
            edge, below = ("└── ", "    ") if resource is last else ("├── ", "│   ")
            yield f"{indentation}{edge}{resource.type.split(':')[-1]} {resource.name}"
            if resource.urn in children:
                yield from branches(resource.urn, indentation + below)

    yield from branches("", "")


def _data(shown: Demonstration) -> dict[str, Any]:
    return {
        "stack": shown.stack,
        "account": shown.account_id,
        "region": shown.region,
        "resources": [
            {"urn": resource.urn, "type": resource.type, "name": resource.name, "parent": resource.parent}
            for resource in shown.run.resources.values()
        ],
        "outputs": shown.run.outputs,
        "findings": [_delivered(found) for found in shown.findings],
        "quiet": _delivered(shown.quiet) if shown.quiet else None,
        "seconds": shown.seconds,
    }


def _delivered(found: EventDelivery) -> dict[str, Any]:
    return {
        "event": found.event,
        "rules": [{"rule": rule, "stoppedBy": stopped_by} for rule, stopped_by in found.stopped_by.items()],
        "notifications": [vars(notification) for notification in found.notifications],
        "deadLetters": [{"rule": letter.rule, "error": letter.error_code} for letter in found.dead_letters],
        "lost": len(found.lost),
    }
