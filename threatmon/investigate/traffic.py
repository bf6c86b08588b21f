"""The traffic of one instance by its flow logs: results of :mod:`traffic_queries`, and whether it scanned ports."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from threatmon.aws import prices
from threatmon.investigate.addresses import is_private
from threatmon.investigate.ports import ADMINISTRATION_PORTS, PORT_NAMES
from threatmon.investigate.subject import Window
from threatmon.investigate.traffic_queries import SCAN_MINUTES, Endpoint

Row = Mapping[str, str]
Entry = Mapping[str, Any]
"""A row that is read: addresses, names, and counts; ``size``, ``sent`` (by the instance) and ``received`` in bytes."""

# https://www.iana.org/assignments/protocol-numbers
_PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmpv6"}

SCAN_PORTS = 25
"""A person opens some ten ports of a host in five minutes, a scanner hundreds."""

BYTES_PER_GB = 10**9
PRICE_SOURCE = f"USD {prices.LOGS_INSIGHTS_SCAN} per GB scanned ({prices.SOURCE}, {prices.REGION}, {prices.DATED})"


def cost(bytes_scanned: int) -> float:
    """Estimate the price of a scan in US dollars; see :data:`PRICE_SOURCE`."""
    return bytes_scanned / BYTES_PER_GB * prices.LOGS_INSIGHTS_SCAN


@dataclass(frozen=True)
class Traffic:
    """What the flow logs answered, by question, and what asking took."""

    window: Window
    entries: Mapping[str, list[Entry]] = field(default_factory=dict[str, list[Entry]])
    failures: Mapping[str, str] = field(default_factory=dict[str, str])
    """why a question has no answer"""
    records: int = 0
    bytes_scanned: int = 0
    seconds: float = 0.0

    def of(self, question: str) -> list[Entry]:
        """Return the entries of one question, none if it has no answer."""
        return self.entries.get(question, [])


def entries(question: str, rows: Sequence[Row], endpoint: Endpoint) -> list[Entry]:
    """Read the rows of a question: peers the largest first, all others in the order of the rows."""
    if question == "peers":
        return _peers(rows, endpoint)
    return [{name: _FIELDS[name](row) for name in _ENTRIES[question]} for row in rows]


_PORT_USE = ("protocol", "port", "name", "action", "flows", "hosts", "size")
_ENTRIES: Mapping[str, Sequence[str]] = {
    "ports_out": _PORT_USE,
    "ports_in": _PORT_USE,
    "rejected": ("source", "destination", "protocol", "port", "name", "flows"),
    "bursts": ("address", "protocol", "start", "ports", "packets"),
    "inside": ("address", "protocol", "port", "name", "administration", "flows", "size"),
    "remote": ("interface_id", "source", "destination", "action", "flows", "size"),
}


def _number(row: Row, column: str) -> int:
    """Return a number, which Logs Insights writes as text, a large one with an exponent."""
    try:
        return int(float(row.get(column, "0")))
    except (ValueError, OverflowError):
        return 0


def _text(column: str) -> Callable[[Row], str]:
    return lambda row: row.get(column, "")


# How each field of an entry is read from a row.
_FIELDS: Mapping[str, Callable[[Row], object]] = {
    "interface_id": _text("interface_id"),
    "source": _text("srcaddr"),
    "destination": _text("dstaddr"),
    "address": _text("dstaddr"),
    "action": _text("action"),
    "start": lambda row: row.get(f"bin({SCAN_MINUTES}m)", "").partition(".")[0],
    "protocol": lambda row: _PROTOCOLS.get(number := _number(row, "protocol"), str(number)),
    "port": partial(_number, column="dstport"),
    "name": lambda row: PORT_NAMES.get(_number(row, "dstport")),
    "administration": lambda row: _number(row, "dstport") in ADMINISTRATION_PORTS,
    "ports": partial(_number, column="ports"),
    "packets": partial(_number, column="packetsSent"),
    "flows": partial(_number, column="flows"),
    "hosts": partial(_number, column="hosts"),
    "size": partial(_number, column="size"),
}


def _peers(rows: Sequence[Row], endpoint: Endpoint) -> list[Entry]:
    """Return one entry for each remote address, both directions together."""
    peers: dict[str, dict[str, Any]] = {}
    for row in rows:
        outwards = (
            row["flow_direction"] == "egress" if "flow_direction" in row else row.get("srcaddr") in endpoint.addresses
        )
        address = row.get("dstaddr" if outwards else "srcaddr", "")
        new = {"address": address, "inside": is_private(address), "flows": 0, "sent": 0, "received": 0}
        peer = peers.setdefault(address, new)
        peer["flows"] += _number(row, "flows")
        peer["sent" if outwards else "received"] += _number(row, "size")
    return sorted(peers.values(), key=lambda peer: peer["sent"] + peer["received"], reverse=True)


def scan_verdict(bursts: Sequence[Entry]) -> str:
    """Say in one sentence whether the instance scanned ports."""
    if not bursts:
        return "No scan: it opened no connection that was recorded."
    worst = max(bursts, key=lambda burst: burst["ports"])
    ports, address = worst["ports"], worst["address"]
    if ports < SCAN_PORTS:
        return f"No scan: at most {ports} ports of one host in {SCAN_MINUTES} minutes ({address})."
    others = len({burst["address"] for burst in bursts if burst["ports"] >= SCAN_PORTS}) - 1
    return (
        f"A port scan: {ports} {worst['protocol']} ports of {address} in the {SCAN_MINUTES} minutes from"
        f" {worst['start']} UTC{f', and {others} more hosts' if others else ''}."
    )
