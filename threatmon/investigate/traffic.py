"""What flow logs tell of one instance: the questions, as Logs Insights queries, and the reading of their answers.

Records: https://docs.aws.amazon.com/vpc/latest/userguide/flow-log-records.html
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any, NamedTuple

from threatmon.model.queries import FormatName, parse_line
from threatmon.stacks import monthly_cost

Row = Mapping[str, str]

# The names of https://www.iana.org/assignments/service-names-port-numbers, as people say them.
PORT_NAMES: Mapping[int, str] = {
    20: "FTP data",
    21: "FTP",
    22: "SSH",
    23: "Telnet",
    25: "SMTP",
    53: "DNS",
    67: "DHCP",
    80: "HTTP",
    88: "Kerberos",
    110: "POP3",
    111: "portmapper",
    123: "NTP",
    135: "Windows RPC",
    137: "NetBIOS names",
    139: "NetBIOS sessions",
    143: "IMAP",
    161: "SNMP",
    389: "LDAP",
    443: "HTTPS",
    445: "SMB",
    465: "SMTP over TLS",
    514: "syslog",
    587: "mail submission",
    636: "LDAP over TLS",
    853: "DNS over TLS",
    873: "rsync",
    993: "IMAP over TLS",
    995: "POP3 over TLS",
    1433: "SQL Server",
    1521: "Oracle",
    2049: "NFS",
    2375: "Docker",
    2376: "Docker over TLS",
    2379: "etcd",
    3306: "MySQL",
    3389: "RDP",
    5432: "PostgreSQL",
    5439: "Redshift",
    5900: "VNC",
    5985: "WinRM",
    5986: "WinRM over TLS",
    6379: "Redis",
    6443: "Kubernetes API",
    6667: "IRC",
    8080: "HTTP, alternative",
    8443: "HTTPS, alternative",
    9092: "Kafka",
    9200: "Elasticsearch",
    10250: "kubelet",
    11211: "memcached",
    27017: "MongoDB",
}
# Whoever gets in there controls the machine.
ADMINISTRATION_PORTS = frozenset({22, 23, 135, 139, 445, 2375, 2376, 3389, 5900, 5985, 5986, 6443, 10250})

# https://www.iana.org/assignments/protocol-numbers
_PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmpv6"}

# A person opens some ten ports of a host in five minutes, a scanner hundreds.
SCAN_PORTS = 25
SCAN_MINUTES = 5

# https://aws.amazon.com/cloudwatch/pricing/, in us-east-1 as of September 2026; Regions differ.
PRICE_PER_GB = monthly_cost.SCAN
PRICE_SOURCE = f"USD {PRICE_PER_GB} per GB scanned (aws.amazon.com/cloudwatch/pricing, us-east-1, September 2026)"
BYTES_PER_GB = 10**9


def cost(bytes_scanned: int) -> float:
    """US dollars that Logs Insights takes for scanning so many bytes; an estimate, see :data:`PRICE_SOURCE`."""
    return bytes_scanned / BYTES_PER_GB * PRICE_PER_GB


# -- questions --------------------------------------------------------------------------------------------------------


class NoEndpointError(ValueError):
    """Nothing known of the instance tells its records from others; ``str()`` of it says why."""


@dataclass(frozen=True)
class Endpoint:
    """Whose traffic: what is known of an instance. ``addresses`` are those of its interfaces, private or IPv6."""

    instance_id: str | None = None
    interface_ids: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()


# Private use, shared address space (which Kubernetes networks use too), unique local addresses:
# https://www.iana.org/assignments/iana-ipv4-special-registry
_INSIDE = tuple(map(ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")))
_TO_INSIDE = " or ".join(f'isIpv{net.version}InSubnet(dstaddr, "{net}")' for net in _INSIDE)

# Replies go to the port the other side drew, most often from 32768 up; without them, what is left is what a side asked
# for: https://docs.aws.amazon.com/vpc/latest/userguide/vpc-network-acls.html#nacl-ephemeral-ports
_ASKS = "(srcport >= 32768 or dstport < 32768)"
# Of TCP, a record's flags tell it better: SYN, with FIN or RST in the same record, and no ACK.
_OPENS: Mapping[FormatName, str] = {
    "default": _ASKS,
    "extended": f"{_ASKS} and (protocol != 6 or {' or '.join(f'tcp_flags = {flags}' for flags in (2, 3, 6, 7))})",
}


def queries(name: FormatName, endpoint: Endpoint, remote_addresses: Iterable[str] = ()) -> dict[str, str]:
    """The Logs Insights queries about one instance, by name (a key of :data:`READERS`).

    ``remote_addresses`` are those the finding names: one query asks who else in the log group met them. Ids and
    addresses that have not the form of one are left out, as they come from files and become part of a query.
    Raises :class:`NoEndpointError` where nothing is left to ask about.
    """
    bodies: dict[str, Sequence[str]] = {}
    remotes = [address for address in map(_address, remote_addresses) if address and not is_inside(address)]
    try:
        mine, outwards, inwards = _selection(name, endpoint)
    except NoEndpointError:
        if not remotes:
            raise
    else:
        bodies |= {
            "ports_out": (
                f"| filter {mine} and {outwards} and {_ASKS}",
                "| stats count(*) as flows, count_distinct(dstaddr) as hosts, sum(bytes) as size"
                " by dstport, protocol, action",
                "| sort flows desc",
                "| limit 50",
            ),
            "ports_in": (
                f"| filter {mine} and {inwards} and {_ASKS}",
                "| stats count(*) as flows, count_distinct(srcaddr) as hosts, sum(bytes) as size"
                " by dstport, protocol, action",
                "| sort flows desc",
                "| limit 50",
            ),
            "peers": (
                f'| filter {mine} and log_status = "OK"',
                "| stats count(*) as flows, sum(bytes) as size"
                f" by srcaddr, dstaddr{', flow_direction' if name == 'extended' else ''}",
                "| sort size desc",
                "| limit 100",
            ),
            "rejected": (
                f'| filter {mine} and action = "REJECT"',
                "| stats count(*) as flows by srcaddr, dstaddr, dstport, protocol",
                "| sort flows desc",
                "| limit 50",
            ),
            "bursts": (
                f"| filter {mine} and {outwards} and {_OPENS[name]}",
                "| stats count_distinct(dstport) as ports, sum(packets) as packetsSent"
                f" by dstaddr, protocol, bin({SCAN_MINUTES}m)",
                "| sort ports desc",
                "| limit 20",
            ),
            "inside": (
                f'| filter {mine} and {outwards} and {_ASKS} and action = "ACCEPT"',
                f"| filter {_TO_INSIDE}",
                "| stats count(*) as flows, sum(bytes) as size by dstaddr, dstport, protocol",
                "| sort flows desc",
                "| limit 200",
            ),
        }
    if remotes:
        bodies["remote"] = (
            f"| filter {_any('srcaddr', remotes)} or {_any('dstaddr', remotes)}",
            "| stats count(*) as flows, sum(bytes) as size by interface_id, srcaddr, dstaddr, action",
            "| sort size desc",
            "| limit 50",
        )
    return {title: "\n".join([parse_line(name), *body]) for title, body in bodies.items()}


def _selection(name: FormatName, endpoint: Endpoint) -> tuple[str, str, str]:
    """The conditions on a record: it is of this instance, it went out of it, it came into it."""
    instance_id = endpoint.instance_id if re.fullmatch(r"i-[0-9a-f]{8,17}", endpoint.instance_id or "") else None
    interface_ids = [it for it in endpoint.interface_ids if re.fullmatch(r"eni-[0-9a-f]{8,17}", it)]
    if name == "extended":
        if not instance_id and not interface_ids:
            raise NoEndpointError("Neither an instance id nor an interface id is known.")
        mine = f'instance_id = "{instance_id}"' if instance_id else _any("interface_id", interface_ids)
        return mine, 'flow_direction = "egress"', 'flow_direction = "ingress"'
    addresses = [address for address in map(_address, endpoint.addresses) if address]
    if not interface_ids or not addresses:
        raise NoEndpointError(
            "Records of the default format name an interface and its address, and neither is known any more"
            " (flowLogs.format: extended records the instance too)."
        )
    return _any("interface_id", interface_ids), _any("srcaddr", addresses), _any("dstaddr", addresses)


def _any(field: str, values: Iterable[str]) -> str:
    return "(" + " or ".join(f'{field} = "{value}"' for value in values) + ")"


def _address(text: str) -> str | None:
    """The address as flow logs write it; None for what is none."""
    parsed = _parsed(text)
    return str(parsed) if parsed and not getattr(parsed, "scope_id", None) else None


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def is_inside(address: str) -> bool:
    """Whether an address is one of private networks; what is no address is not."""
    parsed = _parsed(address)
    return parsed is not None and any(parsed in network for network in _INSIDE)


# -- answers ----------------------------------------------------------------------------------------------------------


class PortUse(NamedTuple):
    """Connections to one port. ``hosts`` counts the addresses on the other side, ``size`` is in bytes."""

    protocol: str
    port: int
    name: str | None
    action: str
    flows: int
    hosts: int
    size: int


class Peer(NamedTuple):
    """An address the instance exchanged packets with; sizes are in bytes, as the instance sent and received them."""

    address: str
    inside: bool
    flows: int
    sent: int
    received: int


class Reject(NamedTuple):
    """Packets that a security group or a network ACL stopped."""

    source: str
    destination: str
    protocol: str
    port: int
    name: str | None
    flows: int


class Burst(NamedTuple):
    """How many ports of one host the instance tried in the five minutes from ``start`` (UTC)."""

    address: str
    protocol: str
    start: str
    ports: int
    packets: int


class Reached(NamedTuple):
    """A host inside that accepted connections of the instance; ``administration`` marks ports that control it."""

    address: str
    protocol: str
    port: int
    name: str | None
    administration: bool
    flows: int
    size: int


class Sighting(NamedTuple):
    """Packets between the finding's remote address and an interface in the log group."""

    interface_id: str
    source: str
    destination: str
    action: str
    flows: int
    size: int


