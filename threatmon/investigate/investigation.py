"""What an investigation is about, the time it looks at, and what it found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from threatmon.investigate import exposure as exposures
from threatmon.investigate.exposure import Exposure
from threatmon.investigate.traffic import Endpoint

Json = Mapping[str, Any]

# Findings that go on for weeks would make every query scan weeks of records.
LONGEST = timedelta(hours=24)
_BEFORE_AND_AFTER = timedelta(hours=1)


def at(node: Any, *path: str) -> Any:
    """What lies at a path of names in a finding; None where it leads nowhere."""
    for name in path:
        node = node.get(name) if isinstance(node, Mapping) else None
    return node


def each(node: Any) -> list[Any]:
    """The entries of a list of a finding; none where there is no list."""
    return node if isinstance(node, list) else []


# -- the subject ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Subject:
    """What is investigated. ``finding`` is the ``detail`` of its event; without one, an instance is."""

    instance_id: str | None
    finding: Json | None = None
    account_id: str | None = None
    region: str | None = None
    remote_addresses: tuple[str, ...] = ()

    @property
    def is_sample(self) -> bool:
        """Whether GuardDuty made the finding up, with its resources: such an instance does not exist."""
        return at(self.finding, "service", "additionalInfo", "sample") is True


def subject(finding: Json) -> Subject:
    """The subject of a finding, whatever it lacks."""
    action = at(finding, "service", "action")
    sides = [
        *(at(action, kind) for kind in ("networkConnectionAction", "awsApiCallAction", "kubernetesApiCallAction")),
        at(action, "rdsLoginAttemptAction"),
        *each(at(action, "portProbeAction", "portProbeDetails")),
    ]
    remotes = [at(side, "remoteIpDetails", key) for side in sides for key in ("ipAddressV4", "ipAddressV6")]
    return Subject(
        instance_id=_text(at(finding, "resource", "instanceDetails", "instanceId")),
        finding=finding,
        account_id=_text(at(finding, "accountId")),
        region=_text(at(finding, "region")),
        remote_addresses=tuple(dict.fromkeys(it for it in remotes if isinstance(it, str) and it)),
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def recorded_instance(finding: Json | None) -> dict[str, Any] | None:
    """The instance as the finding recorded it, in the form of ``describe_instances``: for when it is gone."""
    details = at(finding, "resource", "instanceDetails")
    if not _text(at(details, "instanceId")):
        return None
    return {
        "InstanceId": details["instanceId"],
        "State": {"Name": "gone"},
        "Tags": [
            {"Key": tag["key"], "Value": str(tag.get("value", ""))} for tag in each(details.get("tags")) if "key" in tag
        ],
        "IamInstanceProfile": {"Arn": _text(at(details, "iamInstanceProfile", "arn")) or ""},
        "NetworkInterfaces": [
            {
                "NetworkInterfaceId": interface["networkInterfaceId"],
                "SubnetId": interface.get("subnetId") or "",
                "VpcId": interface.get("vpcId") or "",
                "PrivateIpAddress": interface.get("privateIpAddress"),
                "PrivateIpAddresses": [
                    {"PrivateIpAddress": at(it, "privateIpAddress")} for it in each(interface.get("privateIpAddresses"))
                ],
                "Ipv6Addresses": [{"Ipv6Address": it} for it in each(interface.get("ipv6Addresses"))],
                "Groups": [
                    {"GroupId": it} for group in each(interface.get("securityGroups")) if (it := at(group, "groupId"))
                ],
                "Association": {"PublicIp": _text(interface.get("publicIp"))},
            }
            for interface in each(details.get("networkInterfaces"))
            if _text(at(interface, "networkInterfaceId"))
        ],
    }


def endpoint(instance_id: str | None, instance: Json | None) -> Endpoint:
    """Whose records the flow logs are asked for."""
    if not instance:
        return Endpoint(instance_id)
    interfaces = tuple(it["NetworkInterfaceId"] for it in instance.get("NetworkInterfaces") or [])
    return Endpoint(instance_id, interfaces, exposures.own_addresses(instance))


# -- the time ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Window:
    """The time that is looked at, in UTC. ``cut`` is what a longer time was reduced from, in hours."""

    start: datetime
    end: datetime
    cut: float | None = None

    def __str__(self) -> str:
        """``2026-09-14 08:31 to 10:44 UTC``"""
        end = "%H:%M" if self.start.date() == self.end.date() else "%Y-%m-%d %H:%M"
        return f"{self.start:%Y-%m-%d %H:%M} to {self.end:{end}} UTC"


def window(finding: Json | None, now: datetime, hours: float | None) -> Window:
    """From ``hours`` before a finding was first seen to as many after it was last seen; without one, up to ``now``.

    Without ``hours``, one hour (24 without a finding), and the last 24 hours of all that.
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


def time_of(value: Any) -> datetime | None:
    """A time of a finding, in UTC; None where it is none."""
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    try:
        time = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


# -- what was found ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Traffic:
    """The flow logs' answers: entries by question (a key of ``traffic.READERS``), and what asking took."""

    window: Window
    entries: Mapping[str, list[Any]] = field(default_factory=dict[str, list[Any]])
    failures: Mapping[str, str] = field(default_factory=dict[str, str])
    """why a question has no answer"""
    records: int = 0
    bytes_scanned: int = 0
    seconds: float = 0.0

    def of(self, question: str) -> list[Any]:
        """The entries of one question; none where it has no answer."""
        return self.entries.get(question, [])


@dataclass(frozen=True)
class Found:
    """Everything an investigation found. A part that is None has its reason in ``failures``, by the part's name."""

    subject: Subject
    exposure: Exposure | None = None
    role_name: str | None = None
    traffic: Traffic | None = None
    others: Sequence[Json] | None = None
    """``detail`` of the other findings on the instance, the latest first"""
    notes: Sequence[str] = ()
    failures: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def anything(self) -> bool:
        """Whether any part was found out; of a bare instance that nothing knows, none is."""
        entries = self.traffic.entries if self.traffic else {}
        if self.subject.finding is None:
            return self.exposure is not None or any(entries.values()) or bool(self.others)
        asked = self.subject.instance_id or entries or self.failures or (self.traffic and self.traffic.failures)
        return not asked or self.exposure is not None or bool(entries) or self.others is not None
