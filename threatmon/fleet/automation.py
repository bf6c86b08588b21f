"""Stacks run by Pulumi's Automation API: the program inline in this process, an engine of its own for each stack.

https://www.pulumi.com/docs/iac/guides/building-extending/automation-api/
Inline, because a program in a process of its own costs each stack an interpreter, the imports and a language host.
"""

import gc
import json
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache, cached_property
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple, TypeVar, get_args

import pulumi
import yaml
from botocore.exceptions import BotoCoreError, ClientError
from pulumi import automation
from pulumi.automation import CommandError, LocalWorkspace, PulumiFn, Stack, errors, events

from threatmon import project
from threatmon.errors import UsageError
from threatmon.fleet.changes import Op, ResourceChange, StackPreview
from threatmon.fleet.engine import Engine
from threatmon.fleet.folder_backend import mend
from threatmon.fleet.interruptions import Interrupted, interrupted
from threatmon.fleet.locks import locks, may_clear
from threatmon.fleet.rollout import Outcome
from threatmon.fleet.targets import Target
from threatmon.stacks.engine import reason
from threatmon.stacks.old_aws import explained

# What is only a part of another step, such as the deletion half of a replacement, is left out.
_OPS: Mapping[str, Op] = {op: op for op in get_args(Op)}
_Result = TypeVar("_Result")
_MARKUP = re.compile(r"<\{%.*?%\}>")
_QUIET = {"PULUMI_SKIP_UPDATE_CHECK": "true"}
_POLL_SECONDS = 2.0
_FAILURES = (CommandError, UsageError, BotoCoreError, ClientError)
_CALLS = 8  # from a resource of ours to within pulumi are 7
_PATIENCE = timedelta(minutes=10)  # longer than any update of these resources takes


def inline_program() -> PulumiFn:
    """``__main__.py`` of the project, compiled once, as often as it is wanted."""
    if str(project.ROOT) not in sys.path:  # the engine puts it there
        sys.path.insert(0, str(project.ROOT))
    path = project.ROOT / "__main__.py"
    code = compile(path.read_text(encoding="utf-8"), str(path), "exec")
    alone = Lock()

    def program() -> Awaitable[None]:
        # pulumi_aws loads its modules when they are first used, which two threads must not do at a time.
        with alone, _short_stack_traces():
            exec(code, {"__name__": "__main__", "__file__": str(path)})  # noqa: S102 - the project's own program
            _keep_loaded()
        return _Pause()

    return program


@cache
def _keep_loaded() -> None:
    """Takes what pulumi_aws loaded for the first program out of every collection, as :mod:`threatmon.garbage` does with
    the imports before it."""
    gc.freeze()


class _Pause:
    """Lets what the program has registered get under way. Else pulumi finds nothing under way, waits for any one of all
    outputs, and begins anew each time that one is known (`wait_for_rpcs` of pulumi/runtime/stack.py)."""

    def __await__(self) -> Generator[None]:
        yield


@contextmanager
def _short_stack_traces() -> Generator[None]:
    """Where a resource comes from is told to the engine as the line that makes it, without the twenty calls that lead
    there in each of our threads: https://docs.python.org/3/library/sys.html#sys.tracebacklimit"""
    sys.tracebacklimit = _CALLS
    try:
        yield
    finally:
        del sys.tracebacklimit


class _Workspace(LocalWorkspace):
    """The project's folder. No stack is ever selected in it, since every command names its stack: selecting rewrites a
    file that all stacks share, and does not bear company (https://github.com/pulumi/pulumi/issues/8186)."""

    def select_stack(self, stack_name: str) -> None:
        """Leaves the selection as it is."""

    def stack_outputs(self, stack_name: str) -> automation.OutputMap:  # noqa: ARG002 - the base class has it
        """None: nobody reads them here, and asking for them would decrypt what is secret among them."""
        return {}


class _Found(NamedTuple):
    """What became of an interrupted operation, in words; the id of what it made, and whether that was looked for."""

    told: str
    made: str | None = None
    looked: bool = True


