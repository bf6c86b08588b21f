"""The investigation: saved Logs Insights queries and a dashboard."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components.account import account_of
from threatmon.model import console_urls, dashboard, queries
from threatmon.model.location import Location


@dataclass(frozen=True)
class InvestigationArgs:
    """What :class:`Investigation` takes."""

    title: str
    """names the dashboard, and the folder of the saved queries; unique in the account and Region"""
    log_group_name: pulumi.Input[str]
    """the flow logs' log group"""
    log_format: queries.FormatName
    """format of its records"""
    topic_arn: pulumi.Input[str]
    """the topic that mails"""
    dead_letter_queue_url: pulumi.Input[str]
    """the queue of what could not be delivered"""
    rule_names: Sequence[pulumi.Input[str]]
    """the rules on findings"""
    account: pulumi.Output[Location] | None = None
    """where it is deployed, if known already; else the provider is asked"""


class Investigation(pulumi.ComponentResource):
    """Where a person looks after an alert.

    Creates: a saved Logs Insights query for each question, a dashboard.
    """

    dashboard_url: pulumi.Output[str]
    """Address of the dashboard in the console."""

    def __init__(self, name: str, args: InvestigationArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("threat-monitor:index:Investigation", name, None, opts)
        for title, query in queries.saved_queries(args.log_format).items():
            aws.cloudwatch.QueryDefinition(
                f"{name}-{title.replace(' ', '-')}",
                name=f"{args.title}/{title}",
                query_string=query,
                log_group_names=[args.log_group_name],
                opts=pulumi.ResourceOptions(parent=self),
            )
        account = account_of(self, args.account)
        body = pulumi.Output.all(
            account, args.log_group_name, args.topic_arn, args.dead_letter_queue_url, *args.rule_names
        ).apply(
            lambda it: json.dumps(
                dashboard.body(
                    it[0].region,
                    it[1],
                    args.log_format,
                    topic_name=it[2].split(":")[-1],
                    queue_name=it[3].split("/")[-1],
                    rule_names=it[4:],
                )
            )
        )
        made = aws.cloudwatch.Dashboard(
            f"{name}-dashboard",
            dashboard_name=args.title,
            dashboard_body=body,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.dashboard_url = pulumi.Output.all(account, made.dashboard_name).apply(
            lambda it: console_urls.dashboard(it[0].partition, it[0].region, it[1])
        )
        self.register_outputs({"dashboardUrl": self.dashboard_url})
