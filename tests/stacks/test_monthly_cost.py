from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from examples import EMAIL, KEY_ARN, SLACK, SUBNET, TEAMS
from hypothesis import given
from hypothesis import strategies as st
from recordings.configs import CONFIGS
from recordings.reading import recorded
from scripted_account import ScriptedAccount

from threatmon.errors import UsageError
from threatmon.model.settings import FlowLogSettings, Settings, parse
from threatmon.stacks.monthly_cost import DAYS, THRIFTIER, CostItem, counts, estimate, measure, savings, transitions

VOLUMES = st.floats(0, 10_000)
GROUP = "/threat-monitor/dev/flow-logs"
GB = 2**30


def settings(flow_logs: Mapping[str, Any] | None = None, **more: Any) -> Settings:
    return parse({"subnetIds": [SUBNET], "alertEmails": [EMAIL], "flowLogs": flow_logs or {}, **more})[0]


def item(what: str, gb_per_day: float, wanted: Settings) -> CostItem:
    return next(item for item in estimate(gb_per_day, wanted) if item.what == what)


def total(gb_per_day: float, **flow_logs: Any) -> float:
    return estimate(gb_per_day, settings(flow_logs))[-1].usd


def totals(gb_per_day: float, **flow_logs: Any) -> dict[str, float]:
    return {saving.setting: saving.usd for saving in savings(gb_per_day, settings(flow_logs))}


# -- what is counted --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CONFIGS)
def test_what_is_counted_is_what_the_program_was_recorded_to_make(name: str) -> None:
    subscriptions = registered(name, "aws:sns/topicSubscription:TopicSubscription")
    alarms = registered(name, "aws:cloudwatch/metricAlarm:MetricAlarm")
    made = Counter(subscription["inputs.protocol"] for subscription in subscriptions)
    made["keys"] = len(registered(name, "aws:kms/key:Key"))
    made["metrics"] = sum("metric" in query for alarm in alarms for query in alarm["inputs.metricQueries"])
    assert counts(parse(CONFIGS[name].config)[0]) == made
    assert len(registered(name, "aws:cloudwatch/dashboard:Dashboard")) == 1


def registered(name: str, type_: str) -> list[Mapping[str, Any]]:
    return [properties for urn, properties in recorded(name).items() if properties and f"${type_}::" in urn]


# -- the bill ---------------------------------------------------------------------------------------------------------


def test_five_gigabytes_a_day_are_billed_item_by_item() -> None:
    subscribers = [
        {"protocol": "email-json", "endpoint": "json@example.com"},
        {"protocol": "https", "endpoint": "https://hooks.example.com/T0KEN"},
        {"protocol": "sms", "endpoint": "+12025550123"},
    ]
    bill = estimate(5, settings(health={"enabled": True}, alerts={"subscribers": subscribers}))
    assert {item.what: (round(item.usd, 4), round(item.free, 4)) for item in bill} == {
        "flow-log delivery": (76.0417, 0),  # 5 x 730/24 x 0.50
        "flow-log storage": (8.2125, 0),  # 5 x 365 x 15 % x 0.03
        "Logs Insights": (0.5, 0),  # 5 x 20 x 0.005
        "KMS keys": (2, 0),
        "dashboard": (3, 3),
        "alarms, by metric": (1.5, 1),  # 3 of the rule, 4 of the topic, 5 of the machine, 2 of the queue, 1 of the logs
        "Step Functions": (0.15, 0.1),  # 1,000 x 6 x 0.025 / 1,000
        "SNS, mails": (0.06, 0.02),  # 3,000 x 2.00 / 100,000
        "SNS, https": (0.0006, 0.0006),
        "EventBridge": (0, 0),
        "SQS": (0, 0),
        "total": (91.4648, 4.1206),
    }


def test_a_key_of_ones_own_and_no_health_cost_nothing() -> None:
    bill = estimate(0, settings(alerts={"kmsKeyArn": KEY_ARN}))
    assert {item.what: round(item.usd, 4) for item in bill if item.usd} == {
        "dashboard": 3,
        "Step Functions": 0.15,
        "SNS, mails": 0.02,
        "total": 3.17,
    }


