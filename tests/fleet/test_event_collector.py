from collections.abc import Mapping
from typing import Any

import pytest
from fleet.fake_engine import LOG_GROUP, TOPIC, done, pre, says
from pulumi.automation.events import EngineEvent

from threatmon.fleet.changes import UNKNOWN, ResourceChange
from threatmon.fleet.event_collector import EventCollector

DETECTOR = "aws:guardduty/detector:Detector"


def collected(*events: Mapping[str, Any], refreshing: bool = False) -> EventCollector:
    collector = EventCollector(refreshing)
    for number, event in enumerate(events):
        collector(EngineEvent.from_json({"sequence": number, "timestamp": 1, **event}))
    return collector


def test_a_change_has_the_inputs_before_and_after_and_the_kinds_of_its_differences() -> None:
    old, new = {"name": "a", "tags": {"team": "x"}}, {"name": "b", "kmsKeyId": UNKNOWN}
    diff = {"name": "update-replace", "tags.team": "delete", "kmsKeyId": "add"}
    collector = collected(
        pre("create", TOPIC, "new", None, {"name": "n"}),
        pre("same", TOPIC, "kept", {"name": "k"}, {"name": "k"}),
        pre("replace", TOPIC, "a :: b", old, new, diff=diff),
        pre("delete", TOPIC, "gone", {"name": "g"}),
        pre("read", TOPIC, "looked-up", None, {}),
        pre("import", DETECTOR, "taken-over", None, {"enable": True}),
    )
    assert collector.changes == [
        ResourceChange("create", TOPIC, "new", {}, {"name": "n"}, {}),
        ResourceChange("same", TOPIC, "kept", {"name": "k"}, {"name": "k"}, {}),
        ResourceChange("replace", TOPIC, "a :: b", old, new, diff),
        ResourceChange("delete", TOPIC, "gone", {"name": "g"}, {}, {}),
        ResourceChange("read", TOPIC, "looked-up", {}, {}, {}),
        ResourceChange("import", DETECTOR, "taken-over", {}, {"enable": True}, {}),
    ]
    assert collector.changed == 4


def test_components_providers_and_the_stack_itself_are_no_changes() -> None:
    component = {"custom": False}
    collector = collected(
        pre("create", "pulumi:pulumi:Stack", "threat-monitor-prod", None, {}, new_state=component),
        pre("create", "threat-monitor:index:ThreatMonitor", "threat-monitor", None, {}, new_state=component),
        pre("delete", "threat-monitor:index:Old", "old", {}, None, old_state=component),
        pre("create", "pulumi:providers:aws", "default", None, {"region": "eu-west-1"}),
    )
    assert collector.changes == []


@pytest.mark.parametrize(
    "op", ["create-replacement", "delete-replaced", "discard-replaced", "read-replacement", "remove-pending-replace"]
)
def test_the_halves_of_a_replacement_are_not_reported_besides_it(op: str) -> None:
    replaced = pre("replace", LOG_GROUP, "group", {"name": "a"}, {"name": "b"})
    half = pre(op, LOG_GROUP, "group", {"name": "a"}, {"name": "b"})
    assert [change.op for change in collected(half, replaced, half).changes] == ["replace"]


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("after", [True, False])
def test_what_is_retained_is_said_by_the_state_and_not_by_the_program(before: bool, after: bool) -> None:
    states = {"old_state": {"retainOnDelete": before}, "new_state": {"retainOnDelete": after}}
    collector = collected(
        pre("replace", LOG_GROUP, "group", {}, {}, **states),
        pre("delete", LOG_GROUP, "group", {}, old_state={"retainOnDelete": before}),
        pre("create", LOG_GROUP, "group", None, {}, new_state={"retainOnDelete": after}),
    )
    assert [change.retained for change in collector.changes] == [before, before, after]


def test_without_detail_the_names_of_what_differs_are_given() -> None:
    event = pre("replace", TOPIC, "topic", {}, {}, diffs=["name", "tags"], keys=["name", "policy"])
    assert collected(event).changes[0].diff == {"name": "update-replace", "tags": "update"}


def test_warnings_and_errors_are_kept_without_markup_and_what_is_printed_is_not() -> None:
    collector = collected(
        says("info", "a line of output"),
        says("info#err", "chatter"),
        says("warning", "findingTypes: no such type: <{%fg 1%}>Recon<{%reset%}>"),
        says("error", "resource 'd' has a problem"),
    )
    assert (collector.warnings, collector.errors) == (
        ["findingTypes: no such type: Recon"],
        ["resource 'd' has a problem"],
    )


def test_a_refresh_reports_what_it_has_found_and_not_what_it_looks_at() -> None:
    old, new = {"retentionInDays": 365}, {"retentionInDays": 7}
    collector = collected(
        pre("refresh", LOG_GROUP, "group", old, old),
        pre("refresh", TOPIC, "topic", {}, {}),
        done("update", LOG_GROUP, "group", old, new, diff={"retentionInDays": "update"}),
        done("same", TOPIC, "topic", {}, {}),
        done("delete", DETECTOR, "detector", {"enable": True}, {"enable": True}),
        refreshing=True,
    )
    assert collector.changes == [
        ResourceChange("update", LOG_GROUP, "group", old, new, {"retentionInDays": "update"}),
        ResourceChange("same", TOPIC, "topic", {}, {}, {}),
        ResourceChange("delete", DETECTOR, "detector", {"enable": True}, {}, {}),
    ]
