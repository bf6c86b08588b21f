"""Sending messages again one at a time, and the status of each."""

import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from threatmon.redrive.publisher import Publisher
from threatmon.redrive.queue import Message, Queue
from threatmon.reports.model import Report, Section, State, Status, Table, Value

_SENDING_SECONDS = 120  # hides the one message in hand; longer than a throttled call with all its retries

# In the order in which the report counts them.
RESENT, SENT, LEFT, WAITING = "sent again", "sent again, but not deleted", "left in the queue", "in the queue"
_STATES: Mapping[str, State] = {RESENT: "ok", SENT: "unknown", LEFT: "failed", WAITING: "warning"}
_COLUMNS = ("State", "Age", "Finding", "Severity", "Account", "Region", "Why it was not delivered", "Why it stays")


class RedriveStatus(NamedTuple):
    """The status of a message, and the reason if it was left in the queue."""

    message: Message
    state: str = WAITING
    reason: str | None = None


def send_again(queue: Queue, publisher: Publisher, statuses: dict[str, RedriveStatus]) -> Iterator[RedriveStatus]:
    """Send the queue's messages again until it has no more, each once; yield what became of each.

    ``statuses`` has, by id, the messages known so far, and is kept up to date. A message is deleted only after SNS has
    accepted it, and before the next one is received. Whatever raises ends the run with at most this one message sent
    and still in the queue.
    """
    left = repeats = 0
    # What is left comes back when its time is over; once all of it has, nothing new is to come.
    while repeats <= left and (received := queue.receive(1, _SENDING_SECONDS)):
        message = received[0]
        state = statuses[message.id].state if message.id in statuses else WAITING
        if state == LEFT:
            repeats += 1
        elif state == RESENT:  # SQS delivers at least once
            queue.delete(message)
        else:
            repeats = 0
            if reason := publisher.publish(message.dead_letter):
                left += 1
                statuses[message.id] = RedriveStatus(message, LEFT, reason)
            else:
                statuses[message.id] = RedriveStatus(message, SENT)
                queue.delete(message)
                statuses[message.id] = RedriveStatus(message, RESENT)
            yield statuses[message.id]


def report(stack: str, statuses: Mapping[str, RedriveStatus], hidden: int) -> Report:
    """Report every message by what became of it; ``hidden`` are those that somebody else has in hand."""
    states = [status.state for status in statuses.values()]
    counts = [f"{states.count(state)} {state}" for state in _STATES if state in states]
    nothing = "No message can be seen" if hidden else "The dead-letter queue is empty"
    blocks: list[Table | str] = [f"{', '.join(counts) or nothing}."]
    if hidden:
        blocks.append(
            f"About {hidden} more hidden: another run is sending them, or was interrupted. "
            f"Try again in {_SENDING_SECONDS // 60} minutes."
        )
    if statuses:
        columns = _COLUMNS if any(status.reason for status in statuses.values()) else _COLUMNS[:-1]
        rows = [_row(status)[: len(columns)] for status in statuses.values()]
        blocks.insert(0, Table("", columns, rows, heading="Finding"))
    return Report(f"Dead letters of stack {stack}", [Section("", blocks)], _document(stack, statuses, hidden))


def _row(status: RedriveStatus) -> tuple[Value, ...]:
    letter = status.message.dead_letter
    severity = letter.field("severity")
    return (
        Status(_STATES[status.state], status.state),
        _age(time.time() - status.message.queued_at),
        letter.field("type") or "no finding",
        f"{letter.band.name.upper()} ({severity})" if letter.band else severity,
        letter.field("accountId"),
        letter.field("region"),
        letter.error,
        status.reason or "",
    )


def _age(seconds: float) -> str:
    size, unit = next((entry for entry in ((86400, "d"), (3600, "h"), (60, "min")) if seconds >= entry[0]), (1, "s"))
    return f"{max(seconds, 0) / size:.0f} {unit}"


def _document(stack: str, statuses: Mapping[str, RedriveStatus], hidden: int) -> dict[str, Any]:
    states = [status.state for status in statuses.values()]
    return {
        "stack": stack,
        "messages": [
            {
                "id": message.id,
                "findingType": message.dead_letter.field("type"),
                "severity": message.dead_letter.field("severity"),
                "accountId": message.dead_letter.field("accountId"),
                "region": message.dead_letter.field("region"),
                "ageSeconds": round(time.time() - message.queued_at),
                "targetArn": message.dead_letter.target_arn,
                "error": message.dead_letter.error,
                "state": state,
                "reason": reason,
            }
            for message, state, reason in statuses.values()
        ],
        "sentAgain": states.count(RESENT),
        "remaining": len(states) - states.count(RESENT),
        "hidden": hidden,
    }
