"""What a policy document allows, as IAM evaluates it.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
Variables (`${...}`), `NotPrincipal` and managed policies are not evaluated; a statement that uses a condition operator
not listed in `CONDITION_OPERATORS` applies to nothing.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from threatmon.evaluation.iam_wildcards import arn_matches, matches


class Principal(NamedTuple):
    """Who makes a request: `kind` is the key of the Principal element (`Service` or `AWS`), `id` its value."""

    kind: str
    id: str


def _not(holds: Callable[[str, str], bool]) -> Callable[[str, str], bool]:
    return lambda wanted, actual: not holds(wanted, actual)


# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
CONDITION_OPERATORS: Mapping[str, Callable[[str, str], bool]] = {
    "StringEquals": lambda wanted, actual: wanted == actual,
    "StringNotEquals": lambda wanted, actual: wanted != actual,
    "StringEqualsIgnoreCase": lambda wanted, actual: wanted.lower() == actual.lower(),
    "StringLike": matches,
    "StringNotLike": _not(matches),
    "ArnEquals": arn_matches,
    "ArnLike": arn_matches,
    "ArnNotEquals": _not(arn_matches),
    "ArnNotLike": _not(arn_matches),
    "Bool": lambda wanted, actual: wanted.lower() == actual.lower(),
}


def allows(
    policy: str,
    action: str,
    resource: str,
    principal: Principal | None = None,
    context: Mapping[str, str] = MappingProxyType({}),
) -> bool:
    """Return whether a policy (JSON text) allows an action: a statement allows it, and none denies it.

    `principal` is None for an identity policy; `context` holds the request's condition keys.
    """
    return _effects(policy, action, resource, principal, context) == {"Allow"}


def denies(
    policy: str,
    action: str,
    resource: str,
    principal: Principal,
    context: Mapping[str, str] = MappingProxyType({}),
) -> bool:
    """Return whether a resource's policy (JSON text) denies an action, whatever else allows it."""
    return "Deny" in _effects(policy, action, resource, principal, context)


def _effects(
    policy: str, action: str, resource: str, principal: Principal | None, context: Mapping[str, str]
) -> set[str]:
    folded = {key.lower(): value for key, value in context.items()}
    found = statements(json.loads(policy))
    return {statement["Effect"] for statement in found if _applies(statement, action, resource, principal, folded)}


def may_publish(policy: str, rule_arn: str, action: str, resource_arn: str) -> bool:
    """Return whether a topic's or queue's policy lets EventBridge deliver for this rule.

    EventBridge accepts the target anyway; the delivery fails, and the event goes to the dead-letter queue or is lost:
    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-retry-policy.html
    """
    return allows(policy, action, resource_arn, Principal("Service", "events.amazonaws.com"), source(rule_arn))


def may_use_key(policy: str, service: str, account_id: str) -> bool:
    """Return whether a key's policy lets a service write to an account's topic or queue encrypted with the key.

    https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html
    """
    principal, context = Principal("Service", service), {"aws:SourceAccount": account_id}
    return all(allows(policy, action, "*", principal, context) for action in ("kms:Decrypt", "kms:GenerateDataKey"))


def may_encrypt_logs(policy: str, log_group_arn: str, service: str) -> bool:
    """Return whether a key's policy lets CloudWatch Logs (``logs.eu-west-1.amazonaws.com``) encrypt a log group.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/encrypt-log-data-kms.html
    """
    context = {"kms:EncryptionContext:aws:logs:arn": log_group_arn}
    needed = ("Encrypt", "Decrypt", "ReEncryptFrom", "ReEncryptTo", "GenerateDataKey", "DescribeKey")
    return all(allows(policy, f"kms:{action}", "*", Principal("Service", service), context) for action in needed)


def source(arn: str) -> Mapping[str, str]:
    """Return the condition keys of a request that a service makes for a resource."""
    return {"aws:SourceArn": arn, "aws:SourceAccount": arn.split(":")[4]}


def statements(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the statements of a document, which may hold a single one without a list."""
    return listed(document.get("Statement", []))


def listed(value: Any) -> list[Any]:
    """Return a policy element that may be one value or a list, as a list."""
    return value if isinstance(value, list) else [value]  # pyright: ignore[reportUnknownVariableType]


def _applies(
    statement: Mapping[str, Any], action: str, resource: str, principal: Principal | None, context: Mapping[str, str]
) -> bool:
    return (
        _selects(statement, "Action", action.lower(), str.lower)
        and (not {"Resource", "NotResource"} & statement.keys() or _selects(statement, "Resource", resource))
        and (principal is None or _names(statement.get("Principal", {}), principal))
        and all(_holds(*condition, context) for condition in conditions(statement))
    )


def _selects(statement: Mapping[str, Any], element: str, actual: str, fold: Callable[[str], str] = str) -> bool:
    inverted = f"Not{element}" in statement
    wanted = listed(statement.get(f"Not{element}" if inverted else element, []))
    return any(matches(fold(pattern), actual) for pattern in wanted) is not inverted


def _names(principals: Any, principal: Principal) -> bool:
    if principals == "*":
        return True
    named = listed(principals.get(principal.kind, []))
    account = re.fullmatch(r"arn:[^:]+:iam::(\d{12}):root", principal.id)
    return principal.id in named or "*" in named or (account is not None and account.group(1) in named)


def conditions(statement: Mapping[str, Any]) -> Iterator[tuple[str, str, list[str]]]:
    """Yield operator, key and values of each condition of a statement; keys and booleans in small letters."""
    for operator, keys in statement.get("Condition", {}).items():
        for key, wanted in keys.items():
            yield (
                operator,
                key.lower(),
                [str(value).lower() if isinstance(value, bool) else value for value in listed(wanted)],
            )


def _holds(operator: str, key: str, wanted: list[str], context: Mapping[str, str]) -> bool:
    if operator == "Null":
        return wanted == [str(key not in context).lower()]
    name = operator.removesuffix("IfExists").rpartition(":")[2]
    if key not in context:
        return operator.endswith("IfExists") or "Not" in name
    test = CONDITION_OPERATORS.get(name)
    # A negated operator holds only if it holds for every value.
    return test is not None and (all if "Not" in name else any)(test(value, context[key]) for value in wanted)
