"""A dead-letter queue, a state machine and a topic of untouched events, in a scripted account."""

import json
from collections.abc import Sequence
from typing import Any

from scripted_account import ScriptedAccount

from threatmon.emulator.executions import MachineExecution
from threatmon.emulator.state_machine import Execution, HistoryEvent
from threatmon.model.policies import policy_document

SUCCEEDS: dict[str, Any] = {"Type": "Succeed"}
FAILS: dict[str, Any] = {"Type": "Fail", "Error": "Lost", "Cause": "mail"}


class StateMachine:
    """A state machine of one state, which sends nothing and ends as a test likes."""

    def __init__(self, aws: ScriptedAccount, name: str) -> None:
        self._account = aws.account
        self._client = aws.account.client("stepfunctions")
        service = {"Effect": "Allow", "Principal": {"Service": "states.amazonaws.com"}, "Action": "sts:AssumeRole"}
        role = aws.account.client("iam").create_role(
            RoleName=name, AssumeRolePolicyDocument=json.dumps(policy_document(service))
        )["Role"]["Arn"]
        created = self._client.create_state_machine(name=name, definition=_of_one_state(SUCCEEDS), roleArn=role)
        self.arn: str = created["stateMachineArn"]

    def become(self, state: dict[str, Any]) -> None:
        """Change the definition to this one state."""
        self._client.update_state_machine(stateMachineArn=self.arn, definition=_of_one_state(state))

    @property
    def executions(self) -> list[Any]:
        """Moto's records of all executions."""
        [machine] = [one for one in self._account.backend("stepfunctions").state_machines if one.arn == self.arn]
        return machine.executions

    @property
    def sent(self) -> list[dict[str, Any]]:
        """Inputs of the executions that have a name of redrive's."""
        return [json.loads(one.execution_input) for one in self.executions if one.name.startswith("redrive-")]

    def run(self, name: str, text: str, *done: str, begun: Sequence[str] = (), lost: str = "", **end: str) -> str:
        """Add an execution that ended so, FAILED unless ``end`` says otherwise, and return its ARN.

        The branches ``begun`` came to their first state, those ``done`` to their last, but ``lost`` without delivering.
        """
        arn = self._client.start_execution(stateMachineArn=self.arn, name=name, input=text)["executionArn"]
        outputs = {f"{branch} done": {"channel": branch.lower(), "lost": branch == lost} for branch in done}
        entered = [{"name": f"{branch} wanted?", "input": json.loads(text)} for branch in begun]
        exited = [{"name": state, "output": output} for state, output in outputs.items()]
        steps = [HistoryEvent("ChoiceStateEntered", "stateEnteredEventDetails", details) for details in entered]
        steps += [HistoryEvent("SucceedStateExited", "stateExitedEventDetails", details) for details in exited]
        self.executions[-1].done = MachineExecution(arn, Execution(steps), [])
        vars(self.executions[-1]).update({"status": "FAILED", **end})
        return arn


def _of_one_state(state: dict[str, Any]) -> str:
    return json.dumps({"QueryLanguage": "JSONata", "StartAt": "End", "States": {"End": state}})


class DeadLetterStack:
    """A rule that feeds a state machine and a topic of untouched events, and their dead-letter queue."""

    def __init__(self, aws: ScriptedAccount, name: str = "") -> None:
        self.aws, self.account = aws, aws.account
        self.sns, self.sqs = (self.account.client(service) for service in ("sns", "sqs"))
        self.topic = self.sns.create_topic(Name=f"topic{name}")["TopicArn"]
        self.raw_topic = self.sns.create_topic(Name=f"topic-raw{name}")["TopicArn"]
        for topic in (self.topic, self.raw_topic):
            answer = self.sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=f"reader of {topic}")
            self.account.confirm_subscription(answer["SubscriptionArn"])
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
        return [sent.body for sent in self.account.notifications if sent.endpoint == f"reader of {self.raw_topic}"]


def answer_at_once(aws: ScriptedAccount) -> None:
    """Let an empty queue say so at once; moto waits for messages in earnest."""
    aws.session.events.register(
        "before-parameter-build.sqs.ReceiveMessage",
        lambda params, **_: params.update(WaitTimeSeconds=0),
        unique_id="no waiting",
    )