@dataclass
class _Heard:
    """What the engine says while it works."""

    refreshing: bool = False
    changes: list[ResourceChange] = field(default_factory=list[ResourceChange])
    errors: list[str] = field(default_factory=list[str])
    warnings: list[str] = field(default_factory=list[str])
    interrupted: list[Interrupted] = field(default_factory=list[Interrupted])

    @property
    def changed(self) -> int:
        """How many resources were created, updated, replaced or deleted."""
        return sum(change.op not in ("same", "read") for change in self.changes)

    def __call__(self, event: events.EngineEvent) -> None:
        """Takes one event in."""
        # A refresh knows only when it is done with a resource what became of it.
        if step := event.res_outputs_event if self.refreshing else event.resource_pre_event:
            self._take_step(step.metadata)
        elif diagnostic := event.diagnostic_event:
            self._take_diagnostic(diagnostic)

    def _take_step(self, step: events.StepEventMetadata) -> None:
        state = step.new or step.old
        op = _OPS.get(str(getattr(step.op, "value", step.op)))
        if op and state and state.custom and not step.type.startswith("pulumi:"):
            old = _shared((step.old.inputs if step.old else None) or {})
            new = _shared((step.new.inputs if step.new and op != "delete" else None) or {})
            self.changes.append(
                ResourceChange(
                    op,
                    _shared(step.type),
                    _shared(step.urn.split("::", 3)[3]),
                    old,
                    old if new == old else new,
                    _diff(step),
                    bool((step.old or state).retain_on_delete),
                )
            )

    def _take_diagnostic(self, diagnostic: events.DiagnosticEvent) -> None:
        text = _MARKUP.sub("", diagnostic.message).strip()
        if diagnostic.severity == "error":
            self.errors.append(text)
        elif diagnostic.severity == "warning":
            found = interrupted(text)
            self.interrupted += found
            self.warnings += [] if found else [text]


def _shared(value: Any) -> Any:
    """The same value, its texts kept once for all stacks: most have them alike, and policies and queries are long."""
    if isinstance(value, str):
        return sys.intern(value)
    if isinstance(value, Mapping):
        return {key: _shared(entry) for key, entry in value.items()}
    return [_shared(entry) for entry in value] if isinstance(value, list) else value


def _diff(step: events.StepEventMetadata) -> dict[str, str]:
    if step.detailed_diff:
        return {path: str(getattr(it.diff_kind, "value", it.diff_kind)) for path, it in step.detailed_diff.items()}
    replaces = set(step.keys or ())
    return {path: "update-replace" if path in replaces else "update" for path in step.diffs or ()}


