"""Whether every account, Region and subnet of a fleet is watched: each stack's checks, and an inventory of subnets."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from ipaddress import ip_network
from typing import Literal, NamedTuple

from threatmon.aws.errors import AwsError
from threatmon.aws.flow_logs import destination
from threatmon.aws.reader import Answer, Aws, attempt
from threatmon.errors import ThreatmonError
from threatmon.fleet.targets import Target
from threatmon.reports.model import STATES, Check, State, counted
from threatmon.verify import stack_checks
from threatmon.verify.checks import CheckResult, ok
from threatmon.verify.delivery_test import MetricSum
from threatmon.verify.deployed_stack import DeployedStack
from threatmon.verify.stack_checks import flow_log_subject

SubnetState = Literal["broken", "gone", "uncovered", "unknown", "another's", "shared", "covered"]
# broken: a stack has it, and the flow log of the stack fails its check; gone: a stack has it, the account does not;
# another's: no stack has it, a flow log of others does; shared: of another account, which has to cover it
STATE_OF: Mapping[SubnetState, State] = {
    "broken": "failed",
    "gone": "failed",
    "uncovered": "failed",
    "unknown": "unknown",
    "another's": "warning",
    "shared": "warning",
    "covered": "ok",
}
_BY_CHECK: Mapping[State, SubnetState] = {
    "ok": "covered",
    "warning": "covered",
    "failed": "broken",
    "unknown": "unknown",
}

# GuardDuty keeps findings for as many days: https://docs.aws.amazon.com/guardduty/latest/ug/guardduty_findings.html
DAYS = 90
# Finer periods are not kept for so long:
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_concepts.html#metrics-retention
_PERIOD = 3600
# https://docs.aws.amazon.com/vpc/latest/userguide/subnet-sizing.html
_RESERVED_ADDRESSES = 5


class SubnetCoverage(NamedTuple):
    """A subnet, or a configured VPC in which no subnet is known."""

    state: SubnetState
    account_id: str
    region: str
    stack: str
    """the stack that has it; empty if none has"""
    id: str
    name: str
    """its Name tag"""
    vpc_id: str
    cidr: str
    found: str
    todo: str = ""


class StackCoverage(NamedTuple):
    """The checks of a stack, and the subnets of its account and Region."""

    target: Target
    checks: Sequence[Check]
    subnets: Sequence[SubnetCoverage]

    @property
    def state(self) -> State:
        """Return that of the worst check."""
        return min(self.checks, key=lambda check: STATES.index(check.state)).state


class CoverageProblem(NamedTuple):
    """Something that failed or is unknown, in one stack or in none. Checks with the same reason are one problem."""

    state: State
    account_id: str
    region: str
    stack: str
    subjects: Sequence[str]
    found: str
    todo: str


class Coverage(NamedTuple):
    """What is watched and what is not, at one time; the worst first, then by account and Region."""

    at: datetime
    stacks: Sequence[StackCoverage]
    subnets: Sequence[SubnetCoverage]
    problems: Sequence[CoverageProblem]


# -- one stack --------------------------------------------------------------------------------------------------------


def cover(target: Target, connect: Callable[[], Aws], now: datetime) -> StackCoverage:
    """Check a stack, found in its account by the names of its resources.

    Never raises what AWS refuses: a check without an answer is unknown, and all of a stack are if its account cannot be
    reached.
    """
    configured = [*target.settings.subnet_ids, *target.settings.vpc_ids]
    try:
        stack = DeployedStack(connect(), target.settings, target.stack)
    except ThreatmonError as error:
        checks = [Check("unknown", "everything", str(error))]
        rows = [_row("unknown", target, target.stack, {"SubnetId": id_}, str(error)) for id_ in configured]
        return StackCoverage(target, checks, rows)
    judges = {
        **stack_checks.checks_of(stack),
        "inventory": lambda: ok(counted(len(stack.subnets()), "subnet")),
        "last alert": lambda: _last_alert(stack, now),
    }
    checks = stack_checks.run(judges)
    by_id = {id_: check for id_ in configured for check in checks if check.subject == flow_log_subject(id_)}
    rows = subnets(target, by_id, attempt(stack.subnets), attempt(stack.flow_logs))
    return StackCoverage(target, checks, list(rows))


def _last_alert(stack: DeployedStack, now: datetime) -> CheckResult:
    """Look for the last delivery of any topic; none is no failure, as an account may be quiet.

    https://docs.aws.amazon.com/sns/latest/dg/sns-monitoring-using-cloudwatch.html
    """
    names = [arn.rpartition(":")[2] for arn in stack.topic_arns().values()]
    sums = [MetricSum("AWS/SNS", "NumberOfNotificationsDelivered", name) for name in names]
    queries = [metric.query(number, _PERIOD) for number, metric in enumerate(sums)]
    window = {"MetricDataQueries": queries, "StartTime": now - timedelta(days=DAYS), "EndTime": now}
    results = stack.aws.read_all("cloudwatch", "get_metric_data", **window) if queries else []
    counts = (pair for result in results for pair in zip(result["Timestamps"], result["Values"], strict=True))
    last = max((time for time, count in counts if count > 0), default=None)
    return ok(f"{last:%Y-%m-%d %H:%M} UTC" if last else f"none in {DAYS} days")


# -- subnets ----------------------------------------------------------------------------------------------------------


def subnets(
    target: Target,
    checks: Mapping[str, Check],
    listed: Sequence[Answer] | AwsError,
    flow_logs: Sequence[Answer] | AwsError,
) -> Iterator[SubnetCoverage]:
    """Yield a row for each subnet the account lists, and for what the stack has and the account does not list.

    ``checks`` are those of the stack's flow logs, by the id of the subnet or VPC. No other stack is in this account and
    Region (:func:`threatmon.fleet.targets.read` refuses that): a subnet that is not the stack's is nobody's.
    """
    known = set[str]()
    for answer in [] if isinstance(listed, AwsError) else listed:
        ids = answer["SubnetId"], answer["VpcId"]
        known.update(ids)
        owner_id = answer.get("OwnerId", target.account_id)
        if ours := [checks[id_] for id_ in ids if id_ in checks]:
            best = max(ours, key=lambda check: STATES.index(check.state))
            yield _row(_BY_CHECK[best.state], target, target.stack, answer, best.found, best.todo)
        elif owner_id != target.account_id:
            # Its flow logs are its owner's: https://docs.aws.amazon.com/vpc/latest/userguide/vpc-sharing.html
            yield _row("shared", target, "", answer, f"account {owner_id} shares it, and has to log it")
        else:
            yield _unclaimed(target, answer, flow_logs)
    for id_, check in checks.items():
        if id_ not in known:
            gone = check.state == "failed" and not isinstance(listed, AwsError) and id_ in target.settings.subnet_ids
            answer = {"SubnetId": id_, **({"VpcId": id_} if id_ in target.settings.vpc_ids else {})}
            state = "gone" if gone else _BY_CHECK[check.state]
            yield _row(state, target, target.stack, answer, check.found, check.todo)


def _unclaimed(target: Target, answer: Answer, flow_logs: Sequence[Answer] | AwsError) -> SubnetCoverage:
    """Return the row of a subnet that no stack has."""
    if isinstance(flow_logs, AwsError):
        return _row("unknown", target, "", answer, str(flow_logs))
    ids = answer["SubnetId"], answer["VpcId"]
    others = sorted((log for log in flow_logs if log["ResourceId"] in ids), key=lambda log: log["FlowLogId"])
    # A flow log to elsewhere than CloudWatch Logs need not say how its delivery is.
    others = [{"DeliverLogsStatus": "SUCCESS", **log} for log in others]
    delivering = (log for log in others if (log["FlowLogStatus"], log["DeliverLogsStatus"]) == ("ACTIVE", "SUCCESS"))
    if log := next(delivering, None):
        return _row("another's", target, "", answer, f"{log['FlowLogId']} ({log['TrafficType']}) to {destination(log)}")
    found = "no flow log"
    for log in others[:1]:
        reason = f" ({log['DeliverLogsErrorMessage']})" if log.get("DeliverLogsErrorMessage") else ""
        found = f"{log['FlowLogId']} is {log['FlowLogStatus']}, its delivery {log['DeliverLogsStatus']}{reason}"
    todo = "Add it to subnetIds, or its VPC to vpcIds."
    return _row("uncovered", target, "", answer, f"{found}; {_in_use(answer)}", todo)


def _in_use(answer: Answer) -> str:
    """Say how many IPv4 addresses are in use: an empty subnet matters less."""
    if not answer.get("CidrBlock") or "AvailableIpAddressCount" not in answer:
        return "addresses in use not known"
    usable = ip_network(answer["CidrBlock"]).num_addresses - _RESERVED_ADDRESSES
    return f"addresses in use: {usable - answer['AvailableIpAddressCount']}"


def _row(state: SubnetState, target: Target, stack: str, answer: Answer, found: str, todo: str = "") -> SubnetCoverage:
    name = next((tag["Value"] for tag in answer.get("Tags", ()) if tag["Key"] == "Name"), "")
    described = answer["SubnetId"], name, answer.get("VpcId", ""), answer.get("CidrBlock", "")
    return SubnetCoverage(state, target.account_id, target.region, stack, *described, found, todo)


# -- many stacks ------------------------------------------------------------------------------------------------------


def coverage(stacks: Iterable[StackCoverage], at: datetime) -> Coverage:
    """Put the stacks together, in an order that does not depend on theirs."""
    by_place = sorted(stacks, key=lambda stack: (stack.target.account_id, stack.target.region))
    rows = sorted((row for stack in by_place for row in stack.subnets), key=lambda row: (not row.stack, row.id))
    rows.sort(key=lambda row: (STATES.index(STATE_OF[row.state]), row.account_id, row.region))
    problems = [problem for stack in by_place for problem in _problems(stack)]
    return Coverage(at, sorted(by_place, key=lambda stack: STATES.index(stack.state)), rows, problems)


def _problems(stack: StackCoverage) -> Iterator[CoverageProblem]:
    """Yield what failed or is unknown; a subnet of a stack is among its checks already."""
    entries = [(stack.target.stack, check) for check in stack.checks]
    for row in sorted((row for row in stack.subnets if not row.stack), key=lambda row: row.id):
        subject = f"{row.id} ({row.name})" if row.name else row.id
        entries.append(("", Check(STATE_OF[row.state], subject, f"{row.state}: {row.found}", row.todo)))
    subjects: dict[tuple[str, State, str, str], list[str]] = {}
    for name, check in entries:
        if check.state in ("failed", "unknown"):
            subjects.setdefault((name, check.state, check.found, check.todo), []).append(check.subject)
    for key in sorted(subjects, key=lambda key: (not key[0], STATES.index(key[1]))):
        name, state, found, todo = key
        yield CoverageProblem(state, stack.target.account_id, stack.target.region, name, subjects[key], found, todo)
