"""What a stack costs in a month, and what other settings would change: arithmetic on the price table."""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from pydantic.alias_generators import to_camel

from threatmon.aws import prices
from threatmon.aws.reader import Aws
from threatmon.errors import UsageError
from threatmon.evaluation.explain import rules_of
from threatmon.model import alarms, names
from threatmon.model.location import Location
from threatmon.model.settings import Settings
from threatmon.model.state_machine import Definition, definition
from threatmon.reports.model import Report, Section, Table
from threatmon.stacks.files import StackFile, settings_of

DAYS = 730 / 24  # of a month, as AWS counts its hours
COMPRESSION = 0.15  # stored size of a record: the assumption of https://calculator.aws/
ALERTS = 1_000  # a month, each to every subscriber
SCANNED_DAYS = 20  # days' records that queries and the dashboard's widgets read in a month
MEASURED_DAYS = 7
_METRIC = {"Namespace": "AWS/Logs", "MetricName": "IncomingBytes", "Period": 3600, "Statistics": ["Sum"]}
_NOTES = [
    f"Assumed: a month has {DAYS:.1f} days.",
    f"Assumed: records are stored at {COMPRESSION:.0%} of their size, and the retention time has been reached.",
    f"Assumed: {ALERTS:,} alerts a month, each to every subscriber.",
    f"Assumed: queries and the dashboard read {SCANNED_DAYS} days' records a month.",
    "Assumed: the account has used up its free dashboards, alarms and notifications.",
    "Not estimated: GuardDuty itself, billed by what it analyses: https://aws.amazon.com/guardduty/pricing/",
    "Not estimated: SMS, whose price depends on the country: https://aws.amazon.com/sns/sms-pricing/",
    "Not estimated: requests to KMS, data transfer, and what fails: cents",
]
_SAME = "nothing; the volume stays the same"
# The thriftier value of a setting, what is assumed, and how many times as much is recorded with each other value.
THRIFTIER: Mapping[str, tuple[Any, str, Mapping[Any, float]]] = {
    "format": ("default", "records half as long as extended ones", {"extended": 2}),
    "aggregation_seconds": (600, "half as many records; a tenth at best, no fewer of Nitro instances", {60: 2}),
    "log_group_class": ("INFREQUENT_ACCESS", _SAME, {}),
    "retention_days": (90, _SAME, {}),
    "traffic_type": ("REJECT", "one of ten records is of rejected traffic", {"ALL": 10, "ACCEPT": 9}),
}


class CostItem(NamedTuple):
    """One line of the bill, in USD a month; ``free`` is what an unused free tier of the account would take off."""

    what: str
    basis: str
    usd: float
    free: float = 0


class Saving(NamedTuple):
    """Another value of a setting (``flowLogs.key: value``), the total with it, and how much that differs."""

    setting: str
    assumption: str
    usd: float
    change: float


def counts(settings: Settings) -> Counter[str]:
    """Count what the program makes of the settings: ``keys``, ``metrics`` of alarms, subscriptions by SNS protocol."""
    subscribers, health = settings.alerts.subscribers, settings.health.enabled
    topics = {"text", *(subscriber.format for subscriber in subscribers), *settings.alerts.chats}
    watched = alarms.of_stack([rule.key for rule in rules_of(settings)], topics)
    found = Counter[str](subscriber.protocol for subscriber in subscribers)
    found["email"] += len(settings.alert_emails) + len(settings.health_emails)
    found["keys"] = (settings.alerts.kms_key_arn is None) + health
    found["metrics"] = sum(len(alarm.metrics) for _, alarm, _ in watched) if health else 0
    return found


def transitions(settings: Settings) -> int:
    """Count the states that the state machine enters for a finding which every channel gets, as nothing fails."""
    anywhere, topic_arns = Location("", "", "aws", ""), dict.fromkeys(settings.alerts.channels, "")
    return _entered(definition(anywhere, settings.alerts, topic_arns=topic_arns, queue_url=""))


def _entered(machine: Definition) -> int:
    """Return the most states that are entered from the start on if no error is caught, in all parallel branches."""

    def from_state(name: str) -> int:
        state = machine["States"][name]
        following = [state.get("Next"), state.get("Default"), *(choice["Next"] for choice in state.get("Choices", ()))]
        inside = sum(_entered(branch) for branch in state.get("Branches", ()))
        return 1 + inside + max((from_state(next_) for next_ in following if next_), default=0)

    return from_state(machine["StartAt"])


