"""What of an update is dangerous: each rule by itself, and the real program's changes of config."""

import json
from typing import Any

import pytest
from examples import DETECTOR_ID, KEY_ARN, OTHER_SUBNET, SUBNET, VPC
from fleet.program_changes import changes_between
from harness import (
    ALIAS,
    DETECTOR,
    FEATURE,
    FLOW_LOG,
    KEY,
    LOG_GROUP,
    QUEUE,
    ROLE,
    ROLE_POLICY,
    RULE,
    SUBSCRIPTION,
    TARGET,
    TOPIC,
    TOPIC_POLICY,
)
from hypothesis import given
from hypothesis import strategies as st

from threatmon.fleet.changes import UNKNOWN, Op, ResourceChange
from threatmon.fleet.dangers import KINDS, Danger, dangers

Inputs = dict[str, Any]
ATTACHMENT = "aws:iam/rolePolicyAttachment:RolePolicyAttachment"


def _change(op: Op, type_: str, old: Inputs | None = None, new: Inputs | None = None, **further: Any) -> ResourceChange:
    return ResourceChange(
        op, type_, further.pop("name", "it"), old or {}, new or {}, further.pop("diff", {}), **further
    )


def _kinds(*changes: ResourceChange) -> list[str]:
    return [danger.kind for danger in dangers(changes)]


DELETED = {
    DETECTOR: "detector-deleted",
    FLOW_LOG: "flow-log-deleted",
    LOG_GROUP: "log-group-deleted",
    KEY: "key-deleted",
}
REPLACED = {
    DETECTOR: "detector-deleted",
    FLOW_LOG: "flow-log-replaced",
    LOG_GROUP: "log-group-replaced",
    KEY: "key-replaced",
}
HARMLESS = [ALIAS, FEATURE, QUEUE, ROLE, ROLE_POLICY, TARGET, TOPIC, TOPIC_POLICY]


@pytest.mark.parametrize(("type_", "kind"), DELETED.items())
def test_what_cannot_be_brought_back_is_not_deleted_unasked(type_: str, kind: str) -> None:
    assert _kinds(_change("delete", type_, {"name": "it"})) == [kind]


@pytest.mark.parametrize(("type_", "kind"), REPLACED.items())
def test_what_cannot_be_brought_back_is_not_replaced_unasked(type_: str, kind: str) -> None:
    assert _kinds(_change("replace", type_, {"name": "it"}, {"name": "other"})) == [kind]


@pytest.mark.parametrize("type_", [*DELETED, RULE, SUBSCRIPTION])
def test_what_is_only_forgotten_is_not_lost(type_: str) -> None:
    old = {"name": "it", "topic": "arn:aws:sns:eu-west-1:111122223333:it", "eventPattern": '{"source": ["x"]}'}
    assert dangers([_change("delete", type_, old, retained=True)]) == []


def test_a_replaced_log_group_is_empty_even_where_the_old_one_stays() -> None:
    [danger] = dangers([_change("replace", LOG_GROUP, retained=True, diff={"logGroupClass": "update-replace"})])
    assert danger == Danger(
        "log-group-replaced",
        "it",
        "all its records stay in the old one, which this stack forgets; the new one starts empty "
        "(changed: logGroupClass)",
    )


def test_a_replaced_key_says_when_the_old_one_is_gone() -> None:
    [danger] = dangers([_change("replace", KEY, {"deletionWindowInDays": 7.0}, {})])
    assert danger.text == "nothing the old one encrypted can be read once it is deleted, in 7 days"


@pytest.mark.parametrize("type_", HARMLESS)
@pytest.mark.parametrize("op", ["delete", "replace"])
def test_what_can_be_made_anew_may_go(op: Op, type_: str) -> None:
    inputs = {"name": "it"}
    assert dangers([_change(op, type_, inputs, inputs)]) == []


