"""The evidence: VPC flow logs in one log group."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components import already_exists
from components.account import account_of
from threatmon.model.location import Location
from threatmon.model.policies import flow_log_trust, flow_log_write


@dataclass(frozen=True)
class FlowLogsArgs:
    """What :class:`FlowLogs` takes."""

    log_group_name: str
    """name of the log group to create; a key's policy can name it beforehand"""
    subnet_ids: Sequence[str] = ()
    """subnets to log, each once"""
    vpc_ids: Sequence[str] = ()
    """whole VPCs to log, each once"""
    kms_key_arn: pulumi.Input[str] | None = None
    """ARN of the key that encrypts the log group; without it, CloudWatch Logs uses its own"""
    traffic_type: str = "ALL"
    """ALL, ACCEPT or REJECT"""
    aggregation_seconds: int = 60
    """width of one record, 60 or 600 seconds"""
    retention_days: int = 365
    """days for which CloudWatch Logs keeps a record"""
    log_format: str | None = None
    """fields of a record, as ``${srcaddr} ${dstaddr} ...``; None is AWS's default format"""
    log_group_class: str = "STANDARD"
    """STANDARD or INFREQUENT_ACCESS"""
    protect: bool = False
    """refuse to delete or replace the log group"""
    keep_on_destroy: bool = False
    """leave the log group when the stack is destroyed"""
    permissions_boundary: str | None = None
    """ARN of the policy that the role may never exceed"""
    account: pulumi.Output[Location] | None = None
    """where it is deployed, if known already; else the provider is asked"""


class FlowLogs(pulumi.ComponentResource):
    """Flow logs of subnets and VPCs, in one log group, by one role that can write to that group alone.

    GuardDuty does not read them: it has a stream of its own
    (https://docs.aws.amazon.com/guardduty/latest/ug/guardduty_data-sources.html). They are evidence for people.

    Creates: a log group, an IAM role with its policy, a flow log for each subnet and VPC.
    """

    log_group_name: pulumi.Output[str]
    """The log group's name."""
    log_group_arn: pulumi.Output[str]
    """The log group's ARN, without ``:*``."""

    def __init__(self, name: str, args: FlowLogsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("threat-monitor:index:FlowLogs", name, None, opts)
        group = aws.cloudwatch.LogGroup(
            f"{name}-log-group",
            name=args.log_group_name,
            retention_in_days=args.retention_days,
            log_group_class=args.log_group_class,
            kms_key_id=args.kms_key_arn,
            opts=pulumi.ResourceOptions(
                parent=self,
                protect=args.protect or None,
                retain_on_delete=args.keep_on_destroy or None,
                hooks=already_exists.explain(
                    name, self, lambda failure: _how_to_adopt_the_group(failure, name, args.log_group_name)
                ),
            ),
        )
        account = account_of(self, args.account)
        role = aws.iam.Role(
            f"{name}-role",
            description=f"Writes flow logs to {args.log_group_name}",
            assume_role_policy=account.apply(lambda account: json.dumps(flow_log_trust(account))),
            permissions_boundary=args.permissions_boundary,
            opts=pulumi.ResourceOptions(parent=self),
        )
        write = aws.iam.RolePolicy(
            f"{name}-write",
            role=role.name,
            policy=account.apply(lambda account: json.dumps(flow_log_write(account, args.log_group_name))),
            opts=pulumi.ResourceOptions(parent=self),
        )
        # Without the policy in place, the first records would be lost to an "Access error".
        child = pulumi.ResourceOptions(
            parent=self,
            depends_on=[write],
            hooks=already_exists.explain(
                f"{name}-flow-log", self, lambda failure: _how_to_adopt_a_flow_log(failure, name)
            ),
        )
        for subnet_id, vpc_id in [*((it, None) for it in args.subnet_ids), *((None, it) for it in args.vpc_ids)]:
            aws.ec2.FlowLog(
                f"{name}-{subnet_id or vpc_id}",
                subnet_id=subnet_id,
                vpc_id=vpc_id,
                traffic_type=args.traffic_type,
                max_aggregation_interval=args.aggregation_seconds,
                log_destination=group.arn,
                iam_role_arn=role.arn,
                log_format=args.log_format,
                opts=child,
            )
        self.log_group_name, self.log_group_arn = group.name, group.arn
        self.register_outputs({"logGroupName": self.log_group_name, "logGroupArn": self.log_group_arn})


def _how_to_adopt_the_group(failure: pulumi.ErrorHookArgs, name: str, log_group_name: str) -> str:
    return (
        f"The log group {log_group_name} was kept by an earlier stack (flowLogs.keepOnDestroy), or a run was killed "
        "while it made it. To go on with it:\n"
        f"  {already_exists.import_command(failure, name, log_group_name)}\n"
        "To start anew, and lose what it holds:\n"
        f"  aws logs delete-log-group --log-group-name {log_group_name}"
    )


def _how_to_adopt_a_flow_log(failure: pulumi.ErrorHookArgs, name: str) -> str:
    inputs = failure.new_inputs or {}
    resource_id = inputs.get("subnetId") or inputs.get("vpcId")
    return (
        f"{resource_id} has such a flow log; probably a run was killed while it made it. Its id:\n"
        f"  aws ec2 describe-flow-logs --filter Name=resource-id,Values={resource_id}\n"
        "To go on with it:\n"
        f"  {already_exists.import_command(failure, name, '<id>')}"
    )
