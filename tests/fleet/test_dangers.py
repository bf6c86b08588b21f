"""What of an update is dangerous: each rule by itself, and the real program's changes of config."""

import json
from typing import Any

import harness
import pytest
from examples import DETECTOR_ID, KEY_ARN, OTHER_SUBNET, SUBNET, VPC
from fleet.program_changes import changes_between
from hypothesis import given
from hypothesis import strategies as st

from threatmon.fleet.changes import UNKNOWN, Op, ResourceChange
from threatmon.fleet.dangers import KINDS, Danger, dangers

Inputs = dict[str, Any]


def _change(op: Op, type_: str, old: Inputs | None = None, new: Inputs | None = None, **further: Any) -> ResourceChange:
    return ResourceChange(op, type_, "it", old or {}, new or {}, further.pop("diff", {}), **further)


def _kinds(*changes: ResourceChange) -> list[str]:
    return [danger.kind for danger in dangers(changes)]


IRREPLACEABLE: dict[str, dict[Op, str]] = {
    harness.DETECTOR: {"delete": "detector-deleted", "replace": "detector-deleted"},
    harness.FLOW_LOG: {"delete": "flow-log-deleted", "replace": "flow-log-replaced"},
    harness.LOG_GROUP: {"delete": "log-group-deleted", "replace": "log-group-replaced"},
    harness.KEY: {"delete": "key-deleted", "replace": "key-replaced"},
}
HARMLESS = [
    harness.ALIAS,
    harness.FEATURE,
    harness.QUEUE,
    harness.ROLE,
    harness.ROLE_POLICY,
    harness.TARGET,
    harness.TOPIC,
    harness.TOPIC_POLICY,
]


@pytest.mark.parametrize(("type_", "kinds"), IRREPLACEABLE.items())
def test_what_cannot_be_brought_back_is_not_deleted_or_replaced_unasked(type_: str, kinds: dict[Op, str]) -> None:
    for op, kind in kinds.items():
        assert _kinds(_change(op, type_, {"name": "it"}, {"name": "other"})) == [kind]


@pytest.mark.parametrize("type_", [*IRREPLACEABLE, harness.RULE, harness.SUBSCRIPTION])
def test_what_is_only_forgotten_is_not_lost(type_: str) -> None:
    old = {"name": "it", "topic": "arn:aws:sns:eu-west-1:111122223333:it", "eventPattern": '{"source": ["x"]}'}
    assert dangers([_change("delete", type_, old, retained=True)]) == []


def test_a_replaced_log_group_is_empty_even_if_the_old_one_stays() -> None:
    [danger] = dangers([_change("replace", harness.LOG_GROUP, retained=True, diff={"logGroupClass": "update-replace"})])
    assert danger == Danger(
        "log-group-replaced",
        "it",
        "all its records stay in the old one, which this stack forgets; the new one starts empty "
        "(changed: logGroupClass)",
    )


def test_a_replaced_key_says_when_the_old_one_is_gone() -> None:
    [danger] = dangers([_change("replace", harness.KEY, {"deletionWindowInDays": 7.0}, {})])
    assert danger.text == "nothing the old one encrypted can be read once it is deleted, in 7 days"


@pytest.mark.parametrize("type_", HARMLESS)
@pytest.mark.parametrize("op", ["delete", "replace"])
def test_what_can_be_made_again_may_go(op: Op, type_: str) -> None:
    inputs = {"name": "it"}
    assert dangers([_change(op, type_, inputs, inputs)]) == []


