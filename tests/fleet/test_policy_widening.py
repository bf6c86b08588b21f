"""What a policy allows that it did not: examples, and every request of a small world."""

import json
from collections.abc import Mapping
from itertools import product
from typing import Any

import pytest
from examples import ACCOUNT
from harness import DASHBOARD, KEY, ROLE, ROLE_POLICY, TOPIC_POLICY
from hypothesis import given
from hypothesis import strategies as st

from threatmon.evaluation.policy_evaluator import Principal, allows
from threatmon.fleet.changes import UNKNOWN, Op, ResourceChange
from threatmon.fleet.dangers import Danger, dangers
from threatmon.fleet.policy_widening import newly_allowed

Statement = dict[str, Any]

ATTACHMENT = "aws:iam/rolePolicyAttachment:RolePolicyAttachment"
ROOT = f"arn:aws:iam::{ACCOUNT}:root"
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


def _new(before: list[Statement], after: list[Statement]) -> tuple[str, ...]:
    return newly_allowed([_policy(*before)], [_policy(*after)])


def _loosened(condition: Statement, other: Statement) -> tuple[Statement, Statement, str]:
    text = "allows sns:Publish for events.amazonaws.com under other conditions"
    return {**PUBLISH, "Condition": condition}, {"Condition": other}, text


SOURCE = PUBLISH["Condition"]["ArnEquals"]
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
    "an account": (PUBLISH, {"Principal": {"AWS": ROOT}}, f"allows sns:Publish for {ACCOUNT}"),
    "another resource": (PUBLISH, {"Resource": "*"}, "allows sns:Publish for events.amazonaws.com"),
    "another resource of an identity": (IDENTITY, {"Resource": ["a", "b", "c"]}, "allows logs:PutLogEvents on c"),
    "a wildcard wider than a question mark": (
        {**IDENTITY, "Resource": "a?"},
        {"Resource": "a*"},
        "allows logs:PutLogEvents on a*",
    ),
    "no condition": _loosened({"ArnEquals": SOURCE}, {}),
    "another value of a condition": _loosened({"ArnEquals": SOURCE}, {"ArnEquals": {"aws:SourceArn": "arn:low"}}),
    "a condition that may be absent": _loosened({"ArnEquals": SOURCE}, {"ArnEqualsIfExists": SOURCE}),
    "an ARN outside the pattern": _loosened({"ArnLike": {"aws:SourceArn": "arn:aws:*"}}, {"ArnLike": SOURCE}),
    "fewer exceptions": _loosened({"StringNotEquals": {"k": ["1", "2"]}}, {"StringNotEquals": {"k": "1"}}),
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
    assert _new([before], [{**before, **change}]) == (text,)


NARROWER: dict[str, tuple[Statement, Statement]] = {
    "nothing else": (PUBLISH, {}),
    "an action that a wildcard covered": ({**PUBLISH, "Action": "SNS:Pub*"}, {"Action": "sns:Publish"}),
    "a resource that a wildcard covered": ({**IDENTITY, "Resource": "arn:a?:*"}, {"Resource": ["arn:aw:b", "arn:ac:"]}),
    "somebody of everyone": ({**PUBLISH, "Principal": "*"}, {"Principal": {"Service": "events.amazonaws.com"}}),
    "the account by its other name": ({**PUBLISH, "Principal": {"AWS": ROOT}}, {"Principal": {"AWS": ACCOUNT}}),
    "a further condition": (PUBLISH, {"Condition": {**PUBLISH["Condition"], "StringEquals": {"k": "1"}}}),
    "a key in other letters": (PUBLISH, {"Condition": {"ArnEquals": {"AWS:SourceArn": SOURCE["aws:SourceArn"]}}}),
    "a condition that must be there": (
        {**PUBLISH, "Condition": {"BoolIfExists": {"aws:SecureTransport": True}}},
        {"Condition": {"Bool": {"aws:SecureTransport": "true"}}},
    ),
    "further exceptions": (
        {**PUBLISH, "Condition": {"StringNotEquals": {"k": "1"}}},
        {"Condition": {"StringNotEquals": {"k": ["1", "2"]}}},
    ),
    "one rule of all rules": (
        {**PUBLISH, "Condition": {"ArnLike": {"aws:SourceArn": "arn:aws:events:*:111122223333:rule/*"}}},
        {"Condition": {"ArnLike": {"aws:SourceArn": "arn:aws:events:eu-west-1:111122223333:rule/high-*"}}},
    ),
    "a wider denial": ({**PUBLISH, "Effect": "Deny"}, {"Action": "sns:*", "Principal": "*", "Condition": {}}),
}


