"""What a policy allows that it did not: held against every request of a small world."""

import json
from collections.abc import Mapping
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from threatmon.evaluation.policy_evaluator import Principal, allows
from threatmon.fleet.widening import widened

Statement = dict[str, Any]

ROOT = "arn:aws:iam::111122223333:root"
PUBLISH: Statement = {
    "Effect": "Allow",
    "Principal": {"Service": "events.amazonaws.com"},
    "Action": "sns:Publish",
    "Resource": "arn:aws:sns:eu-west-1:111122223333:alerts",
    "Condition": {"ArnEquals": {"aws:SourceArn": ["arn:aws:events:eu-west-1:111122223333:rule/high"]}},
}
IDENTITY: Statement = {"Effect": "Allow", "Action": ["logs:PutLogEvents"], "Resource": ["a", "b"]}


def _policy(*statements: Statement) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def _widened(before: Statement, after: Statement) -> tuple[str, ...]:
    return widened(frozenset([_policy(before)]), frozenset([_policy(after)]))


WIDER: dict[str, tuple[Statement, Statement, str]] = {
    "a further action": (
        PUBLISH,
        {"Action": ["sns:Publish", "sns:Subscribe"]},
        "allows sns:Subscribe for events.amazonaws.com",
    ),
    "everyone": (PUBLISH, {"Principal": "*"}, "allows sns:Publish for *"),
    "another service": (
        PUBLISH,
        {"Principal": {"Service": ["cloudwatch.amazonaws.com", "events.amazonaws.com"]}},
        "allows sns:Publish for cloudwatch.amazonaws.com",
    ),
    "an account": (PUBLISH, {"Principal": {"AWS": ROOT}}, "allows sns:Publish for 111122223333"),
    "another resource": (PUBLISH, {"Resource": "*"}, "allows sns:Publish for events.amazonaws.com"),
    "another resource of an identity": (
        IDENTITY,
        {"Resource": ["a", "b", "c"]},
        "allows logs:PutLogEvents on c",
    ),
    "no condition": (
        PUBLISH,
        {"Condition": {}},
        "allows sns:Publish for events.amazonaws.com under other conditions",
    ),
    "another value of a condition": (
        PUBLISH,
        {"Condition": {"ArnEquals": {"aws:SourceArn": ["arn:aws:events:eu-west-1:111122223333:rule/low"]}}},
        "allows sns:Publish for events.amazonaws.com under other conditions",
    ),
    "a condition that may be absent": (
        PUBLISH,
        {"Condition": {"ArnEqualsIfExists": PUBLISH["Condition"]["ArnEquals"]}},
        "allows sns:Publish for events.amazonaws.com under other conditions",
    ),
    "fewer exceptions": (
        {**PUBLISH, "Condition": {"StringNotEquals": {"aws:SourceAccount": ["1", "2"]}}},
        {"Condition": {"StringNotEquals": {"aws:SourceAccount": "1"}}},
        "allows sns:Publish for events.amazonaws.com under other conditions",
    ),
    "all actions but another": (
        {"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"},
        {"NotAction": "sts:*"},
        "allows all but sts:* on *",
    ),
    "all principals but another": (
        {**PUBLISH, "NotPrincipal": {"AWS": ROOT}},
        {"NotPrincipal": {"AWS": "222233334444"}},
        'allows sns:Publish for all but {"AWS": "222233334444"}',
    ),
    "a denial less": (
        {"Effect": "Deny", "Principal": "*", "Action": ["sns:Publish", "sns:Subscribe"], "Resource": "*"},
        {"Action": "sns:Publish"},
        "no longer denies sns:Subscribe for *",
    ),
}


@pytest.mark.parametrize(("before", "change", "text"), WIDER.values(), ids=WIDER)
def test_what_is_new_is_named(before: Statement, change: Statement, text: str) -> None:
    assert _widened(before, {**before, **change}) == (text,)


