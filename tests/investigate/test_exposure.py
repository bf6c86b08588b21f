from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from threatmon.aws.errors import RefusedError
from threatmon.investigate.exposure import Exposure, exposure
from threatmon.investigate.load_balancers import LoadBalancer
from threatmon.investigate.network_context import NetworkContext, prefix_list_ids
from threatmon.investigate.openings import Opening, summary

Json = dict[str, Any]
INSTANCE = "i-0abcd1234ef567890"
REFUSED = RefusedError("Permission {action} is missing", "ec2:DescribeRouteTables", "AccessDenied", "no")


def route(destination: str, target: str, state: str = "active") -> Json:
    key = "DestinationIpv6CidrBlock" if ":" in destination else "DestinationCidrBlock"
    return {key: destination, "GatewayId": target, "State": state}


def table(*routes: Json, name: str = "rtb-1", subnet: str | None = "subnet-1", main: bool = False) -> Json:
    association = {"Main": main} | ({"SubnetId": subnet} if subnet else {})
    local = route("10.0.0.0/16", "local")
    return {"RouteTableId": name, "VpcId": "vpc-1", "Associations": [association], "Routes": [local, *routes]}


def acl_rule(number: int, action: str, cidr: str, *, egress: bool = False, protocol: str = "-1", **ends: int) -> Json:
    key = "Ipv6CidrBlock" if ":" in cidr else "CidrBlock"
    of_ports = {"PortRange": {"From": ends["first"], "To": ends["last"]}} if ends else {}
    rule = {"RuleNumber": number, "RuleAction": action, "Egress": egress, "Protocol": protocol, key: cidr}
    return rule | of_ports


def acl(*rules: Json) -> Json:
    return {"NetworkAclId": "acl-1", "Associations": [{"SubnetId": "subnet-1"}], "Entries": list(rules)}


OPEN_ACL = acl(
    *(acl_rule(100 + v, "allow", cidr, egress=e) for v, cidr in enumerate(("0.0.0.0/0", "::/0")) for e in (True, False))
)


def group(*permissions: Json, name: str = "sg-1") -> Json:
    return {"GroupId": name, "IpPermissions": list(permissions)}


def permission(first: int, last: int | None = None, *sources: str, protocol: str = "tcp") -> Json:
    cidrs = sources or ("0.0.0.0/0",)
    return {
        "IpProtocol": protocol,
        "FromPort": first,
        "ToPort": first if last is None else last,
        "IpRanges": [{"CidrIp": cidr} for cidr in cidrs if ":" not in cidr],
        "Ipv6Ranges": [{"CidrIpv6": cidr} for cidr in cidrs if ":" in cidr],
    }


def instance(public: str | None = "203.0.113.10", ipv6: str | None = None, **changes: Any) -> Json:
    interface: Json = {
        "NetworkInterfaceId": "eni-1",
        "SubnetId": "subnet-1",
        "VpcId": "vpc-1",
        "PrivateIpAddress": "10.0.1.5",
        "PrivateIpAddresses": [{"PrivateIpAddress": "10.0.1.5"}],
        "Groups": [{"GroupId": "sg-1"}],
        "Ipv6Addresses": [{"Ipv6Address": ipv6}] if ipv6 else [],
    }
    if public:
        interface["Association"] = {"PublicIp": public}
    return {"InstanceId": INSTANCE, "State": {"Name": "running"}, "NetworkInterfaces": [interface]} | changes


TO_THE_INTERNET = table(route("0.0.0.0/0", "igw-1"), route("::/0", "igw-1"))


def around(**changes: Any) -> NetworkContext:
    usual: Json = {
        "route_tables": [TO_THE_INTERNET],
        "network_acls": [OPEN_ACL],
        "security_groups": [group(permission(443))],
        "prefix_lists": {},
        "balancers": [],
    }
    return NetworkContext(**usual | changes)


def seen(public: str | None = "203.0.113.10", ipv6: str | None = None, **changes: Any) -> Exposure:
    return exposure(instance(public, ipv6), around(**changes))


def arriving(found: Exposure) -> str:
    return summary(found.interfaces[0].openings)


