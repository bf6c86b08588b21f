import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from threatmon.investigate import traffic
from threatmon.investigate.traffic import (
    ADMINISTRATION_PORTS,
    PORT_NAMES,
    READERS,
    Burst,
    Endpoint,
    NoEndpointError,
    Peer,
    PortUse,
    Reached,
    Reject,
    Sighting,
    cost,
    is_inside,
    queries,
    scan_verdict,
)
from threatmon.model.queries import FormatName, parse_line

FORMATS: list[FormatName] = ["default", "extended"]
INSTANCE = Endpoint("i-0abcd1234ef567890", ("eni-0123456789abcdef0",), ("10.20.1.25", "2001:db8::5"))
REMOTE = ["198.51.100.7"]
ALL: dict[str, tuple[FormatName, str]] = {
    f"{question} ({name})": (name, text)
    for name in FORMATS
    for question, text in queries(name, INSTANCE, REMOTE).items()
}

# https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax.html
COMMANDS = {"parse", "filter", "stats", "sort", "limit"}
FUNCTIONS = {"count", "count_distinct", "sum", "bin", "isIpv4InSubnet", "isIpv6InSubnet"}
WORDS = {"as", "by", "and", "or", "not", "desc"}


@pytest.mark.parametrize("title", ALL)
def test_every_name_a_query_uses_is_a_field_of_its_format_or_made_before(title: str) -> None:
    name, text = ALL[title]
    first, *commands = text.split("\n")
    assert first == parse_line(name)
    known = set(re.split(r",\s*", first.partition('" as ')[2]))
    for command in commands:
        assert command.startswith("| ")
        verb, _, rest = command.removeprefix("| ").partition(" ")
        assert verb in COMMANDS
        bare = re.sub(r"\bbin\([^)]*\)", "bin()", re.sub(r'"[^"]*"', "", rest))
        made, called = set(re.findall(r"\bas (\w+)", bare)), set(re.findall(r"(\w+)\(", bare)) - WORDS
        used = set(re.findall(r"[A-Za-z_]\w*", bare)) - made - called - WORDS
        assert used <= known, command
        assert called <= FUNCTIONS
        known = made | (used & set(re.findall(r"\w+", bare.partition(" by ")[2]))) if verb == "stats" else known
        assert rest.count("(") == rest.count(")")
    assert text.count('"') % 2 == 0
    assert len(text) <= 10_000
    assert text.isascii()
    assert re.search(r"\| limit \d+\Z", text)


@pytest.mark.parametrize("name", FORMATS)
def test_each_question_has_a_reader(name: FormatName) -> None:
    assert set(queries(name, INSTANCE, REMOTE)) == set(READERS)


def test_the_extended_format_tells_the_instance_and_the_direction() -> None:
    text = queries("extended", INSTANCE)["ports_out"]
    assert '| filter instance_id = "i-0abcd1234ef567890" and flow_direction = "egress" and ' in text
    assert 'flow_direction = "ingress"' in queries("extended", INSTANCE)["ports_in"]


def test_the_default_format_is_told_by_interface_and_address() -> None:
    asked = queries("default", INSTANCE)
    assert (
        '(interface_id = "eni-0123456789abcdef0") and (srcaddr = "10.20.1.25" or srcaddr = "2001:db8::5")'
        in (asked["ports_out"])
    )
    assert '(dstaddr = "10.20.1.25" or dstaddr = "2001:db8::5")' in asked["ports_in"]
    assert not any("instance_id" in text or "flow_direction" in text for text in asked.values())


def test_without_an_instance_id_the_extended_format_goes_by_interface() -> None:
    text = queries("extended", Endpoint(None, ("eni-0123456789abcdef0",)))["peers"]
    assert '(interface_id = "eni-0123456789abcdef0")' in text
    assert 'instance_id = "' not in text


