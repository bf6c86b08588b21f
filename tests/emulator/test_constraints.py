"""Each check that AWS makes: what passes, and what is refused with which words."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from examples import ACCOUNT, OTHER_ACCOUNT

from threatmon.emulator import constraints
from threatmon.emulator.constraints import ConstraintError
from threatmon.evaluation.roles import Role

ROOT = f"arn:aws:iam::{ACCOUNT}:root"
GROUP = f"arn:aws:logs:eu-west-1:{ACCOUNT}:log-group:/threat-monitor/dev/flow-logs"
RULE = f"arn:aws:events:eu-west-1:{ACCOUNT}:rule/high"
FLOW_LOG = f"arn:aws:ec2:eu-west-1:{ACCOUNT}:vpc-flow-log/fl-0123456789abcdef0"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/rules"
STATES = "states.amazonaws.com"
EVENTS = {"Service": "events.amazonaws.com"}
MACHINE = f"arn:aws:states:eu-west-1:{ACCOUNT}:stateMachine:threat-monitor-dev"


def _policy(*statements: dict[str, Any]) -> str:
    allowing = [{"Effect": "Allow", **statement} for statement in statements]
    return json.dumps({"Version": "2012-10-17", "Statement": allowing})


def _pattern(**detail: Any) -> str:
    return json.dumps({"source": ["aws.guardduty"], "detail": detail})


def _logs(service: str = "logs.eu-west-1.amazonaws.com", group: str = GROUP) -> dict[str, Any]:
    return {
        "Principal": {"Service": service},
        "Action": ["kms:Encrypt*", "kms:Decrypt*", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:Describe*"],
        "Resource": "*",
        "Condition": {"ArnEquals": {"kms:EncryptionContext:aws:logs:arn": group}},
    }


def _trust(service: str = "vpc-flow-logs.amazonaws.com", **condition: Any) -> str:
    return _policy({"Principal": {"Service": service}, "Action": "sts:AssumeRole", "Condition": condition})


def _role(service: str = "vpc-flow-logs.amazonaws.com", **condition: Any) -> Role:
    return Role(ROLE, _trust(service, **condition), "{}")


def _publish(**statement: Any) -> str:
    return _policy({"Principal": EVENTS, "Action": "sns:Publish", "Resource": "*", **statement})


def _key(principal: Any, action: str) -> str:
    return _policy({"Principal": principal, "Action": action, "Resource": "*"})


def _log_key(policy: str | None, suffix: str = "amazonaws.com") -> tuple[Any, ...]:
    return policy, GROUP, "eu-west-1", suffix


def _machine(**state: Any) -> str:
    return json.dumps({"QueryLanguage": "JSONata", "StartAt": "A", "States": {"A": {"Type": "Succeed", **state}}})


def _logging(without: str = "", resource: str = "*") -> Role:
    actions = ["CreateLogDelivery", "GetLogDelivery", "UpdateLogDelivery", "DeleteLogDelivery", "ListLogDeliveries"]
    actions += ["PutResourcePolicy", "DescribeResourcePolicies", "DescribeLogGroups"]
    allowed = [f"logs:{action}" for action in actions if f"logs:{action}" != without]
    return Role(ROLE, _trust(STATES), _policy({"Action": allowed, "Resource": resource}))


def _cases(table: Mapping[Callable[..., None], Mapping[str, tuple[Any, ...]]]) -> list[Any]:
    """Return a case for each entry, which holds the arguments of its check, and last the reason if it is refused."""
    return [
        pytest.param(check, arguments, id=f"{check.__name__}: {name}")
        for check, cases in table.items()
        for name, arguments in cases.items()
    ]


ACCEPTED: Mapping[Callable[..., None], Mapping[str, tuple[Any, ...]]] = {
    constraints.event_pattern: {
        "every operator": (
            _pattern(type=["a", {"prefix": "a"}], severity=[{"numeric": [">=", 4]}], id=[{"exists": True}]),
        ),
        "at the quota": (json.dumps({"source": ["a" * (2048 - len('{"source": [""]}'))]}),),
    },
    constraints.retention: {str(days): (days,) for days in (0, 1, 365, 3653)},
    constraints.log_group_key: {
        "exactly this group": _log_key(_policy(_logs())),
        "another suffix": _log_key(_policy(_logs("logs.eu-west-1.amazonaws.com.cn")), "amazonaws.com.cn"),
    },
    constraints.flow_log_role: {
        "this account": (_role(StringEquals={"aws:SourceAccount": ACCOUNT}), FLOW_LOG),
        "its flow logs": (
            _role(
                StringEquals={"aws:SourceAccount": [ACCOUNT, OTHER_ACCOUNT]},
                ArnLike={"aws:SourceArn": f"arn:aws:ec2:eu-west-1:{ACCOUNT}:vpc-flow-log/*"},
            ),
            FLOW_LOG,
        ),
    },
    constraints.machine_definition: {
        "one state": (_machine(),),
        "an expression": (_machine(Output="{% $states.input.detail %}"),),
    },
    constraints.machine_role: {
        "this account": (_role(STATES, StringEquals={"aws:SourceAccount": ACCOUNT}), MACHINE),
        "its machines": (_role(STATES, ArnLike={"aws:SourceArn": MACHINE.replace("-dev", "-*")}), MACHINE),
    },
    constraints.machine_log: {
        "exactly what is needed": (f"{GROUP}:*", _logging()),
        "everything": (f"{GROUP}:*", Role(ROLE, _trust(STATES), _policy({"Action": "logs:*", "Resource": "*"}))),
    },
    constraints.target_role: {"a topic": (f"arn:aws:sns:eu-west-1:{ACCOUNT}:t", None), "a role": (MACHINE, ROLE)},
    constraints.chat_role: {"chatbot": (_role("chatbot.amazonaws.com"),)},
    constraints.filter_policy: {
        "none": ("{}",),
        "a number": ('{"severity":[{"numeric":[">=",7]}]}',),
        "below": ('{"detail":{"type":[{"prefix":"Recon:"}]}}',),
    },
    constraints.policy_document: {
        "trust": (_trust(), "trust"),
        "key": (_key({"AWS": ROOT}, "kms:*"), "key"),
        "topic": (_publish(), "topic"),
        "queue": (_publish(Action="sqs:SendMessage"), "queue"),
        "an account id": (_publish(Principal={"AWS": ACCOUNT}), "topic"),
        "everyone": (_publish(Principal="*"), "topic"),
        "a service in China": (_trust("logs.cn-north-1.amazonaws.com.cn"), "trust"),
    },
    constraints.key_policy: {name: (_key({"AWS": name}, "kms:*"), ROOT) for name in (ROOT, ACCOUNT, "*")},
}
NO_KEY = "The specified KMS key does not exist or is not allowed to be used"
NOT_ASSUMED = "states.amazonaws.com, nor the regional one is authorized to assume the provided role"
NO_LOG = "The state machine IAM Role is not authorized to access the Log Destination"
NO_CHAT = "cannot be assumed by chatbot.amazonaws.com"
NO_ROLE = "Unable to assume given IAM role"
LOCKED_OUT = "will not allow you to update the key policy in the future"
REFUSED: Mapping[Callable[..., None], Mapping[str, tuple[Any, ...]]] = {
    constraints.event_pattern: {
        "longer than the quota": (json.dumps({"source": ["a" * 2048]}), "2,064 characters, the quota is 2,048"),
        "no json": ("{source:", "InvalidEventPatternException: .*Expecting property name"),
        "no object": ('["aws.guardduty"]', "the pattern: has no condition"),
        "empty": ("{}", "the pattern: has no condition"),
        "a misspelt operator": (_pattern(type=[{"prefx": "Recon:"}]), 'unknown operator: prefx "Recon:"'),
    },
    constraints.retention: {
        str(days): (days, f"{days} is not a retention in days, allowed are 0, 1, 3, 5") for days in (-1, 2, 366, 10_000)
    },
    constraints.log_group_key: {
        "no key": (*_log_key(None), NO_KEY),
        "its owner alone": (*_log_key(_key({"AWS": ROOT}, "kms:*")), NO_KEY),
        "another group": (*_log_key(_policy(_logs(group=f"{GROUP}-2"))), NO_KEY),
        "another suffix": (*_log_key(_policy(_logs("logs.eu-west-1.amazonaws.com.cn"))), NO_KEY),
        "denied elsewhere": (
            *_log_key(_policy(_logs(), {"Effect": "Deny", "Principal": "*", "Action": "kms:Encrypt", "Resource": "*"})),
            NO_KEY,
        ),
    },
    constraints.flow_log_role: {
        "no role": (None, FLOW_LOG, NO_ROLE),
        "another service": (_role("ec2.amazonaws.com"), FLOW_LOG, NO_ROLE),
        "another region": (
            _role(ArnLike={"aws:SourceArn": f"arn:aws:ec2:us-east-1:{ACCOUNT}:vpc-flow-log/*"}),
            *(FLOW_LOG, NO_ROLE),
        ),
        "another action": (Role(ROLE, _trust().replace("AssumeRole", "TagSession"), "{}"), FLOW_LOG, NO_ROLE),
    },
    constraints.machine_definition: {
        "no json": ("{", "InvalidDefinition: .*INVALID_JSON_DESCRIPTION"),
        "no target": (_machine(Type="Pass", Next="B"), "MISSING_TRANSITION_TARGET: Missing 'A' target: B"),
        "no expression": (_machine(Output="{% ( %}"), "The JSONata expression is not valid"),
    },
    constraints.machine_role: {
        "no role": (None, MACHINE, NOT_ASSUMED),
        "another service": (_role("events.amazonaws.com"), MACHINE, NOT_ASSUMED),
        "another account": (_role(STATES, StringEquals={"aws:SourceAccount": OTHER_ACCOUNT}), MACHINE, NOT_ASSUMED),
        "another machine": (_role(STATES, ArnLike={"aws:SourceArn": f"{MACHINE}-2"}), MACHINE, NOT_ASSUMED),
    },
    constraints.machine_log: {
        "the group, not its streams": (GROUP, _logging(), "Log destination must end with"),
        "one action less": (f"{GROUP}:*", _logging("logs:PutResourcePolicy"), NO_LOG),
        "one group only": (f"{GROUP}:*", _logging(resource=GROUP), NO_LOG),
        "no role": (f"{GROUP}:*", None, NO_LOG),
    },
    constraints.target_role: {"a machine": (MACHINE, None, f"RoleArn is required for target {MACHINE}")},
    constraints.chat_role: {
        "no role": (None, NO_CHAT),
        "another service": (_role("chat.amazonaws.com"), NO_CHAT),
    },
    constraints.filter_policy: {
        "no json": ("{", "InvalidParameter: Invalid parameter: FilterPolicy: Expecting property name"),
        "no object": ("[]", "FilterPolicy: not an object"),
        "no list": ('{"severity":7}', "FilterPolicy: severity: a condition is a list"),
        "a misspelt operator": ('{"severity":[{"numerc":[">=",7]}]}', "FilterPolicy: unknown operator"),
    },
    constraints.policy_document: {
        "no json": ("{", "trust", "MalformedPolicyDocument: .*Syntax errors in policy"),
        "an invented version": ('{"Version":"2024-01-01","Statement":[]}', "key", "MalformedPolicyDocumentException: "),
        "no action": (_policy({"Principal": "*", "Resource": "*"}), "topic", "Policy statement must contain actions"),
        "an unknown condition operator": (
            *(_publish(Condition={"ArnEqual": {"aws:SourceArn": RULE}}), "topic"),
            "Invalid parameter: Policy Error: null .Syntax errors in policy",
        ),
        "another service": (_publish(Action="sqs:*"), "topic", r"sqs:\* is not an action of sns"),
        "no resource": (
            *(_policy({"Principal": "*", "Action": "sqs:*"}), "queue"),
            "InvalidAttributeValue: .*Policy statement must contain resources",
        ),
        "no principal": (_policy({"Action": "sts:AssumeRole"}), "trust", "no Principal"),
        "no service": (_publish(Principal={"Service": "events"}), "topic", "Service events is not a principal"),
        "no account": (_publish(Principal={"AWS": "1234"}), "topic", "AWS 1234 is not a principal"),
        "an unresolved output": (
            *(_publish(Principal={"AWS": "arn:aws:iam::None:root"}), "topic"),
            "arn:aws:iam::None:root is not a principal",
        ),
    },
    constraints.key_policy: {
        "only to decrypt": (_key({"AWS": ROOT}, "kms:Decrypt"), ROOT, LOCKED_OUT),
        "another account": (_key({"AWS": f"arn:aws:iam::{OTHER_ACCOUNT}:root"}, "kms:*"), ROOT, LOCKED_OUT),
        "a service": (_key(EVENTS, "kms:*"), ROOT, LOCKED_OUT),
    },
}


@pytest.mark.parametrize(("check", "arguments"), _cases(ACCEPTED))
def test_what_aws_takes_is_accepted(check: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    check(*arguments)


@pytest.mark.parametrize(("check", "arguments"), _cases(REFUSED))
def test_what_aws_would_refuse_is_refused_in_its_words(check: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    *given, reason = arguments
    with pytest.raises(ConstraintError, match=reason):
        check(*given)
