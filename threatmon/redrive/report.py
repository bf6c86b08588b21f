"""The report on what could not be delivered, and on what became of it."""

import time
from collections.abc import Collection, Mapping
from typing import Any

from threatmon.redrive.redrive import (
    FAILED,
    LATE,
    LEFT,
    RESENT,
    SENDING_SECONDS,
    SENT,
    STARTED,
    WAITING,
    RedriveStatus,
)
from threatmon.reports.model import Report, Section, State, Status, Table, Value

# In the order in which the report counts them.
_STATES: Mapping[str, State] = {
    RESENT: "ok",
    STARTED: "unknown",
    SENT: "unknown",
    FAILED: "failed",
    LEFT: "failed",
    WAITING: "warning",
    LATE: "warning",
}
_COLUMNS = ("State", "What", "Age", "Finding", "Severity", "Account", "Region", "Why it was not delivered")
_REASON = "Why it stays"


def report(stack: str, statuses: Collection[RedriveStatus], hidden: int) -> Report:
    """Report every alert by what became of it; ``hidden`` are the messages that somebody else has in hand."""
    states = [status.state for status in statuses]
    counts = [f"{states.count(state)} {state}" for state in _STATES if state in states]
    nothing = "No message can be seen" if hidden else "The dead-letter queue is empty"
    blocks: list[Table | str] = [f"{', '.join(counts) or f'{nothing}, and no execution has failed'}."]
    if hidden:
        blocks.append(
            f"About {hidden} more hidden: another run is sending them, or was interrupted. "
            f"Try again in {SENDING_SECONDS // 60} minutes."
        )
    if statuses:
        columns = (*_COLUMNS, _REASON) if any(status.reason for status in statuses) else _COLUMNS
        rows = [_row(status)[: len(columns)] for status in statuses]
        blocks.insert(0, Table("", columns, rows, heading="Finding"))
    return Report(f"Undelivered alerts of stack {stack}", [Section("", blocks)], _document(stack, statuses, hidden))


def _row(status: RedriveStatus) -> tuple[Value, ...]:
    alert = status.alert
    severity = alert.field("severity")
    return (
        Status(_STATES[status.state], status.state),
        alert.kind,
        _age(time.time() - alert.since),
        alert.field("type") or "no finding",
        f"{alert.band.name.upper()} ({severity})" if alert.band else severity,
        alert.field("accountId"),
        alert.field("region"),
        alert.error,
        status.reason or "",
    )


def _age(seconds: float) -> str:
    size, unit = next((entry for entry in ((86400, "d"), (3600, "h"), (60, "min")) if seconds >= entry[0]), (1, "s"))
    return f"{max(seconds, 0) / size:.0f} {unit}"


def _document(stack: str, statuses: Collection[RedriveStatus], hidden: int) -> dict[str, Any]:
    sent = sum(status.state == RESENT for status in statuses)
    return {
        "stack": stack,
        "messages": [
            {
                "id": alert.id,
                "kind": alert.kind,
                "findingType": alert.field("type"),
                "severity": alert.field("severity"),
                "accountId": alert.field("accountId"),
                "region": alert.field("region"),
                "ageSeconds": round(time.time() - alert.since),
                "targetArn": alert.target_arn,
                "channels": list(alert.channels),
                "error": alert.error,
                "state": state,
                "reason": reason,
                "executionArn": execution_arn,
            }
            for alert, state, reason, execution_arn in statuses
        ],
        "sentAgain": sent,
        "remaining": len(statuses) - sent,
        "hidden": hidden,
    }
