"""What a stack costs in a month, and what other settings would cost: arithmetic on a dated price table.

GuardDuty's own bill is not part of it: it follows what GuardDuty analyses, which nothing here knows
(https://aws.amazon.com/guardduty/pricing/).
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from math import inf
from typing import Any, NamedTuple

from threatmon.model.settings import FlowLogSettings

# -- the price table --------------------------------------------------------------------------------------------------

DATED = "2026-09"
REGION = "us-east-1"
SOURCE = "https://aws.amazon.com/cloudwatch/pricing/"
FURTHER_SOURCES = (
    "https://aws.amazon.com/kms/pricing/",
    "https://aws.amazon.com/sns/pricing/",
    "https://aws.amazon.com/sqs/pricing/",
    "https://aws.amazon.com/eventbridge/pricing/",
)
CAVEAT = "taken from secondary sources, not from the price list itself; check them there"

# Ascending: up to how much (in all), and USD for each unit of that part.
Tiers = Sequence[tuple[float, float]]

_TB = 1024  # GB; CloudWatch counts in powers of two
DELIVERY: Mapping[str, Tiers] = {  # vended logs, USD for each GB of a month, by log group class
    "STANDARD": ((10 * _TB, 0.50), (30 * _TB, 0.25), (50 * _TB, 0.10), (inf, 0.05)),
    "INFREQUENT_ACCESS": ((10 * _TB, 0.25), (30 * _TB, 0.15), (50 * _TB, 0.075), (inf, 0.05)),
}
STORAGE = 0.03  # a GB and month, as stored, in either class
SCAN = 0.005  # a GB that Logs Insights reads
KEY = 1.00  # a customer-managed key and month
DASHBOARD, FREE_DASHBOARDS = 3.00, 3
ALARM_METRIC, FREE_ALARM_METRICS = 0.10, 10
MAIL, FREE_MAILS = 2.00 / 100_000, 1_000
HTTPS, FREE_HTTPS = 0.60 / 1_000_000, 100_000

# -- assumptions ------------------------------------------------------------------------------------------------------

DAYS = 730 / 24  # of a month, as AWS counts its hours
COMPRESSION = 0.15  # of what is delivered is stored: the assumption of https://calculator.aws/
ALERTS = 1_000  # in a month, each to every subscriber
SCANNED_DAYS = 20  # days' records that queries and the dashboard's widgets read in a month

ASSUMPTIONS = (
    f"a month has {DAYS:.1f} days",
    f"records are stored at {COMPRESSION:.0%} of their size, and the retention time has been reached",
    f"{ALERTS:,} alerts a month, each to every subscriber",
    f"queries and the dashboard read {SCANNED_DAYS} days' records a month",
    "the account has used up its free dashboards, alarms and notifications",
)


NOT_ESTIMATED = (
    "GuardDuty itself, billed by what it analyses: https://aws.amazon.com/guardduty/pricing/",
    "SMS, whose price depends on the country: https://aws.amazon.com/sns/sms-pricing/",
    "requests to KMS, and data transfer: cents",
)


class Volume(NamedTuple):
    """How a value of a setting changes the volume of the flow logs, relative to the setting's other values."""

    share: float
    assumption: str


_VOLUMES: Mapping[str, Mapping[Any, Volume]] = {
    "format": {
        "default": Volume(1, "records half as long as extended ones"),
        "extended": Volume(2, "records twice as long as default ones"),
    },
    "aggregation_seconds": {
        60: Volume(1, "one record a minute"),
        600: Volume(0.5, "half as many records; a tenth at best, and no fewer of Nitro instances"),
    },
    "traffic_type": {
        "ALL": Volume(1, "every record"),
        "ACCEPT": Volume(0.9, "nine of ten records are of accepted traffic"),
        "REJECT": Volume(0.1, "one of ten records is of rejected traffic"),
    },
}

# The settings that change the bill most, and the thriftier value of each.
KNOBS: Mapping[str, Any] = {
    "format": "default",
    "aggregation_seconds": 600,
    "log_group_class": "INFREQUENT_ACCESS",
    "retention_days": 90,
    "traffic_type": "REJECT",
}

# -- the estimate -----------------------------------------------------------------------------------------------------


class Resources(NamedTuple):
    """How many a stack has of what is billed by the piece."""

    keys: int
    dashboards: int
    alarm_metrics: int
    subscriptions: Mapping[str, int]
    """by SNS protocol"""


class Measurement(NamedTuple):
    """The volume of the flow logs, and over how many days it was measured."""

    gb_per_day: float
    days: float


class Item(NamedTuple):
    """One line of the bill, in USD a month; ``free`` is what an unused free tier of the account would take off."""

    what: str
    basis: str
    usd: float
    free: float = 0


