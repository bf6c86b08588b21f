"""What makes an instance reachable from the internet, from the plain answers of EC2's and the load balancers'
``describe_*`` calls.

A packet arrives where the address is public, the subnet's routes lead back to an internet gateway, the network ACL lets
it in (and a TCP reply out), and a security group does. Each of these is a set of addresses, and what is left of the
internet in all of them is who reaches a port. Only TCP and UDP have ports; nothing else is looked at. Nor are ways in
that do not end at a gateway of the VPC: peering, VPN, transit gateways, Global Accelerator.

https://docs.aws.amazon.com/vpc/latest/userguide/VPC_Internet_Gateway.html
https://docs.aws.amazon.com/vpc/latest/userguide/nacl-rules.html
https://docs.aws.amazon.com/vpc/latest/userguide/subnet-route-tables.html
"""

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    collapse_addresses,
    ip_network,
    summarize_address_range,
)
from typing import Any, NamedTuple, TypeVar

from threatmon.aws.route_tables import route_table_of
from threatmon.investigate.traffic import PORT_NAMES

Answer = Mapping[str, Any]
Answers = Sequence[Answer]
# Addresses as numbers: closed ranges, sorted and disjoint.
_Addresses = tuple[tuple[int, int], ...]


class Opening(NamedTuple):
    """Ports that can be reached, and by whom: networks, where there are many, with what they leave out."""

    protocol: str
    first: int
    last: int
    sources: str

    def __str__(self) -> str:
        """``tcp 443 (HTTPS)``"""
        if (self.first, self.last) == (0, _LAST_PORT):
            return f"{self.protocol} all ports"
        name = PORT_NAMES.get(self.first)
        ports = str(self.first) if self.first == self.last else f"{self.first}-{self.last}"
        return f"{self.protocol} {ports}{f' ({name})' if name and self.first == self.last else ''}"


_T = TypeVar("_T", bound=Hashable)


@dataclass(frozen=True)
class Surroundings:
    """What lies around an instance, as described by AWS; None is what could not be looked at.

    ``prefix_lists`` maps the id of a prefix list to its CIDR blocks. ``balancers`` are those that have the instance, or
    one of its addresses, as a target.
    """

    route_tables: Answers | None = None
    network_acls: Answers | None = None
    security_groups: Answers | None = None
    prefix_lists: Mapping[str, Sequence[str]] | None = None
    balancers: Sequence["Balancer"] | None = None


@dataclass(frozen=True)
class Balancer:
    """A load balancer in front of an instance, of either generation."""

    name: str
    kind: str
    internet_facing: bool
    dns_name: str
    vpc_id: str
    subnet_ids: tuple[str, ...]
    security_group_ids: tuple[str, ...] | None
    """None where it has none and lets everything in, as a Network Load Balancer may"""
    families: tuple[int, ...]
    """IP versions it answers on"""
    listeners: tuple[tuple[str, int], ...]
    """protocol (tcp, udp) and port"""
    targets: tuple[tuple[int, str], ...]
    """port of the instance, and the health of that target"""


@dataclass(frozen=True)
class Way:
    """One interface of the instance, or a load balancer in front of it, as the internet sees it."""

    name: str
    addresses: tuple[str, ...]
    """public IPv4 and IPv6 addresses, or the DNS name"""
    subnet_ids: tuple[str, ...]
    gateway_ids: tuple[str, ...]
    """internet gateways its subnets' routes lead to"""
    route_table_ids: tuple[str, ...]
    network_acl_ids: tuple[str, ...]
    security_group_ids: tuple[str, ...]
    groups_open: tuple[Opening, ...]
    """what the security groups alone let in from the internet"""
    acls_open: tuple[Opening, ...]
    """what the network ACLs alone let in from the internet"""
    openings: tuple[Opening, ...]
    """what arrives"""
    closed_because: str | None
    """why nothing arrives; None where something does"""


@dataclass(frozen=True)
class Exposure:
    """How the internet reaches an instance. ``reachable`` is None where it cannot be told."""

    instance_id: str
    state: str
    name: str
    private_addresses: tuple[str, ...]
    instance_profile: str | None
    interfaces: tuple[Way, ...]
    balancers: tuple[tuple[Balancer, Way], ...]
    reachable: bool | None
    verdict: str


# -- sets of addresses ------------------------------------------------------------------------------------------------


_Network = IPv4Network | IPv6Network


def _network(cidr: str) -> _Network:
    return ip_network(cidr, strict=False)