@pytest.mark.parametrize(
    ("name", "endpoint"),
    [
        ("extended", Endpoint()),
        ("default", Endpoint("i-0abcd1234ef567890")),
        ("default", Endpoint("i-0abcd1234ef567890", ("eni-0123456789abcdef0",))),
        ("default", Endpoint("i-0abcd1234ef567890", (), ("10.20.1.25",))),
    ],
)
def test_an_instance_nothing_is_known_of_cannot_be_asked_about(name: FormatName, endpoint: Endpoint) -> None:
    with pytest.raises(NoEndpointError, match="known"):
        queries(name, endpoint)
    assert list(queries(name, endpoint, REMOTE)) == ["remote"]


def test_a_remote_address_inside_is_not_looked_for_elsewhere() -> None:
    assert "remote" not in queries("extended", INSTANCE, ["10.20.2.30", "no address", ""])
    assert 'srcaddr = "198.51.100.7"' in queries("extended", INSTANCE, REMOTE)["remote"]


@given(st.text(), st.sampled_from(FORMATS))
def test_no_text_from_outside_becomes_part_of_a_query(text: str, name: FormatName) -> None:
    hostile = f'{text}" or 1=1 | filter "'
    asked = queries(name, INSTANCE)
    endpoint = Endpoint(INSTANCE.instance_id, (*INSTANCE.interface_ids, hostile), (*INSTANCE.addresses, hostile))
    assert queries(name, endpoint, [hostile]) == asked
    with pytest.raises(NoEndpointError):
        queries(name, Endpoint(hostile, (hostile,), (hostile,)))


def test_an_address_with_a_zone_is_none() -> None:
    assert "remote" not in queries("extended", INSTANCE, ['2001:db8::1%" or 1=1'])


def test_a_scan_is_looked_for_among_connections_the_instance_opened() -> None:
    extended, default = (queries(name, INSTANCE)["bursts"] for name in ("extended", "default"))
    assert "by dstaddr, protocol, bin(5m)" in extended
    assert re.findall(r"tcp_flags = (\d+)", extended) == ["2", "3", "6", "7"]  # SYN, without ACK
    assert "srcport >= 32768 or dstport < 32768" in default
    assert "tcp_flags =" not in default


def test_what_was_reached_inside_was_accepted_and_is_private() -> None:
    text = queries("extended", INSTANCE)["inside"]
    assert 'action = "ACCEPT"' in text
    for network in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"):
        assert f'isIpv4InSubnet(dstaddr, "{network}")' in text
    assert 'isIpv6InSubnet(dstaddr, "fc00::/7")' in text


@pytest.mark.parametrize(
    ("address", "inside"),
    [
        ("10.0.0.1", True),
        ("172.31.255.255", True),
        ("172.32.0.1", False),
        ("192.168.1.1", True),
        ("100.64.0.1", True),
        ("fd00::1", True),
        ("198.51.100.7", False),
        ("2001:db8::1", False),
        ("example", False),
        ("", False),
    ],
)
def test_private_addresses_are_inside(address: str, inside: bool) -> None:
    assert is_inside(address) is inside


def test_well_known_ports_have_their_names() -> None:
    assert {port: PORT_NAMES[port] for port in (22, 53, 80, 443, 3389)} == {
        22: "SSH",
        53: "DNS",
        80: "HTTP",
        443: "HTTPS",
        3389: "RDP",
    }
    assert set(PORT_NAMES) >= ADMINISTRATION_PORTS
    assert list(PORT_NAMES) == sorted(PORT_NAMES)
    assert 443 not in ADMINISTRATION_PORTS


