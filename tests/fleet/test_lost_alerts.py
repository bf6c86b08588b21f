"""Alerts that an update would stop."""

import json
from typing import Any

import pytest
from harness import RULE, SUBSCRIPTION, TARGET, TOPIC
from hypothesis import given
from hypothesis import strategies as st

from threatmon.fleet.changes import UNKNOWN, Op, ResourceChange
from threatmon.fleet.lost_alerts import dropped_findings, dropped_subscribers
from threatmon.model.event_patterns import alert_rules, compact
from threatmon.model.finding_types import catalogue, covers
from threatmon.model.severity import BANDS, SeverityName, lowest

ARN = "arn:aws:sns:eu-west-1:111122223333:alerts-1a2b3c4"
Inputs = dict[str, Any]

PORTS, SWEEP = "Recon:EC2/Portscan", "Impact:EC2/PortSweep"
ACTIVE = sorted(name for name, type_ in catalogue().items() if not type_.retired)
FAMILIES = ["*", "Recon:*", "Recon:EC2/*", "UnauthorizedAccess:*", "CredentialAccess:IAMUser/*", "Impact:*"]
SEVERITIES = [*range(12), *(band.below - 0.1 for band in BANDS if band.below)]


def _change(op: Op, type_: str, name: str, old: Inputs | None = None, new: Inputs | None = None) -> ResourceChange:
    """A change; of one that stays or goes, the new inputs need not be given."""
    old = old or {}
    return ResourceChange(op, type_, name, old, (old if op == "same" else new) or {}, {})


def _pattern(*types: str, floor: SeverityName = "low") -> str:
    """A pattern that lets these types through from a severity up."""
    least = {"low": 0, "medium": 4, "high": 7, "critical": 9}[floor]
    detail: Inputs = {"severity": [{"numeric": [">=", least]}]}
    if types:
        detail["type"] = [{"prefix": name[:-1]} if name.endswith("*") else name for name in types]
    return json.dumps({"source": ["aws.guardduty"], "detail-type": ["GuardDuty Finding"], "detail": detail})


def _rule(
    op: Op, old: str | None, new: str | None = None, name: str = "alerts", **further: Any
) -> list[ResourceChange]:
    """A rule with a target that stays, before and after."""
    target = {"rule": f"{name}-1a2b3c4", "arn": ARN}
    return [
        _change(
            op,
            RULE,
            name,
            {"name": f"{name}-1a2b3c4", "eventPattern": old} if old else None,
            {"name": f"{name}-1a2b3c4", "eventPattern": new, **further} if new else None,
        ),
        _change("same", TARGET, name, target),
    ]


def _dropped(*changes: ResourceChange) -> list[tuple[str, str]]:
    return list(dropped_findings(changes))


@pytest.mark.parametrize(
    ("old", "new", "lost"),
    [
        (_pattern(PORTS, SWEEP), _pattern(SWEEP), PORTS),
        (_pattern(), _pattern(*ACTIVE[5:]), f"{', '.join(ACTIVE[:3])} and 2 more"),
        (_pattern("Recon:*"), _pattern("Recon:*", floor="high"), "all findings of low and medium severity"),
    ],
)
def test_what_no_longer_alerts_is_named(old: str, new: str, lost: str) -> None:
    assert _dropped(*_rule("update", old, new)) == [("alerts", f"alerts end for {lost}")]


def test_a_type_that_goes_from_some_severities_is_named_with_them() -> None:
    ports = _rule("update", _pattern(PORTS), _pattern(PORTS, floor="critical"), "ports")
    assert _dropped(*_rule("same", _pattern(SWEEP)), *ports) == [
        ("ports", f"alerts end for {PORTS} of low, medium and high severity")
    ]


@pytest.mark.parametrize("name", ["NewPurpose:EC2/NewThing", "NewPurpose:EC2/*"])
def test_a_type_newer_than_the_catalogue_is_missed_too(name: str) -> None:
    changes = _rule("update", _pattern(name, "Recon:*"), _pattern("Recon:*"))
    assert _dropped(*changes) == [("alerts", f"alerts end for {name}")]
    assert _dropped(*_rule("update", _pattern(name), _pattern("NewPurpose:*"))) == []


def test_a_retired_type_is_not_missed() -> None:
    retired = next(name for name, type_ in catalogue().items() if type_.retired)
    assert _dropped(*_rule("update", _pattern(retired, "Recon:*"), _pattern("Recon:*"))) == []


def test_a_disabled_rule_lets_nothing_through() -> None:
    pattern = _pattern(PORTS)
    everything = "alerts end for all findings of low, medium, high and critical severity"
    assert _dropped(*_rule("update", pattern, pattern, state="DISABLED")) == [("alerts", everything)]
    assert _dropped(*_rule("update", pattern, pattern, state="ENABLED")) == []


def test_a_rule_without_a_target_alerts_nobody() -> None:
    rule, target = _rule("same", _pattern(PORTS))
    gone = target._replace(op="delete", new={})
    assert [resource for resource, _ in _dropped(rule, gone)] == ["alerts"]
    assert _dropped(rule, gone, _change("create", TARGET, "other", None, dict(target.old))) == []
    assert _dropped(rule, gone, _change("create", TARGET, "other", None, {"rule": "another"})) != []