@pytest.mark.parametrize("type_", [*IRREPLACEABLE, *HARMLESS, harness.RULE, harness.SUBSCRIPTION])
@pytest.mark.parametrize("op", ["create", "import"])
def test_a_new_resource_endangers_nothing(op: Op, type_: str) -> None:
    policy = json.dumps({"Statement": {"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}})
    new = {"name": "it", "topic": "a:topic", "eventPattern": "{}", "role": UNKNOWN, "policy": policy, "enable": False}
    assert dangers([_change(op, type_, None, new)]) == []


@pytest.mark.parametrize(
    ("old", "new", "kinds"),
    [
        ({"enable": True}, {"enable": False}, ["detector-suspended"]),
        ({}, {"enable": False}, ["detector-suspended"]),
        ({"enable": False}, {"enable": False, "tags": {}}, []),
        ({"enable": False}, {"enable": True}, []),
        ({"enable": True}, {}, []),
    ],
)
def test_a_detector_that_stops_looking_is_suspended(old: Inputs, new: Inputs, kinds: list[str]) -> None:
    assert _kinds(_change("update", harness.DETECTOR, old, new)) == kinds


DAYS, SECONDS = (harness.LOG_GROUP, "retentionInDays"), (harness.QUEUE, "messageRetentionSeconds")


@pytest.mark.parametrize(
    ("retention", "old", "new", "text"),
    [
        (DAYS, 365, 90, "records are deleted after 90 days, instead of 365 days"),
        (DAYS, 365.0, 364.0, "records are deleted after 364 days, instead of 365 days"),
        (DAYS, 0, 3653, "records are deleted after 3653 days, instead of for ever"),
        (DAYS, None, 365, "records are deleted after 365 days, instead of for ever"),
        (DAYS, 90, 365, None),
        (DAYS, 365, 365, None),
        (DAYS, 365, 0, None),
        (DAYS, 365, None, None),
        (DAYS, 365, UNKNOWN, None),
        (SECONDS, 1_209_600, 60, "undelivered alerts are deleted after 60 seconds, instead of 1209600 seconds"),
        (SECONDS, 1_209_600, None, "undelivered alerts are deleted after 345600 seconds, instead of 1209600 seconds"),
        (SECONDS, None, 1_209_600, None),
    ],
)
def test_records_and_alerts_are_not_deleted_sooner_unasked(
    retention: tuple[str, str], old: float | None, new: Any, text: str | None
) -> None:
    type_, key = retention
    sides = ({} if value is None else {key: value} for value in (old, new))
    expected = [] if text is None else [Danger("retention-shortened", "it", text)]
    assert dangers([_change("update", type_, *sides)]) == expected


def _plan(status: str, name: str = "RUNTIME_MONITORING", **additional: str) -> Inputs:
    configurations = [{"name": key, "status": value} for key, value in additional.items()]
    return {"name": name, "status": status, "additionalConfigurations": configurations}


ON, OFF = "ENABLED", "DISABLED"


@pytest.mark.parametrize(
    ("old", "new", "plans"),
    [
        (_plan(ON), _plan(OFF), "runtime"),
        (_plan(ON, "NEW_PLAN"), _plan(OFF, "NEW_PLAN"), "NEW_PLAN"),
        (_plan(ON, EC2_AGENTS=ON), _plan(ON, EC2_AGENTS=OFF), "runtime EC2_AGENTS"),
        (_plan(ON, EC2_AGENTS=ON), _plan(OFF, EC2_AGENTS=OFF), "runtime, runtime EC2_AGENTS"),
        (_plan(OFF), _plan(ON, EC2_AGENTS=OFF), None),
        (_plan(OFF), _plan(OFF), None),
        (_plan(ON, EC2_AGENTS=ON), {"name": "RUNTIME_MONITORING", "status": ON}, None),
    ],
)
def test_a_plan_is_not_switched_off_unasked(old: Inputs, new: Inputs, plans: str | None) -> None:
    text = f"GuardDuty raises no findings of {plans} any more"
    expected = [] if plans is None else [Danger("plan-switched-off", "it", text)]
    assert dangers([_change("update", harness.FEATURE, old, new)]) == expected


def test_a_plan_that_is_no_longer_managed_stays_on() -> None:
    assert dangers([_change("delete", harness.FEATURE, _plan(ON))]) == []


# The real program. A setting of before and after -> every danger, as (kind, resource); for both an empty config is the
# one of harness.CONFIG: two subnets, one address, one finding type.
Config = dict[str, Any]
SUBSCRIBER = {"protocol": "https", "endpoint": "https://example.com/t0k3n", "format": "raw"}
FLOW_LOGS = [f"flow-logs-{SUBNET}", f"flow-logs-{OTHER_SUBNET}"]
EACH_REPLACED = {("flow-log-replaced", log) for log in FLOW_LOGS}
DANGEROUS: dict[str, tuple[Config, Config, set[tuple[str, str]]]] = {
    "a shorter retention": ({}, {"flowLogs": {"retentionDays": 90}}, {("retention-shortened", "flow-logs-log-group")}),
    "fewer finding types": (
        {"findingTypes": ["Recon:EC2/Portscan", "Impact:EC2/PortSweep"]},
        {},
        {("finding-type-dropped", "alerts-findings")},
    ),
    "a higher minimum severity": ({}, {"minimumSeverity": "high"}, {("finding-type-dropped", "alerts-findings")}),
    "another address": ({}, {"alertEmails": ["on-call@example.com"]}, {("last-subscriber-dropped", "alerts-topic")}),
    "no subscriber of the events any more": (
        {"alerts": {"subscribers": [SUBSCRIBER]}},
        {},
        {("last-subscriber-dropped", "alerts-topic-raw")},
    ),
    "other addresses of the alarms": (
        {"health": {"enabled": True}},
        {"health": {"enabled": True, "emails": ["on-call@example.com"]}},
        {("last-subscriber-dropped", "health-topic")},
    ),
    "no alarms any more": (
        {"health": {"enabled": True}},
        {},
        {("key-deleted", "health-key"), ("last-subscriber-dropped", "health-topic")},
    ),
    "a plan off": (
        {"protectionPlans": {"s3": True, "rds": True}},
        {"protectionPlans": {"rds": True}},
        {("plan-switched-off", "detection-s3")},
    ),
    "a subnet less": ({}, {"subnetIds": [SUBNET]}, {("flow-log-deleted", FLOW_LOGS[1])}),
    "VPCs instead of subnets": (
        {},
        {"subnetIds": None, "vpcIds": [VPC]},
        {("flow-log-deleted", log) for log in FLOW_LOGS},
    ),
    "other traffic": ({}, {"flowLogs": {"trafficType": "REJECT"}}, EACH_REPLACED),
    "wider records": ({}, {"flowLogs": {"aggregationSeconds": 600}}, EACH_REPLACED),
    "another record format": ({}, {"flowLogs": {"format": "default"}}, EACH_REPLACED),
    "another class of log group": (
        {},
        {"flowLogs": {"logGroupClass": "INFREQUENT_ACCESS"}},
        {("log-group-replaced", "flow-logs-log-group"), *EACH_REPLACED},
    ),
    "a key of one's own": (
        {},
        {"alerts": {"kmsKeyArn": KEY_ARN}},
        {("key-deleted", "encryption-key"), ("policy-widened", "alerts-formatter-policy")},
    ),
    "a key of one's own if the old one stays": (
        {"flowLogs": {"keepOnDestroy": True}},
        {"flowLogs": {"keepOnDestroy": True}, "alerts": {"kmsKeyArn": KEY_ARN}},
        {("policy-widened", "alerts-formatter-policy")},
    ),
    "a detector left to somebody else": (
        {},
        {"detector": {"mode": "lookup"}},
        {("detector-deleted", "detection-detector")},
    ),
    "much at once": (
        {"protectionPlans": {"s3": True}},
        {"flowLogs": {"retentionDays": 90}, "minimumSeverity": "critical", "alertEmails": ["on-call@example.com"]},
        {
            ("retention-shortened", "flow-logs-log-group"),
            ("last-subscriber-dropped", "alerts-topic"),
            ("finding-type-dropped", "alerts-findings"),
            ("plan-switched-off", "detection-s3"),
        },
    ),
}


@pytest.mark.parametrize(("old", "new", "expected"), DANGEROUS.values(), ids=DANGEROUS)
def test_a_dangerous_setting_is_found_out_before_it_is_deployed(
    old: Config, new: Config, expected: set[tuple[str, str]]
) -> None:
    found = [danger[:2] for danger in dangers(changes_between(old, new))]
    assert sorted(found) == sorted((kind, f"threat-monitor-{resource}") for kind, resource in expected)


HARMLESS_CHANGES: dict[str, tuple[Config | None, Config]] = {
    "nothing": ({}, {}),
    "a new stack": (None, {"health": {"enabled": True}, "protectionPlans": {"s3": True}}),
    "a new stack on a detector that was there": (None, {"detector": {"mode": "import", "id": DETECTOR_ID}}),
    "the subnets in another order": ({}, {"subnetIds": [OTHER_SUBNET, SUBNET]}),
    "a longer retention": ({}, {"flowLogs": {"retentionDays": 400}}),
    "a further address": ({}, {"alertEmails": ["on-call@example.com", "security@example.com"]}),
    "one address of two": ({"alertEmails": ["on-call@example.com", "security@example.com"]}, {}),
    "a further finding type": ({}, {"findingTypes": ["Impact:EC2/PortSweep", "Recon:EC2/Portscan"]}),
    "a family instead of its types": ({}, {"findingTypes": ["Recon:EC2/*"]}),
    "a lower minimum severity": ({"minimumSeverity": "critical"}, {}),
    "a further plan": ({}, {"protectionPlans": {"s3": True, "ai": True}}),
    "a further VPC": ({}, {"vpcIds": [VPC]}),
    "repeats sooner": ({}, {"findingPublishingFrequency": "ONE_HOUR"}),
    "alarms": ({}, {"health": {"enabled": True}}),
    "a further subscriber": ({}, {"alerts": {"subscribers": [SUBSCRIBER]}}),
    "archived findings too, and no samples": ({}, {"alerts": {"includeArchived": True, "includeSamples": False}}),
    "a name for the account": ({}, {"alerts": {"accountAlias": "production"}}),
    "other tags": (
        {"aws:defaultTags": {"tags": {"team": "security"}}},
        {"aws:defaultTags": {"tags": {"stack": "dev"}}},
    ),
    "protection off": ({"protect": True, "flowLogs": {"keepOnDestroy": True}}, {}),
    "an adopted detector left to somebody else": (
        {"detector": {"mode": "import", "id": DETECTOR_ID}},
        {"detector": {"mode": "lookup", "id": DETECTOR_ID}},
    ),
}


@pytest.mark.parametrize(("old", "new"), HARMLESS_CHANGES.values(), ids=HARMLESS_CHANGES)
def test_a_harmless_setting_is_no_danger(old: Config | None, new: Config) -> None:
    assert dangers(changes_between(old, new)) == []


EVERYTHING = changes_between(
    {"protectionPlans": {"s3": True}, "health": {"enabled": True}},
    {
        "flowLogs": {"retentionDays": 90, "logGroupClass": "INFREQUENT_ACCESS"},
        "minimumSeverity": "critical",
        "alertEmails": ["on-call@example.com"],
    },
)


@given(st.permutations(EVERYTHING))
def test_the_order_of_the_changes_does_not_matter(changes: list[ResourceChange]) -> None:
    assert dangers(changes) == dangers(EVERYTHING)


@given(st.sets(st.sampled_from(range(len(EVERYTHING)))))
def test_there_is_no_danger_without_a_change(numbers: set[int]) -> None:
    same = [EVERYTHING[number]._replace(op="same", new=EVERYTHING[number].old) for number in numbers]
    assert dangers(same) == []


@pytest.mark.parametrize("option", ["protect", "retainOnDelete"])
@pytest.mark.parametrize(("before", "after", "kinds"), [(True, False, ["protection-removed"]), (False, True, [])])
def test_no_protection_is_taken_away_unasked(option: str, before: bool, after: bool, kinds: list[str]) -> None:
    assert _kinds(_change("update", harness.KEY, {}, {}, options={option: (before, after)})) == kinds


def test_dangers_come_in_the_order_of_their_kinds() -> None:
    kinds = list(dict.fromkeys(danger.kind for danger in dangers(EVERYTHING)))
    assert kinds == [kind for kind in KINDS if kind in kinds]
    assert len(kinds) > 5


def test_no_text_shows_an_endpoint() -> None:
    # Endpoints may hold tokens; the names of subscriptions do not show them, the texts neither.
    found = dangers(changes_between({"alerts": {"subscribers": [SUBSCRIBER]}}, {}))
    assert found
    assert "t0k3n" not in str(found)
