import json
from collections.abc import Mapping
from typing import Any

import pytest
from fleet.previews import WRAPPED_SECRET, create, update
from harness import RULE, TOPIC, TOPIC_POLICY
from hypothesis import given
from hypothesis import strategies as st

from threatmon.fleet.changes import UNKNOWN, ResourceChange
from threatmon.fleet.differences import Difference, differences, without_secrets

Found = tuple[str, str, str, str]  # path, sign, old and new value


def found(old: Any, new: Any, diff: Mapping[str, str] | None = None) -> list[Found]:
    """What differs between two values of the property p."""
    change = without_secrets(update(RULE, "r", {"p": old}, {"p": new}, diff))
    return [difference[:4] for difference in differences(change)]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("a", "b", [("p", "~", '"a"', '"b"')]),
        (365.0, 90.0, [("p", "~", "365", "90")]),
        (1, True, [("p", "~", "1", "true")]),
        ("a", UNKNOWN, [("p", "~", '"a"', "known after deployment")]),
        ({"a": 1}, {"a": 1, "b.c": 2}, [('p["b.c"]', "+", "", "2")]),
        (["a", "b"], ["b", "c"], [("p", "-", '"a"', ""), ("p", "+", "", '"c"')]),
        (["a", "b"], ["b", "a"], [("p", "~", '["a", "b"]', '["b", "a"]')]),
        (["a", "a"], ["a"], [("p", "-", '"a"', "")]),
        # entries without a name are compared by their place
        ([{"x": 0, "y": 0}, {"x": 1, "y": 0}], [{"x": 0, "y": 0}, {"x": 1, "y": 6}], [("p[1].y", "~", "0", "6")]),
        ([1, 2.0], [1.0, 2], []),
        (WRAPPED_SECRET, WRAPPED_SECRET, []),
    ],
)
def test_each_value_that_changes_is_shown(old: Any, new: Any, expected: list[Found]) -> None:
    assert found(old, new, {}) == expected


def test_options_that_change_are_shown_like_properties() -> None:
    change = ResourceChange("update", TOPIC, "t", {"name": "t"}, {"name": "t"}, {}, options={"protect": (True, False)})
    assert differences(change) == (Difference("protect", "~", "true", "false"),)


def test_a_further_finding_type_is_shown_inside_the_event_pattern() -> None:
    old = {"source": ["aws.guardduty"], "detail": {"type": [{"prefix": "Trojan:"}]}}
    new = {"source": ["aws.guardduty"], "detail": {"type": [{"prefix": "Trojan:"}, "Recon:EC2/Portscan"]}}
    assert found(json.dumps(old), json.dumps(new)) == [("p.detail.type", "+", "", '"Recon:EC2/Portscan"')]


def test_a_statement_is_compared_with_its_former_self() -> None:
    one, two = {"Sid": "One", "Action": "a", "Effect": "Allow"}, {"Sid": "Two", "Action": "b", "Effect": "Allow"}
    changed = two | {"Action": ["b", "c"]}
    added = {"Sid": "Zero", "Action": "*", "Effect": "Deny"}
    assert found(json.dumps({"Statement": [one, two]}), json.dumps({"Statement": [added, one, changed]})) == [
        ("p.Statement[Two].Action", "~", '"b"', '["b", "c"]'),
        ("p.Statement", "+", "", '{"Action": "*", "Effect": "Deny", "Sid": "Zero"}'),
    ]


def test_a_document_that_is_only_written_otherwise_is_shown_as_a_change_all_the_same() -> None:
    assert found('{"a":1}', '{ "a": 1 }') == [("p", "~", '{"a": 1}', '{"a": 1}')]


def test_paths_lead_into_objects_lists_and_quoted_keys() -> None:
    old = {"tags": {"a.b": "x"}, "list": [{"k": 1}], "gone": {"k": 1}}
    new = {"tags": {"a.b": "y"}, "list": [{"k": 2}], "gone": {}}
    diff = {'tags["a.b"]': "update", "list[0].k": "update-replace", "gone.k": "delete", 'nowhere["\\x"]': "update"}
    assert differences(update(TOPIC, "t", old, new, diff)) == (
        Difference("gone.k", "-", "1", "", replaces=False),
        Difference("list[0].k", "~", "1", "2", replaces=True),
        Difference('nowhere["\\x"]', "~", "", "", replaces=False),
        Difference('tags["a.b"]', "~", '"x"', '"y"', replaces=False),
    )


def test_a_new_resource_has_all_its_inputs_but_the_engines_own_and_a_deleted_one_none() -> None:
    created = create(TOPIC_POLICY, "p", policy='{"a": [1]}', arn=UNKNOWN, __defaults=[])
    assert [difference[:4] for difference in differences(created)] == [
        ("arn", "+", "", "known after deployment"),
        ("policy", "+", "", '{"a": [1]}'),
    ]
    assert differences(ResourceChange("delete", TOPIC, "t", {"a": 1}, {}, {})) == ()


@pytest.mark.parametrize(
    "wrapped", [WRAPPED_SECRET, {**WRAPPED_SECRET, "4dabf18193072939515e22adb298388d": "d0", "secret": True}]
)
def test_a_wrapped_secret_is_hidden_wherever_it_is(wrapped: dict[str, Any]) -> None:
    change = without_secrets(update(TOPIC, "t", {"a": "x", "b": [{"c": wrapped}]}, {"a": wrapped, "b": []}))
    assert change.new == {"a": "[secret]", "b": []}
    assert change.old == {"a": "x", "b": [{"c": "[secret]"}]}


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(_json, _json)
def test_there_are_differences_exactly_if_documents_differ(old: Any, new: Any) -> None:
    assert bool(found({"a": old}, {"a": new}, {})) == (
        json.dumps(old, sort_keys=True) != json.dumps(new, sort_keys=True)
    )


@given(_json)
def test_what_holds_no_secret_stays_as_it_is(value: Any) -> None:
    change = update(TOPIC, "t", {"p": value}, {})
    assert without_secrets(change) == change
