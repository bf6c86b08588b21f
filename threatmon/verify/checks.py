"""Whether what an account has is what a stack's settings ask for: a verdict on each thing looked at.

Given are the settings and the answers of the AWS API, as boto3 hands them over; None stands for what is not there.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from threatmon.evaluation.policy_evaluator import may_publish, may_use_key
from threatmon.model.email import Transformer
from threatmon.model.event_patterns import AlertRule
from threatmon.model.protection_plans import FEATURES
from threatmon.model.queries import FIELDS
from threatmon.model.settings import SECRET_PLACEHOLDER, Settings
from threatmon.model.severity import SeverityName

State = Literal["ok", "warning", "failed", "unknown"]
Answer = Mapping[str, Any]


class Verdict(NamedTuple):
    """How a thing stands: what was found, and what a person should do (where it is ok, mostly nothing)."""

    state: State
    found: str
    todo: str = ""


DEPLOY = "Deploy the stack: what is deployed is older than its stack file."
REPAIR = "`pulumi up --refresh` puts it back as the stack file has it."
WATCH = "`health: { enabled: true }` in the stack file adds alarms on it."
# EventBridge's own, which it also leaves out of its answers:
# https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-retry-policy.html
_RETRY_POLICY = {"MaximumRetryAttempts": 185, "MaximumEventAgeInSeconds": 86400}


def _ok(found: str) -> Verdict:
    return Verdict("ok", found)


def _failed(found: str, todo: str = REPAIR) -> Verdict:
    return Verdict("failed", found, todo)


def _compared(actual: Answer, wanted: Answer, todo: str = REPAIR) -> Verdict:
    wrong = [
        f"{name} is {actual.get(name) or 'not set'}, expected {value}"
        for name, value in wanted.items()
        if actual.get(name) != value
    ]
    return _failed("; ".join(wrong), todo) if wrong else _ok(", ".join(f"{it} {wanted[it]}" for it in wanted))


# -- detection --------------------------------------------------------------------------------------------------------


def detector(settings: Settings, answer: Answer) -> Verdict:
    """The detector, by GetDetector; one that is only looked up has to be enabled and no more."""
    if settings.detector.mode == "lookup":
        return _compared(answer, {"Status": "ENABLED"}, "Ask whoever manages the detector to enable it.")
    frequency = settings.finding_publishing_frequency
    return _compared(answer, {"Status": "ENABLED", "FindingPublishingFrequency": frequency})


def protection_plans(settings: Settings, answer: Answer) -> Verdict:
    """The protection plans the stack states, by GetDetector; one it leaves unsaid may be as it is."""
    enabled = {feature["Name"] for feature in answer.get("Features", ()) if feature["Status"] == "ENABLED"}
    plans = settings.declared_plans
    return _compared(
        {plan: "on" if FEATURES[plan] in enabled else "off" for plan in plans},
        {plan: "on" if on else "off" for plan, on in plans.items()},
        "A plan that is on is billed, one that is off finds nothing. " + REPAIR,
    )


# -- evidence ---------------------------------------------------------------------------------------------------------


def flow_log(settings: Settings, log_group_name: str, answers: Sequence[Answer]) -> Verdict:
    """The flow log of one subnet or VPC, by those DescribeFlowLogs has of it."""
    ours = [answer for answer in answers if _log_group_of(answer) == log_group_name]
    if len(ours) != 1:
        others = f"; {len(answers) - len(ours)} to other destinations" if len(answers) > len(ours) else ""
        ids = " ".join(answer["FlowLogId"] for answer in ours)
        todo = f"Delete all but one: aws ec2 delete-flow-logs --flow-log-ids {ids}" if ours else REPAIR
        return _failed(f"{len(ours) or 'no'} flow log{'s' * (len(ours) > 1)} to {log_group_name}{others}", todo)
    [answer] = ours
    formats = {" ".join(f"${{{field}}}" for field in fields): name for name, fields in FIELDS.items()}
    verdict = _compared(
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
    return verdict._replace(found=f"{verdict.found} ({reason})") if reason else verdict


def _log_group_of(answer: Answer) -> str | None:
    destination = answer.get("LogDestination", "").partition(":log-group:")[2].removesuffix(":*")
    return destination or answer.get("LogGroupName")


def log_group(settings: Settings, answer: Answer | None) -> Verdict:
    """The flow logs' log group, by DescribeLogGroups."""
    if answer is None:
        return _failed("is not there; flow logs are being lost")
    wanted = {"retentionInDays": settings.flow_logs.retention_days, "logGroupClass": settings.flow_logs.log_group_class}
    verdict = _compared(answer, wanted | {"kmsKeyId": _wanted_key(settings, answer.get("kmsKeyId"))})
    if answer.get("logGroupClass") != settings.flow_logs.log_group_class:
        return verdict._replace(
            todo="A class cannot be changed: the group has to be replaced, and its records with it."
        )
    return verdict


