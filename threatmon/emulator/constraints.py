"""The checks that AWS makes and moto does not, worded as AWS words them if its wording is known."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args

from threatmon.errors import ThreatmonError
from threatmon.evaluation.event_matcher import mismatch
from threatmon.evaluation.policy_evaluator import Principal, allows, listed, source, statements
from threatmon.model.email import TEMPLATE_QUOTA
from threatmon.model.event_patterns import PATTERN_QUOTA
from threatmon.model.settings.sections import RetentionDays

PolicyKind = Literal["trust", "key", "topic", "queue"]

# https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_InputTransformer.html
_INPUT_PATHS = 100
_JSON_PATH = re.compile(r"\$(\.[A-Za-z0-9_-]+(\[\d+\])*)*")
_VARIABLE = re.compile(r"<([^<>]+)>")
_PRINCIPALS: Mapping[str, re.Pattern[str]] = {
    "Service": re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*\.amazonaws\.com(\.cn)?"),
    "AWS": re.compile(r"\*|\d{12}|arn:aws[a-z-]*:(iam|sts)::\d{12}:.+"),
}
# The service of a policy's actions, and what AWS says of a policy that it refuses.
_POLICIES: Mapping[PolicyKind, tuple[str, str]] = {
    "trust": ("sts", "MalformedPolicyDocument: Syntax errors in policy."),
    "key": ("kms", "MalformedPolicyDocumentException: The key policy is not valid."),
    "topic": ("sns", "InvalidParameter: Invalid parameter: Policy Error: null"),
    "queue": ("sqs", "InvalidAttributeValue: Invalid value for the parameter Policy."),
}


class ConstraintError(ThreatmonError):
    """Says what AWS would refuse, and how AWS says so."""


def event_pattern(text: str) -> None:
    """Refuse an event pattern that is too long, or that the event matcher cannot judge."""
    if len(text) > PATTERN_QUOTA:
        raise ConstraintError(
            f"ValidationException: the event pattern has {len(text):,} characters, the quota is {PATTERN_QUOTA:,}"
        )
    try:
        mismatch(json.loads(text), {})
    except ValueError as error:
        raise ConstraintError(f"InvalidEventPatternException: Event pattern is not valid. Reason: {error}") from None


def input_transformer(target_id: str, paths: Mapping[str, str], template: str) -> None:
    """Refuse an input transformer by its sizes, paths and variables, or if the message would not be JSON.

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
    if len(paths) > _INPUT_PATHS:
        yield f"InputPathsMap for target {target_id} has {len(paths)} entries, allowed are {_INPUT_PATHS}"
    for name, path in paths.items():
        if name.startswith("AWS"):
            yield f"InputPathsMap for target {target_id} has the key {name}; keys may not start with AWS"
        if not _JSON_PATH.fullmatch(path):
            yield f"Invalid InputPath for target {target_id}: {name} is not a JSON path in dot notation: {path}"
    for name in _VARIABLE.findall(template):
        if name not in paths:
            yield f"InputTemplate for target {target_id} contains invalid placeholder {name}."
    for line in _lines_not_json(template):
        yield f"Invalid InputTemplate for target {target_id}: not a JSON string: {line}"


def _lines_not_json(template: str) -> list[str]:
    """Return the lines that break a template: it is JSON as a whole, or one JSON string a line."""
    # A number is a JSON value outside a string, and text inside one.
    filled = _VARIABLE.sub("0", template)
    if _parsed(filled) is not None:
        return []
    return [line for line in filled.splitlines() if line.strip() and not isinstance(_parsed(line), str)]


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def retention(days: int) -> None:
    """Refuse a retention that CloudWatch Logs does not have; 0 is the provider's word for no policy."""
    allowed = (0, *get_args(RetentionDays))
    if days not in allowed:
        raise ConstraintError(
            f"InvalidParameterException: {days} is not a retention in days, allowed are {', '.join(map(str, allowed))}"
        )


def log_group_key(policy: str | None, log_group_arn: str, region: str, dns_suffix: str) -> None:
    """Refuse a key that CloudWatch Logs may not use for this log group. `policy` is None if there is no such key.

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


def flow_log_role(trust: str | None, flow_log_arn: str) -> None:
    """Refuse a role that the account's flow logs may not assume. `trust` is None if there is no such role.

    https://docs.aws.amazon.com/vpc/latest/userguide/flow-logs-iam-role.html
    """
    service = Principal("Service", "vpc-flow-logs.amazonaws.com")
    if trust is None or not allows(trust, "sts:AssumeRole", "*", service, source(flow_log_arn)):
        raise ConstraintError("InvalidParameter: Unable to assume given IAM role")


def policy_document(text: str, kind: PolicyKind) -> None:
    """Refuse a policy by its form, as moto does for IAM's own, and by its principals and actions.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html
    """
    service, refusal = _POLICIES[kind]
    for fault in _policy_faults(text, service):
        raise ConstraintError(f"{refusal} ({fault})")


def key_policy(text: str, account_root: str) -> None:
    """Refuse a key's policy by its form, or if the account could not change it afterwards.

    https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-default.html
    """
    policy_document(text, "key")
    if not allows(text, "kms:PutKeyPolicy", "*", Principal("AWS", account_root)):
        raise ConstraintError(
            "MalformedPolicyDocumentException: The new key policy will not allow you to update the key policy "
            "in the future."
        )


def _policy_faults(text: str, service: str) -> Iterator[str]:
    # moto takes a fifth of a second to import.
    from moto.iam.exceptions import MalformedPolicyDocument  # noqa: PLC0415
    from moto.iam.policy_validation import BaseIAMPolicyValidator  # noqa: PLC0415

    try:
        BaseIAMPolicyValidator(text).validate()
    except MalformedPolicyDocument as error:
        yield str(error.message)
        return
    for statement in statements(json.loads(text)):
        for action in listed(statement.get("Action", statement.get("NotAction"))):
            if action != "*" and action.partition(":")[0].lower() != service:
                yield f"{action} is not an action of {service}"
        if service != "sts" and not {"Resource", "NotResource"} & statement.keys():
            yield "Policy statement must contain resources."
        yield from _principal_faults(statement.get("Principal", statement.get("NotPrincipal")))


def _principal_faults(principals: Any) -> Iterator[str]:
    if principals == "*":
        return
    if not isinstance(principals, dict) or not principals:
        yield "no Principal"
        return
    for kind, named in principals.items():
        for principal in listed(named):
            if kind not in _PRINCIPALS or not _PRINCIPALS[kind].fullmatch(principal):
                yield f"{kind} {principal} is not a principal"
