"""``threatmon redrive``: what EventBridge could not deliver, sent again so that it cannot fail in the same way."""

import json
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, NamedTuple

import typer
from botocore.exceptions import ClientError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from threatmon import project
from threatmon.errors import CHECK_FAILED, UsageError
from threatmon.model import names
from threatmon.model.email import MESSAGE_QUOTA
from threatmon.redrive.dead_letters import DeadLetter, plain_text, raw_event, read
from threatmon.stacks.facts import settings_of
from threatmon.stacks.files import StackFile, load
from threatmon.stacks.old_aws import Aws, connect, explained
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

_LISTING_SECONDS = 30  # hides what is listed from others until the list is complete, and at most for so long
_SENDING_SECONDS = 120  # hides the one message in hand; longer than a throttled call with all its retries
_BATCH = 10  # the most SQS hands out at once
# What SNS says of a message it will never take. Any other error may be mended, and ends the run.
_REFUSALS = frozenset(["InvalidParameter", "InvalidParameterValue"])

_WAITING = "in the queue"
_SENT = "sent again, but not deleted"
_RESENT = "sent again"
_LEFT = "left in the queue"


class Letter(NamedTuple):
    """A message as the queue handed it out; ``queued_at`` is in seconds since 1970."""

    id: str
    receipt: str
    queued_at: float
    content: DeadLetter


class Fate(NamedTuple):
    """What became of a message, and why where it was left."""

    state: str = _WAITING
    reason: str | None = None


def redrive(
    stack: Annotated[str, typer.Option(help="The stack: Pulumi.<stack>.yaml.")] = "dev",
    yes: Annotated[bool, typer.Option("--yes", help="Send without asking.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document; asks nothing.")] = False,
) -> None:
    """List what could not be delivered, and send it again as plain text; what SNS accepts leaves the queue.

    Without a terminal and without --yes it only lists. Interrupted anywhere, no message is lost, and at most one is
    sent twice.

    Example: threatmon redrive --stack prod
    """
    stack_file = load(project.ROOT, stack)
    aws = connect(stack_file)
    outputs = stack_outputs(stack)
    for name in ("deadLetterQueueUrl", "topicArn"):
        if name not in outputs:
            raise UsageError(f"Stack {stack} has no output {name}; complete its deployment: `make up STACK={stack}`.")
    queue = Queue(aws.client("sqs"), outputs["deadLetterQueueUrl"])

    hidden = queue.hidden()
    letters = {letter.id: letter for letter in queue.look()}
    fates = dict.fromkeys(letters, Fate())
    console = Console()
    if not as_json:
        _show(console, letters.values())
    try:
        if letters and (yes or (not as_json and _confirmed(len(letters)))):
            for letter in send_again(queue, _post_office(aws, stack_file, outputs), fates):
                letters[letter.id] = letter
                if not as_json:
                    _show_fate(console, letter, fates[letter.id])
    finally:
        if as_json:
            typer.echo(json.dumps(_document(stack, letters, fates, hidden), indent=2))
        else:
            _show_sum(console, fates, hidden)
    if hidden or any(fate.state != _RESENT for fate in fates.values()):
        raise typer.Exit(CHECK_FAILED)


def _confirmed(count: int) -> bool:
    return sys.stdin.isatty() and typer.confirm(f"Send {count} message(s) again?")


# -- the queue --------------------------------------------------------------------------------------------------------


class Queue(NamedTuple):
    """A dead-letter queue."""

    sqs: Any
    url: str

    def hidden(self) -> int:
        """About how many messages somebody else has in hand, or had when interrupted."""
        name = "ApproximateNumberOfMessagesNotVisible"
        answer = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=[name])
        return int(answer["Attributes"][name])

    def look(self) -> list[Letter]:
        """Every message, left in the queue and shown to others again at once."""
        letters: dict[str, Letter] = {}
        try:
            while fresh := [it for it in self.receive(_BATCH, _LISTING_SECONDS) if it.id not in letters]:
                letters |= {letter.id: letter for letter in fresh}
        finally:
            found = list(letters.values())
            for start in range(0, len(found), _BATCH):
                entries = [
                    {"Id": str(index), "ReceiptHandle": letter.receipt, "VisibilityTimeout": 0}
                    for index, letter in enumerate(found[start : start + _BATCH])
                ]
                self.sqs.change_message_visibility_batch(QueueUrl=self.url, Entries=entries)
        return found

    def receive(self, count: int, hide_for: int) -> list[Letter]:
        """Up to ``count`` messages, hidden from others for ``hide_for`` seconds; none if the queue has none to give."""
        answer = self.sqs.receive_message(
            QueueUrl=self.url,
            MaxNumberOfMessages=count,
            VisibilityTimeout=hide_for,
            # Without a wait SQS asks only some of its servers, and may say "none" when there are some:
            # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-short-and-long-polling.html
            WaitTimeSeconds=1,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["SentTimestamp"],
        )
        return [_letter(message) for message in answer.get("Messages", [])]

    def delete(self, letter: Letter) -> None:
        """Takes a message out of the queue for good."""
        self.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=letter.receipt)


def _letter(message: Mapping[str, Any]) -> Letter:
    attributes = {name: it.get("StringValue", "") for name, it in message.get("MessageAttributes", {}).items()}
    queued_at = int(message["Attributes"]["SentTimestamp"]) / 1000
    return Letter(message["MessageId"], message["ReceiptHandle"], queued_at, read(message["Body"], attributes))


# -- sending ----------------------------------------------------------------------------------------------------------


