"""``threatmon redrive``: what could not be delivered, sent again to whoever missed it."""

import sys
from typing import Annotated

import typer

from threatmon import project
from threatmon.cli import progress
from threatmon.cli.output import OutputOption, show
from threatmon.errors import CHECK_FAILED, UsageError
from threatmon.redrive.queue import Queue
from threatmon.redrive.redrive import RESENT, Statuses, follow, send_again, waiting
from threatmon.redrive.report import report
from threatmon.redrive.sender import Sender, sender_of
from threatmon.stacks.connect import connect
from threatmon.stacks.files import load
from threatmon.stacks.outputs import stack_outputs

# The key of the topics and of the queue is used on the caller's behalf; kms itself is not called.
PERMISSIONS = (
    "events:ListTargetsByRule",
    "kms:Decrypt",
    "kms:GenerateDataKey",
    "sns:Publish",
    "sqs:ChangeMessageVisibility",
    "sqs:DeleteMessage",
    "sqs:GetQueueAttributes",
    "sqs:ReceiveMessage",
    "states:DescribeExecution",
    "states:GetExecutionHistory",
    "states:ListExecutions",
    "states:StartExecution",
)


def redrive(
    stack: Annotated[str, typer.Option(help="The stack: Pulumi.<stack>.yaml.")] = "dev",
    yes: Annotated[bool, typer.Option("--yes", help="Send without asking.")] = False,
    output: OutputOption = "text",
) -> None:
    """List what could not be delivered, and send it again.

    That is what waits in the dead-letter queue, and what the state machine failed with in the last 90 days. People get
    the usual mail or chat message from a new execution, machines the untouched event; nobody gets again what they have.
    Without --yes it asks if there is a terminal and the output is text, else it only lists. Interrupted anywhere,
    nothing is lost, and at most one event is sent to machines twice. Exit 1 unless everything has been sent in the end.

    Example: threatmon redrive --stack prod
    """
    stack_file = load(project.ROOT, stack)
    aws = connect(stack_file)
    outputs = stack_outputs(stack)
    for name in ("deadLetterQueueUrl", "stateMachineArn"):
        if name not in outputs:
            raise UsageError(f"Stack {stack} has no output {name}; complete its deployment: `make up STACK={stack}`.")
    queue = Queue(aws, outputs["deadLetterQueueUrl"])
    with progress.status("Reading the dead-letter queue and the failed executions"):
        sender = sender_of(aws, outputs)
        hidden = queue.hidden_count()
        statuses = waiting(queue, sender)
    if statuses and not yes and output == "text" and sys.stdin.isatty():
        show(report(stack, statuses.values(), hidden), output)
        if not typer.confirm(f"Send {len(statuses)} alert(s) again?"):
            raise typer.Exit(CHECK_FAILED)
        yes = True
    try:
        if yes:
            _send(queue, sender, statuses)
    finally:
        show(report(stack, statuses.values(), hidden), output)
    if hidden or any(status.state != RESENT for status in statuses.values()):
        raise typer.Exit(CHECK_FAILED)


def _send(queue: Queue, sender: Sender, statuses: Statuses) -> None:
    total = len(statuses)
    if not total:
        return
    with progress.status("Sending again") as update:
        for number, _ in enumerate(send_again(queue, sender, statuses), start=1):
            update(f"Sending again: {number} of {total}")
        update("Waiting until the state machine is done")
        follow(queue, sender, statuses)
