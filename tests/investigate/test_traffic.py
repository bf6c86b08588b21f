import pytest
from hypothesis import given
from hypothesis import strategies as st

from threatmon.aws import prices
from threatmon.investigate.traffic import PRICE_SOURCE, cost, entries, scan_verdict
from threatmon.investigate.traffic_queries import Endpoint

INSTANCE = Endpoint(addresses=("10.20.1.25", "2001:db8::5"))
QUESTIONS = ["ports_out", "ports_in", "peers", "rejected", "bursts", "inside", "remote"]


@pytest.mark.parametrize(
    ("question", "row", "entry"),
    [
        (
            "ports_out",
            {"dstport": "443", "protocol": "6", "action": "ACCEPT", "flows": "2", "hosts": "1", "size": "1.5E9"},
            ("tcp", 443, "HTTPS", "ACCEPT", 2, 1, 1_500_000_000),
        ),
        (
            "ports_in",
            {"dstport": "4444", "protocol": "47", "action": "REJECT"},
            ("47", 4444, None, "REJECT", 0, 0, 0),
        ),
        (
            "rejected",
            {"srcaddr": "a", "dstaddr": "b", "dstport": "53", "protocol": "17", "flows": "9"},
            ("a", "b", "udp", 53, "DNS", 9),
        ),
        (
            "bursts",
            {"dstaddr": "b", "protocol": "6", "bin(5m)": "2026-09-14 09:30:00.000", "ports": "99", "packetsSent": "9"},
            ("b", "tcp", "2026-09-14 09:30:00", 99, 9),
        ),
        (
            "inside",
            {"dstaddr": "b", "dstport": "22", "protocol": "6", "flows": "3", "size": "7"},
            ("b", "tcp", 22, "SSH", True, 3, 7),
        ),
        (
            "remote",
            {"interface_id": "eni-9", "srcaddr": "a", "dstaddr": "b", "action": "ACCEPT", "flows": "1", "size": "2"},
            ("eni-9", "a", "b", "ACCEPT", 1, 2),
        ),
    ],
)
def test_rows_are_read_with_port_names_and_numbers_of_any_form(
    question: str, row: dict[str, str], entry: tuple[object, ...]
) -> None:
    assert [tuple(read.values()) for read in entries(question, [row], INSTANCE)] == [entry]


@pytest.mark.parametrize("direction", [True, False])
def test_both_directions_of_a_peer_are_one_entry_the_largest_first(direction: bool) -> None:
    rows = [
        {"srcaddr": "10.20.1.25", "dstaddr": "198.51.100.7", "flow_direction": "egress", "flows": "1", "size": "10"},
        {"srcaddr": "198.51.100.7", "dstaddr": "10.20.1.25", "flow_direction": "ingress", "flows": "2", "size": "5"},
        {"srcaddr": "10.20.1.25", "dstaddr": "10.20.2.30", "flow_direction": "egress", "flows": "3", "size": "40"},
    ]
    if not direction:  # of the default format, only the address says it
        rows = [{key: value for key, value in row.items() if key != "flow_direction"} for row in rows]
    assert entries("peers", rows, INSTANCE) == [
        {"address": "10.20.2.30", "inside": True, "flows": 3, "sent": 40, "received": 0},
        {"address": "198.51.100.7", "inside": False, "flows": 3, "sent": 10, "received": 5},
    ]


@given(
    st.sampled_from(QUESTIONS),
    st.lists(st.dictionaries(st.sampled_from(["dstport", "flows", "size"]), st.text())),
)
def test_rows_of_any_content_are_read(question: str, rows: list[dict[str, str]]) -> None:
    assert len(entries(question, rows, INSTANCE)) <= len(rows)


def test_a_scan_is_named_with_its_worst_five_minutes() -> None:
    bursts = [
        {"address": address, "protocol": "tcp", "start": "2026-09-14 09:30:00", "ports": ports}
        for address, ports in (("10.20.2.31", 40), ("10.20.2.30", 998), ("10.20.2.32", 2))
    ]
    assert scan_verdict(bursts) == (
        "A port scan: 998 tcp ports of 10.20.2.30 in the 5 minutes from 2026-09-14 09:30:00 UTC, and 1 more hosts."
    )
    assert scan_verdict(bursts[2:]) == "No scan: at most 2 ports of one host in 5 minutes (10.20.2.32)."
    assert scan_verdict([]).startswith("No scan")


def test_the_price_is_dated_and_has_its_source() -> None:
    assert cost(10**9) == pytest.approx(0.005)
    assert cost(0) == 0
    assert f"USD 0.005 per GB scanned ({prices.SOURCE}, us-east-1, {prices.DATED})" == PRICE_SOURCE
