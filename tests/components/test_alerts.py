import json
from functools import cache
from typing import Any

import pulumi
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
    inputs_by_urn,
    made,
    named,
    run_component,
    texts,
    the,
)

from components.alerts import FindingAlerts, FindingAlertsArgs
from threatmon.emulator.program import ProgramRun
from threatmon.model.event_patterns import PATTERN_QUOTA
from threatmon.model.finding_types import catalogue
from threatmon.model.settings import AlertSettings, AlertSubscriber
from threatmon.model.severity import BANDS

MAIL = "security@example.com"
TOKEN = "T0PS3CRET"
HOOK = f"https://hooks.example.com/{TOKEN}"
# Enough names to exceed the quota of one pattern, none of which covers another.
MANY_TYPES = sorted(catalogue())


def subscriber(protocol: Any, endpoint: str, **values: Any) -> AlertSubscriber:
    return AlertSubscriber(protocol=protocol, endpoint=endpoint, **values)


RAW = subscriber("sqs", f"arn:aws:sqs:eu-west-1:{ACCOUNT}:siem", format="raw")


def deploy(*subscribers: AlertSubscriber, **args: Any) -> ProgramRun:
    given: dict[str, Any] = {
        "emails": [MAIL],
        "kms_key_arn": KEY_ARN,
        "settings": AlertSettings(subscribers=subscribers),
        **args,
    }

    def build() -> None:
        alerts = FindingAlerts("page", FindingAlertsArgs(**given))
        pulumi.export("topic", alerts.topic_arn)
        pulumi.export("topics", alerts.topic_names)
        pulumi.export("queue", alerts.dead_letter_queue_url)
        pulumi.export("rules", alerts.rule_names)

    return run_component(build)


@cache
def usual(*, raw: bool = False) -> ProgramRun:
    """Deploy the defaults, with or without a raw subscriber."""
    return deploy(*[RAW] * raw)


def statements(run: ProgramRun, policy_type: str) -> list[dict[str, Any]]:
    """The statements of the one policy of a type."""
    return json.loads(the(run, policy_type).inputs["policy"])["Statement"]


# -- rules ------------------------------------------------------------------------------------------------------------


def test_a_rule_matches_findings_of_the_chosen_types_in_its_band() -> None:
    rule = named(deploy(finding_types=["Recon:EC2/Portscan", "Trojan:*"], minimum_severity="high"), "page-high", "Rule")
    assert set(rule.inputs) == {"description", "eventPattern"}
    assert json.loads(rule.inputs["eventPattern"]) == {
        "source": ["aws.guardduty"],
        "detail-type": ["GuardDuty Finding"],
        "detail": {
            "severity": [{"numeric": [">=", 7, "<", 9]}],
            "type": ["Recon:EC2/Portscan", {"prefix": "Trojan:"}],
            "service": {"archived": [False, {"exists": False}]},
        },
    }


def test_samples_and_archived_findings_follow_their_settings() -> None:
    settings = AlertSettings(include_samples=False, include_archived=True)
    pattern = json.loads(the(deploy(settings=settings, minimum_severity="critical"), RULE).inputs["eventPattern"])
    assert pattern["detail"]["service"] == {"additionalInfo": {"sample": [False, {"exists": False}]}}


def test_a_large_selection_is_split_over_several_rules_each_with_its_target_and_its_permissions() -> None:
    run = deploy(finding_types=MANY_TYPES, minimum_severity="critical")
    patterns = [rule.inputs["eventPattern"] for rule in run.of_type(RULE)]
    assert len(patterns) > 1
    assert all(len(pattern) <= PATTERN_QUOTA for pattern in patterns)
    assert sorted(type_ for pattern in patterns for type_ in json.loads(pattern)["detail"]["type"]) == MANY_TYPES
    for target in run.of_type(TARGET):
        assert target.inputs["rule"] == made(named(run, target.name, "EventRule"))["name"]
    assert len(run.of_type(TARGET)) == len(patterns)
    arns = sorted(made(rule)["arn"] for rule in run.of_type(RULE))
    for policy_type in (TOPIC_POLICY, QUEUE_POLICY):
        assert sorted(statements(run, policy_type)[-1]["Condition"]["ArnEquals"]["aws:SourceArn"]) == arns


# -- delivery ---------------------------------------------------------------------------------------------------------


def test_the_mail_goes_to_the_topic_that_the_targets_point_at() -> None:
    run = usual()
    topic_arn = made(the(run, TOPIC))["arn"]
    assert the(run, SUBSCRIPTION).inputs == {"topic": topic_arn, "protocol": "email", "endpoint": MAIL}
    assert {target.inputs["arn"] for target in run.of_type(TARGET)} == {topic_arn}


