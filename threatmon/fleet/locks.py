"""The locks that a killed run leaves in a self-managed state backend, and when one may be cleared.

Pulumi Cloud's locks end by themselves; those of a bucket or folder stay until somebody clears them:
https://www.pulumi.com/docs/iac/cli/commands/pulumi_cancel/
"""

import re
import socket
import subprocess
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple, TypeVar

from pulumi.automation.errors import ConcurrentUpdateError

from threatmon.errors import UsageError
from threatmon.fleet.engine import engine_message
from threatmon.fleet.processes import ProcessRecords

_Result = TypeVar("_Result")
_POLL_SECONDS = 2.0
_PATIENCE = timedelta(minutes=10)  # longer than any update of these resources takes


class Lock(NamedTuple):
    """A lock on a stack, as the engine names it."""

    user: str
    host: str
    pid: int
    since: datetime

    def __str__(self) -> str:
        """Return the lock as a part of a sentence."""
        return f"{self.user}@{self.host} (process {self.pid}) since {self.since:%Y-%m-%d %H:%M:%S %Z}"


# https://github.com/pulumi/pulumi/blob/master/pkg/backend/diy/lock.go
_LOCK = re.compile(r"created by (\S*)@(\S*) \(pid (\d+)\) at (\S+)")


def locks(message: str) -> list[Lock]:
    """Return the locks that the engine's refusal names; none if it is another message."""
    return [
        Lock(user, host, int(pid), datetime.fromisoformat(since)) for user, host, pid, since in _LOCK.findall(message)
    ]


def when_unlocked(
    stack: str,
    action: Callable[[], _Result],
    clear: Callable[[], object],
    notes: list[str],
    *,
    records: ProcessRecords,
    say: Callable[[str], object],
) -> _Result:
    """Run the action once the stack is no longer locked, and return its result.

    A lock is cleared, and noted, only if its process is provably gone on this machine; one whose process lives here is
    waited for, and named to ``say``. Raises :class:`UsageError` if anybody else holds one, or a process here for longer
    than any update takes.
    """
    give_up = time.monotonic() + _PATIENCE.total_seconds()
    host, named = socket.gethostname(), ""
    while True:
        try:
            return action()
        except ConcurrentUpdateError as refusal:
            held = locks(str(refusal))
            holders = ", ".join(map(str, held)) or engine_message(refusal)
            if held and all(lock.host == host and records.is_gone(lock.pid, lock.since) for lock in held):
                clear()
                for lock in held:
                    records.remove(lock.pid)
                notes.append(f"cleared the lock of a run that had ended: {holders}")
            elif time.monotonic() > give_up or any(lock.host != host or not _is_engine(lock.pid) for lock in held):
                raise UsageError(
                    f"Stack {stack} is locked: {holders}. If that run has ended, clear the lock: "
                    f"pulumi cancel --stack {stack} --yes"
                ) from None
            else:
                if holders != named:
                    say(f"{stack}: waiting for {holders}")
                named = holders
                time.sleep(_POLL_SECONDS)


def _is_engine(pid: int) -> bool:
    """Say whether a process of that id runs here, and is an engine; worth waiting for, and no proof of anything."""
    if Path("/proc/self").exists():  # containers often have no ps
        name = Path(f"/proc/{pid}/comm")
        return name.exists() and "pulumi" in name.read_text(encoding="utf-8")
    shown = subprocess.run(["ps", "-p", str(pid), "-o", "comm="], capture_output=True, text=True, check=False)  # noqa: S603, S607 - a number
    return "pulumi" in shown.stdout
