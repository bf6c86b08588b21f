"""The whole pipeline of one stack."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi

from components.alerts import FindingAlerts, FindingAlertsArgs
from components.detection import ThreatDetection, ThreatDetectionArgs
from components.encryption import EncryptionKey, EncryptionKeyArgs
from components.flow_logs import FlowLogs, FlowLogsArgs
from components.health import PipelineHealth, PipelineHealthArgs
from components.investigation import Investigation, InvestigationArgs
from components.location import location_of
from components.outputs import result_of
from threatmon.model import names
from threatmon.model.next_steps import next_steps
from threatmon.model.settings import Settings


@dataclass(frozen=True)
class MonitoringPipelineArgs:
    """What :class:`MonitoringPipeline` takes."""

    settings: Settings
    """the stack's settings (``threatmon.model.settings.parse``)"""
    stack: str
    """the stack's name, after which everything is named"""


class MonitoringPipeline(pulumi.ComponentResource):
    """Flow logs, a detector, alerts on its findings, and what a person needs to look into them.

    Creates: :class:`EncryptionKey` (unless a key is configured), :class:`FlowLogs`, :class:`ThreatDetection`,
    :class:`FindingAlerts`, :class:`Investigation`, :class:`PipelineHealth` (if it is enabled).
    """

    outputs: Mapping[str, pulumi.Output[Any]]
    """The stack's outputs by name."""

    def __init__(self, name: str, args: MonitoringPipelineArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("threat-monitor:index:MonitoringPipeline", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        settings = args.settings
        location = location_of(self)
        log_group_name, dashboard_name = names.log_group(args.stack), names.dashboard(args.stack)

        kms_key_arn: pulumi.Input[str] = (
            settings.alerts.kms_key_arn
            or EncryptionKey(
                f"{name}-encryption",
                EncryptionKeyArgs(
                    stack=args.stack,
                    log_group_names=names.log_groups(args.stack),
                    protect=settings.protect,
                    keep_on_destroy=settings.flow_logs.keep_on_destroy,
                    location=location,
                ),
                child,
            ).arn
        )
        flow_logs = FlowLogs(
            f"{name}-flow-logs",
            FlowLogsArgs(
                stack=args.stack,
                log_group_name=log_group_name,
                subnet_ids=settings.subnet_ids,
                vpc_ids=settings.vpc_ids,
                kms_key_arn=kms_key_arn,
                settings=settings.flow_logs,
                protect=settings.protect,
                location=location,
            ),
            child,
        )
        detection = ThreatDetection(
            f"{name}-detection",
            ThreatDetectionArgs(
                stack=args.stack,
                settings=settings.detector,
                protection_plans=settings.declared_plans,
                finding_publishing_frequency=settings.finding_publishing_frequency,
                protect=settings.protect,
            ),
            child,
        )
        alerts = FindingAlerts(
            f"{name}-alerts",
            FindingAlertsArgs(
                stack=args.stack,
                emails=settings.alert_emails,
                kms_key_arn=kms_key_arn,
                settings=settings.alerts,
                finding_types=settings.finding_types,
                minimum_severity=settings.severity_floor,
                log_group_name=log_group_name,
                dashboard_name=dashboard_name,
                permissions_boundary=settings.flow_logs.permissions_boundary,
                location=location,
            ),
            child,
        )
        investigation = Investigation(
            f"{name}-investigation",
            InvestigationArgs(
                title=dashboard_name,
                log_group_name=flow_logs.log_group_name,
                log_format=settings.flow_logs.format,
                topic_name=alerts.topic_names["topic"],
                dead_letter_queue_name=alerts.dead_letter_queue_name,
                rule_names=list(alerts.rule_names.values()),
                state_machine_arn=alerts.state_machine_arn,
                location=location,
            ),
            child,
        )
        self.outputs = {
            "topicArn": alerts.topic_arn,
            "stateMachineArn": alerts.state_machine_arn,
            "detectorId": detection.detector_id,
            "logGroupName": flow_logs.log_group_name,
            "ruleNames": pulumi.Output.all(*alerts.rule_names.values()),
            "deadLetterQueueUrl": alerts.dead_letter_queue_url,
            "dashboardUrl": investigation.dashboard_url,
            "nextSteps": result_of(
                next_steps,
                topic_arn=alerts.topic_arn,
                region=location.region,
                emails=settings.alert_emails,
                health_emails=settings.health_emails,
            ),
        }
        if settings.health.enabled:
            health = PipelineHealth(
                f"{name}-health",
                PipelineHealthArgs(
                    stack=args.stack,
                    emails=settings.health_emails,
                    rule_names=alerts.rule_names,
                    topic_names=alerts.topic_names,
                    state_machine_arn=alerts.state_machine_arn,
                    dead_letter_queue_name=alerts.dead_letter_queue_name,
                    log_group_name=flow_logs.log_group_name,
                    location=location,
                ),
                child,
            )
            self.outputs["alarmNames"] = pulumi.Output.all(*health.alarm_names)
        self.register_outputs(dict(self.outputs))
