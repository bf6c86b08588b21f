from typing import Any

import pytest
from findings import RECORDED, Event, events, recorded
from hypothesis import given
from hypothesis import strategies as st
from moto.events.models import EventPattern

from threatmon.evaluation.event_matcher import UnknownOperatorError, matches, mismatch
from threatmon.model.event_patterns import Pattern, alert_rules, compact
from threatmon.model.finding_types import catalogue

EXISTS, MISSING = {"exists": True}, {"exists": False}


@pytest.mark.parametrize(
    "condition",
    [
        {"prefx": "a"},
        {"wildcard": "a*"},
        {"anything-but": ["b"]},
        {},
        {"prefix": "a", "exists": True},
        {"prefix": 1},
        {"prefix": {"equals-ignore-case": "a"}},
        {"exists": "true"},
        {"numeric": []},
        {"numeric": [">="]},
        {"numeric": [">=", 4, "<"]},
        {"numeric": [">=", "4"]},
        {"numeric": [">=", True]},
        {"numeric": ["!=", 4]},
        {"numeric": {">=": 4}},
        ["a"],
        [],
    ],
)
def test_a_condition_that_is_unknown_is_refused_even_beside_one_that_holds(condition: Any) -> None:
    for event in ({"a": "a", "b": "x"}, {"a": 5}, {}):
        for pattern in ({"a": ["a", condition]}, {"a": [condition, "a"]}, {"b": ["no"], "a": [condition]}):
            with pytest.raises(UnknownOperatorError):
                mismatch(pattern, event)


@pytest.mark.parametrize(
    "pattern",
    [
        {"a": "a"},
        {"a": []},
        {"a": {"b": "x"}},
        {"$or": [{"a": ["a"]}, {"b": ["b"]}]},
        {},
        {"a": {}},
    ],
)
def test_a_pattern_whose_shape_eventbridge_refuses_is_refused(pattern: Pattern) -> None:
    for event in ({"a": "a"}, {"a": {"b": "x"}}, {}):
        with pytest.raises(UnknownOperatorError):
            mismatch(pattern, event)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ({"detail": {"type": [{"prefx": "a"}]}}, 'unknown operator: prefx "a"'),
        ({"detail": {"type": [{"prefix": 1}]}}, "prefix takes a string, not 1"),
        ({"detail": {"type": [{"exists": "yes"}]}}, 'exists takes true or false, not "yes"'),
        ({"detail": {"severity": [{"numeric": [">="]}]}}, 'numeric takes comparisons and numbers, not [">="]'),
        ({"detail": {"type": "a"}}, 'detail.type: a condition is a list with at least one entry, not "a"'),
    ],
)
def test_a_refusal_says_what_is_wrong(pattern: Pattern, text: str) -> None:
    with pytest.raises(UnknownOperatorError) as refusal:
        matches(pattern, {})
    assert str(refusal.value) == text


# Not 5.0 beside 5: the EventBridge guide calls them different, event-ruler takes them for equal, no rule of ours asks.
VALUES = ["5", 5, 1, 0, True, False, None, "", "true", "a"]


@pytest.mark.parametrize("condition", VALUES)
def test_an_exact_condition_holds_for_a_value_of_its_own_type_alone(condition: Any) -> None:
    passed = [value for value in VALUES if matches({"a": [condition]}, {"a": value})]
    assert [(type(value), value) for value in passed] == [(type(condition), condition)]


@pytest.mark.parametrize(
    ("condition", "passed"),
    [
        ({"numeric": [">=", 4, "<", 7]}, [4, 4.0, 6.9]),
        ({"numeric": [">", 4]}, [6.9, 7, 9]),
        ({"numeric": ["=", 4]}, [4, 4.0]),
    ],
)
def test_a_numeric_condition_holds_for_numbers_alone(condition: Any, passed: list[float]) -> None:
    values = [3.9, 4, 4.0, 6.9, 7, 9, True, False, "4", "5", None, [], {"b": 5}]
    assert [value for value in values if matches({"a": [condition]}, {"a": value})] == passed


@pytest.mark.parametrize(
    ("condition", "value", "expected"),
    [
        ({"prefix": "Recon:EC2/"}, "Recon:EC2/Portscan", True),
        ({"prefix": "Recon:EC2/"}, "Recon:EC2", False),
        ({"prefix": "Recon:EC2/"}, "recon:ec2/Portscan", False),
        ({"prefix": "5"}, 55, False),
        ({"prefix": ""}, None, False),
        ({"prefix": ""}, "", True),
        ("a", ["b", "a"], True),
        ("c", ["b", "a"], False),
        ({"prefix": "a"}, ["b", "ab"], True),
        ({"numeric": [">", 4]}, ["5", 5], True),
        ({"numeric": [">", 4, "<", 6]}, [3, 7], False),
        (EXISTS, "a", True),
        (EXISTS, None, True),
        (EXISTS, False, True),
        (EXISTS, [], False),
        (EXISTS, {"b": 1}, False),
        (MISSING, "a", False),
        (MISSING, None, False),
        (MISSING, False, False),
        (MISSING, [], True),
        (None, [], False),
    ],
)
def test_a_condition_on_a_value_or_on_any_element_of_a_list(condition: Any, value: Any, expected: bool) -> None:
    assert matches({"detail": {"a": [condition]}}, {"detail": {"a": value}}) is expected