def test_every_target_retries_for_a_day_and_gives_what_it_cannot_deliver_to_the_queue() -> None:
    run = usual(raw=True)
    queue_arn = made(the(run, QUEUE))["arn"]
    assert [target.inputs["deadLetterConfig"] for target in run.of_type(TARGET)] == [{"arn": queue_arn}] * 6
    for target in run.of_type(TARGET):
        assert target.inputs["retryPolicy"] == {"maximumRetryAttempts": 185, "maximumEventAgeInSeconds": 86400}


def test_the_account_and_the_rules_may_use_the_topic_and_the_rules_alone_the_queue() -> None:
    run = usual()
    events, owner = {"Service": "events.amazonaws.com"}, {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    for policy_type, type_, principals in ((TOPIC_POLICY, TOPIC, [owner, events]), (QUEUE_POLICY, QUEUE, [events])):
        assert [statement["Principal"] for statement in statements(run, policy_type)] == principals
        assert {statement["Resource"] for statement in statements(run, policy_type)} == {made(the(run, type_))["arn"]}
    assert the(run, TOPIC_POLICY).inputs["arn"] == made(the(run, TOPIC))["arn"]
    assert the(run, QUEUE_POLICY).inputs["queueUrl"] == made(the(run, QUEUE))["url"]


def test_targets_wait_for_the_policies_of_their_topic_and_the_queue() -> None:
    run = usual(raw=True)
    for target in run.of_type(TARGET):
        suffix = "-raw" if target.name.endswith("-raw") else ""
        assert {named(run, f"page-topic{suffix}-policy").urn, the(run, QUEUE_POLICY).urn} <= target.depends_on


def test_the_queue_keeps_all_it_can_and_topics_and_queue_are_encrypted_with_the_key() -> None:
    run = usual(raw=True)
    assert the(run, QUEUE).inputs == {
        "messageRetentionSeconds": 14 * 24 * 3600,
        "maxMessageSize": 1024 * 1024,
        "kmsMasterKeyId": KEY_ARN,
    }
    expected = {"displayName": "GuardDuty alerts", "kmsMasterKeyId": KEY_ARN}
    assert {topic.name: topic.inputs for topic in run.of_type(TOPIC)} == {
        "page-topic": expected,
        "page-topic-raw": expected,
    }


def test_the_key_of_the_settings_comes_before_the_other() -> None:
    own = KEY_ARN.replace("1234", "5678")
    settings = AlertSettings(kms_key_arn=own)
    for run in (deploy(settings=settings), deploy(settings=settings, kms_key_arn=None)):
        assert the(run, TOPIC).inputs["kmsMasterKeyId"] == the(run, QUEUE).inputs["kmsMasterKeyId"] == own


@pytest.mark.parametrize("missing", [{"emails": []}, {"kms_key_arn": None}])
def test_alerts_for_nobody_or_without_a_key_are_refused_by_the_name_of_the_input(missing: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(missing))):
        deploy(**missing)


# -- the mail ---------------------------------------------------------------------------------------------------------


def test_the_mail_of_each_rule_carries_the_word_of_its_band() -> None:
    for target in deploy(finding_types=MANY_TYPES, minimum_severity="low").of_type(TARGET):
        band = target.name.split("-")[1]
        template = target.inputs["inputTransformer"]["inputTemplate"]
        assert template.startswith(f'"{band.upper()}: <type>"')
        assert not any(f"{other.name.upper()}: " in template for other in BANDS if other.name != band)


def test_the_mail_names_the_account_and_links_to_the_log_group_and_the_dashboard_that_are_given() -> None:
    run = deploy(settings=AlertSettings(account_alias="payments"), log_group_name="/logs", dashboard_name="board")
    template = run.of_type(TARGET)[0].inputs["inputTransformer"]["inputTemplate"]
    assert '"Account: <account> (payments)"' in template
    assert "*2flogs" in template
    assert "/cloudwatch/home?region=<region>#dashboards/dashboard/board " in template
    assert "/cloudwatch/" not in usual().of_type(TARGET)[0].inputs["inputTransformer"]["inputTemplate"]


# -- channels ---------------------------------------------------------------------------------------------------------


def test_a_raw_subscriber_gets_the_event_as_it_is_by_a_topic_of_its_own() -> None:
    run = usual(raw=True)
    raw_arn = made(named(run, "page-topic-raw"))["arn"]
    raw = [target for target in run.of_type(TARGET) if target.inputs["arn"] == raw_arn]
    assert sorted(target.name for target in raw) == ["page-critical-raw", "page-high-raw", "page-medium-raw"]
    assert not any("inputTransformer" in target.inputs for target in raw)
    assert all("inputTransformer" in target.inputs for target in run.of_type(TARGET) if target not in raw)
    (subscription,) = (s for s in run.of_type(SUBSCRIPTION) if s.inputs["protocol"] == "sqs")
    assert subscription.inputs["topic"] == raw_arn