# -- encryption -------------------------------------------------------------------------------------------------------


class Key(NamedTuple):
    """A KMS key, by DescribeKey and GetKeyPolicy."""

    metadata: Answer
    policy: str


def _wanted_key(settings: Settings, key_id: str | None) -> str:
    return settings.alerts.kms_key_arn or key_id or "a key of yours"


def encryption(settings: Settings, key_id: str | None) -> Verdict:
    """Whether a topic or queue is encrypted, with the configured key if there is one."""
    return _compared({"key": key_id}, {"key": _wanted_key(settings, key_id)})


def keys(users: Mapping[str, Key]) -> Verdict:
    """The keys of the log group, the topics and the queue (user -> its key): one, in force, and open to EventBridge."""
    distinct = {key.metadata["Arn"]: key for key in users.values()}
    if len(distinct) != 1:
        shown = "; ".join(f"{user}: {key.metadata['Arn']}" for user, key in users.items())
        return _failed(f"one key expected for all, found {shown or 'none'}")
    [(arn, key)] = distinct.items()
    state = key.metadata["KeyState"]
    if state != "Enabled":
        undo = f"aws kms cancel-key-deletion --key-id {arn}; " if state == "PendingDeletion" else ""
        return _failed(f"{arn} is {state}", f"Nothing can be sent or read: {undo}aws kms enable-key --key-id {arn}")
    if not may_use_key(key.policy, "events.amazonaws.com"):
        return _failed(
            f"{arn}: its policy does not let EventBridge use it",
            "Allow events.amazonaws.com kms:Decrypt and kms:GenerateDataKey* in it, without source conditions; "
            "if the key is this stack's, `pulumi up --refresh` does.",
        )
    return _ok(f"{arn}, which EventBridge may use")


# -- choice -----------------------------------------------------------------------------------------------------------


def names_of_rules(wanted: Sequence[AlertRule], patterns: Mapping[str, Any]) -> dict[str, str]:
    """Key of a wanted rule -> name of the deployed one, which AWS's answers do not tell.

    ``patterns`` are those of the deployed rules by name, None where a rule is gone. A pattern says which rule it is;
    what is left over is paired in order.
    """
    names: dict[str, str] = {}
    for rule in wanted:
        if name := next((name for name, pattern in patterns.items() if pattern == rule.pattern), None):
            names[rule.key] = name
    rest = [name for name in patterns if name not in names.values()]
    return names | dict(zip((rule.key for rule in wanted if rule.key not in names), rest, strict=False))


def rule(wanted: AlertRule, name: str | None, state: str | None, pattern: Any) -> Verdict:
    """One rule on findings: name, state and pattern (parsed) of the deployed one."""
    if name is None:
        return _failed("the stack has no rule for it", DEPLOY)
    if state is None:
        return _failed(f"{name} is not there")
    if state != "ENABLED":
        return _failed(f"{name} is {state}", f"aws events enable-rule --name {name}")
    differing = sorted(_differing(wanted.pattern, pattern))
    if differing:
        return _failed(f"{name} matches other findings, by {', '.join(differing)}", REPAIR)
    return _ok(f"{name} is ENABLED, with its pattern")


def _differing(wanted: Any, actual: Any, path: str = "") -> Iterator[str]:
    if isinstance(wanted, Mapping) and isinstance(actual, Mapping):
        for key in {*wanted, *actual}:
            yield from _differing(wanted.get(key), actual.get(key), f"{path}.{key}".lstrip("."))
    elif wanted != actual:
        yield path or "all conditions"


