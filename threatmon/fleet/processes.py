"""Records of the engines that this machine has started, by which a lock can be proved to be of a process that is gone.

A lock names a host and a process id. They prove nothing: two containers may have the same host name, and an id is used
again. A record adds what does: the boot of the kernel, the namespace of the ids, and when the process began, soon after
which an engine locks its stack. Without /proc nothing is recorded, and nothing is proved.
"""

import json
import os
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

_PROC = Path("/proc")
# An engine locks its stack when it has read its files; the lock's time has no fractions of a second.
_SOON, _ROUNDED = timedelta(minutes=1), timedelta(seconds=1)


def _folder() -> Path:
    # https://specifications.freedesktop.org/basedir-spec/latest/
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "threatmon" / "engines"


@dataclass(frozen=True)
class ProcessRecords:
    """Keeps a file for each process under way; one that was killed leaves its file."""

    folder: Path = field(default_factory=_folder)

    def add(self, pid: int) -> None:
        """Record a process that has just been started; without /proc, or a folder to write to, do nothing."""
        if place := _place():
            record = {"began": datetime.now(UTC).isoformat(), "place": place}
            with suppress(OSError):
                self.folder.mkdir(parents=True, exist_ok=True)
                self._file(pid).write_text(json.dumps(record), encoding="utf-8")

    def remove(self, pid: int) -> None:
        """Forget a process that has ended by itself, or whose lock is cleared."""
        with suppress(OSError):
            self._file(pid).unlink()

    def is_gone(self, pid: int, locked_at: datetime) -> bool:
        """Say whether the process that has locked a stack then was started here, and provably runs no more."""
        try:
            record = json.loads(self._file(pid).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        began = datetime.fromisoformat(record["began"])
        is_ours = record["place"] == _place() and -_ROUNDED <= locked_at - began <= _SOON
        return is_ours and not _runs(pid)

    def _file(self, pid: int) -> Path:
        return self.folder / f"{pid}.json"


def _runs(pid: int) -> bool:
    """Say whether there is a process of that id that is no zombie, which nobody may have been left to reap."""
    try:
        # The state follows the name, which is in parentheses and may hold anything.
        return (_PROC / str(pid) / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _place() -> list[str]:
    """Return the kernel's boot and the namespace of process ids."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        return [boot, str((_PROC / "self/ns/pid").readlink())]
    except OSError:
        return []