def _span(network: _Network) -> tuple[int, int]:
    return int(network.network_address), int(network.broadcast_address)


def _spans(cidrs: Iterable[str], version: int) -> _Addresses:
    networks: Any = [network for network in map(_network, cidrs) if network.version == version]
    return tuple(_span(network) for network in collapse_addresses(networks))


def _both(left: _Addresses, right: _Addresses) -> _Addresses:
    pairs = ((max(a, c), min(b, d)) for a, b in left for c, d in right)
    return tuple((low, high) for low, high in pairs if low <= high)


def _without(left: _Addresses, right: _Addresses) -> _Addresses:
    for low, high in right:
        left = tuple(
            piece for a, b in left for piece in ((a, min(b, low - 1)), (max(a, high + 1), b)) if piece[0] <= piece[1]
        )
    return left


def _either(left: _Addresses, right: _Addresses) -> _Addresses:
    return tuple(sorted((*left, *_without(right, left))))


def _union(sets: Iterable[_Addresses]) -> _Addresses:
    joined: _Addresses = ()
    for addresses in sets:
        joined = _either(joined, addresses)
    return joined


def _count(addresses: _Addresses) -> int:
    return sum(high - low + 1 for low, high in addresses)


def _first_match(rules: Iterable[tuple[str, bool]], version: int) -> _Addresses:
    """The addresses for which the first rule (CIDR block, yes or no) that covers them says yes."""
    allowed: _Addresses = ()
    undecided = _spans([_EVERYTHING[version]], version)
    for cidr, yes in rules:
        covered = _both(undecided, (_span(_network(cidr)),))
        undecided = _without(undecided, covered)
        allowed = _either(allowed, covered) if yes else allowed
    return allowed


_EVERYTHING = {4: "0.0.0.0/0", 6: "::/0"}
# Not routed in the internet: https://www.iana.org/assignments/iana-ipv4-special-registry. Of IPv6, what is: 2000::/3.
_NOT_ROUTED = (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16",
    "224.0.0.0/3",
)  # fmt: skip
_INTERNET: Mapping[int, _Addresses] = {
    4: _without(_spans(["0.0.0.0/0"], 4), _spans(_NOT_ROUTED, 4)),
    6: _spans(["2000::/3"], 6),
}
_SHOWN = 3
_SHOWN_PORTS = 8


def _described(sources: _Addresses, version: int) -> str:
    """Part of the internet in words: ``0.0.0.0/0``, ``0.0.0.0/0 except 203.0.113.0/24``, ``198.51.100.0/24``."""
    missing = _without(_INTERNET[version], sources)
    if not missing:
        return _EVERYTHING[version]
    if _count(missing) < _count(sources):
        return f"{_EVERYTHING[version]} except {_listed(missing, version)}"
    return _listed(sources, version)


def _listed(addresses: _Addresses, version: int) -> str:
    """The networks, as wide as they are the same in the internet: ``0.0.0.0/1`` stays what it is."""
    unused = _without(_spans([_EVERYTHING[version]], version), _INTERNET[version])
    wide = collapse_addresses([*_networks(addresses, version), *_networks(unused, version)])
    networks = [str(network) for network in wide if _both((_span(network),), addresses)]
    more = f" and {len(networks) - _SHOWN} more" if len(networks) > _SHOWN else ""
    return ", ".join(networks[:_SHOWN]) + more


def _networks(addresses: _Addresses, version: int) -> list[Any]:
    address = IPv4Address if version == 4 else IPv6Address  # noqa: PLR2004 - the IP version
    return [it for low, high in addresses for it in summarize_address_range(address(low), address(high))]


# -- layers -----------------------------------------------------------------------------------------------------------

_LAST_PORT = 65535
_PROTOCOL_NUMBERS = {"tcp": "6", "udp": "17"}
_CIDR_KEYS = {4: ("IpRanges", "CidrIp"), 6: ("Ipv6Ranges", "CidrIpv6")}
_ACL_KEYS = {4: "CidrBlock", 6: "Ipv6CidrBlock"}
_ROUTE_KEYS = {4: "DestinationCidrBlock", 6: "DestinationIpv6CidrBlock"}


class _About(NamedTuple):
    """The traffic a rule is about, as EC2 writes it: all protocols are ``-1``, all ports are -1 or left out."""

    protocol: str
    first: int | None
    last: int | None

    def covers(self, protocol: str, port: int) -> bool:
        if self.protocol == "-1":
            return True
        if self.protocol not in {protocol, _PROTOCOL_NUMBERS[protocol]}:
            return False
        return self.first is None or self.first == -1 or self.first <= port <= (self.last or self.first)


