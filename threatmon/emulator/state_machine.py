"""Runs a state machine in JSONata as Step Functions does, as far as ours need it.

Anything it does not know is refused: an interpreter that passes over a field would hide what AWS would do with it.
https://states-language.net/
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

from threatmon.evaluation.jsonata_expressions import QueryEvaluationError, resolve
from threatmon.model.state_machine import QUOTA

State = Mapping[str, Any]
Service = Callable[[Mapping[str, Any]], Mapping[str, Any]]

# https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
_UNCATCHABLE = frozenset({"States.DataLimitExceeded", "States.Runtime"})
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
        super().__init__(name, cause)
        self.name, self.cause = name, cause

    def __str__(self) -> str:
        """Return both."""
        return f"{self.name}: {self.cause}"


class HistoryEvent(NamedTuple):
    """A step of an execution, named as GetExecutionHistory names it."""

    type: str
    details_name: str
    details: Mapping[str, Any]


class Execution(NamedTuple):
    """How an execution ended, and its history, that of parallel branches one after the other."""

    history: Sequence[HistoryEvent]
    output: Any = None
    failure: StateError | None = None

    @property
    def succeeded(self) -> bool:
        """Whether it ended without an error."""
        return self.failure is None

    @property
    def error(self) -> str:
        """The name of the error it ended with; empty if there is none."""
        return self.failure.name if self.failure else ""

    @property
    def cause(self) -> str:
        """The cause of that error."""
        return self.failure.cause if self.failure else ""

    @property
    def entered(self) -> list[str]:
        """The states it entered."""
        return [step.details["name"] for step in self.history if step.details_name == "stateEnteredEventDetails"]


@dataclass
class _Run:
    services: Mapping[str, Service]
    context: Mapping[str, Any]
    history: list[HistoryEvent] = field(default_factory=list[HistoryEvent])

    def machine(self, machine: State, state_input: Any, variables: Mapping[str, Any]) -> Any:
        """Run the states from ``StartAt`` on; return the output of the last. Raise :class:`StateError`."""
        states, name = machine["States"], machine["StartAt"]
        variables = dict(variables)
        while True:
            output, following = self.step(name, states[name], state_input, variables)
            if following is None:
                return output
            state_input, name = output, following

    def step(self, name: str, state: State, state_input: Any, variables: dict[str, Any]) -> tuple[Any, str | None]:
        """Return a state's output and the next state's name, None at the end. Raise :class:`StateError`."""
        kind = state["Type"]
        if unknown := state.keys() - _FIELDS.get(kind, frozenset[str]()):
            raise UnknownFieldError(f"{name}: {', '.join(sorted(unknown))}")
        self._note(f"{kind}StateEntered", "stateEnteredEventDetails", name=name, input=state_input)
        output, following = self._stepped(name, state, state_input, variables)
        _within_limit(output)
        self._note(f"{kind}StateExited", "stateExitedEventDetails", name=name, output=output)
        return output, following

    def _note(self, type_: str, details_name: str, **details: Any) -> None:
        self.history.append(HistoryEvent(type_, details_name, details))

    def _stepped(self, name: str, state: State, state_input: Any, variables: dict[str, Any]) -> tuple[Any, str | None]:
        context = {**self.context, "State": {"Name": name, "RetryCount": 0}}

        def resolved(value: Any, kind: type = object, **further: Any) -> Any:
            try:
                result = resolve(value, {**variables, "states": {"input": state_input, "context": context, **further}})
                _expect(kind, result)
            except QueryEvaluationError as error:
                failure = StateError("States.QueryEvaluationError", str(error))
                self._failed(failure, "EvaluationFailed", "evaluationFailedEventDetails", state=name)
                raise failure from error
            return result

        match state["Type"]:
            case "Choice":
                chosen = (rule["Next"] for rule in state["Choices"] if resolved(rule["Condition"], bool))
                return state_input, next(chosen, state["Default"])
            case "Fail":
                raise StateError(resolved(state["Error"], str), resolved(state["Cause"], str))
            case "Parallel":
                return [self.machine(branch, state_input, variables) for branch in state["Branches"]], state["Next"]
            case "Task":
                return self._task(state, variables, resolved)
            case _:
                return resolved(state["Output"]) if "Output" in state else state_input, state.get("Next")

    def _failed(self, error: StateError, type_: str, details_name: str, **details: Any) -> None:
        self._note(type_, details_name, error=error.name, cause=error.cause, **details)

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
        arguments = resolved(state["Arguments"], dict)
        _within_limit(arguments)
        resource = state["Resource"].partition(":states:::")[2]
        service, (resource_type, _, operation) = self.services[resource], resource.rpartition(":")
        called = {"resourceType": resource_type, "resource": operation}
        self._note("TaskScheduled", "taskScheduledEventDetails", parameters=arguments, **called)
        left = {index: entry["MaxAttempts"] for index, entry in enumerate(state.get("Retry", ()))}
        while True:
            try:
                result = service(arguments)
            except StateError as error:
                self._failed(error, "TaskFailed", "taskFailedEventDetails", **called)
                retried = (index for index, entry in enumerate(state.get("Retry", ())) if _catches(entry, error))
                index = next(retried, None)
                if index is None or not left[index]:
                    raise
                left[index] -= 1
            else:
                self._note("TaskSucceeded", "taskSucceededEventDetails", output=result, **called)
                return result


def run(
    definition: State,
    event: Mapping[str, Any],
    services: Mapping[str, Service],
    context: Mapping[str, Any] = MappingProxyType({"StateMachine": {"Name": "formatter"}}),
) -> Execution:
    """Run a definition on an event.

    ``services`` carry out the tasks, by the end of their resource (``sns:publish``): arguments -> answer; they raise
    :class:`StateError` for what the service refuses. ``context`` is ``$states.context`` without the state.
    """
    run_ = _Run(services, context)
    try:
        _within_limit(event)
        output = run_.machine(definition, event, {})
    except StateError as error:
        return Execution(run_.history, failure=error)
    return Execution(run_.history, output)


def _catches(entry: State, error: StateError) -> bool:
    if error.name in _UNCATCHABLE:
        return False
    return error.name in entry["ErrorEquals"] or "States.ALL" in entry["ErrorEquals"]


def _expect(kind: type, result: Any) -> None:
    if not isinstance(result, kind):
        raise QueryEvaluationError(f"the result is a {type(result).__name__}, expected a {kind.__name__}")


def _within_limit(value: Any) -> None:
    size = len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass"))
    if size > QUOTA:
        raise StateError("States.DataLimitExceeded", f"{size:,} bytes are more than {QUOTA:,}")
