from itertools import pairwise
from math import inf, isclose
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from threatmon.model.settings import FlowLogSettings
from threatmon.stacks import monthly_cost
from threatmon.stacks.monthly_cost import (
    DAYS,
    DELIVERY,
    KNOBS,
    Measurement,
    Resources,
    changes,
    estimate,
    measurement,
    tiered,
    total,
)

NOTHING = Resources(keys=0, dashboards=0, alarm_metrics=0, subscriptions={})
DEFAULTS = FlowLogSettings()
THRIFTY = DEFAULTS.model_copy(update=dict(KNOBS))
TB = 1024
VOLUMES = st.floats(0, 10_000)


def item(what: str, gb_per_day: float = 0, flow_logs: FlowLogSettings = DEFAULTS, **counts: Any) -> monthly_cost.Item:
    return next(it for it in estimate(gb_per_day, flow_logs, NOTHING._replace(**counts)) if it.what == what)


@pytest.mark.parametrize(
    ("gb", "standard", "infrequent"),
    [
        (0, 0, 0),
        (1, 0.50, 0.25),
        (10 * TB, 5_120, 2_560),
        (10 * TB + 1, 5_120.25, 2_560.15),
        (30 * TB, 10_240, 5_632),
        (30 * TB + 1, 10_240.10, 5_632.075),
        (50 * TB, 12_288, 7_168),
        (50 * TB + 1, 12_288.05, 7_168.05),
        (100 * TB, 14_848, 9_728),
    ],
)
def test_each_part_of_a_volume_is_billed_at_the_price_of_its_tier(
    gb: float, standard: float, infrequent: float
) -> None:
    assert tiered(gb, DELIVERY["STANDARD"]) == pytest.approx(standard)
    assert tiered(gb, DELIVERY["INFREQUENT_ACCESS"]) == pytest.approx(infrequent)


@pytest.mark.parametrize("tiers", DELIVERY.values(), ids=DELIVERY)
def test_tiers_ascend_without_end_and_the_price_falls(tiers: monthly_cost.Tiers) -> None:
    assert all(lower[0] < upper[0] and lower[1] > upper[1] for lower, upper in pairwise(tiers))
    assert tiers[-1][0] == inf


@given(st.sampled_from(list(DELIVERY)), st.integers(0, 200_000), st.integers(0, 200_000))
def test_more_never_costs_less_and_never_more_than_apart(group_class: str, one: int, other: int) -> None:
    tiers = DELIVERY[group_class]
    together = tiered(one + other, tiers)
    apart = tiered(one, tiers) + tiered(other, tiers)
    assert max(tiered(one, tiers), tiered(other, tiers)) <= together * (1 + 1e-9)
    assert together <= apart * (1 + 1e-9)


def test_a_stack_of_five_gigabytes_a_day_is_billed_item_by_item() -> None:
    bill = estimate(5, DEFAULTS, Resources(2, 1, 18, {"email": 2, "email-json": 1, "https": 1, "sqs": 3, "sms": 1}))
    assert {it.what: round(it.usd, 4) for it in bill} == {
        "flow-log delivery": 76.0417,  # 5 x 730/24 x 0.50
        "flow-log storage": 8.2125,  # 5 x 365 x 15 % x 0.03
        "Logs Insights": 0.5,  # 5 x 20 x 0.005
        "KMS keys": 2,
        "dashboard": 3,
        "alarms, by metric": 1.8,
        "SNS, mails": 0.06,  # 3,000 x 2.00 / 100,000
        "SNS, https": 0.0006,
        "EventBridge": 0,
        "SQS": 0,
    }
    assert {it.what: round(it.free, 4) for it in bill if it.free} == {
        "dashboard": 3,
        "alarms, by metric": 1,
        "SNS, mails": 0.02,
        "SNS, https": 0.0006,
    }
    assert total(bill) == pytest.approx(91.6148)


def test_nothing_costs_nothing() -> None:
    assert total(estimate(0, DEFAULTS, NOTHING)) == 0


@pytest.mark.parametrize(
    ("what", "field", "allowance", "price"),
    [("dashboard", "dashboards", 3, 3.0), ("alarms, by metric", "alarm_metrics", 10, 0.1)],
)
def test_a_free_tier_takes_off_what_it_holds_and_no_more(what: str, field: str, allowance: int, price: float) -> None:
    for count in (0, allowance - 1, allowance, allowance + 1):
        counts: Any = {field: count}
        it = item(what, **counts)
        assert it.usd == pytest.approx(count * price)
        assert it.free == pytest.approx(min(count, allowance) * price)


def test_a_month_beyond_ten_terabytes_is_delivered_at_the_lower_price() -> None:
    at_the_edge = 10 * TB / DAYS
    assert item("flow-log delivery", at_the_edge).usd == pytest.approx(5_120)
    assert item("flow-log delivery", 2 * at_the_edge).usd == pytest.approx(5_120 + 2_560)


def test_what_is_stored_grows_with_the_retention() -> None:
    ninety = DEFAULTS.model_copy(update={"retention_days": 90})
    assert item("flow-log storage", 10, ninety).usd == pytest.approx(10 * 90 * 0.15 * 0.03)
    assert item("flow-log storage", 10, ninety).basis == "135.0 GB after 90 days"


