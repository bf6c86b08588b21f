"""What ``threatmon init`` reads of an account: networks and their flow logs, and the detector."""

from functools import partial
from typing import Any, NamedTuple

from threatmon.aws.errors import RefusedError
from threatmon.aws.reader import Aws, attempt, side_by_side
from threatmon.stacks.detector_choice import DetectorChoice, detector_choice
from threatmon.stacks.networks import Network, networks_of

PERMISSIONS: tuple[str, ...] = (
    "ec2:DescribeFlowLogs",
    "ec2:DescribeRouteTables",
    "ec2:DescribeSubnets",
    "ec2:DescribeVpcs",
    "guardduty:GetAdministratorAccount",
    "guardduty:GetDetector",
    "guardduty:ListDetectors",
)
_LISTS = {
    "VPCs": ("ec2", "describe_vpcs"),
    "subnets": ("ec2", "describe_subnets"),
    "flow logs": ("ec2", "describe_flow_logs"),
    "route tables": ("ec2", "describe_route_tables"),
    "detectors": ("guardduty", "list_detectors"),
}
_DETAILS = {"detector": "get_detector", "administrator account": "get_administrator_account"}


class Survey(NamedTuple):
    """What an account has."""

    networks: list[Network]
    detector: DetectorChoice
    refused: dict[str, RefusedError]
    """what could not be read, because a permission is missing"""


def survey(aws: Aws, stack: str) -> Survey:
    """Read the account for a stack. A missing permission leaves its part out; raises other kinds of AwsError."""

    def ask(ask_for: Any, *call: str, **parameters: str) -> Any:
        return partial(attempt, partial(ask_for, *call, **parameters), RefusedError)

    answers = side_by_side({what: ask(aws.read_all, *call) for what, call in _LISTS.items()})
    ids = answers["detectors"]
    if ids and not isinstance(ids, RefusedError):
        asked = {what: ask(aws.read, "guardduty", call, DetectorId=ids[0]) for what, call in _DETAILS.items()}
        answers |= side_by_side(asked)
    refused = {what: answer for what, answer in answers.items() if isinstance(answer, RefusedError)}
    vpcs, subnets, flow_logs = ([] if what in refused else answers[what] for what in ("VPCs", "subnets", "flow logs"))
    route_tables = None if "route tables" in refused else answers["route tables"]
    networks = networks_of(stack, aws.account_id, vpcs, subnets, flow_logs, route_tables)
    return Survey(networks, detector_choice(stack, ids, *map(answers.get, _DETAILS)), refused)
