import json
from typing import Any

import pytest
from fleet.previews import WRAPPED_SECRET, fleets, preview, update
from fleet.test_preview_report import fleet
from harness import TOPIC
from hypothesis import given
from hypothesis import strategies as st

from threatmon.fleet.changes import StackPreview
from threatmon.fleet.grouping import group, status
from threatmon.fleet.preview_document import read_document
from threatmon.fleet.preview_report import report
from threatmon.reports.rendering import render


def as_json(previews: list[StackPreview]) -> Any:
    return json.loads(render(report(previews), "json"))


@given(fleets, st.integers(1, 4))
def test_documents_of_several_jobs_are_read_as_the_previews_they_were_made_of(
    previews: list[StackPreview], jobs: int
) -> None:
    read = [found for job in range(jobs) for found in read_document(as_json(previews[job::jobs]))]
    assert sorted(read, key=lambda found: found.stack) == sorted(previews, key=lambda found: found.stack)
    assert group(read) == group(previews)


def test_a_document_has_each_stack_and_what_is_equal_grouped() -> None:
    found = as_json(fleet())
    assert found["version"] == 2
    assert found["headline"].startswith("50 stacks: 47 would change")
    assert [each["stack"] for each in found["stacks"]] == sorted(each.stack for each in fleet())
    assert [each["status"] for each in found["stacks"][-3:]] == [status(each) for each in fleet()[-3:]]
    change = found["groups"]["changes"][0]
    assert (change["number"], len(change["stacks"])) == (47, 47)
    assert change["value"]["differences"] == [
        {"path": "eventPattern.detail.type", "sign": "+", "old": "", "new": '"Recon:EC2/Portscan"', "replaces": False}
    ]
    assert found["groups"]["dangers"][0]["value"]["kind"] == "flow-log-replaced"
    assert found["groups"]["failures"][0]["stacks"] == ["broken"]


def test_a_wrapped_secret_is_hidden() -> None:
    found = as_json([preview("a", update(TOPIC, "t", {"url": WRAPPED_SECRET}, {"url": "x"}))])
    assert "hunter2" not in json.dumps(found)
    assert read_document(found)[0].changes[0].old == {"url": "[secret]"}


OTHER = "expected the JSON of `threatmon fleet preview --output json`, version 2"
LIST = "stacks: expected a list of previews"


@pytest.mark.parametrize(
    ("found", "reason"),
    [(None, OTHER), ([], OTHER), ({}, OTHER), ({"version": 1, "stacks": []}, OTHER), ({"version": 2}, LIST)]
    + [({"version": 2, "stacks": stacks}, LIST) for stacks in (None, "no", [1])],
)
def test_other_json_is_refused(found: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_document(found)


def test_all_faults_of_a_document_are_named_by_their_place() -> None:
    found = as_json(fleet())
    found["stacks"][0]["region"] = 7
    del found["stacks"][1]["changes"][0]["name"]
    with pytest.raises(ValueError, match="stacks") as raised:
        read_document(found)
    assert [line.split(":")[0] for line in str(raised.value).split("\n")] == [
        "stacks.0.region",
        "stacks.1.changes.0.name",
    ]