# -- other settings ---------------------------------------------------------------------------------------------------


def test_each_knob_says_what_the_bill_would_be() -> None:
    bill = {(it.setting, it.value): round(it.usd, 2) for it in changes(5, DEFAULTS, NOTHING)}
    assert bill == {
        ("format", "default"): 42.38,
        ("aggregation_seconds", 600): 42.38,
        ("log_group_class", "INFREQUENT_ACCESS"): 46.73,
        ("retention_days", 90): 78.57,
        ("traffic_type", "REJECT"): 8.48,
    }
    assert round(total(estimate(5, DEFAULTS, NOTHING)), 2) == 84.75


def test_a_knob_that_is_turned_already_is_not_offered() -> None:
    assert changes(5, THRIFTY, NOTHING) == []
    rejects = DEFAULTS.model_copy(update={"traffic_type": "REJECT"})
    assert "traffic_type" not in [it.setting for it in changes(5, rejects, NOTHING)]


def test_the_share_of_rejected_traffic_is_taken_of_what_is_recorded_now() -> None:
    accepted = DEFAULTS.model_copy(update={"traffic_type": "ACCEPT"})
    [change] = [it for it in changes(9, accepted, NOTHING) if it.setting == "traffic_type"]
    assert change.usd == pytest.approx(total(estimate(1, DEFAULTS, NOTHING)))


def test_keeping_records_for_longer_costs_more() -> None:
    month = DEFAULTS.model_copy(update={"retention_days": 30})
    [change] = [it for it in changes(5, month, NOTHING) if it.setting == "retention_days"]
    assert change.usd > total(estimate(5, month, NOTHING))


@pytest.mark.parametrize("setting", KNOBS)
def test_every_knob_is_a_setting_and_names_its_assumption(setting: str) -> None:
    FlowLogSettings.model_validate({FlowLogSettings.model_fields[setting].alias: KNOBS[setting]})
    [change] = [it for it in changes(1, DEFAULTS, NOTHING) if it.setting == setting]
    assert change.assumption


@given(VOLUMES)
def test_no_thriftier_setting_costs_more(gb_per_day: float) -> None:
    bill = total(estimate(gb_per_day, DEFAULTS, NOTHING))
    assert all(it.usd <= bill for it in changes(gb_per_day, DEFAULTS, NOTHING))


def test_what_is_billed_by_the_piece_does_not_depend_on_the_volume() -> None:
    counts = Resources(1, 1, 20, {"email": 1})
    fixed = total(estimate(0, DEFAULTS, counts))
    assert isclose(total(estimate(7, DEFAULTS, counts)), fixed + total(estimate(7, DEFAULTS, NOTHING)))


# -- where the numbers come from --------------------------------------------------------------------------------------


def test_resources_are_counted_as_they_are_billed() -> None:
    expression = {"id": "total", "expression": "SUM(METRICS())"}
    metrics = [{"id": f"m{number}", "metric": {"metricName": "x"}} for number in range(3)]
    registrations: list[tuple[str, dict[str, Any]]] = [
        ("aws:kms/key:Key", {}),
        ("aws:kms/alias:Alias", {}),
        ("aws:cloudwatch/dashboard:Dashboard", {}),
        ("aws:cloudwatch/metricAlarm:MetricAlarm", {"metricQueries": [*metrics, expression]}),
        ("aws:cloudwatch/metricAlarm:MetricAlarm", {"metricName": "x"}),
        ("aws:sns/topicSubscription:TopicSubscription", {"protocol": "email"}),
        ("aws:sns/topicSubscription:TopicSubscription", {"protocol": "https"}),
        ("aws:sns/topicSubscription:TopicSubscription", {"protocol": "email"}),
    ]
    assert monthly_cost.resources_of(registrations) == Resources(1, 1, 4, {"email": 2, "https": 1})
    assert monthly_cost.resources_of([]) == NOTHING


HOUR, DAY, GB = 3600.0, 86400.0, 2**30


def test_a_week_of_records_is_averaged() -> None:
    hourly = {hour * HOUR: GB / 24 for hour in range(7 * 24)}
    measured = measurement(hourly, 7 * DAY)
    assert measured
    assert measured.gb_per_day == pytest.approx(1)
    assert measured.days == 7


def test_what_was_before_the_first_record_does_not_count_as_quiet() -> None:
    hourly = {0.0: 0.0, 5 * DAY: GB, 6 * DAY: GB}
    assert measurement(hourly, 7 * DAY) == Measurement(1, 2)


def test_quiet_hours_between_records_do_count() -> None:
    assert measurement({0.0: GB, 3 * DAY: GB}, 4 * DAY) == Measurement(0.5, 4)


@pytest.mark.parametrize("hourly", [{}, {0.0: 0.0}])
def test_without_records_there_is_nothing_to_measure(hourly: dict[float, float]) -> None:
    assert measurement(hourly, DAY) is None


def test_the_price_table_is_dated_and_names_its_source() -> None:
    assert (monthly_cost.DATED, monthly_cost.REGION) == ("2026-09", "us-east-1")
    assert monthly_cost.SOURCE == "https://aws.amazon.com/cloudwatch/pricing/"
    assert "secondary sources" in monthly_cost.CAVEAT
