"""Judge one thing of a deployed stack: what AWS answers, compared with the stack's settings.

Every function takes answers as boto3 gives them, and returns a :class:`CheckResult`.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from threatmon.aws.flow_logs import log_group_of
from threatmon.aws.reader import Answer
from threatmon.evaluation.policy_evaluator import Principal, denies, may_encrypt_logs, may_publish, may_use_key
from threatmon.evaluation.roles import Role
from threatmon.model.channels import CHAT_ENDPOINT, DEAD_LETTER_BYTES, DEAD_LETTER_SECONDS, filter_policy, filter_scope
from threatmon.model.event_patterns import AlertRule
from threatmon.model.location import Location
from threatmon.model.protection_plans import FEATURES
from threatmon.model.queries import FIELDS
from threatmon.model.settings import Settings
from threatmon.reports.model import State, counted
from threatmon.verify.recipients import Recipient


class CheckResult(NamedTuple):
    """Says how a thing is, what was found, and what to do about it (mostly nothing if it is ok)."""

    state: State
    found: str
    todo: str = ""


REPAIR = "`pulumi up --refresh` makes it what the stack file says."
LOST = f"What it should send is lost or dead-lettered. {REPAIR}"
WATCH = "`health: { enabled: true }` in the stack file adds alarms on the alert path."
# EventBridge's default, which its answers leave out:
# https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-retry-policy.html
_RETRY_POLICY = {"MaximumRetryAttempts": 185, "MaximumEventAgeInSeconds": 86400}


def ok(found: str) -> CheckResult:
    """Return a result that is fine."""
    return CheckResult("ok", found)


def failed(found: str, todo: str = REPAIR) -> CheckResult:
    """Return a failure; a new deployment repairs it unless ``todo`` says what else does."""
    return CheckResult("failed", found, todo)


def compared(actual: Answer, wanted: Answer, todo: str = REPAIR) -> CheckResult:
    """Return a failure if a value of ``wanted`` differs, naming all that do."""
    wrong = [
        f"{name} is {actual.get(name) or 'not set'}, expected {value}"
        for name, value in wanted.items()
        if actual.get(name) != value
    ]
    return failed("; ".join(wrong), todo) if wrong else ok(", ".join(f"{name} {wanted[name]}" for name in wanted))


# -- detection --------------------------------------------------------------------------------------------------------


def detector(settings: Settings, answer: Answer) -> CheckResult:
    """Check the detector by GetDetector; one that the stack only looks up just has to be enabled."""
    if settings.detector.mode == "lookup":
        return compared(answer, {"Status": "ENABLED"}, "Ask whoever manages the detector to enable it.")
    frequency = settings.finding_publishing_frequency
    return compared(answer, {"Status": "ENABLED", "FindingPublishingFrequency": frequency})


def protection_plans(settings: Settings, answer: Answer) -> CheckResult:
    """Check the protection plans that the settings declare, by GetDetector; any other may be on or off."""
    enabled = {feature["Name"] for feature in answer.get("Features", ()) if feature["Status"] == "ENABLED"}
    plans = settings.declared_plans
    return compared(
        {plan: "on" if FEATURES[plan] in enabled else "off" for plan in plans},
        {plan: "on" if on else "off" for plan, on in plans.items()},
        f"A plan that is on is billed, one that is off finds nothing. {REPAIR}",
    )


# -- evidence ---------------------------------------------------------------------------------------------------------


def flow_log(settings: Settings, log_group_name: str, answers: Sequence[Answer]) -> CheckResult:
    """Check the flow log of one subnet or VPC, by all that DescribeFlowLogs lists of it."""
    ours = [answer for answer in answers if log_group_of(answer) == log_group_name]
    if len(ours) != 1:
        others = f"; {len(answers) - len(ours)} to other destinations" if len(answers) > len(ours) else ""
        ids = " ".join(answer["FlowLogId"] for answer in ours)
        todo = f"Delete all but one: aws ec2 delete-flow-logs --flow-log-ids {ids}" if ours else REPAIR
        found = counted(len(ours), "flow log") if ours else "no flow log"
        return failed(f"{found} to {log_group_name}{others}", todo)
    [answer] = ours
    formats = {" ".join(f"${{{field}}}" for field in fields): name for name, fields in FIELDS.items()}
    result = compared(
        {**answer, "format": formats.get(answer.get("LogFormat", ""), "another")},
        {
            "FlowLogStatus": "ACTIVE",
            "DeliverLogsStatus": "SUCCESS",
            "TrafficType": settings.flow_logs.traffic_type,
            "MaxAggregationInterval": settings.flow_logs.aggregation_seconds,
            "format": settings.flow_logs.format,
        },
    )
    reason = answer.get("DeliverLogsErrorMessage")
    return result._replace(found=f"{result.found} ({reason})") if reason else result


def log_group(settings: Settings, answer: Answer | None) -> CheckResult:
    """Check the log group of the flow logs, by DescribeLogGroups."""
    if answer is None:
        return failed("is not there; flow logs are being lost")
    wanted = {"retentionInDays": settings.flow_logs.retention_days, "logGroupClass": settings.flow_logs.log_group_class}
    result = compared(answer, wanted | {"kmsKeyId": _wanted_key(settings, answer.get("kmsKeyId"))})
    if answer.get("logGroupClass") != settings.flow_logs.log_group_class:
        todo = "A class cannot be changed: the group has to be replaced, which deletes its records."
        return result._replace(todo=todo)
    return result


# -- encryption -------------------------------------------------------------------------------------------------------


class KmsKey(NamedTuple):
    """A KMS key, by DescribeKey and GetKeyPolicy."""

    metadata: Answer
    policy: str


def _wanted_key(settings: Settings, key_id: str | None) -> str:
    return settings.alerts.kms_key_arn or key_id or "a key of yours"


def encryption(settings: Settings, key_id: str | None) -> CheckResult:
    """Check that a topic or queue is encrypted, with the configured key if there is one."""
    return compared({"key": key_id}, {"key": _wanted_key(settings, key_id)})


def keys(
    users: Mapping[str, KmsKey], role: Role | None, log_group_names: Sequence[str], location: Location
) -> CheckResult:
    """Check the key of each user (log group, topics, queue): one for all, enabled, open to those who need it.

    These are EventBridge, CloudWatch Logs for the log groups, and the state machine's role; None if that is not there.
    """
    distinct = {key.metadata["Arn"]: key for key in users.values()}
    if len(distinct) != 1:
        shown = "; ".join(f"{user}: {key.metadata['Arn']}" for user, key in users.items())
        return failed(f"one key expected for all, found {shown or 'none'}")
    [(arn, key)] = distinct.items()
    state = key.metadata["KeyState"]
    if state != "Enabled":
        undo = f"aws kms cancel-key-deletion --key-id {arn}; " if state == "PendingDeletion" else ""
        return failed(f"{arn} is {state}", f"Nothing can be sent or read: {undo}aws kms enable-key --key-id {arn}")
    if not may_use_key(key.policy, "events.amazonaws.com", location.id):
        return failed(
            f"{arn}: its policy does not let EventBridge use it",
            "Allow events.amazonaws.com kms:Decrypt and kms:GenerateDataKey in it, for this account; "
            "if the key is this stack's, `pulumi up --refresh` does.",
        )
    logs = f"logs.{location.region}.{location.dns_suffix}"
    for name in log_group_names:
        if not may_encrypt_logs(key.policy, location.arn("logs", f"log-group:{name}"), logs):
            return failed(f"{arn}: its policy does not let CloudWatch Logs use it for {name}")
    if role and not _serves(key, role, location):
        return failed(
            f"{arn}: the state machine's role may not use it",
            f"Let the account's policies decide in the key's, or let {role.arn} use it; {REPAIR}",
        )
    return ok(f"{arn}, which EventBridge, CloudWatch Logs and the state machine may use")


def _serves(key: KmsKey, role: Role, location: Location) -> bool:
    """Return whether a role may have SNS and SQS encrypt with a key."""
    return all(
        role.may_use_key(key.policy, key.metadata["Arn"], action, {"kms:ViaService": host})
        for host in (f"{service}.{location.region}.{location.dns_suffix}" for service in ("sns", "sqs"))
        for action in ("kms:Decrypt", "kms:GenerateDataKey")
    )


# -- choice -----------------------------------------------------------------------------------------------------------


def rule(wanted: AlertRule, name: str, answer: Answer | None) -> CheckResult:
    """Check a rule on findings, by its name and DescribeRule (None: there is none)."""
    if answer is None:
        return failed(f"{name} is not there")
    if answer["State"] != "ENABLED":
        return failed(f"{name} is {answer['State']}", f"aws events enable-rule --name {name}")
    differing = sorted(_differing(wanted.pattern, json.loads(answer.get("EventPattern") or "null")))
    if differing:
        return failed(f"{name} matches other findings, by {', '.join(differing)}")
    return ok(f"{name} is ENABLED, with its pattern")


def _differing(wanted: Any, actual: Any, path: str = "") -> Iterator[str]:
    if isinstance(wanted, Mapping) and isinstance(actual, Mapping):
        for key in {*wanted, *actual}:
            yield from _differing(wanted.get(key), actual.get(key), f"{path}.{key}".lstrip("."))
    elif wanted != actual:
        yield path or "all conditions"


def further_rules(names: Sequence[str]) -> CheckResult:
    """Check that no rules start the state machine, send to the stack's topics or belong to it but the settings'."""
    if not names:
        return ok("none")
    return failed(
        f"{', '.join(names)}: not in the stack file, and may send to its subscribers",
        "They get more, or twice. Deploy the stack, or delete what an interrupted deployment left.",
    )


# -- delivery ---------------------------------------------------------------------------------------------------------


def target(answers: Sequence[Answer], arn: str, queue_arn: str) -> CheckResult:
    """Check a rule's target on the state machine or a topic, by ListTargetsByRule."""
    ours = [answer for answer in answers if answer["Arn"] == arn]
    if len(ours) != 1:
        return failed(f"{counted(len(ours), 'target') if ours else 'no target'} on {arn}")
    [answer] = ours
    faults = {
        "it changes the event": bool({"Input", "InputPath", "InputTransformer"} & answer.keys()),
        "it has no role": arn.split(":")[2] == "states" and "RoleArn" not in answer,
        f"what cannot be delivered does not go to {queue_arn}": (
            answer.get("DeadLetterConfig", {}).get("Arn") != queue_arn
        ),
        "its retry policy is not the configured one": answer.get("RetryPolicy", _RETRY_POLICY) != _RETRY_POLICY,
    }
    found = "; ".join(fault for fault, present in faults.items() if present)
    return failed(found) if found else ok("gets the event as it is, with retries and dead-letter queue")


