"""A dead-letter queue, a state machine and a topic of untouched events, in a scripted account."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError
from scripted_account import ScriptedAccount

Execution = dict[str, Any]
START = datetime(2026, 9, 14, tzinfo=UTC)
SUCCEEDED = {"status": "SUCCEEDED"}


class StateMachine:
    """Step Functions with one state machine, whose executions end as a test likes."""

    def __init__(self, aws: ScriptedAccount, name: str) -> None:
        self.arn = aws.account.arn("states", f"stateMachine:{name}")
        self.executions: dict[str, Execution] = {}
        """by ARN, as DescribeExecution shows them"""
        self.history: dict[str, list[dict[str, Any]]] = {}
        """by ARN, names of states that were left with their outputs"""
        self.ends: Callable[[dict[str, Any]], Execution] = lambda _: SUCCEEDED
        """given the input, how an execution ends"""
        aws.answer("states:StartExecution", self.start)
        aws.answer("states:ListExecutions", self._list)
        aws.answer("states:DescribeExecution", lambda asked: self._found(asked["executionArn"]))
        aws.answer("states:GetExecutionHistory", self._events)

    @property
    def sent(self) -> list[dict[str, Any]]:
        """Inputs of the executions that have been started by a name of redrive's."""
        started = (one for one in self.executions.values() if one["name"].startswith("redrive-"))
        return [json.loads(one["input"]) for one in started]

    def run(self, name: str, text: str, *done: str, lost: str = "", **end: Any) -> str:
        """Add an execution that ended so, FAILED unless ``end`` says otherwise, and return its ARN.

        The branches ``done`` came to their end, and of those ``lost``, none by delivering.
        """
        arn = self.arn.replace(":stateMachine:", ":execution:") + f":{name}"
        known = {"executionArn": arn, "stateMachineArn": self.arn, "name": name, "input": text, "startDate": START}
        self.executions[arn] = {**known, "stopDate": START, "status": "FAILED", **end}
        outputs = {f"{branch} done": json.dumps({"channel": branch.lower(), "lost": branch == lost}) for branch in done}
        self.history[arn] = [{"name": name, "output": output} for name, output in outputs.items()]
        return arn

    def start(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Answer StartExecution."""
        arn = self.arn.replace(":stateMachine:", ":execution:") + f":{asked['name']}"
        if before := self.executions.get(arn):
            if before["status"] != "RUNNING" or before["input"] != asked["input"]:
                raise ClientError({"Error": {"Code": "ExecutionAlreadyExists", "Message": arn}}, "StartExecution")
        else:
            self.run(asked["name"], asked["input"], **self.ends(json.loads(asked["input"])))
        return {"executionArn": arn, "startDate": START}

    def _list(self, asked: dict[str, Any]) -> dict[str, Any]:
        shown = ("executionArn", "stateMachineArn", "name", "status", "startDate", "stopDate")
        found = [one for one in self.executions.values() if one["status"] == asked["statusFilter"]]
        return {"executions": [{key: one[key] for key in shown} for one in reversed(found)]}

    def _found(self, arn: str) -> Execution:
        if arn not in self.executions:
            raise ClientError({"Error": {"Code": "ExecutionDoesNotExist", "Message": arn}}, "DescribeExecution")
        return self.executions[arn]

    def _events(self, asked: dict[str, Any]) -> dict[str, Any]:
        start = {"timestamp": START, "type": "ExecutionStarted", "id": 1}
        exits = [
            {"timestamp": START, "type": "SucceedStateExited", "id": number, "stateExitedEventDetails": details}
            for number, details in enumerate(self.history[asked["executionArn"]], start=2)
        ]
        return {"events": [start, *exits]}


class DeadLetterStack:
    """A rule that feeds a state machine and a topic of untouched events, and their dead-letter queue."""

    def __init__(self, aws: ScriptedAccount, name: str = "") -> None:
        self.aws, self.account = aws, aws.account
        self.sns, self.sqs = (self.account.client(service) for service in ("sns", "sqs"))
        self.topic = self.sns.create_topic(Name=f"topic{name}")["TopicArn"]
        self.raw_topic = self.sns.create_topic(Name=f"topic-raw{name}")["TopicArn"]
        self.queue_name = f"dead-letters{name}"
        self.url = self.sqs.create_queue(QueueName=self.queue_name)["QueueUrl"]
        self.machine = StateMachine(aws, f"machine{name}")
        events = self.account.client("events")
        events.put_rule(Name=f"rule{name}", EventPattern="{}")
        events.put_targets(
            Rule=f"rule{name}", Targets=[{"Id": "1", "Arn": self.machine.arn}, {"Id": "2", "Arn": self.raw_topic}]
        )
        self.outputs: dict[str, Any] = {
            "stateMachineArn": self.machine.arn,
            "deadLetterQueueUrl": self.url,
            "ruleNames": [f"rule{name}"],
        }
        answer_at_once(aws)

    def put(self, body: Any, target: str = "", channel: str = "", code: str = "NO_PERMISSIONS") -> None:
        """Put into the queue what ``target``, the state machine by default, could not be given."""
        attributes = {"TARGET_ARN": target or self.machine.arn, "CHANNEL": channel, "ERROR_CODE": code}
        self.sqs.send_message(
            QueueUrl=self.url,
            MessageBody=body if isinstance(body, str) else json.dumps(body),
            MessageAttributes={
                name: {"DataType": "String", "StringValue": value} for name, value in attributes.items() if value
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

    @property
    def published(self) -> list[str]:
        """What the topic of untouched events was given."""
        return self.published_to(self.raw_topic)

    def published_to(self, topic: str) -> list[str]:
        """Bodies of what a topic was given."""
        return [body for _, body, *_ in self.account.backend("sns").topics[topic].sent_notifications]


def answer_at_once(aws: ScriptedAccount) -> None:
    """Let an empty queue say so at once; moto waits for messages in earnest."""
    aws.session.events.register(
        "before-parameter-build.sqs.ReceiveMessage",
        lambda params, **_: params.update(WaitTimeSeconds=0),
        unique_id="no waiting",
    )
