"""What the components are to one another: wiring, and what the settings switch on and off."""

import json
from typing import Any

import pulumi
import pytest
from examples import DETECTOR_ID, KEY_ARN, OTHER_SUBNET, SUBNET, VPC
from harness import (
    ALIAS,
    DASHBOARD,
    DETECTOR,
    FEATURE,
    FLOW_LOG,
    KEY,
    LOG_GROUP,
    QUERY,
    QUEUE,
    RULE,
    SUBSCRIPTION,
    TARGET,
    TOPIC,
    AwsMocks,
    custom,
    documents,
    input_texts,
    inputs_by_urn,
    made,
    named,
    run,
    texts,
    the,
)

KEY_INPUTS = ("kmsKeyId", "kmsMasterKeyId")
LOOKUP = {"mode": "lookup", "id": DETECTOR_ID}
IMPORT = {"mode": "import", "id": DETECTOR_ID}
RAW = {"protocol": "https", "endpoint": "https://hooks.example.com/token", "format": "raw"}


def keys_in_use(**overrides: Any) -> dict[str, str]:
    """Name of each encrypted resource -> the key it names."""
    return {r.name: r.inputs[key] for r in custom(run(**overrides)) for key in KEY_INPUTS if key in r.inputs}


# -- wiring -----------------------------------------------------------------------------------------------------------


def test_log_group_topics_and_queue_are_encrypted_with_the_stacks_own_key() -> None:
    key_arn = made(the(run(), KEY))["arn"]
    assert keys_in_use(alerts={"subscribers": [RAW]}) == dict.fromkeys(
        [
            "threat-monitor-flow-logs-log-group",
            "threat-monitor-alerts-dead-letters",
            "threat-monitor-alerts-topic",
            "threat-monitor-alerts-topic-raw",
        ],
        key_arn,
    )


def test_a_configured_key_is_used_everywhere_and_none_is_made() -> None:
    deployed = run(alerts={"kmsKeyArn": KEY_ARN})
    assert deployed.of_type(KEY) == deployed.of_type(ALIAS) == []
    assert "threat-monitor:index:EncryptionKey" not in {r.type for r in deployed.resources.values()}
    used = keys_in_use(alerts={"kmsKeyArn": KEY_ARN})
    assert set(used.values()) == {KEY_ARN}
    assert len(used) == 3


def test_the_key_lets_the_logs_service_encrypt_exactly_the_log_group_that_is_made() -> None:
    deployed = run()
    policy = json.loads(the(deployed, KEY).inputs["policy"])
    contexts = [
        statement["Condition"]["ArnEquals"]["kms:EncryptionContext:aws:logs:arn"]
        for statement in policy["Statement"]
        if "Condition" in statement
    ]
    assert contexts == [made(the(deployed, LOG_GROUP))["arn"]]


def test_the_log_group_waits_for_the_key() -> None:
    deployed = run()
    assert the(deployed, KEY).urn in the(deployed, LOG_GROUP).depends_on


def test_flow_logs_go_to_the_one_log_group() -> None:
    deployed = run(vpcIds=[VPC])
    destinations = {flow_log.inputs["logDestination"] for flow_log in deployed.of_type(FLOW_LOG)}
    assert destinations == {made(the(deployed, LOG_GROUP))["arn"]}


def test_queries_and_mails_point_at_the_one_log_group() -> None:
    deployed = run(stack="prod")
    assert the(deployed, LOG_GROUP).inputs["name"] == "/threat-monitor/prod/flow-logs"
    assert {tuple(query.inputs["logGroupNames"]) for query in deployed.of_type(QUERY)} == {
        ("/threat-monitor/prod/flow-logs",)
    }
    for target in deployed.of_type(TARGET):
        assert "*2fthreat-monitor*2fprod*2fflow-logs" in target.inputs["inputTransformer"]["inputTemplate"]