class PostOffice(NamedTuple):
    """Where messages go: ``events_to`` maps each topic of the stack's rules to whether it gets untouched events."""

    sns: Any
    topic_arn: str
    """for what names no topic of the stack"""
    events_to: Mapping[str, bool]
    mail_args: tuple[str, str | None, str | None, str | None] = ("aws", None, None, None)
    """partition, account alias, log group and dashboard of the mail"""

    def send(self, content: DeadLetter) -> str | None:
        """Publishes a message. Why SNS will never take it, where that is so; raises whatever else goes wrong."""
        topic = content.target_arn if content.target_arn in self.events_to else self.topic_arn
        untouched = bool(self.events_to.get(topic) and content.detail)
        message = raw_event(content) if untouched else plain_text(content, *self.mail_args)
        if message is None:
            return f"the event is longer than the {MESSAGE_QUOTA} bytes that SNS takes, and {topic} gets events uncut"
        try:
            answer = self.sns.publish(
                TopicArn=topic, Message=message.body, **({"Subject": message.subject} if message.subject else {})
            )
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") not in _REFUSALS:
                raise
            return explained(error)
        return None if answer.get("MessageId") else "SNS did not confirm it"


def _post_office(aws: Aws, stack: StackFile, outputs: Mapping[str, Any]) -> PostOffice:
    events = aws.client("events")
    topics: dict[str, bool] = {}
    for rule in outputs.get("ruleNames", ()):
        try:
            targets = events.list_targets_by_rule(Rule=rule)["Targets"]
        except events.exceptions.ResourceNotFoundException:
            continue  # its messages go to the stack's own topic
        topics |= {target["Arn"]: "InputTransformer" not in target for target in targets}
    alias = settings_of(stack).alerts.account_alias
    mail_args = aws.partition, alias, outputs.get("logGroupName"), names.dashboard(stack.name)
    return PostOffice(aws.client("sns"), outputs["topicArn"], topics, mail_args)


def send_again(queue: Queue, post: PostOffice, fates: dict[str, Fate]) -> Iterator[Letter]:
    """Sends the queue's messages one at a time until it has no more, each once; yields each, its fate in ``fates``.

    A message is deleted only after SNS has accepted it, and before the next one is received. Whatever raises ends the
    run with at most this one message sent and still in the queue.
    """
    left = repeats = 0
    # What is left comes back when its time is over; once all of it has, nothing new is to come.
    while repeats <= left and (received := queue.receive(1, _SENDING_SECONDS)):
        letter = received[0]
        state = fates.get(letter.id, Fate()).state
        if state == _LEFT:
            repeats += 1
        elif state == _RESENT:  # SQS delivers at least once
            queue.delete(letter)
        else:
            repeats = 0
            if reason := post.send(letter.content):
                left += 1
                fates[letter.id] = Fate(_LEFT, reason)
            else:
                fates[letter.id] = Fate(_SENT)
                queue.delete(letter)
                fates[letter.id] = Fate(_RESENT)
            yield letter


# -- output -----------------------------------------------------------------------------------------------------------


def _show(console: Console, letters: Iterable[Letter]) -> None:
    table = Table("age", "finding", "severity", "account", "Region", "why it could not be delivered")
    for letter in letters:
        row = _row(letter)
        table.add_row(*(Text(row[key]) for key in ("age", "type", "severity", "account", "region", "error")))
    if table.rows:
        console.print(table)


def _row(letter: Letter) -> dict[str, str]:
    content = letter.content
    severity = content.field("severity")
    return {
        "age": _age(time.time() - letter.queued_at),
        "type": content.field("type") or "no finding",
        "severity": f"{content.band.name.upper()} ({severity})" if content.band else severity,
        "account": content.field("accountId"),
        "region": content.field("region"),
        "error": content.error,
    }


def _age(seconds: float) -> str:
    for unit, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{max(seconds, 0):.0f} s"


def _show_fate(console: Console, letter: Letter, fate: Fate) -> None:
    reason = f": {fate.reason}" if fate.reason else ""
    console.print(f"{fate.state}: {_row(letter)['type']}{reason}", markup=False, highlight=False, soft_wrap=True)


def _show_sum(console: Console, fates: Mapping[str, Fate], hidden: int) -> None:
    states = [fate.state for fate in fates.values()]
    counts = [f"{states.count(state)} {state}" for state in (_RESENT, _SENT, _LEFT, _WAITING) if state in states]
    nothing = "No message can be seen" if hidden else "The dead-letter queue is empty"
    console.print(", ".join(counts) or nothing, end=".\n", highlight=False)
    if hidden:
        console.print(
            f"About {hidden} more are hidden: another run has them, or one was interrupted. "
            f"Try again in {_SENDING_SECONDS // 60} minutes.",
            highlight=False,
            soft_wrap=True,
        )


def _document(stack: str, letters: Mapping[str, Letter], fates: Mapping[str, Fate], hidden: int) -> dict[str, Any]:
    states = [fate.state for fate in fates.values()]
    return {
        "stack": stack,
        "messages": [
            {
                "id": letter.id,
                "findingType": letter.content.field("type"),
                "severity": letter.content.field("severity"),
                "accountId": letter.content.field("accountId"),
                "region": letter.content.field("region"),
                "ageSeconds": round(time.time() - letter.queued_at),
                "targetArn": letter.content.target_arn,
                "error": letter.content.error,
                "state": fates.get(letter.id, Fate()).state,
                "reason": fates.get(letter.id, Fate()).reason,
            }
            for letter in letters.values()
        ],
        "sentAgain": states.count(_RESENT),
        "remaining": len(states) - states.count(_RESENT),
        "hidden": hidden,
    }
