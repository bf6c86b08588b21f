"""The list of the fleet's stacks as a report: account, Region, networks, recipients, status, last update."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from threatmon.fleet.backend import renamed_from
from threatmon.fleet.known_stack import KnownStack, Leftover
from threatmon.fleet.targets import Target
from threatmon.model.settings import NAMESPACE
from threatmon.reports.model import Report, Section, Status, Table, counted

_COLUMNS = ("Stack", "Account", "Region", "Subnets", "VPCs", "Addresses", "Detector", "Status", "Last update")


def stack_list(
    targets: Sequence[Target], known: Mapping[str, KnownStack], left: Sequence[Leftover], problem: str | None
) -> Report:
    """Return the report; ``known`` is what the backend has, ``left`` its stacks without a file.

    ``problem`` says why neither is known.
    """
    entries = [
        *(
            _entry(target, known.get(target.stack), "unknown" if problem else _status(target, known, left))
            for target in targets
        ),
        *map(_entry_of_leftover, left),
    ]
    notes = [
        counted(len(targets), "stack") + (f", and {len(left)} without a file" if left else ""),
        *(Status("warning", f"{each.known.name}: {each.advice}") for each in left),
        *(Status("failed", f"{name}: {stack.fault}") for name, stack in known.items() if stack.fault),
        *(Status("unknown", line) for line in (problem or "").splitlines()),
    ]
    return Report(
        "Stacks of the fleet",
        [Section("", [Table("", _COLUMNS, [_row(entry, known, problem) for entry in entries]), *notes])],
        {"stacks": entries, "problem": problem},
    )


def _status(target: Target, known: Mapping[str, KnownStack], left: Sequence[Leftover]) -> str:
    stack = known.get(target.stack)
    if stack is None:
        old = renamed_from(target, left)
        return f"renamed from {old}" if old else "new"
    if stack.fault:
        return "its state cannot be read"
    return "deployed" if stack.last_update else "new"


def _entry(target: Target, known: KnownStack | None, status: str) -> dict[str, Any]:
    return {
        "stack": target.stack,
        "account": target.account_id,
        "region": target.region,
        "subnetIds": target.settings.subnet_ids,
        "vpcIds": target.settings.vpc_ids,
        "alertEmails": target.settings.alert_emails,
        "detector": target.settings.detector.mode,
        "status": status,
        **_update(known),
    }


def _entry_of_leftover(left: Leftover) -> dict[str, Any]:
    return {
        "stack": left.known.name,
        "account": left.account_id,
        "region": left.region,
        "subnetIds": left.file.list_of(f"{NAMESPACE}:subnetIds"),
        "vpcIds": left.file.list_of(f"{NAMESPACE}:vpcIds"),
        "alertEmails": [],
        "detector": "",
        "status": "empty, without a file" if left.known.resources == 0 else "deployed, without a file",
        **_update(left.known),
    }


def _update(known: KnownStack | None) -> dict[str, Any]:
    return {
        "lastUpdate": known.last_update if known else None,
        "updateInProgress": known.in_progress if known else False,
    }


def _row(entry: Mapping[str, Any], known: Mapping[str, KnownStack], problem: str | None) -> tuple[str, ...]:
    counts = str(len(entry["subnetIds"])), str(len(entry["vpcIds"]))
    place = entry["stack"], entry["account"], entry["region"]
    last_update = "unknown" if problem else _shown(known.get(entry["stack"]))
    return *place, *counts, ", ".join(entry["alertEmails"]), entry["detector"], entry["status"], last_update


def _shown(stack: KnownStack | None) -> str:
    if stack and stack.in_progress:
        return "under way"
    if not stack or not stack.last_update:
        return "never"
    moment = datetime.fromisoformat(stack.last_update).astimezone(UTC)
    return f"{moment:%Y-%m-%d %H:%M} UTC" + (", empty" if stack.resources == 0 else "")
