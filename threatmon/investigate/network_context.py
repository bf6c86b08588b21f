"""The network around an instance: routes, network ACLs, security groups, prefix lists, load balancers, its role."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

from threatmon.aws.errors import AwsError
from threatmon.aws.reader import Answer, Aws, attempt, side_by_side
from threatmon.investigate import load_balancers
from threatmon.investigate.instance import interfaces_of
from threatmon.investigate.load_balancers import LoadBalancer, load_balancers_of
from threatmon.investigate.packet_filters import PrefixLists

PERMISSIONS = (
    "ec2:DescribeNetworkAcls",
    "ec2:DescribeRouteTables",
    "ec2:DescribeSecurityGroups",
    "ec2:GetManagedPrefixListEntries",
    "iam:GetInstanceProfile",
    *load_balancers.PERMISSIONS,
)

_Entry = TypeVar("_Entry")


@dataclass(frozen=True)
class NetworkContext:
    """What AWS describes around an instance; a part that could not be read is the error."""

    route_tables: Sequence[Answer] | AwsError = ()
    network_acls: Sequence[Answer] | AwsError = ()
    security_groups: Sequence[Answer] | AwsError = ()
    prefix_lists: PrefixLists | AwsError = field(default_factory=dict[str, Sequence[str]])
    balancers: Sequence[LoadBalancer] | AwsError = ()
    role_name: str | AwsError | None = None


def known(part: Sequence[_Entry] | AwsError) -> Sequence[_Entry]:
    """Return a part's entries, none if it could not be read."""
    return () if isinstance(part, AwsError) else part


def read_network_context(aws: Aws, instance: Answer) -> NetworkContext:
    """Ask AWS for the network around an instance of ``describe_instances``."""
    interfaces = interfaces_of(instance)
    vpc_ids = sorted({interface["VpcId"] for interface in interfaces if interface.get("VpcId")})
    profile = (instance.get("IamInstanceProfile") or {}).get("Arn", "").rpartition("/")[2]

    def in_the_vpcs(operation: str) -> list[Answer]:
        filters = [{"Name": "vpc-id", "Values": vpc_ids}]
        return aws.read_all("ec2", operation, Filters=filters) if vpc_ids else []

    questions: Mapping[str, Callable[[], object]] = {
        "route_tables": partial(in_the_vpcs, "describe_route_tables"),
        "network_acls": partial(in_the_vpcs, "describe_network_acls"),
        "security_groups": partial(in_the_vpcs, "describe_security_groups"),
        "balancers": lambda: load_balancers_of(aws, instance, vpc_ids),
        "role_name": lambda: _role_name(aws, profile) if profile else None,
    }
    parts: dict[str, Any] = side_by_side({name: partial(attempt, question) for name, question in questions.items()})
    context = NetworkContext(**parts)
    group_ids = {group["GroupId"] for interface in interfaces for group in interface.get("Groups") or []}
    group_ids |= {group_id for balancer in known(context.balancers) for group_id in balancer.security_group_ids or ()}
    return replace(context, prefix_lists=attempt(lambda: _prefix_lists(aws, prefix_list_ids(context, group_ids))))


def prefix_list_ids(context: NetworkContext, security_group_ids: Collection[str]) -> list[str]:
    """Return the prefix lists that matter: those these security groups admit, and those routed to a gateway."""
    admitted = {
        entry["PrefixListId"]
        for group in known(context.security_groups)
        if group["GroupId"] in security_group_ids
        for rule in group.get("IpPermissions") or []
        for entry in rule.get("PrefixListIds") or []
    }
    routed = {
        route["DestinationPrefixListId"]
        for table in known(context.route_tables)
        for route in table.get("Routes") or []
        if route.get("DestinationPrefixListId") and str(route.get("GatewayId")).startswith("igw-")
    }
    return sorted(admitted | routed)


def _prefix_lists(aws: Aws, ids: Sequence[str]) -> PrefixLists:
    return {
        list_id: [
            entry["Cidr"] for entry in aws.read_all("ec2", "get_managed_prefix_list_entries", PrefixListId=list_id)
        ]
        for list_id in ids
    }


def _role_name(aws: Aws, profile: str) -> str | None:
    roles = aws.read("iam", "get_instance_profile", InstanceProfileName=profile)["InstanceProfile"]["Roles"]
    return next((str(role["RoleName"]) for role in roles), None)
