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


def test_the_window_is_an_hour_around_the_finding() -> None:
    found = window(SCAN, NOW, None)
    assert (found.start, found.end, found.cut) == (
        datetime(2026, 9, 14, 8, 31, 2, tzinfo=UTC),
        datetime(2026, 9, 14, 10, 44, 57, tzinfo=UTC),
        None,
    )
    assert str(found) == "2026-09-14 08:31 to 10:44 UTC"


def test_a_long_finding_is_cut_to_its_last_day_unless_hours_are_given() -> None:
    weeks = seen("2026-09-01T00:00:00Z", "2026-09-14T10:00:00Z")
    found = window(weeks, NOW, None)
    assert (found.start, found.end) == (
        datetime(2026, 9, 13, 11, tzinfo=UTC),
        datetime(2026, 9, 14, 11, tzinfo=UTC),
    )
    assert found.cut == pytest.approx(24 * 13 + 12)
    assert window(weeks, NOW, 2) == Window(datetime(2026, 8, 31, 22, tzinfo=UTC), datetime(2026, 9, 14, 12, tzinfo=UTC))


def test_a_finding_of_just_now_is_looked_at_up_to_now() -> None:
    now = datetime(2026, 9, 14, 9, 50, tzinfo=UTC)
    assert window(SCAN, now, None).end == now


def test_a_clock_that_is_behind_does_not_hide_the_finding() -> None:
    found = window(SCAN, datetime(2025, 1, 1, tzinfo=UTC), None)
    assert found.end == datetime(2026, 9, 14, 10, 44, 57, tzinfo=UTC)


def test_an_instance_is_looked_at_for_the_last_day_or_the_hours_given() -> None:
    assert window(None, NOW, None) == Window(NOW - timedelta(hours=24), NOW)
    assert window(None, NOW, 3) == Window(NOW - timedelta(hours=3), NOW)


@pytest.mark.parametrize("finding", [{}, seen("soon", "later"), {"service": None}, seen("", "")])
def test_a_finding_without_times_is_looked_at_like_an_instance(finding: dict[str, Any]) -> None:
    assert window(finding, NOW, None) == Window(NOW - timedelta(hours=24), NOW)


def test_a_finding_without_a_service_has_the_times_of_its_record() -> None:
    finding = {"createdAt": "2026-09-14T10:00:00Z", "updatedAt": "2026-09-14T11:00:00+02:00"}
    assert window(finding, NOW, None).start == datetime(2026, 9, 14, 8, tzinfo=UTC)


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
