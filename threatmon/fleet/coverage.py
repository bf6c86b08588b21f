"""Whether every account, Region and subnet of a fleet is watched: what each stack's account answered, as rows, and what
is missing in them.

Breadth, not depth: ``threatmon verify`` looks at all of one stack. Answers are those of the AWS API, as boto3 hands
them over.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from ipaddress import ip_network
from typing import Any, Literal, NamedTuple

from threatmon.evaluation.explain import rules_of
from threatmon.fleet.targets import Target
from threatmon.model import names
from threatmon.model.protection_plans import FEATURES
from threatmon.verify import checks
from threatmon.verify.checks import Answer, Subscriber

Level = Literal["gap", "unknown", "note", "ok"]
LEVELS: tuple[Level, ...] = ("gap", "unknown", "note", "ok")  # the worst first
SubnetState = Literal["broken", "gone", "uncovered", "unknown", "another's", "shared", "covered"]
# broken: a stack has it, and no flow log of the stack delivers; gone: a stack has it, the account does not;
# another's: no stack has it, a flow log of others does; shared: of another account, which has to cover it
LEVEL_OF: Mapping[SubnetState, Level] = {
    "broken": "gap",
    "gone": "gap",
    "uncovered": "gap",
    "unknown": "unknown",
    "another's": "note",
    "shared": "note",
    "covered": "ok",
}

# What the names of the rules and topics of every stack begin with; Pulumi ends them in a random suffix:
# https://www.pulumi.com/docs/iac/concepts/resources/names/#autonaming
ALERTS = "threat-monitor-alerts-"
# For so long GuardDuty keeps findings: https://docs.aws.amazon.com/guardduty/latest/ug/guardduty_findings.html
DAYS = 90
# https://docs.aws.amazon.com/vpc/latest/userguide/subnet-sizing.html
_RESERVED_ADDRESSES = 5


# -- answers ----------------------------------------------------------------------------------------------------------


class Unanswered(NamedTuple):
    """Why a question has no answer."""

    reason: str


class Rule(NamedTuple):
    """A deployed rule on findings, and the topics of alerts it sends to."""

    name: str
    state: str
    topic_arns: tuple[str, ...]


class Answers(NamedTuple):
    """What an account says of itself in one Region."""

    detector: Answer | Unanswered | None
    """GetDetector; None where there is no detector"""
    subnets: Sequence[Answer] | Unanswered
    """DescribeSubnets, of all"""
    flow_logs: Sequence[Answer] | Unanswered
    """DescribeFlowLogs, of all"""
    rules: Sequence[Rule] | Unanswered
    """those whose name begins with :data:`ALERTS`"""
    subscriptions: Mapping[str, Sequence[Answer]] | Unanswered
    """ARN of a topic the rules send to -> ListSubscriptionsByTopic"""
    last_alert: datetime | Unanswered | None
    """when such a topic last delivered; None where none did in :data:`DAYS`"""


def nothing(reason: str) -> Answers:
    """The answers of an account that gave none."""
    it = Unanswered(reason)
    return Answers(it, it, it, it, it, it)


# -- rows -------------------------------------------------------------------------------------------------------------


class Part(NamedTuple):
    """How one thing of a stack stands: what was found, and what to do about a gap."""

    level: Level
    found: str
    todo: str = ""


class Stack(NamedTuple):
    """A stack, and all it needs for an alert to reach people."""

    name: str
    account_id: str
    region: str
    detector: Part
    plans: Part
    rules: Part
    subscriptions: Mapping[str, Part]
    """by subscriber"""
    last_alert: Part

    @property
    def parts(self) -> dict[str, Part]:
        """Each part by a name for it."""
        subscriptions = {f"subscription {name}": part for name, part in self.subscriptions.items()}
        return {
            "detector": self.detector,
            "protection plans": self.plans,
            "rules": self.rules,
            **subscriptions,
            "last alert": self.last_alert,
        }

    @property
    def level(self) -> Level:
        """That of the worst part."""
        found = {part.level for part in self.parts.values()}
        return next(level for level in LEVELS if level in found)


class Subnet(NamedTuple):
    """A subnet, or a configured VPC in which no subnet is known."""

    state: SubnetState
    account_id: str
    region: str
    stack: str
    """the stack that has it; empty where none has"""
    id: str
    name: str
    """its Name tag"""
    vpc_id: str
    cidr: str
    found: str
    todo: str = ""


class Gap(NamedTuple):
    """Something that is missing, or not known."""

    level: Level
    account_id: str
    region: str
    stack: str
    subject: str
    found: str
    todo: str


class Coverage(NamedTuple):
    """What is watched and what is not, at one time; the worst rows first, then by account, Region and stack."""

    at: datetime
    stacks: tuple[Stack, ...]
    subnets: tuple[Subnet, ...]

    @property
    def gaps(self) -> list[Gap]:
        """All that is missing or not known; what has one reason is one gap of its stack."""
        rows = [*_missing_parts(self.stacks), *_missing_subnets(self.subnets)]
        # What no stack has comes after what the stack of its place has.
        return sorted(rows, key=lambda it: (it.account_id, it.region, not it.stack, LEVELS.index(it.level)))


def coverage(answered: Iterable[tuple[Target, Answers]], at: datetime) -> Coverage:
    """The rows of the stacks and of all subnets in their accounts and Regions.

    No two of the stacks are in one account and Region (:func:`threatmon.fleet.targets.read` refuses that): a subnet
    that is not the stack's there is nobody's.
    """
    known = list(answered)
    stacks = sorted(
        (_stack(target, answers) for target, answers in known),
        key=lambda it: (LEVELS.index(it.level), it.account_id, it.region),
    )
    subnets = sorted(
        (row for target, answers in known for row in _subnets(target, answers)),
        key=lambda it: (LEVELS.index(LEVEL_OF[it.state]), it.account_id, it.region, not it.stack, it.id),
    )
    return Coverage(at, tuple(stacks), tuple(subnets))


# -- stacks -----------------------------------------------------------------------------------------------------------


def _stack(target: Target, answers: Answers) -> Stack:
    return Stack(
        target.stack,
        target.account_id,
        target.region,
        _detector(target, answers.detector),
        _plans(target, answers.detector),
        _rules(target, answers.rules),
        _subscriptions(target, answers),
        _last_alert(answers.last_alert),
    )


def _detector(target: Target, answer: Answer | Unanswered | None) -> Part:
    if isinstance(answer, Unanswered):
        return Part("unknown", answer.reason)
    status = answer["Status"] if answer else "none"
    if status == "ENABLED":
        return Part("ok", status)
    looked_up = target.settings.detector.mode == "lookup"
    return Part("gap", status, "Ask whoever manages the detector to enable it." if looked_up else checks.REPAIR)


def _plans(target: Target, answer: Answer | Unanswered | None) -> Part:
    """The plans that are on. One that is on without being asked for is no gap, and of others' detectors none is."""
    if isinstance(answer, Unanswered):
        return Part("unknown", answer.reason)
    enabled = {feature["Name"] for feature in (answer or {}).get("Features", ()) if feature["Status"] == "ENABLED"}
    on = [plan for plan, feature in FEATURES.items() if feature in enabled]
    found = ", ".join(on) or "none"
    declared = {} if target.settings.detector.mode == "lookup" else target.settings.declared_plans
    off = [plan for plan, wanted in declared.items() if wanted and plan not in on]
    return Part("gap", f"{found}; off: {', '.join(off)}", checks.REPAIR) if off else Part("ok", found)