def measure(aws: Aws, stack: str) -> tuple[float, float]:
    """Return the GB (2^30 bytes) a day that the log group received in the last week, and since how many days.

    Time before the first record is not time without traffic: the log group may be new. Raises :class:`UsageError` if
    there is no record.
    """
    group, now = names.log_group(stack), datetime.now(UTC)
    of_group = {"Dimensions": [{"Name": "LogGroupName", "Value": group}]}
    week = {"StartTime": now - timedelta(days=MEASURED_DAYS), "EndTime": now}
    hours = aws.read("cloudwatch", "get_metric_statistics", **_METRIC, **of_group, **week)["Datapoints"]
    received = {hour["Timestamp"]: hour["Sum"] for hour in hours if hour["Sum"]}
    if not received:
        raise UsageError(
            f"{group} in {aws.region} has received nothing for {MEASURED_DAYS} days, so there is nothing to measure: "
            "give the volume, --gb-per-day 5, or find out why with `threatmon verify`."
        )
    days = (now - min(received)) / timedelta(days=1)
    return sum(received.values()) / 2**30 / days, days


def estimate(gb_per_day: float, settings: Settings) -> list[CostItem]:
    """Return the bill of a month; its last line is the total."""
    logs, count = settings.flow_logs, counts(settings)
    delivered, scanned, keys = gb_per_day * DAYS, gb_per_day * SCANNED_DAYS, count["keys"]
    stored = gb_per_day * logs.retention_days * COMPRESSION
    delivery = prices.tiered(delivered, prices.LOGS_DELIVERY[logs.log_group_class])
    items = [
        CostItem("flow-log delivery", f"{delivered:,.1f} GB, class {logs.log_group_class}", delivery),
        CostItem(
            "flow-log storage", f"{stored:,.1f} GB after {logs.retention_days} days", stored * prices.LOGS_STORAGE
        ),
        CostItem("Logs Insights", f"{scanned:,.1f} GB read", scanned * prices.LOGS_INSIGHTS_SCAN),
        CostItem("KMS keys", f"{keys}; the first two yearly rotations add $1 each", keys * prices.KMS_KEY),
        _pieces("dashboard", 1, *prices.DASHBOARD),
        _pieces("alarms, by metric", count["metrics"], *prices.ALARM_METRIC),
        _pieces("Step Functions", ALERTS * transitions(settings), *prices.STATE_TRANSITION),
        _pieces("SNS, mails", ALERTS * (count["email"] + count["email-json"]), *prices.MAIL),
        _pieces("SNS, https", ALERTS * count["https"], *prices.HTTPS),
        CostItem("EventBridge", "events of AWS services are free", 0),
        CostItem("SQS", "only dead letters; a million requests a month are free", 0),
    ]
    usd, free = sum(item.usd for item in items), sum(item.free for item in items)
    return [*items, CostItem("total", f"less {free:,.2f} if the account's free tiers are unused", usd, free)]


def _pieces(what: str, count: int, price: float, free: int) -> CostItem:
    return CostItem(what, f"{count:,}; the account's first {free:,} are free", count * price, min(count, free) * price)


def savings(gb_per_day: float, settings: Settings) -> list[Saving]:
    """Return each saving that is not made yet."""
    logs, total, found = settings.flow_logs, estimate(gb_per_day, settings)[-1].usd, list[Saving]()
    for key, (value, assumption, volumes) in THRIFTIER.items():
        if (current := getattr(logs, key)) != value:
            changed = settings.model_copy(update={"flow_logs": logs.model_copy(update={key: value})})
            usd = estimate(gb_per_day / volumes.get(current, 1), changed)[-1].usd
            found.append(Saving(f"flowLogs.{to_camel(key)}: {value}", assumption, usd, usd - total))
    return found


def report(stack: StackFile, gb_per_day: float, days: float | None = None) -> Report:
    """Return the bill of a stack, and each saving; ``days`` is the time over which the volume was measured."""
    settings = settings_of(stack)
    bill, others = estimate(gb_per_day, settings), savings(gb_per_day, settings)
    notes = [f"Prices: {prices.REGION}, {prices.DATED}, {prices.SOURCE} ({prices.CAVEAT})."]
    if stack.region != prices.REGION:
        notes.append(f"This stack is in {stack.region}, where prices differ; by how much is not known here.")
    if days and days < MEASURED_DAYS - 0.1:
        notes.append(f"Records go back only {days:.1f} days, and the rest is extrapolated from them.")
    notes += _NOTES
    source = f"measured over {days:.1f} days" if days else "as given"
    rows = [(item.what, item.basis, f"{item.usd:,.2f}") for item in bill]
    tables = [Table("", ("What", "How much", "USD a month"), rows)]
    if others:
        rows = [(other.setting, other.assumption, f"{other.usd:,.2f}", f"{other.change:+,.2f}") for other in others]
        tables.append(Table("", ("With", "Assuming", "USD a month", "Change"), rows))
    data = {
        "stack": stack.name,
        "region": stack.region,
        "gbPerDay": gb_per_day,
        "measuredDays": days,
        "items": [item._asdict() for item in bill[:-1]],
        "totalUsd": bill[-1].usd,
        "savings": [other._asdict() for other in others],
        "notes": notes,
    }
    title = f"Stack {stack.name}, {gb_per_day:,.2f} GB of flow logs a day, {source}"
    return Report(title, [Section("", [*tables, *notes])], data)