class _Layer(NamedTuple):
    """One thing a packet has to pass: which addresses it lets through to a port, and the ports where that changes."""

    passes: Callable[[str, int], _Addresses]
    edges: frozenset[int]


def _layer(rules: Iterable[_About], passes: Callable[[str, int], _Addresses]) -> _Layer:
    edges = {0}
    for about in rules:
        edges |= {about.first or 0, (about.last or about.first or 0) + 1}
    return _Layer(passes, frozenset(port for port in edges if 0 <= port <= _LAST_PORT))


def _security_groups(groups: Answers, prefix_lists: Mapping[str, Sequence[str]], version: int) -> _Layer:
    """Security groups add up; they have no order and no refusal."""
    ranges, cidr = _CIDR_KEYS[version]
    rules = [
        (
            _About(str(rule.get("IpProtocol")), rule.get("FromPort"), rule.get("ToPort")),
            _spans(
                [
                    *(entry[cidr] for entry in rule.get(ranges) or []),
                    *(
                        net
                        for it in rule.get("PrefixListIds") or []
                        for net in prefix_lists.get(it["PrefixListId"], [])
                    ),
                ],
                version,
            ),
        )
        for group in groups
        for rule in group.get("IpPermissions") or []
    ]

    def passes(protocol: str, port: int) -> _Addresses:
        return _union(sources for about, sources in rules if about.covers(protocol, port))

    return _layer((about for about, _ in rules), passes)


def _network_acl(acl: Answer, version: int) -> _Layer:
    """The first rule in the order of their numbers decides, and a reply has to get out again."""
    inbound, outbound = (
        [
            (
                _About(
                    str(entry.get("Protocol")), *((entry.get("PortRange") or {}).get(end) for end in ("From", "To"))
                ),
                str(entry[_ACL_KEYS[version]]),
                entry.get("RuleAction") == "allow",
            )
            for entry in sorted(acl.get("Entries") or [], key=lambda entry: entry.get("RuleNumber", 0))
            if bool(entry.get("Egress")) is egress and entry.get(_ACL_KEYS[version])
        ]
        for egress in (False, True)
    )

    def decided(rules: Sequence[tuple[_About, str, bool]], protocol: str, port: int) -> _Addresses:
        return _first_match(((cidr, yes) for about, cidr, yes in rules if about.covers(protocol, port)), version)

    # Whoever asks chooses the port the reply goes to.
    ports = _layer((about for about, _, _ in outbound), lambda *_: ()).edges
    replies = _union(decided(outbound, "tcp", port) for port in ports)

    def passes(protocol: str, port: int) -> _Addresses:
        allowed = decided(inbound, protocol, port)
        return _both(allowed, replies) if protocol == "tcp" else allowed

    return _layer((about for about, _, _ in inbound), passes)


def _routes(table: Answer, prefix_lists: Mapping[str, Sequence[str]], version: int) -> tuple[_Layer, str | None]:
    """The addresses a route table sends to an internet gateway, the most specific route first; and the gateway."""
    routes = sorted(
        (
            (cidr, str(route.get("GatewayId") or "") if route.get("State") == "active" else "")
            for route in table.get("Routes") or []
            for cidr in (
                route.get(_ROUTE_KEYS[version]),
                *prefix_lists.get(route.get("DestinationPrefixListId", ""), ()),
            )
            if cidr and _network(cidr).version == version
        ),
        key=lambda route: _network(route[0]).prefixlen,
        reverse=True,
    )
    sent = _first_match(((cidr, target.startswith("igw-")) for cidr, target in routes), version)
    gateway_id = next((target for _, target in reversed(routes) if target.startswith("igw-")), None)
    return _layer((), lambda *_: sent), gateway_id


def _listeners(listeners: Sequence[tuple[str, int]], version: int) -> _Layer:
    def passes(protocol: str, port: int) -> _Addresses:
        return _INTERNET[version] if (protocol, port) in listeners else ()

    return _layer((_About(protocol, port, port) for protocol, port in listeners), passes)


