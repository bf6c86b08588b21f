"""Runs a state machine in JSONata as Step Functions does, as far as ours need it.

Anything it does not know is refused: an interpreter that passes over a field would hide what AWS would do with it.
https://states-language.net/
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from threatmon.evaluation.jsonata_expressions import QueryEvaluationError, resolve

State = Mapping[str, Any]
Service = Callable[[Mapping[str, Any]], Mapping[str, Any]]

# https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
_UNCATCHABLE = frozenset({"States.DataLimitExceeded", "States.Runtime"})
_DATA_LIMIT = 262_144  # bytes of a state's input, arguments and output
_FIELDS: Mapping[str, frozenset[str]] = {
    "Choice": frozenset({"Type", "Choices", "Default"}),
    "Fail": frozenset({"Type", "Error", "Cause"}),
    "Parallel": frozenset({"Type", "Branches", "Next"}),
    "Pass": frozenset({"Type", "Output", "Next"}),
    "Succeed": frozenset({"Type", "Output"}),
    "Task": frozenset({"Type", "Resource", "Arguments", "Output", "Retry", "Catch", "Next"}),
}


class UnknownFieldError(LookupError):
    """Names a part of a definition that this interpreter does not know."""


class StateError(Exception):
    """An error within an execution, by its name and cause."""

    def __init__(self, name: str, cause: str) -> None:
        super().__init__(f"{name}: {cause}")
        self.name, self.cause = name, cause


class Execution(NamedTuple):
    """How an execution ended, and the states it entered, those of parallel branches one after the other."""

    succeeded: bool
    entered: Sequence[str]
    error: str = ""
    cause: str = ""


@dataclass
class _Run:
    services: Mapping[str, Service]
    context: Mapping[str, Any]
    entered: list[str] = field(default_factory=list[str])

    def machine(self, machine: State, state_input: Any, variables: Mapping[str, Any]) -> Any:
        """Run the states from ``StartAt`` on; return the output of the last. Raise :class:`StateError`."""
        states, name = machine["States"], machine["StartAt"]
        variables = dict(variables)
        while True:
            self.entered.append(name)
            state = states[name]
            if unknown := state.keys() - _FIELDS[state["Type"]]:
                raise UnknownFieldError(f"{name}: {', '.join(sorted(unknown))}")
            output, following = self._step(state, state_input, variables)
            _within_limit(output)
            if following is None:
                return output
            state_input, name = output, following

    def _step(self, state: State, state_input: Any, variables: dict[str, Any]) -> tuple[Any, str | None]:
        """Return a state's output and the next state's name, None at the end."""

        def resolved(value: Any, **further: Any) -> Any:
            states = {"input": state_input, "context": self.context, **further}
            try:
                return resolve(value, {**variables, "states": states})
            except QueryEvaluationError as error:
                raise StateError("States.QueryEvaluationError", str(error)) from error

        match state["Type"]:
            case "Choice":
                chosen = (rule["Next"] for rule in state["Choices"] if resolved(rule["Condition"]) is True)
                return state_input, next(chosen, state["Default"])
            case "Fail":
                raise StateError(resolved(state["Error"]), resolved(state["Cause"]))
            case "Parallel":
                return [self.machine(branch, state_input, variables) for branch in state["Branches"]], state["Next"]
            case "Task":
                return self._task(state, variables, resolved)
            case _:
                return resolved(state["Output"]) if "Output" in state else state_input, state.get("Next")

    def _task(self, state: State, variables: dict[str, Any], resolved: Callable[..., Any]) -> tuple[Any, str | None]:
        """Return the output of a task, or of what catches its error, and the next state's name."""
        try:
            result = self._called(state, resolved)
            return resolved(state.get("Output", result), result=result), state["Next"]
        except StateError as error:
            caught = next((entry for entry in state.get("Catch", ()) if _catches(entry, error)), None)
            if caught is None:
                raise
            error_output = {"Error": error.name, "Cause": error.cause}
            assigned = {
                key: resolved(value, errorOutput=error_output) for key, value in caught.get("Assign", {}).items()
            }
            variables.update(assigned)
            return resolved(caught.get("Output", error_output), errorOutput=error_output), caught["Next"]

    def _called(self, state: State, resolved: Callable[..., Any]) -> Mapping[str, Any]:
        """Return the service's answer, tried again as ``Retry`` says, without its pauses."""
        arguments = resolved(state["Arguments"])
        _within_limit(arguments)
        service = self.services[state["Resource"].partition(":states:::")[2]]
        left = {index: entry["MaxAttempts"] for index, entry in enumerate(state.get("Retry", ()))}
        while True:
            try:
                return service(arguments)
            except StateError as error:
                retried = (index for index, entry in enumerate(state.get("Retry", ())) if _catches(entry, error))
                index = next(retried, None)
                if index is None or not left[index]:
                    raise
                left[index] -= 1


def run(
    definition: State, event: Mapping[str, Any], services: Mapping[str, Service], name: str = "formatter"
) -> Execution:
    """Run a definition on an event.

    ``services`` carry out the tasks, by the end of their resource (``sns:publish``): arguments -> answer; they raise
    :class:`StateError` for what the service refuses. ``name`` is that of the state machine.
    """
    run_ = _Run(services, {"StateMachine": {"Name": name}})
    try:
        _within_limit(event)
        run_.machine(definition, event, {})
    except StateError as error:
        return Execution(succeeded=False, entered=run_.entered, error=error.name, cause=error.cause)
    return Execution(succeeded=True, entered=run_.entered)


def _catches(entry: State, error: StateError) -> bool:
    if error.name in _UNCATCHABLE:
        return False
    return error.name in entry["ErrorEquals"] or "States.ALL" in entry["ErrorEquals"]


def _within_limit(value: Any) -> None:
    size = len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass"))
    if size > _DATA_LIMIT:
        raise StateError("States.DataLimitExceeded", f"{size:,} bytes are more than {_DATA_LIMIT:,}")
