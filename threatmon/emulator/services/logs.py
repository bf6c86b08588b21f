"""CloudWatch Logs: log groups and saved queries."""

from threatmon.emulator import constraints, tagging
from threatmon.emulator.account import EmulatedAccount
from threatmon.emulator.emulated import Emulated, Fields, Properties, found, from_api, names, to_api

_LOG_GROUP: Fields = {"name": "logGroupName", "kmsKeyId": "kmsKeyId", "logGroupClass": "logGroupClass"}


def _make_log_group(account: EmulatedAccount, inputs: Properties) -> str:
    constraints.retention(inputs["retentionInDays"])
    _check_log_group_key(account, inputs)
    account.client("logs").create_log_group(**to_api(inputs, _LOG_GROUP))
    _set_retention(account, inputs["name"], inputs)
    return inputs["name"]


def _check_log_group_key(account: EmulatedAccount, inputs: Properties) -> None:
    if not inputs.get("kmsKeyId"):
        return
    kms = account.client("kms")
    try:
        policy = kms.get_key_policy(KeyId=inputs["kmsKeyId"], PolicyName="default")["Policy"]
    except kms.exceptions.NotFoundException:
        policy = None
    group_arn = account.arn("logs", f"log-group:{inputs['name']}")
    constraints.log_group_key(policy, group_arn, account.region, account.dns_suffix)


def _set_retention(account: EmulatedAccount, name: str, inputs: Properties) -> None:
    logs = account.client("logs")
    if inputs["retentionInDays"]:
        logs.put_retention_policy(logGroupName=name, retentionInDays=inputs["retentionInDays"])
    else:
        logs.delete_retention_policy(logGroupName=name)


def _look_at_log_group(account: EmulatedAccount, name: str) -> Properties:
    groups = account.client("logs").describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    group = found(group for group in groups if group["logGroupName"] == name)
    return {
        **from_api(group, _LOG_GROUP),
        "arn": group["logGroupArn"],
        "retentionInDays": group.get("retentionInDays", 0),
    }


def _change_log_group(account: EmulatedAccount, name: str, inputs: Properties) -> None:
    constraints.retention(inputs["retentionInDays"])
    _check_log_group_key(account, inputs)
    logs = account.client("logs")
    if inputs.get("kmsKeyId"):
        logs.associate_kms_key(logGroupName=name, kmsKeyId=inputs["kmsKeyId"])
    else:
        logs.disassociate_kms_key(logGroupName=name)
    _set_retention(account, name, inputs)


def _remove_log_group(account: EmulatedAccount, name: str, outputs: Properties) -> None:
    if not outputs.get("skipDestroy"):
        account.client("logs").delete_log_group(logGroupName=name)


_QUERY: Fields = {"name": "name", "queryString": "queryString", "logGroupNames": "logGroupNames"}


def _make_query_definition(account: EmulatedAccount, inputs: Properties) -> str:
    return account.client("logs").put_query_definition(**to_api(inputs, _QUERY))["queryDefinitionId"]


def _look_at_query_definition(account: EmulatedAccount, definition_id: str) -> Properties:
    definitions = account.client("logs").describe_query_definitions()["queryDefinitions"]
    definition = found(entry for entry in definitions if entry["queryDefinitionId"] == definition_id)
    return {
        **from_api(definition, _QUERY),
        "queryDefinitionId": definition_id,
        "arn": account.arn("logs", f"query-definition:{definition_id}"),
    }


def _change_query_definition(account: EmulatedAccount, definition_id: str, inputs: Properties) -> None:
    account.client("logs").put_query_definition(queryDefinitionId=definition_id, **to_api(inputs, _QUERY))


def _remove_query_definition(account: EmulatedAccount, definition_id: str, _: Properties) -> None:
    account.client("logs").delete_query_definition(queryDefinitionId=definition_id)


RESOURCES = (
    Emulated(
        type="aws:cloudwatch/logGroup:LogGroup",
        inputs=names(_LOG_GROUP, ("retentionInDays", "skipDestroy", "tags")),
        make=_make_log_group,
        look=_look_at_log_group,
        change=_change_log_group,
        remove=_remove_log_group,
        replaced_by=frozenset({"name", "logGroupClass"}),
        computed=frozenset({"arn"}),
        defaults={"retentionInDays": 0, "skipDestroy": False},
        named="name",
        tagging=tagging.LOGS,
    ),
    Emulated(
        type="aws:cloudwatch/queryDefinition:QueryDefinition",
        inputs=names(_QUERY),
        make=_make_query_definition,
        look=_look_at_query_definition,
        change=_change_query_definition,
        remove=_remove_query_definition,
        computed=frozenset({"arn", "queryDefinitionId"}),
        named="name",
    ),
)
