import json
from typing import Any

import pytest
from findings import HOSTILE, events, recorded
from hypothesis import example, given
from hypothesis import strategies as st
from redrive.test_undelivered import ANY_TEXT

from threatmon.model.state_machine import QUOTA
from threatmon.redrive.execution_input import execution_input
from threatmon.redrive.undelivered import Undelivered, json_object

MEBIBYTE = 1024 * 1024
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | HOSTILE,
    lambda entries: st.lists(entries, max_size=3) | st.dictionaries(HOSTILE, entries, max_size=3),
    max_leaves=8,
)
# Findings of any shape under the keys that a shortened event has.
MISSHAPEN = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(("type", "severity", "title", "description", "id", "resource", "service"), ANY_JSON),
).map(lambda detail: {"detail": detail})


def sent(body: Any, *channels: str) -> dict[str, Any]:
    text = body if isinstance(body, str) else json.dumps(body)
    written = execution_input(Undelivered("id", 0, text, json_object(text), "", channels, ""))
    assert len(written.encode()) <= QUOTA
    return json.loads(written)


def large(event: dict[str, Any], character: str = "x") -> dict[str, Any]:
    """An event of a mebibyte, most of which is in a list of its resource."""
    length = len(json.dumps(character, ensure_ascii=False).encode()) - 2
    buckets = [{"name": character * (1000 // length)}] * 1000
    resource = {**event["detail"]["resource"], "s3BucketDetails": buckets}
    return {**event, "detail": {**event["detail"], "resource": resource}}


@given(event=events(HOSTILE))
def test_an_event_stays_as_it_is(event: dict[str, Any]) -> None:
    assert sent(event) == json.loads(json.dumps(event).encode("utf-8", "replace"))


@pytest.mark.parametrize("before", [{}, {"channels": ["mail", "slack", "teams"]}])
def test_the_channels_are_named_in_the_event(before: dict[str, Any]) -> None:
    event = recorded("ec2_portscan")
    assert sent(event | before, "slack", "teams") == event | {"channels": ["slack", "teams"]}


def test_without_channels_those_of_the_event_hold() -> None:
    assert sent({"detail": {}, "channels": ["mail"]}) == {"detail": {}, "channels": ["mail"]}


@pytest.mark.parametrize("character", ["x", "ü", "\U0001f600", '"', "\n", "\0"])
def test_of_an_event_of_a_mebibyte_stays_what_matters(character: str) -> None:
    event = recorded("ec2_portscan")
    reduced, detail = sent(large(event, character), "mail"), event["detail"]
    assert (reduced.pop("channels"), reduced.pop("shortened")) == (["mail"], True)
    envelope = ("source", "detail-type", "account", "region", "time")
    assert {key: reduced[key] for key in envelope} == {key: event[key] for key in envelope}
    names = ("id", "type", "severity", "accountId", "region", "title", "description")
    assert {key: reduced["detail"][key] for key in names} == {key: detail[key] for key in names}
    assert reduced["detail"]["resource"] == {
        "resourceType": "Instance",
        "instanceDetails": {"instanceId": detail["resource"]["instanceDetails"]["instanceId"]},
    }
    service = ("count", "eventFirstSeen", "eventLastSeen")
    assert {key: reduced["detail"]["service"][key] for key in service} == {
        key: detail["service"][key] for key in service
    }


def test_long_texts_of_a_long_event_are_cut_and_say_so() -> None:
    event = {"detail": {"type": "t" * 301, "title": "u" * 300, "description": "d" * MEBIBYTE}}
    assert sent(event)["detail"] == {
        "type": "t" * 300 + "... (cut)",
        "title": "u" * 300,
        "description": "d" * 3000 + "... (cut)",
    }


def test_the_channels_count_too() -> None:
    event = {"detail": {"type": "x", "y": ""}}
    event["detail"]["y"] = "y" * (QUOTA - len(json.dumps(event, separators=(",", ":"))))
    assert sent(event) == event
    assert sent(event, "mail") == {"detail": {"type": "x"}, "shortened": True, "channels": ["mail"]}


@given(event=MISSHAPEN, channels=st.lists(st.sampled_from(["mail", "slack"]), unique=True))
def test_of_a_large_event_of_any_shape_stays_something(event: dict[str, Any], channels: list[str]) -> None:
    event["detail"]["more"] = "x" * MEBIBYTE
    reduced = sent(event, *channels)
    assert reduced["detail"] is None or reduced["detail"].keys() <= event["detail"].keys() - {"more"}
    assert reduced.get("channels", []) == channels


@example("")
@example("[" * 5000)
@given(body=ANY_TEXT)
def test_what_is_no_event_is_sent_as_an_event_without_a_finding(body: str) -> None:
    text = body.encode("utf-8", "replace").decode()
    assert sent(body, "mail") == {"detail": None, "body": text, "channels": ["mail"]}


@pytest.mark.parametrize("character", ["x", "ü", "\U0001f600", '"', "\n", "\0", "\ud800"])
def test_a_long_text_is_cut_and_says_so(character: str) -> None:
    body = sent(character * 300_000)["body"]
    assert body.endswith("... (cut)")
    assert len(body) == 40_000 + len("... (cut)")


def test_a_long_object_without_a_finding_is_cut_as_a_text() -> None:
    body = json.dumps({"order": "x" * MEBIBYTE})
    assert sent(body) == {"detail": None, "body": body[:40_000] + "... (cut)"}


def test_half_a_surrogate_pair_is_replaced() -> None:
    assert sent('{"detail": {"title": "\\ud800!"}}') == {"detail": {"title": "?!"}}
