"""The checks that AWS makes and moto does not, worded as AWS words them if its wording is known."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args

from threatmon.emulator.definitions import diagnostics
from threatmon.errors import ThreatmonError
from threatmon.evaluation.event_matcher import mismatch
from threatmon.evaluation.policy_evaluator import Principal, allows, listed, may_encrypt_logs, statements
from threatmon.evaluation.roles import Role
from threatmon.model.event_patterns import PATTERN_QUOTA
from threatmon.model.policies import LOG_DELIVERY
from threatmon.model.settings.sections import RetentionDays

PolicyKind = Literal["trust", "key", "topic", "queue"]

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


def retention(days: int) -> None:
    """Refuse a retention that CloudWatch Logs does not have; 0 is the provider's word for no policy."""
    allowed = (0, *get_args(RetentionDays))
    if days not in allowed:
        raise ConstraintError(
            f"InvalidParameterException: {days} is not a retention in days, allowed are {', '.join(map(str, allowed))}"
        )


def log_group_key(policy: str | None, log_group_arn: str, region: str, dns_suffix: str) -> None:
    """Refuse a key that CloudWatch Logs may not use for this log group. `policy` is None if there is no such key."""
    if policy is None or not may_encrypt_logs(policy, log_group_arn, f"logs.{region}.{dns_suffix}"):
        raise ConstraintError(
            "InvalidParameterException: The specified KMS key does not exist or is not allowed to be used "
            f"with Arn '{log_group_arn}'"
        )


def flow_log_role(role: Role | None, flow_log_arn: str) -> None:
    """Refuse a role that the account's flow logs may not assume; None if there is no such role.

    https://docs.aws.amazon.com/vpc/latest/userguide/flow-logs-iam-role.html
    """
    if role is None or not role.lets_in("vpc-flow-logs.amazonaws.com", flow_log_arn):
        raise ConstraintError("InvalidParameter: Unable to assume given IAM role")


def machine_definition(text: str) -> None:
    """Refuse what CreateStateMachine refuses of a definition."""
    found = diagnostics(text)
    if found:
        faults = ", ".join(f"{fault.code}: {fault.message} at {fault.location}" for fault in found)
        raise ConstraintError(f"InvalidDefinition: Invalid State Machine Definition: '{faults}'")


def machine_role(role: Role | None, machine_arn: str) -> None:
    """Refuse a role that Step Functions may not assume for this machine; None if there is no such role.

    https://docs.aws.amazon.com/step-functions/latest/dg/procedure-create-iam-role.html
    """
    if role is None or not role.lets_in("states.amazonaws.com", machine_arn):
        raise ConstraintError(
            "AccessDeniedException: Neither the global service principal states.amazonaws.com, nor the regional one is "
            "authorized to assume the provided role."
        )


def machine_log(destination: str, role: Role | None) -> None:
    """Refuse a log destination by its form, or if the role does not let Step Functions deliver logs."""
    if not destination.endswith(":*"):
        raise ConstraintError("InvalidLoggingConfiguration: Log destination must end with ':*'")
    if role is None or not all(role.allows(action, "*") for action in LOG_DELIVERY):
        raise ConstraintError(
            "AccessDeniedException: The state machine IAM Role is not authorized to access the Log Destination"
        )


def target_role(target_arn: str, role_arn: str | None) -> None:
    """Refuse a state machine as a target without a role: it has no policy of its own."""
    if ":states:" in target_arn and not role_arn:
        raise ConstraintError(f"ValidationException: RoleArn is required for target {target_arn}.")


def chat_role(role: Role | None) -> None:
    """Refuse a role that the chat service may not assume; None if there is no such role."""
    if role is None or not role.lets_in_anybody("chatbot.amazonaws.com"):
        raise ConstraintError("InvalidRequestException: The IAM role cannot be assumed by chatbot.amazonaws.com")


def filter_policy(text: str) -> None:
    """Refuse a subscription's filter policy that SNS refuses, or that the event matcher cannot judge."""
    try:
        policy = json.loads(text)
        if not isinstance(policy, dict):
            raise ConstraintError("InvalidParameter: Invalid parameter: FilterPolicy: not an object")
        if policy:
            mismatch(policy, {})
    except ValueError as error:
        raise ConstraintError(f"InvalidParameter: Invalid parameter: FilterPolicy: {error}") from None


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