def _number(row: Row, field: str) -> int:
    """Logs Insights writes numbers as text, large ones with an exponent."""
    try:
        return int(float(row.get(field, "0")))
    except (ValueError, OverflowError):
        return 0


def _protocol(row: Row) -> str:
    number = _number(row, "protocol")
    return _PROTOCOLS.get(number, str(number))


def _port(row: Row) -> tuple[int, str | None]:
    port = _number(row, "dstport")
    return port, PORT_NAMES.get(port)


def _size(row: Row) -> tuple[int, int]:
    return _number(row, "flows"), _number(row, "size")


def _port_use(row: Row, _: Endpoint) -> PortUse:
    flows, size = _size(row)
    return PortUse(_protocol(row), *_port(row), row.get("action", ""), flows, _number(row, "hosts"), size)


def _reject(row: Row, _: Endpoint) -> Reject:
    return Reject(row.get("srcaddr", ""), row.get("dstaddr", ""), _protocol(row), *_port(row), _number(row, "flows"))


def _burst(row: Row, _: Endpoint) -> Burst:
    start = row.get(f"bin({SCAN_MINUTES}m)", "").partition(".")[0]
    return Burst(row.get("dstaddr", ""), _protocol(row), start, _number(row, "ports"), _number(row, "packetsSent"))


