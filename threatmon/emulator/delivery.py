"""What becomes of an event, by the rules, targets, roles and policies that the account holds.

moto's EventBridge neither starts machines nor checks permissions, so both are done here.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

from botocore.exceptions import ClientError

from threatmon.emulator.account import EmulatedAccount
from threatmon.emulator.inside import MachineExecution, Notification
from threatmon.emulator.permissions import find_role, key_refusal
from threatmon.evaluation.event_matcher import mismatch
from threatmon.evaluation.policy_evaluator import may_publish, may_use_key
from threatmon.model.state_machine import QUOTA

_SERVICE = "events.amazonaws.com"


@dataclass(frozen=True)
class FailedDelivery:
    """What did not arrive where a rule sent it, and why."""

    rule: str
    error_code: str


@dataclass
class EventDelivery:
    """What became of an event."""

    event: Mapping[str, Any]
    stopped_by: dict[str, str | None] = field(default_factory=dict[str, str | None])
    """rule -> the condition that stopped the event, None if the rule let it through"""
    notifications: list[Notification] = field(default_factory=list[Notification])
    executions: list[MachineExecution] = field(default_factory=list[MachineExecution])
    dead_letters: list[FailedDelivery] = field(default_factory=list[FailedDelivery])
    """what the dead-letter queue took, from EventBridge or from a state machine"""
    lost: list[FailedDelivery] = field(default_factory=list[FailedDelivery])
    """what it did not take either"""

    @property
    def matched(self) -> bool:
        """Whether a rule let the event through."""
        return None in self.stopped_by.values()


def deliver(account: EmulatedAccount, event: Mapping[str, Any]) -> EventDelivery:
    """Send an event to the account's default bus, and return what becomes of it."""
    return next(deliver_all(account, [event]))


def deliver_all(account: EmulatedAccount, events: Iterable[Mapping[str, Any]]) -> Iterator[EventDelivery]:
    """Send events to the account's default bus one by one; its rules and targets are read once."""
    client = account.client("events")
    rules = sorted(client.list_rules()["Rules"], key=itemgetter("Name"))
    targets = {rule["Name"]: client.list_targets_by_rule(Rule=rule["Name"])["Targets"] for rule in rules}
    for event in events:
        yield _delivered(account, [(rule, targets[rule["Name"]]) for rule in rules], event)


def _delivered(
    account: EmulatedAccount,
    rules: Iterable[tuple[Mapping[str, Any], Iterable[Mapping[str, Any]]]],
    event: Mapping[str, Any],
) -> EventDelivery:
    delivery, text = EventDelivery(event), _written(event)
    notified, executed = len(account.notifications), len(account.executions)
    for rule, targets in rules:
        enabled = rule["State"] == "ENABLED"
        stopped_by = mismatch(json.loads(rule["EventPattern"]), event) if enabled else "the rule is disabled"
        delivery.stopped_by[rule["Name"]] = stopped_by
        for target in () if stopped_by else targets:
            _deliver_to(account, rule, target, text, delivery)
    delivery.notifications += account.notifications[notified:]
    delivery.executions += account.executions[executed:]
    return delivery


def _deliver_to(
    account: EmulatedAccount, rule: Mapping[str, Any], target: Mapping[str, Any], text: str, delivery: EventDelivery
) -> None:
    executed = len(account.executions)
    refused = (_start if ":states:" in target["Arn"] else _publish)(account, rule["Arn"], target, text)
    if refused:
        queued = _dead_letter(account, rule["Arn"], target, text, refused)
        (delivery.dead_letters if queued else delivery.lost).append(FailedDelivery(rule["Name"], refused))
    for execution in account.executions[executed:]:
        delivery.dead_letters += [FailedDelivery(rule["Name"], code) for code in execution.dead_letters]
        if not execution.run.succeeded:
            delivery.lost.append(FailedDelivery(rule["Name"], execution.run.error))


def _start(account: EmulatedAccount, rule_arn: str, target: Mapping[str, Any], text: str) -> str | None:
    """Start a state machine; return the error code if it cannot be started.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html
    """
    role = find_role(account, target.get("RoleArn"))
    if role is None or not role.lets_in(_SERVICE, rule_arn):
        return "FAILED_TO_ASSUME_ROLE"
    if not role.allows("states:StartExecution", target["Arn"]):
        return "NO_PERMISSIONS"
    if len(text.encode()) > QUOTA:
        return "INVALID_PARAMETER"
    machines: Any = account.client("stepfunctions")
    try:
        machines.start_execution(stateMachineArn=target["Arn"], input=text)
    except machines.exceptions.StateMachineDoesNotExist:
        return "NO_RESOURCE"
    return None


def _publish(account: EmulatedAccount, rule_arn: str, target: Mapping[str, Any], text: str) -> str | None:
    """Publish to a topic; return the error code if it does not take the event."""
    sns: Any = account.client("sns")
    try:
        topic = sns.get_topic_attributes(TopicArn=target["Arn"])["Attributes"]
    except sns.exceptions.NotFoundException:
        return "NO_RESOURCE"
    if not may_publish(topic["Policy"], rule_arn, "sns:Publish", target["Arn"]):
        return "NO_PERMISSIONS"
    if not _key_serves(account, topic.get("KmsMasterKeyId")):
        return "NO_PERMISSIONS"
    if len(text.encode()) > QUOTA:
        return "INVALID_PARAMETER"
    try:
        sns.publish(TopicArn=target["Arn"], Message=text)
    except ClientError:
        return "INVALID_PARAMETER"
    return None


def _key_serves(account: EmulatedAccount, key_id: str | None) -> bool:
    """Return whether EventBridge may use the key of a topic or queue; without a key, nothing is encrypted."""
    return key_refusal(account, key_id, lambda policy, _: may_use_key(policy, _SERVICE, account.account_id)) is None


def _dead_letter(
    account: EmulatedAccount, rule_arn: str, target: Mapping[str, Any], text: str, error_code: str
) -> bool:
    """Return whether the target's dead-letter queue took the event."""
    queue_arn = target.get("DeadLetterConfig", {}).get("Arn")
    if not queue_arn:
        return False
    sqs: Any = account.client("sqs")
    # https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html
    attributes = {"RULE_ARN": rule_arn, "TARGET_ARN": target["Arn"], "ERROR_CODE": error_code}
    try:
        url = sqs.get_queue_url(QueueName=queue_arn.rpartition(":")[2])["QueueUrl"]
        queue = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        allowed = may_publish(queue.get("Policy") or "{}", rule_arn, "sqs:SendMessage", queue_arn)
        if not allowed or not _key_serves(account, queue.get("KmsMasterKeyId")):
            return False
        sqs.send_message(
            QueueUrl=url,
            MessageBody=text,
            MessageAttributes={
                name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
            },
        )
    except ClientError:  # gone, too large, or characters that SQS does not take
        return False
    return True


def _written(event: Mapping[str, Any]) -> str:
    """Return the event as EventBridge writes it: compact, in UTF-8, with no escape that is not needed."""
    text = json.dumps(event, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8", "backslashreplace").decode()  # half of a surrogate pair
