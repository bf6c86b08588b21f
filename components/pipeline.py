"""The whole pipeline of one stack."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi

from components.account import account_of
from components.alerts import AlertSubscriber, FindingAlerts, FindingAlertsArgs
from components.detection import ThreatDetection, ThreatDetectionArgs
from components.encryption import EncryptionKey, EncryptionKeyArgs
from components.flow_logs import FlowLogs, FlowLogsArgs
from components.health import PipelineHealth, PipelineHealthArgs
from components.investigation import Investigation, InvestigationArgs
from threatmon.model import names
from threatmon.model.next_steps import next_steps
from threatmon.model.queries import log_format
from threatmon.model.settings import Settings


@dataclass(frozen=True)
class MonitoringPipelineArgs:
    """What :class:`MonitoringPipeline` takes."""

    settings: Settings
    """the stack's settings (``threatmon.model.settings.parse``)"""
    stack: str
    """names the log group and the dashboard"""


class MonitoringPipeline(pulumi.ComponentResource):
    """Evidence, detection, choice and delivery: flow logs, a detector, rules on its findings, mails.

    Creates: :class:`EncryptionKey` (unless a key is configured), :class:`FlowLogs`, :class:`ThreatDetection`,
    :class:`FindingAlerts`, :class:`Investigation`, :class:`PipelineHealth` (where it is on).
    """

    outputs: Mapping[str, pulumi.Output[Any]]
    """The stack's outputs by name."""

    def __init__(self, name: str, args: MonitoringPipelineArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("threat-monitor:index:MonitoringPipeline", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        settings = args.settings
        account = account_of(self)
        log_group_name = names.log_group(args.stack)

        kms_key_arn: pulumi.Input[str] = (
            settings.alerts.kms_key_arn
            or EncryptionKey(
                f"{name}-encryption",
                EncryptionKeyArgs(
                    log_group_name=log_group_name,
                    protect=settings.protect,
                    keep_on_destroy=settings.flow_logs.keep_on_destroy,
                    account=account,
                ),
                child,
            ).arn
        )
        flow_logs = FlowLogs(
            f"{name}-flow-logs",
            FlowLogsArgs(
                log_group_name=log_group_name,
                subnet_ids=settings.subnet_ids,
                vpc_ids=settings.vpc_ids,
                kms_key_arn=kms_key_arn,
                traffic_type=settings.flow_logs.traffic_type,
                aggregation_seconds=settings.flow_logs.aggregation_seconds,
                retention_days=settings.flow_logs.retention_days,
                log_format=log_format(settings.flow_logs.format),
                log_group_class=settings.flow_logs.log_group_class,
                protect=settings.protect,
                keep_on_destroy=settings.flow_logs.keep_on_destroy,
                permissions_boundary=settings.flow_logs.permissions_boundary,
                account=account,
            ),
            child,
        )
        detection = ThreatDetection(
            f"{name}-detection",
            ThreatDetectionArgs(
                mode=settings.detector.mode,
                detector_id=settings.detector.id,
                protection_plans=settings.declared_plans,
                finding_publishing_frequency=settings.finding_publishing_frequency,
                protect=settings.protect,
            ),
            child,
        )
        alerts = FindingAlerts(
            f"{name}-alerts",
            FindingAlertsArgs(
                emails=settings.alert_emails,
                kms_key_arn=kms_key_arn,
                finding_types=settings.finding_types,
                minimum_severity=settings.severity_floor,
                include_samples=settings.alerts.include_samples,
                include_archived=settings.alerts.include_archived,
                account_alias=settings.alerts.account_alias,
                log_group_name=log_group_name,
                dashboard_name=names.dashboard(args.stack),
                subscribers=[
                    AlertSubscriber(s.protocol, s.endpoint, s.format, s.minimum_severity)
                    for s in settings.alerts.subscribers
                ],
                account=account,
            ),
            child,
        )
        investigation = Investigation(
            f"{name}-investigation",
            InvestigationArgs(
                title=names.dashboard(args.stack),
                log_group_name=flow_logs.log_group_name,
                log_format=settings.flow_logs.format,
                topic_arn=alerts.topic_arn,
                dead_letter_queue_url=alerts.dead_letter_queue_url,
                rule_names=list(alerts.rule_names.values()),
                account=account,
            ),
            child,
        )
        watched: dict[str, pulumi.Output[Any]] = {}
        if settings.health.enabled:
            health = PipelineHealth(
                f"{name}-health",
                PipelineHealthArgs(
                    emails=settings.health_emails,
                    rule_names=alerts.rule_names,
                    topic_names=alerts.topic_names,
                    dead_letter_queue_name=alerts.dead_letter_queue_name,
                    log_group_name=flow_logs.log_group_name,
                    account=account,
                ),
                child,
            )
            watched["alarmNames"] = pulumi.Output.all(*health.alarm_names)
        self.outputs = {
            "topicArn": alerts.topic_arn,
            "detectorId": detection.detector_id,
            "logGroupName": flow_logs.log_group_name,
            "ruleNames": pulumi.Output.all(*alerts.rule_names.values()),
            "deadLetterQueueUrl": alerts.dead_letter_queue_url,
            "dashboardUrl": investigation.dashboard_url,
            **watched,
            "nextSteps": pulumi.Output.all(alerts.topic_arn, account).apply(
                lambda it: next_steps(it[0], it[1].region, settings.alert_emails, settings.health_emails)
            ),
        }
        self.register_outputs(dict(self.outputs))
