"""The subject of an investigation, and its time window."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from threatmon.investigate.finding import Json, at, each, text, time_of

# Findings that go on for weeks would make every query scan weeks of records.
LONGEST = timedelta(hours=24)
_BEFORE_AND_AFTER = timedelta(hours=1)
_REMOTE_SIDES = ("networkConnectionAction", "awsApiCallAction", "kubernetesApiCallAction", "rdsLoginAttemptAction")


@dataclass(frozen=True)
class Subject:
    """An instance, a finding (the ``detail`` of its event), or both."""

    instance_id: str | None
    finding: Json | None = None
    account_id: str | None = None
    region: str | None = None
    remote_addresses: tuple[str, ...] = ()

    @property
    def is_sample(self) -> bool:
        """Whether GuardDuty made the finding up, with its resources."""
        return at(self.finding, "service", "additionalInfo", "sample") is True


def subject_of(finding: Json) -> Subject:
    """Return the subject of a finding, any part of which may be missing."""
    action = at(finding, "service", "action")
    sides = [*(at(action, kind) for kind in _REMOTE_SIDES), *each(at(action, "portProbeAction", "portProbeDetails"))]
    remotes = [text(at(side, "remoteIpDetails", key)) for side in sides for key in ("ipAddressV4", "ipAddressV6")]
    return Subject(
        instance_id=text(at(finding, "resource", "instanceDetails", "instanceId")),
        finding=finding,
        account_id=text(at(finding, "accountId")),
        region=text(at(finding, "region")),
        remote_addresses=tuple(dict.fromkeys(address for address in remotes if address)),
    )


@dataclass(frozen=True)
class Window:
    """The investigated time in UTC; ``cut`` is its length in hours before it was shortened, None if it was not."""

    start: datetime
    end: datetime
    cut: float | None = None

    def __str__(self) -> str:
        """Return ``2026-09-14 08:31 to 10:44 UTC``."""
        end = "%H:%M" if self.start.date() == self.end.date() else "%Y-%m-%d %H:%M"
        return f"{self.start:%Y-%m-%d %H:%M} to {self.end:{end}} UTC"


def window(finding: Json | None, now: datetime, hours: float | None) -> Window:
    """Return the time from ``hours`` before a finding was first seen to as many after it was last seen.

    Without a finding it ends ``now``. The default is one hour, cut to the last 24 in all; without a finding 24.
    """
    times = [time_of(at(finding, *path)) for path in (("service", "eventFirstSeen"), ("service", "eventLastSeen"))]
    times += [time_of(at(finding, key)) for key in ("createdAt", "updatedAt")] if not any(times) else []
    seen = [time for time in times if time]
    if not seen:
        return Window(now - (LONGEST if hours is None else timedelta(hours=hours)), now)
    margin = _BEFORE_AND_AFTER if hours is None else timedelta(hours=hours)
    start, end = min(seen) - margin, max(seen) + margin
    end = min(end, now) if now > max(seen) else end  # a clock that is behind must not hide the finding
    if hours is None and end - start > LONGEST:
        return Window(end - LONGEST, end, cut=(end - start).total_seconds() / 3600)
    return Window(start, end)
