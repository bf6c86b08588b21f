"""The ports that the internet reaches through packet filters, and their sources."""

from collections.abc import Sequence
from functools import cache
from itertools import groupby
from typing import NamedTuple

from threatmon.investigate.addresses import ANYONE, INTERNET, described
from threatmon.investigate.packet_filters import LAST_PORT, PROTOCOL_NUMBERS, PacketFilter, edges, passing
from threatmon.investigate.ports import PORT_NAMES
from threatmon.reports.model import first_few

_SHOWN = 8


class Opening(NamedTuple):
    """Ports that can be reached; ``sources`` as :func:`addresses.described` writes them."""

    protocol: str
    first: int
    last: int
    sources: str

    def __str__(self) -> str:
        """Return ``tcp 443 (HTTPS)``."""
        if (self.first, self.last) == (0, LAST_PORT):
            return f"{self.protocol} all ports"
        if self.first != self.last:
            return f"{self.protocol} {self.first}-{self.last}"
        name = PORT_NAMES.get(self.first)
        return f"{self.protocol} {self.first}{f' ({name})' if name else ''}"


def openings(filters: Sequence[PacketFilter], version: int) -> list[Opening]:
    """Return what all filters together let in from the internet, neighbouring ports as one opening."""
    passing_once = cache(passing)  # sets of addresses are slow, and most ports meet the same rules of a filter

    def reached_from(protocol: str, port: int) -> str:
        addresses = INTERNET[version]
        for rules in filters:
            addresses = addresses & passing_once(tuple(rule for rule in rules if rule.is_about(protocol, port)))
        return described(addresses, version) if addresses else ""

    starts = edges(filters)
    spans = list(zip(starts, [*starts[1:], LAST_PORT + 1], strict=True))
    found: list[Opening] = []
    for protocol in PROTOCOL_NUMBERS:
        reached = [(first, end - 1, reached_from(protocol, first)) for first, end in spans]
        for sources, alike in groupby(reached, key=lambda span: span[2]):
            run = list(alike)
            if sources:
                found.append(Opening(protocol, run[0][0], run[-1][1], sources))
    return found


def summary(found: Sequence[Opening]) -> str:
    """Describe openings, each with its sources unless anyone may come in; those open to anyone first, and not all."""
    by_source: dict[str, list[str]] = {}
    for opening in found:
        by_source.setdefault(opening.sources, []).append(str(opening))
    anyone = dict.fromkeys(port for source in ANYONE.values() for port in by_source.pop(source, []))
    limited = [f"{first_few(ports, most=_SHOWN)} from {source}" for source, ports in by_source.items()]
    return first_few([*anyone, *limited], most=_SHOWN) or "nothing"
