"""The evidence: VPC flow logs in one log group."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pulumi
import pulumi_aws as aws

from components import already_exists
from components.location import location_of, role_name
from components.outputs import json_of
from threatmon.model import names
from threatmon.model.location import Location
from threatmon.model.policies import flow_log_trust, flow_log_write
from threatmon.model.queries import log_format
from threatmon.model.settings import FlowLogSettings


@dataclass(frozen=True)
class FlowLogsArgs:
    """What :class:`FlowLogs` takes; ``protect`` is an option of the log group."""

    stack: str
    """the stack's name, after which the role is named"""
    log_group_name: str
    """name of the log group to create; the key's policy has to name it beforehand"""
    subnet_ids: Sequence[str] = ()
    """subnets to log, each once"""
    vpc_ids: Sequence[str] = ()
    """whole VPCs to log, each once"""
    kms_key_arn: pulumi.Input[str] | None = None
    """ARN of the key that encrypts the log group; without it, CloudWatch Logs uses its own"""
    settings: FlowLogSettings = field(default_factory=FlowLogSettings)
    """which traffic is recorded, in which format, and how long it is kept"""
    protect: bool = False
    location: pulumi.Output[Location] | None = None


class FlowLogs(pulumi.ComponentResource):
    """Flow logs of subnets and VPCs, in one log group, by one role that can write to that group alone.

    GuardDuty does not read them: it has a stream of its own
    (https://docs.aws.amazon.com/guardduty/latest/ug/guardduty_data-sources.html). They are evidence for people.

    Creates: a log group, an IAM role with its policy, a flow log for each subnet and VPC.
    """

    log_group_name: pulumi.Output[str]
    log_group_arn: pulumi.Output[str]
    """Without ``:*``."""

    def __init__(self, name: str, args: FlowLogsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("threat-monitor:index:FlowLogs", name, None, opts)
        settings = args.settings
        group = aws.cloudwatch.LogGroup(
            f"{name}-log-group",
            name=args.log_group_name,
            retention_in_days=settings.retention_days,
            log_group_class=settings.log_group_class,
            kms_key_id=args.kms_key_arn,
            opts=pulumi.ResourceOptions(
                parent=self,
                protect=args.protect or None,
                retain_on_delete=settings.keep_on_destroy or None,
                hooks=already_exists.explain(
                    name, self, lambda failure: _how_to_adopt_the_group(failure, name, args.log_group_name)
                ),
            ),
        )
        location = location_of(self, args.location)
        role = aws.iam.Role(
            f"{name}-role",
            name=role_name(location, args.stack, f"{name}-role"),
            description=f"Writes flow logs to {args.log_group_name}",
            assume_role_policy=json_of(flow_log_trust, location=location),
            permissions_boundary=settings.permissions_boundary,
            opts=pulumi.ResourceOptions(parent=self),
        )
        write = aws.iam.RolePolicy(
            f"{name}-write",
            name=f"{name}-write",
            role=role.name,
            policy=json_of(flow_log_write, location=location, log_group_name=args.log_group_name),
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
        for resource_id in [*args.subnet_ids, *args.vpc_ids]:
            aws.ec2.FlowLog(
                f"{name}-{resource_id}",
                subnet_id=resource_id if resource_id in args.subnet_ids else None,
                vpc_id=resource_id if resource_id in args.vpc_ids else None,
                traffic_type=settings.traffic_type,
                max_aggregation_interval=settings.aggregation_seconds,
                log_destination=group.arn,
                iam_role_arn=role.arn,
                log_format=log_format(settings.format),
                tags=names.tags(args.stack, f"{name}-{resource_id}"),
                opts=child,
            )
        self.log_group_name, self.log_group_arn = group.name, group.arn
        self.register_outputs({"logGroupName": self.log_group_name, "logGroupArn": self.log_group_arn})


def _how_to_adopt_the_group(failure: pulumi.ErrorHookArgs, name: str, log_group_name: str) -> str:
    return (
        f"The log group {log_group_name} was kept by an earlier stack (flowLogs.keepOnDestroy), or created by a run "
        "that was killed. To keep using it:\n"
        f"  {already_exists.import_command(failure, name, log_group_name)}\n"
        "To start again, and lose what it holds:\n"
        f"  aws logs delete-log-group --log-group-name {log_group_name}"
    )


def _how_to_adopt_a_flow_log(failure: pulumi.ErrorHookArgs, name: str) -> str:
    inputs = failure.new_inputs or {}
    resource_id = inputs.get("subnetId") or inputs.get("vpcId")
    return (
        f"{resource_id} has this flow log already, probably from a run that was killed. Its id:\n"
        f"  aws ec2 describe-flow-logs --filter Name=resource-id,Values={resource_id}\n"
        "To keep using it:\n"
        f"  {already_exists.import_command(failure, name, '<id>')}"
    )
