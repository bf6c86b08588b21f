"""A dead-letter queue, read without losing anything of it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from threatmon.aws.reader import Aws, batches
from threatmon.model.channels import CHANNELS
from threatmon.redrive.undelivered import Undelivered, json_object, reason

_LISTING_SECONDS = 30  # hides what is listed from others until the list is complete, and at most for so long
_BATCH = 10  # the most SQS hands out at once


class Queue(NamedTuple):
    """A dead-letter queue. Every method raises :class:`threatmon.aws.errors.AwsError`."""

    aws: Aws
    url: str

    def hidden_count(self) -> int:
        """Return about how many messages somebody else has in hand, or had when interrupted."""
        name = "ApproximateNumberOfMessagesNotVisible"
        return int(self._call("get_queue_attributes", AttributeNames=[name])["Attributes"][name])

    def peek(self) -> list[Undelivered]:
        """Return every message; it stays in the queue, and others can see it again at once."""
        messages: dict[str, Undelivered] = {}
        try:
            while new := [one for one in self.receive(_BATCH, _LISTING_SECONDS) if one.id not in messages]:
                messages |= {message.id: message for message in new}
        finally:
            for receipts in batches([message.receipt for message in messages.values() if message.receipt], _BATCH):
                entries = [
                    {"Id": str(index), "ReceiptHandle": receipt, "VisibilityTimeout": 0}
                    for index, receipt in enumerate(receipts)
                ]
                self._call("change_message_visibility_batch", Entries=entries)
        return list(messages.values())

    def receive(self, count: int, hide_for: int) -> list[Undelivered]:
        """Return up to ``count`` messages, hidden from others for ``hide_for`` seconds; none if there is none."""
        answer = self._call(
            "receive_message",
            MaxNumberOfMessages=count,
            VisibilityTimeout=hide_for,
            # Without a wait SQS asks only some of its servers, and may say "none" when there are some:
            # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-short-and-long-polling.html
            WaitTimeSeconds=1,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["SentTimestamp"],
        )
        return [_message(received) for received in answer.get("Messages", [])]

    def delete(self, message: Undelivered) -> None:
        """Take a message out of the queue for good."""
        self._call("delete_message", ReceiptHandle=message.receipt)

    def _call(self, operation: str, **parameters: Any) -> Mapping[str, Any]:
        return self.aws.call("sqs", operation, QueueUrl=self.url, **parameters)


def _message(received: Mapping[str, Any]) -> Undelivered:
    """Read a message of EventBridge or of the state machine, which alone names a channel.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html
    """
    attributes = received.get("MessageAttributes", {})
    texts = {name: attribute.get("StringValue", "") for name, attribute in attributes.items()}
    channel = texts.get("CHANNEL", "")
    return Undelivered(
        id=received["MessageId"],
        since=int(received["Attributes"]["SentTimestamp"]) / 1000,
        body=received["Body"],
        event=json_object(received["Body"]),
        target_arn=texts.get("TARGET_ARN", ""),
        channels=[channel] if channel in CHANNELS else [],
        error=reason(texts.get("ERROR_CODE"), texts.get("ERROR_MESSAGE")),
        receipt=received["ReceiptHandle"],
    )
