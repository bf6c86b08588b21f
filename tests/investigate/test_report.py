import json
from typing import Any

import pytest
from findings import RECORDED, events, recorded
from hypothesis import given

from threatmon.investigate.finding import severity_word
from threatmon.investigate.investigation import InvestigationResult
from threatmon.investigate.report import report
from threatmon.investigate.subject import Subject, subject_of
from threatmon.reports.rendering import render

SCAN = recorded("ec2_portscan")["detail"]


@pytest.mark.parametrize(
    ("severity", "word"), [(2, "LOW"), (5, "MEDIUM"), (8.9, "HIGH"), (9, "CRITICAL"), ("x", "?"), (None, "?")]
)
def test_a_severity_is_a_word(severity: object, word: str) -> None:
    assert severity_word({"severity": severity}) == word


@pytest.mark.parametrize("name", RECORDED)
def test_every_recorded_finding_has_a_report_that_names_it(name: str) -> None:
    detail = recorded(name)["detail"]
    text = render(report(InvestigationResult(subject_of(detail))), "markdown")
    assert text.startswith(f"# {detail['type']}\n")
    assert detail["id"] in text
    assert ("names no instance" in text) is ("instanceDetails" not in detail["resource"])
    made_up = '"sample": true' in json.dumps(detail)
    assert ("This is a sample finding: GuardDuty made up its resources." in text) is made_up


@given(events())
def test_every_finding_of_the_model_has_a_report(event: dict[str, Any]) -> None:
    shown = report(InvestigationResult(subject_of(event["detail"]), failures={"others": "no", "traffic": "no"}))
    assert render(shown, "markdown").startswith("# ")
    assert shown.data["finding"] == event["detail"]


def test_nothing_found_out_is_known_as_such() -> None:
    assert not InvestigationResult(Subject("i-1")).anything
    assert not InvestigationResult(subject_of(SCAN), failures={"others": "no"}).anything
    assert InvestigationResult(subject_of(SCAN), others=[]).anything
    assert InvestigationResult(subject_of(recorded("eks")["detail"])).anything
    assert not InvestigationResult(Subject("i-1"), others=[]).anything
    assert InvestigationResult(Subject("i-1"), others=[SCAN]).anything
