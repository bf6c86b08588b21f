"""What ``threatmon init`` reads of an account: networks and their flow logs, and the detector."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

from botocore.exceptions import ClientError

from threatmon.stacks import template
from threatmon.stacks.old_aws import Aws, explained
from threatmon.stacks.template import Answer, Detector, Network, NotRead

_T = TypeVar("_T")

PERMISSIONS: tuple[str, ...] = (
    "ec2:DescribeFlowLogs",
    "ec2:DescribeRouteTables",
    "ec2:DescribeSubnets",
    "ec2:DescribeVpcs",
    "guardduty:GetAdministratorAccount",
    "guardduty:GetDetector",
    "guardduty:ListDetectors",
)
_AT_ONCE = 5


class Survey(NamedTuple):
    """What an account has."""

    networks: list[Network]
    detector: Detector
    unread: dict[str, str]
    """what could not be read, for want of a permission, and AWS's own words"""


def survey(aws: Aws, stack: str) -> Survey:
    """Looks, side by side. A missing permission leaves its part out; raises what botocore raises otherwise."""
    unread: dict[str, str] = {}

    def looked(what: str, look: Callable[[], _T]) -> _T | NotRead:
        try:
            return look()
        except ClientError as error:
            said = explained(error)
            if not said.startswith("Permission "):
                raise
            unread[what] = said
            return NotRead(f"{said.partition(': ')[0]}.")

    ec2 = aws.client("ec2")
    guardduty = aws.client("guardduty")
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        vpcs, subnets, flow_logs, route_tables = (
            pool.submit(looked, what, lambda call=call: _every(ec2, *call))
            for what, call in {
                "VPCs": ("describe_vpcs", "Vpcs"),
                "subnets": ("describe_subnets", "Subnets"),
                "flow logs": ("describe_flow_logs", "FlowLogs"),
                "route tables": ("describe_route_tables", "RouteTables"),
            }.items()
        )
        detectors = pool.submit(looked, "detectors", lambda: _every(guardduty, "list_detectors", "DetectorIds"))
        ids = detectors.result()
        details: list[Any] = [None, None]
        if isinstance(ids, list) and ids:
            asked = {"DetectorId": ids[0]}
            looks = {"detector": guardduty.get_detector, "administrator account": guardduty.get_administrator_account}
            futures = [pool.submit(looked, what, lambda call=call: call(**asked)) for what, call in looks.items()]
            details = [future.result() for future in futures]
    found = template.networks(
        stack,
        aws.account_id,
        _known(vpcs.result()),
        _known(subnets.result()),
        _known(flow_logs.result()),
        route_tables.result(),
    )
    return Survey(found, template.detector(stack, ids, *details), unread)


def _every(client: Any, operation: str, key: str) -> list[Any]:
    return [it for page in client.get_paginator(operation).paginate() for it in page.get(key, ())]


def _known(answers: list[Answer] | NotRead) -> list[Answer]:
    return [] if isinstance(answers, NotRead) else answers
