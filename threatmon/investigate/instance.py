"""The instance that is investigated, in the form of EC2's ``describe_instances``."""

from collections.abc import Iterable
from typing import Any

from threatmon.aws.errors import NotThereError
from threatmon.aws.reader import Answer, Aws
from threatmon.investigate.finding import Json, at, each, text


def find_instance(aws: Aws, instance_id: str) -> Answer | None:
    """Return the instance, None if EC2 does not know it (any more)."""
    try:
        reservations = aws.read_all("ec2", "describe_instances", InstanceIds=[instance_id])
    except NotThereError:
        return None
    return next((instance for reservation in reservations for instance in reservation["Instances"]), None)


def recorded_instance(finding: Json | None) -> dict[str, Any] | None:
    """Return the instance as a finding recorded it, None if it names none: for when it is gone."""
    details = at(finding, "resource", "instanceDetails")
    if not text(at(details, "instanceId")):
        return None
    return {
        "InstanceId": details["instanceId"],
        "State": {"Name": "gone"},
        "Tags": [
            {"Key": tag["key"], "Value": str(tag.get("value", ""))} for tag in each(details.get("tags")) if "key" in tag
        ],
        "IamInstanceProfile": {"Arn": text(at(details, "iamInstanceProfile", "arn")) or ""},
        "NetworkInterfaces": [
            {
                "NetworkInterfaceId": interface["networkInterfaceId"],
                "SubnetId": interface.get("subnetId") or "",
                "VpcId": interface.get("vpcId") or "",
                "PrivateIpAddress": interface.get("privateIpAddress"),
                "PrivateIpAddresses": [
                    {"PrivateIpAddress": at(entry, "privateIpAddress")}
                    for entry in each(interface.get("privateIpAddresses"))
                ],
                "Ipv6Addresses": [{"Ipv6Address": address} for address in each(interface.get("ipv6Addresses"))],
                "Groups": [
                    {"GroupId": group_id}
                    for group in each(interface.get("securityGroups"))
                    if (group_id := at(group, "groupId"))
                ],
                "Association": {"PublicIp": text(interface.get("publicIp"))},
            }
            for interface in each(details.get("networkInterfaces"))
            if text(at(interface, "networkInterfaceId"))
        ],
    }


def interfaces_of(instance: Answer) -> list[Answer]:
    """Return the network interfaces; an instance that is terminated has none."""
    return instance.get("NetworkInterfaces") or []


def own_addresses(instance: Answer) -> tuple[str, ...]:
    """Return the interfaces' private IPv4 and their IPv6 addresses, as flow logs and target groups write them."""
    return _once(
        address
        for interface in interfaces_of(instance)
        for address in (
            interface.get("PrivateIpAddress"),
            *(entry.get("PrivateIpAddress") for entry in interface.get("PrivateIpAddresses") or []),
            *ipv6_addresses(interface),
        )
    )


def ipv6_addresses(interface: Answer) -> tuple[str, ...]:
    """Return the IPv6 addresses of a network interface; all of them are public."""
    return _once(entry.get("Ipv6Address") for entry in interface.get("Ipv6Addresses") or [])


def public_ipv4_addresses(interface: Answer) -> tuple[str, ...]:
    """Return the public IPv4 addresses of a network interface."""
    entries = [interface, *(interface.get("PrivateIpAddresses") or [])]
    return _once((entry.get("Association") or {}).get("PublicIp") for entry in entries)


def _once(addresses: Iterable[Any]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(address) for address in addresses if address))