def test_a_target_of_a_new_rule_may_not_know_its_name_yet() -> None:
    rule, target = _rule("replace", _pattern(PORTS), _pattern("Recon:EC2/*"))
    assert _dropped(rule, target._replace(op="replace", new={"rule": UNKNOWN})) == []


def test_a_rule_that_had_no_target_loses_nothing() -> None:
    rule, _ = _rule("delete", _pattern(PORTS))
    assert _dropped(rule) == []


@pytest.mark.parametrize("text", ['{"detail": {"type": [{"wildcard": "*"}]}}', "{", UNKNOWN])
def test_a_pattern_that_cannot_be_judged_is_suspect_once_it_changes(text: str) -> None:
    pattern = _pattern(PORTS)
    assert _dropped(*_rule("update", text, pattern)) != []
    assert _dropped(*_rule("update", pattern, text)) != []
    assert _dropped(*_rule("same", text)) == []
    assert _dropped(*_rule("update", text, _pattern())) == []


def test_conditions_of_any_shape_are_judged() -> None:
    odd = json.dumps({"source": ["aws.guardduty"], "detail": {"type": [5, None, {"exists": True}]}})
    assert _dropped(*_rule("update", odd, _pattern())) == []
    assert _dropped(*_rule("update", odd, _pattern("Recon:*"))) != []


def test_rules_on_other_events_do_not_count() -> None:
    schedule = _change("delete", RULE, "nightly", {"name": "nightly", "scheduleExpression": "rate(1 day)"})
    other = json.dumps({"source": ["aws.health"]})
    assert _dropped(*_rule("delete", other), schedule) == []


SELECTIONS = st.lists(st.sampled_from(ACTIVE[::9] + FAMILIES), min_size=1, max_size=4)
FLOORS = st.sampled_from([band.name for band in BANDS])


def _stack(op: Op, selection: list[str], floor: SeverityName) -> list[ResourceChange]:
    """The rules of a stack that is made or goes."""
    changes: list[ResourceChange] = []
    for rule in alert_rules(selection, floor):
        inputs = {"name": f"{op}-{rule.key}", "eventPattern": compact(rule.pattern)}
        target = {"rule": inputs["name"]}
        for type_, its in ((RULE, inputs), (TARGET, target)):
            changes.append(_change(op, type_, inputs["name"], *([its] if op == "delete" else [None, its])))
    return changes


def _selected(selection: list[str], floor: SeverityName) -> set[tuple[str, float]]:
    """The findings a stack alerts on, by what its config says."""
    return {
        (name, severity)
        for name in ACTIVE
        if any(covers(entry, name) for entry in selection)
        for severity in SEVERITIES
        if severity >= (lowest(floor) or 0)
    }


@given(SELECTIONS, FLOORS, SELECTIONS, FLOORS)
def test_something_is_dropped_exactly_if_the_new_config_selects_less(
    old: list[str], old_floor: SeverityName, new: list[str], new_floor: SeverityName
) -> None:
    found = _dropped(*_stack("delete", old, old_floor), *_stack("create", new, new_floor))
    assert bool(found) == bool(_selected(old, old_floor) - _selected(new, new_floor))


def _subscription(op: Op, name: str, old: str | None, new: str | None = None) -> ResourceChange:
    def inputs(topic: str | None) -> Inputs | None:
        return {"topic": topic, "protocol": "email", "endpoint": name} if topic else None

    return _change(op, SUBSCRIPTION, name, inputs(old), inputs(new))


def _topic(op: Op) -> ResourceChange:
    return _change(op, TOPIC, "alerts", {"name": "alerts-1a2b3c4"})


ENDS = "its only subscription ends; a new one receives nothing until it is confirmed"
GONE = _subscription("delete", "a", ARN)


@pytest.mark.parametrize(
    ("subscriptions", "expected"),
    [
        ([GONE], [("alerts", ENDS)]),
        ([_subscription("replace", "a", ARN, ARN)], [("alerts", ENDS)]),
        ([GONE, _subscription("create", "b", None, ARN)], [("alerts", ENDS)]),
        ([GONE, _subscription("same", "b", f"{ARN}-raw")], [("alerts", ENDS)]),  # of another topic
        ([GONE, _subscription("same", "b", ARN)], []),
        ([GONE, _subscription("update", "b", ARN, ARN)], []),
    ],
)
def test_a_topic_is_named_unless_one_of_its_subscriptions_stays(
    subscriptions: list[ResourceChange], expected: list[tuple[str, str]]
) -> None:
    assert list(dropped_subscribers([_topic("same"), *subscriptions])) == expected


@pytest.mark.parametrize("op", ["delete", "replace"])
def test_a_topic_that_goes_takes_its_subscriptions_along(op: Op) -> None:
    changes = [_topic(op), _subscription("same", "a", ARN), _subscription("same", "b", ARN)]
    [(resource, text)] = dropped_subscribers(changes)
    assert (resource, text.split(";")[0]) == ("alerts", "all its 2 subscriptions end")


def test_a_topic_that_never_had_a_subscription_has_none_to_lose() -> None:
    assert list(dropped_subscribers([_topic("delete"), _subscription("create", "a", None, UNKNOWN)])) == []


def test_a_topic_of_another_stack_is_called_by_its_name() -> None:
    assert list(dropped_subscribers([_subscription("delete", "a", ARN)])) == [("alerts-1a2b3c4", ENDS)]
