"""VPC flow logs."""

import json

from threatmon.emulator import constraints, tagging
from threatmon.emulator.account import EmulatedAccount
from threatmon.emulator.emulated import Emulated, Fields, Properties, found, from_api, names, to_api

_FLOW_LOG: Fields = {
    "trafficType": "TrafficType",
    "logDestination": "LogDestination",
    "logDestinationType": "LogDestinationType",
    "iamRoleArn": "DeliverLogsPermissionArn",
    "logFormat": "LogFormat",
    "maxAggregationInterval": "MaxAggregationInterval",
}
_FLOW_LOG_SOURCES: Fields = {"subnetId": "Subnet", "vpcId": "VPC", "eniId": "NetworkInterface"}
_DEFAULT_LOG_FORMAT = (
    "${version} ${account-id} ${interface-id} ${srcaddr} ${dstaddr} ${srcport} ${dstport} ${protocol} ${packets} "
    "${bytes} ${start} ${end} ${action} ${log-status}"
)

_INPUTS = names(_FLOW_LOG, _FLOW_LOG_SOURCES)


def _make_flow_log(account: EmulatedAccount, inputs: Properties) -> str:
    sources = to_api(inputs, _FLOW_LOG_SOURCES)
    constraints.flow_log(inputs.get("trafficType"), inputs["maxAggregationInterval"], list(sources.values()))
    constraints.flow_log_role(_trust_of(account, inputs), account.arn("ec2", "vpc-flow-log/fl-00000000000000000"))
    ec2 = account.client("ec2")
    configuration = to_api(inputs, _FLOW_LOG)
    [(resource_type, resource_id)] = sources.items()
    existing = ec2.describe_flow_logs(Filters=[{"Name": "resource-id", "Values": [resource_id]}])["FlowLogs"]
    constraints.flow_log_is_new(configuration, [{key: entry.get(key) for key in configuration} for entry in existing])
    answer = ec2.create_flow_logs(ResourceIds=[resource_id], ResourceType=resource_type, **configuration)
    return answer["FlowLogIds"][0]


def _trust_of(account: EmulatedAccount, inputs: Properties) -> str | None:
    iam = account.client("iam")
    try:
        role = iam.get_role(RoleName=inputs.get("iamRoleArn", "").rpartition("/")[2] or "-")["Role"]
    except iam.exceptions.NoSuchEntityException:
        return None
    return json.dumps(role["AssumeRolePolicyDocument"])


def _look_at_flow_log(account: EmulatedAccount, flow_log_id: str) -> Properties:
    flow_log = found(account.client("ec2").describe_flow_logs(FlowLogIds=[flow_log_id])["FlowLogs"])
    source = {"vpc": "vpcId", "eni": "eniId"}.get(flow_log["ResourceId"].partition("-")[0], "subnetId")
    return {
        **from_api(flow_log, _FLOW_LOG),
        source: flow_log["ResourceId"],
        "arn": account.arn("ec2", f"vpc-flow-log/{flow_log_id}"),
    }


def _remove_flow_log(account: EmulatedAccount, flow_log_id: str, _: Properties) -> None:
    account.client("ec2").delete_flow_logs(FlowLogIds=[flow_log_id])


RESOURCES = (
    Emulated(
        type="aws:ec2/flowLog:FlowLog",
        inputs=_INPUTS | {"tags"},
        make=_make_flow_log,
        look=_look_at_flow_log,
        change=None,
        remove=_remove_flow_log,
        replaced_by=_INPUTS,
        computed=frozenset({"arn"}),
        defaults={
            "logDestinationType": "cloud-watch-logs",
            "logFormat": _DEFAULT_LOG_FORMAT,
            "maxAggregationInterval": 600,
        },
        tagging=tagging.EC2,
    ),
)
