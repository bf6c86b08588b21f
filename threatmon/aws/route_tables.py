"""The route table of a subnet, by EC2's ``describe_route_tables``."""

from collections.abc import Mapping, Sequence
from typing import Any

Answer = Mapping[str, Any]


def route_table_of(subnet_id: str, vpc_id: str, route_tables: Sequence[Answer]) -> Answer:
    """Return the subnet's own route table, else the main one of its VPC; empty if neither is among them.

    https://docs.aws.amazon.com/vpc/latest/userguide/subnet-route-tables.html
    """

    def associated(table: Answer, key: str, value: object) -> bool:
        return any(association.get(key) == value for association in table.get("Associations") or [])

    own = (table for table in route_tables if associated(table, "SubnetId", subnet_id))
    main = (table for table in route_tables if table.get("VpcId") == vpc_id and associated(table, "Main", value=True))
    return next(own, None) or next(main, {})
