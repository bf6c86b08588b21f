"""What the settings switch on and off, and what holds for all resources of a stack.

That each setting reaches its resources, and each resource those that use it, is in the recorded registrations.
"""

from collections import Counter
from typing import Any

import pytest
from examples import KEY_ARN, OTHER_SUBNET, SUBNET, VPC
from examples import SLACK as SLACK_CHANNEL
from examples import TEAMS as TEAMS_CHANNEL
from harness import (
    ALARM,
    ALIAS,
    DASHBOARD,
    DETECTOR,
    FLOW_LOG,
    KEY,
    LOG_GROUP,
    QUERY,
    QUEUE,
    QUEUE_POLICY,
    ROLE,
    ROLE_POLICY,
    RULE,
    SLACK,
    STATE_MACHINE,
    TEAMS,
    TOPIC,
    TOPIC_POLICY,
    AwsMocks,
    custom,
    documents,
    input_texts,
    inputs_by_urn,
    made,
    run,
    texts,
    the,
)

from threatmon.emulator.program import ProgramRun

RAW = {"protocol": "https", "endpoint": "https://hooks.example.com/token", "format": "raw"}
CHAT = {"slack": SLACK_CHANNEL, "teams": TEAMS_CHANNEL}
POLICIES = {KEY, QUEUE_POLICY, ROLE_POLICY, TOPIC_POLICY}
BOUNDARY = "arn:aws:iam::111122223333:policy/Boundary"


def keys_in_use(**overrides: Any) -> dict[str, str]:
    """The key of each encrypted resource, by the resource's name."""
    encrypted = ("kmsKeyId", "kmsMasterKeyId")
    return {r.name: r.inputs[key] for r in custom(run(**overrides)) for key in encrypted if key in r.inputs}


def test_log_groups_topics_and_queue_are_encrypted_with_the_stacks_own_key() -> None:
    assert keys_in_use(alerts={"subscribers": [RAW], **CHAT}) == dict.fromkeys(
        [
            "threat-monitor-flow-logs-log-group",
            "threat-monitor-alerts-dead-letters",
            "threat-monitor-alerts-topic",
            "threat-monitor-alerts-topic-raw",
            "threat-monitor-alerts-chat-topic-slack",
            "threat-monitor-alerts-chat-topic-teams",
            "threat-monitor-alerts-formatter-log-group",
        ],
        made(the(run(), KEY))["arn"],
    )


def test_a_configured_key_is_used_everywhere_and_none_is_made() -> None:
    deployed = run(alerts={"kmsKeyArn": KEY_ARN})
    assert deployed.of_type(KEY) == deployed.of_type(ALIAS) == []
    assert "threat-monitor:index:EncryptionKey" not in {r.type for r in deployed.resources.values()}
    assert list(keys_in_use(alerts={"kmsKeyArn": KEY_ARN}).values()) == [KEY_ARN] * 4


def test_records_queries_and_mails_agree_on_the_format() -> None:
    plain = run(flowLogs={"format": "default"})
    assert "logFormat" not in plain.of_type(FLOW_LOG)[0].inputs
    assert not any("pkt_srcaddr" in text for text in input_texts(plain))
    extended = run(flowLogs={"format": "extended"})
    fields = extended.of_type(FLOW_LOG)[0].inputs["logFormat"].split()
    for query in extended.of_type(QUERY):
        assert query.inputs["queryString"].split('"')[1].split() == ["*"] * len(fields)


# -- options ----------------------------------------------------------------------------------------------------------


def test_protect_covers_detector_log_group_and_key_and_nothing_else() -> None:
    assert {r.type for r in run(protect=True).resources.values() if r.protect} == {DETECTOR, LOG_GROUP, KEY}


def test_keep_on_destroy_retains_log_group_and_key_and_nothing_else() -> None:
    kept = run(flowLogs={"keepOnDestroy": True})
    assert {r.type for r in kept.resources.values() if r.retain_on_delete} == {LOG_GROUP, KEY}


def test_by_default_no_resource_is_protected_retained_imported_aliased_or_of_another_provider() -> None:
    for r in run().resources.values():
        assert not any((r.protect, r.retain_on_delete, r.import_id, r.aliases, r.provider)), r.name


# -- names ------------------------------------------------------------------------------------------------------------


def test_another_subnet_at_any_place_adds_exactly_one_resource_and_changes_no_other() -> None:
    before = inputs_by_urn(run(subnetIds=[SUBNET]))
    first, last = (inputs_by_urn(run(subnetIds=ids)) for ids in ([OTHER_SUBNET, SUBNET], [SUBNET, OTHER_SUBNET]))
    (added,) = first.keys() - before.keys()
    assert added.endswith(OTHER_SUBNET)
    assert first == last == {**before, added: first[added]}


NAMED = {ALARM, ALIAS, DASHBOARD, LOG_GROUP, QUERY, QUEUE, ROLE, RULE, SLACK, STATE_MACHINE, TEAMS, TOPIC}
UNNAMED = {DETECTOR, FLOW_LOG, KEY}


def names_of(deployed: ProgramRun) -> dict[str, str]:
    """The name in the account of each resource that has one of its own, by URN."""
    keys = ("name", "dashboardName", "configurationName")
    return {r.urn: str(r.inputs[key]) for r in custom(deployed) if r.type in NAMED for key in keys if key in r.inputs}


