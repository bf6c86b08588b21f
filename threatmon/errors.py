"""The one base of everything that a person did wrong, or that AWS refused."""

from typing import ClassVar

CHECK_FAILED = 1
WRONG_USE = 2


class ThreatmonError(Exception):
    """Stops a command; ``str()`` is the whole message. Subclassed where it arises."""

    exit_code: ClassVar[int] = WRONG_USE


class UsageError(ThreatmonError):
    """Refuses something a command cannot do; the message says what to do instead."""
