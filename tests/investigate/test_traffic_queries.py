import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from threatmon.investigate.traffic_queries import Endpoint, NoEndpointError, queries
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


def test_the_extended_format_names_the_instance_and_the_direction() -> None:
    text = queries("extended", INSTANCE)["ports_out"]
    assert '| filter instance_id = "i-0abcd1234ef567890" and flow_direction = "egress" and ' in text
    assert 'flow_direction = "ingress"' in queries("extended", INSTANCE)["ports_in"]


def test_records_of_the_default_format_are_known_by_interface_and_address() -> None:
    asked = queries("default", INSTANCE)
    outwards = '(interface_id = "eni-0123456789abcdef0") and (srcaddr = "10.20.1.25" or srcaddr = "2001:db8::5")'
    assert outwards in asked["ports_out"]
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


def test_only_a_remote_address_in_the_internet_is_looked_for_elsewhere() -> None:
    assert "remote" not in queries("extended", INSTANCE, ["10.20.2.30", "no address", "", '2001:db8::1%" or 1=1'])
    assert 'srcaddr = "198.51.100.7"' in queries("extended", INSTANCE, REMOTE)["remote"]


@given(st.text(), st.sampled_from(FORMATS))
def test_no_text_from_outside_becomes_part_of_a_query(text: str, name: FormatName) -> None:
    hostile = f'{text}" or 1=1 | filter "'
    asked = queries(name, INSTANCE)
    endpoint = Endpoint(INSTANCE.instance_id, (*INSTANCE.interface_ids, hostile), (*INSTANCE.addresses, hostile))
    assert queries(name, endpoint, [hostile]) == asked
    with pytest.raises(NoEndpointError):
        queries(name, Endpoint(hostile, (hostile,), (hostile,)))


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
