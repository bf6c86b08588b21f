"""Find what an interrupted creation made, by its exact name or by its tags, which no other resource has.

Only for types whose creation cannot be repeated: it would be refused, or make a second one. A rule, target, topic,
queue, alarm, dashboard, policy, subscription or feature that is created once more is the same as before.
"""

from collections.abc import Callable, Iterable, Mapping

from threatmon.aws.errors import AwsError, NotThereError
from threatmon.aws.reader import Answer, Aws, attempt
from threatmon.model import names

PERMISSIONS = (
    "chatbot:DescribeSlackChannelConfigurations",
    "chatbot:ListMicrosoftTeamsChannelConfigurations",
    "ec2:DescribeFlowLogs",
    "guardduty:GetDetector",
    "guardduty:ListDetectors",
    "iam:GetRole",
    "kms:DescribeKey",
    "kms:ListAliases",
    "kms:ListKeys",
    "kms:ListResourceTags",
    "logs:DescribeLogGroups",
    "logs:DescribeQueryDefinitions",
    "states:DescribeStateMachine",
)

Finder = Callable[[Aws, str, str], str | None]
"""Takes the account, the stack and the resource's logical name; returns its physical id, None if it is not there."""


def find(connect: Callable[[], Aws], stack: str, type_: str, logical: str) -> str | None:
    """Return the physical id of what was made; None if it is not there, or its creation can be repeated.

    Raises :class:`AwsError` if the account does not answer.
    """
    finder = _FINDERS.get(type_)
    return finder(connect(), stack, logical) if finder else None


# -- by name ----------------------------------------------------------------------------------------------------------


def _log_group(aws: Aws, stack: str, logical: str) -> str | None:
    name = names.state_machine_log_group(stack) if "-formatter-" in logical else names.log_group(stack)
    groups = aws.read_all("logs", "describe_log_groups", logGroupNamePrefix=name)
    return _first(name for group in groups if group["logGroupName"] == name)


def _role(aws: Aws, stack: str, logical: str) -> str | None:
    name = names.role(stack, logical, aws.region)
    found = attempt(lambda: aws.read("iam", "get_role", RoleName=name), NotThereError)
    return None if isinstance(found, AwsError) else name


def _alias(aws: Aws, stack: str, logical: str) -> str | None:
    name = names.alias(stack, logical.removesuffix("-alias"))
    return _first(alias["AliasName"] for alias in aws.read_all("kms", "list_aliases") if alias["AliasName"] == name)


def _state_machine(aws: Aws, stack: str, _: str) -> str | None:
    arn = f"arn:{aws.partition}:states:{aws.region}:{aws.account_id}:stateMachine:{names.state_machine(stack)}"
    found = attempt(lambda: aws.read("stepfunctions", "describe_state_machine", stateMachineArn=arn), NotThereError)
    return None if isinstance(found, AwsError) else arn


def _query(aws: Aws, stack: str, logical: str) -> str | None:
    folder = f"{names.dashboard(stack)}/"
    # Without a paginator; a stack has seven.
    found = aws.read("logs", "describe_query_definitions", queryDefinitionNamePrefix=folder)["queryDefinitions"]
    return _first(
        query["queryDefinitionId"]
        for query in found
        if logical.endswith(f"-investigation-{query['name'].removeprefix(folder).replace(' ', '-')}")
    )


def _slack(aws: Aws, stack: str, _: str) -> str | None:
    answers = aws.read_all("chatbot", "describe_slack_channel_configurations")
    return _first(answer["ChatConfigurationArn"] for answer in answers if _is_channel(answer, stack, "slack"))


def _teams(aws: Aws, stack: str, _: str) -> str | None:
    # The provider knows a channel by the id of its team.
    answers = aws.read_all("chatbot", "list_microsoft_teams_channel_configurations")
    return _first(answer["TeamId"] for answer in answers if _is_channel(answer, stack, "teams"))


def _is_channel(answer: Answer, stack: str, application: str) -> bool:
    return answer["ConfigurationName"] == names.chat_configuration(stack, application)


# -- by tags ----------------------------------------------------------------------------------------------------------


def _key(aws: Aws, stack: str, logical: str) -> str | None:
    alias = names.alias(stack, logical.removesuffix("-key"))
    for entry in aws.read_all("kms", "list_aliases"):
        if entry["AliasName"] == alias:
            return entry["TargetKeyId"]
    return _first(key for key in _keys(aws) if _key_tags(aws, key) == _own(stack, logical) and _is_enabled(aws, key))


def _keys(aws: Aws) -> list[str]:
    return [key["KeyId"] for key in aws.read_all("kms", "list_keys")]


def _key_tags(aws: Aws, key_id: str) -> Mapping[str, str]:
    # AWS's own keys, and those of others, may not show theirs.
    found = attempt(lambda: aws.read_all("kms", "list_resource_tags", KeyId=key_id))
    return {} if isinstance(found, AwsError) else _ours({tag["TagKey"]: tag["TagValue"] for tag in found})


def _is_enabled(aws: Aws, key_id: str) -> bool:
    return aws.read("kms", "describe_key", KeyId=key_id)["KeyMetadata"]["KeyState"] == "Enabled"


def _flow_log(aws: Aws, stack: str, logical: str) -> str | None:
    filters = [{"Name": f"tag:{tag}", "Values": [value]} for tag, value in _own(stack, logical).items()]
    return _first(log["FlowLogId"] for log in aws.read_all("ec2", "describe_flow_logs", Filters=filters))


def _detector(aws: Aws, stack: str, logical: str) -> str | None:
    return _first(
        detector_id
        for detector_id in aws.read_all("guardduty", "list_detectors")
        if _ours(aws.read("guardduty", "get_detector", DetectorId=detector_id).get("Tags", {})) == _own(stack, logical)
    )


def _own(stack: str, logical: str) -> Mapping[str, str]:
    return names.tags(stack, logical)


def _ours(tags: Mapping[str, str]) -> Mapping[str, str]:
    return {tag: value for tag, value in tags.items() if tag in (names.STACK_TAG, names.RESOURCE_TAG)}


def _first(found: Iterable[str]) -> str | None:
    return next(iter(found), None)


_FINDERS: Mapping[str, Finder] = {
    "aws:chatbot/slackChannelConfiguration:SlackChannelConfiguration": _slack,
    "aws:chatbot/teamsChannelConfiguration:TeamsChannelConfiguration": _teams,
    "aws:cloudwatch/logGroup:LogGroup": _log_group,
    "aws:cloudwatch/queryDefinition:QueryDefinition": _query,
    "aws:ec2/flowLog:FlowLog": _flow_log,
    "aws:guardduty/detector:Detector": _detector,
    "aws:iam/role:Role": _role,
    "aws:kms/alias:Alias": _alias,
    "aws:kms/key:Key": _key,
    "aws:sfn/stateMachine:StateMachine": _state_machine,
}
