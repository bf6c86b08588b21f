"""EventBridge: rules and their targets."""

from collections.abc import Mapping

from threatmon.emulator import constraints, tagging
from threatmon.emulator.account import EmulatedAccount
from threatmon.emulator.emulated import (
    ApiNames,
    Emulated,
    MissingResourceError,
    Properties,
    capitalised,
    from_api,
    to_api,
)

_RULE = capitalised("name", "description", "eventPattern", "state")


def _put_rule(account: EmulatedAccount, inputs: Properties) -> str:
    constraints.event_pattern(inputs["eventPattern"])
    account.client("events").put_rule(**to_api(inputs, _RULE))
    return inputs["name"]


def _look_at_rule(account: EmulatedAccount, name: str) -> Properties:
    rule = account.client("events").describe_rule(Name=name)
    return from_api(rule, {**_RULE, **capitalised("arn", "eventBusName")})


_TARGET: ApiNames = {"arn": "Arn", "targetId": "Id", "roleArn": "RoleArn"}
_TARGET_BLOCKS: Mapping[str, tuple[str, ApiNames]] = {
    "deadLetterConfig": ("DeadLetterConfig", capitalised("arn")),
    "retryPolicy": ("RetryPolicy", capitalised("maximumEventAgeInSeconds", "maximumRetryAttempts")),
}


def _put_target(account: EmulatedAccount, inputs: Properties) -> str:
    constraints.target_role(inputs["arn"], inputs.get("roleArn"))
    blocks = {api: to_api(inputs[name], names) for name, (api, names) in _TARGET_BLOCKS.items() if inputs.get(name)}
    account.client("events").put_targets(Rule=inputs["rule"], Targets=[{**to_api(inputs, _TARGET), **blocks}])
    return f"{inputs['rule']}-{inputs['targetId']}"


def _find_target(account: EmulatedAccount, physical_id: str) -> tuple[str, Properties]:
    """Return the rule's name and the target; the id joins their names by a dash, which either may contain."""
    events = account.client("events")
    for rule in events.list_rules()["Rules"]:
        for target in events.list_targets_by_rule(Rule=rule["Name"])["Targets"]:
            if f"{rule['Name']}-{target['Id']}" == physical_id:
                return rule["Name"], target
    raise MissingResourceError


def _look_at_target(account: EmulatedAccount, physical_id: str) -> Properties:
    rule, target = _find_target(account, physical_id)
    blocks = {name: from_api(target[api], names) for name, (api, names) in _TARGET_BLOCKS.items() if target.get(api)}
    return {**from_api(target, _TARGET), **blocks, "rule": rule, "eventBusName": "default"}


def _remove_target(account: EmulatedAccount, physical_id: str, _: Properties) -> None:
    rule, target = _find_target(account, physical_id)
    account.client("events").remove_targets(Rule=rule, Ids=[target["Id"]])


RESOURCES = (
    Emulated(
        type="aws:cloudwatch/eventRule:EventRule",
        inputs={*_RULE, "tags"},
        make=_put_rule,
        look=_look_at_rule,
        remove=lambda account, name, _: account.client("events").delete_rule(Name=name),
        replaced_by={"name"},
        computed={"arn"},
        defaults={"state": "ENABLED"},
        named="name",
        tagging=tagging.EVENTS,
    ),
    Emulated(
        type="aws:cloudwatch/eventTarget:EventTarget",
        inputs={*_TARGET, *_TARGET_BLOCKS, "rule"},
        make=_put_target,
        look=_look_at_target,
        remove=_remove_target,
        replaced_by={"rule", "targetId"},
        computed={"eventBusName"},
        named="targetId",
    ),
)