def test_a_public_address_a_route_an_open_group_and_an_open_acl_make_an_instance_reachable() -> None:
    found = seen()
    assert found.reachable is True
    assert found.verdict == "Reachable from the internet: tcp 443 (HTTPS) at 203.0.113.10."
    (way,) = found.interfaces
    assert way.openings == (Opening("tcp", 443, 443, "0.0.0.0/0"),)
    assert (way.gateway_ids, way.route_table_ids, way.network_acl_ids) == (("igw-1",), ("rtb-1",), ("acl-1",))
    assert way.closed_because is None


@pytest.mark.parametrize(
    ("public", "changes", "because"),
    [
        (None, {}, "no public address"),
        ("203.0.113.10", {"route_tables": [table()]}, "no route from subnet-1 to an internet gateway"),
        (
            "203.0.113.10",
            {"security_groups": [group(permission(22, None, "10.0.0.0/8"))]},
            "the security groups let nothing in from the internet",
        ),
        ("203.0.113.10", {"network_acls": [acl()]}, "the network ACL lets nothing in from the internet"),
        (
            "203.0.113.10",
            {
                "network_acls": [
                    acl(acl_rule(1, "deny", "0.0.0.0/0", protocol="6", first=443, last=443), *OPEN_ACL["Entries"])
                ]
            },
            "what the security groups let in passes neither the network ACL nor the routes",
        ),
    ],
)
def test_each_layer_alone_closes_an_instance_and_is_named(public: str | None, changes: Json, because: str) -> None:
    found = seen(public, **changes)
    assert found.reachable is False
    assert found.interfaces[0].openings == ()
    assert found.interfaces[0].closed_because == because
    assert found.verdict == f"Not reachable from the internet: {because}; no load balancer in front."


def test_a_subnet_without_a_table_of_its_own_has_the_main_one() -> None:
    main = table(route("0.0.0.0/0", "igw-9"), name="rtb-main", subnet=None, main=True)
    other = table(name="rtb-other", subnet="subnet-2")
    assert seen(route_tables=[other, main]).interfaces[0].gateway_ids == ("igw-9",)
    assert seen(route_tables=[main, table()]).interfaces[0].gateway_ids == ()
    assert seen(route_tables=[other, main | {"VpcId": "vpc-2"}]).interfaces[0].gateway_ids == ()


@pytest.mark.parametrize(
    "routes",
    [
        [route("0.0.0.0/0", "igw-1", "blackhole")],
        [{"DestinationCidrBlock": "0.0.0.0/0", "NatGatewayId": "nat-1", "State": "active"}],
        [{"DestinationIpv6CidrBlock": "::/0", "EgressOnlyInternetGatewayId": "eigw-1", "State": "active"}],
        [route("10.9.0.0/16", "igw-1")],
    ],
)
def test_a_way_out_alone_is_no_way_in(routes: list[Json]) -> None:
    found = seen("203.0.113.10", "2001:db8::5", route_tables=[table(*routes)])
    assert found.interfaces[0].openings == ()


def test_two_halves_are_the_whole_internet() -> None:
    halves = [group(permission(443, None, "0.0.0.0/1", "128.0.0.0/1"))]
    assert arriving(seen(security_groups=halves)) == "tcp 443 (HTTPS)"


