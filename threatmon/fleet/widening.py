"""What a policy allows that it did not allow before.

A comparison of statements that errs on the safe side: a grant is new unless one grant of before covers it. So nothing
new is missed; now and then something is called new that several statements together allowed already.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html
"""

import json
import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from functools import cache
from itertools import product
from typing import Any, Literal, NamedTuple

from threatmon.evaluation.policy_evaluator import listed, statements

Effect = Literal["Allow", "Deny"]


class _Element(NamedTuple):
    """One entry of an element of a statement, or all of them where its name begins with ``Not``."""

    name: str
    value: str


class _Condition(NamedTuple):
    operator: str
    key: str
    values: frozenset[str]


class _Grant(NamedTuple):
    """The smallest part of a statement: one action, by one principal, on one resource."""

    action: _Element
    principal: _Element
    resource: _Element
    conditions: frozenset[_Condition]


_EVERYONE = _Element("Principal", "*")


@cache
def widened(before: frozenset[str], after: frozenset[str]) -> tuple[str, ...]:
    """What policies (JSON texts) allow together that others did not, in words; empty where that is nothing.

    Something is allowed that was not, or no longer denied. An element that begins with ``Not`` is only known to stay
    within itself, an operator only within itself or with ``IfExists``.
    """
    allowed, denied = _grants(before, "Allow"), _grants(before, "Deny")
    newly = {it for it in _grants(after, "Allow") - allowed if not any(_covers(other, it) for other in allowed)}
    still_denied = _grants(after, "Deny")
    undenied = {it for it in denied - still_denied if not any(_covers(other, it) for other in still_denied)}
    return (
        *_in_words("allows", newly, allowed),
        *_in_words("no longer denies", undenied, still_denied),
    )


def _grants(policies: Iterable[str], effect: Effect) -> set[_Grant]:
    return {
        _Grant(*parts, _conditions(statement))
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
        _Condition(
            operator,
            key.lower(),
            frozenset(str(it).lower() if isinstance(it, bool) else str(it) for it in listed(values)),
        )
        for operator, keys in statement.get("Condition", {}).items()
        for key, values in keys.items()
    )


def _covers(one: _Grant, other: _Grant) -> bool:
    """Whether the one applies wherever the other does."""
    return _covers_unconditionally(one, other) and all(
        any(_implies(given, condition) for given in other.conditions) for condition in one.conditions
    )


def _covers_unconditionally(one: _Grant, other: _Grant) -> bool:
    return (
        _selects(one.action, other.action, ignore_case=True)
        and _selects(one.resource, other.resource)
        and one.principal in (other.principal, _EVERYONE, _Element(other.principal.name, "*"))
    )


def _selects(one: _Element, other: _Element, *, ignore_case: bool = False) -> bool:
    if one == other or one in (_Element("Action", "*"), _Element("Resource", "*")):
        return True
    if one.name != other.name or one.name.startswith("Not"):
        return False
    return _like(one.value.lower(), other.value.lower()) if ignore_case else _like(one.value, other.value)


def _like(one: str, other: str) -> bool:
    """Whether a text with wildcards covers another, which may have some too."""
    # A question mark is one character, but a wildcard or variable of the other may be any number of them.
    if "?" in one and ("*" in other or "${" in other):
        return one == other
    return fnmatchcase(other, one.replace("[", "[[]"))  # [ is literal in IAM and opens a set in fnmatch


def _arn_like(one: str, other: str) -> bool:
    ones, others = one.split(":", 5), other.split(":", 5)
    return one == other or (len(ones) == len(others) and all(map(_like, ones, others)))


_WILDCARDS = {
    "StringLike": _like,
    "StringNotLike": _like,
    "ArnEquals": _arn_like,
    "ArnLike": _arn_like,
    "ArnNotEquals": _arn_like,
    "ArnNotLike": _arn_like,
}


def _implies(given: _Condition, wanted: _Condition) -> bool:
    """Whether what fulfils the one condition fulfils the other."""
    if given.key != wanted.key or given.operator not in (
        wanted.operator,
        wanted.operator.removesuffix("IfExists"),
    ):
        return False
    name = wanted.operator.removesuffix("IfExists").rpartition(":")[2]
    if name == "Null":
        return given == wanted
    covers = _WILDCARDS.get(name, str.__eq__)
    # A negated operator excludes what it lists: to exclude more is to ask for more.
    listing, listed_by = (wanted.values, given.values) if "Not" in name else (given.values, wanted.values)
    return all(any(covers(it, value) for it in listed_by) for value in listing)


def _in_words(verb: str, grants: Iterable[_Grant], compared_to: Iterable[_Grant]) -> list[str]:
    """One text for all the actions that go to the same principal, or for a policy without any, the same resource."""
    actions: dict[tuple[str, str], set[str]] = {}
    for grant in grants:
        whom = f"for {_shown(grant.principal)}" if grant.principal.name else f"on {_shown(grant.resource)}"
        loosened = any(_covers_unconditionally(it, grant) for it in compared_to)
        how = " under other conditions" if loosened else ""
        actions.setdefault((whom, how), set()).add(_shown(grant.action))
    return [f"{verb} {', '.join(sorted(names))} {whom}{how}" for (whom, how), names in sorted(actions.items())]


def _shown(element: _Element) -> str:
    return f"all but {element.value}" if element.name.startswith("Not") else element.value
