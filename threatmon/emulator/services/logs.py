"""CloudWatch Logs: log groups and saved queries."""

from threatmon.emulator import constraints, tagging
from threatmon.emulator.account import EmulatedAccount
from threatmon.emulator.emulated import ApiNames, Emulated, Properties, first, from_api, to_api

_LOG_GROUP: ApiNames = {"name": "logGroupName", "kmsKeyId": "kmsKeyId", "logGroupClass": "logGroupClass"}


def _make_log_group(account: EmulatedAccount, inputs: Properties) -> str:
    _check_log_group(account, inputs)
    account.client("logs").create_log_group(**to_api(inputs, _LOG_GROUP))
    _set_retention(account, inputs)
    return inputs["name"]


def _check_log_group(account: EmulatedAccount, inputs: Properties) -> None:
    constraints.retention(inputs["retentionInDays"])
    if not inputs.get("kmsKeyId"):
        return
    kms = account.client("kms")
    try:
        policy = kms.get_key_policy(KeyId=inputs["kmsKeyId"], PolicyName="default")["Policy"]
    except kms.exceptions.NotFoundException:
        policy = None
    group_arn = account.arn("logs", f"log-group:{inputs['name']}")
    constraints.log_group_key(policy, group_arn, account.region, account.location.dns_suffix)


def _set_retention(account: EmulatedAccount, inputs: Properties) -> None:
    logs, name, days = account.client("logs"), inputs["name"], inputs["retentionInDays"]
    if days:
        logs.put_retention_policy(logGroupName=name, retentionInDays=days)
    else:
        logs.delete_retention_policy(logGroupName=name)


def _look_at_log_group(account: EmulatedAccount, name: str) -> Properties:
    groups = account.client("logs").describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    group = first(group for group in groups if group["logGroupName"] == name)
    return {
        **from_api(group, {**_LOG_GROUP, "arn": "logGroupArn"}),
        "retentionInDays": group.get("retentionInDays", 0),
    }


def _change_log_group(account: EmulatedAccount, name: str, inputs: Properties) -> None:
    _check_log_group(account, inputs)
    logs = account.client("logs")
    if inputs.get("kmsKeyId"):
        logs.associate_kms_key(logGroupName=name, kmsKeyId=inputs["kmsKeyId"])
    else:
        logs.disassociate_kms_key(logGroupName=name)
    _set_retention(account, inputs)


_QUERY: ApiNames = {"name": "name", "queryString": "queryString", "logGroupNames": "logGroupNames"}


def _put_query(account: EmulatedAccount, inputs: Properties, **existing: str) -> str:
    return account.client("logs").put_query_definition(**existing, **to_api(inputs, _QUERY))["queryDefinitionId"]


def _look_at_query(account: EmulatedAccount, query_id: str) -> Properties:
    queries = account.client("logs").describe_query_definitions()["queryDefinitions"]
    return {
        **from_api(first(query for query in queries if query["queryDefinitionId"] == query_id), _QUERY),
        "queryDefinitionId": query_id,
        "arn": account.arn("logs", f"query-definition:{query_id}"),
    }


RESOURCES = (
    Emulated(
        type="aws:cloudwatch/logGroup:LogGroup",
        inputs={*_LOG_GROUP, "retentionInDays", "tags"},
        make=_make_log_group,
        look=_look_at_log_group,
        change=_change_log_group,
        remove=lambda account, name, _: account.client("logs").delete_log_group(logGroupName=name),
        replaced_by={"name", "logGroupClass"},
        computed={"arn"},
        defaults={"retentionInDays": 0, "logGroupClass": "STANDARD"},
        named="name",
        tagging=tagging.LOGS,
    ),
    Emulated(
        type="aws:cloudwatch/queryDefinition:QueryDefinition",
        inputs={*_QUERY},
        make=_put_query,
        look=_look_at_query,
        change=lambda account, query_id, inputs: _put_query(account, inputs, queryDefinitionId=query_id),
        remove=lambda account, query_id, _: account.client("logs").delete_query_definition(queryDefinitionId=query_id),
        computed={"arn", "queryDefinitionId"},
        named="name",
    ),
)