NARROWER: dict[str, tuple[Statement, Statement]] = {
    "nothing else": (PUBLISH, {}),
    "an action that a wildcard covered": ({**PUBLISH, "Action": "SNS:Pub*"}, {"Action": "sns:Publish"}),
    "a resource that a wildcard covered": ({**IDENTITY, "Resource": "arn:a?:*"}, {"Resource": ["arn:aw:b", "arn:ac:"]}),
    "somebody of everyone": ({**PUBLISH, "Principal": "*"}, {"Principal": {"Service": "events.amazonaws.com"}}),
    "the account by its other name": (
        {**PUBLISH, "Principal": {"AWS": ROOT}},
        {"Principal": {"AWS": "111122223333"}},
    ),
    "a further condition": (
        PUBLISH,
        {"Condition": {**PUBLISH["Condition"], "StringEquals": {"aws:SourceAccount": "111122223333"}}},
    ),
    "a key in other letters": (
        PUBLISH,
        {"Condition": {"ArnEquals": {"AWS:SourceArn": PUBLISH["Condition"]["ArnEquals"]["aws:SourceArn"]}}},
    ),
    "a condition that must be there": (
        {**PUBLISH, "Condition": {"BoolIfExists": {"aws:SecureTransport": True}}},
        {"Condition": {"Bool": {"aws:SecureTransport": "true"}}},
    ),
    "further exceptions": (
        {**PUBLISH, "Condition": {"StringNotEquals": {"aws:SourceAccount": "1"}}},
        {"Condition": {"StringNotEquals": {"aws:SourceAccount": ["1", "2"]}}},
    ),
    "one rule of all rules": (
        {**PUBLISH, "Condition": {"ArnLike": {"aws:SourceArn": "arn:aws:events:*:111122223333:rule/*"}}},
        {"Condition": {"ArnLike": {"aws:SourceArn": "arn:aws:events:eu-west-1:111122223333:rule/high-*"}}},
    ),
    "a wider denial": ({**PUBLISH, "Effect": "Deny"}, {"Action": "sns:*", "Principal": "*", "Condition": {}}),
}


@pytest.mark.parametrize(("before", "change"), NARROWER.values(), ids=NARROWER)
def test_what_was_allowed_already_is_not_new(before: Statement, change: Statement) -> None:
    assert _widened(before, {**before, **change}) == ()


def test_a_question_mark_does_not_cover_a_wildcard() -> None:
    assert _widened({**IDENTITY, "Resource": "a?"}, {**IDENTITY, "Resource": "a*"}) == (
        "allows logs:PutLogEvents on a*",
    )


def test_an_arn_condition_covers_part_by_part() -> None:
    def source(pattern: str) -> Statement:
        return {**PUBLISH, "Condition": {"ArnLike": {"aws:SourceArn": pattern}}}

    # The first of these is no ARN, so that it matches none.
    assert _widened(source("arn:aws:*"), source("arn:aws:events:eu-west-1:111122223333:rule/high")) != ()


def test_several_statements_are_one_policy() -> None:
    split = _policy({**IDENTITY, "Resource": "b"}, {**IDENTITY, "Resource": "a"})
    assert widened(frozenset([_policy(IDENTITY)]), frozenset([split])) == ()
    assert widened(frozenset([split]), frozenset([_policy(IDENTITY)])) == ()


# A world of few actions, resources, principals and contexts, in which every request can be tried.
ACTIONS = ("s:get", "s:put", "t:get")
RESOURCES = ("a:1:1:1:1:x", "a:1:1:1:1:xy", "a:1:1:1:2:x")
PRINCIPALS = (None, Principal("AWS", ROOT), Principal("AWS", "x"), Principal("Service", "x"))
CONTEXTS: tuple[Mapping[str, str], ...] = (
    {},
    {"k:one": RESOURCES[0]},
    {"k:one": RESOURCES[1]},
    {"k:two": RESOURCES[0]},
    {"k:one": RESOURCES[0], "k:two": RESOURCES[1]},
)
REQUESTS = tuple(product(ACTIONS, RESOURCES, PRINCIPALS, CONTEXTS))


def _some(values: list[Any]) -> st.SearchStrategy[Any]:
    """One of the values, or a list of some."""
    return st.sampled_from(values) | st.lists(st.sampled_from(values), min_size=1, max_size=2, unique=True)


def _element(name: str, values: list[Any]) -> st.SearchStrategy[Statement]:
    return st.builds(lambda not_, value: {f"{not_}{name}": value}, st.sampled_from(["", "", "", "Not"]), _some(values))