@pytest.mark.parametrize(
    ("chat", "entered"), [({}, 6), ({"slack": SLACK}, 9), ({"teams": TEAMS}, 9), ({"slack": SLACK, "teams": TEAMS}, 12)]
)
def test_three_states_of_every_channel_are_entered_and_three_around_them(chat: dict[str, Any], entered: int) -> None:
    assert transitions(settings(alerts=chat)) == entered
    found = item("Step Functions", 0, settings(alerts=chat))
    assert found.basis == f"{entered},000; the account's first 4,000 are free"
    assert (found.usd, found.free) == pytest.approx((entered * 0.025, 0.1))


def test_a_month_beyond_ten_terabytes_is_delivered_at_the_lower_price() -> None:
    assert item("flow-log delivery", 20_480 / DAYS, settings()).usd == pytest.approx(5_120 + 2_560)


def test_what_is_stored_grows_with_the_retention() -> None:
    found = item("flow-log storage", 10, settings({"retentionDays": 90}))
    assert (found.basis, found.usd) == ("135.0 GB after 90 days", pytest.approx(10 * 90 * 0.15 * 0.03))


# -- other settings ---------------------------------------------------------------------------------------------------


def test_each_saving_says_what_the_bill_would_be() -> None:
    found = savings(5, settings())
    assert {saving.setting: round(saving.change, 2) for saving in found} == {
        "flowLogs.format: default": -42.38,
        "flowLogs.aggregationSeconds: 600": -42.38,
        "flowLogs.logGroupClass: INFREQUENT_ACCESS": -38.02,
        "flowLogs.retentionDays: 90": -6.19,
        "flowLogs.trafficType: REJECT": -76.28,
    }
    assert all(saving.usd - total(5) == saving.change and saving.assumption for saving in found)


def test_a_saving_that_is_made_already_is_not_offered() -> None:
    values = {key: value for key, (value, *_) in THRIFTIER.items()}
    thrifty = settings().model_copy(update={"flow_logs": FlowLogSettings.model_construct(**values)})
    assert savings(5, thrifty) == []
    assert "flowLogs.format: default" not in totals(5, format="default")


def test_the_share_of_rejected_traffic_is_taken_of_what_is_recorded_now() -> None:
    found = totals(9, trafficType="ACCEPT")["flowLogs.trafficType: REJECT"]
    assert found == pytest.approx(total(1, trafficType="REJECT"))


def test_keeping_records_for_longer_costs_more() -> None:
    assert totals(5, retentionDays=30)["flowLogs.retentionDays: 90"] > total(5, retentionDays=30)


@given(VOLUMES)
def test_no_saving_costs_more(gb_per_day: float) -> None:
    assert all(saving.change <= 0 for saving in savings(gb_per_day, settings()))


# -- measured ---------------------------------------------------------------------------------------------------------


def received(scripted: ScriptedAccount, hours: Mapping[float, float]) -> list[dict[str, Any]]:
    """The log group received so many bytes so many days ago; returns what is asked."""
    now, asked = datetime.now(UTC), list[dict[str, Any]]()
    points = [{"Timestamp": now - timedelta(days=ago), "Sum": size} for ago, size in hours.items()]
    scripted.answer("cloudwatch:GetMetricStatistics", lambda given: asked.append(given) or {"Datapoints": points})
    return asked


def test_a_week_of_records_is_averaged(scripted: ScriptedAccount) -> None:
    asked = received(scripted, {hour / 24: GB / 8 for hour in range(1, 7 * 24 + 1)})
    assert measure(scripted.aws, "dev") == pytest.approx((3, 7), rel=1e-3)
    assert asked[0]["Dimensions"] == [{"Name": "LogGroupName", "Value": GROUP}]
    assert asked[0]["EndTime"] - asked[0]["StartTime"] == timedelta(days=7)


@pytest.mark.parametrize(("hours", "measured"), [({7: 0, 2: GB, 1: GB}, (1, 2)), ({4: GB, 1: GB}, (0.5, 4))])
def test_time_without_records_counts_after_the_first(
    scripted: ScriptedAccount, hours: dict[float, float], measured: tuple[float, float]
) -> None:
    received(scripted, hours)
    assert measure(scripted.aws, "dev") == pytest.approx(measured, rel=1e-3)


@pytest.mark.parametrize("hours", [{}, {1: 0}])
def test_without_records_there_is_nothing_to_measure(scripted: ScriptedAccount, hours: dict[float, float]) -> None:
    received(scripted, hours)
    with pytest.raises(UsageError, match=rf"^{GROUP} in eu-west-1 has received nothing for 7 days.*--gb-per-day 5"):
        measure(scripted.aws, "dev")