@pytest.mark.parametrize(("before", "change"), NARROWER.values(), ids=NARROWER)
def test_what_was_allowed_already_is_not_new(before: Statement, change: Statement) -> None:
    assert _new([before], [{**before, **change}]) == ()


def test_several_statements_are_one_policy() -> None:
    split = [{**IDENTITY, "Resource": "b"}, {**IDENTITY, "Resource": "a"}]
    assert _new([IDENTITY], split) == _new(split, [IDENTITY]) == ()


# -- a stack's policies -----------------------------------------------------------------------------------------------

WRITES = "allows logs:PutLogEvents on *"


def _change(op: Op, type_: str, old: Statement | None, new: Statement | None, name: str = "it") -> ResourceChange:
    return ResourceChange(op, type_, name, old or {}, new or {}, {})


def _allow(*actions: str) -> str:
    return _policy({"Effect": "Allow", "Action": list(actions), "Resource": "*"})


@pytest.mark.parametrize("op", ["update", "replace"])
@pytest.mark.parametrize(
    ("type_", "property_"),
    [(ROLE, "assumeRolePolicy"), (ROLE_POLICY, "policy"), (TOPIC_POLICY, "policy"), (KEY, "policy"), ("a:b:C", "any")],
)
def test_a_policy_is_not_widened_unasked(type_: str, property_: str, op: Op) -> None:
    narrow, wide = {property_: _allow("logs:Get*")}, {property_: _allow("logs:Get*", "logs:PutLogEvents")}
    assert Danger("policy-widened", "it", WRITES) in dangers([_change(op, type_, narrow, wide)])
    assert not [danger for danger in dangers([_change(op, type_, wide, narrow)]) if danger.kind == "policy-widened"]


def test_a_policy_within_a_list_is_judged() -> None:
    old, new = ({"inlinePolicies": [{"policy": _allow(action)}]} for action in ("logs:Get*", "logs:*"))
    assert dangers([_change("update", ROLE, old, new)]) == [Danger("policy-widened", "it", "allows logs:* on *")]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"policy": _policy({**IDENTITY, "Effect": "Deny"})}, {"policy": UNKNOWN}),  # known only after deployment
        ({"body": "{}", "text": '"Statement"'}, {"body": '{"Statement": ', "text": '["Statement"]'}),
    ],
)
def test_what_is_no_policy_or_not_known_yet_is_not_judged(old: Statement, new: Statement) -> None:
    assert dangers([_change("update", DASHBOARD, old, new)]) == []


def _held(op: Op, name: str, old: str | None, new: str | None = None, role: str = "role-1a2b3c4") -> ResourceChange:
    sides = [{"role": role, "policy": _allow(action)} if action else None for action in (old, new)]
    return _change(op, ROLE_POLICY, *sides, name=name)