TEXTS = [*RESOURCES, "*", "a:*", "a:1:1:1:?:x", "a:1:1:1:1:x*", "a:1:1:1:1:?*", "a:*:1:1:1:x"]
NAMED = st.just("*") | st.dictionaries(
    st.sampled_from(["AWS", "Service"]), _some([ROOT, "111122223333", "x", "*"]), min_size=1
)
OPERATORS = ["StringEquals", "StringNotEquals", "StringLike", "StringNotLike", "ArnLike", "ArnNotEquals", "Unheard"]
CONDITIONS = st.dictionaries(
    st.sampled_from([*OPERATORS, *(f"{it}IfExists" for it in OPERATORS)]),
    st.dictionaries(st.sampled_from(["k:one", "K:One", "k:two"]), _some(TEXTS), min_size=1, max_size=2),
    max_size=2,
) | st.builds(lambda key, value: {"Null": {key: value}}, st.sampled_from(["k:one", "k:two"]), st.booleans())
STATEMENTS = st.builds(
    lambda effect, *parts: {"Effect": effect, **{key: value for part in parts for key, value in part.items()}},
    st.sampled_from(["Allow", "Allow", "Deny"]),
    _element("Action", [*ACTIONS, "*", "s:*", "S:Get", "?:get", "t:g*"]),
    st.just({}) | _element("Resource", TEXTS),
    st.just({}) | st.builds(lambda it: {"Principal": it}, NAMED) | st.just({"NotPrincipal": {"AWS": "x"}}),
    st.just({}) | st.builds(lambda it: {"Condition": it}, CONDITIONS),
)
POLICIES = st.lists(STATEMENTS, max_size=3)


def _granted(statements: list[Statement]) -> set[int]:
    """The requests a policy allows."""
    text = _policy(*statements)
    return {number for number, request in enumerate(REQUESTS) if allows(text, *request)}


def _change(draw: st.DrawFn, statement: Statement) -> Statement:
    other: Mapping[str, Any] = draw(STATEMENTS)
    name = draw(st.sampled_from(sorted(other)))
    kept = {key: value for key, value in statement.items() if key.removeprefix("Not") != name.removeprefix("Not")}
    return {**kept, name: other[name]}


@st.composite
def _edited(draw: st.DrawFn) -> tuple[list[Statement], list[Statement]]:
    """A policy, and what it is after one statement has another element, or a further one, or is gone."""
    before = draw(st.lists(STATEMENTS, min_size=1, max_size=3))
    at = draw(st.integers(0, len(before) - 1))
    replacement = draw(st.sampled_from(["change", "add", "drop"]))
    new = {"change": lambda: [_change(draw, before[at])], "add": lambda: [before[at], draw(STATEMENTS)]}
    return before, [*before[:at], *new.get(replacement, list)(), *before[at + 1 :]]


@given(st.tuples(POLICIES, POLICIES) | _edited())
def test_no_request_is_newly_allowed_without_being_named(policies: tuple[list[Statement], list[Statement]]) -> None:
    before, after = policies
    if _granted(after) - _granted(before):
        assert widened(frozenset([_policy(*before)]), frozenset([_policy(*after)]))


@st.composite
def _narrowed(draw: st.DrawFn) -> tuple[list[Statement], list[Statement]]:
    """A policy, and what it is once something is taken from what it allows."""
    before = draw(st.lists(STATEMENTS, min_size=1, max_size=3))
    at = draw(st.integers(0, len(before) - 1))
    statement = before[at]
    ways: list[list[Statement]] = [[statement, {**draw(STATEMENTS), "Effect": "Deny"}]]
    if statement["Effect"] == "Allow":
        ways += [[]]
        ways += [
            [{**statement, name: statement[name][:-1]}]
            for name in ("Action", "Resource")
            if isinstance(statement.get(name), list)
        ]
        conditions = statement.get("Condition", {})
        ways += [[{**statement, "Condition": {**conditions, "Unheard:Of": {"k:two": "x"}}}]]
        ways += [[{**statement, "Resource": RESOURCES[0]}]] * (statement.get("Resource") == "*")
    return before, [*before[:at], *draw(st.sampled_from(ways)), *before[at + 1 :]]


@given(_narrowed())
def test_to_allow_less_is_never_new(policies: tuple[list[Statement], list[Statement]]) -> None:
    before, after = policies
    assert widened(frozenset([_policy(*before)]), frozenset([_policy(*after)])) == ()
