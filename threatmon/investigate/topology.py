"""The way from the internet to an instance, and on to whom it talks to, as a drawing.

Mermaid: https://mermaid.js.org/syntax/flowchart.html
"""

from collections.abc import Sequence
from dataclasses import dataclass

from threatmon.investigate.exposure import Exposure, Way, ports
from threatmon.investigate.traffic import SCAN_PORTS, Burst, Peer, is_inside
from threatmon.reports import plain, size

_PEERS = 6
_INTERNET = "internet"


@dataclass(frozen=True)
class Edge:
    """An arrow between two nodes, given by their ids; ``closed`` where nothing passes."""

    source: str
    target: str
    label: str = ""
    closed: bool = False


@dataclass(frozen=True)
class Topology:
    """Labels by node id, in the order they were met, and the arrows between them."""

    nodes: dict[str, str]
    edges: tuple[Edge, ...]


def topology(
    instance_id: str, exposure: Exposure | None, peers: Sequence[Peer] = (), bursts: Sequence[Burst] = ()
) -> Topology:
    """From the internet over its gateway, a load balancer or security groups to the instance, and on to its peers.

    Without ``exposure`` only the instance and its peers are drawn.
    """
    nodes: dict[str, str] = {}
    edges: list[Edge] = []
    if exposure:
        nodes[_INTERNET] = _INTERNET
        for way in exposure.interfaces:
            groups = f"{', '.join(way.security_group_ids) or way.name}: {ports(way.openings)}"
            if way.openings:
                edges += _entrance(way, way.name, instance_id, f"at {', '.join(way.addresses)}")
                nodes |= {it: it for it in way.gateway_ids} | {way.name: groups}
            else:
                edges.append(Edge(_INTERNET, instance_id, str(way.closed_because), closed=True))
        for balancer, way in exposure.balancers:
            key = f"{balancer.kind} load balancer {balancer.name}"
            listening = ", ".join(f"{protocol} {port}" for protocol, port in balancer.listeners)
            edges += _entrance(
                way, key, instance_id, "; ".join(f"port {it}, {health}" for it, health in balancer.targets)
            )
            nodes |= {it: it for it in way.gateway_ids if way.openings}
            nodes[key] = f"{key}: {ports(way.openings) if way.openings else listening}"
    addresses = f" ({', '.join(exposure.private_addresses)})" if exposure and exposure.private_addresses else ""
    nodes[instance_id] = f"{instance_id}{addresses}"
    scans = {burst.address: burst for burst in sorted(bursts, key=lambda it: it.ports) if burst.ports >= SCAN_PORTS}
    known = {peer.address: peer for peer in peers}
    for address in list(dict.fromkeys([*reversed(scans), *known]))[:_PEERS]:
        peer, burst = known.get(address), scans.get(address)
        edges.append(Edge(instance_id, f"peer {address}", _traffic(peer, burst)))
        nodes[f"peer {address}"] = f"{address}{', inside' if is_inside(address) else ''}"
    return Topology(nodes, tuple(dict.fromkeys(edges)))


def _entrance(way: Way, door: str, instance_id: str, last: str) -> list[Edge]:
    """The arrows from the internet to a door, as far as they lead, and from there to the instance."""
    if way.openings:
        before = [edge for it in way.gateway_ids for edge in (Edge(_INTERNET, it), Edge(it, door))]
    else:
        before = [Edge(_INTERNET, door, str(way.closed_because), closed=True)]
    return [*before, Edge(door, instance_id, last)]


def _traffic(peer: Peer | None, burst: Burst | None) -> str:
    scanned = [f"{burst.ports} {burst.protocol} ports in 5 minutes"] if burst else []
    volume = [f"sent {size(peer.sent)}, received {size(peer.received)}"] if peer else []
    return "; ".join([*scanned, *volume])


def text(drawn: Topology) -> str:
    """The drawing as a tree of lines; a node met again is named, and not followed again."""
    targets = {edge.target for edge in drawn.edges}
    lines: list[str] = []
    seen: set[str] = set()

    def draw(node: str, indent: str) -> None:
        seen.add(node)
        edges = [edge for edge in drawn.edges if edge.source == node]
        for edge in edges:
            last = edge is edges[-1]
            label = f"  [{plain(edge.label)}]" if edge.label else ""
            again = "  (above)" if edge.target in seen and any(e.source == edge.target for e in drawn.edges) else ""
            head = f"{'└' if last else '├'}─{'x' if edge.closed else '>'} "
            lines.append(f"{indent}{head}{plain(drawn.nodes[edge.target])}{label}{again}")
            if edge.target not in seen:
                draw(edge.target, f"{indent}{'   ' if last else '│  '}")

    for node in drawn.nodes:
        if node not in targets:
            lines.append(plain(drawn.nodes[node]))
            draw(node, "")
    return "\n".join(lines)


def mermaid(drawn: Topology) -> str:
    """The drawing as a Mermaid flowchart; no label turns into syntax."""
    names = {node: f"n{index}" for index, node in enumerate(drawn.nodes)}
    lines = ["flowchart LR", *(f'  {names[node]}["{_quoted(label)}"]' for node, label in drawn.nodes.items())]
    for edge in drawn.edges:
        arrow = "--x" if edge.closed else "-->"
        label = f'|"{_quoted(edge.label)}"|' if edge.label else ""
        lines.append(f"  {names[edge.source]} {arrow}{label} {names[edge.target]}")
    return "\n".join(lines)


# https://mermaid.js.org/syntax/flowchart.html#entity-codes-to-escape-characters
_ENTITIES = str.maketrans({char: f"#{ord(char)};" for char in '#"`<>&|\\'})


def _quoted(label: str) -> str:
    return plain(label).translate(_ENTITIES)