def further_rules(names: Sequence[str]) -> Verdict:
    """Rules that send to the stack's topics, and that the settings do not give."""
    if not names:
        return _ok("none")
    return _failed(
        f"{', '.join(names)} also send to the stack's topics",
        "Whoever subscribed gets more, or twice. Deploy the stack, or delete what an interrupted deployment left.",
    )


# -- delivery ---------------------------------------------------------------------------------------------------------


def target(answers: Sequence[Answer], topic_arn: str, queue_arn: str, transformer: Transformer | None) -> Verdict:
    """A rule's target on a topic, by ListTargetsByRule; without a transformer it hands the event over as it is."""
    ours = [answer for answer in answers if answer["Arn"] == topic_arn]
    if len(ours) != 1:
        return _failed(f"{len(ours) or 'no'} target{'s' * (len(ours) > 1)} on {topic_arn}")
    [answer] = ours
    text = (
        {"InputPathsMap": transformer.input_paths, "InputTemplate": transformer.input_template} if transformer else None
    )
    faults = {
        "its message is not the configured one": (
            answer.get("InputTransformer") != text or "Input" in answer or "InputPath" in answer
        ),
        f"what cannot be delivered does not go to {queue_arn}": (
            answer.get("DeadLetterConfig", {}).get("Arn") != queue_arn
        ),
        "its retry policy is not the configured one": answer.get("RetryPolicy", _RETRY_POLICY) != _RETRY_POLICY,
    }
    found = "; ".join(fault for fault, present in faults.items() if present)
    return _failed(found) if found else _ok("on the topic, with message, retries and dead-letter queue")


def policy(text: str | None, action: str, resource_arn: str, rule_arns: Sequence[str]) -> Verdict:
    """Whether a topic's or queue's policy lets each rule deliver."""
    shut_out = [arn for arn in rule_arns if not text or not may_publish(text, arn, action, resource_arn)]
    if not shut_out:
        return _ok(f"{action} is allowed to each rule")
    names = ", ".join(arn.rpartition("/")[2] for arn in shut_out)
    return _failed(f"{action} is not allowed to {names}", "What they send is lost or dead-lettered. " + REPAIR)


class Channel(NamedTuple):
    """What the subscribers of one topic have in common."""

    format: Literal["text", "raw"]
    minimum_severity: SeverityName

    def suffix(self, usual: SeverityName) -> str:
        """What the topic's name ends in, before what Pulumi appends: nothing for the mail of every alert."""
        words = (
            "" if self.format == "text" else "raw",
            "" if self.minimum_severity == usual else self.minimum_severity,
        )
        return "".join(f"-{word}" for word in words if word)


class Subscriber(NamedTuple):
    """A subscription to be. ``name`` is fit to be printed; ``endpoint`` is None where it is a secret unknown here."""

    name: str
    protocol: str
    endpoint: str | None


def subscribers(settings: Settings) -> dict[Channel, list[Subscriber]]:
    """Who gets the alerts, by channel."""
    floor = settings.severity_floor
    found = {Channel("text", floor): emails(settings.alert_emails)}
    for index, it in enumerate(settings.alerts.subscribers):
        public = it.protocol == "email" and it.format == "text"
        name = it.endpoint if public else f"alerts.subscribers[{index}] ({it.protocol})"
        endpoint = None if it.endpoint == SECRET_PLACEHOLDER else it.endpoint
        channel = Channel(it.format, it.minimum_severity or floor)
        found.setdefault(channel, []).append(Subscriber(name, it.protocol, endpoint))
    return found


def emails(addresses: Sequence[str]) -> list[Subscriber]:
    """Addresses as subscribers."""
    return [Subscriber(address, "email", address) for address in addresses]


def subscriptions_of(wanted: Sequence[Subscriber], answers: Sequence[Answer]) -> list[Answer | None]:
    """The subscription of each subscriber, by ListSubscriptionsByTopic.

    By endpoint; one whose endpoint is secret takes what is left of its protocol.
    """
    # What was unsubscribed is listed as Deleted for up to three days.
    left = [answer for answer in answers if answer["SubscriptionArn"] != "Deleted"]
    found: list[Answer | None] = [None] * len(wanted)
    for index, subscriber in sorted(enumerate(wanted), key=lambda it: it[1].endpoint is None):
        fits = (answer for answer in left if _is_of(answer, subscriber))
        found[index] = next(fits, None)
        left = [answer for answer in left if answer is not found[index]]
    return found


