"""The checks AWS makes and moto does not, worded as AWS words them where its wording is known."""

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Literal

from threatmon.errors import ThreatmonError
from threatmon.event_patterns import PATTERN_QUOTA
from threatmon.messages import TEMPLATE_QUOTA
from threatmon.policy_evaluation import CONDITION_OPERATORS, Principal, allows, listed, source, statements

# https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_InputTransformer.html
INPUT_PATHS = 100
# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html; 0 is the
# provider's word for no policy.
RETENTION_DAYS = frozenset(
    [0, 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653]
)
# https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html
PATTERN_OPERATORS = frozenset(
    ["prefix", "suffix", "equals-ignore-case", "anything-but", "numeric", "cidr", "exists", "wildcard"]
)
# https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-transform-target-input.html
RESERVED_VARIABLES = frozenset(
    [
        "aws.events.rule-arn",
        "aws.events.rule-name",
        "aws.events.event.ingestion-time",
        "aws.events.event",
        "aws.events.event.json",
    ]
)

# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
_OPERATORS = CONDITION_OPERATORS.keys() | {
    *(
        f"{kind}{comparison}"
        for kind in ("Numeric", "Date")
        for comparison in (
            "Equals",
            "NotEquals",
            "LessThan",
            "LessThanEquals",
            "GreaterThan",
            "GreaterThanEquals",
        )
    ),
    *("StringNotEqualsIgnoreCase", "BinaryEquals", "IpAddress", "NotIpAddress", "Null"),
}

PolicyKind = Literal["identity", "trust", "key", "topic", "queue"]

_JSON_PATH = re.compile(r"\$(\.[A-Za-z0-9_-]+(\[\d+\])*)*")
_PLACEHOLDER = re.compile(r"<([^<>]+)>")
_SERVICE_PRINCIPAL = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*\.amazonaws\.com(\.cn)?")
_AWS_PRINCIPAL = re.compile(r"\*|\d{12}|arn:aws[a-z-]*:(iam|sts)::\d{12}:.+")
_POLICY_ERRORS: Mapping[PolicyKind, str] = {
    "identity": "MalformedPolicyDocument: Syntax errors in policy.",
    "trust": "MalformedPolicyDocument: Syntax errors in policy.",
    "key": "MalformedPolicyDocumentException: The key policy is not valid.",
    "topic": "InvalidParameter: Invalid parameter: Policy Error: null",
    "queue": "InvalidAttributeValue: Invalid value for the parameter Policy.",
}
_ACTION_SERVICES: Mapping[PolicyKind, str] = {"trust": "sts", "key": "kms", "topic": "sns", "queue": "sqs"}


class ConstraintError(ThreatmonError):
    """AWS would refuse this."""


def first_detector(existing: Collection[str]) -> None:
    """One detector per account and region: https://docs.aws.amazon.com/guardduty/latest/ug/guardduty_limits.html"""
    if existing:
        raise ConstraintError(
            "BadRequestException: The request is rejected because a detector already exists for the current account."
        )


def event_pattern(text: str) -> None:
    """A rule's event pattern: length, JSON, and operators EventBridge knows."""
    if len(text) > PATTERN_QUOTA:
        raise ConstraintError(
            f"ValidationException: the event pattern has {len(text):,} characters, the quota is {PATTERN_QUOTA:,}"
        )
    for fault in _pattern_faults(_parsed(text)):
        raise ConstraintError(f"InvalidEventPatternException: Event pattern is not valid. Reason: {fault}")


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _pattern_faults(pattern: Any) -> Iterator[str]:
    if not isinstance(pattern, dict):
        yield "Invalid JSON"
    elif not pattern:
        yield "Empty objects are not allowed"
    else:
        yield from _condition_faults(pattern)


def _condition_faults(pattern: Mapping[str, Any]) -> Iterator[str]:
    for key, value in pattern.items():
        if key == "$or":
            for alternative in listed(value):
                yield from _pattern_faults(alternative)
        elif isinstance(value, dict):
            yield from _pattern_faults(value)
        elif not isinstance(value, list):
            yield f'"{key}" must be an object or an array'
        elif not value:
            yield "Empty arrays are not allowed"
        else:
            yield from (fault for entry in listed(value) for fault in _entry_faults(entry))