def _reached(row: Row, _: Endpoint) -> Reached:
    port, name = _port(row)
    return Reached(row.get("dstaddr", ""), _protocol(row), port, name, port in ADMINISTRATION_PORTS, *_size(row))


def _sighting(row: Row, _: Endpoint) -> Sighting:
    ends = row.get("srcaddr", ""), row.get("dstaddr", "")
    return Sighting(row.get("interface_id", ""), *ends, row.get("action", ""), *_size(row))


def _each(read: Callable[[Row, Endpoint], Any]) -> Callable[[Sequence[Row], Endpoint], list[Any]]:
    return lambda rows, endpoint: [read(row, endpoint) for row in rows]


def _peers(rows: Sequence[Row], endpoint: Endpoint) -> list[Peer]:
    """One entry for each remote address, both directions together, the largest first."""
    flows, sent, received = Counter[str](), Counter[str](), Counter[str]()
    for row in rows:
        outwards = (
            row["flow_direction"] == "egress" if "flow_direction" in row else row.get("srcaddr") in endpoint.addresses
        )
        address = row.get("dstaddr" if outwards else "srcaddr", "")
        flows[address] += _number(row, "flows")
        (sent if outwards else received)[address] += _number(row, "size")
    peers = [Peer(address, is_inside(address), n, sent[address], received[address]) for address, n in flows.items()]
    return sorted(peers, key=lambda peer: peer.sent + peer.received, reverse=True)


# The reading of each query's rows, as :func:`queries` names it: entries in the order of the answer.
READERS: Mapping[str, Callable[[Sequence[Row], Endpoint], list[Any]]] = {
    "ports_out": _each(_port_use),
    "ports_in": _each(_port_use),
    "peers": _peers,
    "rejected": _each(_reject),
    "bursts": _each(_burst),
    "inside": _each(_reached),
    "remote": _each(_sighting),
}


def scan_verdict(bursts: Sequence[Burst]) -> str:
    """Whether the instance scanned ports, in one sentence."""
    if not bursts:
        return "No scan: it opened no connection that was recorded."
    worst = max(bursts, key=lambda burst: burst.ports)
    measure = f"at most {worst.ports} ports of one host in {SCAN_MINUTES} minutes"
    if worst.ports < SCAN_PORTS:
        return f"No scan: {measure} ({worst.address})."
    hosts = len({burst.address for burst in bursts if burst.ports >= SCAN_PORTS})
    return (
        f"A port scan: {worst.ports} {worst.protocol} ports of {worst.address} in the {SCAN_MINUTES} minutes from"
        f" {worst.start} UTC{f', and {hosts - 1} more hosts' if hosts > 1 else ''}."
    )
