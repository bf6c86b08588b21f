"""The base of all errors that a command prints without a traceback. The Pulumi program imports it, too."""

from typing import ClassVar

CHECK_FAILED = 1
WRONG_USE = 2


class ThreatmonError(Exception):
    """Says what a person did wrong, or what AWS refused; ``str()`` is the whole message for the user."""

    exit_code: ClassVar[int] = WRONG_USE


class UsageError(ThreatmonError):
    """Refuses what a command cannot do, and says what to do instead."""
