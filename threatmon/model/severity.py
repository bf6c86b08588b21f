"""GuardDuty's severity bands.

https://docs.aws.amazon.com/guardduty/latest/ug/guardduty_findings-severity.html
"""

from typing import Literal, NamedTuple

SeverityName = Literal["low", "medium", "high", "critical"]


class Band(NamedTuple):
    """A severity band: ``detail.severity`` from ``minimum`` up to, but not including, ``below``; None is no bound."""

    name: SeverityName
    minimum: float | None
    below: float | None

    def __contains__(self, severity: object) -> bool:
        """Say whether a finding of this severity (a number) belongs to the band."""
        if not isinstance(severity, int | float) or isinstance(severity, bool):
            return False
        return (self.minimum is None or severity >= self.minimum) and (self.below is None or severity < self.below)


# The outer bands have no bound, so that a severity AWS may use one day does not miss every rule.
BANDS = (Band("low", None, 4), Band("medium", 4, 7), Band("high", 7, 9), Band("critical", 9, None))


def band_of(severity: object) -> Band | None:
    """Return the band a severity belongs to; None if it is no number."""
    return next((band for band in BANDS if severity in band), None)


def lowest(minimum: SeverityName | None) -> float | None:
    """Return the lowest severity at or above the band ``minimum``; None is no bound."""
    return next((band.minimum for band in BANDS if band.name == minimum), None)


def is_below(severity: str, minimum: SeverityName) -> bool:
    """Say whether a severity of the catalogue (``Low`` ... ``Critical``, or ``Variable``) is below ``minimum``."""
    names = [band.name for band in BANDS]
    return severity.lower() in names[: names.index(minimum)]