def _openings(layers: Sequence[_Layer], version: int) -> list[Opening]:
    """What all layers let in from the internet, neighbouring ports together."""
    edges = sorted({port for layer in layers for port in layer.edges})
    openings: list[Opening] = []
    for protocol in _PROTOCOL_NUMBERS:
        for first, following in zip(edges, [*edges[1:], _LAST_PORT + 1], strict=True):
            sources = _INTERNET[version]
            for layer in layers:
                sources = _both(sources, layer.passes(protocol, first))
            if not sources:
                continue
            opening = Opening(protocol, first, following - 1, _described(sources, version))
            before = openings[-1] if openings else None
            if before and (before.protocol, before.last, before.sources) == (protocol, first - 1, opening.sources):
                openings[-1] = opening._replace(first=before.first)
            else:
                openings.append(opening)
    return openings


# -- ways in ----------------------------------------------------------------------------------------------------------


def network_acl_of(subnet_id: str, network_acls: Answers) -> Answer:
    """The network ACL of a subnet; each has exactly one."""
    return next(
        (acl for acl in network_acls if any(a.get("SubnetId") == subnet_id for a in acl.get("Associations") or [])), {}
    )


def _way(
    name: str,
    addresses: Mapping[int, Sequence[str]],
    subnets: Sequence[tuple[str, str]],
    security_group_ids: Sequence[str] | None,
    around: Surroundings,
    listeners: Sequence[tuple[str, int]] | None = None,
) -> Way:
    """How the internet gets to one interface or load balancer.

    ``addresses`` are the public ones by IP version, ``subnets`` are subnet and VPC ids. Without security groups (None)
    everything is let in; with ``listeners``, only what is listened to.
    """
    groups = [group for group in around.security_groups or [] if group["GroupId"] in (security_group_ids or ())]
    lists = around.prefix_lists or {}
    by_groups, by_acls, arriving, gateways = list[Opening](), list[Opening](), list[Opening](), list[str | None]()
    tables = [route_table_of(subnet_id, vpc_id, around.route_tables or []) for subnet_id, vpc_id in subnets]
    acls = [network_acl_of(subnet_id, around.network_acls or []) for subnet_id, _ in subnets]
    for version, own in addresses.items():
        doors = [_security_groups(groups, lists, version)] if security_group_ids is not None else []
        doors += [_listeners(listeners, version)] if listeners is not None else []
        by_groups += _openings(doors, version)
        for table, acl in zip(tables, acls, strict=True):
            routed, gateway_id = _routes(table, lists, version)
            gateways.append(gateway_id)
            passed = _network_acl(acl, version)
            by_acls += _openings([passed], version)
            arriving += _openings([routed, passed, *doors], version) if own else []
    way = Way(
        name=name,
        addresses=tuple(address for own in addresses.values() for address in own),
        subnet_ids=tuple(subnet_id for subnet_id, _ in subnets),
        gateway_ids=_once(gateway_id for gateway_id in gateways if gateway_id),
        route_table_ids=_once(str(table["RouteTableId"]) for table in tables if table),
        network_acl_ids=_once(str(acl["NetworkAclId"]) for acl in acls if acl),
        security_group_ids=tuple(security_group_ids or ()),
        groups_open=_once(by_groups),
        acls_open=_once(by_acls),
        openings=() if _unread(around) else _once(arriving),
        closed_because=None,
    )
    return replace(way, closed_because=_closed_because(way, around))


def _once(items: Iterable[_T]) -> tuple[_T, ...]:
    return tuple(dict.fromkeys(items))


def _closed_because(way: Way, around: Surroundings) -> str | None:
    """The first thing that stops a packet, from the outside in."""
    if way.openings:
        return None
    hindrances = {
        "no public address": not way.addresses,
        f"cannot be told without {' and '.join(_unread(around))}": bool(_unread(around)),
        f"no route from {' or '.join(way.subnet_ids)} to an internet gateway": not way.gateway_ids,
        "the security groups let nothing in from the internet": not way.groups_open,
        "the network ACL lets nothing in from the internet": not way.acls_open,
        "what the security groups let in passes neither the network ACL nor the routes": True,
    }
    return next(text for text, holds in hindrances.items() if holds)


def _unread(around: Surroundings) -> list[str]:
    """What would have to be known, and is not, to tell whether a packet arrives."""
    parts = {
        "the route tables": around.route_tables,
        "the network ACLs": around.network_acls,
        "the security groups": around.security_groups,
    }
    return [name for name, part in parts.items() if part is None]


# -- load balancers ---------------------------------------------------------------------------------------------------

