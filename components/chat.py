"""The chat channels that get alerts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote

import pulumi
import pulumi_aws as aws

from components.alert_topic import AlertTopic, alert_topic
from components.location import location_of, role_name
from threatmon.model import names
from threatmon.model.channels import FormattedChannel, topic_of
from threatmon.model.location import Location
from threatmon.model.policies import chat_trust
from threatmon.model.settings import SlackSettings, TeamsSettings

_FIXED = ["slackTeamId", "tenantId", "teamId"]


@dataclass(frozen=True)
class ChatNotificationsArgs:
    """What :class:`ChatNotifications` takes; a channel that is None gets nothing."""

    stack: str
    """the stack's name, after which everything is named"""
    kms_key_arn: pulumi.Input[str]
    """key of the topics"""
    slack: SlackSettings | None = None
    teams: TeamsSettings | None = None
    permissions_boundary: str | None = None
    """ARN of the policy that the role may never exceed"""
    location: pulumi.Output[Location] | None = None


class ChatNotifications(pulumi.ComponentResource):
    """Topics whose messages Amazon Q Developer in chat applications shows in Slack and Microsoft Teams.

    From the chat nobody can do anything in the account: the role has no permissions, and the guardrail denies all. The
    workspace has to be authorised once, by hand: https://docs.aws.amazon.com/chatbot/latest/adminguide/setting-up.html
    Creates: a topic with its policy and a configuration for each channel, a role.
    """

    topic_arns: Mapping[FormattedChannel, pulumi.Output[str]]
    topic_names: Mapping[str, pulumi.Output[str]]
    """Names of the topics, by what they are called within a stack (``topic-slack``...)."""

    def __init__(self, name: str, args: ChatNotificationsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("threat-monitor:index:ChatNotifications", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        location = location_of(self, args.location)
        role = aws.iam.Role(
            f"{name}-role",
            name=role_name(location, args.stack, f"{name}-role"),
            description="Allows nothing: notifications need no permissions",
            assume_role_policy=pulumi.Output.json_dumps(chat_trust()),
            permissions_boundary=args.permissions_boundary,
            opts=child,
        )
        guardrail = location.partition.apply(lambda partition: f"arn:{partition}:iam::aws:policy/AWSDenyAll")
        topics: dict[FormattedChannel, AlertTopic] = {}
        for channel, (configuration, ids) in _channels(args).items():
            made = alert_topic(f"{name}-{topic_of(channel)}", args.stack, args.kms_key_arn, location, child)
            topics[channel] = made
            configuration(
                f"{name}-{channel}",
                configuration_name=names.chat_configuration(args.stack, channel),
                iam_role_arn=role.arn,
                guardrail_policy_arns=[guardrail],  # the default would be AdministratorAccess
                sns_topic_arns=[made.topic.arn],
                logging_level="ERROR",
                **ids,
                # A name can be taken once, and a configuration cannot move to another workspace.
                opts=pulumi.ResourceOptions(parent=self, delete_before_replace=True, replace_on_changes=_FIXED),
            )
        self.topic_arns = {channel: made.arn for channel, made in topics.items()}
        self.topic_names = {topic_of(channel): made.topic.name for channel, made in topics.items()}
        self.register_outputs({"topicArns": dict(self.topic_arns)})


def _channels(args: ChatNotificationsArgs) -> dict[FormattedChannel, tuple[Callable[..., object], dict[str, str]]]:
    """Return the resource and the ids of each channel."""
    channels: dict[FormattedChannel, tuple[Callable[..., object], dict[str, str]]] = {}
    if slack := args.slack:
        ids = {"slack_team_id": slack.workspace_id, "slack_channel_id": slack.channel_id}
        channels["slack"] = aws.chatbot.SlackChannelConfiguration, ids
    if teams := args.teams:
        # Teams shows the channel's id in an address, percent-encoded as AWS wants it, or else as it is.
        channel_id = quote(unquote(teams.channel_id), safe="")
        ids = {"tenant_id": teams.tenant_id, "team_id": teams.team_id, "channel_id": channel_id}
        channels["teams"] = aws.chatbot.TeamsChannelConfiguration, ids
    return channels
