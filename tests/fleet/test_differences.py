import json
from typing import Any

import pytest
from fleet.previews import POLICY, RULE, TOPIC, create, update
from hypothesis import given
from hypothesis import strategies as st

from threatmon.fleet.changes import UNKNOWN, ResourceChange
from threatmon.fleet.differences import differences, masked, without_secrets

SECRET = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "ciphertext": "hunter2"}


def found(old: Any, new: Any) -> list[tuple[str, str, str, str]]:
    return [it[:4] for it in differences(update(RULE, "r", {"p": old}, {"p": new}))]


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
        ([1, 2.0], [1.0, 2], []),
        ("[secret]", "[secret]", []),
    ],
)
def test_each_value_that_changes_is_told(old: Any, new: Any, expected: list[tuple[str, str, str, str]]) -> None:
    change = ResourceChange("update", RULE, "r", {"p": old}, {"p": new}, {})
    assert [it[:4] for it in differences(change)] == expected


def test_a_finding_type_more_is_told_inside_the_event_pattern() -> None:
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


def test_entries_without_a_name_are_compared_by_their_place() -> None:
    old, new = [{"x": 0, "y": 0}, {"x": 1, "y": 0}], [{"x": 0, "y": 0}, {"x": 1, "y": 6}]
    assert found(old, new) == [("p[1].y", "~", "0", "6")]


def test_a_document_that_is_only_written_otherwise_is_shown_as_a_change_all_the_same() -> None:
    assert found('{"a":1}', '{ "a": 1 }') == [("p", "~", '{"a": 1}', '{"a": 1}')]


def test_paths_lead_into_objects_lists_and_quoted_keys() -> None:
    old = {"tags": {"a.b": "x"}, "list": [{"k": 1}], "gone": {"k": 1}}
    new = {"tags": {"a.b": "y"}, "list": [{"k": 2}], "gone": {}}
    diff = {'tags["a.b"]': "update", "list[0].k": "update-replace", "gone.k": "delete", "nowhere.k": "update"}
    assert [tuple(it) for it in differences(update(TOPIC, "t", old, new, diff))] == [
        ("gone.k", "-", "1", "", False),
        ("list[0].k", "~", "1", "2", True),
        ("nowhere.k", "~", "", "", False),
        ('tags["a.b"]', "~", '"x"', '"y"', False),
    ]


def test_a_new_resource_has_all_its_inputs_but_the_engines_own() -> None:
    change = create(POLICY, "p", policy='{"a": [1]}', arn=UNKNOWN, __defaults=[])
    assert [it[:4] for it in differences(change)] == [
        ("arn", "+", "", "known after deployment"),
        ("policy", "+", "", '{"a": [1]}'),
    ]


def test_of_a_deleted_resource_no_property_is_told() -> None:
    assert differences(ResourceChange("delete", TOPIC, "t", {"a": 1}, {}, {})) == ()


@pytest.mark.parametrize("wrapped", [SECRET, {**SECRET, "4dabf18193072939515e22adb298388d": "d0", "secret": True}])
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
def test_there_are_differences_exactly_where_documents_differ(old: Any, new: Any) -> None:
    change = ResourceChange("update", RULE, "r", {"p": {"a": old}}, {"p": {"a": new}}, {})
    assert bool(differences(change)) == (json.dumps(old, sort_keys=True) != json.dumps(new, sort_keys=True))


@given(_json)
def test_what_holds_no_secret_stays_as_it_is(value: Any) -> None:
    assert masked(value) == value
