from typing import Any

import pytest
from examples import ACCOUNT, OTHER_ACCOUNT, OTHER_SUBNET, SUBNET, VPC

from threatmon.stacks.networks import Network, networks_of


def subnet(**changes: Any) -> dict[str, Any]:
    return {
        "SubnetId": SUBNET,
        "VpcId": VPC,
        "CidrBlock": "10.0.1.0/24",
        "AvailabilityZone": "eu-west-1a",
        "AvailableIpAddressCount": 200,
        "OwnerId": ACCOUNT,
        **changes,
    }


def networks(
    subnets: list[dict[str, Any]] | None = None, logs: list[dict[str, Any]] | None = None, routes: Any = ()
) -> list[Network]:
    vpc = {"VpcId": VPC, "CidrBlock": "10.0.0.0/16", "OwnerId": ACCOUNT}
    return networks_of("prod", ACCOUNT, [vpc], subnets or [subnet()], logs or [], routes)


def test_a_vpc_stands_before_its_subnets_and_they_by_zone() -> None:
    found = networks([subnet(SubnetId=OTHER_SUBNET, AvailabilityZone="eu-west-1b"), subnet()])
    assert [(network.id, network.is_vpc) for network in found] == [(VPC, True), (SUBNET, False), (OTHER_SUBNET, False)]


def test_a_subnet_has_name_size_and_free_addresses() -> None:
    found = networks([subnet(Tags=[{"Key": "name", "Value": "x"}, {"Key": "Name", "Value": "app"}])])[1]
    assert (found.name, found.cidr, found.size, found.free) == ("app", "10.0.1.0/24", 251, 200)


def test_a_subnet_without_ipv4_has_its_other_block_and_no_size() -> None:
    ipv6 = subnet(Ipv6CidrBlockAssociationSet=[{"Ipv6CidrBlock": "2001:db8::/64"}])
    del ipv6["CidrBlock"]
    found = networks([ipv6])[1]
    assert (found.cidr, found.size) == ("2001:db8::/64", None)


def table(gateway: str, state: str = "active", **association: Any) -> dict[str, Any]:
    return {"VpcId": VPC, "Associations": [association], "Routes": [{"GatewayId": gateway, "State": state}]}


@pytest.mark.parametrize(
    ("tables", "access"),
    [
        ([table("igw-1", Main=True)], "public"),
        ([table("igw-1", Main=True), table("local", SubnetId=SUBNET)], "private"),
        ([table("igw-1", "blackhole", Main=True)], "private"),
        ([], "private"),
        (None, ""),
    ],
)
def test_a_subnet_is_public_by_the_routes_that_hold_for_it(tables: Any, access: str) -> None:
    assert networks(routes=tables)[1].access == access


def test_the_flow_log_of_a_vpc_is_one_of_its_subnets_too() -> None:
    found = networks(logs=[{"ResourceId": VPC, "LogGroupName": "old"}, {"ResourceId": SUBNET, "LogGroupName": "old"}])
    assert [network.logged_to for network in found] == [("log group old",), ("log group old",)]


def test_the_stacks_own_flow_logs_do_not_count() -> None:
    logs = [{"ResourceId": SUBNET, "LogGroupName": f"/threat-monitor/{stack}/flow-logs"} for stack in ("prod", "dev")]
    assert [network.logged_to for network in networks(logs=logs)] == [(), ("log group /threat-monitor/dev/flow-logs",)]


def test_a_shared_subnet_has_an_owner() -> None:
    assert [network.owner for network in networks([subnet(OwnerId=OTHER_ACCOUNT)])] == ["", OTHER_ACCOUNT]
