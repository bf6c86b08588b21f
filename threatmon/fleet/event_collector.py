"""The engine's events during a run, as data.

https://github.com/pulumi/pulumi/blob/master/sdk/go/common/apitype/events.go
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import get_args

from pulumi.automation import events

from threatmon.fleet.changes import Op, ResourceChange, to_do
from threatmon.fleet.recovery import InterruptedOperation, interrupted_operations

# The steps that make up another one, such as the deletion of what is replaced, are left out.
_OPS: Mapping[str, Op] = {op: op for op in get_args(Op)}
_MARKUP = re.compile(r"<\{%.*?%\}>")


@dataclass
class EventCollector:
    """Collects the events of one run; ``refreshing`` if that is a refresh. Call it with each event."""

    refreshing: bool = False
    changes: list[ResourceChange] = field(default_factory=list[ResourceChange])
    errors: list[str] = field(default_factory=list[str])
    warnings: list[str] = field(default_factory=list[str])
    interrupted: list[InterruptedOperation] = field(default_factory=list[InterruptedOperation])

    @property
    def changed(self) -> int:
        """How many resources were created, updated, replaced or deleted."""
        return len(to_do(self.changes))

    def __call__(self, event: events.EngineEvent) -> None:
        """Take one event."""
        # A refresh knows only when it is done with a resource what became of it.
        if step := event.res_outputs_event if self.refreshing else event.resource_pre_event:
            self._take_step(step.metadata)
        elif diagnostic := event.diagnostic_event:
            self._take_diagnostic(diagnostic)

    def _take_step(self, step: events.StepEventMetadata) -> None:
        state = step.new or step.old
        op = _OPS.get(str(getattr(step.op, "value", step.op)))
        if op and state and state.custom and not step.type.startswith("pulumi:"):
            old = (step.old.inputs if step.old else None) or {}
            new = (step.new.inputs if step.new and op != "delete" else None) or {}
            retained = bool((step.old or state).retain_on_delete)
            name = step.urn.split("::", 3)[3]
            self.changes.append(ResourceChange(op, step.type, name, old, new, _diff(step), retained))

    def _take_diagnostic(self, diagnostic: events.DiagnosticEvent) -> None:
        text = _MARKUP.sub("", diagnostic.message).strip()
        if diagnostic.severity == "error":
            self.errors.append(text)
        elif diagnostic.severity == "warning":
            operations = interrupted_operations(text)
            self.interrupted += operations
            self.warnings += [] if operations else [text]


def _diff(step: events.StepEventMetadata) -> dict[str, str]:
    if step.detailed_diff:
        return {
            path: str(getattr(diff.diff_kind, "value", diff.diff_kind)) for path, diff in step.detailed_diff.items()
        }
    replaces = set(step.keys or ())
    return {path: "update-replace" if path in replaces else "update" for path in step.diffs or ()}
