"""The engine's events during a run, as data.

https://github.com/pulumi/pulumi/blob/master/sdk/go/common/apitype/events.go
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from pulumi.automation import events

from threatmon.fleet.changes import UNKNOWN, Op, ResourceChange, to_do
from threatmon.fleet.places import Place, places

# The steps that make up another one, such as the deletion of what is replaced, are left out.
_OPS: Mapping[str, Op] = {op: op for op in get_args(Op)}
_STACK = "pulumi:pulumi:Stack"
# https://github.com/pulumi/pulumi/blob/master/pkg/resource/deploy/deployment_executor.go
_INTERRUPTED = "pending operations from previous deployment"
_MARKUP = re.compile(r"<\{%.*?%\}>")


@dataclass
class EventCollector:
    """Collects the events of one run; ``refreshing`` if that is a refresh. Call it with each event."""

    refreshing: bool = False
    changes: list[ResourceChange] = field(default_factory=list[ResourceChange])
    errors: list[str] = field(default_factory=list[str])
    warnings: list[str] = field(default_factory=list[str])
    before: dict[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    """the inputs of what exists, by URN"""
    places: set[Place] = field(default_factory=set[Place])
    """where the stack is deployed"""

    @property
    def changed(self) -> int:
        """How many resources were created, updated, replaced or deleted."""
        return len(to_do(self.changes))

    def __call__(self, event: events.EngineEvent) -> None:
        """Take one event."""
        # A refresh knows only when it is done with a resource what became of it.
        if step := event.res_outputs_event if self.refreshing else event.resource_pre_event:
            self._take_state(step.metadata)
            self._take_step(step.metadata)
        elif outputs := event.res_outputs_event:
            self._take_outputs(outputs.metadata)
        elif diagnostic := event.diagnostic_event:
            self._take_diagnostic(diagnostic)

    def _take_step(self, step: events.StepEventMetadata) -> None:
        state = step.new or step.old
        op = _op(step)
        if not (op and state and state.custom):
            return
        # Of providers only what takes the place of one that the stack had; a refresh changes none.
        if step.type.startswith("pulumi:") and (self.refreshing or op == "same" or not step.old):
            return
        old = (step.old.inputs if step.old else None) or {}
        new = (step.new.inputs if step.new and op != "delete" else None) or {}
        options = _changed_options(step.old, step.new) if step.old and step.new else {}
        # The engine calls a step the same if no input differs, and yet records options that do.
        op = "update" if op == "same" and options else op
        retained = bool((step.old or state).retain_on_delete)
        self.changes.append(ResourceChange(op, step.type, _name(step), old, new, _diff(step), retained, options))

    def _take_state(self, step: events.StepEventMetadata) -> None:
        """Take what exists, and where it is."""
        op = _op(step)
        if step.old and op != "read":
            self.places |= places(step.old.outputs or {})
        if step.old and step.old.custom and op and not step.type.startswith("pulumi:"):
            self.before[step.old.urn] = step.old.inputs or {}

    def _take_outputs(self, step: events.StepEventMetadata) -> None:
        """Take the outputs of the stack, which come twice: as they are, and as the program has set them."""
        if step.type == _STACK and step.old and step.new:
            old, new = step.old.outputs or {}, step.new.outputs or {}
            diff = _changed_outputs(old, new)
            self.changes = [change for change in self.changes if change.type != _STACK]
            self.changes += [ResourceChange("update", _STACK, _name(step), old, new, diff)] if diff else []

    def _take_diagnostic(self, diagnostic: events.DiagnosticEvent) -> None:
        text = _MARKUP.sub("", diagnostic.message).strip()
        if diagnostic.severity == "error":
            self.errors.append(text)
        elif diagnostic.severity == "warning":
            # An update says what became of them.
            self.warnings += [] if _INTERRUPTED in text else [text]


def _op(step: events.StepEventMetadata) -> Op | None:
    return _OPS.get(str(getattr(step.op, "value", step.op)))


def _name(step: events.StepEventMetadata) -> str:
    return step.urn.split("::", 3)[3]


def _changed_options(
    old: events.StepEventStateMetadata, new: events.StepEventStateMetadata
) -> dict[str, tuple[bool, bool]]:
    options = {
        "protect": (bool(old.protect), bool(new.protect)),
        "retainOnDelete": (bool(old.retain_on_delete), bool(new.retain_on_delete)),
    }
    return {name: values for name, values in options.items() if values[0] != values[1]}


def _changed_outputs(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, str]:
    """Return what differs; a value that is not known yet belongs to a resource that changes."""
    added, removed = dict.fromkeys(new.keys() - old.keys(), "add"), dict.fromkeys(old.keys() - new.keys(), "delete")
    changed = [
        name for name in old.keys() & new.keys() if old[name] != new[name] and UNKNOWN not in json.dumps(new[name])
    ]
    return added | removed | dict.fromkeys(changed, "update")


def _diff(step: events.StepEventMetadata) -> dict[str, str]:
    if step.detailed_diff:
        return {
            path: str(getattr(diff.diff_kind, "value", diff.diff_kind)) for path, diff in step.detailed_diff.items()
        }
    replaces = set(step.keys or ())
    return {path: "update-replace" if path in replaces else "update" for path in step.diffs or ()}
