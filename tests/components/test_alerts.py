import json
from typing import Any

import pytest
from examples import ACCOUNT, KEY_ARN
from harness import (
    QUEUE,
    QUEUE_POLICY,
    RULE,
    SUBSCRIPTION,
    TARGET,
    TOPIC,
    TOPIC_POLICY,
    AwsMocks,
    custom,
    inputs_by_urn,
    made,
    named,
    run_component,
    texts,
    the,
)

from components.alerts import AlertSubscriber, FindingAlerts, FindingAlertsArgs
from threatmon.emulator.program import ProgramRun
from threatmon.model.event_patterns import PATTERN_QUOTA
from threatmon.model.finding_types import catalogue
from threatmon.model.severity import BANDS

MAIL = "security@example.com"
RAW = AlertSubscriber("sqs", f"arn:aws:sqs:eu-west-1:{ACCOUNT}:siem", "raw")
TOKEN = "T0PS3CRET"
# Names enough to pass the quota of one pattern, none of which covers another.
MANY_TYPES = sorted(catalogue())


def deploy(mocks: AwsMocks | None = None, **args: Any) -> ProgramRun:
    with_defaults: dict[str, Any] = {"emails": [MAIL], "kms_key_arn": KEY_ARN, **args}
    wanted = FindingAlertsArgs(**with_defaults)
    return run_component(lambda: FindingAlerts("page", wanted), mocks=mocks)


def pattern(run: ProgramRun, rule: str) -> dict[str, Any]:
    return json.loads(named(run, rule, "EventRule").inputs["eventPattern"])


def rule_arns(run: ProgramRun) -> list[str]:
    return sorted(made(rule)["arn"] for rule in run.of_type(RULE))


# -- the choice -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("floor", "bands"),
    [
        ("low", ["critical", "high", "low", "medium"]),
        ("medium", ["critical", "high", "medium"]),
        ("high", ["critical", "high"]),
        ("critical", ["critical"]),
    ],
)
def test_there_is_a_rule_for_each_severity_band_from_the_floor_up(floor: str, bands: list[str]) -> None:
    run = deploy(minimum_severity=floor)
    assert [rule.name for rule in run.of_type(RULE)] == [f"page-{band}" for band in bands]


def test_a_rule_matches_findings_of_the_chosen_types_in_its_band() -> None:
    run = deploy(finding_types=["Recon:EC2/Portscan", "Trojan:*"], minimum_severity="high")
    assert pattern(run, "page-high") == {
        "source": ["aws.guardduty"],
        "detail-type": ["GuardDuty Finding"],
        "detail": {
            "severity": [{"numeric": [">=", 7, "<", 9]}],
            "type": ["Recon:EC2/Portscan", {"prefix": "Trojan:"}],
            "service": {"archived": [False, {"exists": False}]},
        },
    }
    assert set(named(run, "page-high", "EventRule").inputs) == {"description", "eventPattern"}


def test_samples_and_archived_findings_follow_their_settings() -> None:
    strict = pattern(deploy(include_samples=False, minimum_severity="critical"), "page-critical")
    loose = pattern(deploy(include_archived=True, minimum_severity="critical"), "page-critical")
    assert strict["detail"]["service"]["additionalInfo"] == {"sample": [False, {"exists": False}]}
    assert "service" not in loose["detail"]


def test_a_large_selection_is_split_over_several_rules_each_within_the_quota() -> None:
    run = deploy(finding_types=MANY_TYPES, minimum_severity="critical")
    rules = run.of_type(RULE)
    assert len(rules) > 1
    assert all(len(rule.inputs["eventPattern"]) <= PATTERN_QUOTA for rule in rules)
    matched = [type_ for rule in rules for type_ in json.loads(rule.inputs["eventPattern"])["detail"]["type"]]
    assert sorted(matched) == MANY_TYPES


def test_every_rule_of_a_large_selection_has_a_target_and_a_place_in_both_policies() -> None:
    run = deploy(finding_types=MANY_TYPES)
    assert sorted(target.inputs["rule"] for target in run.of_type(TARGET)) == sorted(
        made(rule)["name"] for rule in run.of_type(RULE)
    )
    assert permitted(run, TOPIC_POLICY) == permitted(run, QUEUE_POLICY) == rule_arns(run)


# -- the delivery -----------------------------------------------------------------------------------------------------


def permitted(run: ProgramRun, policy_type: str) -> list[str]:
    """The sources EventBridge may deliver for, by the one policy of a type."""
    statements = json.loads(the(run, policy_type).inputs["policy"])["Statement"]
    (delivery,) = (
        statement for statement in statements if statement["Principal"] == {"Service": "events.amazonaws.com"}
    )
    return sorted(delivery["Condition"]["ArnEquals"]["aws:SourceArn"])