@pytest.mark.parametrize("type_", [*DELETED, *HARMLESS, RULE, SUBSCRIPTION])
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
    assert _kinds(_change("update", DETECTOR, old, new)) == kinds


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        (365, 90, "records are deleted after 90 days, instead of 365 days"),
        (365.0, 364.0, "records are deleted after 364 days, instead of 365 days"),
        (0, 3653, "records are deleted after 3653 days, instead of for ever"),
        (None, 365, "records are deleted after 365 days, instead of for ever"),
        (90, 365, None),
        (365, 365, None),
        (365, 0, None),
        (365, None, None),
        (0, None, None),
        (365, UNKNOWN, None),
    ],
)
def test_records_are_not_deleted_sooner_unasked(old: float | None, new: Any, text: str | None) -> None:
    sides = ({} if days is None else {"retentionInDays": days} for days in (old, new))
    expected = [] if text is None else [Danger("retention-shortened", "it", text)]
    assert dangers([_change("update", LOG_GROUP, *sides)]) == expected


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        (
            {"messageRetentionSeconds": 1_209_600},
            {"messageRetentionSeconds": 60},
            "undelivered alerts are deleted after 60 seconds, instead of 1209600 seconds",
        ),
        (
            {"messageRetentionSeconds": 1_209_600},
            {},
            "undelivered alerts are deleted after 345600 seconds, instead of 1209600 seconds",
        ),
        ({}, {"messageRetentionSeconds": 1_209_600}, None),
    ],
)
def test_undelivered_alerts_are_not_deleted_sooner_unasked(old: Inputs, new: Inputs, text: str | None) -> None:
    expected = [] if text is None else [Danger("retention-shortened", "it", text)]
    assert dangers([_change("update", QUEUE, old, new)]) == expected


def _feature(status: str, name: str = "RUNTIME_MONITORING", **further: str) -> Inputs:
    return {
        "name": name,
        "status": status,
        "additionalConfigurations": [{"name": key, "status": value} for key, value in further.items()],
    }


@pytest.mark.parametrize(
    ("old", "new", "plans"),
    [
        (_feature("ENABLED"), _feature("DISABLED"), "runtime"),
        (_feature("ENABLED", "NEW_PLAN"), _feature("DISABLED", "NEW_PLAN"), "NEW_PLAN"),
        (
            _feature("ENABLED", EC2_AGENT_MANAGEMENT="ENABLED"),
            _feature("ENABLED", EC2_AGENT_MANAGEMENT="DISABLED"),
            "runtime EC2_AGENT_MANAGEMENT",
        ),
        (
            _feature("ENABLED", EKS_ADDON_MANAGEMENT="ENABLED"),
            _feature("DISABLED", EKS_ADDON_MANAGEMENT="DISABLED"),
            "runtime, runtime EKS_ADDON_MANAGEMENT",
        ),
        (_feature("DISABLED"), _feature("ENABLED", EC2_AGENT_MANAGEMENT="DISABLED"), None),
        (_feature("DISABLED"), _feature("DISABLED"), None),
        (
            _feature("ENABLED", EC2_AGENT_MANAGEMENT="ENABLED"),
            {"name": "RUNTIME_MONITORING", "status": "ENABLED"},
            None,
        ),
    ],
)
def test_a_plan_is_not_switched_off_unasked(old: Inputs, new: Inputs, plans: str | None) -> None:
    text = f"GuardDuty raises no findings of {plans} any more"
    expected = [] if plans is None else [Danger("plan-switched-off", "it", text)]
    assert dangers([_change("update", FEATURE, old, new)]) == expected


def test_a_plan_that_is_no_longer_managed_stays_on() -> None:
    assert dangers([_change("delete", FEATURE, _feature("ENABLED"))]) == []


def _policy(*actions: str, **further: Any) -> str:
    return json.dumps({"Statement": [{"Effect": "Allow", "Action": list(actions), "Resource": "*", **further}]})


WRITES = "allows logs:PutLogEvents on *"


@pytest.mark.parametrize("op", ["update", "replace"])
@pytest.mark.parametrize(
    ("type_", "property_"),
    [(ROLE, "assumeRolePolicy"), (ROLE_POLICY, "policy"), (TOPIC_POLICY, "policy"), (KEY, "policy"), ("a:b:C", "any")],
)
def test_a_policy_is_not_widened_unasked(type_: str, property_: str, op: Op) -> None:
    narrow, wide = {property_: _policy("logs:Get*")}, {property_: _policy("logs:Get*", "logs:PutLogEvents")}
    widened = Danger("policy-widened", "it", WRITES)
    assert widened in dangers([_change(op, type_, narrow, wide)])
    assert "policy-widened" not in _kinds(_change(op, type_, wide, narrow))


