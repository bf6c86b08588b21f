"""Filters for packets from the internet: security groups, network ACL, routes, and a load balancer's listeners.

Each becomes rules; the first rule about a packet decides. Only TCP and UDP are looked at.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from itertools import groupby
from typing import NamedTuple

from netaddr import IPSet

from threatmon.aws.reader import Answer
from threatmon.investigate.addresses import ANYONE, version_of

PROTOCOL_NUMBERS = {"tcp": "6", "udp": "17"}
LAST_PORT = 65535

_CIDR_KEYS = {4: ("IpRanges", "CidrIp"), 6: ("Ipv6Ranges", "CidrIpv6")}
_ACL_KEYS = {4: "CidrBlock", 6: "Ipv6CidrBlock"}
_ROUTE_KEYS = {4: "DestinationCidrBlock", 6: "DestinationIpv6CidrBlock"}

PrefixLists = Mapping[str, Sequence[str]]
"""The CIDR blocks of each prefix list, by its id."""


class PacketRule(NamedTuple):
    """CIDR blocks whose packets pass, or do not, to ports of a protocol.

    As EC2 writes it, a protocol is a name or number and ``-1`` all of them; ports of -1 or None are all.
    """

    cidrs: tuple[str, ...]
    protocol: str = "-1"
    first: int | None = None
    last: int | None = None
    passes: bool = True

    def is_about(self, protocol: str, port: int) -> bool:
        """Say whether the rule is about a port of ``tcp`` or ``udp``."""
        if self.protocol == "-1":
            return True
        if self.protocol not in {protocol, PROTOCOL_NUMBERS[protocol]}:
            return False
        return self.first is None or self.first == -1 or self.first <= port <= (self.last or self.first)


PacketFilter = Sequence[PacketRule]
"""Rules in the order in which they are tried; what no rule is about does not pass."""


def passing(rules: PacketFilter) -> IPSet:
    """Return the addresses that the first rule which has them lets pass."""
    allowed, decided = IPSet(), IPSet()
    for passes, alike in groupby(rules, key=lambda rule: rule.passes):
        matched = IPSet([cidr for rule in alike for cidr in rule.cidrs])
        allowed = allowed | (matched - decided) if passes else allowed
        decided = decided | matched
    return allowed


def edges(filters: Iterable[PacketFilter]) -> list[int]:
    """Return the ports at which what passes may change, the first port among them."""
    ends = {
        edge
        for rules in filters
        for rule in rules
        for edge in (rule.first or 0, (rule.last or rule.first or 0) + 1)
        if 0 <= edge <= LAST_PORT
    }
    return sorted({0, *ends})


def security_groups(groups: Iterable[Answer], prefix_lists: PrefixLists, version: int) -> PacketFilter:
    """Return what security groups let in; they have no order and refuse nothing."""
    ranges, cidr = _CIDR_KEYS[version]
    return [
        PacketRule(
            (
                *(entry[cidr] for entry in rule.get(ranges) or []),
                *(
                    block
                    for entry in rule.get("PrefixListIds") or []
                    for block in prefix_lists.get(entry["PrefixListId"], [])
                    if version_of(block) == version
                ),
            ),
            str(rule.get("IpProtocol")),
            rule.get("FromPort"),
            rule.get("ToPort"),
        )
        for group in groups
        for rule in group.get("IpPermissions") or []
    ]


def network_acl(acl: Answer, version: int) -> tuple[PacketFilter, PacketFilter]:
    """Return what a network ACL lets in, and the addresses a TCP reply may go to.

    https://docs.aws.amazon.com/vpc/latest/userguide/nacl-rules.html
    """
    inbound, outbound = (
        [
            PacketRule(
                (str(entry[_ACL_KEYS[version]]),),
                str(entry.get("Protocol")),
                ports.get("From"),
                ports.get("To"),
                entry.get("RuleAction") == "allow",
            )
            for entry in sorted(acl.get("Entries") or [], key=lambda entry: entry.get("RuleNumber", 0))
            if bool(entry.get("Egress")) is egress and entry.get(_ACL_KEYS[version])
            for ports in [entry.get("PortRange") or {}]
        ]
        for egress in (False, True)
    )
    # The client chooses the port of the reply.
    answered = reduce(
        IPSet.union,
        (passing([rule for rule in outbound if rule.is_about("tcp", port)]) for port in edges([outbound])),
        IPSet(),
    )
    replies = PacketRule(tuple(map(str, answered.iter_cidrs())), "tcp")
    return inbound, (replies, PacketRule((ANYONE[version],), "udp"))


def internet_routes(table: Answer, prefix_lists: PrefixLists, version: int) -> tuple[PacketFilter, str | None]:
    """Return what a route table sends to an internet gateway, the most specific route first; and the gateway's id.

    https://docs.aws.amazon.com/vpc/latest/userguide/subnet-route-tables.html
    """
    routes = [
        (cidr, str(route.get("GatewayId") or "") if route.get("State") == "active" else "")
        for route in table.get("Routes") or []
        for cidr in (route.get(_ROUTE_KEYS[version]), *prefix_lists.get(route.get("DestinationPrefixListId", ""), ()))
        if cidr and version_of(cidr) == version
    ]
    routes.sort(key=lambda route: int(route[0].partition("/")[2]), reverse=True)
    gateway_ids = [target for _, target in routes if target.startswith("igw-")]
    rules = [PacketRule((cidr,), passes=target.startswith("igw-")) for cidr, target in routes]
    return rules, next(iter(gateway_ids), None)


def listeners(listening: Iterable[tuple[str, int]], version: int) -> PacketFilter:
    """Return what a load balancer accepts on the protocols and ports it listens to."""
    return [PacketRule((ANYONE[version],), protocol, port, port) for protocol, port in listening]