def policy(text: str | None, action: str, resource_arn: str, rule_arns: Sequence[str]) -> CheckResult:
    """Check that a topic's or queue's policy lets each rule deliver."""
    shut_out = [arn for arn in rule_arns if not text or not may_publish(text, arn, action, resource_arn)]
    if not shut_out:
        return ok(f"{action} is allowed to each rule")
    names = ", ".join(arn.rpartition("/")[2] for arn in shut_out)
    return failed(f"{action} is not allowed to {names}", LOST)


def open_to_role(text: str | None, action: str, resource_arn: str, role_arn: str) -> CheckResult:
    """Check that a topic's policy does not keep out a role of its account, whose own policy is what lets it in."""
    if text and denies(text, action, resource_arn, Principal("AWS", role_arn)):
        return failed(f"{action} is denied to {role_arn}", LOST)
    return ok(f"{action} is not denied to the state machine")


# Protocols whose subscribers confirm by a link, and can be unsubscribed by one:
# https://docs.aws.amazon.com/sns/latest/dg/sns-email-notifications.html
_CONFIRMED_BY_LINK = frozenset({"email", "email-json", "https"})


def is_pending(answer: Answer) -> bool:
    """Say whether a listed subscription still waits to be confirmed."""
    return answer["SubscriptionArn"] == "PendingConfirmation"