def test_a_policy_known_only_when_it_is_deployed_is_not_judged() -> None:
    old = {"policy": _policy("a:b", Effect="Deny")}
    assert dangers([_change("update", TOPIC_POLICY, old, {"policy": UNKNOWN})]) == []


def test_a_policy_within_a_list_is_judged() -> None:
    old, new = ({"inlinePolicies": [{"policy": _policy(it)}]} for it in ("logs:Get*", "logs:*"))
    assert _kinds(_change("update", ROLE, old, new)) == ["policy-widened"]


def test_other_json_texts_are_no_policies() -> None:
    old, new = {"body": "{}", "text": '"Statement"'}, {"body": '{"Statement": ', "text": '["Statement"]'}
    assert dangers([_change("update", "aws:cloudwatch/dashboard:Dashboard", old, new)]) == []


def _held(op: Op, name: str, old: str | None, new: str | None = None, role: str = "role-1a2b3c4") -> ResourceChange:
    sides = ({"role": role, "policy": _policy(it)} if it else None for it in (old, new))
    return _change(op, ROLE_POLICY, *sides, name=name)


ITS_ROLE = _change("same", ROLE, {"name": "role-1a2b3c4"}, {"name": "role-1a2b3c4"}, name="role")


def test_a_further_policy_widens_a_role_that_stays() -> None:
    before = _held("same", "reads", "logs:Get*", "logs:Get*")
    added = _held("create", "writes", None, "logs:PutLogEvents")
    assert dangers([ITS_ROLE, before, added]) == [Danger("policy-widened", "writes", WRITES)]


def test_a_renamed_policy_does_not_widen_its_role() -> None:
    old, new = _held("delete", "old", "logs:PutLogEvents"), _held("create", "new", None, "logs:PutLogEvents")
    assert dangers([ITS_ROLE, old, new]) == []


def test_the_first_policy_of_a_role_is_what_an_interrupted_update_left_out() -> None:
    assert dangers([ITS_ROLE, _held("create", "writes", None, "logs:PutLogEvents")]) == []


def test_a_policy_for_a_role_of_somebody_else_widens_it() -> None:
    added = _held("create", "writes", None, "logs:PutLogEvents", role="theirs")
    assert dangers([ITS_ROLE, added]) == [Danger("policy-widened", "writes", WRITES)]


def test_a_policy_that_moves_to_a_new_role_along_with_it_is_no_wider() -> None:
    role = ITS_ROLE._replace(op="replace", new={"name": "role-5d6e7f8"})
    held = _held("replace", "writes", "logs:PutLogEvents")
    assert dangers([role, held._replace(new={**held.old, "role": UNKNOWN})]) == []


def test_a_managed_policy_widens_the_role_it_is_attached_to() -> None:
    arn = "arn:aws:iam::aws:policy/ReadOnlyAccess"
    attached = _change("create", ATTACHMENT, None, {"role": "role-1a2b3c4", "policyArn": arn}, name="reads")
    before = _held("same", "writes", "logs:PutLogEvents", "logs:PutLogEvents")
    expected = [Danger("policy-widened", "reads", f"allows what {arn} allows on *")]
    assert dangers([ITS_ROLE, before, attached]) == expected


def test_of_much_that_is_new_a_few_are_told_and_the_rest_counted() -> None:
    wide = json.dumps({"Statement": [{"Effect": "Allow", "Action": "a:b", "Resource": it} for it in "abcdefgh"]})
    [danger] = dangers([_change("update", KEY, {"policy": _policy()}, {"policy": wide})])
    assert danger.text.endswith("; 3 more")


