"""VPC flow logs of a subnet or VPC, to CloudWatch Logs."""

from threatmon.emulator import constraints, tagging
from threatmon.emulator.account import EmulatedAccount
from threatmon.emulator.emulated import ApiNames, Emulated, Properties, capitalised, first, from_api, nothing, to_api
from threatmon.emulator.permissions import find_role

_FLOW_LOG: ApiNames = {
    **capitalised("trafficType", "logDestination", "logFormat", "maxAggregationInterval"),
    "iamRoleArn": "DeliverLogsPermissionArn",
}
_SOURCES: ApiNames = {"subnetId": "Subnet", "vpcId": "VPC"}
_DEFAULT_LOG_FORMAT = (
    "${version} ${account-id} ${interface-id} ${srcaddr} ${dstaddr} ${srcport} ${dstport} ${protocol} ${packets} "
    "${bytes} ${start} ${end} ${action} ${log-status}"
)


def _make_flow_log(account: EmulatedAccount, inputs: Properties) -> str:
    role = find_role(account, inputs["iamRoleArn"])
    constraints.flow_log_role(role, account.arn("ec2", "vpc-flow-log/fl-00000000000000000"))
    ec2, configuration = account.client("ec2"), to_api(inputs, _FLOW_LOG)
    [(resource_type, resource_id)] = to_api(inputs, _SOURCES).items()
    existing = ec2.describe_flow_logs(Filters=[{"Name": "resource-id", "Values": [resource_id]}])["FlowLogs"]
    if configuration in [{key: entry.get(key) for key in configuration} for entry in existing]:
        raise constraints.ConstraintError(
            "FlowLogAlreadyExists: Error. There is an existing Flow Log with the same configuration "
            "and log destination."
        )
    answer = ec2.create_flow_logs(ResourceIds=[resource_id], ResourceType=resource_type, **configuration)
    return answer["FlowLogIds"][0]


def _look_at_flow_log(account: EmulatedAccount, flow_log_id: str) -> Properties:
    flow_log = first(account.client("ec2").describe_flow_logs(FlowLogIds=[flow_log_id])["FlowLogs"])
    source = "vpcId" if flow_log["ResourceId"].startswith("vpc-") else "subnetId"
    return {
        **from_api(flow_log, _FLOW_LOG),
        source: flow_log["ResourceId"],
        "arn": account.arn("ec2", f"vpc-flow-log/{flow_log_id}"),
    }


RESOURCES = (
    Emulated(
        type="aws:ec2/flowLog:FlowLog",
        inputs={*_FLOW_LOG, *_SOURCES, "tags"},
        make=_make_flow_log,
        look=_look_at_flow_log,
        change=nothing,
        remove=lambda account, flow_log, _: account.client("ec2").delete_flow_logs(FlowLogIds=[flow_log]),
        replaced_by={*_FLOW_LOG, *_SOURCES},
        computed={"arn"},
        defaults={"logFormat": _DEFAULT_LOG_FORMAT, "maxAggregationInterval": 600},
        tagging=tagging.EC2,
    ),
)
