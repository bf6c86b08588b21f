"""The drawing of the path from the internet to an instance, and from there to its peers.

Mermaid: https://mermaid.js.org/syntax/flowchart.html
"""

from collections.abc import Sequence
from dataclasses import dataclass

from threatmon.investigate.addresses import is_private
from threatmon.investigate.exposure import Exposure, InboundPath
from threatmon.investigate.openings import summary
from threatmon.investigate.traffic import SCAN_PORTS, Entry
from threatmon.model.one_line import one_line
from threatmon.reports.model import Drawing, size

_PEERS = 6
_INTERNET = "internet"


@dataclass(frozen=True)
class Edge:
    """An arrow between two nodes, given by their ids; ``closed`` if nothing passes."""

    source: str
    target: str
    label: str = ""
    closed: bool = False


@dataclass(frozen=True)
class Topology:
    """Labels by node id, and the arrows between the nodes."""

    nodes: dict[str, str]
    edges: tuple[Edge, ...]

    def drawing(self) -> Drawing:
        """Return the drawing as text and as Mermaid."""
        return Drawing(text(self), mermaid(self))


def topology(exposure: Exposure, peers: Sequence[Entry] = (), bursts: Sequence[Entry] = ()) -> Topology:
    """Draw the internet, its gateways, load balancers or security groups, the instance, and its peers."""
    instance_id, addresses = exposure.instance_id, ", ".join(exposure.private_addresses)
    opened = [path for path in (*exposure.interfaces, *(path for _, path in exposure.balancers)) if path.openings]
    nodes = {node: node for node in (_INTERNET, *(gateway for path in opened for gateway in path.gateway_ids))}
    edges: list[Edge] = []
    for path in exposure.interfaces:
        if path.openings:
            edges += _entrance(path, path.name, instance_id, f"at {', '.join(path.addresses)}")
            nodes[path.name] = f"{', '.join(path.security_group_ids) or path.name}: {summary(path.openings)}"
        else:
            edges.append(Edge(_INTERNET, instance_id, str(path.closed_because), closed=True))
    for balancer, path in exposure.balancers:
        door = f"{balancer.kind} load balancer {balancer.name}"
        listening = ", ".join(f"{protocol} {port}" for protocol, port in balancer.listeners)
        targets = "; ".join(f"port {port}, {health}" for port, health in balancer.targets)
        edges += _entrance(path, door, instance_id, targets)
        nodes[door] = f"{door}: {summary(path.openings) if path.openings else listening}"
    nodes[instance_id] = f"{instance_id} ({addresses})" if addresses else instance_id
    worst_last = sorted(bursts, key=lambda burst: burst["ports"])
    scans = {burst["address"]: burst for burst in worst_last if burst["ports"] >= SCAN_PORTS}
    known = {peer["address"]: peer for peer in peers}
    for address in list(dict.fromkeys([*reversed(scans), *known]))[:_PEERS]:
        edges.append(Edge(instance_id, f"peer {address}", _traffic(known.get(address), scans.get(address))))
        nodes[f"peer {address}"] = f"{address}{', inside' if is_private(address) else ''}"
    return Topology(nodes, tuple(dict.fromkeys(edges)))


def _entrance(path: InboundPath, door: str, instance_id: str, last: str) -> list[Edge]:
    """Return the edges from the internet through its gateways to a filter (open or closed), and on to the instance."""
    if path.openings:
        before = [edge for via in path.gateway_ids for edge in (Edge(_INTERNET, via), Edge(via, door))]
    else:
        before = [Edge(_INTERNET, door, str(path.closed_because), closed=True)]
    return [*before, Edge(door, instance_id, last)]


def _traffic(peer: Entry | None, burst: Entry | None) -> str:
    scanned = [f"{burst['ports']} {burst['protocol']} ports in 5 minutes"] if burst else []
    volume = [f"sent {size(peer['sent'])}, received {size(peer['received'])}"] if peer else []
    return "; ".join([*scanned, *volume])


def text(drawn: Topology) -> str:
    """Draw a tree of lines; a node is followed once, and then only named."""
    sources, targets = {edge.source for edge in drawn.edges}, {edge.target for edge in drawn.edges}
    lines: list[str] = []
    seen: set[str] = set()

    def draw(node: str, indent: str) -> None:
        seen.add(node)
        edges = [edge for edge in drawn.edges if edge.source == node]
        for edge in edges:
            last = edge is edges[-1]
            label = f"  [{one_line(edge.label)}]" if edge.label else ""
            again = "  (above)" if edge.target in seen & sources else ""
            head = f"{'└' if last else '├'}─{'x' if edge.closed else '>'} "
            lines.append(f"{indent}{head}{one_line(drawn.nodes[edge.target])}{label}{again}")
            if edge.target not in seen:
                draw(edge.target, f"{indent}{'   ' if last else '│  '}")

    for node in drawn.nodes:
        if node not in targets:
            lines.append(one_line(drawn.nodes[node]))
            draw(node, "")
    return "\n".join(lines)


def mermaid(drawn: Topology) -> str:
    """Draw a Mermaid flowchart, its labels escaped."""
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
    return one_line(label).translate(_ENTITIES)
