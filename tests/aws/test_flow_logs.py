import pytest

from threatmon.aws.flow_logs import destination, log_group_of

ARN = "arn:aws:logs:eu-west-1:111122223333:log-group:/threat-monitor/dev/flow-logs"
BUCKET = "arn:aws:s3:::flows"


@pytest.mark.parametrize(
    ("flow_log", "group", "described"),
    [
        ({"LogDestination": ARN}, "/threat-monitor/dev/flow-logs", "log group /threat-monitor/dev/flow-logs"),
        ({"LogDestination": f"{ARN}:*"}, "/threat-monitor/dev/flow-logs", "log group /threat-monitor/dev/flow-logs"),
        ({"LogGroupName": "old"}, "old", "log group old"),
        ({"LogDestination": BUCKET, "LogDestinationType": "s3"}, None, BUCKET),
        ({}, None, "an unknown destination"),
    ],
)
def test_a_flow_log_goes_to_a_log_group_by_arn_or_name_or_elsewhere(
    flow_log: dict[str, str], group: str | None, described: str
) -> None:
    assert (log_group_of(flow_log), destination(flow_log)) == (group, described)
