"""The list of the fleet's stacks as a report: account, Region, networks, recipients, last update."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from threatmon.fleet.targets import Target
from threatmon.reports.model import Report, Section, Status, Table, counted

_COLUMNS = ("Stack", "Account", "Region", "Subnets", "VPCs", "Addresses", "Detector", "Last update")


def stack_list(targets: Sequence[Target], updates: Mapping[str, Mapping[str, Any]], problem: str | None) -> Report:
    """Return the report; ``updates`` is what ``stacks.outputs.last_updates`` returns, ``problem`` why it is unknown."""
    rows = [_row(target, "unknown" if problem else _shown(updates.get(target.stack, {}))) for target in targets]
    notes = [counted(len(rows), "stack"), *(Status("unknown", line) for line in (problem or "").splitlines())]
    return Report(
        "Stacks of the fleet",
        [Section("", [Table("", _COLUMNS, rows), *notes])],
        {"stacks": [_entry(target, updates.get(target.stack, {})) for target in targets], "problem": problem},
    )


def _row(target: Target, last_update: str) -> tuple[str, ...]:
    settings = target.settings
    counts = str(len(settings.subnet_ids)), str(len(settings.vpc_ids))
    addresses = ", ".join(settings.alert_emails)
    return target.stack, target.account_id, target.region, *counts, addresses, settings.detector.mode, last_update


def _shown(update: Mapping[str, Any]) -> str:
    if update.get("updateInProgress"):
        return "under way"
    if not update.get("lastUpdate"):
        return "never"
    moment = datetime.fromisoformat(update["lastUpdate"]).astimezone(UTC)
    return f"{moment:%Y-%m-%d %H:%M} UTC" + (", empty" if update.get("resourceCount") == 0 else "")


def _entry(target: Target, update: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "stack": target.stack,
        "account": target.account_id,
        "region": target.region,
        "subnetIds": target.settings.subnet_ids,
        "vpcIds": target.settings.vpc_ids,
        "alertEmails": target.settings.alert_emails,
        "detector": target.settings.detector.mode,
        "lastUpdate": update.get("lastUpdate"),
        "updateInProgress": update.get("updateInProgress", False),
    }