class Change(NamedTuple):
    """What the bill would be with another value of one setting; ``usd`` is the whole bill."""

    setting: str
    value: Any
    assumption: str
    usd: float


def resources_of(registrations: Iterable[tuple[str, Mapping[str, Any]]]) -> Resources:
    """Counts the resources a program registers, given the type and inputs of each."""
    inputs_of: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for type_, inputs in registrations:
        inputs_of[type_].append(inputs)
    return Resources(
        keys=len(inputs_of["aws:kms/key:Key"]),
        dashboards=len(inputs_of["aws:cloudwatch/dashboard:Dashboard"]),
        alarm_metrics=sum(map(_metrics, inputs_of["aws:cloudwatch/metricAlarm:MetricAlarm"])),
        subscriptions=Counter(it["protocol"] for it in inputs_of["aws:sns/topicSubscription:TopicSubscription"]),
    )


def _metrics(alarm: Mapping[str, Any]) -> int:
    """By how many metrics an alarm is billed: one on an expression, by those in it."""
    queries = alarm.get("metricQueries")
    return sum("metric" in query for query in queries) if queries else 1


def measurement(hourly: Mapping[float, float], now: float) -> Measurement | None:
    """The volume, given the bytes of each hour by its start (seconds since 1970); None if nothing was delivered.

    What came before the first record is not counted as time without traffic: the log group may be new.
    """
    delivered = {start: size for start, size in hourly.items() if size}
    if not delivered:
        return None
    days = (now - min(delivered)) / 86400
    return Measurement(sum(delivered.values()) / 2**30 / days, days)


def tiered(quantity: float, tiers: Tiers) -> float:
    """The price of a quantity whose parts are priced differently."""
    lower_ends = [0.0, *(upper for upper, _ in tiers)]
    return sum(
        max(0.0, min(quantity, upper) - lower) * price for lower, (upper, price) in zip(lower_ends, tiers, strict=False)
    )


def estimate(gb_per_day: float, flow_logs: FlowLogSettings, resources: Resources) -> list[Item]:
    """The bill of a month, for so many GB (2^30 bytes) of flow logs a day."""
    delivered = gb_per_day * DAYS
    stored = gb_per_day * flow_logs.retention_days * COMPRESSION
    scanned = gb_per_day * SCANNED_DAYS
    mails = ALERTS * sum(resources.subscriptions.get(protocol, 0) for protocol in ("email", "email-json"))
    posts = ALERTS * resources.subscriptions.get("https", 0)
    return [
        Item(
            "flow-log delivery",
            f"{delivered:,.1f} GB, class {flow_logs.log_group_class}",
            tiered(delivered, DELIVERY[flow_logs.log_group_class]),
        ),
        Item("flow-log storage", f"{stored:,.1f} GB after {flow_logs.retention_days} days", stored * STORAGE),
        Item("Logs Insights", f"{scanned:,.1f} GB read", scanned * SCAN),
        Item("KMS keys", f"{resources.keys}; the first two yearly rotations add $1 each", resources.keys * KEY),
        _by_the_piece("dashboard", resources.dashboards, DASHBOARD, FREE_DASHBOARDS),
        _by_the_piece("alarms, by metric", resources.alarm_metrics, ALARM_METRIC, FREE_ALARM_METRICS),
        _by_the_piece("SNS, mails", mails, MAIL, FREE_MAILS),
        _by_the_piece("SNS, https", posts, HTTPS, FREE_HTTPS),
        Item("EventBridge", "events of AWS services are free", 0),
        Item("SQS", "only dead letters; a million requests a month are free", 0),
    ]


def _by_the_piece(what: str, count: int, price: float, free: int) -> Item:
    return Item(what, f"{count:,}; the account's first {free:,} are free", count * price, min(count, free) * price)


def total(items: Iterable[Item]) -> float:
    """The whole bill."""
    return sum(item.usd for item in items)


def changes(gb_per_day: float, flow_logs: FlowLogSettings, resources: Resources) -> list[Change]:
    """What the bill would be with each of :data:`KNOBS` that is not turned yet."""
    found: list[Change] = []
    for setting, value in KNOBS.items():
        current = getattr(flow_logs, setting)
        if current != value:
            factor, assumption = _effect(setting, current, value)
            changed = flow_logs.model_copy(update={setting: value})
            usd = total(estimate(gb_per_day * factor, changed, resources))
            found.append(Change(setting, value, assumption, usd))
    return found


def _effect(setting: str, current: Any, value: Any) -> tuple[float, str]:
    """By how much the volume changes, and what that rests on."""
    if setting not in _VOLUMES:
        return 1, "nothing; the volume stays the same"
    volumes = _VOLUMES[setting]
    return volumes[value].share / volumes[current].share, volumes[value].assumption
