"""What Step Functions finds wrong with a state machine's definition before it runs.

https://docs.aws.amazon.com/step-functions/latest/apireference/API_ValidateStateMachineDefinition.html
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from threatmon.evaluation.jsonata_expressions import expressions, syntax_error

Machine = Mapping[str, Any]

# https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
_QUOTA = 1024 * 1024
_NAME_LENGTH = 80
_TYPES = frozenset({"Choice", "Fail", "Map", "Parallel", "Pass", "Succeed", "Task", "Wait"})
_ENDS = frozenset({"Fail", "Succeed"})
_HAVE_A_RESULT = frozenset({"Map", "Parallel", "Task"})
_NO_RESULT = re.compile(r"\$states\.(result|errorOutput)\b")


class Diagnostic(NamedTuple):
    """What is wrong, and where, as a JSON pointer."""

    code: str
    message: str
    location: str


class StateAt(NamedTuple):
    """A state, the variables that are assigned outside its branch, and its JSON pointer."""

    name: str
    state: Machine
    outer: frozenset[str]
    location: str


def diagnostics(text: str) -> list[Diagnostic]:
    """Return every fault of a definition; none if Step Functions takes it."""
    size = len(text.encode(errors="surrogatepass"))
    if size > _QUOTA:
        return [Diagnostic("INVALID_DEFINITION", f"{size:,} bytes, the quota is {_QUOTA:,}", "/")]
    try:
        machine = json.loads(text)
    except ValueError as error:
        return [Diagnostic("INVALID_JSON_DESCRIPTION", str(error), "/")]
    try:
        found = list(states(machine))
        return [*_repeated(found), *_machine_faults(machine, ""), *(fault for at in found for fault in _faults(at))]
    except (AttributeError, KeyError, TypeError) as error:
        return [Diagnostic("SCHEMA_VALIDATION_FAILED", f"{type(error).__name__}: {error}", "/")]


def states(machine: Machine, location: str = "", outer: frozenset[str] = frozenset()) -> Iterator[StateAt]:
    """Yield every state of a machine, those of branches too."""
    assigned = outer | {name for state in machine["States"].values() for name in _assigned(state)}
    for name, state in machine["States"].items():
        at = f"{location}/States/{name}"
        yield StateAt(name, state, outer, at)
        for index, branch in enumerate(state.get("Branches", ())):
            yield from states(branch, f"{at}/Branches[{index}]", assigned)


def _assigned(state: Machine) -> Iterator[str]:
    for holder in (state, *state.get("Catch", ()), *state.get("Choices", ())):
        yield from holder.get("Assign", {})


def _repeated(found: list[StateAt]) -> Iterator[Diagnostic]:
    for name, count in Counter(at.name for at in found).items():
        if count > 1:
            yield Diagnostic("DUPLICATE_STATE_NAME", f"{count} states are named '{name}'", f"/States/{name}")


def _machine_faults(machine: Machine, location: str) -> Iterator[Diagnostic]:
    """Yield faults of the transitions between the states of a machine or a branch."""
    named = machine["States"]
    targets = {"StartAt": {machine["StartAt"]}, **{name: set(_targets(state)) for name, state in named.items()}}
    for name, following in targets.items():
        for target in sorted(following - named.keys()):
            yield Diagnostic("MISSING_TRANSITION_TARGET", f"Missing '{name}' target: {target}", f"{location}/{name}")
    for name in sorted(named.keys() - set().union(*targets.values())):
        yield Diagnostic("MISSING_TRANSITION_TARGET", f"State '{name}' is not reachable", f"{location}/States/{name}")
    for name, state in named.items():
        for index, branch in enumerate(state.get("Branches", ())):
            yield from _machine_faults(branch, f"{location}/States/{name}/Branches[{index}]")


def _targets(state: Machine) -> Iterator[str]:
    for holder in (state, *state.get("Catch", ()), *state.get("Choices", ())):
        if "Next" in holder:
            yield holder["Next"]
    if "Default" in state:
        yield state["Default"]


def _faults(at: StateAt) -> Iterator[Diagnostic]:
    state, kind = at.state, at.state["Type"]
    if len(at.name) > _NAME_LENGTH:
        yield Diagnostic("SCHEMA_VALIDATION_FAILED", f"a name has at most {_NAME_LENGTH} characters", at.location)
    if kind not in _TYPES:
        yield Diagnostic("SCHEMA_VALIDATION_FAILED", f"'{kind}' is not a type of state", at.location)
    elif kind not in {*_ENDS, "Choice"} and not {"Next", "End"} & state.keys():
        yield Diagnostic("SCHEMA_VALIDATION_FAILED", "a state has Next or End", at.location)
    for name in sorted(at.outer & set(_assigned(state))):
        yield Diagnostic("SCHEMA_VALIDATION_FAILED", f"the variable '{name}' is assigned outside too", at.location)
    for expression in expressions({key: value for key, value in state.items() if key != "Branches"}):
        if fault := syntax_error(expression):
            yield Diagnostic("SCHEMA_VALIDATION_FAILED", f"The JSONata expression is not valid: {fault}", at.location)
        elif kind not in _HAVE_A_RESULT and (reserved := _NO_RESULT.search(expression)):
            yield Diagnostic("SCHEMA_VALIDATION_FAILED", f"{reserved[0]} is not available here", at.location)
