"""EventBridge: rules and their targets."""

from collections.abc import Mapping

from threatmon.emulator import constraints, tagging
from threatmon.emulator.account import EmulatedAccount
from threatmon.emulator.emulated import Emulated, Fields, NotThereError, Properties, from_api, names, to_api

_RULE: Fields = {
    "name": "Name",
    "description": "Description",
    "eventPattern": "EventPattern",
    "scheduleExpression": "ScheduleExpression",
    "state": "State",
}


def _put_rule(account: EmulatedAccount, inputs: Properties) -> str:
    if inputs.get("eventPattern"):
        constraints.event_pattern(inputs["eventPattern"])
    account.client("events").put_rule(**to_api(inputs, _RULE))
    return inputs["name"]


def _look_at_rule(account: EmulatedAccount, name: str) -> Properties:
    rule = account.client("events").describe_rule(Name=name)
    return {**from_api(rule, _RULE), "arn": rule["Arn"], "eventBusName": rule["EventBusName"]}


def _change_rule(account: EmulatedAccount, _: str, inputs: Properties) -> None:
    _put_rule(account, inputs)


def _remove_rule(account: EmulatedAccount, name: str, _: Properties) -> None:
    account.client("events").delete_rule(Name=name)


_TARGET: Fields = {"arn": "Arn", "targetId": "Id", "roleArn": "RoleArn", "input": "Input", "inputPath": "InputPath"}
_TARGET_BLOCKS: Mapping[str, tuple[str, Fields]] = {
    "deadLetterConfig": ("DeadLetterConfig", {"arn": "Arn"}),
    "retryPolicy": (
        "RetryPolicy",
        {
            "maximumEventAgeInSeconds": "MaximumEventAgeInSeconds",
            "maximumRetryAttempts": "MaximumRetryAttempts",
        },
    ),
    "inputTransformer": ("InputTransformer", {"inputPaths": "InputPathsMap", "inputTemplate": "InputTemplate"}),
}


def _put_target(account: EmulatedAccount, inputs: Properties) -> str:
    transformer = inputs.get("inputTransformer")
    if transformer:
        constraints.input_transformer(
            inputs["targetId"], transformer.get("inputPaths", {}), transformer["inputTemplate"]
        )
    blocks = {api: to_api(inputs[name], fields) for name, (api, fields) in _TARGET_BLOCKS.items() if inputs.get(name)}
    account.client("events").put_targets(Rule=inputs["rule"], Targets=[{**to_api(inputs, _TARGET), **blocks}])
    return f"{inputs['rule']}-{inputs['targetId']}"


def _find_target(account: EmulatedAccount, physical_id: str) -> tuple[str, Properties]:
    """The rule's name and the target; the id joins their names by a dash, which either may contain."""
    events = account.client("events")
    for rule in events.list_rules()["Rules"]:
        for target in events.list_targets_by_rule(Rule=rule["Name"])["Targets"]:
            if f"{rule['Name']}-{target['Id']}" == physical_id:
                return rule["Name"], target
    raise NotThereError


def _look_at_target(account: EmulatedAccount, physical_id: str) -> Properties:
    rule, target = _find_target(account, physical_id)
    blocks = {name: from_api(target[api], fields) for name, (api, fields) in _TARGET_BLOCKS.items() if target.get(api)}
    return {**from_api(target, _TARGET), **blocks, "rule": rule, "eventBusName": "default"}


def _change_target(account: EmulatedAccount, _: str, inputs: Properties) -> None:
    _put_target(account, inputs)


def _remove_target(account: EmulatedAccount, physical_id: str, _: Properties) -> None:
    rule, target = _find_target(account, physical_id)
    account.client("events").remove_targets(Rule=rule, Ids=[target["Id"]])


RESOURCES = (
    Emulated(
        type="aws:cloudwatch/eventRule:EventRule",
        inputs=names(_RULE, ("tags",)),
        make=_put_rule,
        look=_look_at_rule,
        change=_change_rule,
        remove=_remove_rule,
        replaced_by=frozenset({"name"}),
        computed=frozenset({"arn"}),
        defaults={"state": "ENABLED"},
        named="name",
        tagging=tagging.EVENTS,
    ),
    Emulated(
        type="aws:cloudwatch/eventTarget:EventTarget",
        inputs=names(_TARGET, _TARGET_BLOCKS, ("rule",)),
        make=_put_target,
        look=_look_at_target,
        change=_change_target,
        remove=_remove_target,
        replaced_by=frozenset({"rule", "targetId"}),
        computed=frozenset({"eventBusName"}),
        named="targetId",
    ),
)
