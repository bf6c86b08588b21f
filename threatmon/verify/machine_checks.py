"""Judge the state machine that writes the alerts, and the roles by which it is started and works."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from threatmon.aws.reader import Answer
from threatmon.evaluation.roles import Role
from threatmon.model.alarms import METRIC_NAMESPACE
from threatmon.model.policies import LOG_DELIVERY
from threatmon.model.state_machine import Definition, states
from threatmon.reports.model import first_few
from threatmon.verify.checks import LOST, CheckResult, compared, failed, ok


def state_machine(answer: Answer, log_group_arn: str, *, log_group_is_there: bool) -> CheckResult:
    """Check the state machine, but what it does, by DescribeStateMachine; its errors are logged without findings."""
    logging = answer.get("loggingConfiguration", {})
    groups = [entry["cloudWatchLogsLogGroup"]["logGroupArn"] for entry in logging.get("destinations", ())]
    return compared(
        {
            "status": answer.get("status"),
            "type": answer["type"],
            "logging": logging.get("level", "OFF"),
            "findings in the log": "yes" if logging.get("includeExecutionData") else "no",
            "log group": ", ".join(group.removesuffix(":*") for group in groups) if log_group_is_there else "gone",
        },
        {
            "status": "ACTIVE",
            "type": "STANDARD",
            "logging": "ERROR",
            "findings in the log": "no",
            "log group": log_group_arn,
        },
    )


def definition(deployed: Definition, wanted: Definition) -> CheckResult:
    """Check that the state machine does what the settings say."""
    if deployed == wanted:
        return ok("is that of the stack file and of this version")
    ours, theirs = states(wanted), states(deployed)
    # A state with branches differs whenever one in them does.
    differing = [
        name
        for name in dict.fromkeys([*ours, *theirs])
        if ours.get(name) != theirs.get(name) and "Branches" not in {**ours.get(name, {}), **theirs.get(name, {})}
    ]
    where = f"by the states {first_few(differing)}" if differing else "outside its states"
    return failed(f"is not that of the stack file and of this version, {where}")


def start_role(roles: Mapping[str, Role], machine_arn: str) -> CheckResult:
    """Check the roles by which the rules start the state machine, by the rules' ARNs."""
    faults = [
        fault
        for rule_arn, role in roles.items()
        for fault in _faults(
            role,
            "events.amazonaws.com",
            rule_arn,
            {"start the state machine": [("states:StartExecution", machine_arn)]},
        )
    ]
    return _judged(faults, "lets the rules in, and may start the state machine")


def machine_role(role: Role, machine_arn: str, topic_arns: Mapping[str, str], queue_arn: str) -> CheckResult:
    """Check the role by which the state machine works; for the key see :func:`threatmon.verify.checks.keys`.

    ``topic_arns`` has the topics it sends to by what they are called within the stack.
    """
    uses = {
        **{f"publish to {topic}": [("sns:Publish", arn)] for topic, arn in topic_arns.items()},
        "write to the dead-letter queue": [("sqs:SendMessage", queue_arn)],
        "count plain messages": [("cloudwatch:PutMetricData", "*")],
        "log its errors": [(action, "*") for action in LOG_DELIVERY],
    }
    return _judged(
        _faults(role, "states.amazonaws.com", machine_arn, uses),
        "lets the state machine in, may publish, queue what fails, count it, and log errors",
    )


def _judged(faults: Iterable[str], found: str) -> CheckResult:
    said = "; ".join(dict.fromkeys(faults))
    return failed(said, LOST) if said else ok(found)


def _faults(role: Role, service: str, arn: str, uses: Mapping[str, Sequence[tuple[str, str]]]) -> Iterator[str]:
    """Yield what is wrong with a role that a service assumes for a resource: in its trust, and what it may not do."""
    name, resource = role.arn.rpartition("/")[2], arn.rpartition(":")[2].rpartition("/")[2]
    if not role.lets_in(service, arn):
        yield f"{name} does not let {service} in for {resource}"
    elif role.lets_in_anybody(service):
        yield f"{name} lets {service} in for anybody's resources"
    # Of all the permissions, that to count alone has a condition.
    context = {"cloudwatch:namespace": METRIC_NAMESPACE}
    for use, actions in uses.items():
        if not all(role.allows(action, resource, context=context) for action, resource in actions):
            yield f"{name} may not {use}"
