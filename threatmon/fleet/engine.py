"""Run the processes of the Pulumi engine for the Automation API, shielded from Ctrl-C, and say why one failed."""

import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryFile
from threading import Lock
from typing import IO

from pulumi.automation import CommandResult, OnOutput, PulumiCommand
from pulumi.automation.errors import create_command_error
from semver import VersionInfo

from threatmon.errors import UsageError
from threatmon.fleet.processes import ProcessRecords
from threatmon.stacks.engine import ENGINE_VERSION, find_engine, reason


class Engine(PulumiCommand):
    """Runs the engine out of reach of the terminal's Ctrl-C.

    What is under way is finished, or asked to stop by :meth:`interrupt`, and leaves a complete state and no lock.
    """

    def __init__(self, executable: Path | None = None) -> None:
        self.command = str(executable or find_engine())
        environment = os.environ | {"PULUMI_SKIP_UPDATE_CHECK": "true"}
        try:
            done = subprocess.run(  # noqa: S603 - the user's engine
                [self.command, "version"], env=environment, capture_output=True, text=True, check=True
            )
        except (OSError, subprocess.CalledProcessError) as error:
            raise UsageError(f"The Pulumi engine does not run: {error}") from None
        version = done.stdout.strip().removeprefix("v")
        # An engine built from source has none; it is taken for the one this project is tested with.
        self.version = VersionInfo.parse(version if VersionInfo.is_valid(version) else ENGINE_VERSION)
        self.records = ProcessRecords()
        """the engines that were started here"""
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = Lock()

    def run(
        self,
        args: list[str],
        cwd: str,
        additional_env: Mapping[str, str],
        on_output: OnOutput | None = None,
        on_error: OnOutput | None = None,
    ) -> CommandResult:
        """Run a command to its end. Raises :class:`pulumi.automation.CommandError` if it fails."""
        environment = {**os.environ, **additional_env, "PULUMI_AUTOMATION_API": "true"}
        command = [self.command, "--non-interactive", *args]
        # Files, not pipes: if this process were killed, a broken pipe would kill the engine, which leaves a lock.
        with TemporaryFile() as stdout_file, TemporaryFile() as stderr_file:
            with subprocess.Popen(  # noqa: S603 - the user's engine
                command, cwd=cwd, env=environment, stdout=stdout_file, stderr=stderr_file, start_new_session=True
            ) as process:
                self.records.add(process.pid)
                with self._lock:
                    self._running.add(process)
                try:
                    process.wait()
                finally:
                    with self._lock:
                        self._running.discard(process)
            if process.returncode >= 0:  # one that was killed may have left a lock
                self.records.remove(process.pid)
            stdout, stderr = _text(stdout_file), _text(stderr_file)
        for text, listener in ((stdout, on_output), (stderr, on_error)):
            if listener:
                listener(text)
        result = CommandResult(stdout, stderr, process.returncode)
        if process.returncode:
            raise create_command_error(result)
        return result

    def interrupt(self) -> None:
        """Ask every process under way to stop: the engine ends what it has begun, and saves what it knows."""
        with self._lock:
            for process in self._running:
                process.send_signal(signal.SIGINT)


def engine_message(failure: Exception) -> str:
    """Return what the engine itself says of a failure, without what the Automation API puts around it."""
    return reason(str(failure).partition("stderr:")[2].strip() or str(failure))


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode("utf-8", "replace")