def test_everything_that_the_account_names_has_a_fixed_name_of_its_stack() -> None:
    first, second = (run(stack=stack, alerts=CHAT, health={"enabled": True}) for stack in ("blue", "green"))
    names = names_of(first)
    assert names.keys() == {r.urn for r in custom(first) if r.type in NAMED}
    assert all("blue" in name for name in names.values())
    assert sorted(name.replace("blue", "green") for name in names.values()) == sorted(names_of(second).values())
    of_type = [(urn.split("::")[2], name) for urn, name in names.items()]
    assert len(set(of_type)) == len(of_type)
    assert not [r.name for r in first.resources.values() if "blue" in r.name]


def test_what_has_no_name_carries_the_stack_as_a_tag() -> None:
    deployed = run(stack="blue", health={"enabled": True})
    tagged = {r.type for r in custom(deployed) if r.inputs.get("tags", {}).get("threat-monitor:stack") == "blue"}
    assert tagged == UNNAMED


def test_a_role_which_an_account_has_for_all_regions_has_its_region_in_its_name() -> None:
    names = [
        {role.inputs["name"] for role in run(mocks=AwsMocks(region)).of_type(ROLE)}
        for region in ("eu-west-1", "us-east-1")
    ]
    assert not names[0] & names[1]


def test_a_preview_shows_every_policy_that_names_no_key() -> None:
    """The key's ARN is the only thing that nobody knows before it is there."""
    preview = run(preview=True, alerts={**CHAT, "subscribers": [RAW]}, health={"enabled": True})
    hidden = {r.name for r in custom(preview) if r.type in POLICIES and not isinstance(r.inputs.get("policy"), str)}
    assert hidden == {"threat-monitor-alerts-formatter-policy"}
    trusts = {role.name: role.inputs.get("assumeRolePolicy") for role in preview.of_type(ROLE)}
    assert all(isinstance(trust, str) for trust in trusts.values())


def test_every_role_stays_within_the_boundary_of_the_settings() -> None:
    bounded = run(flowLogs={"permissionsBoundary": BOUNDARY}, alerts=CHAT)
    assert {role.name: role.inputs["permissionsBoundary"] for role in bounded.of_type(ROLE)} == dict.fromkeys(
        [
            "threat-monitor-alerts-chat-role",
            "threat-monitor-alerts-formatter-role",
            "threat-monitor-alerts-start-role",
            "threat-monitor-flow-logs-role",
        ],
        BOUNDARY,
    )


# -- text -------------------------------------------------------------------------------------------------------------

FULL: dict[str, Any] = {
    "vpcIds": [VPC],
    "protectionPlans": {"ai": True},
    "alerts": {"subscribers": [RAW], "accountAlias": "payments", **CHAT},
    "health": {"enabled": True},
    "flowLogs": {"keepOnDestroy": True},
    "protect": True,
}


@pytest.mark.parametrize("preview", [False, True], ids=["up", "preview"])
def test_no_input_holds_the_text_of_an_unresolved_output(*, preview: bool) -> None:
    deployed = run(**FULL, preview=preview)
    spoilt = [text for text in input_texts(deployed) if "Calling __str__ on an Output" in text or "<pulumi." in text]
    assert spoilt == []
    assert not [urn for urn in deployed.resources if "Output" in urn]


# Type of resource, part of the statement, value -> why it has to be a wildcard.
WILDCARDS = {
    (KEY, "Action", "kms:*"): "the account administers its own key, as in the default key policy",
    (KEY, "Resource", "*"): "in a key policy, the key itself",
    (KEY, "Action", "kms:GenerateDataKey*"): "with and without plaintext, as the AWS page on encrypted log groups",
    (KEY, "Action", "kms:ReEncrypt*"): "from and to, as the AWS page on encrypted log groups",
    (KEY, "Action", "kms:Describe*"): "as the AWS page on encrypted log groups",
    (ROLE, "Condition", "arn:aws:ec2:eu-west-1:111122223333:vpc-flow-log/*"): (
        "the id of a flow log does not exist before its role"
    ),
    (
        ROLE_POLICY,
        "Resource",
        "arn:aws:logs:eu-west-1:111122223333:log-group:/threat-monitor/dev/flow-logs:*",
    ): "the streams of the one log group",
    (ROLE_POLICY, "Resource", "*"): "AWS knows no resource of log deliveries and metrics; metrics have their namespace",
}


def test_no_policy_has_a_wildcard_but_those_with_a_reason_and_none_denies_or_excepts() -> None:
    found = documents(run(**FULL))
    types = [type_.rsplit(":", 1)[-1] for type_, _ in found]
    assert Counter(types) == {"Key": 2, "QueuePolicy": 1, "Role": 4, "RolePolicy": 3, "TopicPolicy": 5}
    statements = [(type_, statement) for type_, document in found for statement in document["Statement"]]
    for _, statement in statements:
        assert statement["Effect"] == "Allow"
        assert not {"NotAction", "NotPrincipal", "NotResource"} & statement.keys()
    wildcards = {
        (type_, part, text)
        for type_, statement in statements
        for part, value in statement.items()
        for text in texts(value)
        if "*" in text or "?" in text
    }
    assert wildcards == WILDCARDS.keys()