@pytest.mark.parametrize(
    ("permissions", "expected"),
    [
        ([permission(22), permission(443)], "tcp 22 (SSH), tcp 443 (HTTPS)"),
        ([permission(20, 25), permission(24, 30)], "tcp 20-30"),
        ([permission(53, None, protocol="udp")], "udp 53 (DNS)"),
        ([permission(53, None, protocol="17")], "udp 53 (DNS)"),
        ([{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}], "tcp all ports, udp all ports"),
        ([permission(0, 65535)], "tcp all ports"),
        ([permission(-1, -1, protocol="icmp")], "nothing"),
        ([permission(22, None, "198.51.100.0/24")], "tcp 22 (SSH) from 198.51.100.0/24"),
        ([permission(22, None, "192.168.0.0/16")], "nothing"),
        ([permission(22, None, "192.168.0.0/15")], "tcp 22 (SSH) from 192.168.0.0/15"),
        ([{"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "UserIdGroupPairs": [{"GroupId": "sg-9"}]}], "nothing"),
        ([], "nothing"),
    ],
)
def test_security_groups_are_read_by_protocol_port_and_source(permissions: list[Json], expected: str) -> None:
    assert arriving(seen(security_groups=[group(*permissions)])) == expected


def test_many_networks_are_cut_short_and_counted() -> None:
    many = [group(permission(22, None, *(f"198.51.{n}.0/24" for n in range(0, 10, 2))))]
    assert arriving(seen(security_groups=many)) == (
        "tcp 22 (SSH) from 198.51.0.0/24, 198.51.2.0/24, 198.51.4.0/24 and 2 more"
    )


def test_many_ports_are_cut_short_and_counted_and_those_open_to_anyone_come_first() -> None:
    limited = [permission(port, None, f"198.51.{port}.0/24") for port in range(1, 12)]
    found = arriving(seen(security_groups=[group(*limited, permission(443))]))
    assert found.startswith("tcp 443 (HTTPS), tcp 1 from 198.51.1.0/24, ")
    assert found.endswith("tcp 7 from 198.51.7.0/24 and 4 more")
    assert len(seen(security_groups=[group(*limited)]).interfaces[0].openings) == 11


def test_groups_the_interface_does_not_have_do_not_count() -> None:
    assert arriving(seen(security_groups=[group(permission(443)), group(permission(22), name="sg-2")])) == (
        "tcp 443 (HTTPS)"
    )


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([(100, "deny", "0.0.0.0/0"), (200, "allow", "0.0.0.0/0")], "nothing"),
        ([(200, "deny", "0.0.0.0/0"), (100, "allow", "0.0.0.0/0")], "tcp 443 (HTTPS)"),
        (
            [(100, "deny", "198.51.100.0/24"), (200, "allow", "0.0.0.0/0")],
            "tcp 443 (HTTPS) from 0.0.0.0/0 except 198.51.100.0/24",
        ),
        ([(100, "allow", "198.51.100.0/24"), (200, "deny", "0.0.0.0/0")], "tcp 443 (HTTPS) from 198.51.100.0/24"),
    ],
)
def test_acl_rules_are_tried_in_the_order_of_their_numbers(rules: list[tuple[int, str, str]], expected: str) -> None:
    replies = acl_rule(1, "allow", "0.0.0.0/0", egress=True)
    assert arriving(seen(network_acls=[acl(replies, *(acl_rule(*rule) for rule in rules))])) == expected


def test_a_tcp_reply_has_to_get_out_of_the_subnet_and_a_datagram_needs_none() -> None:
    inbound_only = acl(acl_rule(100, "allow", "0.0.0.0/0"))
    both = [group(permission(443), permission(53, None, protocol="udp"))]
    assert arriving(seen(network_acls=[inbound_only], security_groups=both)) == "udp 53 (DNS)"
    ephemeral = acl_rule(100, "allow", "0.0.0.0/0", egress=True, protocol="6", first=1024, last=65535)
    answering = acl(acl_rule(100, "allow", "0.0.0.0/0"), ephemeral)
    assert arriving(seen(network_acls=[answering], security_groups=both)) == "tcp 443 (HTTPS), udp 53 (DNS)"


def test_ipv6_has_its_own_routes_rules_and_sources() -> None:
    opened = [group(permission(22, None, "::/0"))]
    found = seen(None, "2001:db8::5", security_groups=opened)
    assert found.verdict == "Reachable from the internet: tcp 22 (SSH) at 2001:db8::5."
    assert found.interfaces[0].openings == (Opening("tcp", 22, 22, "::/0"),)
    only_four = [table(route("0.0.0.0/0", "igw-1"))]
    assert seen(None, "2001:db8::5", security_groups=opened, route_tables=only_four).reachable is False
    assert seen("203.0.113.10", None, security_groups=opened).reachable is False


def test_both_families_are_one_port_in_words() -> None:
    opened = [group(permission(443, None, "0.0.0.0/0", "::/0"))]
    found = seen("203.0.113.10", "2001:db8::5", security_groups=opened)
    assert found.verdict == "Reachable from the internet: tcp 443 (HTTPS) at 203.0.113.10 and 2001:db8::5."


def test_prefix_lists_are_what_they_hold() -> None:
    rule = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "PrefixListIds": [{"PrefixListId": "pl-1"}]}
    opened = around(
        security_groups=[group(rule), group(rule | {"PrefixListIds": [{"PrefixListId": "pl-2"}]}, name="sg-2")]
    )
    assert prefix_list_ids(opened, {"sg-1"}) == ["pl-1"]
    found = seen(security_groups=[group(rule)], prefix_lists={"pl-1": ["198.51.100.0/24", "2001:db8::/32"]})
    assert arriving(found) == "tcp 22 (SSH) from 198.51.100.0/24"
    routed = {"DestinationPrefixListId": "pl-3", "GatewayId": "igw-1", "State": "active"}
    through = around(route_tables=[table(routed, {"DestinationPrefixListId": "pl-4", "GatewayId": "vpce-1"})])
    assert prefix_list_ids(through, set()) == ["pl-3"]
    found = seen(route_tables=[table(routed)], prefix_lists={"pl-3": ["198.51.100.0/25"]})
    assert arriving(found) == "tcp 443 (HTTPS) from 198.51.100.0/25"


