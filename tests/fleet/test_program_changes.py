"""The helper plans what the real engine plans: the table of `engine/test_updating.py` holds for both."""

import json
from typing import Any

import pytest
from engine.checkout import CONFIG
from engine.stacks import SUBNETS
from engine.test_updating import CHANGES
from fleet.program_changes import changes_between

from threatmon.fleet.changes import UNKNOWN, ResourceChange

BASE = {key.removeprefix("threat-monitor:"): value for key, value in CONFIG.items()} | {"subnetIds": list(SUBNETS)}


def _planned(changes: list[ResourceChange]) -> dict[str, str]:
    return {
        f"{change.type.rpartition(':')[2]} {change.name.removeprefix('threat-monitor-')}": change.op
        for change in changes
        if change.op != "same"
    }


@pytest.mark.parametrize(("settings", "planned"), CHANGES.values(), ids=CHANGES)
def test_a_changed_setting_has_the_operations_the_engine_plans(
    settings: dict[str, Any], planned: dict[str, str]
) -> None:
    assert _planned(changes_between(BASE, {**BASE, **settings})) == planned


def test_an_unchanged_config_leaves_everything_the_same() -> None:
    changes = changes_between(BASE, BASE)
    assert {change.op for change in changes} == {"same"}
    assert all(change.old == change.new and not change.diff for change in changes)


def test_a_new_stack_is_created_without_anything_of_before() -> None:
    changes = changes_between(None, BASE)
    assert {(change.op, bool(change.old)) for change in changes} == {("create", False)}


def test_what_aws_assigns_to_a_new_resource_is_unknown() -> None:
    named = {change.name: change for change in changes_between(None, BASE)}
    assert named["threat-monitor-alerts-topic-policy"].new["arn"] == UNKNOWN


def test_a_policy_is_known_before_what_it_is_about() -> None:
    named = {change.name: change for change in changes_between(None, BASE)}
    policy = json.loads(named["threat-monitor-alerts-topic-policy"].new["policy"])
    assert policy["Statement"][0]["Resource"].endswith(":threat-monitor-dev-alerts-topic")


def test_a_replacement_names_the_property_that_forces_it() -> None:
    changes = changes_between(BASE, {**BASE, "flowLogs": {"aggregationSeconds": 600}})
    assert [(change.name, change.op, dict(change.diff)) for change in changes if change.op != "same"] == [
        (f"threat-monitor-flow-logs-{subnet}", "replace", {"maxAggregationInterval": "update-replace"})
        for subnet in SUBNETS
    ]


def test_what_is_to_stay_is_retained() -> None:
    kept = {"flowLogs": {"keepOnDestroy": True}}
    changes = changes_between(kept, {"flowLogs": {"logGroupClass": "INFREQUENT_ACCESS"}})
    assert {change.name: change.op for change in changes if change.retained} == {
        "threat-monitor-flow-logs-log-group": "replace"
    }
