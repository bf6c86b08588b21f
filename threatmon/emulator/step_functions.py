"""What moto lacks of Step Functions: executions that run, their history, validation, and the test of one state."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from threatmon.emulator.answers import Params, Refusal
from threatmon.emulator.definitions import diagnostics
from threatmon.emulator.executions import execute
from threatmon.emulator.inside import Account, MachineExecution
from threatmon.emulator.permissions import find_role
from threatmon.emulator.state_machine import Execution, StateError, run
from threatmon.model.state_machine import QUOTA

_DATA = ("input", "output", "parameters")
_TESTED = {"definition", "input", "inspectionLevel", "mock"}


class StepFunctions:
    """Operations of the API by the parameters of a call."""

    def __init__(self, account: Account) -> None:
        self._account = account

    def starting(self, asked: Params) -> None:
        """Refuse what StartExecution refuses and moto does not."""
        if len(asked.get("input", "").encode(errors="surrogatepass")) > QUOTA:
            raise Refusal(
                "ValidationException",
                "1 validation error detected: Value at 'input' failed to satisfy constraint: Member must have length "
                f"less than or equal to {QUOTA}",
            )

    def started(self, parsed: Params, **_: Any) -> None:
        """Run the execution that moto has recorded, to its end."""
        if "Error" in parsed:
            return
        record = self._record(parsed["executionArn"])
        machine: Any = self._account.client("stepfunctions").describe_state_machine(
            stateMachineArn=record.state_machine_arn
        )
        record.role_arn = machine["roleArn"]
        role = find_role(self._account, record.role_arn)
        known = {
            "arn": record.execution_arn,
            "name": record.name,
            "input": record.execution_input,
            "machine": record.state_machine_arn,
            "started": record.start_date.isoformat(),
        }
        if role and role.lets_in("states.amazonaws.com", record.state_machine_arn):
            record.done = execute(self._account, machine["definition"], role, known)
        else:
            failure = StateError("States.Runtime", f"The role {record.role_arn} cannot be assumed")
            record.done = MachineExecution(record.execution_arn, Execution([], failure=failure), [])
        ended: Execution = record.done.run
        record.status = "SUCCEEDED" if ended.succeeded else "FAILED"
        record.stop_date = record.start_date
        if ended.failure:
            record.error, record.cause = ended.error, ended.cause
        else:
            record.output, record.output_details = _json(ended.output), {"included": True}
        self._account.executions.append(record.done)

    def history(self, asked: Params) -> Params | None:
        """Answer GetExecutionHistory; what is not there is left to moto to refuse."""
        try:
            record = self._record(asked["executionArn"])
        except LookupError:
            return None
        with_data = asked.get("includeExecutionData", True)
        events: list[Params] = []
        for type_, name, details in _steps(record):
            shown = {key: _json(value) if key in _DATA else value for key, value in details.items()}
            visible = {key: value for key, value in shown.items() if with_data or key not in _DATA}
            number = len(events) + 1
            event = {"timestamp": record.start_date, "type": type_, "id": number, "previousEventId": number - 1}
            events.append({**event, name: visible})
        return {"events": events[::-1] if asked.get("reverseOrder") else events}

    def validate(self, asked: Params) -> Params:
        """Answer ValidateStateMachineDefinition."""
        found = [{"severity": "ERROR", **fault._asdict()} for fault in diagnostics(asked["definition"])]
        return {"result": "FAIL" if found else "OK", "diagnostics": found, "truncated": False}

    def test(self, asked: Params) -> Params:
        """Answer TestState of a single task in JSONata, whose service answers as the mock says."""
        state = json.loads(asked["definition"])
        if state.pop("QueryLanguage", None) != "JSONata" or asked.keys() != _TESTED or "result" not in asked["mock"]:
            raise NotImplementedError("a test of anything but a single task in JSONata, with the result of a mock")
        ends = {holder["Next"]: {"Type": "Succeed"} for holder in (state, *state.get("Catch", ()))}
        machine = {"StartAt": "", "States": {"": state, **ends}}
        resource, result = state["Resource"].partition(":states:::")[2], json.loads(asked["mock"]["result"])
        done = run(machine, json.loads(asked["input"]), {resource: lambda _: result})
        steps = {step.type: step.details for step in done.history}
        answer: Params = {"status": "SUCCEEDED", "inspectionData": {"input": asked["input"]}}
        if "TaskScheduled" in steps:
            answer["inspectionData"]["afterArguments"] = _json(steps["TaskScheduled"]["parameters"])
        if done.failure:
            return {**answer, "status": "FAILED", "error": done.error, "cause": done.cause}
        if caught := steps.get("EvaluationFailed"):
            answer |= {"status": "CAUGHT_ERROR", "error": caught["error"], "cause": caught["cause"]}
        return {**answer, "output": _json(done.output), "nextState": done.entered[-1]}

    def _record(self, execution_arn: str) -> Any:
        machines = self._account.backend("stepfunctions").state_machines
        records = (record for machine in machines for record in machine.executions)
        found = next((record for record in records if record.execution_arn == execution_arn), None)
        if found is None:
            raise LookupError(execution_arn)
        return found


def _steps(record: Any) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    started = {"input": json.loads(record.execution_input), "roleArn": record.role_arn}
    yield "ExecutionStarted", "executionStartedEventDetails", started
    run: Execution = record.done.run
    yield from run.history
    if run.failure:
        details = {"error": run.error, "cause": run.cause}
        yield "ExecutionFailed", "executionFailedEventDetails", details
    else:
        yield "ExecutionSucceeded", "executionSucceededEventDetails", {"output": run.output}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
