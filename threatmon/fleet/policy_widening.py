"""The policies of a stack that an update would widen, and what they would allow.

The comparison errs on the safe side: a permission is new unless a single earlier permission covers it. So nothing new
is missed; what only several statements together allowed before counts as new.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html
"""

import json
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any, Literal, NamedTuple

from threatmon.evaluation.iam_wildcards import arn_covers, covers
from threatmon.evaluation.policy_evaluator import conditions, listed, statements
from threatmon.fleet.changes import UNKNOWN, ResourceChange

Effect = Literal["Allow", "Deny"]

_ROLE = "aws:iam/role:Role"
_HELD_BY_A_ROLE = ("aws:iam/rolePolicy:RolePolicy", "aws:iam/rolePolicyAttachment:RolePolicyAttachment")
_FEW = 5

Holder = tuple[str, str]  # a type token and a logical name; or for all a role holds, the word role and its name


def widened_policies(changes: Sequence[ResourceChange]) -> Iterator[tuple[str, str]]:
    """Yield each resource by which somebody may do more than before, and what that is.

    What a role holds counts together, managed policies by their ARN: a policy that is added widens it, one that is
    only renamed does not. Left out are documents known only after deployment, a new resource's own policy, and the
    first policy of a role of this stack, which an interrupted update may have left without.
    """
    before: dict[Holder, set[str]] = defaultdict(set)
    after: dict[Holder, set[str]] = defaultdict(set)
    changed: dict[Holder, set[str]] = defaultdict(set)
    for change in changes:
        known = {key: change.old.get(key) if value == UNKNOWN else value for key, value in change.new.items()}
        old, new = set(_documents(change.old)), set(_documents(known))
        holder = _holder(change, known)
        before[holder] |= old
        after[holder] |= new
        if old != new:
            changed[holder].add(change.name)
    roles = {("role", inputs.get("name")) for role in changes if role.type == _ROLE for inputs in (role.old, role.new)}
    for holder, names in changed.items():
        is_elsewhere = holder[0] == "role" and holder not in roles
        texts = newly_allowed(before[holder], after[holder]) if before[holder] or is_elsewhere else ()
        if texts:
            more = [f"{len(texts) - _FEW} more"] if len(texts) > _FEW else []
            yield min(names), "; ".join([*texts[:_FEW], *more])


def _holder(change: ResourceChange, known: Mapping[str, Any]) -> Holder:
    """Return the holder of a policy: the role by its name, or else the resource itself."""
    role = known.get("role") or change.old.get("role")
    return ("role", role) if role and change.type in _HELD_BY_A_ROLE else (change.type, change.name)


