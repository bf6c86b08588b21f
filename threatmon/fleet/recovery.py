"""What an interrupted creation has made: found in the account, by what there can be only one of.

What AWS allows twice is simply made again; its names are made up anew each time.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from threatmon.fleet.interruptions import Interrupted
from threatmon.model import names
from threatmon.stacks.old_aws import Aws

PERMISSIONS = ("ec2:DescribeFlowLogs", "guardduty:GetDetector", "guardduty:ListDetectors", "logs:DescribeLogGroups")

# A detector that was there before makes the creation fail at once, which is no interruption.
_RECENT = timedelta(days=1)


def _log_group(aws: Aws, stack: str, _: Interrupted) -> str | None:
    name = names.log_group(stack)
    found = aws.client("logs").describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    return name if any(group["logGroupName"] == name for group in found) else None


def _flow_log(aws: Aws, stack: str, interrupted: Interrupted) -> str | None:
    watched = [
        {"Name": "resource-id", "Values": [_resource_id(interrupted.name)]},
        {"Name": "log-group-name", "Values": [names.log_group(stack)]},
    ]
    found = aws.client("ec2").describe_flow_logs(Filters=watched)["FlowLogs"]
    return found[0]["FlowLogId"] if found else None


def _resource_id(name: str) -> str:
    """`subnet-1` of `threat-monitor-flow-logs-subnet-1`: children for each subnet are named by its id."""
    return "-".join(name.rsplit("-", 2)[1:])


def _detector(aws: Aws, _: str, __: Interrupted) -> str | None:
    guardduty = aws.client("guardduty")
    for detector_id in guardduty.list_detectors()["DetectorIds"]:
        created = datetime.fromisoformat(guardduty.get_detector(DetectorId=detector_id)["CreatedAt"])
        if datetime.now(UTC) - created < _RECENT:
            return detector_id
    return None


_FINDERS = {
    "aws:cloudwatch/logGroup:LogGroup": _log_group,
    "aws:ec2/flowLog:FlowLog": _flow_log,
    "aws:guardduty/detector:Detector": _detector,
}


def find(connect: Callable[[], Aws], stack: str, interrupted: Interrupted) -> str | None:
    """The physical id of what the creation made; None where it made nothing, or something that may exist twice, for
    which AWS is not asked."""
    finder = _FINDERS.get(interrupted.type)
    return finder(connect(), stack, interrupted) if finder else None
