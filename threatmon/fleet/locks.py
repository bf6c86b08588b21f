"""The locks that a killed run leaves in a state backend of one's own, and whether one may be cleared.

Pulumi Cloud's locks end by themselves; those of a bucket or folder stay until somebody clears them:
https://www.pulumi.com/docs/iac/cli/commands/pulumi_cancel/
"""

import re
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple


class Lock(NamedTuple):
    """A lock on a stack, as the engine names it."""

    user: str
    host: str
    pid: int
    since: datetime

    def __str__(self) -> str:
        """The lock as a part of a sentence."""
        return f"{self.user}@{self.host} (process {self.pid}) since {self.since:%Y-%m-%d %H:%M:%S %Z}"


# https://github.com/pulumi/pulumi/blob/master/pkg/backend/diy/lock.go
_LOCK = re.compile(r"created by (\S*)@(\S*) \(pid (\d+)\) at (\S+)")


def locks(message: str) -> list[Lock]:
    """The locks that the engine's refusal names; none where it is another message."""
    return [
        Lock(user, host, int(pid), datetime.fromisoformat(since)) for user, host, pid, since in _LOCK.findall(message)
    ]


def may_clear(
    found: Sequence[Lock], host: str, is_running: Callable[[int], bool], now: datetime, stale_after: timedelta
) -> bool:
    """Whether every lock belongs to a process that is gone.

    On this ``host`` that is known; of another machine it is taken for granted after ``stale_after``.
    """
    return bool(found) and all(
        not is_running(lock.pid) if lock.host == host else now - lock.since > stale_after for lock in found
    )
