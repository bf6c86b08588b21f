"""The project's stacks as Pulumi's Automation API opens them, each with the environment of its account."""

import json
import secrets
import shutil
import tempfile
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any

from pulumi.automation import CommandError, LocalWorkspace, OutputMap, PulumiFn, Stack

from threatmon import project
from threatmon.errors import UsageError
from threatmon.fleet import backend
from threatmon.fleet.engine import Engine, engine_message
from threatmon.fleet.inline_program import inline_program
from threatmon.fleet.known_stack import KnownStack, Leftover
from threatmon.fleet.places import Place, places
from threatmon.fleet.targets import Target
from threatmon.stacks import files as stack_files
from threatmon.stacks import yaml
from threatmon.stacks.files import file_name

_QUIET = {"PULUMI_SKIP_UPDATE_CHECK": "true"}


class _Workspace(LocalWorkspace):
    """Selects no stack, since every command names its own.

    Selecting rewrites a file that all stacks share, and may not be done twice at a time:
    https://github.com/pulumi/pulumi/issues/8186
    """

    def select_stack(self, stack_name: str) -> None:
        """Leave the selection as it is."""

    def stack_outputs(self, stack_name: str) -> OutputMap:  # noqa: ARG002 - the base class has it
        """Return none: nobody reads them here, and asking for them would decrypt the secrets among them."""
        return {}


@dataclass(frozen=True)
class Workspaces:
    """Opens the project's stacks; its methods may run side by side.

    ``environment_of`` gives what the engine of a stack finds in its environment in addition to this process's
    own: the credentials. They are never arguments, which any process on the machine may read.
    """

    engine: Engine
    environment_of: Callable[[Target], Mapping[str, str]] = lambda _: {}
    program: PulumiFn = field(default_factory=inline_program)
    folder: Path = field(default_factory=lambda: project.ROOT)
    _creating: Lock = field(default_factory=Lock)

    @cached_property
    def known(self) -> Mapping[str, KnownStack]:
        """The stacks that exist, by name. Raises :class:`UsageError` if the state backend cannot be asked."""
        return backend.known_stacks(self._ask, self.folder)

    @cached_property
    def leftovers(self) -> list[Leftover]:
        """The stacks that exist and have no file. Raises :class:`UsageError` if the state backend cannot be asked."""
        return backend.leftovers(self._ask, self.known, stack_files.names(self.folder))

    def refuse_unreadable(self, target: Target) -> None:
        """Raise :class:`UsageError` if the state of the stack cannot be read."""
        if (stack := self.known.get(target.stack)) and stack.fault:
            raise UsageError(stack.fault)

    def refuse_renamed(self, target: Target) -> None:
        """Raise :class:`UsageError` if a stack that does not exist yet has what one without a file has deployed."""
        if old := backend.renamed_from(target, self.leftovers):
            raise UsageError(
                f"It has the account and Region, or subnets, of stack {old}, which is deployed and has no file any "
                "more: the file was renamed. A stack's name is part of what it deployed, so that all of it would be "
                f"deployed twice.\nRename the file back: mv {file_name(target.stack)} {file_name(old)}\n"
                f"Or take the old stack down first: pulumi destroy --stack {old} && pulumi stack rm {old}"
            )

    def places(self, target: Target) -> set[Place]:
        """Return where a stack is deployed, by its outputs; none if they cannot be read."""
        try:
            return places(self._ask("stack", "output", "--stack", target.stack) or {})
        except UsageError:
            return set()

    def open(self, target: Target) -> Stack:
        """Return a stack that exists."""
        return Stack.select(target.stack, self._workspace(self.folder, self._environment(target)))

    def create(self, target: Target) -> Stack:
        """Return a stack, created if it does not exist."""
        if target.stack not in self.known:
            provider = _stack_file(self.folder, target).get("secretsprovider")
            with self._creating:  # it selects the stack, too
                Stack.create(target.stack, self._workspace(self.folder, self._environment(target), provider))
        return self.open(target)

    @contextmanager
    def throwaway(self, target: Target) -> Generator[Stack]:
        """Open a stack that does not exist yet in a state that nobody else sees: a preview leaves no trace."""
        with tempfile.TemporaryDirectory(prefix="threatmon-") as name:
            folder = Path(name)
            for file in (project.PROJECT_FILE, file_name(target.stack)):
                shutil.copy(self.folder / file, folder / file)
            state = folder / "state"
            state.mkdir()
            environment = {**self._environment(target), "PULUMI_BACKEND_URL": state.as_uri()}
            given = _stack_file(folder, target)
            provider = given.get("secretsprovider")
            if not provider and "encryptionsalt" not in given:
                environment["PULUMI_CONFIG_PASSPHRASE"] = secrets.token_hex()  # there is nothing to read with it
            yield Stack.create(target.stack, self._workspace(folder, environment, provider))

    def run(self, target: Target, *arguments: str) -> str:
        """Return what a command prints that the Automation API does not have, or not in this form."""
        command = [*arguments, "--stack", target.stack]
        return self.engine.run(command, str(self.folder), self._environment(target)).stdout

    def _ask(self, *arguments: str) -> Any:
        try:
            return json.loads(self.engine.run([*arguments, "--json"], str(self.folder), _QUIET).stdout or "null")
        except CommandError as error:
            raise UsageError(f"The stacks cannot be listed: {engine_message(error)}") from None

    def _environment(self, target: Target) -> dict[str, str]:
        return {**_QUIET, **self.environment_of(target)}

    def _workspace(self, folder: Path, environment: Mapping[str, str], provider: str | None = None) -> _Workspace:
        return _Workspace(
            work_dir=str(folder),
            program=self.program,
            env_vars=environment,
            secrets_provider=provider,
            pulumi_command=self.engine,
        )


def _stack_file(folder: Path, target: Target) -> Mapping[str, Any]:
    return yaml.read((folder / file_name(target.stack)).read_text(encoding="utf-8")) or {}
