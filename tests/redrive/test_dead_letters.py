import json
from typing import Any

import pytest
from examples import ACCOUNT, REGION
from findings import HOSTILE, events, recorded
from hypothesis import example, given
from hypothesis import strategies as st

from threatmon.model.email import MESSAGE_QUOTA
from threatmon.model.one_line import one_line
from threatmon.redrive.dead_letters import SUBJECT_LENGTH, DeadLetter, plain_text, raw_event, read

ANY_TEXT = st.text(st.characters(), max_size=60)  # half surrogate pairs too
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | HOSTILE,
    lambda entries: st.lists(entries, max_size=3) | st.dictionaries(HOSTILE, entries, max_size=3),
    max_leaves=8,
)
# Findings of any shape under the keys the mail reads.
MISSHAPEN = st.fixed_dictionaries(
    {"severity": st.just(5) | ANY_JSON},
    optional=dict.fromkeys(("type", "title", "accountId", "region", "id", "resource", "service"), ANY_JSON),
).map(lambda detail: {"detail": detail})
BODIES = ANY_TEXT | st.one_of(ANY_JSON, MISSHAPEN, events(HOSTILE)).map(json.dumps)
DEEP = '{"detail": {"severity": 5, "service": %s}}'


def letter(body: Any = "x", **attributes: str) -> DeadLetter:
    return read(body if isinstance(body, str) else json.dumps(body), attributes)


def portscan(**changes: Any) -> dict[str, Any]:
    event = recorded("ec2_portscan")
    return event | {"detail": event["detail"] | changes}


def test_a_message_has_its_finding_its_topic_and_why_it_failed() -> None:
    read = letter(portscan(), TARGET_ARN="arn:topic", ERROR_CODE="INVALID_JSON", ERROR_MESSAGE="line\nbreak")
    assert (read.target_arn, read.error) == ("arn:topic", r"INVALID_JSON: line\nbreak")
    names = ("type", "severity", "accountId", "region", "nowhere", "service")
    values = ["Recon:EC2/Portscan", "5", ACCOUNT, REGION, "", ""]
    assert [read.field(name) for name in names] == values
    assert read.band
    assert read.band.name == "medium"


@pytest.mark.parametrize("body", ["", "no JSON", "[]", "5", "{}", '{"detail": 5}', '{"detail": []}', "[" * 5000])
def test_a_body_that_is_no_event_has_no_finding(body: str) -> None:
    read = letter(body)
    assert (read.detail, read.band, read.field("type"), read.error, read.target_arn) == ({}, None, "", "", "")
    assert plain_text(read, "aws").subject == "Sent again: an alert"


def test_the_plain_message_is_the_mail_without_quotes_and_the_event_below() -> None:
    event = portscan(title='say "hi"\n\u202ethere')
    subject, body = plain_text(letter(event, ERROR_CODE="INVALID_JSON"), "aws", "Prod", "/logs", "board")
    assert subject == "Sent again: MEDIUM Recon:EC2/Portscan (111122223333, eu-west-1)"
    lines = body.split("\n")
    assert lines[0] == "This could not be delivered (INVALID_JSON). It is sent again as plain text."
    assert lines[2:5] == ["MEDIUM: Recon:EC2/Portscan", r'say "hi"\n\u202ethere', ""]
    assert "Account: 111122223333 (Prod)" in lines
    assert "Resource: Instance i-0abcd1234ef567890" in lines
    assert any(line.startswith("The finding: https://console.aws.amazon.com/guardduty/") for line in lines)
    assert any("logsV2:logs-insights" in line for line in lines)
    dashboard = "https://console.aws.amazon.com/cloudwatch/home?region=eu-west-1#dashboards/dashboard/board"
    assert f"Dashboard and saved queries: {dashboard}" in lines
    assert lines[-2] == "What could not be delivered:"
    assert json.loads(lines[-1]) == event


def test_links_are_those_of_the_partition_and_only_to_what_there_is() -> None:
    body = plain_text(letter(portscan()), "aws-us-gov").body
    assert "https://console.amazonaws-us-gov.com/guardduty/" in body
    assert "logs-insights" not in body
    assert "dashboard" not in body


def test_a_line_whose_value_is_no_scalar_is_left_out_and_the_others_stay() -> None:
    lines = plain_text(letter(portscan(title={"no": "text"})), "aws").body.split("\n")
    assert lines[2:4] == ["MEDIUM: Recon:EC2/Portscan", ""]
    assert not [line for line in lines[:-1] if '"no"' in line]