def subscription(answer: Answer | None, attributes: Answer, topic_arn: str, wanted: Recipient) -> CheckResult:
    """Check a listed subscription (None if there is none), and GetSubscriptionAttributes of it (empty if pending)."""
    confirm = (
        f"aws sns confirm-subscription --topic-arn {topic_arn} --authenticate-on-unsubscribe true "
        "--token <Token of the link in the first message>"
    )
    is_chat = wanted.endpoint == CHAT_ENDPOINT
    if answer is None:
        found = "Amazon Q Developer in chat applications has not subscribed" if is_chat else "is not there"
        return failed(found, REPAIR if is_chat else "`pulumi up --refresh` sends a new invitation; then confirm it.")
    if is_pending(answer) or attributes.get("PendingConfirmation") == "true":
        return failed("is not confirmed, so nothing arrives", f"Confirm it within 48 hours: {confirm}")
    if fault := _delivery_fault(attributes, wanted):
        return failed(fault)
    if is_chat or answer["Protocol"] not in _CONFIRMED_BY_LINK:
        return ok("is confirmed")
    if attributes.get("ConfirmationWasAuthenticated") != "true":
        return CheckResult(
            "warning",
            "is confirmed; whoever opens the link in a message, a mail scanner too, can unsubscribe it",
            f"Unsubscribe, `pulumi up --refresh`, and confirm the new invitation so: {confirm}",
        )
    return ok("is confirmed; to unsubscribe it takes credentials")


