import json
from typing import Any

import pytest
from fleet.previews import TOPIC, fleets, preview, update
from fleet.test_preview_report import fleet
from hypothesis import given
from hypothesis import strategies as st

from threatmon.fleet.changes import StackPreview
from threatmon.fleet.grouping import fold, status
from threatmon.fleet.preview_document import document, read_document


def as_json(previews: list[StackPreview]) -> Any:
    return json.loads(json.dumps(document(previews)))


@given(fleets)
def test_a_document_is_read_as_the_previews_it_was_made_of(previews: list[StackPreview]) -> None:
    assert read_document(as_json(previews)) == sorted(previews, key=lambda it: it.stack)


@given(fleets, st.integers(1, 4))
def test_documents_of_several_jobs_fold_as_if_there_had_been_one(previews: list[StackPreview], jobs: int) -> None:
    documents = [as_json(previews[job::jobs]) for job in range(jobs)]
    assert fold([preview for it in documents for preview in read_document(it)]) == fold(previews)


def test_a_document_has_each_stack_and_all_of_them_folded() -> None:
    found = as_json(fleet())
    assert found["version"] == 1
    assert found["headline"].startswith("50 stacks: 47 would change")
    assert [it["stack"] for it in found["stacks"]] == sorted(it.stack for it in fleet())
    assert [it["status"] for it in found["stacks"][-3:]] == [status(it) for it in fleet()[-3:]]
    group = found["folded"]["groups"][0]
    assert len(group["stacks"]) == 47
    assert group["changes"][0]["differences"] == [
        {"path": "eventPattern.detail.type", "sign": "+", "old": "", "new": '"Recon:EC2/Portscan"', "replaces": False}
    ]
    assert found["folded"]["dangers"][0]["kind"] == "flow-log-replaced"
    assert found["folded"]["failures"][0]["stacks"] == ["broken"]


def test_a_wrapped_secret_is_hidden() -> None:
    wrapped = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "plaintext": "hunter2"}
    found = as_json([preview("a", update(TOPIC, "t", {"url": wrapped}, {"url": "x"}))])
    assert "hunter2" not in json.dumps(found)
    assert read_document(found)[0].changes[0].old == {"url": "[secret]"}


@pytest.mark.parametrize("found", [None, [], {}, {"version": 2, "stacks": []}])
def test_other_json_is_refused(found: Any) -> None:
    with pytest.raises(ValueError, match="expected the JSON of `threatmon fleet preview --format json`, version 1"):
        read_document(found)


@pytest.mark.parametrize("stacks", [None, "no", [1]])
def test_a_document_without_previews_is_refused(stacks: Any) -> None:
    with pytest.raises(ValueError, match="stacks: expected a list of previews"):
        read_document({"version": 1, "stacks": stacks})


def test_all_faults_of_a_document_are_told_by_their_place() -> None:
    found = as_json(fleet())
    found["stacks"][0]["region"] = 7
    del found["stacks"][1]["changes"][0]["name"]
    with pytest.raises(ValueError, match="stacks") as raised:
        read_document(found)
    assert [line.split(":")[0] for line in str(raised.value).split("\n")] == [
        "stacks.0.region",
        "stacks.1.changes.0.name",
    ]
