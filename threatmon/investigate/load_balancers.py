"""The load balancers in front of an instance, of both generations."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from threatmon.aws.reader import Answer, Aws, side_by_side
from threatmon.investigate.instance import own_addresses

PERMISSIONS = (
    "elasticloadbalancing:DescribeListeners",
    "elasticloadbalancing:DescribeLoadBalancers",
    "elasticloadbalancing:DescribeTargetGroups",
    "elasticloadbalancing:DescribeTargetHealth",
)

_PROTOCOLS = {
    "HTTP": ("tcp",), "HTTPS": ("tcp",), "TCP": ("tcp",), "TLS": ("tcp",), "SSL": ("tcp",),
    "UDP": ("udp",), "QUIC": ("udp",), "TCP_UDP": ("tcp", "udp"), "TCP_QUIC": ("tcp", "udp"),
}  # fmt: skip
_IP_VERSIONS = {"ipv4": (4,), "dualstack": (4, 6), "dualstack-without-public-ipv4": (6,)}

Targets = tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class LoadBalancer:
    """A load balancer that has the instance, or one of its addresses, as a target."""

    name: str
    kind: str
    internet_facing: bool
    dns_name: str
    vpc_id: str
    subnet_ids: tuple[str, ...]
    security_group_ids: tuple[str, ...] | None
    """None if it has none and lets everything in, as a Network Load Balancer may"""
    families: tuple[int, ...]
    """IP versions it answers on"""
    listeners: tuple[tuple[str, int], ...]
    """protocol (tcp, udp) and port"""
    targets: Targets
    """port of the instance, and the health of that target"""


def load_balancers_of(aws: Aws, instance: Answer, vpc_ids: Collection[str]) -> list[LoadBalancer]:
    """Return the load balancers in front of an instance in these VPCs."""
    groups = [
        group
        for group in aws.read_all("elbv2", "describe_target_groups")
        if group.get("VpcId") in vpc_ids and group.get("LoadBalancerArns")
    ]

    def health(group: Answer) -> Sequence[Answer]:
        answer = aws.read("elbv2", "describe_target_health", TargetGroupArn=group["TargetGroupArn"])
        return answer["TargetHealthDescriptions"]

    healths = side_by_side({index: lambda group=group: health(group) for index, group in enumerate(groups)})
    targets = {instance["InstanceId"], *own_addresses(instance)}
    found = in_front(targets, [(group, healths[index]) for index, group in enumerate(groups)])
    arns = list(found)
    described = aws.read_all("elbv2", "describe_load_balancers", LoadBalancerArns=arns) if arns else []
    return [
        *(
            load_balancer(
                balancer,
                aws.read_all("elbv2", "describe_listeners", LoadBalancerArn=balancer["LoadBalancerArn"]),
                found[balancer["LoadBalancerArn"]],
            )
            for balancer in described
        ),
        *classic_load_balancers(instance["InstanceId"], aws.read_all("elb", "describe_load_balancers")),
    ]


def in_front(targets: Collection[str], groups: Sequence[tuple[Answer, Sequence[Answer]]]) -> dict[str, Targets]:
    """Return the load balancers (ARNs) that have one of ``targets`` (instance id, addresses), with port and health.

    ``groups`` are target groups with the answers of ``describe_target_health``. Included are Network Load Balancers
    whose target is one of these load balancers.
    """
    found: dict[str, Targets] = {}
    wanted = set(targets)
    while wanted:
        new: dict[str, Targets] = {}
        for group, healths in groups:
            hits = [
                (
                    int(entry["Target"].get("Port") or group.get("Port") or 0),
                    str(entry.get("TargetHealth", {}).get("State")),
                )
                for entry in healths
                if entry["Target"]["Id"] in wanted
            ]
            arns = group.get("LoadBalancerArns") or [] if hits else []
            for arn in (arn for arn in arns if arn not in found):
                new[arn] = tuple(dict.fromkeys([*new.get(arn, ()), *hits]))
        found |= new
        wanted = set(new)
    return found


def load_balancer(described: Answer, listeners: Iterable[Answer], targets: Targets) -> LoadBalancer:
    """Read an Application or Network Load Balancer of ``describe_load_balancers`` and ``describe_listeners``."""
    groups = described.get("SecurityGroups")
    return LoadBalancer(
        name=described["LoadBalancerName"],
        kind=described.get("Type", "application"),
        internet_facing=described.get("Scheme") == "internet-facing",
        dns_name=described.get("DNSName", ""),
        vpc_id=described.get("VpcId", ""),
        subnet_ids=tuple(zone["SubnetId"] for zone in described.get("AvailabilityZones") or [] if zone.get("SubnetId")),
        security_group_ids=tuple(groups) if groups else None,
        families=_IP_VERSIONS.get(described.get("IpAddressType", "ipv4"), (4,)),
        listeners=tuple(
            (protocol, int(listener["Port"]))
            for listener in listeners
            for protocol in _PROTOCOLS.get(listener.get("Protocol", ""), ())
        ),
        targets=targets,
    )


def classic_load_balancers(instance_id: str, described: Iterable[Answer]) -> list[LoadBalancer]:
    """Return those of the older ``describe_load_balancers`` with which an instance is registered."""
    return [
        LoadBalancer(
            name=balancer["LoadBalancerName"],
            kind="classic",
            internet_facing=balancer.get("Scheme") == "internet-facing",
            dns_name=balancer.get("DNSName", ""),
            vpc_id=balancer.get("VPCId", ""),
            subnet_ids=tuple(balancer.get("Subnets") or []),
            security_group_ids=tuple(balancer.get("SecurityGroups") or []),
            families=(4,),
            listeners=tuple(
                (protocol, int(listener["LoadBalancerPort"]))
                for listener in listeners
                for protocol in _PROTOCOLS.get(listener["Protocol"].upper(), ())
            ),
            targets=tuple((int(listener["InstancePort"]), "registered") for listener in listeners),
        )
        for balancer in described
        if any(target["InstanceId"] == instance_id for target in balancer.get("Instances") or [])
        for listeners in [[entry["Listener"] for entry in balancer.get("ListenerDescriptions") or []]]
    ]
