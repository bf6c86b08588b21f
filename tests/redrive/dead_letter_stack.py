"""A dead-letter queue and the topics that missed its messages, in a scripted account."""

import json
from typing import Any

from scripted_account import ScriptedAccount


class DeadLetterStack:
    """A topic that mails, one that gets untouched events, the rule that feeds them, and their dead-letter queue."""

    def __init__(self, aws: ScriptedAccount, name: str = "") -> None:
        self.aws, self.account = aws, aws.account
        self.sns, self.sqs = (self.account.client(service) for service in ("sns", "sqs"))
        self.topic = self.sns.create_topic(Name=f"topic{name}")["TopicArn"]
        self.raw_topic = self.sns.create_topic(Name=f"topic-raw{name}")["TopicArn"]
        self.queue_name = f"dead-letters{name}"
        self.url = self.sqs.create_queue(QueueName=self.queue_name)["QueueUrl"]
        transformer = {"InputPathsMap": {"a": "$.id"}, "InputTemplate": '"<a>"'}
        events = self.account.client("events")
        events.put_rule(Name=f"rule{name}", EventPattern="{}")
        events.put_targets(
            Rule=f"rule{name}",
            Targets=[
                {"Id": "1", "Arn": self.topic, "InputTransformer": transformer},
                {"Id": "2", "Arn": self.raw_topic},
            ],
        )
        self.outputs = {
            "topicArn": self.topic,
            "deadLetterQueueUrl": self.url,
            "ruleNames": [f"rule{name}"],
            "logGroupName": "/logs",
        }
        answer_at_once(aws)

    def put(self, body: Any, target: str | None = None, code: str = "INVALID_JSON") -> None:
        attributes = {"TARGET_ARN": target or self.topic, "ERROR_CODE": code}
        self.sqs.send_message(
            QueueUrl=self.url,
            MessageBody=body if isinstance(body, str) else json.dumps(body),
            MessageAttributes={
                name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
            },
        )

    @property
    def queued(self) -> list[str]:
        """Bodies of the messages in the queue, hidden or not."""
        return [message.body for message in self._messages]

    @property
    def hidden(self) -> list[str]:
        return [message.body for message in self._messages if not message.visible]

    def end_hiding(self) -> None:
        for message in self._messages:
            message.change_visibility(0)

    @property
    def _messages(self) -> list[Any]:
        return list(self.account.backend("sqs").queues[self.queue_name]._messages)

    def published(self, topic: str | None = None) -> list[tuple[str | None, str]]:
        """Subjects and bodies of what the topic was given."""
        sent = self.account.backend("sns").topics[topic or self.topic].sent_notifications
        return [(subject, body) for _, body, subject, *_ in sent]


def answer_at_once(aws: ScriptedAccount) -> None:
    """Let an empty queue say so at once; moto waits for messages in earnest."""
    aws.session.events.register(
        "before-parameter-build.sqs.ReceiveMessage",
        lambda params, **_: params.update(WaitTimeSeconds=0),
        unique_id="no waiting",
    )