def test_the_mail_goes_to_the_topic_that_the_targets_point_at() -> None:
    run = deploy()
    topic_arn = made(the(run, TOPIC))["arn"]
    assert the(run, SUBSCRIPTION).inputs == {"topic": topic_arn, "protocol": "email", "endpoint": MAIL}
    assert {target.inputs["arn"] for target in run.of_type(TARGET)} == {topic_arn}
    assert len(run.of_type(TARGET)) == len(run.of_type(RULE))


def test_each_target_belongs_to_the_rule_of_its_name() -> None:
    run = deploy()
    for target in run.of_type(TARGET):
        assert target.inputs["rule"] == made(named(run, target.name, "EventRule"))["name"]


def test_every_target_gives_what_it_cannot_deliver_to_the_queue() -> None:
    run = deploy(subscribers=[RAW])
    queue_arn = made(the(run, QUEUE))["arn"]
    assert [target.inputs["deadLetterConfig"] for target in run.of_type(TARGET)] == [{"arn": queue_arn}] * 6
    for target in run.of_type(TARGET):
        assert target.inputs["retryPolicy"] == {"maximumRetryAttempts": 185, "maximumEventAgeInSeconds": 86400}


def test_topic_and_queue_let_exactly_these_rules_deliver() -> None:
    run = deploy()
    assert permitted(run, TOPIC_POLICY) == rule_arns(run)
    assert permitted(run, QUEUE_POLICY) == rule_arns(run)
    assert the(run, TOPIC_POLICY).inputs["arn"] == made(the(run, TOPIC))["arn"]
    assert the(run, QUEUE_POLICY).inputs["queueUrl"] == made(the(run, QUEUE))["url"]


def test_the_policies_name_their_own_topic_and_queue() -> None:
    run = deploy()
    for policy_type, resource_type in ((TOPIC_POLICY, TOPIC), (QUEUE_POLICY, QUEUE)):
        statements = json.loads(the(run, policy_type).inputs["policy"])["Statement"]
        assert {statement["Resource"] for statement in statements} == {made(the(run, resource_type))["arn"]}