ITS_ROLE = _change("same", ROLE, {"name": "role-1a2b3c4"}, {"name": "role-1a2b3c4"}, "role")
READS, ADDED = _held("same", "reads", "logs:Get*", "logs:Get*"), _held("create", "writes", None, "logs:PutLogEvents")
MANAGED = "arn:aws:iam::aws:policy/ReadOnlyAccess"
ATTACHED = _change("create", ATTACHMENT, None, {"role": "role-1a2b3c4", "policyArn": MANAGED}, "attached")
MOVED = _held("replace", "writes", "logs:PutLogEvents")
ROLES: dict[str, tuple[list[ResourceChange], list[Danger]]] = {
    "a further policy of a role that stays": ([ITS_ROLE, READS, ADDED], [Danger("policy-widened", "writes", WRITES)]),
    "a renamed policy": (
        [ITS_ROLE, _held("delete", "old", "logs:PutLogEvents"), _held("create", "new", None, "logs:PutLogEvents")],
        [],
    ),
    "the first policy of a role, which an interrupted update left out": ([ITS_ROLE, ADDED], []),
    "a policy for a role of somebody else": (
        [ITS_ROLE, _held("create", "writes", None, "logs:PutLogEvents", role="theirs")],
        [Danger("policy-widened", "writes", WRITES)],
    ),
    "a policy that moves along with its role": (
        [
            ITS_ROLE._replace(op="replace", new={"name": "role-5d6e7f8"}),
            MOVED._replace(new={**MOVED.old, "role": UNKNOWN}),
        ],
        [],
    ),
    "a managed policy": (
        [ITS_ROLE, READS, ATTACHED],
        [Danger("policy-widened", "attached", f"allows what {MANAGED} allows on *")],
    ),
}


@pytest.mark.parametrize(("changes", "expected"), ROLES.values(), ids=ROLES)
def test_what_a_role_holds_counts_together(changes: list[ResourceChange], expected: list[Danger]) -> None:
    assert dangers(changes) == expected


def test_of_much_that_is_new_the_first_is_named_and_the_rest_counted() -> None:
    wide = _policy(*({"Effect": "Allow", "Action": "a:b", "Resource": resource} for resource in "abcdefgh"))
    [danger] = dangers([_change("update", KEY, {"policy": _allow()}, {"policy": wide})])
    assert danger.text.count("allows a:b on ") == 5
    assert danger.text.endswith("; 3 more")


# -- a small world ----------------------------------------------------------------------------------------------------

# Few actions, resources, principals and contexts, in which every request can be tried.
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
    st.sampled_from([*OPERATORS, *(f"{name}IfExists" for name in OPERATORS)]),
    st.dictionaries(st.sampled_from(["k:one", "K:One", "k:two"]), _some(TEXTS), min_size=1, max_size=2),
    max_size=2,
) | st.builds(lambda key, value: {"Null": {key: value}}, st.sampled_from(["k:one", "k:two"]), st.booleans())
STATEMENTS = st.builds(
    lambda effect, *parts: {"Effect": effect, **{key: value for part in parts for key, value in part.items()}},
    st.sampled_from(["Allow", "Allow", "Deny"]),
    _element("Action", [*ACTIONS, "*", "s:*", "S:Get", "?:get", "t:g*"]),
    st.just({}) | _element("Resource", TEXTS),
    st.just({}) | st.builds(lambda named: {"Principal": named}, NAMED) | st.just({"NotPrincipal": {"AWS": "x"}}),
    st.just({}) | st.builds(lambda conditions: {"Condition": conditions}, CONDITIONS),
)
POLICIES = st.lists(STATEMENTS, max_size=3)


def _granted(statements: list[Statement]) -> set[int]:
    """The requests a policy allows."""
    text = _policy(*statements)
    return {number for number, request in enumerate(REQUESTS) if allows(text, *request)}


def _altered(draw: st.DrawFn, statement: Statement) -> Statement:
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
    new = {"change": lambda: [_altered(draw, before[at])], "add": lambda: [before[at], draw(STATEMENTS)]}
    return before, [*before[:at], *new.get(replacement, list)(), *before[at + 1 :]]


@given(st.tuples(POLICIES, POLICIES) | _edited())
def test_no_request_is_newly_allowed_without_being_named(policies: tuple[list[Statement], list[Statement]]) -> None:
    before, after = policies
    if _granted(after) - _granted(before):
        assert _new(before, after)


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
    assert _new(*policies) == ()