_LISTENING = {
    "HTTP": ("tcp",), "HTTPS": ("tcp",), "TCP": ("tcp",), "TLS": ("tcp",), "SSL": ("tcp",),
    "UDP": ("udp",), "QUIC": ("udp",), "TCP_UDP": ("tcp", "udp"), "TCP_QUIC": ("tcp", "udp"),
}  # fmt: skip
_FAMILIES = {"ipv4": (4,), "dualstack": (4, 6), "dualstack-without-public-ipv4": (6,)}


def fronting(
    targets: Collection[str], groups: Iterable[tuple[Answer, Answers]]
) -> dict[str, tuple[tuple[int, str], ...]]:
    """The load balancers (ARNs) that have one of ``targets`` (instance id, addresses), each with port and health.

    ``groups`` are target groups with what ``describe_target_health`` answers for them. A Network Load Balancer whose
    target is one of these load balancers stands in front as well.
    """
    groups = list(groups)
    found: dict[str, tuple[tuple[int, str], ...]] = {}
    wanted = set(targets)
    while wanted:
        new: dict[str, tuple[tuple[int, str], ...]] = {}
        for group, healths in groups:
            hits = tuple(
                (int(it["Target"].get("Port") or group.get("Port") or 0), str(it.get("TargetHealth", {}).get("State")))
                for it in healths
                if it["Target"]["Id"] in wanted
            )
            for arn in group.get("LoadBalancerArns") or [] if hits else []:
                new[arn] = _once((*new.get(arn, ()), *hits))
        wanted = set(new) - set(found)
        found |= {arn: hits for arn, hits in new.items() if arn in wanted}
    return found


def balancer(described: Answer, listeners: Answers, targets: tuple[tuple[int, str], ...]) -> Balancer:
    """An Application or Network Load Balancer, from ``describe_load_balancers`` and ``describe_listeners``."""
    groups = described.get("SecurityGroups")
    return Balancer(
        name=described["LoadBalancerName"],
        kind=described.get("Type", "application"),
        internet_facing=described.get("Scheme") == "internet-facing",
        dns_name=described.get("DNSName", ""),
        vpc_id=described.get("VpcId", ""),
        subnet_ids=tuple(zone["SubnetId"] for zone in described.get("AvailabilityZones") or [] if zone.get("SubnetId")),
        security_group_ids=tuple(groups) if groups else None,
        families=_FAMILIES.get(described.get("IpAddressType", "ipv4"), (4,)),
        listeners=tuple(
            (protocol, int(it["Port"])) for it in listeners for protocol in _LISTENING.get(it.get("Protocol", ""), ())
        ),
        targets=targets,
    )


def classic_balancers(instance_id: str, described: Answers) -> list[Balancer]:
    """The Classic Load Balancers an instance is registered with, from the older ``describe_load_balancers``."""
    return [
        Balancer(
            name=it["LoadBalancerName"],
            kind="classic",
            internet_facing=it.get("Scheme") == "internet-facing",
            dns_name=it.get("DNSName", ""),
            vpc_id=it.get("VPCId", ""),
            subnet_ids=tuple(it.get("Subnets") or []),
            security_group_ids=tuple(it.get("SecurityGroups") or []),
            families=(4,),
            listeners=tuple(
                (protocol, int(listener["LoadBalancerPort"]))
                for listener in listeners
                for protocol in _LISTENING.get(listener["Protocol"].upper(), ())
            ),
            targets=tuple((int(listener["InstancePort"]), "registered") for listener in listeners),
        )
        for it in described
        if any(target["InstanceId"] == instance_id for target in it.get("Instances") or [])
        for listeners in [[entry["Listener"] for entry in it.get("ListenerDescriptions") or []]]
    ]


# -- the instance -----------------------------------------------------------------------------------------------------


def public_ipv4(interface: Answer) -> list[str]:
    """The public IPv4 addresses of a network interface."""
    entries = [interface, *(interface.get("PrivateIpAddresses") or [])]
    return list(
        _once(str(it["Association"]["PublicIp"]) for it in entries if (it.get("Association") or {}).get("PublicIp"))
    )


def own_addresses(instance: Answer) -> tuple[str, ...]:
    """The addresses of the instance's interfaces as flow logs and target groups write them: private IPv4, and IPv6."""
    interfaces = instance.get("NetworkInterfaces") or []
    return _once(
        address
        for interface in interfaces
        for address in (
            interface.get("PrivateIpAddress"),
            *(it.get("PrivateIpAddress") for it in interface.get("PrivateIpAddresses") or []),
            *(it.get("Ipv6Address") for it in interface.get("Ipv6Addresses") or []),
        )
        if address
    )