def test_rows_are_read_with_port_names_and_numbers_of_any_form() -> None:
    ports = READERS["ports_out"](
        [{"dstport": "443", "protocol": "6", "action": "ACCEPT", "flows": "2", "hosts": "1", "size": "1.5E9"}], INSTANCE
    )
    assert ports == [PortUse("tcp", 443, "HTTPS", "ACCEPT", 2, 1, 1_500_000_000)]
    other = READERS["ports_in"]([{"dstport": "4444", "protocol": "47", "action": "REJECT"}], INSTANCE)
    assert other == [PortUse("47", 4444, None, "REJECT", 0, 0, 0)]
    rejected = READERS["rejected"](
        [{"srcaddr": "a", "dstaddr": "b", "dstport": "53", "protocol": "17", "flows": "9"}], INSTANCE
    )
    assert rejected == [Reject("a", "b", "udp", 53, "DNS", 9)]
    burst = {"dstaddr": "b", "protocol": "6", "bin(5m)": "2026-09-14 09:30:00.000", "ports": "99", "packetsSent": "120"}
    assert READERS["bursts"]([burst], INSTANCE) == [Burst("b", "tcp", "2026-09-14 09:30:00", 99, 120)]
    reached = READERS["inside"](
        [{"dstaddr": "b", "dstport": "22", "protocol": "6", "flows": "3", "size": "7"}], INSTANCE
    )
    assert reached == [Reached("b", "tcp", 22, "SSH", administration=True, flows=3, size=7)]
    sighting = {"interface_id": "eni-9", "srcaddr": "a", "dstaddr": "b", "action": "ACCEPT", "flows": "1", "size": "2"}
    assert READERS["remote"]([sighting], INSTANCE) == [Sighting("eni-9", "a", "b", "ACCEPT", 1, 2)]


@pytest.mark.parametrize("direction", [True, False])
def test_both_directions_of_a_peer_are_one_entry_the_largest_first(direction: bool) -> None:
    rows = [
        {"srcaddr": "10.20.1.25", "dstaddr": "198.51.100.7", "flow_direction": "egress", "flows": "1", "size": "10"},
        {"srcaddr": "198.51.100.7", "dstaddr": "10.20.1.25", "flow_direction": "ingress", "flows": "2", "size": "5"},
        {"srcaddr": "10.20.1.25", "dstaddr": "10.20.2.30", "flow_direction": "egress", "flows": "3", "size": "40"},
    ]
    if not direction:  # the default format tells it by the address alone
        rows = [{key: value for key, value in row.items() if key != "flow_direction"} for row in rows]
    assert READERS["peers"](rows, INSTANCE) == [
        Peer("10.20.2.30", inside=True, flows=3, sent=40, received=0),
        Peer("198.51.100.7", inside=False, flows=3, sent=10, received=5),
    ]


@given(
    st.sampled_from(list(READERS)), st.lists(st.dictionaries(st.sampled_from(["dstport", "flows", "size"]), st.text()))
)
def test_rows_of_any_content_are_read(question: str, rows: list[dict[str, str]]) -> None:
    assert len(READERS[question](rows, INSTANCE)) <= len(rows)


def test_a_scan_is_named_with_its_worst_five_minutes() -> None:
    bursts = [
        Burst("10.20.2.31", "tcp", "2026-09-14 09:35:00", 40, 50),
        Burst("10.20.2.30", "tcp", "2026-09-14 09:30:00", 998, 1004),
        Burst("10.20.2.32", "tcp", "2026-09-14 09:30:00", 2, 2),
    ]
    assert scan_verdict(bursts) == (
        "A port scan: 998 tcp ports of 10.20.2.30 in the 5 minutes from 2026-09-14 09:30:00 UTC, and 1 more hosts."
    )
    assert scan_verdict(bursts[2:]) == "No scan: at most 2 ports of one host in 5 minutes (10.20.2.32)."
    assert scan_verdict([]).startswith("No scan")


def test_the_price_is_dated_and_has_its_source() -> None:
    assert cost(10**9) == pytest.approx(0.005)
    assert cost(0) == 0
    assert "aws.amazon.com/cloudwatch/pricing" in traffic.PRICE_SOURCE
    assert re.search(r"\b20\d\d\b", traffic.PRICE_SOURCE)
    assert str(traffic.PRICE_PER_GB) in traffic.PRICE_SOURCE
