"""The alert path in an emulated account, made by boto3 call by call, so that a test can take any part away."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from threatmon.emulator.account import EmulatedAccount
from threatmon.emulator.inside import Notification
from threatmon.model.alarms import METRIC_NAMESPACE, PLAIN_MESSAGES_METRIC
from threatmon.model.channels import FormattedChannel
from threatmon.model.policies import (
    Document,
    key_policy,
    policy_document,
    queue_policy,
    start_execution,
    start_trust,
    state_machine_permissions,
    state_machine_trust,
    topic_policy,
)
from threatmon.model.settings import AlertSettings
from threatmon.model.state_machine import Definition, branch_name, definition

PATTERN = {"source": ["aws.guardduty"], "detail-type": ["GuardDuty Finding"]}
EMAIL = "a@example.com"
HOOK = "https://example.com/hook"


def allow(actions: Sequence[str], resource: str, **condition: Any) -> dict[str, Any]:
    """Return a statement of an identity policy."""
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": resource}
    return {**statement, "Condition": {"StringEquals": condition}} if condition else statement


def trust(service: str, **condition: str) -> str:
    """Return a trust policy for a service, with `StringEquals` conditions."""
    statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    return json.dumps(policy_document({**statement, "Condition": {"StringEquals": condition}}))


def with_expressions(
    machine: Definition, topics: Mapping[FormattedChannel, str], expressions: Mapping[FormattedChannel, str | None]
) -> Definition:
    """Return a definition whose channels publish what other expressions make of the event, where there are any."""
    for branch in machine["States"]["Channels"]["Branches"]:
        for channel, expression in expressions.items():
            state = branch["States"].get(branch_name(channel))
            if state and expression:
                state["Arguments"] = f"{{% $merge([{{'TopicArn': '{topics[channel]}'}}, ({expression})]) %}}"
    return machine


class AlertingAccount:
    """A rule that starts a machine and feeds a raw topic, a topic for mail and one for chat, a dead-letter queue.

    Topics and queue are encrypted with one key. `formatter` and `chat` are expressions in place of those of the mail
    and the chat notification; there is a chat channel only with `chat`, and a raw topic is a target only if `raw`.
    """

    def __init__(
        self, account: EmulatedAccount, formatter: str | None = None, chat: str | None = None, *, raw: bool = False
    ) -> None:
        self.account = account
        self.events, self.sns, self.sqs, self.iam, self.kms, self.machines = (
            account.client(service) for service in ("events", "sns", "sqs", "iam", "kms", "stepfunctions")
        )
        location = account.location
        self.rule = self.events.put_rule(Name="findings", EventPattern=json.dumps(PATTERN))["RuleArn"]
        policy = json.dumps(key_policy(location, "/flow-logs"))
        self.key = self.kms.create_key(Policy=policy)["KeyMetadata"]["Arn"]
        encrypted = {"KmsMasterKeyId": self.key}
        self.topic, self.raw_topic, self.chat_topic = (
            self.sns.create_topic(Name=name, Attributes=encrypted)["TopicArn"]
            for name in ("topic", "topic-raw", "topic-slack")
        )
        self.queue_url = self.sqs.create_queue(QueueName="queue", Attributes=encrypted)["QueueUrl"]
        self.queue = account.arn("sqs", "queue")
        self.allow_topic(self.raw_topic, [self.rule])
        self.allow_queue([self.rule])
        self.permissions = state_machine_permissions(
            location, [self.topic, self.chat_topic], self.queue, self.key, METRIC_NAMESPACE
        )["Statement"]
        self.machine_role = self.put_role("machine", state_machine_trust(location, "formatter"), self.permissions)
        self.machine = account.arn("states", "stateMachine:formatter")
        starts = start_execution(self.machine)["Statement"]
        self.rule_role = self.put_role("rule", start_trust(location, [self.rule]), starts)
        self.definition = self._definition({"mail": formatter, **({"slack": chat} if chat else {})})
        self.machines.create_state_machine(name="formatter", definition=self.definition, roleArn=self.machine_role)
        dead_letters = {"DeadLetterConfig": {"Arn": self.queue}}
        targets = [{"Id": "machine", "Arn": self.machine, "RoleArn": self.rule_role, **dead_letters}]
        targets += [{"Id": "raw", "Arn": self.raw_topic, **dead_letters}] if raw else []
        self.events.put_targets(Rule="findings", Targets=targets)
        self.subscribe(self.topic, "email", EMAIL)

    def _definition(self, expressions: Mapping[FormattedChannel, str | None]) -> str:
        """Return the program's definition for these channels, with other expressions where there are any."""
        topics: dict[FormattedChannel, str] = {"mail": self.topic, "slack": self.chat_topic}
        topics = {channel: topics[channel] for channel in expressions}
        machine = definition(
            self.account.location,
            AlertSettings(),
            topic_arns=topics,
            queue_url=self.queue_url,
            log_group_name="/flow-logs",
        )
        return json.dumps(with_expressions(machine, topics, expressions))

    def subscribe(self, topic: str, protocol: str, endpoint: str, **attributes: str) -> str:
        """Subscribe someone, and confirm it; `attributes` are those of the subscription."""
        answer = self.sns.subscribe(
            TopicArn=topic, Protocol=protocol, Endpoint=endpoint, Attributes=attributes, ReturnSubscriptionArn=True
        )
        self.account.confirm_subscription(answer["SubscriptionArn"])
        return answer["SubscriptionArn"]

    def put_role(self, name: str, trusted: Document, statements: Sequence[dict[str, Any]]) -> str:
        """Make a role, and return its ARN."""
        arn = self.iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trusted))["Role"]["Arn"]
        self.allow_role(name, statements)
        return arn

    def allow_role(self, name: str, statements: Sequence[dict[str, Any]]) -> None:
        """Let a role do this and nothing else."""
        document = json.dumps(policy_document(*statements))
        self.iam.put_role_policy(RoleName=name, PolicyName="policy", PolicyDocument=document)

    def forbid_machine(self, action: str) -> None:
        """Take what the machine's role may do by an action away."""
        self.allow_role("machine", self.other_permissions(action))

    def other_permissions(self, action: str) -> list[dict[str, Any]]:
        """Return the statements of the machine's role without those of an action."""
        return [entry for entry in self.permissions if action not in entry["Action"]]

    def allow_topic(self, topic: str, rules: list[str]) -> None:
        """Let these rules publish to a topic."""
        policy = json.dumps(topic_policy(topic, self.account.location.root, rules))
        self.sns.set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=policy)

    def allow_queue(self, rules: list[str]) -> None:
        """Let these rules send to the queue."""
        policy = json.dumps(queue_policy(self.queue, rules))
        self.sqs.set_queue_attributes(QueueUrl=self.queue_url, Attributes={"Policy": policy})

    def dead_letters(self) -> list[tuple[Any, dict[str, str]]]:
        """Return body and attributes of what waits in the queue."""
        answer = self.sqs.receive_message(
            QueueUrl=self.queue_url, MessageAttributeNames=["All"], MaxNumberOfMessages=10
        )
        return [
            (
                json.loads(message["Body"]),
                {name: value["StringValue"] for name, value in message["MessageAttributes"].items()},
            )
            for message in answer.get("Messages", [])
        ]

    def plain_messages(self) -> int:
        """Return how many plain messages were counted."""
        values = self.account.backend("cloudwatch").metric_data
        return sum(
            entry.value
            for entry in values
            if (entry.namespace, entry.name) == (METRIC_NAMESPACE, PLAIN_MESSAGES_METRIC)
        )

    def start(self, event: dict[str, Any], **more: str) -> str:
        """Start an execution through the API, and return its ARN."""
        answer = self.machines.start_execution(stateMachineArn=self.machine, input=json.dumps(event), **more)
        return answer["executionArn"]

    def sent_to(self, endpoint: str) -> list[Notification]:
        """Return what a subscriber got."""
        return [sent for sent in self.account.notifications if sent.endpoint == endpoint]