def _documents(value: Any) -> Iterator[str]:
    """Yield the policy documents anywhere within inputs; a managed policy as a document that allows what it allows."""
    if isinstance(value, str):
        if '"Statement"' in value and _is_document(value):
            yield value
    elif isinstance(value, Mapping):
        for arn in [value.get("policyArn"), *(value.get("managedPolicyArns") or [])]:
            if arn:
                yield json.dumps({"Statement": [{"Effect": "Allow", "Action": f"what {arn} allows"}]})
        for entry in value.values():
            yield from _documents(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from _documents(entry)


def _is_document(text: str) -> bool:
    try:
        document = json.loads(text)
    except ValueError:
        return False
    return isinstance(document, dict) and "Statement" in document


# -- comparison -------------------------------------------------------------------------------------------------------


class _Element(NamedTuple):
    """One entry of an element of a statement, or all of them if its name begins with ``Not``."""

    name: str
    value: str


class _Condition(NamedTuple):
    operator: str
    key: str
    values: frozenset[str]


class _Permission(NamedTuple):
    """The smallest part of a statement: one action, by one principal, on one resource."""

    action: _Element
    principal: _Element
    resource: _Element
    conditions: frozenset[_Condition]


_EVERYONE = _Element("Principal", "*")


def newly_allowed(before: Collection[str], after: Collection[str]) -> tuple[str, ...]:
    """Return what policies (JSON texts) allow together that others did not, in words; empty if that is nothing.

    Something is allowed that was not, or no longer denied. An element that begins with ``Not`` is only known to stay
    within itself, an operator only within itself or with ``IfExists``.
    """
    allowed, still_denied = _permissions(before, "Allow"), _permissions(after, "Deny")
    return (
        *_in_words("allows", _uncovered(_permissions(after, "Allow"), allowed), allowed),
        *_in_words("no longer denies", _uncovered(_permissions(before, "Deny"), still_denied), still_denied),
    )


def _uncovered(permissions: set[_Permission], others: set[_Permission]) -> set[_Permission]:
    return {
        permission for permission in permissions - others if not any(_covers(other, permission) for other in others)
    }


def _permissions(policies: Iterable[str], effect: Effect) -> set[_Permission]:
    return {
        _Permission(*parts, _conditions(statement))
        for policy in policies
        for statement in statements(json.loads(policy))
        if statement["Effect"] == effect
        for parts in product(
            _elements(statement, "Action"),
            _principals(statement),
            _elements({"Resource": "*", **statement}, "Resource"),
        )
    }


def _elements(statement: Mapping[str, Any], name: str) -> list[_Element]:
    if f"Not{name}" in statement:
        return [_Element(f"Not{name}", ", ".join(sorted(listed(statement[f"Not{name}"]))))]
    return [_Element(name, value) for value in listed(statement.get(name, []))]


def _principals(statement: Mapping[str, Any]) -> list[_Element]:
    if "NotPrincipal" in statement:
        return [_Element("NotPrincipal", json.dumps(statement["NotPrincipal"], sort_keys=True))]
    named = statement.get("Principal", {"": ""})  # an identity's policy names none
    if named == "*":
        return [_EVERYONE]
    # An account is its root: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html
    return [
        _Element(kind, re.sub(r"^arn:[^:]+:iam::(\d{12}):root$", r"\1", value))
        for kind, values in named.items()
        for value in listed(values)
    ]


def _conditions(statement: Mapping[str, Any]) -> frozenset[_Condition]:
    return frozenset(
        _Condition(operator, key, frozenset(map(str, values))) for operator, key, values in conditions(statement)
    )


def _covers(one: _Permission, other: _Permission) -> bool:
    """Return whether the one applies whenever the other does."""
    return _covers_unconditionally(one, other) and all(
        any(_implies(given, condition) for given in other.conditions) for condition in one.conditions
    )


def _covers_unconditionally(one: _Permission, other: _Permission) -> bool:
    return (
        _selects(_lower(one.action), _lower(other.action))
        and _selects(one.resource, other.resource)
        and one.principal in (other.principal, _EVERYONE, _Element(other.principal.name, "*"))
    )


def _lower(action: _Element) -> _Element:
    return action._replace(value=action.value.lower())


def _selects(one: _Element, other: _Element) -> bool:
    if one == other or one in (_Element("Action", "*"), _Element("Resource", "*")):
        return True
    return one.name == other.name and not one.name.startswith("Not") and covers(one.value, other.value)


def _implies(given: _Condition, wanted: _Condition) -> bool:
    """Return whether every request that fulfils the one condition fulfils the other."""
    if given.key != wanted.key or given.operator not in (wanted.operator, wanted.operator.removesuffix("IfExists")):
        return False
    name = wanted.operator.removesuffix("IfExists").rpartition(":")[2]
    if name == "Null":
        return given == wanted
    within = arn_covers if name.startswith("Arn") else covers if name.endswith("Like") else str.__eq__
    # A negated operator excludes what it lists: to exclude more is to ask for more.
    listing, listed_by = (wanted.values, given.values) if "Not" in name else (given.values, wanted.values)
    return all(any(other == value or within(other, value) for other in listed_by) for value in listing)


def _in_words(verb: str, permissions: Iterable[_Permission], compared_to: Iterable[_Permission]) -> list[str]:
    """Return one text for all actions of the same principal (if the policy has principals) on the same resource."""
    actions: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for permission in permissions:
        subject = (
            f"for {_shown(permission.principal)}" if permission.principal.name else f"on {_shown(permission.resource)}"
        )
        loosened = any(_covers_unconditionally(other, permission) for other in compared_to)
        actions[subject, " under other conditions" if loosened else ""].add(_shown(permission.action))
    return [f"{verb} {', '.join(sorted(names))} {subject}{how}" for (subject, how), names in sorted(actions.items())]


def _shown(element: _Element) -> str:
    return f"all but {element.value}" if element.name.startswith("Not") else element.value