def _rules(target: Target, rules: Sequence[Rule] | Unanswered) -> Part:
    if isinstance(rules, Unanswered):
        return Part("unknown", rules.reason)
    on = {_logical(rule.name) for rule in rules if rule.state == "ENABLED"}
    wanted = [rule.key for rule in rules_of(target.settings)]
    off = [key for key in wanted if f"{ALERTS}{key}" not in on]
    if off:
        return Part("gap", f"not there or disabled: {', '.join(off)}", checks.REPAIR)
    return Part("ok", ", ".join(wanted))


def _logical(name: str) -> str:
    return name.rpartition("-")[0]


def _subscriptions(target: Target, answers: Answers) -> dict[str, Part]:
    parts: dict[str, Part] = {}
    for channel, subscribers in checks.subscribers(target.settings).items():
        topic = f"{ALERTS}topic{channel.suffix(target.settings.severity_floor)}"
        found = _subscriptions_to(topic, subscribers, answers)
        parts |= {subscriber.name: part for subscriber, part in zip(subscribers, found, strict=True)}
    return parts


def _subscriptions_to(topic: str, subscribers: Sequence[Subscriber], answers: Answers) -> list[Part]:
    if isinstance(answers.subscriptions, Unanswered):
        return [Part("unknown", answers.subscriptions.reason)] * len(subscribers)
    arns = sorted(arn for arn in answers.subscriptions if _logical(arn.rpartition(":")[2]) == topic)
    listed = [answer for arn in arns for answer in answers.subscriptions[arn]]
    return [_subscription(answer, arns) for answer in checks.subscriptions_of(subscribers, listed)]