def _entry_faults(entry: Any) -> Iterator[str]:
    if isinstance(entry, list):
        yield "Nested arrays are not allowed"
    elif isinstance(entry, dict):
        operators = listed(list(entry))
        if len(operators) != 1:
            yield "Only one key allowed in match expression"
        yield from (f"Unrecognized match type {name}" for name in operators if name not in PATTERN_OPERATORS)
        numeric: Any = entry.get("numeric")
        if numeric is not None and not _is_numeric_range(numeric):
            yield "Value of numeric must be an array of comparisons and numbers"


def _is_numeric_range(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(listed(value)) in (2, 4)
        and all(sign in ("=", "<", "<=", ">", ">=") for sign in listed(value)[::2])
        and all(isinstance(bound, int | float) for bound in listed(value)[1::2])
    )


def input_transformer(target_id: str, paths: Mapping[str, str], template: str) -> None:
    """A target's input transformer: sizes, paths, variables, and a template that stays JSON once filled in.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-transform-target-input.html
    """
    for fault in _transformer_faults(target_id, paths, template):
        raise ConstraintError(f"ValidationException: {fault}")


def _transformer_faults(target_id: str, paths: Mapping[str, str], template: str) -> Iterator[str]:
    if not 1 <= len(template) <= TEMPLATE_QUOTA:
        yield (
            f"InputTemplate for target {target_id} has {len(template):,} characters, "
            f"allowed are 1 to {TEMPLATE_QUOTA:,}"
        )
    if len(paths) > INPUT_PATHS:
        yield f"InputPathsMap for target {target_id} has {len(paths)} entries, allowed are {INPUT_PATHS}"
    for name, path in paths.items():
        if name.startswith("AWS"):
            yield f"InputPathsMap for target {target_id} has the key {name}; keys may not start with AWS"
        if not _JSON_PATH.fullmatch(path):
            yield f"Invalid InputPath for target {target_id}: {name} is not a JSON path in dot notation: {path}"
    for name in _PLACEHOLDER.findall(template):
        if name not in paths and name not in RESERVED_VARIABLES:
            yield f"InputTemplate for target {target_id} contains invalid placeholder {name}."
    for line in _lines_not_json(template):
        yield f"Invalid InputTemplate for target {target_id}: not a JSON string: {line}"


def _lines_not_json(template: str) -> Iterator[str]:
    """The lines that break a template: it is JSON as a whole, or JSON strings line by line."""
    # A number is a JSON value where a variable stands alone, and text where it stands in a string.
    filled = _PLACEHOLDER.sub("0", template)
    if not _is_json(filled):
        yield from (line for line in filled.splitlines() if line.strip() and not isinstance(_parsed(line), str))


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def retention(days: int) -> None:
    """A retention CloudWatch Logs accepts."""
    if days not in RETENTION_DAYS:
        raise ConstraintError(
            f"InvalidParameterException: {days} is not a retention in days, allowed are "
            + ", ".join(map(str, sorted(RETENTION_DAYS)))
        )


def log_group_key(policy: str | None, log_group_arn: str, region: str, dns_suffix: str) -> None:
    """The key of a log group: CloudWatch Logs must be let use it for exactly this group. `policy` None: no such key.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/encrypt-log-data-kms.html
    """
    service = Principal("Service", f"logs.{region}.{dns_suffix}")
    context = {"kms:EncryptionContext:aws:logs:arn": log_group_arn}
    needed = ("Encrypt", "Decrypt", "ReEncryptFrom", "ReEncryptTo", "GenerateDataKey", "DescribeKey")
    if policy is None or not all(allows(policy, f"kms:{action}", "*", service, context) for action in needed):
        raise ConstraintError(
            "InvalidParameterException: The specified KMS key does not exist or is not allowed to be used "
            f"with Arn '{log_group_arn}'"
        )


