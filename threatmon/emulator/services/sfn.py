"""Step Functions: state machines."""

import uuid
from typing import Any

from threatmon.emulator import constraints, tagging
from threatmon.emulator.account import EmulatedAccount
from threatmon.emulator.constraints import ConstraintError
from threatmon.emulator.emulated import ApiNames, Emulated, Properties, from_api, same, to_api
from threatmon.emulator.permissions import find_role

_MACHINE: ApiNames = {name: name for name in ("name", "definition", "roleArn", "type")}
_CHANGED: ApiNames = {name: name for name in ("definition", "roleArn")}
_LOGGING: ApiNames = {name: name for name in ("level", "includeExecutionData")}


def _checked_logging(account: EmulatedAccount, inputs: Properties) -> dict[str, Any]:
    """Return the logging configuration for the API; refuse what CreateStateMachine and UpdateStateMachine refuse."""
    arn = account.arn("states", f"stateMachine:{inputs['name']}")
    role = find_role(account, inputs["roleArn"])
    constraints.machine_definition(inputs["definition"])
    constraints.machine_role(role, arn)
    logging: Properties = {"level": "OFF", "includeExecutionData": False, **(inputs.get("loggingConfiguration") or {})}
    configuration = to_api(logging, _LOGGING)
    if logging["level"] != "OFF":
        constraints.machine_log(logging.get("logDestination", ""), role)
        group = {"logGroupArn": logging["logDestination"]}
        configuration["destinations"] = [{"cloudWatchLogsLogGroup": group}]
    return {"loggingConfiguration": configuration}


def _make_machine(account: EmulatedAccount, inputs: Properties) -> str:
    client, logging = account.client("stepfunctions"), _checked_logging(account, inputs)
    made = client.create_state_machine(**to_api(inputs, _MACHINE), **logging)["stateMachineArn"]
    if not same(client.describe_state_machine(stateMachineArn=made)["definition"], inputs["definition"]):
        raise ConstraintError(f"StateMachineAlreadyExists: State Machine Already Exists: '{made}'")
    return made


def _look_at_machine(account: EmulatedAccount, arn: str) -> Properties:
    machine = account.client("stepfunctions").describe_state_machine(stateMachineArn=arn)
    logging = from_api(machine["loggingConfiguration"], _LOGGING)
    for destination in machine["loggingConfiguration"].get("destinations", ()):
        logging["logDestination"] = destination["cloudWatchLogsLogGroup"]["logGroupArn"]
    return {
        **from_api(machine, {**_MACHINE, "status": "status"}),
        **({"loggingConfiguration": logging} if logging.get("level", "OFF") != "OFF" else {}),
        "arn": arn,
        "creationDate": machine["creationDate"].strftime("%Y-%m-%dT%H:%M:%SZ"),
        # moto counts no revisions; AWS gives each change of the definition or the role a new one.
        "revisionId": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{machine['definition']}{machine['roleArn']}")),
    }


def _change_machine(account: EmulatedAccount, arn: str, inputs: Properties) -> None:
    logging = _checked_logging(account, inputs)
    account.client("stepfunctions").update_state_machine(stateMachineArn=arn, **to_api(inputs, _CHANGED), **logging)


RESOURCES = (
    Emulated(
        type="aws:sfn/stateMachine:StateMachine",
        inputs={*_MACHINE, "loggingConfiguration", "tags"},
        make=_make_machine,
        look=_look_at_machine,
        change=_change_machine,
        remove=lambda account, arn, _: account.client("stepfunctions").delete_state_machine(stateMachineArn=arn),
        replaced_by={"name", "type"},
        computed={"arn", "creationDate", "revisionId", "status"},
        defaults={"type": "STANDARD"},
        named="name",
        tagging=tagging.STATES,
    ),
)