def test_besides_the_rules_only_the_account_may_use_the_topic_and_nobody_else_the_queue() -> None:
    run = deploy()
    principals = {
        policy_type: [s["Principal"] for s in json.loads(the(run, policy_type).inputs["policy"])["Statement"]]
        for policy_type in (TOPIC_POLICY, QUEUE_POLICY)
    }
    events = {"Service": "events.amazonaws.com"}
    assert principals[TOPIC_POLICY] == [{"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, events]
    assert principals[QUEUE_POLICY] == [events]


def test_targets_wait_for_the_policies_of_topic_and_queue() -> None:
    run = deploy()
    permissions = {the(run, TOPIC_POLICY).urn, the(run, QUEUE_POLICY).urn}
    assert all(permissions <= target.depends_on for target in run.of_type(TARGET))


def test_topics_and_queue_are_encrypted_with_the_key() -> None:
    run = deploy(subscribers=[RAW])
    keys = [r.inputs["kmsMasterKeyId"] for r in custom(run) if "kmsMasterKeyId" in r.inputs]
    assert keys == [KEY_ARN] * len([*run.of_type(TOPIC), *run.of_type(QUEUE)])
    assert the(run, QUEUE).inputs == {
        "messageRetentionSeconds": 14 * 24 * 3600,
        "maxMessageSize": 1024 * 1024,
        "kmsMasterKeyId": KEY_ARN,
    }


def test_a_topic_has_the_name_a_phone_shows_and_nothing_else() -> None:
    inputs = {topic.name: topic.inputs for topic in deploy(subscribers=[RAW]).of_type(TOPIC)}
    expected = {"displayName": "GuardDuty alerts", "kmsMasterKeyId": KEY_ARN}
    assert inputs == {"page-topic": expected, "page-topic-raw": expected}


def test_alerts_for_nobody_are_refused_by_the_name_of_the_input() -> None:
    with pytest.raises(ValueError, match="emails"):
        deploy(emails=[])


def test_nothing_is_protected_retained_or_imported() -> None:
    resources = deploy(subscribers=[RAW]).resources.values()
    assert not [r.name for r in resources if r.protect or r.retain_on_delete or r.import_id]


# -- the mail ---------------------------------------------------------------------------------------------------------


def test_the_mail_of_each_rule_carries_the_word_of_its_band() -> None:
    run = deploy(finding_types=MANY_TYPES, minimum_severity="low")
    for target in run.of_type(TARGET):
        band = target.name.split("-")[1]
        template = target.inputs["inputTransformer"]["inputTemplate"]
        assert template.startswith(f'"{band.upper()}: <type>"')
        assert not any(f"{other.name.upper()}: " in template for other in BANDS if other.name != band)


def test_each_variable_of_the_mail_has_its_path_and_each_path_is_used() -> None:
    for target in deploy().of_type(TARGET):
        transformer = target.inputs["inputTransformer"]
        for variable in transformer["inputPaths"]:
            assert f"<{variable}>" in transformer["inputTemplate"]


def test_the_account_alias_shows_in_the_mail() -> None:
    template = deploy(account_alias="payments").of_type(TARGET)[0].inputs["inputTransformer"]["inputTemplate"]
    assert '"Account: <account> (payments)"' in template


def test_the_mail_links_to_the_log_group_and_the_dashboard_that_are_named() -> None:
    template = deploy(log_group_name="/logs", dashboard_name="board").of_type(TARGET)[0].inputs["inputTransformer"]
    assert "*2flogs" in template["inputTemplate"]
    assert "/cloudwatch/home?region=<region>#dashboards/dashboard/board " in template["inputTemplate"]
    without = deploy().of_type(TARGET)[0].inputs["inputTransformer"]["inputTemplate"]
    assert "/cloudwatch/" not in without


# -- further subscribers ----------------------------------------------------------------------------------------------


def test_there_is_one_topic_unless_somebody_wants_the_raw_event() -> None:
    assert [topic.name for topic in deploy().of_type(TOPIC)] == ["page-topic"]
    assert [topic.name for topic in deploy(subscribers=[RAW]).of_type(TOPIC)] == ["page-topic", "page-topic-raw"]


def test_the_raw_topic_gets_the_event_as_it_is() -> None:
    run = deploy(subscribers=[RAW])
    raw_arn = made(named(run, "page-topic-raw"))["arn"]
    raw = [target for target in run.of_type(TARGET) if target.inputs["arn"] == raw_arn]
    assert sorted(target.name for target in raw) == ["page-critical-raw", "page-high-raw", "page-medium-raw"]
    assert not any("inputTransformer" in target.inputs for target in raw)
    assert all("inputTransformer" in target.inputs for target in run.of_type(TARGET) if target not in raw)
    (subscription,) = (s for s in run.of_type(SUBSCRIPTION) if s.inputs["protocol"] == "sqs")
    assert subscription.inputs["topic"] == raw_arn


def test_raw_targets_wait_for_the_policy_of_their_own_topic() -> None:
    run = deploy(subscribers=[RAW])
    for target in run.of_type(TARGET):
        suffix = "-raw" if target.name.endswith("-raw") else ""
        assert named(run, f"page-topic{suffix}-policy").urn in target.depends_on


def test_a_text_subscriber_shares_the_mails_topic() -> None:
    run = deploy(subscribers=[AlertSubscriber("https", f"https://hooks.example.com/{TOKEN}")])
    assert {subscription.inputs["topic"] for subscription in run.of_type(SUBSCRIPTION)} == {
        made(the(run, TOPIC))["arn"]
    }


@pytest.mark.parametrize(
    "subscriber",
    [
        AlertSubscriber("https", f"https://hooks.example.com/{TOKEN}"),
        AlertSubscriber("https", f"https://hooks.example.com/{TOKEN}", "raw"),
        AlertSubscriber("sqs", f"arn:aws:sqs:eu-west-1:{ACCOUNT}:{TOKEN}", "raw"),
        AlertSubscriber("lambda", f"arn:aws:lambda:eu-west-1:{ACCOUNT}:function:{TOKEN}"),
        AlertSubscriber("email-json", f"{TOKEN}@example.com", "raw"),
        AlertSubscriber("email", f"{TOKEN}@example.com", "raw"),
        AlertSubscriber("sms", f"+1555{TOKEN}"),
    ],
    ids=lambda it: f"{it.protocol}-{it.format}",
)
def test_a_subscribers_endpoint_is_a_secret_and_shows_nowhere_else(subscriber: AlertSubscriber) -> None:
    run = deploy(subscribers=[subscriber])
    (subscription,) = (s for s in run.of_type(SUBSCRIPTION) if s.inputs["endpoint"] == subscriber.endpoint)
    assert subscription.secret_inputs == {"endpoint"}
    elsewhere = [
        text
        for r in run.resources.values()
        for text in (r.urn, r.name, *texts({k: v for k, v in r.inputs.items() if (r, k) != (subscription, "endpoint")}))
    ]
    assert not [text for text in elsewhere if TOKEN in text]


def test_the_address_of_a_mail_is_in_the_clear_as_the_name_shows_it_anyway() -> None:
    subscription = the(deploy(), SUBSCRIPTION)
    assert subscription.name == f"page-{MAIL}"
    assert subscription.secret_inputs == frozenset()


def test_the_order_of_addresses_and_subscribers_changes_nothing() -> None:
    others = [RAW, AlertSubscriber("https", "https://hooks.example.com/a")]
    one_way = deploy(emails=["a@example.com", "b@example.com"], subscribers=others)
    the_other = deploy(emails=["b@example.com", "a@example.com"], subscribers=others[::-1])
    assert inputs_by_urn(one_way) == inputs_by_urn(the_other)


def test_the_order_of_finding_types_changes_nothing() -> None:
    assert inputs_by_urn(deploy(finding_types=MANY_TYPES)) == inputs_by_urn(deploy(finding_types=MANY_TYPES[::-1]))


def test_another_address_adds_one_resource_and_changes_no_other() -> None:
    before, after = inputs_by_urn(deploy()), inputs_by_urn(deploy(emails=["a@example.com", MAIL]))
    (added,) = after.keys() - before.keys()
    assert added.endswith("a@example.com")
    assert before == {urn: inputs for urn, inputs in after.items() if urn != added}


def test_the_same_endpoint_may_have_the_text_and_the_raw_event() -> None:
    both = [AlertSubscriber("sqs", RAW.endpoint, format_) for format_ in ("text", "raw")]
    assert len(deploy(subscribers=both).of_type(SUBSCRIPTION)) == 3


# -- what it tells ----------------------------------------------------------------------------------------------------


def test_it_tells_the_mails_topic_the_queue_and_the_names_of_the_rules() -> None:
    told: dict[str, Any] = {}

    def build() -> None:
        alerts = FindingAlerts("page", FindingAlertsArgs([MAIL], KEY_ARN, subscribers=[RAW], minimum_severity="high"))
        alerts.topic_arn.apply(lambda it: told.update(topic=it))
        alerts.dead_letter_queue_url.apply(lambda it: told.update(queue=it))
        for name in alerts.rule_names.values():
            name.apply(lambda it: told.setdefault("rules", []).append(it))

    run = run_component(build)
    assert told["topic"] == made(named(run, "page-topic"))["arn"]
    assert told["queue"] == made(the(run, QUEUE))["url"]
    assert sorted(told["rules"]) == sorted(made(rule)["name"] for rule in run.of_type(RULE))


def test_without_addresses_a_raw_subscriber_alone_makes_only_the_raw_topic() -> None:
    run = deploy(emails=[], subscribers=[RAW])
    assert [topic.name for topic in run.of_type(TOPIC)] == ["page-topic-raw"]
    assert len(run.of_type(TARGET)) == len(run.of_type(RULE))


def test_the_console_links_follow_the_partition() -> None:
    mocks = AwsMocks("cn-north-1", "aws-cn")
    for target in deploy(mocks).of_type(TARGET):
        template = target.inputs["inputTransformer"]["inputTemplate"]
        assert "https://console.amazonaws.cn/guardduty/" in template
        assert "console.aws.amazon.com" not in template


def test_a_subscriber_with_a_severity_of_its_own_gets_a_topic_that_lower_bands_do_not_reach() -> None:
    pager = AlertSubscriber("sms", "+491701234567", minimum_severity="critical")
    run = deploy(minimum_severity="high", subscribers=[pager])
    topics = {topic.name: made(topic)["arn"] for topic in run.of_type(TOPIC)}
    assert set(topics) == {"page-topic", "page-topic-critical"}
    reached = {topic: {t.name for t in run.of_type(TARGET) if t.inputs["arn"] == arn} for topic, arn in topics.items()}
    assert reached == {
        "page-topic": {"page-high", "page-critical"},
        "page-topic-critical": {"page-critical-critical"},
    }
    told = {s.inputs["protocol"]: s.inputs["topic"] for s in run.of_type(SUBSCRIPTION)}
    assert told == {"email": topics["page-topic"], "sms": topics["page-topic-critical"]}


def test_a_severity_that_is_the_stacks_own_makes_no_topic_more() -> None:
    pager = AlertSubscriber("sms", "+491701234567", minimum_severity="high")
    assert len(deploy(minimum_severity="high", subscribers=[pager]).of_type(TOPIC)) == 1