def flow_log(traffic_type: str | None, aggregation_seconds: int, resource_ids: Sequence[str]) -> None:
    """A flow log's traffic type, its aggregation interval, and the one resource it records.

    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateFlowLogs.html
    """
    if traffic_type not in ("ACCEPT", "REJECT", "ALL"):
        raise ConstraintError(f"InvalidParameter: {traffic_type} is not a traffic type (ACCEPT, REJECT or ALL)")
    if aggregation_seconds not in (60, 600):
        raise ConstraintError(
            f"InvalidParameter: Flow Log Max Aggregation Interval must be 60 or 600 seconds, not {aggregation_seconds}"
        )
    if len(resource_ids) != 1:
        raise ConstraintError(
            "InvalidParameter: one of subnetId, vpcId and eniId must be specified, "
            f"not {' and '.join(resource_ids) or 'none'}"
        )


def flow_log_is_new(configuration: Mapping[str, Any], existing: Sequence[Mapping[str, Any]]) -> None:
    """No flow log twice: AWS compares the whole configuration, as API parameters."""
    if configuration in existing:
        raise ConstraintError(
            "FlowLogAlreadyExists: Error. There is an existing Flow Log with the same configuration "
            "and log destination."
        )


def flow_log_role(trust: str | None, source_arn: str) -> None:
    """The role of a flow log, by its trust policy; None: no such role. `source_arn` is a flow log of the account.

    https://docs.aws.amazon.com/vpc/latest/userguide/flow-logs-iam-role.html
    """
    service = Principal("Service", "vpc-flow-logs.amazonaws.com")
    if trust is None or not allows(trust, "sts:AssumeRole", "*", service, source(source_arn)):
        raise ConstraintError("InvalidParameter: Unable to assume given IAM role")


def policy_document(text: str, kind: PolicyKind) -> None:
    """A policy document by its form.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html
    """
    for fault in _policy_faults(_parsed(text), kind):
        raise ConstraintError(f"{_POLICY_ERRORS[kind]} ({fault})")


def key_policy(text: str, account_root: str) -> None:
    """A key's policy: its form, and that the account can still change it afterwards.

    https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-default.html
    """
    policy_document(text, "key")
    if not allows(text, "kms:PutKeyPolicy", "*", Principal("AWS", account_root)):
        raise ConstraintError(
            "MalformedPolicyDocumentException: The new key policy will not allow you to update the key policy "
            "in the future."
        )


def _policy_faults(document: Any, kind: PolicyKind) -> Iterator[str]:
    if not isinstance(document, dict):
        yield "not a JSON object"
        return
    if document.get("Version") not in ("2012-10-17", "2008-10-17"):
        yield f"Version is {document.get('Version')}, expected 2012-10-17"
    found = statements(document)
    if not found:
        yield "no Statement"
    for number, statement in enumerate(found):
        yield from (f"Statement[{number}]: {fault}" for fault in _statement_faults(statement, kind))


def _statement_faults(statement: Mapping[str, Any], kind: PolicyKind) -> Iterator[str]:
    if statement.get("Effect") not in ("Allow", "Deny"):
        yield f"Effect is {statement.get('Effect')}, expected Allow or Deny"
    actions = listed(statement.get("Action", statement.get("NotAction", [])))
    if not actions:
        yield "no Action"
    service = _ACTION_SERVICES.get(kind, "")
    for action in actions:
        if action != "*" and not re.fullmatch(rf"{service or '[a-z0-9-]+'}:[A-Za-z*?]+", action, re.IGNORECASE):
            yield f"{action} is not an action{f' of {service}' if service else ''}"
    if kind != "trust" and not {"Resource", "NotResource"} & statement.keys():
        yield "no Resource"
    if kind == "identity" and {"Principal", "NotPrincipal"} & statement.keys():
        yield "an identity policy has no Principal"
    elif kind != "identity":
        yield from _principal_faults(statement.get("Principal", statement.get("NotPrincipal")))
    for operator in statement.get("Condition", {}):
        if operator.removesuffix("IfExists").rpartition(":")[2] not in _OPERATORS:
            yield f"{operator} is not a known condition operator"


def _principal_faults(principals: Any) -> Iterator[str]:
    if principals == "*":
        return
    if not isinstance(principals, dict) or not principals:
        yield "no Principal"
        return
    forms = {"Service": _SERVICE_PRINCIPAL, "AWS": _AWS_PRINCIPAL}
    for kind, named in principals.items():
        for principal in listed(named):
            if kind not in forms or not forms[kind].fullmatch(principal):
                yield f"{kind} {principal} is not a principal"
