"""The state machine that writes the alerts."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components.location import arn_of, location_of, role_name
from components.outputs import json_of
from threatmon.model import names
from threatmon.model.alarms import METRIC_NAMESPACE
from threatmon.model.channels import FormattedChannel
from threatmon.model.location import Location
from threatmon.model.policies import state_machine_permissions, state_machine_trust
from threatmon.model.settings import AlertSettings
from threatmon.model.state_machine import definition

_LOG_RETENTION = 90  # days, as long as Step Functions keeps the executions themselves


@dataclass(frozen=True)
class AlertFormatterArgs:
    """What :class:`AlertFormatter` takes."""

    stack: str
    """the stack's name, after which everything is named"""
    topic_arns: Mapping[FormattedChannel, pulumi.Input[str]]
    """the topic of each channel"""
    dead_letter_queue_arn: pulumi.Input[str]
    dead_letter_queue_url: pulumi.Input[str]
    kms_key_arn: pulumi.Input[str]
    """key of the topics, the queue and the log group"""
    settings: AlertSettings
    log_group_name: str | None = None
    """log group of the flow logs the mail links to"""
    dashboard_name: str | None = None
    """dashboard the mail links to"""
    permissions_boundary: str | None = None
    """ARN of the policy that the role may never exceed"""
    location: pulumi.Output[Location] | None = None


class AlertFormatter(pulumi.ComponentResource):
    """Formats a finding for each channel, and publishes it.

    Errors are logged without the findings.
    Creates: a STANDARD state machine, its role with a policy, the log group of its errors.
    """

    state_machine_arn: pulumi.Output[str]
    """The machine's ARN, known once it may publish."""

    def __init__(self, name: str, args: AlertFormatterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("threat-monitor:index:AlertFormatter", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        location = location_of(self, args.location)
        machine_name = names.state_machine(args.stack)
        role = aws.iam.Role(
            f"{name}-role",
            name=role_name(location, args.stack, f"{name}-role"),
            description=f"Publishes the alerts of {machine_name}",
            assume_role_policy=json_of(state_machine_trust, location=location, state_machine_name=machine_name),
            permissions_boundary=args.permissions_boundary,
            opts=child,
        )
        policy = aws.iam.RolePolicy(
            f"{name}-policy",
            name=f"{name}-policy",
            role=role.name,
            policy=json_of(
                state_machine_permissions,
                location=location,
                topic_arns=list(args.topic_arns.values()),
                queue_arn=args.dead_letter_queue_arn,
                kms_key_arn=args.kms_key_arn,
                metric_namespace=METRIC_NAMESPACE,
            ),
            opts=child,
        )
        log_group = aws.cloudwatch.LogGroup(
            f"{name}-log-group",
            name=names.state_machine_log_group(args.stack),
            retention_in_days=_LOG_RETENTION,
            kms_key_id=args.kms_key_arn,
            opts=child,
        )
        machine = aws.sfn.StateMachine(
            f"{name}-state-machine",
            name=machine_name,
            type="STANDARD",
            role_arn=role.arn,
            definition=json_of(
                definition,
                location=location,
                topic_arns=dict(args.topic_arns),
                queue_url=args.dead_letter_queue_url,
                settings=args.settings,
                log_group_name=args.log_group_name,
                dashboard_name=args.dashboard_name,
            ),
            logging_configuration=aws.sfn.StateMachineLoggingConfigurationArgs(
                level="ERROR",
                include_execution_data=False,
                log_destination=arn_of(location, "logs", log_group.name, "log-group:").apply(lambda arn: f"{arn}:*"),
            ),
            # Its name can be taken once; Step Functions tries the log group at once.
            opts=pulumi.ResourceOptions(parent=self, depends_on=[policy], delete_before_replace=True),
        )
        self.state_machine_arn = arn_of(location, "states", machine.name, "stateMachine:")
        self.register_outputs({"stateMachineArn": self.state_machine_arn})
