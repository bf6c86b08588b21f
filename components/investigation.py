"""The investigation: saved Logs Insights queries and a dashboard."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components.location import location_of
from components.outputs import json_of, result_of
from threatmon.model import console_urls, dashboard, queries
from threatmon.model.location import Location


@dataclass(frozen=True)
class InvestigationArgs:
    """What :class:`Investigation` takes."""

    title: str
    """name of the dashboard and of the folder of the saved queries; unique in the account and Region"""
    log_group_name: pulumi.Input[str]
    log_format: queries.FormatName
    topic_name: pulumi.Input[str]
    """name of the topic that mails"""
    dead_letter_queue_name: pulumi.Input[str]
    rule_names: Sequence[pulumi.Input[str]]
    state_machine_arn: pulumi.Input[str]
    location: pulumi.Output[Location] | None = None


class Investigation(pulumi.ComponentResource):
    """What a person opens after an alert.

    Creates: a saved Logs Insights query for each question, a dashboard.
    """

    dashboard_url: pulumi.Output[str]

    def __init__(self, name: str, args: InvestigationArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("threat-monitor:index:Investigation", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        for title, query in queries.saved_queries(args.log_format).items():
            aws.cloudwatch.QueryDefinition(
                f"{name}-{title.replace(' ', '-')}",
                name=f"{args.title}/{title}",
                query_string=query,
                log_group_names=[args.log_group_name],
                opts=child,
            )
        location = location_of(self, args.location)
        body = json_of(
            dashboard.body,
            region=location.region,
            log_group_name=args.log_group_name,
            log_format=args.log_format,
            topic_name=args.topic_name,
            queue_name=args.dead_letter_queue_name,
            rule_names=args.rule_names,
            state_machine_arn=args.state_machine_arn,
        )
        board = aws.cloudwatch.Dashboard(
            f"{name}-dashboard", dashboard_name=args.title, dashboard_body=body, opts=child
        )
        self.dashboard_url = result_of(
            console_urls.dashboard,
            partition=location.partition,
            region=location.region,
            name=board.dashboard_name,
        )
        self.register_outputs({"dashboardUrl": self.dashboard_url})
