"""The Logs Insights queries about the flow logs of one instance.

Records: https://docs.aws.amazon.com/vpc/latest/userguide/flow-log-records.html
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from threatmon.aws.reader import Answer
from threatmon.errors import ThreatmonError
from threatmon.investigate.addresses import PRIVATE_NETWORKS, is_private, normal_form, version_of
from threatmon.investigate.instance import interfaces_of, own_addresses
from threatmon.model.queries import FormatName, parse_line

SCAN_MINUTES = 5

# Requests, not replies: those go to ephemeral ports, most often from 32768 up.
# https://docs.aws.amazon.com/vpc/latest/userguide/vpc-network-acls.html#nacl-ephemeral-ports
_ASKS = "(srcport >= 32768 or dstport < 32768)"
# The flags of a TCP record are more precise: SYN, perhaps with FIN or RST in the same record, without ACK.
_OPENS: Mapping[FormatName, str] = {
    "default": _ASKS,
    "extended": f"{_ASKS} and (protocol != 6 or {' or '.join(f'tcp_flags = {flags}' for flags in (2, 3, 6, 7))})",
}
_TO_INSIDE = " or ".join(f'isIpv{version_of(cidr)}InSubnet(dstaddr, "{cidr}")' for cidr in PRIVATE_NETWORKS)


class NoEndpointError(ThreatmonError):
    """Say that the records of the instance cannot be selected."""


@dataclass(frozen=True)
class Endpoint:
    """Identify an instance in flow logs; ``addresses`` are those of its interfaces, private or IPv6."""

    instance_id: str | None = None
    interface_ids: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()


def endpoint_of(instance_id: str | None, instance: Answer | None) -> Endpoint:
    """Return the endpoint of an instance, one of ``describe_instances`` if known."""
    if not instance:
        return Endpoint(instance_id)
    interface_ids = tuple(interface["NetworkInterfaceId"] for interface in interfaces_of(instance))
    return Endpoint(instance_id, interface_ids, own_addresses(instance))


def queries(name: FormatName, endpoint: Endpoint, remote_addresses: Iterable[str] = ()) -> dict[str, str]:
    """Return the Logs Insights queries about one instance, by question (see :func:`traffic.entries`).

    ``remote_addresses`` are those of the finding: one query asks who else in the log group met them. Malformed ids and
    addresses are left out, as they come from files and become part of a query. Raises :class:`NoEndpointError` if
    nothing is left to ask about.
    """

    def query(condition: str, stats: str, order: str, limit: int = 50) -> str:
        commands = [f"filter {condition}", f"stats {stats}", f"sort {order} desc", f"limit {limit}"]
        return "\n| ".join([parse_line(name), *commands])

    asked: dict[str, str] = {}
    remotes = [address for address in map(normal_form, remote_addresses) if address and not is_private(address)]
    flows_and_size = "count(*) as flows, sum(bytes) as size by"
    try:
        mine, outwards, inwards = _selection(name, endpoint)
    except NoEndpointError:
        if not remotes:
            raise
    else:
        asked |= {
            f"ports_{way}": query(
                f"{mine} and {condition} and {_ASKS}",
                f"count(*) as flows, count_distinct({other}) as hosts, sum(bytes) as size by dstport, protocol, action",
                "flows",
            )
            for way, condition, other in (("out", outwards, "dstaddr"), ("in", inwards, "srcaddr"))
        }
        direction = ", flow_direction" if name == "extended" else ""
        asked["peers"] = query(
            f'{mine} and log_status = "OK"', f"{flows_and_size} srcaddr, dstaddr{direction}", "size", 100
        )
        asked["rejected"] = query(
            f'{mine} and action = "REJECT"', "count(*) as flows by srcaddr, dstaddr, dstport, protocol", "flows"
        )
        asked["bursts"] = query(
            f"{mine} and {outwards} and {_OPENS[name]}",
            f"count_distinct(dstport) as ports, sum(packets) as packetsSent by dstaddr, protocol, bin({SCAN_MINUTES}m)",
            "ports",
            20,
        )
        asked["inside"] = query(
            f'{mine} and {outwards} and {_ASKS} and action = "ACCEPT" and ({_TO_INSIDE})',
            f"{flows_and_size} dstaddr, dstport, protocol",
            "flows",
            200,
        )
    if remotes:
        met = f"{_any('srcaddr', remotes)} or {_any('dstaddr', remotes)}"
        asked["remote"] = query(met, f"{flows_and_size} interface_id, srcaddr, dstaddr, action", "size")
    return asked


def _selection(name: FormatName, endpoint: Endpoint) -> tuple[str, str, str]:
    """Return the conditions that a record is of this instance, outbound, and inbound."""
    instance_id = endpoint.instance_id if re.fullmatch(r"i-[0-9a-f]{8,17}", endpoint.instance_id or "") else None
    interface_ids = [eni for eni in endpoint.interface_ids if re.fullmatch(r"eni-[0-9a-f]{8,17}", eni)]
    if name == "extended":
        if not instance_id and not interface_ids:
            raise NoEndpointError("Neither an instance id nor an interface id is known.")
        mine = f'instance_id = "{instance_id}"' if instance_id else _any("interface_id", interface_ids)
        return mine, 'flow_direction = "egress"', 'flow_direction = "ingress"'
    addresses = [address for address in map(normal_form, endpoint.addresses) if address]
    if not interface_ids or not addresses:
        raise NoEndpointError(
            "Records of the default format name an interface and its address, and neither is known any more"
            " (flowLogs.format: extended records the instance too)."
        )
    return _any("interface_id", interface_ids), _any("srcaddr", addresses), _any("dstaddr", addresses)


def _any(field: str, values: Iterable[str]) -> str:
    return "(" + " or ".join(f'{field} = "{value}"' for value in values) + ")"
