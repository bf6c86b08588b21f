"""Whether the internet can reach an instance, at which ports, or what prevents it.

A packet arrives if the address is public, the subnet's routes lead to an internet gateway, the network ACL lets it in
(and a TCP reply out), and a security group lets it in. Ignored are peering, VPN, transit gateways, Global Accelerator.
https://docs.aws.amazon.com/vpc/latest/userguide/VPC_Internet_Gateway.html
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from threatmon.aws.errors import AwsError
from threatmon.aws.reader import Answer
from threatmon.aws.route_tables import route_table_of
from threatmon.investigate.instance import interfaces_of, ipv6_addresses, own_addresses, public_ipv4_addresses
from threatmon.investigate.load_balancers import LoadBalancer
from threatmon.investigate.network_context import NetworkContext, known
from threatmon.investigate.openings import Opening, openings, summary
from threatmon.investigate.packet_filters import internet_routes, listeners, network_acl, security_groups


@dataclass(frozen=True)
class InboundPath:
    """How the internet gets to one interface of the instance, or to a load balancer in front of it."""

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
    closed_because: str | None = None
    """why nothing arrives; None if something does"""


@dataclass(frozen=True)
class Exposure:
    """How the internet reaches an instance; ``reachable`` is None if that is not known."""

    instance_id: str
    state: str
    name: str
    private_addresses: tuple[str, ...]
    instance_profile: str | None
    interfaces: tuple[InboundPath, ...]
    balancers: tuple[tuple[LoadBalancer, InboundPath], ...]
    reachable: bool | None
    verdict: str


def exposure(instance: Answer, context: NetworkContext) -> Exposure:
    """Judge how the internet reaches an instance of ``describe_instances``."""
    interfaces = tuple(_interface_path(interface, context) for interface in interfaces_of(instance))
    balancers = tuple((balancer, _balancer_path(balancer, context)) for balancer in known(context.balancers))
    reachable, verdict = _verdict(interfaces, [path for _, path in balancers], context)
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


def _interface_path(interface: Answer, context: NetworkContext) -> InboundPath:
    ipv6 = ipv6_addresses(interface)
    return _path(
        interface["NetworkInterfaceId"],
        {4: public_ipv4_addresses(interface)} | ({6: ipv6} if ipv6 else {}),
        [(interface.get("SubnetId", ""), interface.get("VpcId", ""))],
        [group["GroupId"] for group in interface.get("Groups") or []],
        context,
    )


def _balancer_path(balancer: LoadBalancer, context: NetworkContext) -> InboundPath:
    return _path(
        balancer.name,
        dict.fromkeys(balancer.families, (balancer.dns_name,) if balancer.internet_facing else ()),
        [(subnet_id, balancer.vpc_id) for subnet_id in balancer.subnet_ids],
        balancer.security_group_ids,
        context,
        balancer.listeners,
    )


def _path(
    name: str,
    addresses: Mapping[int, Sequence[str]],
    subnets: Sequence[tuple[str, str]],
    security_group_ids: Sequence[str] | None,
    context: NetworkContext,
    listening: Sequence[tuple[str, int]] | None = None,
) -> InboundPath:
    """Judge one way in.

    ``addresses`` are the public ones by IP version, ``subnets`` pairs of subnet and VPC id. Without security groups
    (None) everything is let in; if there are ``listening`` ports, only to those.
    """
    groups = [group for group in known(context.security_groups) if group["GroupId"] in (security_group_ids or ())]
    lists = {} if isinstance(context.prefix_lists, AwsError) else context.prefix_lists
    tables = [route_table_of(subnet_id, vpc_id, known(context.route_tables)) for subnet_id, vpc_id in subnets]
    acl_of_subnet = {
        association.get("SubnetId"): acl
        for acl in known(context.network_acls)
        for association in acl.get("Associations") or []
    }
    acls = [acl_of_subnet.get(subnet_id, {}) for subnet_id, _ in subnets]
    by_groups, by_acls, arriving, gateway_ids = list[Opening](), list[Opening](), list[Opening](), list[str]()
    for version, own in addresses.items():
        doors = [security_groups(groups, lists, version)] if security_group_ids is not None else []
        doors += [listeners(listening, version)] if listening is not None else []
        by_groups += openings(doors, version)
        for table, acl in zip(tables, acls, strict=True):
            routes, gateway_id = internet_routes(table, lists, version)
            gateway_ids += [gateway_id] if gateway_id else []
            passed = network_acl(acl, version)
            by_acls += openings(passed, version)
            arriving += openings([routes, *passed, *doors], version) if own else []
    path = InboundPath(
        name=name,
        addresses=tuple(address for own in addresses.values() for address in own),
        subnet_ids=tuple(subnet_id for subnet_id, _ in subnets),
        gateway_ids=tuple(dict.fromkeys(gateway_ids)),
        route_table_ids=_ids(tables, "RouteTableId"),
        network_acl_ids=_ids(acls, "NetworkAclId"),
        security_group_ids=tuple(security_group_ids or ()),
        groups_open=tuple(dict.fromkeys(by_groups)),
        acls_open=tuple(dict.fromkeys(by_acls)),
        openings=() if _unread(context) else tuple(dict.fromkeys(arriving)),
    )
    return path if path.openings else replace(path, closed_because=_closed_because(path, context))


def _ids(answers: Iterable[Answer], key: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(answer[key]) for answer in answers if answer))


def _closed_because(path: InboundPath, context: NetworkContext) -> str:
    """Return the first thing that stops a packet, from the outside in."""
    unread = _unread(context)
    if not path.addresses:
        return "no public address"
    if unread:
        return f"not known without {' and '.join(unread)}"
    if not path.gateway_ids:
        return f"no route from {' or '.join(path.subnet_ids)} to an internet gateway"
    if not path.groups_open:
        return "the security groups let nothing in from the internet"
    if not path.acls_open:
        return "the network ACL lets nothing in from the internet"
    return "what the security groups let in passes neither the network ACL nor the routes"


def _unread(context: NetworkContext) -> list[str]:
    """Return the needed parts that could not be read."""
    parts = {
        "the route tables": context.route_tables,
        "the network ACLs": context.network_acls,
        "the security groups": context.security_groups,
    }
    return [name for name, part in parts.items() if isinstance(part, AwsError)]


def _verdict(
    interfaces: Sequence[InboundPath], balancers: Sequence[InboundPath], context: NetworkContext
) -> tuple[bool | None, str]:
    """Return whether the internet reaches the instance, and a sentence that says how, or why not."""
    reached = [
        *(f"{summary(path.openings)} at {' and '.join(path.addresses)}" for path in interfaces if path.openings),
        *(f"{summary(path.openings)} through load balancer {path.name}" for path in balancers if path.openings),
    ]
    if reached:
        return True, f"Reachable from the internet: {'; '.join(reached)}."
    missing = _unread(context) if any(path.addresses for path in (*interfaces, *balancers)) else []
    missing += ["the load balancers"] if isinstance(context.balancers, AwsError) else []
    if missing:
        return None, f"Not known whether the internet reaches it: {' and '.join(missing)} could not be read."
    reasons = [str(path.closed_because) for path in interfaces] or ["no network interface is left"]
    reasons += [f"load balancer {path.name}: {path.closed_because}" for path in balancers]
    reasons += [] if balancers else ["no load balancer in front"]
    return False, f"Not reachable from the internet: {'; '.join(dict.fromkeys(reasons))}."
