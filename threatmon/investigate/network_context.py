"""What AWS says of an instance and what lies around it, in the parts that ``threatmon.investigate.exposure`` judges."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from threatmon.investigate import exposure
from threatmon.investigate.exposure import Balancer, Surroundings
from threatmon.stacks.old_aws import Aws, explained

Answer = dict[str, Any]
_T = TypeVar("_T")

PERMISSIONS: tuple[str, ...] = (
    "ec2:DescribeInstances",
    "ec2:DescribeNetworkAcls",
    "ec2:DescribeRouteTables",
    "ec2:DescribeSecurityGroups",
    "ec2:GetManagedPrefixListEntries",
    "elasticloadbalancing:DescribeListeners",
    "elasticloadbalancing:DescribeLoadBalancers",
    "elasticloadbalancing:DescribeTargetGroups",
    "elasticloadbalancing:DescribeTargetHealth",
    "iam:GetInstanceProfile",
)

_AT_ONCE = 5
_UNKNOWN_INSTANCE = frozenset(["InvalidInstanceID.NotFound", "InvalidInstanceID.Malformed"])


def attempt(name: str, call: Callable[[], _T], failures: dict[str, str], what: str) -> _T | None:
    """What a call gives; where AWS refuses it, None, and under ``name`` a line about ``what`` is missing."""
    try:
        return call()
    except (BotoCoreError, ClientError) as error:
        failures[name] = f"{what}: {explained(error)}"
        return None


def find_instance(aws: Aws, instance_id: str) -> Answer | None:
    """The instance, None where EC2 does not know it (any more). Raises what botocore raises otherwise."""
    try:
        answer = aws.client("ec2").describe_instances(InstanceIds=[instance_id])
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in _UNKNOWN_INSTANCE:
            return None
        raise
    return next((it for reservation in answer["Reservations"] for it in reservation["Instances"]), None)


def look_around(aws: Aws, instance: Answer, failures: dict[str, str]) -> tuple[Surroundings, str | None]:
    """What lies around an instance, and its role's name. What cannot be read is None, its reason in ``failures``."""
    ec2, iam = aws.client("ec2"), aws.client("iam")
    elbs = aws.client("elbv2"), aws.client("elb")
    vpc_ids = sorted({it["VpcId"] for it in instance.get("NetworkInterfaces") or [] if it.get("VpcId")})
    profile = (instance.get("IamInstanceProfile") or {}).get("Arn", "").rpartition("/")[2]

    def of_the_vpc(operation: str, key: str) -> Callable[[], list[Answer]]:
        filters = [{"Name": "vpc-id", "Values": vpc_ids}]
        return lambda: _every(ec2, operation, key, Filters=filters) if vpc_ids else []

    jobs: Mapping[str, tuple[str, Callable[[], Any]]] = {
        "route_tables": ("Routes unknown", of_the_vpc("describe_route_tables", "RouteTables")),
        "network_acls": ("Network ACLs unknown", of_the_vpc("describe_network_acls", "NetworkAcls")),
        "security_groups": ("Security groups unknown", of_the_vpc("describe_security_groups", "SecurityGroups")),
        "balancers": ("Load balancers unknown", lambda: _balancers(*elbs, instance, vpc_ids)),
        "role": ("Role unknown", lambda: _role(iam, profile) if profile else None),
    }
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        started = {name: pool.submit(attempt, name, call, failures, what) for name, (what, call) in jobs.items()}
        parts: dict[str, Any] = {name: future.result() for name, future in started.items()}
    role_name = parts.pop("role")
    around = Surroundings(**parts)
    group_ids = {group["GroupId"] for it in instance.get("NetworkInterfaces") or [] for group in it.get("Groups") or []}
    group_ids |= {it for balancer in around.balancers or [] for it in balancer.security_group_ids or ()}
    lists = attempt(
        "prefix_lists",
        lambda: {
            it: [entry["Cidr"] for entry in _every(ec2, "get_managed_prefix_list_entries", "Entries", PrefixListId=it)]
            for it in exposure.prefix_list_ids(around, group_ids)
        },
        failures,
        "Prefix lists taken as empty",
    )
    return Surroundings(**parts, prefix_lists=lists), role_name


def _every(client: Any, operation: str, key: str, **parameters: Any) -> list[Answer]:
    return [it for page in client.get_paginator(operation).paginate(**parameters) for it in page[key]]


def _role(iam: Any, profile: str) -> str | None:
    roles = iam.get_instance_profile(InstanceProfileName=profile)["InstanceProfile"]["Roles"]
    return next((str(role["RoleName"]) for role in roles), None)


def _balancers(elbv2: Any, elb: Any, instance: Answer, vpc_ids: list[str]) -> list[Balancer]:
    targets = {instance["InstanceId"], *exposure.own_addresses(instance)}
    groups = [
        group
        for group in _every(elbv2, "describe_target_groups", "TargetGroups")
        if group.get("VpcId") in vpc_ids and group.get("LoadBalancerArns")
    ]

    def health(group: Answer) -> list[Answer]:
        answer = elbv2.describe_target_health(TargetGroupArn=group["TargetGroupArn"])
        return answer["TargetHealthDescriptions"]

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        fronting = exposure.fronting(targets, zip(groups, pool.map(health, groups), strict=True))
    described = (
        _every(elbv2, "describe_load_balancers", "LoadBalancers", LoadBalancerArns=list(fronting)) if fronting else []
    )
    balancers = [
        exposure.balancer(
            it,
            _every(elbv2, "describe_listeners", "Listeners", LoadBalancerArn=it["LoadBalancerArn"]),
            fronting[it["LoadBalancerArn"]],
        )
        for it in described
    ]
    classic = _every(elb, "describe_load_balancers", "LoadBalancerDescriptions")
    return [*balancers, *exposure.classic_balancers(instance["InstanceId"], classic)]