def _subscription(answer: Answer | None, topic_arns: Sequence[str]) -> Part:
    if not topic_arns:
        return Part("gap", "no rule sends to its topic", checks.REPAIR)
    if answer and not checks.is_pending(answer):
        return Part("ok", "confirmed")
    verdict = checks.subscription(answer, {}, answer["TopicArn"] if answer else topic_arns[0])
    return Part("gap", verdict.found, verdict.todo)


def _last_alert(answer: datetime | Unanswered | None) -> Part:
    if isinstance(answer, Unanswered):
        return Part("unknown", answer.reason)
    # None is no gap: an account may be quiet. `threatmon verify --send` tells which it is.
    return Part("ok", f"{answer:%Y-%m-%d %H:%M}" if answer else f"none in {DAYS} days")


# -- subnets ----------------------------------------------------------------------------------------------------------


class _Logs(NamedTuple):
    """Flow logs by the subnet or VPC they are of, or why they are not known."""

    of: Mapping[str, Sequence[Answer]]
    unknown: str = ""


def _subnets(target: Target, answers: Answers) -> Iterator[Subnet]:
    """A row for each subnet the account has, and for what the stack has and the account does not list."""
    place = target.account_id, target.region
    configured = [*target.settings.subnet_ids, *target.settings.vpc_ids]
    listed, logs = answers.subnets, _logs(answers.flow_logs)
    if isinstance(listed, Unanswered):
        for id_ in configured:
            yield Subnet("unknown", *place, target.stack, id_, "", "", "", listed.reason)
        return
    for answer in listed:
        yield _listed(target, answer, logs)
    known = {id_ for answer in listed for id_ in (answer["SubnetId"], answer["VpcId"])}
    for id_ in configured:
        if id_ in known:
            continue
        if id_ in target.settings.vpc_ids:
            state, found, todo = _evidence(target, [id_], logs)
            yield Subnet(state, *place, target.stack, id_, "", id_, "", f"{found}; the VPC has no subnets", todo)
        else:
            found = "the account has no such subnet in this Region"
            yield Subnet("gone", *place, target.stack, id_, "", "", "", found, "Mend subnetIds.")


def _logs(answers: Sequence[Answer] | Unanswered) -> _Logs:
    if isinstance(answers, Unanswered):
        return _Logs({}, answers.reason)
    of: dict[str, list[Answer]] = {}
    for answer in sorted(answers, key=lambda it: it["FlowLogId"]):
        of.setdefault(answer["ResourceId"], []).append(answer)
    return _Logs(of)


def _listed(target: Target, answer: Answer, logs: _Logs) -> Subnet:
    ids = answer["SubnetId"], answer["VpcId"]
    configured = [id_ for id_ in ids if id_ in (*target.settings.subnet_ids, *target.settings.vpc_ids)]
    if configured:
        state, found, todo = _evidence(target, configured, logs)
    elif (owner_id := answer.get("OwnerId", target.account_id)) != target.account_id:
        # Its flow logs are its owner's: https://docs.aws.amazon.com/vpc/latest/userguide/vpc-sharing.html
        state, found, todo = "shared", f"account {owner_id} shares it, and has to log it", ""
    else:
        state, found, todo = _unclaimed(answer, logs)
    name = next((tag["Value"] for tag in answer.get("Tags", ()) if tag["Key"] == "Name"), "")
    stack = target.stack if configured else ""
    cidr = answer.get("CidrBlock", "")
    return Subnet(state, target.account_id, target.region, stack, ids[0], name, ids[1], cidr, found, todo)


def _evidence(target: Target, resource_ids: Sequence[str], logs: _Logs) -> tuple[SubnetState, str, str]:
    """State, what was found and what to do of a subnet or VPC that a stack logs, by itself or by its VPC."""
    group = names.log_group(target.stack)
    if logs.unknown:
        return "unknown", logs.unknown, ""
    ours = [answer for id_ in resource_ids for answer in logs.of.get(id_, ()) if _sends_to(answer, group)]
    if working := [answer for answer in ours if _delivers(answer)]:
        return "covered", f"{working[0]['FlowLogId']} ({working[0]['TrafficType']}) delivers", ""
    if not ours:
        return "broken", f"no flow log to {group}", checks.REPAIR
    return "broken", _not_delivering(ours[0]), checks.REPAIR