def test_mails_link_to_the_dashboard_that_is_made() -> None:
    deployed = run(stack="prod")
    name = the(deployed, DASHBOARD).inputs["dashboardName"]
    assert name == "threat-monitor-prod"
    for target in deployed.of_type(TARGET):
        assert f"#dashboards/dashboard/{name} " in target.inputs["inputTransformer"]["inputTemplate"]


def test_records_queries_and_mails_agree_on_the_format() -> None:
    plain = run(flowLogs={"format": "default"})
    assert "logFormat" not in plain.of_type(FLOW_LOG)[0].inputs
    assert not any("pkt_srcaddr" in text for text in input_texts(plain))
    extended = run(flowLogs={"format": "extended"})
    fields = extended.of_type(FLOW_LOG)[0].inputs["logFormat"].split()
    for query in extended.of_type(QUERY):
        assert query.inputs["queryString"].split('"')[1].split() == ["*"] * len(fields)


def test_flow_log_settings_reach_group_and_flow_logs() -> None:
    settings = {
        "trafficType": "REJECT",
        "aggregationSeconds": 600,
        "retentionDays": 30,
        "logGroupClass": "INFREQUENT_ACCESS",
    }
    deployed = run(flowLogs=settings)
    group = the(deployed, LOG_GROUP).inputs
    assert (group["retentionInDays"], group["logGroupClass"]) == (30, "INFREQUENT_ACCESS")
    assert {(f.inputs["trafficType"], f.inputs["maxAggregationInterval"]) for f in deployed.of_type(FLOW_LOG)} == {
        ("REJECT", 600)
    }


def test_alert_settings_reach_rules_and_mails() -> None:
    deployed = run(
        minimumSeverity="critical",
        findingTypes=["Impact:*"],
        alerts={"includeSamples": False, "includeArchived": True, "accountAlias": "payments"},
    )
    pattern = json.loads(the(deployed, RULE).inputs["eventPattern"])
    assert pattern["detail"]["type"] == [{"prefix": "Impact:"}]
    assert pattern["detail"]["severity"] == [{"numeric": [">=", 9]}]
    assert pattern["detail"]["service"] == {"additionalInfo": {"sample": [False, {"exists": False}]}}
    assert "(payments)" in the(deployed, TARGET).inputs["inputTransformer"]["inputTemplate"]


def test_without_finding_types_every_finding_from_medium_up_alerts() -> None:
    deployed = run(findingTypes=None)
    patterns = [json.loads(rule.inputs["eventPattern"]) for rule in deployed.of_type(RULE)]
    assert [rule.name.rsplit("-", 1)[-1] for rule in deployed.of_type(RULE)] == ["critical", "high", "medium"]
    assert not any("type" in pattern["detail"] for pattern in patterns)


def test_detector_settings_reach_the_detector() -> None:
    deployed = run(detector=IMPORT, findingPublishingFrequency="FIFTEEN_MINUTES")
    assert the(deployed, DETECTOR).inputs["findingPublishingFrequency"] == "FIFTEEN_MINUTES"
    assert the(deployed, DETECTOR).import_id == DETECTOR_ID
    assert deployed.outputs["detectorId"] == DETECTOR_ID


def test_each_address_and_subscriber_has_one_subscription() -> None:
    deployed = run(alertEmails=["a@example.com", "b@example.com"], alerts={"subscribers": [RAW]})
    assert sorted((s.inputs["protocol"], s.inputs["endpoint"]) for s in deployed.of_type(SUBSCRIPTION)) == [
        ("email", "a@example.com"),
        ("email", "b@example.com"),
        ("https", "https://hooks.example.com/token"),
    ]


TWICE: dict[str, dict[str, Any]] = {
    "an alert address": {"subscribers": [{"protocol": "email", "endpoint": "security@example.com"}]},
    "a subscriber": {"subscribers": [RAW, RAW]},
}


