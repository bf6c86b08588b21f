"""Each check that AWS makes: what passes, and what is refused with which words."""

import json
from typing import Any

import pytest
from examples import ACCOUNT

from threatmon.emulator import constraints
from threatmon.emulator.constraints import ConstraintError, PolicyKind

ROOT = f"arn:aws:iam::{ACCOUNT}:root"
GROUP = f"arn:aws:logs:eu-west-1:{ACCOUNT}:log-group:/threat-monitor/dev/flow-logs"
RULE = f"arn:aws:events:eu-west-1:{ACCOUNT}:rule/high"
TOPIC = f"arn:aws:sns:eu-west-1:{ACCOUNT}:alerts"
QUEUE = f"arn:aws:sqs:eu-west-1:{ACCOUNT}:lost"
FLOW_LOG = f"arn:aws:ec2:eu-west-1:{ACCOUNT}:vpc-flow-log/fl-0123456789abcdef0"
EVENTS = {"Service": "events.amazonaws.com"}


def _policy(*statements: dict[str, Any]) -> str:
    return json.dumps(
        {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement} for statement in statements]}
    )


def _pattern(**detail: Any) -> str:
    return json.dumps({"source": ["aws.guardduty"], "detail": detail})


# Event pattern

GOOD_PATTERNS = {
    "of every operator": _pattern(
        type=["a", {"prefix": "a"}], severity=[{"numeric": [">=", 4]}], id=[{"exists": True}]
    ),
    "at the quota": json.dumps({"source": ["a" * (2048 - len('{"source": [""]}'))]}),
}
BAD_PATTERNS = {
    "longer than the quota": (json.dumps({"source": ["a" * 2048]}), "2,064 characters, the quota is 2,048"),
    "no json": ("{source:", "InvalidEventPatternException: .*Expecting property name"),
    "no object": ('["aws.guardduty"]', "the pattern: has no condition"),
    "empty": ("{}", "the pattern: has no condition"),
    "a misspelt operator": (_pattern(type=[{"prefx": "Recon:"}]), 'unknown operator: prefx "Recon:"'),
}


@pytest.mark.parametrize("pattern", GOOD_PATTERNS.values(), ids=GOOD_PATTERNS)
def test_an_event_pattern_is_accepted(pattern: str) -> None:
    constraints.event_pattern(pattern)


@pytest.mark.parametrize(("pattern", "reason"), BAD_PATTERNS.values(), ids=BAD_PATTERNS)
def test_an_event_pattern_is_refused(pattern: str, reason: str) -> None:
    with pytest.raises(ConstraintError, match=reason):
        constraints.event_pattern(pattern)


# Input transformer

PATHS = {"type": "$.detail.type", "eni": "$.detail.resource.instanceDetails.networkInterfaces[0].networkInterfaceId"}
GOOD_TRANSFORMERS = {
    "one line": (PATHS, '"<type> at <eni>"'),
    "lines": (PATHS, '"<type>"\n"at <eni>"\n\n"end"'),
    "an object": (PATHS, '{"type": "<type>", "eni": <eni>}'),
    "at both quotas": ({f"p{n}": "$.id" for n in range(100)}, '"' + "a" * 8190 + '"'),
}
BAD_TRANSFORMERS = {
    "too long": ({}, '"' + "a" * 8191 + '"', "8,193 characters, allowed are 1 to 8,192"),
    "empty": ({}, "", "0 characters, allowed are 1 to 8,192"),
    "too many paths": ({f"p{n}": "$.id" for n in range(101)}, '"text"', "101 entries, allowed are 100"),
    "a key of AWS": ({"AWSType": "$.detail.type"}, '"<AWSType>"', "keys may not start with AWS"),
    "no root": ({"type": "detail.type"}, '"<type>"', "dot notation: detail.type"),
    "no path": (PATHS, '"<typ>"', "target mail contains invalid placeholder typ."),
    "a line without quotes": (PATHS, '"<type>"\nat <eni>', "not a JSON string: at 0"),
    "an unescaped quote": (PATHS, '"say "<type>""', "not a JSON string"),
}


@pytest.mark.parametrize(("paths", "template"), GOOD_TRANSFORMERS.values(), ids=GOOD_TRANSFORMERS)
def test_an_input_transformer_is_accepted(paths: dict[str, str], template: str) -> None:
    constraints.input_transformer("mail", paths, template)


