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


def test_options_alone_that_change_are_an_update() -> None:
    before, after = {"protect": True}, {"retainOnDelete": True}
    inputs = {"name": "group"}
    collector = collected(
        pre("same", LOG_GROUP, "group", inputs, inputs, old_state=before, new_state=after),
        pre("update", TOPIC, "topic", {}, {"name": "t"}, new_state=before, diff={"name": "add"}),
        pre("same", DETECTOR, "detector", {}, {}, old_state=before, new_state=before),
    )
    options = {"protect": (True, False), "retainOnDelete": (False, True)}
    assert collector.changes == [
        ResourceChange("update", LOG_GROUP, "group", inputs, inputs, {}, retained=False, options=options),
        ResourceChange(
            "update", TOPIC, "topic", {}, {"name": "t"}, {"name": "add"}, options={"protect": (False, True)}
        ),
        ResourceChange("same", DETECTOR, "detector", {}, {}, {}),
    ]
    assert collector.changed == 2


def test_outputs_alone_that_change_are_an_update_of_the_stack() -> None:
    old = {"gone": 1, "kept": "a", "changed": "b", "later": "c"}
    new = {"kept": "a", "changed": "B", "later": UNKNOWN, "new": {"of": [UNKNOWN]}}
    states = ({"custom": False, "outputs": old}, {"custom": False, "outputs": new})
    stack = "pulumi:pulumi:Stack"
    collector = collected(
        done("same", stack, "threat-monitor-prod", {}, {}, old_state=states[0], new_state=states[0]),
        done("same", stack, "threat-monitor-prod", {}, {}, old_state=states[0], new_state=states[1]),
    )
    diff = {"gone": "delete", "changed": "update", "new": "add"}
    assert collector.changes == [ResourceChange("update", stack, "threat-monitor-prod", old, new, diff)]
    unknown = {"custom": False, "outputs": {**old, "later": UNKNOWN}}
    later = done("update", stack, "threat-monitor-prod", {}, {}, old_state=states[0], new_state=unknown)
    assert collected(later).changes == []


def test_another_provider_in_place_of_the_one_before_is_a_change() -> None:
    old, new = {"region": "eu-west-1"}, {"region": "eu-west-1", "assumeRoles": "[]"}
    provider = "pulumi:providers:aws"
    events = [
        pre("update", provider, "default_7", old, new),
        pre("create", provider, "default_8", None, new),
        pre("same", provider, "other", old, old),
        pre("delete", provider, "default_6", old),
    ]
    assert collected(*events).changes == [
        ResourceChange("update", provider, "default_7", old, new, {}),
        ResourceChange("delete", provider, "default_6", old, {}, {}),
    ]
    assert collected(done("update", provider, "default_7", old, new), refreshing=True).changes == []


def test_what_exists_is_known_with_its_inputs_and_where_it_is() -> None:
    here, there = (
        {"urn": region, "outputs": {"arn": f"arn:aws:sns:{region}:111122223333:t"}}
        for region in ("eu-west-1", "us-east-1")
    )
    collector = collected(
        pre("replace", TOPIC, "old", {"name": "a"}, {"name": "b"}, old_state=here),
        pre("delete-replaced", TOPIC, "pending", {"name": "c"}, old_state={"urn": "pending"}),
        pre("create", TOPIC, "new", None, {"name": "d"}),
        pre("read", TOPIC, "theirs", {"name": "e"}, {}, old_state=there),
        pre("same", "pulumi:providers:aws", "default", {}, {}, old_state={"urn": "provider"}),
    )
    assert collector.before == {"eu-west-1": {"name": "a"}, "us-east-1": {"name": "e"}}
    assert collector.places == {("111122223333", "eu-west-1")}


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