def prefix_list_ids(around: Surroundings, security_group_ids: Collection[str]) -> list[str]:
    """The prefix lists whose content decides: those these security groups admit, and those routed to a gateway."""
    admitted = [
        entry["PrefixListId"]
        for group in around.security_groups or []
        if group["GroupId"] in security_group_ids
        for rule in group.get("IpPermissions") or []
        for entry in rule.get("PrefixListIds") or []
    ]
    routed = [
        route["DestinationPrefixListId"]
        for table in around.route_tables or []
        for route in table.get("Routes") or []
        if route.get("DestinationPrefixListId") and str(route.get("GatewayId")).startswith("igw-")
    ]
    return sorted({*admitted, *routed})


def exposure(instance: Answer, around: Surroundings) -> Exposure:
    """How the internet reaches an instance of ``describe_instances``."""
    interfaces = tuple(_interface(interface, around) for interface in instance.get("NetworkInterfaces") or [])
    balancers = tuple((it, _balancer_way(it, around)) for it in around.balancers or [])
    reachable, verdict = _verdict(interfaces, [way for _, way in balancers], around)
    names = [tag["Value"] for tag in instance.get("Tags") or [] if tag["Key"] == "Name"]
    profile = (instance.get("IamInstanceProfile") or {}).get("Arn", "")
    return Exposure(
        instance_id=instance["InstanceId"],
        state=(instance.get("State") or {}).get("Name", "unknown"),
        name=next(iter(names), ""),
        private_addresses=own_addresses(instance),
        instance_profile=profile.rpartition("/")[2] or None,
        interfaces=interfaces,
        balancers=balancers,
        reachable=reachable,
        verdict=verdict,
    )


def _interface(interface: Answer, around: Surroundings) -> Way:
    ipv6 = [str(entry["Ipv6Address"]) for entry in interface.get("Ipv6Addresses") or []]
    return _way(
        interface["NetworkInterfaceId"],
        {4: public_ipv4(interface), **({6: ipv6} if ipv6 else {})},
        [(interface.get("SubnetId", ""), interface.get("VpcId", ""))],
        [group["GroupId"] for group in interface.get("Groups") or []],
        around,
    )


def _balancer_way(it: Balancer, around: Surroundings) -> Way:
    return _way(
        it.name,
        {version: [it.dns_name] if it.internet_facing else [] for version in it.families},
        [(subnet_id, it.vpc_id) for subnet_id in it.subnet_ids],
        it.security_group_ids,
        around,
        it.listeners,
    )


def _verdict(interfaces: Sequence[Way], balancers: Sequence[Way], around: Surroundings) -> tuple[bool | None, str]:
    """Whether the internet reaches the instance, and a sentence that says how, or why not."""
    ways = [
        *((way, f"at {' and '.join(way.addresses)}") for way in interfaces if way.openings),
        *((way, f"through load balancer {way.name}") for way in balancers if way.openings),
    ]
    if ways:
        parts = [f"{ports(way.openings)} {where}" for way, where in ways]
        return True, f"Reachable from the internet: {'; '.join(parts)}."
    reasons = _once(str(way.closed_because) for way in interfaces) or ("no network interface is left",)
    if not balancers:
        reasons += ("no load balancer in front",) if around.balancers is not None else ()
    else:
        reasons += _once(f"load balancer {way.name}: {way.closed_because}" for way in balancers)
    missing = _unread(around) if any(way.addresses for way in (*interfaces, *balancers)) else []
    missing += ["the load balancers"] if around.balancers is None else []
    if missing:
        return None, f"Not known whether the internet reaches it: {' and '.join(missing)} could not be read."
    return False, f"Not reachable from the internet: {'; '.join(reasons)}."


def ports(openings: Sequence[Opening]) -> str:
    """Openings in words, each with its sources unless anyone may come in; those open to anyone first, and not all."""
    by_source: dict[str, list[str]] = {}
    for opening in openings:
        by_source.setdefault(opening.sources, []).append(str(opening))
    anyone = _once(port for source in _EVERYTHING.values() for port in by_source.pop(source, []))
    limited = [f"{_some(listed)} from {source}" for source, listed in by_source.items()]
    return _some([*anyone, *limited]) or "nothing"


def _some(texts: Sequence[str]) -> str:
    more = f" and {len(texts) - _SHOWN_PORTS} more" if len(texts) > _SHOWN_PORTS else ""
    return ", ".join(texts[:_SHOWN_PORTS]) + more
