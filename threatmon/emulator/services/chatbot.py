"""Amazon Q Developer in chat applications, once AWS Chatbot: channels of Slack and Microsoft Teams."""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from botocore import xform_name

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


def _call(account: EmulatedAccount, operation: str, inputs: Properties, names: ApiNames, **known: str) -> Any:
    """Call an operation; refuse first what does not have the form that the API's model gives it."""
    client: Any = account.client("chatbot")
    parameters = to_api(inputs, names)
    for fault in _faults(client.meta.service_model.operation_model(operation).input_shape, parameters):
        raise ConstraintError(f"InvalidParameterException: {fault}")
    constraints.chat_role(find_role(account, inputs["iamRoleArn"]))
    return getattr(client, xform_name(operation))(**known, **parameters)


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


def _change(account: EmulatedAccount, operation: str, found: Properties, inputs: Properties, names: ApiNames) -> None:
    for name in _FIXED:
        if name in inputs and inputs[name] != found[name]:
            raise ConstraintError(f"{name} cannot be changed; give the resource another name, so that it is replaced")
    changed = {name: api for name, api in names.items() if name not in _FIXED}
    _call(account, operation, inputs, changed, **to_api(found, _ARN))


# Slack: the provider knows a channel by its ARN


def _make_slack(account: EmulatedAccount, inputs: Properties) -> str:
    made = _call(account, "CreateSlackChannelConfiguration", inputs, _SLACK)
    return made["ChannelConfiguration"]["ChatConfigurationArn"]


def _look_at_slack(account: EmulatedAccount, arn: str) -> Properties:
    found = account.client("chatbot").describe_slack_channel_configurations(ChatConfigurationArn=arn)
    return from_api(found["SlackChannelConfigurations"][0], {**_SLACK, **_ARN})


def _change_slack(account: EmulatedAccount, arn: str, inputs: Properties) -> None:
    _change(account, "UpdateSlackChannelConfiguration", _look_at_slack(account, arn), inputs, _SLACK)


# Teams: the provider knows a channel by its team, which can have one only


def _make_teams(account: EmulatedAccount, inputs: Properties) -> str:
    _call(account, "CreateMicrosoftTeamsChannelConfiguration", inputs, _TEAMS)
    team = {"TeamId": inputs["teamId"]}
    known = account.client("chatbot").list_microsoft_teams_channel_configurations(**team)["TeamChannelConfigurations"]
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
    _change(account, "UpdateMicrosoftTeamsChannelConfiguration", found, inputs, _TEAMS)


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