@dataclass(frozen=True)
class Fleet:
    """The project's stacks, and what can be done with one. Its methods may run side by side.

    ``environment_of`` gives what the engine of a stack finds in its environment besides this process's own: the
    credentials. They are never arguments, which any process on the machine may read.
    """

    command: Engine
    environment_of: Callable[[Target], Mapping[str, str]] = lambda _: {}
    find: Callable[[Target, Interrupted], str | None] = lambda _, __: None
    """the id of what an interrupted creation has made, where that can be told"""
    stale_after: timedelta = timedelta(hours=1)
    """age at which a lock of another machine counts as left behind"""
    program: PulumiFn = field(default_factory=inline_program)
    folder: Path = project.ROOT
    _creating: Lock = field(default_factory=Lock)

    def __post_init__(self) -> None:
        """Silences what the engine would throw away."""
        # Some two hundred gRPC calls a stack, at a level of which the engine shows nothing.
        pulumi.log.debug = _unheard

    @cached_property
    def known(self) -> frozenset[str]:
        """The stacks that exist. Raises :class:`UsageError` where the state backend cannot be asked."""
        workspace = self._workspace(self.folder, _QUIET)
        try:
            try:
                found = workspace.list_stacks()
            except CommandError as error:
                if not re.search(r"\bEOF\b", str(error)) or not mend(workspace.who_am_i().url or ""):
                    raise
                found = workspace.list_stacks()
        except CommandError as error:
            raise UsageError(f"The stacks cannot be listed: {_short(error)}") from None
        return frozenset(stack.name.rpartition("/")[2] for stack in found)

    def preview(self, target: Target) -> StackPreview:
        """What an update would do."""
        is_new = target.stack not in self.known
        heard = _Heard()
        error = None
        try:
            with self._throwaway(target) if is_new else nullcontext(self._stack(target)) as stack:
                stack.preview(on_event=heard, color="never")
        except _FAILURES as failure:
            error = _error(heard, failure)
        return _preview(target, heard, error, is_new=is_new)

    def drift(self, target: Target) -> StackPreview:
        """What differs between the account and what the stack remembers of it."""
        heard = _Heard(refreshing=True)
        error = None
        try:
            self._stack(target).preview_refresh(on_event=heard, color="never")
        except _FAILURES as failure:
            error = _error(heard, failure)
        return _preview(target, heard, error, is_new=False)

    def interrupt(self) -> None:
        """Ask every engine under way to stop; each saves the state of its stack first."""
        self.command.interrupt()

    def update(self, target: Target) -> Outcome:
        """Deploys one stack, and puts right what a killed run has left of it."""
        began = time.monotonic()
        notes: list[str] = []
        changed = 0
        try:
            stack = self._created(target)
            heard, error = self._up(stack, notes)
            found = self._look_up(target, heard.interrupted)  # the engine tells only now
            notes += [f"an earlier run was interrupted while {it}: {what.told}" for it, what in found.items()]
            # What may be the reason of the failure is forgotten only when it has been looked for.
            if found and (error is None or all(what.looked for what in found.values())):
                changed = heard.changed
                self._repair(target, {it: what.made for it, what in found.items() if what.made})
                heard, error = self._up(stack, notes)
            changed += heard.changed
        except _FAILURES as failure:
            error = _error(_Heard(), failure)
        return Outcome(
            target.stack,
            "failed" if error else "updated",
            seconds=time.monotonic() - began,
            changed=changed,
            error=error,
            notes=tuple(notes),
        )

    def _up(self, stack: Stack, notes: list[str]) -> tuple[_Heard, str | None]:
        """What the engine said of an update, and why it failed if it did."""
        heard = _Heard()
        try:
            self._unlocked(stack, notes, lambda: stack.up(on_event=heard, color="never", show_secrets=False))
        except CommandError as failure:
            return heard, _error(heard, failure)
        return heard, None

    # -- what a killed run leaves --------------------------------------------------------------------------------------

    def _unlocked(self, stack: Stack, notes: list[str], action: Callable[[], _Result]) -> _Result:
        """Does it, once the stack is not locked any more; a lock that nobody holds is cleared.

        Raises :class:`UsageError` where somebody holds one for longer than any update takes.
        """
        give_up = time.monotonic() + _PATIENCE.total_seconds()
        while True:
            try:
                return action()
            except errors.ConcurrentUpdateError as refusal:
                held, host = locks(str(refusal)), socket.gethostname()
                who = ", ".join(map(str, held)) or _short(refusal)
                if may_clear(held, host, _is_engine, datetime.now(UTC), self.stale_after):
                    stack.cancel()
                    notes.append(f"cleared the lock of a run that is gone: {who}")
                elif any(lock.host != host for lock in held) or time.monotonic() > give_up:
                    raise UsageError(f"somebody else is updating the stack: {who}") from None
                else:
                    time.sleep(_POLL_SECONDS)

    def _look_up(self, target: Target, operations: Sequence[Interrupted]) -> dict[Interrupted, _Found]:
        """What interrupted operations came to. An account that cannot be asked is asked once."""
        found: dict[Interrupted, _Found] = {}
        refusal = ""
        for it in operations:
            if it.doing != "creating":
                found[it] = _Found("nothing to do")
                continue
            try:
                made = None if refusal else self.find(target, it)
            except (UsageError, BotoCoreError, ClientError) as failure:
                made, refusal = None, _error(_Heard(), failure)
            if refusal:
                found[it] = _Found(f"what it made, if anything, cannot be looked up: {refusal}", looked=False)
            else:
                found[it] = _Found(f"took in {made}" if made else "what it made, if anything, is made anew", made)
        return found

    def _repair(self, target: Target, made: Mapping[Interrupted, str]) -> None:
        """Records what was made, and that nothing is under way any more."""
        # Not the Automation API's export, which decrypts what is secret.
        state = json.loads(self._run(target, "stack", "export"))["deployment"] or {}
        pending = state.get("pending_operations") or []
        parents = {it["resource"]["urn"]: it["resource"].get("parent") for it in pending}
        # `--import-pending-creates` records nothing: the engine forgets the operation and the id.
        self._run(target, "refresh", "--yes", "--skip-preview", "--clear-pending-creates")
        for it, id_ in made.items():
            if parent := parents.get(it.urn):
                options = ["--yes", "--skip-preview", "--protect=false", "--generate-code=false"]
                self._run(target, "import", *options, it.type, it.name, id_, "--parent", f"parent={parent}")

    def _run(self, target: Target, *arguments: str) -> str:
        """Runs a command of the engine that the Automation API has not, or not in this form; what it printed."""
        command = [*arguments, "--stack", target.stack]
        return self.command.run(command, str(self.folder), self._environment(target)).stdout

    # -- places --------------------------------------------------------------------------------------------------------

    def _stack(self, target: Target) -> Stack:
        return Stack.select(target.stack, self._workspace(self.folder, self._environment(target)))

    def _created(self, target: Target) -> Stack:
        if target.stack not in self.known:
            provider = _stack_file(self.folder, target).get("secretsprovider")
            with self._creating:  # it selects the stack, too
                Stack.create(target.stack, self._workspace(self.folder, self._environment(target), provider))
        return self._stack(target)

    @contextmanager
    def _throwaway(self, target: Target) -> Generator[Stack]:
        """A stack that does not exist yet, in a state that nobody else sees: a preview leaves no trace."""
        with tempfile.TemporaryDirectory(prefix="threatmon-") as name:
            folder = Path(name)
            for file in ("Pulumi.yaml", f"Pulumi.{target.stack}.yaml"):
                shutil.copy(self.folder / file, folder / file)
            state = folder / "state"
            state.mkdir()
            environment = {**self._environment(target), "PULUMI_BACKEND_URL": state.as_uri()}
            given = _stack_file(folder, target)
            provider = given.get("secretsprovider")
            if not provider and "encryptionsalt" not in given:
                environment["PULUMI_CONFIG_PASSPHRASE"] = secrets.token_hex()  # there is nothing to read with it
            yield Stack.create(target.stack, self._workspace(folder, environment, provider))

    def _environment(self, target: Target) -> dict[str, str]:
        return {**_QUIET, **self.environment_of(target)}

    def _workspace(
        self, folder: Path, environment: Mapping[str, str], secrets_provider: str | None = None
    ) -> _Workspace:
        return _Workspace(
            work_dir=str(folder),
            program=self.program,
            env_vars=environment,
            secrets_provider=secrets_provider,
            pulumi_command=self.command,
        )