def _delivery_fault(attributes: Answer, recipient: Recipient) -> str | None:
    """Return what is wrong with the settings of a subscription; an empty filter policy takes everything.

    For a chat channel the state machine chooses.
    """
    minimum = None if recipient.endpoint == CHAT_ENDPOINT else recipient.minimum_severity
    wanted = filter_policy(recipient.format, minimum)
    scope = filter_scope(recipient.format)
    actual = json.loads(attributes.get("FilterPolicy") or "null") or None
    if actual != wanted:
        return f"its filter policy is {json.dumps(actual) if actual else 'not set'}, expected " + (
            json.dumps(wanted) if wanted else "none"
        )
    if wanted and (found := attributes.get("FilterPolicyScope", "MessageAttributes")) != scope:
        return f"its filter policy is on the {found}, expected the {scope}"
    if attributes.get("RawMessageDelivery") == "true":
        return "it gets messages without what SNS puts around them (RawMessageDelivery)"
    return None


def further_subscriptions(answers: Sequence[Answer], known: Sequence[Answer | None], topic_arn: str) -> CheckResult:
    """Warn of subscriptions the settings do not have; endpoints are not shown, as they may hold tokens."""
    rest = [answer["Protocol"] for answer in answers if answer["SubscriptionArn"] != "Deleted" and answer not in known]
    if not rest:
        return ok("none")
    return CheckResult(
        "warning",
        f"{len(rest)} that the stack file does not have ({', '.join(sorted(rest))})",
        f"See who listens: aws sns list-subscriptions-by-topic --topic-arn {topic_arn}",
    )


_REDRIVE = "`threatmon redrive` shows the findings and sends them again."


def dead_letters(attributes: Answer) -> CheckResult:
    """Check that nothing waits in the dead-letter queue, and that it keeps what comes, by GetQueueAttributes."""
    waiting = sum(
        int(attributes.get(name, 0))
        for name in ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
    )
    if waiting:
        return failed(f"not delivered: {waiting}", _REDRIVE)
    kept, longest = (int(attributes[name]) for name in ("MessageRetentionPeriod", "MaximumMessageSize"))
    if (kept, longest) != (DEAD_LETTER_SECONDS, DEAD_LETTER_BYTES):
        return failed(
            f"keeps messages of up to {longest:,} bytes for {kept:,} seconds, "
            f"expected {DEAD_LETTER_BYTES:,} for {DEAD_LETTER_SECONDS:,}"
        )
    return ok("empty")


def failed_executions(unsent: int) -> CheckResult:
    """Check that each execution of the state machine that failed was sent again."""
    return failed(f"not sent again: {unsent}", _REDRIVE) if unsent else ok("none that was not sent again")


# -- alarms -----------------------------------------------------------------------------------------------------------

_NEVER_EVALUATED = "Unchecked: Initial alarm creation"


def alarm(answer: Answer | None) -> CheckResult:
    """Check an alarm, by DescribeAlarms; one that notifies of missing data fails when its data stops."""
    if answer is None:
        return failed("is not there")
    if not answer["ActionsEnabled"]:
        todo = f"aws cloudwatch enable-alarm-actions --alarm-names {answer['AlarmName']}"
        return failed("notifies nobody: its actions are disabled", todo)
    if not answer.get("AlarmActions"):
        return failed("notifies nobody: it has no actions")
    state, reason = answer["StateValue"], answer.get("StateReason", "")
    if state == "OK":
        return ok("OK, actions enabled")
    if state == "INSUFFICIENT_DATA" and (reason == _NEVER_EVALUATED or not answer.get("InsufficientDataActions")):
        return CheckResult("warning", "has no data yet", "Look again when the stack has run for an hour.")
    return failed(f"{state}: {reason}", answer.get("AlarmDescription") or "Look at it in CloudWatch.")
