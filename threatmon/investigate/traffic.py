"""What flow logs say about one instance: the rows of the queries of :mod:`traffic_queries`, read."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from threatmon.aws import prices
from threatmon.investigate.addresses import is_private
from threatmon.investigate.ports import ADMINISTRATION_PORTS, PORT_NAMES
from threatmon.investigate.subject import Window
from threatmon.investigate.traffic_queries import SCAN_MINUTES, Endpoint

Row = Mapping[str, str]

# https://www.iana.org/assignments/protocol-numbers
_PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmpv6"}

SCAN_PORTS = 25
"""A person opens some ten ports of a host in five minutes, a scanner hundreds."""

BYTES_PER_GB = 10**9
PRICE_SOURCE = f"USD {prices.LOGS_INSIGHTS_SCAN} per GB scanned ({prices.SOURCE}, {prices.REGION}, {prices.DATED})"


def cost(bytes_scanned: int) -> float:
    """Estimate the US dollars that Logs Insights takes for scanning so many bytes; see :data:`PRICE_SOURCE`."""
    return bytes_scanned / BYTES_PER_GB * prices.LOGS_INSIGHTS_SCAN


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


@dataclass(frozen=True)
class Traffic:
    """What the flow logs answered, by question, and what asking took."""

    window: Window
    entries: Mapping[str, list[Any]] = field(default_factory=dict[str, list[Any]])
    failures: Mapping[str, str] = field(default_factory=dict[str, str])
    """why a question has no answer"""
    records: int = 0
    bytes_scanned: int = 0
    seconds: float = 0.0

    def of(self, question: str) -> list[Any]:
        """Return the entries of one question, none if it has no answer."""
        return self.entries.get(question, [])


def entries(question: str, rows: Sequence[Row], endpoint: Endpoint) -> list[Any]:
    """Read the rows of a question: :class:`Peer` the largest first, all others in the order of the rows."""
    if question == "peers":
        return _peers(rows, endpoint)
    kind = _ENTRIES[question]
    return [kind(*(_FIELDS[name](row) for name in kind._fields)) for row in rows]


_ENTRIES: Mapping[str, Any] = {
    "ports_out": PortUse,
    "ports_in": PortUse,
    "rejected": Reject,
    "bursts": Burst,
    "inside": Reached,
    "remote": Sighting,
}


def _number(row: Row, field: str) -> int:
    """Return a number, which Logs Insights writes as text, a large one with an exponent."""
    try:
        return int(float(row.get(field, "0")))
    except (ValueError, OverflowError):
        return 0


def _protocol(row: Row) -> str:
    number = _number(row, "protocol")
    return _PROTOCOLS.get(number, str(number))


def _text_of(field: str) -> Callable[[Row], str]:
    return lambda row: row.get(field, "")


def _number_of(field: str) -> Callable[[Row], int]:
    return lambda row: _number(row, field)


# How each field of an entry is read from a row.
_FIELDS: Mapping[str, Callable[[Row], object]] = {
    "interface_id": _text_of("interface_id"),
    "source": _text_of("srcaddr"),
    "destination": _text_of("dstaddr"),
    "address": _text_of("dstaddr"),
    "protocol": _protocol,
    "port": _number_of("dstport"),
    "name": lambda row: PORT_NAMES.get(_number(row, "dstport")),
    "administration": lambda row: _number(row, "dstport") in ADMINISTRATION_PORTS,
    "action": _text_of("action"),
    "start": lambda row: row.get(f"bin({SCAN_MINUTES}m)", "").partition(".")[0],
    "ports": _number_of("ports"),
    "packets": _number_of("packetsSent"),
    "flows": _number_of("flows"),
    "hosts": _number_of("hosts"),
    "size": _number_of("size"),
}


def _peers(rows: Sequence[Row], endpoint: Endpoint) -> list[Peer]:
    """Return one entry for each remote address, both directions together."""
    flows, sent, received = Counter[str](), Counter[str](), Counter[str]()
    for row in rows:
        outwards = (
            row["flow_direction"] == "egress" if "flow_direction" in row else row.get("srcaddr") in endpoint.addresses
        )
        address = row.get("dstaddr" if outwards else "srcaddr", "")
        flows[address] += _number(row, "flows")
        (sent if outwards else received)[address] += _number(row, "size")
    peers = [Peer(address, is_private(address), n, sent[address], received[address]) for address, n in flows.items()]
    return sorted(peers, key=lambda peer: peer.sent + peer.received, reverse=True)


def scan_verdict(bursts: Sequence[Burst]) -> str:
    """Say in one sentence whether the instance scanned ports."""
    if not bursts:
        return "No scan: it opened no connection that was recorded."
    worst = max(bursts, key=lambda burst: burst.ports)
    if worst.ports < SCAN_PORTS:
        return f"No scan: at most {worst.ports} ports of one host in {SCAN_MINUTES} minutes ({worst.address})."
    hosts = len({burst.address for burst in bursts if burst.ports >= SCAN_PORTS})
    return (
        f"A port scan: {worst.ports} {worst.protocol} ports of {worst.address} in the {SCAN_MINUTES} minutes from"
        f" {worst.start} UTC{f', and {hosts - 1} more hosts' if hosts > 1 else ''}."
    )
