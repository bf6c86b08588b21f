"""Re-exports :mod:`threatmon.errors`."""

from threatmon.errors import CHECK_FAILED, WRONG_USE, ThreatmonError, UsageError

__all__ = ["CHECK_FAILED", "USER_ERRORS", "WRONG_USE", "UsageError"]

USER_ERRORS = ThreatmonError
