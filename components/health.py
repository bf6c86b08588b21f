"""The alarms on the alert path itself, with a topic of their own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components.location import arn_of, location_of
from components.outputs import json_of, result_of
from threatmon.model import alarms, names
from threatmon.model.alarms import Alarm
from threatmon.model.location import Location
from threatmon.model.policies import alarm_key_policy, alarm_topic_policy


@dataclass(frozen=True)
class PipelineHealthArgs:
    """What :class:`PipelineHealth` takes."""

    stack: str
    """the stack's name, after which everything is named"""
    emails: Sequence[str]
    """addresses that get the alarms"""
    rule_names: Mapping[str, pulumi.Input[str]]
    """names of the rules on findings, by the key that names their alarms"""
    topic_names: Mapping[str, pulumi.Input[str]]
    """names of the topics that alert, by the key that names their alarms"""
    state_machine_arn: pulumi.Input[str]
    dead_letter_queue_name: pulumi.Input[str]
    log_group_name: pulumi.Input[str]
    location: pulumi.Output[Location] | None = None


class PipelineHealth(pulumi.ComponentResource):
    """Alarms for people when alerts or evidence stop arriving.

    It shares nothing with what it watches: a topic of its own, encrypted with a key of its own.

    Creates: a KMS key, a topic with its policy and subscriptions, the alarms of ``threatmon.model.alarms``.
    Raises :class:`ValueError` if nobody would get the alarms.
    """

    alarm_names: Sequence[pulumi.Output[str]]

    def __init__(self, name: str, args: PipelineHealthArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        if not args.emails:
            raise ValueError("emails: is empty; alarms need somebody to go to")
        super().__init__("threat-monitor:index:PipelineHealth", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        location = location_of(self, args.location)
        key = aws.kms.Key(
            f"{name}-key",
            description=f"Alarms of {name}",
            is_enabled=True,
            enable_key_rotation=True,
            deletion_window_in_days=30,
            policy=json_of(alarm_key_policy, location=location),
            tags=names.tags(args.stack, f"{name}-key"),
            opts=pulumi.ResourceOptions(parent=self),
        )
        topic = aws.sns.Topic(
            f"{name}-topic",
            name=names.physical(args.stack, f"{name}-topic"),
            display_name="GuardDuty alerts: health",
            kms_master_key_id=key.arn,
            opts=child,
        )
        access = aws.sns.TopicPolicy(
            f"{name}-topic-policy",
            arn=topic.arn,
            policy=json_of(alarm_topic_policy, topic_arn=arn_of(location, "sns", topic.name), location=location),
            opts=child,
        )
        for address in args.emails:
            aws.sns.TopicSubscription(
                f"{name}-{address}", topic=topic.arn, protocol="email", endpoint=address, opts=child
            )

        # By their keys, or by the dimension that names what there is one of.
        watched: dict[str, pulumi.Input[str]] = {
            **args.rule_names,
            **args.topic_names,
            "StateMachineArn": args.state_machine_arn,
            "StateMachine": result_of(lambda arn: arn.rpartition(":")[2], arn=args.state_machine_arn),
            "QueueName": args.dead_letter_queue_name,
            "LogGroupName": args.log_group_name,
        }
        notifying = pulumi.ResourceOptions(parent=self, depends_on=[access])
        self.alarm_names = [
            _metric_alarm(
                f"{name}-{word}", args.stack, alarm, watched[key or alarm.dimension], topic.arn, notifying
            ).name
            for word, alarm, key in alarms.of_stack(args.rule_names, args.topic_names)
        ]
        self.register_outputs({"alarmNames": self.alarm_names})


def _metric_alarm(
    name: str,
    stack: str,
    alarm: Alarm,
    resource_name: pulumi.Input[str],
    topic_arn: pulumi.Input[str],
    opts: pulumi.ResourceOptions,
) -> aws.cloudwatch.MetricAlarm:
    metrics = [
        aws.cloudwatch.MetricAlarmMetricQueryArgs(
            id=f"m{number}",
            metric=aws.cloudwatch.MetricAlarmMetricQueryMetricArgs(
                namespace=alarm.namespace,
                metric_name=metric,
                dimensions={alarm.dimension: resource_name},
                period=alarm.period,
                stat=alarm.statistic,
            ),
        )
        for number, metric in enumerate(alarm.metrics)
    ]
    total = aws.cloudwatch.MetricAlarmMetricQueryArgs(
        id="total", expression="SUM(METRICS())", label=alarm.description, return_data=True
    )
    return aws.cloudwatch.MetricAlarm(
        name,
        name=names.physical(stack, name),
        alarm_description=alarm.description,
        metric_queries=[*metrics, total],
        comparison_operator=alarm.comparison,
        threshold=alarm.threshold,
        evaluation_periods=1,
        treat_missing_data=alarm.missing_data,
        actions_enabled=True,
        alarm_actions=[topic_arn],
        ok_actions=[topic_arn],
        insufficient_data_actions=[topic_arn] if alarm.missing_data == "missing" else None,
        opts=opts,
    )