# The real program. A setting of before and after -> every danger, as (kind, resource); for both an empty config is the
# one of harness.CONFIG: two subnets, one address, one finding type.
Config = dict[str, Any]
FLOW_LOGS = [f"flow-logs-{SUBNET}", f"flow-logs-{OTHER_SUBNET}"]
DANGEROUS: dict[str, tuple[Config, Config, set[tuple[str, str]]]] = {
    "a shorter retention": (
        {},
        {"flowLogs": {"retentionDays": 90}},
        {("retention-shortened", "flow-logs-log-group")},
    ),
    "fewer finding types": (
        {"findingTypes": ["Recon:EC2/Portscan", "Impact:EC2/PortSweep"]},
        {},
        {("finding-type-dropped", "alerts-critical")},
    ),
    "a higher minimum severity": ({}, {"minimumSeverity": "high"}, {("finding-type-dropped", "alerts-low")}),
    "another address": (
        {},
        {"alertEmails": ["on-call@example.com"]},
        {("last-subscriber-dropped", "alerts-topic")},
    ),
    "no subscriber of the events any more": (
        {"alerts": {"subscribers": [{"protocol": "https", "endpoint": "https://example.com/t", "format": "raw"}]}},
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
        {("flow-log-deleted", it) for it in FLOW_LOGS},
    ),
    "other traffic": (
        {},
        {"flowLogs": {"trafficType": "REJECT"}},
        {("flow-log-replaced", it) for it in FLOW_LOGS},
    ),
    "wider records": (
        {},
        {"flowLogs": {"aggregationSeconds": 600}},
        {("flow-log-replaced", it) for it in FLOW_LOGS},
    ),
    "another record format": (
        {},
        {"flowLogs": {"format": "default"}},
        {("flow-log-replaced", it) for it in FLOW_LOGS},
    ),
    "another class of log group": (
        {},
        {"flowLogs": {"logGroupClass": "INFREQUENT_ACCESS"}},
        {("log-group-replaced", "flow-logs-log-group"), *(("flow-log-replaced", it) for it in FLOW_LOGS)},
    ),
    "a key of one's own": (
        {},
        {"alerts": {"kmsKeyArn": KEY_ARN}},
        {("key-deleted", "encryption-key")},
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
            ("finding-type-dropped", "alerts-high"),
            ("plan-switched-off", "detection-s3"),
        },
    ),
}


@pytest.mark.parametrize(("old", "new", "expected"), DANGEROUS.values(), ids=DANGEROUS)
def test_a_dangerous_setting_is_found_out_before_it_is_deployed(
    old: Config, new: Config, expected: set[tuple[str, str]]
) -> None:
    found = [(it.kind, it.resource.removeprefix("threat-monitor-")) for it in dangers(changes_between(old, new))]
    assert sorted(found) == sorted(expected)


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
    "a further subscriber": (
        {},
        {"alerts": {"subscribers": [{"protocol": "https", "endpoint": "https://example.com/t", "format": "raw"}]}},
    ),
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
    "a key of one's own where the old one stays": (
        {"flowLogs": {"keepOnDestroy": True}},
        {"flowLogs": {"keepOnDestroy": True}, "alerts": {"kmsKeyArn": KEY_ARN}},
    ),
}


@pytest.mark.parametrize(("old", "new"), HARMLESS_CHANGES.values(), ids=HARMLESS_CHANGES)
def test_a_harmless_setting_is_no_danger(old: Config | None, new: Config) -> None:
    assert dangers(changes_between(old, new)) == []


EVERYTHING: list[ResourceChange] = [
    *changes_between(*DANGEROUS["much at once"][:2]),
    *changes_between(*DANGEROUS["another class of log group"][:2]),
    *changes_between(*DANGEROUS["no alarms any more"][:2]),
]


@given(st.permutations(EVERYTHING))
def test_the_order_of_the_changes_does_not_matter(changes: list[ResourceChange]) -> None:
    assert dangers(changes) == dangers(EVERYTHING)


@given(st.sets(st.sampled_from(range(len(EVERYTHING)))))
def test_there_is_no_danger_without_a_change(numbers: set[int]) -> None:
    same = [EVERYTHING[number]._replace(op="same", new=EVERYTHING[number].old) for number in numbers]
    assert dangers(same) == []


def test_dangers_come_in_the_order_of_their_kinds() -> None:
    found = dangers(EVERYTHING)
    order = list(KINDS)
    assert found == sorted(found, key=lambda it: (order.index(it.kind), it.resource, it.text))
    assert len({it.kind for it in found}) > 5


def test_no_text_shows_an_endpoint() -> None:
    # Endpoints may hold tokens; the names of subscriptions do not show them, the texts neither.
    subscriber = {"protocol": "https", "endpoint": "https://example.com/t0k3n", "format": "raw"}
    found = dangers(changes_between({"alerts": {"subscribers": [subscriber]}}, {}))
    assert found
    assert "t0k3n" not in str(found)