@pytest.mark.parametrize("alerts", TWICE.values(), ids=TWICE.keys())
def test_a_subscriber_that_is_already_told_is_a_fault_and_not_a_clash_of_names(alerts: dict[str, Any]) -> None:
    mocks = AwsMocks()
    with pytest.raises(pulumi.RunError, match=r"threat-monitor:alerts\.subscribers\[\d]: "):
        run(alerts=alerts, mocks=mocks)
    assert mocks.resources == []


# -- absence ----------------------------------------------------------------------------------------------------------


def test_in_lookup_mode_there_is_neither_detector_nor_feature() -> None:
    deployed = run(detector=LOOKUP)
    assert deployed.of_type(DETECTOR) == deployed.of_type(FEATURE) == []
    assert deployed.outputs["detectorId"] == DETECTOR_ID


def test_a_stack_of_subnets_logs_no_vpc() -> None:
    flow_logs = run(vpcIds=[]).of_type(FLOW_LOG)
    assert sorted(flow_log.inputs["subnetId"] for flow_log in flow_logs) == [SUBNET, OTHER_SUBNET]
    assert not any("vpcId" in flow_log.inputs for flow_log in flow_logs)


def test_a_stack_of_vpcs_logs_no_subnet() -> None:
    (flow_log,) = run(subnetIds=None, vpcIds=[VPC]).of_type(FLOW_LOG)
    assert flow_log.inputs["vpcId"] == VPC
    assert "subnetId" not in flow_log.inputs


def test_without_a_raw_subscriber_there_is_one_topic() -> None:
    text = {**RAW, "format": "text"}
    assert len(run(alerts={"subscribers": [text]}).of_type(TOPIC)) == 1
    assert len(run(alerts={"subscribers": [RAW]}).of_type(TOPIC)) == 2


@pytest.mark.parametrize("detector", [{"mode": "create"}, IMPORT], ids=["create", "import"])
def test_the_ai_plan_is_declared_only_where_it_is_set(detector: dict[str, str]) -> None:
    def declared(**overrides: Any) -> dict[str, str]:
        features = run(detector=detector, **overrides).of_type(FEATURE)
        return {feature.inputs["name"]: feature.inputs["status"] for feature in features}

    plain = declared()
    assert plain == dict.fromkeys(
        [
            "S3_DATA_EVENTS",
            "EKS_AUDIT_LOGS",
            "EBS_MALWARE_PROTECTION",
            "RDS_LOGIN_EVENTS",
            "LAMBDA_NETWORK_LOGS",
            "RUNTIME_MONITORING",
        ],
        "DISABLED",
    )
    assert declared(protectionPlans={"ai": True}) == {**plain, "AI_PROTECTION": "ENABLED"}
    assert declared(protectionPlans={"ai": False, "s3": True}) == {
        **plain,
        "AI_PROTECTION": "DISABLED",
        "S3_DATA_EVENTS": "ENABLED",
    }


# -- options ----------------------------------------------------------------------------------------------------------


def test_protect_covers_detector_log_group_and_key_and_nothing_else() -> None:
    assert {r.type for r in run(protect=True).resources.values() if r.protect} == {DETECTOR, LOG_GROUP, KEY}
    assert not [r.name for r in run().resources.values() if r.protect]


def test_keep_on_destroy_retains_log_group_and_key_and_nothing_else() -> None:
    kept = run(flowLogs={"keepOnDestroy": True})
    assert {r.type for r in kept.resources.values() if r.retain_on_delete} == {LOG_GROUP, KEY}
    assert not [r.name for r in run().resources.values() if r.retain_on_delete]


def test_import_mode_imports_the_detector_and_create_mode_nothing() -> None:
    assert {r.name for r in run(detector=IMPORT).resources.values() if r.import_id} == {
        "threat-monitor-detection-detector"
    }
    assert not [r.name for r in run().resources.values() if r.import_id]


def test_no_resource_has_an_alias_or_a_provider_of_its_own() -> None:
    assert not [r.name for r in run().resources.values() if r.aliases or r.provider]


