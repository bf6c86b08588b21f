"""The subnets and VPCs of an account in which flow logs can be made, by the answers of EC2's ``describe_*`` calls."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from ipaddress import ip_network
from typing import Any, NamedTuple

from threatmon.aws.flow_logs import destination
from threatmon.aws.route_tables import route_table_of
from threatmon.model import names
from threatmon.model.one_line import one_line

Answer = Mapping[str, Any]

_RESERVED = 5  # https://docs.aws.amazon.com/vpc/latest/userguide/subnet-sizing.html


class Network(NamedTuple):
    """A subnet, or a whole VPC, for which a flow log can be created."""

    id: str
    vpc_id: str
    """its VPC; its own id, if it is one; empty if that is not known"""
    name: str = ""
    """of the tag ``Name``; any text"""
    cidr: str = ""
    zone: str = ""
    size: int | None = None
    """addresses that can be given to interfaces"""
    free: int | None = None
    """addresses that are left"""
    public: bool | None = None
    """whether its routes lead to an internet gateway; None if they could not be read"""
    logged_to: tuple[str, ...] = ()
    """destinations of the flow logs that it or its VPC has already, without those of the stack itself"""
    owner: str = ""
    """the other account that shares it, and alone can log it"""

    @property
    def is_vpc(self) -> bool:
        """Whether it is a whole VPC."""
        return self.id == self.vpc_id

    @property
    def access(self) -> str:
        """``public``, ``private``, or nothing."""
        return {True: "public", False: "private", None: ""}[self.public]

    @property
    def description(self) -> str:
        """What a person recognises it by, on one line."""
        size = f"{self.size} addresses" if self.size is not None else ""
        location = "whole VPC" if self.is_vpc else f"in {self.vpc_id}" if self.vpc_id else ""
        logs = f"has flow logs to {', '.join(self.logged_to)}" if self.logged_to else ""
        return one_line(", ".join(filter(None, (self.name, self.cidr, location, self.zone, size, self.access, logs))))


def networks_of(
    stack: str,
    account_id: str,
    vpcs: Sequence[Answer],
    subnets: Sequence[Answer],
    flow_logs: Sequence[Answer],
    route_tables: Sequence[Answer] | None,
) -> list[Network]:
    """Return the VPCs, each before its subnets; ``route_tables`` are None if they could not be read."""
    logs = defaultdict[str, list[str]](list)
    for flow_log in flow_logs:
        if (logged_to := destination(flow_log)) != f"log group {names.log_group(stack)}":
            logs[flow_log["ResourceId"]].append(logged_to)

    def network(answer: Answer, id_: str, **more: Any) -> Network:
        vpc_id, owner = str(answer["VpcId"]), str(answer.get("OwnerId", account_id))
        name = next((tag["Value"] for tag in answer.get("Tags", ()) if tag["Key"] == "Name"), "")
        logged_to = tuple(dict.fromkeys([*logs[id_], *logs[vpc_id]]))
        other_owner = "" if owner == account_id else owner
        return Network(id_, vpc_id, name, _cidr(answer), logged_to=logged_to, owner=other_owner, **more)

    found = [network(vpc, vpc["VpcId"]) for vpc in vpcs]
    found += [
        network(
            subnet,
            subnet["SubnetId"],
            zone=subnet.get("AvailabilityZone", ""),
            size=ip_network(subnet["CidrBlock"]).num_addresses - _RESERVED if subnet.get("CidrBlock") else None,
            free=subnet.get("AvailableIpAddressCount"),
            public=None if route_tables is None else _is_public(subnet, route_tables),
        )
        for subnet in subnets
    ]
    return sorted(
        found, key=lambda network: (network.vpc_id, not network.is_vpc, network.zone, network.cidr, network.id)
    )


def _cidr(answer: Answer) -> str:
    """Return all blocks of a VPC, or the subnet's block: of one without IPv4, its IPv6 block."""
    blocks = [block["CidrBlock"] for block in answer.get("CidrBlockAssociationSet", ())]
    ipv6 = [block["Ipv6CidrBlock"] for block in answer.get("Ipv6CidrBlockAssociationSet", ())]
    return " ".join(blocks) or answer.get("CidrBlock") or next(iter(ipv6), "")


def _is_public(subnet: Answer, route_tables: Sequence[Answer]) -> bool:
    routes = route_table_of(subnet["SubnetId"], subnet["VpcId"], route_tables).get("Routes", ())
    return any(route.get("State") == "active" and route.get("GatewayId", "").startswith("igw-") for route in routes)
