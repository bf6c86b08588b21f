import json

import pytest
from examples import ACCOUNT, REGION
from findings import recorded
from hypothesis import given
from hypothesis import strategies as st

from threatmon.model.one_line import one_line
from threatmon.redrive.undelivered import Undelivered, json_object, reason

ANY_TEXT = st.text(st.characters(), max_size=60)  # half surrogate pairs too


def letter(body: str) -> Undelivered:
    return Undelivered("id", 0, body, json_object(body), "", [], "", "receipt")


def test_an_alert_has_the_fields_of_its_finding() -> None:
    alert = letter(json.dumps(recorded("ec2_portscan")))
    names = ("type", "severity", "accountId", "region", "nowhere", "service")
    assert [alert.field(name) for name in names] == ["Recon:EC2/Portscan", "5", ACCOUNT, REGION, "", ""]
    assert alert.band
    assert alert.band.name == "medium"


@pytest.mark.parametrize(
    "body", ["", "no JSON", "[]", "5", '{"detail": NaN}', '{"detail": 1e999}', '{"a": %s}' % ("9" * 5000), "[" * 5000]
)
def test_what_is_no_object_of_json_has_no_finding(body: str) -> None:
    alert = letter(body)
    assert (alert.event, alert.detail, alert.band, alert.field("type")) == ({}, {}, None, "")


@pytest.mark.parametrize("detail", [5, [], None, "text"])
def test_an_event_whose_detail_is_no_object_has_no_finding(detail: object) -> None:
    alert = letter(json.dumps({"detail": detail}))
    assert (alert.event, alert.detail) == ({"detail": detail}, {})


@given(text=ANY_TEXT)
def test_a_field_and_a_reason_are_one_line_each(text: str) -> None:
    assert letter(json.dumps({"detail": {"type": text}})).field("type") == one_line(text)
    assert reason(None, text, "", "more") == ": ".join(filter(None, [one_line(text), "more"]))


def test_a_long_field_and_a_long_reason_are_cut() -> None:
    assert letter(json.dumps({"detail": {"type": "x" * 100_000}})).field("type") == "x" * 1000
    assert reason("x" * 100_000) == "x" * 1000


@given(body=ANY_TEXT)
def test_any_text_can_be_read(body: str) -> None:
    assert json_object(body) == {}