@pytest.mark.parametrize("values", [{}, {"minimum_severity": "high"}])
def test_a_subscriber_to_the_mail_of_every_alert_shares_its_topic(values: dict[str, Any]) -> None:
    run = deploy(subscriber("https", HOOK, **values), minimum_severity="high")
    topic_arn = made(the(run, TOPIC))["arn"]
    assert [subscription.inputs["topic"] for subscription in run.of_type(SUBSCRIPTION)] == [topic_arn] * 2


def test_a_subscriber_with_a_severity_of_its_own_gets_a_topic_that_lower_bands_do_not_reach() -> None:
    run = deploy(subscriber("sms", "+491701234567", minimum_severity="critical"), minimum_severity="high")
    topics = {topic.name: made(topic)["arn"] for topic in run.of_type(TOPIC)}
    reached = {name: {t.name for t in run.of_type(TARGET) if t.inputs["arn"] == arn} for name, arn in topics.items()}
    assert reached == {
        "page-topic": {"page-high", "page-critical"},
        "page-topic-critical": {"page-critical-critical"},
    }
    subscriptions = {s.inputs["protocol"]: s.inputs["topic"] for s in run.of_type(SUBSCRIPTION)}
    assert subscriptions == {"email": topics["page-topic"], "sms": topics["page-topic-critical"]}


def test_without_addresses_a_raw_subscriber_alone_makes_only_the_raw_topic() -> None:
    run = deploy(RAW, emails=[])
    assert the(run, TOPIC).name == "page-topic-raw"
    assert len(run.of_type(TARGET)) == len(run.of_type(RULE))


def test_a_subscribers_endpoint_is_a_secret_and_shows_nowhere_else() -> None:
    run = deploy(
        subscriber("https", HOOK),
        subscriber("https", HOOK, format="raw"),
        subscriber("sqs", f"arn:aws:sqs:eu-west-1:{ACCOUNT}:{TOKEN}", format="raw"),
        subscriber("lambda", f"arn:aws:lambda:eu-west-1:{ACCOUNT}:function:{TOKEN}"),
        subscriber("email-json", f"{TOKEN}@example.com", format="raw"),
        subscriber("email", f"{TOKEN}@example.com", format="raw"),
        subscriber("sms", f"+1555{TOKEN}"),
    )
    hidden = [s for s in run.of_type(SUBSCRIPTION) if s.inputs["endpoint"] != MAIL]
    assert [s.secret_inputs for s in hidden] == [{"endpoint"}] * 7
    elsewhere = [
        text
        for r in run.resources.values()
        for text in (r.urn, r.name, *texts({k: v for k, v in r.inputs.items() if r not in hidden or k != "endpoint"}))
    ]
    assert not [text for text in elsewhere if TOKEN in text]


def test_the_address_of_a_mail_is_in_plain_text_as_the_name_shows_it_anyway() -> None:
    subscription = the(usual(), SUBSCRIPTION)
    assert subscription.name == f"page-{MAIL}"
    assert subscription.secret_inputs == frozenset()


# -- names and outputs ------------------------------------------------------------------------------------------------


def test_the_order_of_addresses_subscribers_and_finding_types_changes_nothing() -> None:
    emails, others = ["a@example.com", "b@example.com"], [RAW, subscriber("https", HOOK)]
    one_way = deploy(*others, emails=emails, finding_types=MANY_TYPES)
    the_other = deploy(*others[::-1], emails=emails[::-1], finding_types=MANY_TYPES[::-1])
    assert inputs_by_urn(one_way) == inputs_by_urn(the_other)


def test_another_address_adds_one_resource_and_changes_no_other() -> None:
    before, after = inputs_by_urn(usual()), inputs_by_urn(deploy(emails=["a@example.com", MAIL]))
    (added,) = after.keys() - before.keys()
    assert added.endswith("a@example.com")
    assert after == {**before, added: after[added]}


def test_its_outputs_are_the_topic_of_the_mail_the_queue_and_the_names_of_topics_and_rules() -> None:
    run = deploy(RAW, minimum_severity="high")
    assert run.outputs == {
        "topic": made(named(run, "page-topic"))["arn"],
        "topics": {f"topic{suffix}": made(named(run, f"page-topic{suffix}"))["name"] for suffix in ("", "-raw")},
        "queue": made(the(run, QUEUE))["url"],
        "rules": {band: made(named(run, f"page-{band}", "EventRule"))["name"] for band in ("high", "critical")},
    }