@pytest.mark.parametrize(("paths", "template", "reason"), BAD_TRANSFORMERS.values(), ids=BAD_TRANSFORMERS)
def test_an_input_transformer_is_refused(paths: dict[str, str], template: str, reason: str) -> None:
    with pytest.raises(ConstraintError, match=reason):
        constraints.input_transformer("mail", paths, template)


# Log group


@pytest.mark.parametrize("days", [0, 1, 365, 3653])
def test_a_retention_is_accepted(days: int) -> None:
    constraints.retention(days)


@pytest.mark.parametrize("days", [-1, 2, 366, 10_000])
def test_a_retention_is_refused(days: int) -> None:
    with pytest.raises(ConstraintError, match=f"{days} is not a retention in days, allowed are 0, 1, 3, 5"):
        constraints.retention(days)


def _logs_statement(service: str = "logs.eu-west-1.amazonaws.com", **condition: Any) -> dict[str, Any]:
    return {
        "Principal": {"Service": service},
        "Action": ["kms:Encrypt*", "kms:Decrypt*", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:Describe*"],
        "Resource": "*",
        "Condition": condition or {"ArnEquals": {"kms:EncryptionContext:aws:logs:arn": GROUP}},
    }


GOOD_LOG_KEYS = {
    "exactly this group": (_policy(_logs_statement()), "amazonaws.com"),
    "another suffix": (_policy(_logs_statement("logs.eu-west-1.amazonaws.com.cn")), "amazonaws.com.cn"),
}
BAD_LOG_KEYS = {
    "no key": None,
    "its owner alone": _policy({"Principal": {"AWS": ROOT}, "Action": "kms:*", "Resource": "*"}),
    "another group": _policy(_logs_statement(ArnEquals={"kms:EncryptionContext:aws:logs:arn": f"{GROUP}-2"})),
    "another suffix": _policy(_logs_statement("logs.eu-west-1.amazonaws.com.cn")),
    "denied elsewhere": _policy(
        _logs_statement(), {"Effect": "Deny", "Principal": "*", "Action": "kms:Encrypt", "Resource": "*"}
    ),
}


@pytest.mark.parametrize(("policy", "suffix"), GOOD_LOG_KEYS.values(), ids=GOOD_LOG_KEYS)
def test_a_key_of_a_log_group_is_accepted(policy: str, suffix: str) -> None:
    constraints.log_group_key(policy, GROUP, "eu-west-1", suffix)


@pytest.mark.parametrize("policy", BAD_LOG_KEYS.values(), ids=BAD_LOG_KEYS)
def test_a_key_of_a_log_group_is_refused(policy: str | None) -> None:
    with pytest.raises(ConstraintError, match="The specified KMS key does not exist or is not allowed to be used"):
        constraints.log_group_key(policy, GROUP, "eu-west-1", "amazonaws.com")


# Flow log


def _trust(service: str = "vpc-flow-logs.amazonaws.com", **condition: Any) -> str:
    return _policy({"Principal": {"Service": service}, "Action": "sts:AssumeRole", "Condition": condition})


GOOD_TRUSTS = {
    "this account": _trust(StringEquals={"aws:SourceAccount": ACCOUNT}),
    "its flow logs": _trust(
        StringEquals={"aws:SourceAccount": [ACCOUNT, "444455556666"]},
        ArnLike={"aws:SourceArn": f"arn:aws:ec2:eu-west-1:{ACCOUNT}:vpc-flow-log/*"},
    ),
}
BAD_TRUSTS = {
    "no role": None,
    "another service": _trust("ec2.amazonaws.com"),
    "another region": _trust(ArnLike={"aws:SourceArn": f"arn:aws:ec2:us-east-1:{ACCOUNT}:vpc-flow-log/*"}),
    "another action": _policy({"Principal": {"Service": "vpc-flow-logs.amazonaws.com"}, "Action": "sts:TagSession"}),
}


@pytest.mark.parametrize("trust", GOOD_TRUSTS.values(), ids=GOOD_TRUSTS)
def test_a_role_of_a_flow_log_is_accepted(trust: str) -> None:
    constraints.flow_log_role(trust, FLOW_LOG)


@pytest.mark.parametrize("trust", BAD_TRUSTS.values(), ids=BAD_TRUSTS)
def test_a_role_of_a_flow_log_is_refused(trust: str | None) -> None:
    with pytest.raises(ConstraintError, match="Unable to assume given IAM role"):
        constraints.flow_log_role(trust, FLOW_LOG)


# Policy documents


def _publish(**statement: Any) -> str:
    return _policy({"Principal": EVENTS, "Action": "sns:Publish", "Resource": TOPIC, **statement})


GOOD_DOCUMENTS: dict[str, tuple[PolicyKind, str]] = {
    "trust": ("trust", _trust()),
    "key": ("key", _policy({"Principal": {"AWS": ROOT}, "Action": "kms:*", "Resource": "*"})),
    "topic": ("topic", _publish()),
    "queue": ("queue", _policy({"Principal": EVENTS, "Action": "sqs:SendMessage", "Resource": QUEUE})),
    "an account id": ("topic", _publish(Principal={"AWS": ACCOUNT})),
    "everyone": ("topic", _publish(Principal="*")),
    "a service in China": ("trust", _trust("logs.cn-north-1.amazonaws.com.cn")),
}
BAD_DOCUMENTS: dict[str, tuple[PolicyKind, str, str]] = {
    "no json": ("trust", "{", "MalformedPolicyDocument: .*Syntax errors in policy"),
    "an invented version": ("key", '{"Version":"2024-01-01","Statement":[]}', "MalformedPolicyDocumentException: "),
    "no action": ("topic", _policy({"Principal": "*", "Resource": "*"}), "Policy statement must contain actions"),
    "an unknown condition operator": (
        "topic",
        _publish(Condition={"ArnEqual": {"aws:SourceArn": RULE}}),
        "Invalid parameter: Policy Error: null .Syntax errors in policy",
    ),
    "an action of another service": (
        "topic",
        _publish(Action="sqs:SendMessage"),
        "sqs:SendMessage is not an action of sns",
    ),
    "no resource": (
        "queue",
        _policy({"Principal": "*", "Action": "sqs:*"}),
        "InvalidAttributeValue: .*Policy statement must contain resources",
    ),
    "no principal": ("trust", _policy({"Action": "sts:AssumeRole"}), "no Principal"),
    "a service that is none": ("topic", _publish(Principal={"Service": "events"}), "Service events is not a principal"),
    "an account that is none": ("topic", _publish(Principal={"AWS": "1234"}), "AWS 1234 is not a principal"),
    "an unresolved output": (
        "topic",
        _publish(Principal={"AWS": "arn:aws:iam::None:root"}),
        "arn:aws:iam::None:root is not a principal",
    ),
}


@pytest.mark.parametrize(("kind", "document"), GOOD_DOCUMENTS.values(), ids=GOOD_DOCUMENTS)
def test_a_policy_document_is_accepted(kind: PolicyKind, document: str) -> None:
    constraints.policy_document(document, kind)


@pytest.mark.parametrize(("kind", "document", "reason"), BAD_DOCUMENTS.values(), ids=BAD_DOCUMENTS)
def test_a_policy_document_is_refused(kind: PolicyKind, document: str, reason: str) -> None:
    with pytest.raises(ConstraintError, match=reason):
        constraints.policy_document(document, kind)


@pytest.mark.parametrize("principal", [{"AWS": ROOT}, {"AWS": ACCOUNT}, {"AWS": "*"}])
def test_a_key_policy_that_its_account_can_change_is_accepted(principal: dict[str, str]) -> None:
    constraints.key_policy(_policy({"Principal": principal, "Action": "kms:*", "Resource": "*"}), ROOT)


@pytest.mark.parametrize(
    "statement",
    [
        {"Principal": {"AWS": ROOT}, "Action": "kms:Decrypt"},
        {"Principal": {"AWS": "arn:aws:iam::444455556666:root"}, "Action": "kms:*"},
        {"Principal": EVENTS, "Action": "kms:*"},
    ],
)
def test_a_key_policy_that_locks_its_account_out_is_refused(statement: dict[str, Any]) -> None:
    with pytest.raises(ConstraintError, match="will not allow you to update the key policy in the future"):
        constraints.key_policy(_policy({**statement, "Resource": "*"}), ROOT)