@pytest.mark.parametrize("condition", ["a", None, False, 0, "", {"prefix": ""}, {"numeric": ["<", 9]}, EXISTS])
@pytest.mark.parametrize("event", [{}, {"detail": {}}, {"detail": None}, {"detail": "a"}, {"detail": {"b": "a"}}])
def test_an_absent_value_passes_only_a_condition_that_wants_it_absent(condition: Any, event: Event) -> None:
    assert not matches({"detail": {"a": [condition]}}, event)
    assert matches({"detail": {"a": [MISSING]}}, event)
    assert matches({"detail": {"a": [condition, MISSING]}}, event)


def test_all_conditions_of_a_pattern_must_hold_and_any_of_a_list() -> None:
    pattern = {"a": ["x", "y"], "b": {"c": [1], "d": [EXISTS]}}
    assert matches(pattern, {"a": "y", "b": {"c": 1, "d": 0}, "more": True})
    assert not matches(pattern, {"a": "z", "b": {"c": 1, "d": 0}})
    assert not matches(pattern, {"a": "y", "b": {"c": 2, "d": 0}})
    assert not matches(pattern, {"a": "y", "b": {"c": 1}})


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ({"source": ["aws.ec2"]}, 'source: "aws.guardduty" is not "aws.ec2"'),
        ({"detail": {"type": ["A", {"prefix": "B:"}]}}, 'detail.type: "Recon:EC2/Portscan" is not "A" or prefix "B:"'),
        ({"detail": {"type": list("ABCDE")}}, 'detail.type: "Recon:EC2/Portscan" is not among the 5 listed'),
        ({"detail": {"severity": [{"numeric": [">=", 7, "<", 9]}]}}, "detail.severity: 5 is not >= 7 and < 9"),
        ({"detail": {"service": {"archived": [True]}}}, "detail.service.archived: false is not true"),
        ({"detail": {"nothing": {"here": [EXISTS]}}}, "detail.nothing.here: absent is not present"),
        ({"detail": {"region": [MISSING]}}, 'detail.region: "eu-west-1" is not absent'),
        ({"source": ["aws.guardduty"], "region": ["x"], "account": ["y"]}, 'region: "eu-west-1" is not "x"'),
    ],
)
def test_a_mismatch_names_the_first_path_that_fails_its_value_and_what_was_wanted(pattern: Pattern, text: str) -> None:
    assert mismatch(pattern, recorded("ec2_portscan")) == text


def test_a_match_has_no_explanation() -> None:
    assert mismatch({"source": ["aws.guardduty"]}, recorded("ec2_portscan")) is None


# -- moto's matcher as a second opinion -------------------------------------------------------------------------------


def second_opinion(pattern: Pattern, event: Event) -> bool:
    return EventPattern.load(compact(pattern)).matches_event(event)  # pyright: ignore[reportArgumentType] - a plain dict


SELECTIONS = st.lists(
    st.sampled_from(["*", "Recon:EC2/*", "Backdoor:*", "Persistence:Kubernetes/*", *list(catalogue())]),
    min_size=1,
    max_size=6,
)


@given(events() | st.sampled_from(RECORDED).map(recorded), SELECTIONS, st.booleans(), st.booleans())
def test_the_pipelines_patterns_mean_the_same_to_another_matcher(
    event: Event,
    selection: list[str],
    include_samples: bool,
    include_archived: bool,
) -> None:
    for rule in alert_rules(selection, "low", include_samples=include_samples, include_archived=include_archived):
        assert matches(rule.pattern, event) == second_opinion(rule.pattern, event)


# moto takes booleans for numbers, 5 for 5.0 and an empty list for a value; none of these are drawn.
TEXTS = st.sampled_from(["", "a", "ab", "b", "5"])
NUMBERS = st.sampled_from([3.5, 5.5, 7.5])
NUMERIC = st.builds(lambda low, high: {"numeric": [">=", low, "<", high]}, NUMBERS, NUMBERS)
CONDITIONS = {
    "text": TEXTS | st.builds(dict, prefix=TEXTS) | st.sampled_from([EXISTS, MISSING]) | st.none(),
    "number": NUMBERS | NUMERIC | st.sampled_from([EXISTS, MISSING]),
    "flag": st.booleans() | st.sampled_from([EXISTS, MISSING]),
}
VALUES_OF = {"text": TEXTS | st.none() | st.lists(TEXTS, min_size=1, max_size=3), "number": NUMBERS | TEXTS}
VALUES_OF["flag"] = st.booleans() | TEXTS
LEAF_PATTERNS = {kind: st.lists(conditions, min_size=1, max_size=3) for kind, conditions in CONDITIONS.items()}


@given(
    st.fixed_dictionaries({"text": LEAF_PATTERNS["text"], "inner": st.fixed_dictionaries(LEAF_PATTERNS)}),
    st.fixed_dictionaries({}, optional={**VALUES_OF, "inner": st.fixed_dictionaries({}, optional=VALUES_OF)}),
)
def test_any_pattern_means_the_same_to_another_matcher(pattern: Pattern, event: Event) -> None:
    assert matches(pattern, event) == second_opinion(pattern, event)