def _unclaimed(answer: Answer, logs: _Logs) -> tuple[SubnetState, str, str]:
    if logs.unknown:
        return "unknown", logs.unknown, ""
    others = [it for id_ in (answer["SubnetId"], answer["VpcId"]) for it in logs.of.get(id_, ())]
    # What goes elsewhere than to CloudWatch Logs need not say how its delivery is.
    working = [it for it in others if _delivers({"DeliverLogsStatus": "SUCCESS", **it})]
    if working:
        destination = working[0].get("LogDestination") or working[0].get("LogGroupName")
        return "another's", f"{working[0]['FlowLogId']} ({working[0]['TrafficType']}) to {destination}", ""
    found = _not_delivering(others[0]) if others else "no flow log"
    return "uncovered", f"{found}; {_in_use(answer)}", "Add it to subnetIds, or its VPC to vpcIds."


def _sends_to(answer: Answer, group: str) -> bool:
    by_arn = answer.get("LogDestination", "").partition(":log-group:")[2].removesuffix(":*")
    return group == (by_arn or answer.get("LogGroupName"))


def _delivers(answer: Answer) -> bool:
    return answer["FlowLogStatus"] == "ACTIVE" and answer.get("DeliverLogsStatus") == "SUCCESS"


def _not_delivering(answer: Answer) -> str:
    reason = f" ({answer['DeliverLogsErrorMessage']})" if answer.get("DeliverLogsErrorMessage") else ""
    delivery = answer.get("DeliverLogsStatus", "unknown")
    return f"{answer['FlowLogId']} is {answer['FlowLogStatus']}, its delivery {delivery}{reason}"


def _in_use(answer: Answer) -> str:
    """How many IPv4 addresses are taken, which tells an empty subnet from one that matters."""
    if not answer.get("CidrBlock") or "AvailableIpAddressCount" not in answer:
        return "addresses in use not known"
    usable = ip_network(answer["CidrBlock"]).num_addresses - _RESERVED_ADDRESSES
    return f"addresses in use: {usable - answer['AvailableIpAddressCount']}"


# -- gaps -------------------------------------------------------------------------------------------------------------


def _missing_parts(stacks: Iterable[Stack]) -> Iterator[Gap]:
    for stack in stacks:
        of = (stack.account_id, stack.region, stack.name)
        unknown: dict[str, list[str]] = {}
        for subject, part in stack.parts.items():
            if part.level == "gap":
                yield Gap("gap", *of, subject, part.found, part.todo)
            elif part.level == "unknown":
                unknown.setdefault(part.found, []).append(subject)
        for reason, subjects in unknown.items():
            subject = "everything" if len(subjects) == len(stack.parts) else ", ".join(subjects)
            yield Gap("unknown", *of, subject, reason, "")


def _missing_subnets(subnets: Iterable[Subnet]) -> Iterator[Gap]:
    unknown: dict[tuple[str, str, str, str], int] = {}
    for row in subnets:
        of = (row.account_id, row.region, row.stack)
        if LEVEL_OF[row.state] == "gap":
            named = f"{row.id} ({row.name})" if row.name else row.id
            yield Gap("gap", *of, named, f"{row.state}: {row.found}", row.todo)
        elif row.state == "unknown":
            unknown[*of, row.found] = unknown.get((*of, row.found), 0) + 1
    for (account_id, region, stack, reason), count in unknown.items():
        yield Gap("unknown", account_id, region, stack, f"{count} subnet{'s' * (count > 1)}", reason, "")


# -- for a machine ----------------------------------------------------------------------------------------------------


def document(found: Coverage) -> dict[str, Any]:
    """The coverage as JSON has it."""
    return {
        "at": found.at.isoformat(),
        "covered": not found.gaps,
        "gaps": [gap._asdict() for gap in found.gaps],
        "stacks": [
            {
                "stack": stack.name,
                "account": stack.account_id,
                "region": stack.region,
                "level": stack.level,
                "parts": {name: part._asdict() for name, part in stack.parts.items()},
            }
            for stack in found.stacks
        ],
        "subnets": [{**row._asdict(), "level": LEVEL_OF[row.state]} for row in found.subnets],
    }