@pytest.mark.parametrize(
    ("part", "name"),
    [
        ("route_tables", "the route tables"),
        ("network_acls", "the network ACLs"),
        ("security_groups", "the security groups"),
        ("balancers", "the load balancers"),
    ],
)
def test_what_could_not_be_read_leaves_the_verdict_open(part: str, name: str) -> None:
    changes: Json = {part: REFUSED}
    found = seen(None if part == "balancers" else "203.0.113.10", **changes)
    assert found.reachable is None
    assert found.verdict == f"Not known whether the internet reaches it: {name} could not be read."


def test_a_way_that_is_known_to_be_open_needs_nothing_else_to_be_known() -> None:
    assert seen(balancers=REFUSED).reachable is True


def test_addresses_and_profile_are_read_from_the_description() -> None:
    described = instance(
        ipv6="2001:db8::5",
        IamInstanceProfile={"Arn": "arn:aws:iam::111122223333:instance-profile/team/app"},
        Tags=[{"Key": "Name", "Value": "web-1"}],
    )
    described["NetworkInterfaces"][0]["PrivateIpAddresses"].append(
        {"PrivateIpAddress": "10.0.1.6", "Association": {"PublicIp": "203.0.113.11"}}
    )
    found = exposure(described, around())
    assert found.private_addresses == ("10.0.1.5", "10.0.1.6", "2001:db8::5")
    assert found.interfaces[0].addresses == ("203.0.113.10", "203.0.113.11", "2001:db8::5")
    assert (found.name, found.state, found.instance_profile) == ("web-1", "running", "app")


def test_an_instance_without_interfaces_is_not_reachable() -> None:
    found = exposure({"InstanceId": INSTANCE}, around())
    assert found.reachable is False
    assert found.verdict == "Not reachable from the internet: no network interface is left; no load balancer in front."


# -- load balancers ---------------------------------------------------------------------------------------------------


def in_front(**changes: Any) -> LoadBalancer:
    usual: Json = {
        "name": "web",
        "kind": "application",
        "internet_facing": True,
        "dns_name": "web.example",
        "vpc_id": "vpc-1",
        "subnet_ids": ("subnet-1",),
        "security_group_ids": ("sg-1",),
        "families": (4,),
        "listeners": (("tcp", 443),),
        "targets": ((8080, "healthy"),),
    }
    return LoadBalancer(**usual | changes)


@pytest.mark.parametrize(
    ("changes", "reached"),
    [
        ({}, "tcp 443 (HTTPS)"),
        ({"listeners": (("tcp", 80), ("tcp", 81))}, "tcp 80-81"),
        ({"security_group_ids": None, "kind": "network"}, "tcp 443 (HTTPS)"),
        ({"security_group_ids": ("sg-9",)}, ""),
        ({"listeners": ()}, ""),
    ],
)
def test_an_instance_is_reached_through_a_load_balancer_that_listens_and_whose_groups_if_any_let_in(
    changes: Json, reached: str
) -> None:
    found = seen(None, balancers=[in_front(**changes)], security_groups=[group(permission(0, 65535))])
    assert found.reachable is bool(reached)
    if reached:
        assert found.verdict == f"Reachable from the internet: {reached} through load balancer web."


