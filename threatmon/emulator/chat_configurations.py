"""Amazon Q Developer in chat applications, once AWS Chatbot, which moto does not have.

https://docs.aws.amazon.com/chatbot/latest/APIReference/
"""

from collections.abc import Callable, Iterator
from typing import Any

from threatmon.emulator.answers import Params, Refusal
from threatmon.emulator.inside import Account
from threatmon.model.channels import CHAT_ENDPOINT

_DEFAULTS: Params = {
    "LoggingLevel": "NONE",
    "UserAuthorizationRequired": False,
    "GuardrailPolicyArns": ["arn:aws:iam::aws:policy/AdministratorAccess"],
    "SnsTopicArns": [],
    "Tags": [],
    "State": "ENABLED",
}
_SLACK_CHANNEL = ("SlackTeamId", "SlackChannelId")


class ChatConfigurations:
    """The channels of an account by ARN, each subscribed to its topics. Methods take the parameters of a call."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._by_arn: dict[str, Params] = {}

    def operations(self) -> Iterator[tuple[str, Callable[[Params], Params]]]:
        """Yield each operation's name, and what carries it out."""
        for name, kind in (("Slack", "slack-channel"), ("MicrosoftTeams", "microsoft-teams-channel")):
            yield f"Create{name}ChannelConfiguration", lambda asked, kind=kind: self._create(asked, kind)
            yield f"Update{name}ChannelConfiguration", self._update
            yield f"Delete{name}ChannelConfiguration", self._delete
        yield "DescribeSlackChannelConfigurations", self._slack_channels
        yield "ListMicrosoftTeamsChannelConfigurations", self._teams_channels
        yield "ListTagsForResource", lambda asked: {"Tags": self._found(asked["ResourceARN"])["Tags"]}
        yield "TagResource", lambda asked: self._retag(asked, [tag["TagKey"] for tag in asked["Tags"]], asked["Tags"])
        yield "UntagResource", lambda asked: self._retag(asked, asked["TagKeys"], [])

    def _create(self, asked: Params, kind: str) -> Params:
        name = asked["ConfigurationName"]
        if name in {configuration["ConfigurationName"] for configuration in self._by_arn.values()}:
            raise Refusal("ConflictException", f"A configuration named {name} exists already")
        team, channel = (asked.get(key) for key in _SLACK_CHANNEL)
        if channel and any((team, channel) == tuple(map(known.get, _SLACK_CHANNEL)) for known in self._by_arn.values()):
            raise Refusal(
                "ConflictException",
                f"Slack channel with ID {channel} in Slack team {team} has already been configured for AWS account "
                f"{self._account.account_id}",
            )
        location = self._account.location
        arn = f"arn:{location.partition}:chatbot::{self._account.account_id}:chat-configuration/{kind}/{name}"
        return self._put({**_DEFAULTS, **asked, "ChatConfigurationArn": arn})

    def _update(self, asked: Params) -> Params:
        return self._put({**self._found(asked["ChatConfigurationArn"]), **asked})

    def _put(self, configuration: Params) -> Params:
        sns: Any = self._account.client("sns")
        for topic in configuration["SnsTopicArns"]:
            try:
                sns.get_topic_attributes(TopicArn=topic)
            except sns.exceptions.NotFoundException:
                raise Refusal("InvalidRequestException", f"The topic {topic} does not exist") from None
        self._by_arn[configuration["ChatConfigurationArn"]] = configuration
        self._subscribe()
        return {"ChannelConfiguration": configuration}

    def _delete(self, asked: Params) -> Params:
        self._found(asked["ChatConfigurationArn"])
        del self._by_arn[asked["ChatConfigurationArn"]]
        self._subscribe()
        return {}

    def _subscribe(self) -> None:
        """Subscribe the service to the topics of all channels and to no other; it confirms by itself."""
        sns: Any = self._account.client("sns")
        wanted = {topic for configuration in self._by_arn.values() for topic in configuration["SnsTopicArns"]}
        for subscription in list(self._account.backend("sns").subscriptions.values()):
            if subscription.endpoint == CHAT_ENDPOINT and subscription.topic.arn not in wanted:
                sns.unsubscribe(SubscriptionArn=subscription.arn)
        for topic in sorted(wanted):
            subscribed = sns.subscribe(
                TopicArn=topic, Protocol="https", Endpoint=CHAT_ENDPOINT, ReturnSubscriptionArn=True
            )
            self._account.confirm_subscription(subscribed["SubscriptionArn"])

    def _slack_channels(self, asked: Params) -> Params:
        arn = asked.get("ChatConfigurationArn")
        found = [self._found(arn)] if arn else self._by_arn.values()
        return {"SlackChannelConfigurations": [channel for channel in found if "SlackTeamId" in channel]}

    def _teams_channels(self, asked: Params) -> Params:
        found = [channel for channel in self._by_arn.values() if "TenantId" in channel]
        wanted = [channel for channel in found if asked.get("TeamId", channel["TeamId"]) == channel["TeamId"]]
        return {"TeamChannelConfigurations": wanted}

    def _retag(self, asked: Params, gone: list[str], new: list[Params]) -> Params:
        configuration = self._found(asked["ResourceARN"])
        kept = [tag for tag in configuration["Tags"] if tag["TagKey"] not in gone]
        configuration["Tags"] = [*kept, *new]
        return {}

    def _found(self, arn: str) -> Params:
        if arn not in self._by_arn:
            raise Refusal("ResourceNotFoundException", f"{arn} does not exist")
        return self._by_arn[arn]
