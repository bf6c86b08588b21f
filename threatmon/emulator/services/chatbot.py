"""Amazon Q Developer in chat applications, once AWS Chatbot: channels of Slack and Microsoft Teams."""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from threatmon.emulator import constraints, tagging
from threatmon.emulator.account import EmulatedAccount
from threatmon.emulator.constraints import ConstraintError
from threatmon.emulator.emulated import ApiNames, Emulated, Properties, capitalised, first, from_api, to_api
from threatmon.emulator.permissions import find_role

_CHANNEL = capitalised("configurationName", "iamRoleArn", "snsTopicArns", "guardrailPolicyArns", "loggingLevel")
_COMMON: ApiNames = {**_CHANNEL, **capitalised("userAuthorizationRequired")}
_SLACK: ApiNames = {**_COMMON, **capitalised("slackTeamId", "slackChannelId")}
_TEAMS: ApiNames = {**_COMMON, **capitalised("teamId", "tenantId", "channelId")}
_ARN: ApiNames = {"chatConfigurationArn": "ChatConfigurationArn"}
# What the API cannot change, and the provider does not replace for.
_FIXED = ("configurationName", "slackTeamId", "teamId", "tenantId")


def _checked(account: EmulatedAccount, operation: str, inputs: Properties, names: ApiNames) -> dict[str, Any]:
    """Return the parameters of an operation; refuse what does not have the form that the API's model gives it."""
    parameters = to_api(inputs, names)
    for fault in _faults(
        account.client("chatbot").meta.service_model.operation_model(operation).input_shape, parameters
    ):
        raise ConstraintError(f"InvalidParameterException: {fault}")
    constraints.chat_role(find_role(account, inputs["iamRoleArn"]))
    return parameters


def _faults(shape: Any, value: Any, name: str = "") -> list[str]:
    if isinstance(value, Mapping):
        return [fault for key in value for fault in _faults(shape.members[key], value[key], key)]
    if isinstance(value, list):
        return [fault for entry in value for fault in _faults(shape.member, entry, name)]  # pyright: ignore[reportUnknownVariableType]
    pattern = _compiled(shape.metadata.get("pattern", ".*"))
    if isinstance(value, str) and not pattern.fullmatch(value):
        return [f"Value '{value}' at '{name}' failed to satisfy constraint: must match {pattern.pattern}"]
    return []


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def _refuse_fixed(found: Properties, inputs: Properties) -> None:
    for name in _FIXED:
        if name in inputs and inputs[name] != found[name]:
            raise ConstraintError(f"{name} cannot be changed; give the resource another name, so that it is replaced")


# Slack: the provider knows a channel by its ARN


def _make_slack(account: EmulatedAccount, inputs: Properties) -> str:
    parameters = _checked(account, "CreateSlackChannelConfiguration", inputs, _SLACK)
    made = account.client("chatbot").create_slack_channel_configuration(**parameters)
    return made["ChannelConfiguration"]["ChatConfigurationArn"]


def _look_at_slack(account: EmulatedAccount, arn: str) -> Properties:
    found = account.client("chatbot").describe_slack_channel_configurations(ChatConfigurationArn=arn)
    return from_api(found["SlackChannelConfigurations"][0], {**_SLACK, **_ARN})


def _change_slack(account: EmulatedAccount, arn: str, inputs: Properties) -> None:
    _refuse_fixed(_look_at_slack(account, arn), inputs)
    changed = {name: api for name, api in _SLACK.items() if name not in _FIXED}
    parameters = _checked(account, "UpdateSlackChannelConfiguration", inputs, changed)
    account.client("chatbot").update_slack_channel_configuration(ChatConfigurationArn=arn, **parameters)


# Teams: the provider knows a channel by its team, which can have one only


def _make_teams(account: EmulatedAccount, inputs: Properties) -> str:
    parameters = _checked(account, "CreateMicrosoftTeamsChannelConfiguration", inputs, _TEAMS)
    client: Any = account.client("chatbot")
    client.create_microsoft_teams_channel_configuration(**parameters)
    known = client.list_microsoft_teams_channel_configurations(TeamId=inputs["teamId"])["TeamChannelConfigurations"]
    if len(known) > 1:
        raise ConstraintError(
            f"waiting for creation AWS Chatbot Teams Channel Configuration ({inputs['teamId']}): too many results: "
            f"wanted 1, got {len(known)}"
        )
    return inputs["teamId"]


def _look_at_teams(account: EmulatedAccount, team_id: str) -> Properties:
    found = account.client("chatbot").list_microsoft_teams_channel_configurations(TeamId=team_id)
    return from_api(first(found["TeamChannelConfigurations"]), {**_TEAMS, **_ARN})


def _change_teams(account: EmulatedAccount, team_id: str, inputs: Properties) -> None:
    found = _look_at_teams(account, team_id)
    _refuse_fixed(found, inputs)
    changed = {name: api for name, api in _TEAMS.items() if name not in _FIXED}
    parameters = _checked(account, "UpdateMicrosoftTeamsChannelConfiguration", inputs, changed)
    account.client("chatbot").update_microsoft_teams_channel_configuration(**to_api(found, _ARN), **parameters)


_DEFAULTS: Properties = {"loggingLevel": "NONE", "userAuthorizationRequired": False}

RESOURCES = (
    Emulated(
        type="aws:chatbot/slackChannelConfiguration:SlackChannelConfiguration",
        inputs={*_SLACK, "tags"},
        make=_make_slack,
        look=_look_at_slack,
        change=_change_slack,
        remove=lambda account, arn, _: account.client("chatbot").delete_slack_channel_configuration(
            ChatConfigurationArn=arn
        ),
        computed={"chatConfigurationArn"},
        defaults=_DEFAULTS,
        tagging=tagging.CHATBOT,
    ),
    Emulated(
        type="aws:chatbot/teamsChannelConfiguration:TeamsChannelConfiguration",
        inputs={*_TEAMS, "tags"},
        make=_make_teams,
        look=_look_at_teams,
        change=_change_teams,
        remove=lambda account, _, outputs: account.client("chatbot").delete_microsoft_teams_channel_configuration(
            **to_api(outputs, _ARN)
        ),
        computed={"chatConfigurationArn"},
        defaults=_DEFAULTS,
        tagging=tagging.CHATBOT,
    ),
)