def test_an_internal_load_balancer_is_not_a_way_in() -> None:
    found = seen(None, balancers=[in_front(internet_facing=False)])
    assert found.verdict == (
        "Not reachable from the internet: no public address; load balancer web: no public address."
    )


# -- against a packet at a time ---------------------------------------------------------------------------------------

CIDRS = ["0.0.0.0/0", "198.51.100.0/24", "198.51.100.128/25", "203.0.113.7/32", "0.0.0.0/1", "8.0.0.0/8", "10.0.0.0/8"]
PORTS = [0, 22, 23, 443, 1024, 65535]
packets = st.tuples(
    st.sampled_from(["198.51.100.1", "198.51.100.200", "203.0.113.7", "8.8.8.8"]), st.sampled_from(PORTS)
)


@st.composite
def inbound_rules(draw: st.DrawFn) -> tuple[Json, Json, Json]:
    def span() -> tuple[int, int]:
        first, last = sorted((draw(st.sampled_from(PORTS)), draw(st.sampled_from(PORTS))))
        return first, last

    cidr = st.sampled_from(CIDRS)
    rules = [
        acl_rule(
            n, draw(st.sampled_from(["allow", "deny"])), draw(cidr), protocol="6", first=(s := span())[0], last=s[1]
        )
        for n in range(draw(st.integers(0, 4)))
    ]
    permissions = [permission(*span(), draw(cidr)) for _ in range(draw(st.integers(0, 3)))]
    routes = [route(draw(cidr), draw(st.sampled_from(["igw-1", "vgw-1"]))) for _ in range(draw(st.integers(0, 3)))]
    replies = acl_rule(1, "allow", "0.0.0.0/0", egress=True)
    unique = {entry["DestinationCidrBlock"]: entry for entry in routes}
    return group(*permissions), acl(replies, *rules), table(*unique.values())


@given(inbound_rules(), packets)
def test_what_is_said_to_arrive_is_what_the_rules_let_a_packet_do(
    drawn: tuple[Json, Json, Json], packet: tuple[str, int]
) -> None:
    source, port = ip_address(packet[0]), packet[1]
    groups, rules, routes = drawn

    def covers(cidr: str) -> bool:
        return source in ip_network(cidr)

    admitted = any(
        rule["FromPort"] <= port <= rule["ToPort"] and covers(rule["IpRanges"][0]["CidrIp"])
        for rule in groups["IpPermissions"]
    )
    inbound = [rule for rule in rules["Entries"] if not rule["Egress"]]
    verdicts = [
        rule["RuleAction"]
        for rule in inbound
        if covers(rule["CidrBlock"]) and rule["PortRange"]["From"] <= port <= rule["PortRange"]["To"]
    ]
    matching = [entry for entry in routes["Routes"] if covers(entry["DestinationCidrBlock"])]
    matching.sort(key=lambda entry: ip_network(entry["DestinationCidrBlock"]).prefixlen)
    routed = [entry["GatewayId"] for entry in matching][-1:] == ["igw-1"]
    expected = admitted and verdicts[:1] == ["allow"] and routed

    found = seen(security_groups=[groups], network_acls=[rules], route_tables=[routes])
    arrived = found.interfaces[0].openings
    said = [
        opening.sources for opening in arrived if opening.protocol == "tcp" and opening.first <= port <= opening.last
    ]
    assume(not any(" more" in sources for sources in said))
    assert any(described_covers(sources, packet[0]) for sources in said) is expected


def described_covers(sources: str, address: str) -> bool:
    """Say whether the words for a set of networks include an address."""
    included, _, excepted = sources.partition(" except ")

    def listed(text: str) -> bool:
        return any(ip_address(address) in ip_network(cidr) for cidr in text.split(", ") if cidr)

    return listed(included) and not listed(excepted)
