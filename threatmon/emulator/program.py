"""Run the unmodified Pulumi program in this process under Pulumi's official mocks, and record what it registers.

https://www.pulumi.com/docs/iac/guides/testing/unit/
"""

import asyncio
import contextvars
import json
import runpy
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import pulumi
from pulumi.runtime import Mocks, rpc, set_all_config, set_mocks
from pulumi.runtime.mocks import MockMonitor
from pulumi.runtime.settings import reset_options
from pulumi.runtime.stack import Stack

from threatmon import project

PROJECT = "threat-monitor"
_MAIN = project.ROOT / "__main__.py"
_STACK_TYPE = "pulumi:pulumi:Stack"


@dataclass(frozen=True)
class Registration:
    """A resource as the program registered it.

    ``inputs`` are plain values in camelCase, secrets unwrapped; ``secret_inputs`` names the inputs that hold some.
    ``parent`` and ``depends_on`` hold URNs.
    """

    urn: str
    type: str
    name: str
    parent: str
    inputs: Mapping[str, Any]
    secret_inputs: frozenset[str]
    depends_on: frozenset[str]
    property_dependencies: Mapping[str, frozenset[str]]
    custom: bool
    protect: bool
    retain_on_delete: bool
    import_id: str
    provider: str
    aliases: tuple[Any, ...] = ()


@dataclass
class ProgramRun:
    """What the program registered, by URN and in its order, and the stack's outputs."""

    resources: dict[str, Registration] = field(default_factory=dict[str, Registration])
    outputs: dict[str, Any] = field(default_factory=dict[str, Any])

    def of_type(self, type_: str) -> list[Registration]:
        """Return the registrations of one type, by name."""
        of_type = [resource for resource in self.resources.values() if resource.type == type_]
        return sorted(of_type, key=lambda resource: resource.name)


class DuplicateUrnError(RuntimeError):
    """Refuses two resources of one URN, as the engine does and the mocks do not."""


def run_project(config: Mapping[str, Any], mocks: Mocks, *, stack: str = "dev", preview: bool = False) -> ProgramRun:
    """Run ``__main__.py`` with the stack config ``config`` (full keys; values as the stack file has them).

    Raises whatever the program raises; :class:`pulumi.RunError` is how it reports faults in its config.
    """
    if str(_MAIN.parent) not in sys.path:  # the engine puts it there
        sys.path.insert(0, str(_MAIN.parent))
    return run_program(
        lambda: runpy.run_path(str(_MAIN), run_name="__main__"), config, mocks, stack=stack, preview=preview
    )


def run_program(
    program: Callable[[], object],
    config: Mapping[str, Any],
    mocks: Mocks,
    *,
    stack: str = "dev",
    preview: bool = False,
) -> ProgramRun:
    """Run ``program`` in an event loop and a context of its own, so that nothing of it reaches the next run.

    Returns when every registration has arrived, also those that nothing waits for.
    """
    monitor = _RecordingMonitor(mocks, PROJECT, stack)

    @pulumi.runtime.test
    def drive() -> None:
        program()
        root = cast("Stack", pulumi.runtime.get_root_resource())
        for name, value in root.outputs.items():
            pulumi.Output.from_input(value).apply(
                lambda output, name=name: monitor.run.outputs.__setitem__(name, output)
            )

    def in_fresh_context() -> None:
        reset_options(project=PROJECT, stack=stack, preview=preview)
        # As the engine does.
        set_all_config({key: value if isinstance(value, str) else json.dumps(value) for key, value in config.items()})
        set_mocks(mocks, project=PROJECT, stack=stack, preview=preview, monitor=monitor)
        drive()

    loop = asyncio.new_event_loop()
    # The first failure is raised; what fails because of it would only be printed.
    loop.set_exception_handler(lambda _loop, _context: None)
    asyncio.set_event_loop(loop)
    try:
        contextvars.copy_context().run(in_fresh_context)
    finally:
        asyncio.set_event_loop(None)
        loop.close()
    return monitor.run


class _RecordingMonitor(MockMonitor):
    """The mocks' monitor with the engine's URNs; it keeps the whole request of each registration."""

    def __init__(self, mocks: Mocks, project: str, stack: str) -> None:
        super().__init__(mocks)
        self.project, self.stack = project, stack
        self.run = ProgramRun()
        self._lock = threading.Lock()

    def make_urn(self, parent: str, type_: str, name: str) -> str:
        parent_type = parent.split("::")[2] if parent else ""
        if parent_type not in ("", _STACK_TYPE):
            type_ = f"{parent_type}${type_}"
        return f"urn:pulumi:{self.stack}::{self.project}::{type_}::{name}"

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 - the name of the RPC
        response = super().RegisterResource(request)
        if request.type != _STACK_TYPE:
            registration = _registration(response.urn, request)
            with self._lock:
                if response.urn in self.run.resources:
                    raise DuplicateUrnError(response.urn)
                self.run.resources[response.urn] = registration
        return response


def _registration(urn: str, request: Any) -> Registration:
    inputs = rpc.deserialize_properties(request.object, keep_unknowns=True)
    return Registration(
        urn=urn,
        type=request.type,
        name=request.name,
        parent=request.parent,
        inputs=plain(inputs),
        secret_inputs=frozenset(key for key, value in inputs.items() if rpc.is_rpc_secret(value)),
        depends_on=frozenset(request.dependencies),
        property_dependencies={
            key: frozenset(dependencies.urns) for key, dependencies in request.propertyDependencies.items()
        },
        custom=request.custom,
        protect=request.protect,
        retain_on_delete=request.retainOnDelete,
        import_id=request.importId,
        provider=request.provider,
        aliases=tuple(request.aliases),
    )


def plain(value: Any) -> Any:
    """Return a deserialised value with every secret in it unwrapped."""
    if rpc.is_rpc_secret(value):
        return plain(rpc.unwrap_rpc_secret(value))
    if isinstance(value, Mapping):
        return {key: plain(entry) for key, entry in value.items()}
    return [plain(entry) for entry in value] if isinstance(value, list) else value