@pytest.mark.parametrize("severity", [None, "5", True, [], float("nan")])
def test_a_finding_without_a_severity_is_sent_as_the_event_alone(severity: object) -> None:
    event = portscan(severity=severity)
    subject, body = plain_text(letter(event), "aws")
    assert subject == "Sent again: Recon:EC2/Portscan (111122223333, eu-west-1)"
    assert body.split("\n")[2:] == ["What could not be delivered:", json.dumps(event)]


def test_text_that_is_no_json_is_sent_as_it_is_on_one_line() -> None:
    assert plain_text(letter("one\ntwo\x00 \u2028ümlaut\ud800"), "aws").body.split("\n")[-1] == (
        r"one\ntwo\x00 \u2028ümlaut\ud800"
    )


def test_a_long_title_is_cut_in_the_mail_and_whole_in_the_event() -> None:
    title = "t" * 100_000
    lines = plain_text(letter(portscan(title=title)), "aws").body.split("\n")
    assert lines[3] == "t" * 1000
    assert title in lines[-1]


@pytest.mark.parametrize("character", ["x", "ü", "\U0001f600", "\n"])
def test_what_sns_would_not_take_is_cut_and_says_so(character: str) -> None:
    body = plain_text(letter(character * (MESSAGE_QUOTA // len(one_line(character).encode()))), "aws").body
    assert MESSAGE_QUOTA - 1100 < len(body.encode()) <= MESSAGE_QUOTA - SUBJECT_LENGTH
    assert body.split("\n")[-1].startswith("[cut: the whole message has ")


def test_a_long_reason_leaves_room_for_the_event() -> None:
    assert plain_text(letter("the event", ERROR_MESSAGE="e" * MESSAGE_QUOTA), "aws").body.endswith("\nthe event")


@pytest.mark.parametrize("depth", range(100, 1000, 50))
def test_an_event_nested_too_deep_for_the_mail_is_sent_as_it_is(depth: int) -> None:
    body = DEEP % ("[" * depth + "]" * depth)
    assert plain_text(letter(body), "aws").body.endswith(f"\n{body}")


def test_what_sns_takes_is_not_cut() -> None:
    body = plain_text(letter("x" * (MESSAGE_QUOTA - 2000)), "aws").body
    assert body.endswith("x" * 1000)
    assert "[cut:" not in body


@example('{"detail": {"severity": %s}}' % ("9" * 5000))
@given(body=BODIES)
def test_every_body_becomes_a_message_that_sns_takes(body: str) -> None:
    subject, text = plain_text(letter(body, ERROR_CODE=body, ERROR_MESSAGE=body), "aws", "Prod", "/logs", "board")
    assert subject
    assert subject.isascii()
    assert subject.isprintable()
    assert subject.startswith("Sent again: ")
    assert len(subject) <= SUBJECT_LENGTH
    assert len(text.encode()) <= MESSAGE_QUOTA
    assert all(line.isprintable() for line in text.split("\n"))
    assert text.split("\n")[-1] == one_line(body)


@given(event=events(HOSTILE))
def test_every_finding_keeps_its_place_in_the_mail_whatever_its_texts_hold(event: dict[str, Any]) -> None:
    lines = plain_text(letter(event), "aws").body.split("\n")
    labels = [line.split(":")[0] for line in lines]
    expected = ["Severity", "Account", "Region", "Resource", "Remote", "First seen", "Last seen", "Count", "Finding id"]
    assert labels[5:14] == expected


@given(event=events(HOSTILE))
def test_a_raw_event_is_untouched(event: dict[str, Any]) -> None:
    publication = raw_event(letter(json.dumps(event, ensure_ascii=False)))
    assert publication
    assert publication.subject is None
    assert json.loads(publication.body) == event


def test_half_a_surrogate_pair_in_a_raw_event_stays_the_same_json() -> None:
    body = r'{"detail": {"title": "\ud800"}}'
    assert raw_event(letter('{"detail": {"title": "\ud800"}}')) == (None, body)


@pytest.mark.parametrize(("size", "fits"), [(MESSAGE_QUOTA, True), (MESSAGE_QUOTA + 1, False)])
def test_a_raw_event_is_never_cut(size: int, fits: bool) -> None:
    body = json.dumps({"detail": {}, "x": ""})
    body = body[:-2] + "x" * (size - len(body)) + body[-2:]
    assert raw_event(letter(body)) == ((None, body) if fits else None)
