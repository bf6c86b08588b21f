"""What was previewed is what is deployed: an update refuses any other config, and any other state.

The engine reads a stack's files each time, and its state, so both may be others when it updates. It calls the program
when it has locked the stack and before it changes anything, with the very config that it deploys with; so the program
can compare both, and nothing can come in between: https://github.com/pulumi/pulumi/blob/master/pkg/backend/diy/backend.go
The program itself is loaded once for the whole run; what is edited meanwhile waits for the next one.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pulumi
from pulumi.automation import PulumiFn
from pulumi.runtime.config import CONFIG, get_config_env

from threatmon.fleet.differences import SECRET, readable
from threatmon.stacks.files import file_name

States = Mapping[str, Mapping[str, Any]]
"""The inputs of resources by URN."""


@dataclass
class Previewed:
    """The config and the resources that the preview of one stack saw."""

    stack: str
    before: States = field(default_factory=dict[str, Mapping[str, Any]])
    is_outdated: bool = False
    """an update found another state; the stack may be previewed again"""
    _config: str | None = None

    def seen_by(self, program: PulumiFn) -> PulumiFn:
        """Return the program for a preview, which remembers the config."""

        def remembering() -> None:
            self._config = _config()
            program()

        return remembering

    def required_by(self, program: PulumiFn, export: Callable[[], str]) -> PulumiFn:
        """Return the program for an update, which fails if the config or the state is another than in the preview.

        ``export`` returns what `pulumi stack export` prints. Without a preview it runs.
        """

        def refusing() -> None:
            if self._config not in (None, _config()):
                raise pulumi.RunError(
                    f"{file_name(self.stack)} or Pulumi.yaml was edited after the preview. Nothing was changed; the "
                    "same command previews what they say now."
                )
            self.is_outdated = self._config is not None and not are_in(self.before, json.loads(export()))
            if self.is_outdated:
                raise pulumi.RunError(
                    "Somebody else updated the stack after the preview. Nothing was changed; the same command previews "
                    "what there is now."
                )
            program()

        return refusing


def are_in(before: States, exported: Mapping[str, Any]) -> bool:
    """Say whether an exported state has just the resources that a preview saw, with the same inputs.

    A text of which the engine has hidden a part is not compared.
    """
    now: States = {
        state["urn"]: state.get("inputs") or {}
        for state in (exported.get("deployment") or {}).get("resources") or []
        if state.get("custom") and not state.get("delete") and not state["type"].startswith("pulumi:")
    }
    return before.keys() == now.keys() and all(_equal(inputs, now[urn]) for urn, inputs in before.items())


def _equal(shown: Mapping[str, Any], inputs: Mapping[str, Any]) -> bool:
    shown, inputs = readable(shown), readable(inputs)
    return shown.keys() == inputs.keys() and all(
        value == inputs[name] or SECRET in json.dumps(value) for name, value in shown.items()
    )


def _config() -> str:
    """Return a hash of the config that the engine has handed over: there are secrets in it."""
    return hashlib.sha256(json.dumps(get_config_env() | CONFIG.get(), sort_keys=True).encode()).hexdigest()
