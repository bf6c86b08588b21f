from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from findings import events, recorded
from hypothesis import given

from threatmon.investigate.instance import recorded_instance
from threatmon.investigate.subject import Window, subject_of, window
from threatmon.investigate.traffic_queries import endpoint_of

NOW = datetime(2026, 9, 20, 12, tzinfo=UTC)
SCAN = recorded("ec2_portscan")["detail"]


def seen(first: str, last: str) -> dict[str, Any]:
    return {"service": {"eventFirstSeen": first, "eventLastSeen": last}}


def day(number: int, hour: int = 0, minute: int = 0, second: int = 0) -> datetime:
    return datetime(2026, 9, number, hour, minute, second, tzinfo=UTC)


WEEKS = seen("2026-09-01T00:00:00Z", "2026-09-14T10:00:00Z")
RECORD = {"createdAt": "2026-09-14T10:00:00Z", "updatedAt": "2026-09-14T11:00:00+02:00"}
LAST_DAY = Window(NOW - timedelta(hours=24), NOW)


@pytest.mark.parametrize(
    ("finding", "now", "hours", "expected"),
    [
        pytest.param(SCAN, NOW, None, Window(day(14, 8, 31, 2), day(14, 10, 44, 57)), id="an hour around a finding"),
        pytest.param(WEEKS, NOW, None, Window(day(13, 11), day(14, 11), cut=24 * 13 + 12), id="cut to the last day"),
        pytest.param(WEEKS, NOW, 2, Window(day(1) - timedelta(hours=2), day(14, 12)), id="not cut if hours are given"),
        pytest.param(SCAN, day(14, 9, 50), None, Window(day(14, 8, 31, 2), day(14, 9, 50)), id="not beyond now"),
        pytest.param(SCAN, day(1), None, Window(day(14, 8, 31, 2), day(14, 10, 44, 57)), id="a clock that is behind"),
        pytest.param(RECORD, NOW, None, Window(day(14, 8), day(14, 11)), id="the times of the record if no others"),
        pytest.param(None, NOW, None, LAST_DAY, id="an instance: the last day"),
        pytest.param(None, NOW, 3, Window(NOW - timedelta(hours=3), NOW), id="an instance: the hours given"),
        *((finding, NOW, None, LAST_DAY) for finding in ({}, seen("soon", "later"), {"service": None}, seen("", ""))),
    ],
)
def test_the_window_is_the_time_around_a_finding_or_before_now(
    finding: dict[str, Any] | None, now: datetime, hours: float | None, expected: Window
) -> None:
    assert window(finding, now, hours) == expected


def test_a_window_of_one_day_names_it_once() -> None:
    assert str(window(SCAN, NOW, None)) == "2026-09-14 08:31 to 10:44 UTC"


def test_the_subject_of_a_finding_is_its_instance_and_its_remote_address() -> None:
    about = subject_of(SCAN)
    assert (about.instance_id, about.account_id, about.region) == ("i-0abcd1234ef567890", "111122223333", "eu-west-1")
    assert about.remote_addresses == ("198.51.100.7",)
    assert not about.is_sample
    assert subject_of(recorded("ec2_portscan_sample")["detail"]).is_sample


def test_every_side_of_a_port_probe_is_a_remote_address() -> None:
    sides = [
        {"remoteIpDetails": {"ipAddressV4": address}} for address in ("198.51.100.7", "198.51.100.8", "198.51.100.7")
    ]
    finding = {"service": {"action": {"portProbeAction": {"portProbeDetails": sides}}}}
    assert subject_of(finding).remote_addresses == ("198.51.100.7", "198.51.100.8")


def test_an_instance_of_a_finding_has_the_form_of_a_described_one() -> None:
    described = recorded_instance(SCAN)
    assert described is not None
    assert described["NetworkInterfaces"][0]["Association"] == {"PublicIp": "203.0.113.10"}
    assert endpoint_of("i-0abcd1234ef567890", described).addresses == ("10.20.1.25",)
    assert endpoint_of("i-1", None).interface_ids == ()
    assert recorded_instance(recorded("iam_user")["detail"]) is None
    assert recorded_instance(None) is None


@given(events())
def test_every_finding_of_the_model_has_a_window_and_perhaps_an_instance(event: dict[str, Any]) -> None:
    detail = event["detail"]
    assert (recorded_instance(detail) is None) == (subject_of(detail).instance_id is None)
    assert window(detail, NOW, None).start < window(detail, NOW, None).end