def _is_of(answer: Answer, subscriber: Subscriber) -> bool:
    same = subscriber.endpoint is None or answer["Endpoint"].lower() == subscriber.endpoint.lower()
    return same and answer["Protocol"] == subscriber.protocol


# Whose subscribers follow a link to confirm, and can be unsubscribed by one:
# https://docs.aws.amazon.com/sns/latest/dg/sns-email-notifications.html
_CONFIRMED_BY_LINK = frozenset({"email", "email-json", "https"})


def is_pending(answer: Answer) -> bool:
    """Whether a listed subscription still waits for its subscriber to confirm it."""
    return answer["SubscriptionArn"] == "PendingConfirmation"


def subscription(answer: Answer | None, attributes: Answer, topic_arn: str) -> Verdict:
    """A subscription, and GetSubscriptionAttributes of it (empty where it has none yet)."""
    confirm = (
        f"aws sns confirm-subscription --topic-arn {topic_arn} --authenticate-on-unsubscribe true "
        "--token <Token of the link in the first message>"
    )
    if answer is None:
        return _failed("is not there", "`pulumi up --refresh` sends a new invitation; then confirm it.")
    if is_pending(answer) or attributes.get("PendingConfirmation") == "true":
        return _failed("is not confirmed, so nothing arrives", f"Confirm it within 48 hours: {confirm}")
    if answer["Protocol"] in _CONFIRMED_BY_LINK and attributes.get("ConfirmationWasAuthenticated") != "true":
        return Verdict(
            "warning",
            "is confirmed; whoever opens the link in a message, a mail scanner too, can unsubscribe it",
            f"Unsubscribe, `pulumi up --refresh`, and confirm the new invitation so: {confirm}",
        )
    return _ok(
        "is confirmed" + ("; to unsubscribe it takes credentials" if answer["Protocol"] in _CONFIRMED_BY_LINK else "")
    )


def further_subscriptions(answers: Sequence[Answer], known: Sequence[Answer | None], topic_arn: str) -> Verdict:
    """Subscriptions the settings do not have; endpoints are not shown, they may hold tokens."""
    rest = [it["Protocol"] for it in answers if it["SubscriptionArn"] != "Deleted" and it not in known]
    if not rest:
        return _ok("none")
    return Verdict(
        "warning",
        f"{len(rest)} that the stack file does not have ({', '.join(sorted(rest))})",
        f"See who listens: aws sns list-subscriptions-by-topic --topic-arn {topic_arn}",
    )


def dead_letters(attributes: Answer) -> Verdict:
    """What waits in the dead-letter queue, by GetQueueAttributes."""
    waiting, taken = (
        int(attributes.get(name, 0))
        for name in ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
    )
    if waiting + taken == 0:
        return _ok("empty")
    return _failed(f"not delivered: {waiting + taken}", "`threatmon redrive` shows the findings and resends them.")


# -- the watch on it --------------------------------------------------------------------------------------------------

_NEVER_EVALUATED = "Unchecked: Initial alarm creation"


def alarm(answer: Answer | None) -> Verdict:
    """An alarm, by DescribeAlarms. One that notifies of missing data has gone off when its data stops."""
    if answer is None:
        return _failed("is not there")
    if not answer["ActionsEnabled"]:
        todo = f"aws cloudwatch enable-alarm-actions --alarm-names {answer['AlarmName']}"
        return _failed("tells nobody: its actions are disabled", todo)
    if not answer.get("AlarmActions"):
        return _failed("tells nobody: it has no actions")
    state, reason = answer["StateValue"], answer.get("StateReason", "")
    if state == "OK":
        return _ok("OK, actions enabled")
    if state == "INSUFFICIENT_DATA" and (reason == _NEVER_EVALUATED or not answer.get("InsufficientDataActions")):
        return Verdict("warning", "has no data yet", "Look again when the stack has run for an hour.")
    return _failed(f"{state}: {reason}", answer.get("AlarmDescription") or "Look at it in CloudWatch.")
