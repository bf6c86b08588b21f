"""The locks that a killed run leaves in a self-managed state backend, and when one may be cleared.

Pulumi Cloud's locks end by themselves; those of a bucket or folder stay until somebody clears them:
https://www.pulumi.com/docs/iac/cli/commands/pulumi_cancel/
"""

import re
import socket
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple, TypeVar

from pulumi.automation.errors import ConcurrentUpdateError

from threatmon.errors import UsageError
from threatmon.fleet.engine import engine_message

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
    action: Callable[[], _Result], clear: Callable[[], object], stale_after: timedelta, notes: list[str]
) -> _Result:
    """Run the action once the stack is no longer locked, and return its result.

    A lock whose process is gone is cleared, and noted; on another machine a process counts as gone after
    ``stale_after``. Raises :class:`UsageError` if another machine holds one, or this one for longer than any update
    takes.
    """
    give_up = time.monotonic() + _PATIENCE.total_seconds()
    host = socket.gethostname()
    while True:
        try:
            return action()
        except ConcurrentUpdateError as refusal:
            held = locks(str(refusal))
            holders = ", ".join(map(str, held)) or engine_message(refusal)
            oldest = datetime.now(UTC) - stale_after
            if held and not any(_is_engine(lock.pid) if lock.host == host else lock.since >= oldest for lock in held):
                clear()
                notes.append(f"cleared the lock of a run that had ended: {holders}")
            elif any(lock.host != host for lock in held) or time.monotonic() > give_up:
                raise UsageError(f"somebody else is updating the stack: {holders}") from None
            else:
                time.sleep(_POLL_SECONDS)


def _is_engine(pid: int) -> bool:
    """Say whether the engine's process still runs; another process may have got its id since."""
    if Path("/proc/self").exists():  # containers often have no ps
        name = Path(f"/proc/{pid}/comm")
        return name.exists() and "pulumi" in name.read_text(encoding="utf-8")
    shown = subprocess.run(["ps", "-p", str(pid), "-o", "comm="], capture_output=True, text=True, check=False)  # noqa: S603, S607 - a number
    return "pulumi" in shown.stdout
