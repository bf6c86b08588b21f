"""``threatmon redrive``: what EventBridge could not deliver, sent again so that it cannot fail in the same way."""

import sys
from typing import Annotated

import typer

from threatmon import project
from threatmon.cli import progress
from threatmon.cli.output import OutputOption, show
from threatmon.errors import CHECK_FAILED, UsageError
from threatmon.redrive.publisher import publisher_of
from threatmon.redrive.queue import Queue
from threatmon.redrive.redrive import RESENT, RedriveStatus, report, send_again
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
)


def redrive(
    stack: Annotated[str, typer.Option(help="The stack: Pulumi.<stack>.yaml.")] = "dev",
    yes: Annotated[bool, typer.Option("--yes", help="Send without asking.")] = False,
    output: OutputOption = "text",
) -> None:
    """List what could not be delivered, and send it again.

    It is sent as plain text, and what SNS accepts leaves the queue. Without --yes it asks if there is a terminal and
    the output is text, else it only lists. Interrupted anywhere, no message is lost, and at most one is sent twice.
    Exit 1 unless the queue is empty in the end.

    Example: threatmon redrive --stack prod
    """
    stack_file = load(project.ROOT, stack)
    aws = connect(stack_file)
    outputs = stack_outputs(stack)
    for name in ("deadLetterQueueUrl", "topicArn"):
        if name not in outputs:
            raise UsageError(f"Stack {stack} has no output {name}; complete its deployment: `make up STACK={stack}`.")
    queue = Queue(aws, outputs["deadLetterQueueUrl"])
    with progress.status("Reading the dead-letter queue"):
        hidden = queue.hidden_count()
        statuses = {message.id: RedriveStatus(message) for message in queue.peek()}
    if statuses and not yes and output == "text" and sys.stdin.isatty():
        show(report(stack, statuses, hidden), output)
        if not typer.confirm(f"Send {len(statuses)} message(s) again?"):
            raise typer.Exit(CHECK_FAILED)
        yes = True
    try:
        if statuses and yes:
            with progress.status("Sending again") as update:
                publisher = publisher_of(aws, stack_file, outputs)
                for number, _ in enumerate(send_again(queue, publisher, statuses), start=1):
                    update(f"Sending again: {number} of {len(statuses)}")
    finally:
        show(report(stack, statuses, hidden), output)
    if hidden or any(status.state != RESENT for status in statuses.values()):
        raise typer.Exit(CHECK_FAILED)