# -- names ------------------------------------------------------------------------------------------------------------


def test_the_order_of_subnets_changes_no_urn_and_no_input() -> None:
    assert inputs_by_urn(run(subnetIds=[SUBNET, OTHER_SUBNET])) == inputs_by_urn(run(subnetIds=[OTHER_SUBNET, SUBNET]))


def test_another_subnet_adds_exactly_one_resource_and_changes_no_other() -> None:
    before = inputs_by_urn(run(subnetIds=[SUBNET]))
    after = inputs_by_urn(run(subnetIds=[OTHER_SUBNET, SUBNET]))
    (added,) = after.keys() - before.keys()
    assert added.endswith(OTHER_SUBNET)
    assert before == {urn: inputs for urn, inputs in after.items() if urn != added}


def test_every_flow_log_is_named_by_what_it_logs() -> None:
    for flow_log in run(vpcIds=[VPC]).of_type(FLOW_LOG):
        assert flow_log.name.endswith(flow_log.inputs.get("subnetId") or flow_log.inputs["vpcId"])


def test_only_log_group_dashboard_and_queries_have_the_stack_in_their_urn_or_inputs() -> None:
    deployed = run(stack="blue")
    assert not [r.name for r in deployed.resources.values() if "blue" in r.name]
    fixed = [r.type for r in custom(deployed) for key in ("name", "dashboardName") if "blue" in str(r.inputs.get(key))]
    assert set(fixed) == {LOG_GROUP, QUERY, "aws:cloudwatch/dashboard:Dashboard"}


# -- text -------------------------------------------------------------------------------------------------------------

FULL: dict[str, Any] = {
    "vpcIds": [VPC],
    "protectionPlans": {"ai": True},
    "alerts": {"subscribers": [RAW], "accountAlias": "payments"},
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
    (KEY, "Action", "kms:GenerateDataKey*"): "with and without plaintext, as the AWS pages on SNS and CloudWatch Logs",
    (KEY, "Action", "kms:ReEncrypt*"): "from and to, as the AWS page on encrypted log groups",
    (KEY, "Action", "kms:Describe*"): "as the AWS page on encrypted log groups",
    ("aws:iam/role:Role", "Condition", "arn:aws:ec2:eu-west-1:111122223333:vpc-flow-log/*"): (
        "the id of a flow log does not exist before its role"
    ),
    (
        "aws:iam/rolePolicy:RolePolicy",
        "Resource",
        "arn:aws:logs:eu-west-1:111122223333:log-group:/threat-monitor/dev/flow-logs:*",
    ): "the streams of the one log group",
}


def test_no_policy_has_a_wildcard_but_those_with_a_reason() -> None:
    found = {
        (type_, part, text)
        for type_, document in documents(run(**FULL))
        for statement in document["Statement"]
        for part, value in statement.items()
        for text in texts(value)
        if "*" in text or "?" in text
    }
    assert found == WILDCARDS.keys()


def test_no_statement_denies_or_excepts() -> None:
    for _, document in documents(run(**FULL)):
        for statement in document["Statement"]:
            assert statement["Effect"] == "Allow"
            assert not {"NotAction", "NotPrincipal", "NotResource"} & statement.keys()


def test_every_policy_is_found_by_these_tests() -> None:
    types = [type_.rsplit(":", 1)[-1] for type_, _ in documents(run(**FULL))]
    assert sorted(types) == ["Key", "QueuePolicy", "Role", "RolePolicy", "TopicPolicy", "TopicPolicy"]


def test_targets_and_their_queue_are_of_this_stack() -> None:
    deployed = run()
    assert {t.inputs["deadLetterConfig"]["arn"] for t in deployed.of_type(TARGET)} == {
        made(the(deployed, QUEUE))["arn"]
    }
    assert the(deployed, SUBSCRIPTION).inputs["topic"] == made(named(deployed, "threat-monitor-alerts-topic"))["arn"]