def _preview(target: Target, heard: _Heard, error: str | None, *, is_new: bool) -> StackPreview:
    return StackPreview(
        target.stack, target.account_id, target.region, tuple(heard.changes), error, is_new, tuple(heard.warnings)
    )


def _stack_file(folder: Path, target: Target) -> Mapping[str, Any]:
    return yaml.safe_load((folder / f"Pulumi.{target.stack}.yaml").read_text(encoding="utf-8")) or {}


def _is_engine(pid: int) -> bool:
    """Whether this process runs, and is no other one that got the number since."""
    if Path("/proc/self").exists():  # containers often have no ps
        name = Path(f"/proc/{pid}/comm")
        return name.exists() and "pulumi" in name.read_text(encoding="utf-8")
    shown = subprocess.run(["ps", "-p", str(pid), "-o", "comm="], capture_output=True, text=True, check=False)  # noqa: S603, S607 - a number
    return "pulumi" in shown.stdout


def _error(heard: _Heard, failure: Exception) -> str:
    if isinstance(failure, CommandError):
        return "\n".join(heard.errors) or _short(failure)
    return str(failure) if isinstance(failure, UsageError) else explained(failure)


def _short(failure: Exception) -> str:
    """The engine's own words of a failure, without what the Automation API puts around them."""
    return reason(str(failure).partition("stderr:")[2].strip() or str(failure))


def _unheard(*_: object, **__: object) -> None:
    """Nothing."""
