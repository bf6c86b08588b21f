"""Sending again one alert at a time, and the status of each."""

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from threatmon.redrive import executions
from threatmon.redrive.queue import Queue
from threatmon.redrive.sender import Sender
from threatmon.redrive.undelivered import Undelivered

SENDING_SECONDS = 120  # hides the one message in hand; longer than a throttled call with all its retries

RESENT, STARTED, SENT = "sent again", "on its way", "sent again, but not deleted"
FAILED, LEFT, WAITING, LATE = "failed again", "left", "waiting", "came meanwhile"


class RedriveStatus(NamedTuple):
    """The status of an alert, and why it is not sent; the execution that sends it, if there is one."""

    alert: Undelivered
    state: str = WAITING
    reason: str | None = None
    execution_arn: str | None = None


Statuses = dict[str, RedriveStatus]
"""Each alert by its id."""


def waiting(queue: Queue, sender: Sender) -> Statuses:
    """Return what can be sent again: the queue's messages, and the executions that failed."""
    alerts = [*queue.peek(), *executions.unsent(sender.aws, sender.state_machine_arn)]
    return {alert.id: RedriveStatus(alert) for alert in alerts}


def send_again(queue: Queue, sender: Sender, statuses: Statuses) -> Iterator[RedriveStatus]:
    """Send what waits, each once; keep its status up to date and yield it.

    A message is deleted as soon as its execution has been accepted (or SNS has confirmed it), and before the next one
    is received. There is no need to wait for the execution's end: one that fails is found among the failed ones.
    Whatever raises ends the run with at most this one message sent and still in the queue.

    What comes to the queue meanwhile is left there: it may be what was just sent, and failed again.
    """
    for status in list(statuses.values()):
        if status.alert.kind == "execution":
            statuses[status.alert.id] = _sent(sender, status.alert)
            yield statuses[status.alert.id]
    left = repeats = 0
    # What is left comes back when its time is over; once all of it has, nothing new is to come.
    while repeats <= left and (received := queue.receive(1, SENDING_SECONDS)):
        message = received[0]
        state = statuses[message.id].state if message.id in statuses else None
        if state in {LEFT, LATE}:
            repeats += 1
        elif state in {RESENT, STARTED}:  # SQS delivers at least once
            queue.delete(message)
        else:
            repeats = 0
            status = _sent(sender, message) if state == WAITING else RedriveStatus(message, LATE)
            if status.state in {LEFT, LATE}:
                left += 1
            else:
                statuses[message.id] = RedriveStatus(message, SENT)
                queue.delete(message)
            statuses[message.id] = status
            yield status


def follow(queue: Queue, sender: Sender, statuses: Statuses, sleep: Callable[[float], None] = time.sleep) -> None:
    """Wait until all executions that were started have ended; then look what came to the queue."""
    for id_, status in statuses.items():
        if status.execution_arn:
            failure = executions.failure(sender.aws, status.execution_arn, sleep)
            statuses[id_] = status._replace(state=FAILED if failure else RESENT, reason=failure)
    for message in queue.peek():
        statuses.setdefault(message.id, RedriveStatus(message, LATE))


def _sent(sender: Sender, alert: Undelivered) -> RedriveStatus:
    refusal, execution_arn = sender.send(alert)
    state = LEFT if refusal else STARTED if execution_arn else RESENT
    return RedriveStatus(alert, state, refusal, execution_arn)
