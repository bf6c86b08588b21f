"""The rules between the values of a config, and the warnings."""

from typing import Any

import pytest
from examples import DETECTOR_ID, OTHER_SUBNET, SLACK, SUBNET, TEAMS, VPC
from hypothesis import given
from hypothesis import strategies as st
from parsing import MINIMAL, Config, faults, faults_beside, nested, parsed, warnings

from threatmon.model.finding_types import catalogue
from threatmon.model.settings import ConfigFaults, parse
from threatmon.stacks.files import StackFile, settings_of

NOTHING_TO_LOG = "subnetIds: is empty, and so is threat-monitor:vpcIds; name at least one subnet or VPC to log"
BOTH_SPELLINGS = "alertEmail: is set and so is threat-monitor:alertEmails; keep one of them"
CONTRADICTS_LOOKUP = 'contradicts detector mode "lookup", which manages nothing; remove it, or use mode "import"'
LOOKUP = {"mode": "lookup"}
SUBSCRIBERS_OF_EVERY_KIND = [
    {"protocol": "https", "endpoint": f"https://example.com/{f}/{s}", "format": f, "minimumSeverity": s}
    for f in ("text", "raw")
    for s in ("medium", "high", "critical")
]
NO_CHAT = "AWS has no chat there; use an https or email subscriber (threat-monitor:alerts.subscribers)"
ALREADY_SUBSCRIBED = "is subscribed already, by threat-monitor:alertEmails or above; once is enough"
RAW = {"protocol": "https", "endpoint": "https://example.com/hook", "format": "raw"}
PAGER = {"protocol": "https", "endpoint": "https://example.com/hook", "minimumSeverity": "low"}


@pytest.mark.parametrize(
    ("config", "fault"),
    [
        ({"subnetIds": []}, NOTHING_TO_LOG),
        ({"subnetIds": "[]", "vpcIds": "[]"}, NOTHING_TO_LOG),
        ({"alertEmails": []}, 'alertEmails: is required, such as ["soc@example.com"]'),
        ({"findingTypes": []}, 'findingTypes: is empty; leave it out, or write ["*"], for every type'),
        ({"alertEmail": "a@example.com"}, BOTH_SPELLINGS),
        ({"alertEmail": "a@example.com", "alertEmails": '["b@example.com"]'}, BOTH_SPELLINGS),
        (
            {"detector": {"id": DETECTOR_ID}},
            f'detector.id: "{DETECTOR_ID}" contradicts mode "create"; use mode "import" or "lookup"',
        ),
        (
            {"detector": {"mode": "import"}},
            'detector.id: is required by mode "import" (aws guardduty list-detectors prints it)',
        ),
        ({"detector": LOOKUP, "protectionPlans": {"s3": True}}, f"protectionPlans: {CONTRADICTS_LOOKUP}"),
        ({"detector": LOOKUP, "protectionPlans": {"s3": False}}, f"protectionPlans: {CONTRADICTS_LOOKUP}"),
        (
            {"detector": LOOKUP | {"id": DETECTOR_ID}, "findingPublishingFrequency": "ONE_HOUR"},
            f"findingPublishingFrequency: {CONTRADICTS_LOOKUP}",
        ),
        (
            {"minimumSeverity": "high", "alerts": {"subscribers": [PAGER]}},
            'alerts.subscribers[0].minimumSeverity: "low" is below threat-monitor:minimumSeverity high, '
            "which nothing passes",
        ),
        *(
            (
                {"alerts": {chat: ids | {"minimumSeverity": "low"}}},
                f'alerts.{chat}.minimumSeverity: "low" is below threat-monitor:minimumSeverity medium, '
                "which nothing passes",
            )
            for chat, ids in (("slack", SLACK), ("teams", TEAMS))
        ),
        (
            {"alerts": {"subscribers": [{"protocol": "email", "endpoint": "SOC@example.com"}]}},
            f"alerts.subscribers[0]: {ALREADY_SUBSCRIBED}",
        ),
        ({"alerts": {"subscribers": [RAW, RAW]}}, f"alerts.subscribers[1]: {ALREADY_SUBSCRIBED}"),
    ],
)
def test_values_that_contradict_each_other_or_lack_one_another_are_one_fault(config: Config, fault: str) -> None:
    assert faults_beside(config) == [fault]


@pytest.mark.parametrize(
    ("key", "items", "fault"),
    [
        ("subnetIds", [SUBNET, OTHER_SUBNET, SUBNET, SUBNET], f'[2]: "{SUBNET}" is listed 3 times; once is enough'),
        ("vpcIds", [VPC, VPC], f'[1]: "{VPC}" is listed 2 times; once is enough'),
        ("findingTypes", ["Recon:*", "Recon:*"], '[1]: "Recon:*" is listed 2 times; once is enough'),
        ("alertEmails", ["SOC@b.io", "soc@b.io"], '[1]: "soc@b.io" is listed 2 times; once is enough'),
        ("health.emails", ["a@b.io", "A@b.io"], '[1]: "a@b.io" is listed 2 times; once is enough'),
    ],
)
def test_an_item_listed_twice_is_one_fault_at_the_second(key: str, items: list[str], fault: str) -> None:
    assert faults_beside(nested(key, items)) == [f"{key}{fault}"]


@pytest.mark.parametrize("emails", [False, 0, "", {}, "x"])
def test_a_wrong_alert_emails_is_a_fault_beside_alert_email_too(emails: Any) -> None:
    assert faults({"subnetIds": [SUBNET], "alertEmail": "a@example.com", "alertEmails": emails})


@pytest.mark.parametrize(
    "config",
    [
        {"detector": LOOKUP, "protectionPlans": {}, "findingPublishingFrequency": "SIX_HOURS"},
        {"detector": LOOKUP | {"id": DETECTOR_ID}},
        {"alerts": {"subscribers": SUBSCRIBERS_OF_EVERY_KIND}},
        {"alerts": {"slack": SLACK | {"minimumSeverity": "medium"}, "teams": TEAMS | {"minimumSeverity": "critical"}}},
        {"alerts": {"slack": SLACK | {"minimumSeverity": "low"}}, "findingTypes": ["*"]},
        {"subnetIds": [], "vpcIds": [VPC]},
        {"flowLogs": {"keepOnDestroy": True}, "protect": False},
    ],
)
def test_values_that_agree_are_no_fault(config: Config) -> None:
    assert parsed(config)


@pytest.mark.parametrize(
    ("health", "emails"),
    [
        ({}, ()),
        ({"emails": ["watch@example.com"]}, ()),
        ({"enabled": True}, ("soc@example.com",)),
        ({"enabled": True, "emails": ["watch@example.com"]}, ("watch@example.com",)),
    ],
)
def test_the_alarms_go_to_who_gets_the_alerts_unless_others_are_named_and_to_nobody_while_off(
    health: Config, emails: tuple[str, ...]
) -> None:
    assert parsed({"health": health}).health_emails == emails


@pytest.mark.parametrize(
    ("protocol", "endpoint", "kind"),
    [
        ("email", "not an address", "an e-mail address"),
        ("email-json", "a@b", "an e-mail address"),
        ("https", "http://example.com/s3cret", "an https:// URL"),
        ("sqs", "https://sqs.eu-west-1.amazonaws.com/111122223333/s3cret", "the ARN of a queue"),
        ("lambda", "arn:aws:sqs:eu-west-1:111122223333:s3cret", "the ARN of a function"),
        ("sms", "0170 1234567", "a phone number in international form (+49...)"),
    ],
)
def test_an_endpoint_has_the_form_its_protocol_needs(protocol: str, endpoint: str, kind: str) -> None:
    assert faults_beside({"alerts": {"subscribers": [{"protocol": protocol, "endpoint": endpoint}]}}) == [
        f"alerts.subscribers[0].endpoint: the value (hidden, it may hold a token) is not {kind}, "
        f'as protocol "{protocol}" needs'
    ]


@pytest.mark.parametrize(
    ("protocol", "endpoint"),
    [
        ("email", "a.b+c@example.co.uk"),
        ("https", "https://example.com/hook?token=1"),
        ("sqs", "arn:aws-us-gov:sqs:us-gov-west-1:111122223333:queue"),
        ("lambda", "arn:aws:lambda:eu-west-1:111122223333:function:alert"),
        ("sms", "+491701234567"),
        ("https", "secret"),
    ],
)
def test_a_fitting_endpoint_and_an_encrypted_one_are_fine(protocol: str, endpoint: str) -> None:
    settings = parsed({"alerts": {"subscribers": [{"protocol": protocol, "endpoint": endpoint}]}})
    assert [subscriber.endpoint for subscriber in settings.alerts.subscribers] == [endpoint]


# -- chat -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("region", ["cn-north-1", "cn-northwest-1", "us-gov-east-1", "us-gov-west-1"])
def test_chat_where_aws_has_none_is_a_fault_that_says_what_to_use_instead(region: str) -> None:
    with pytest.raises(ConfigFaults) as refusal:
        parse(MINIMAL | {"alerts": {"slack": SLACK, "teams": TEAMS}}, "dev", region)
    assert [str(fault) for fault in refusal.value.faults] == [
        f"threat-monitor:alerts.{chat}: is not possible in {region}: {NO_CHAT}" for chat in ("slack", "teams")
    ]


@pytest.mark.parametrize("region", [None, "eu-west-1", "us-east-1"])
def test_chat_elsewhere_or_where_the_region_is_unknown_is_fine(region: str | None) -> None:
    assert parse(MINIMAL | {"alerts": {"slack": SLACK, "teams": TEAMS}}, "dev", region)[0].alerts.slack


def test_a_stack_file_in_china_without_chat_is_fine() -> None:
    assert settings_of(stack_file("cn-north-1", {})).alerts.slack is None


def test_a_stack_file_is_checked_for_its_own_region() -> None:
    assert settings_of(stack_file("eu-west-1", {"slack": SLACK})).alerts.slack
    with pytest.raises(ConfigFaults, match="is not possible in cn-north-1"):
        settings_of(stack_file("cn-north-1", {"slack": SLACK}))


def stack_file(region: str, alerts: Config) -> StackFile:
    ours = {f"threat-monitor:{key}": value for key, value in {**MINIMAL, "alerts": alerts}.items()}
    return StackFile("dev", {"aws:region": region, **ours})


# -- finding types and warnings ---------------------------------------------------------------------------------------


def test_a_runbook_is_for_a_finding_type_or_family_that_exists() -> None:
    address = "https://wiki.example.com"
    known = dict.fromkeys(("*", "Recon:*", "Recon:EC2/*", "Recon:EC2/Portscan"), address)
    assert parsed({"alerts": {"runbooks": known}}).alerts.runbooks == known
    assert warnings({"alerts": {"runbooks": known}}) == []
    assert faults_beside(
        {"alerts": {"runbooks": dict.fromkeys(("Recon:EC2/PortScan", "Rcon:*", "a*b", ""), address)}}
    ) == [
        'alerts.runbooks.Recon:EC2/PortScan: is not a GuardDuty finding type; did you mean "Recon:EC2/Portscan"?',
        'alerts.runbooks.Rcon:*: matches no GuardDuty finding type; did you mean "Recon:*"?',
        'alerts.runbooks.a*b: has a "*" that is not at its end (a family looks like "Recon:EC2/*")',
        "alerts.runbooks.: is not a GuardDuty finding type",
    ]


def test_a_runbook_for_an_unknown_type_is_a_warning_where_these_are_allowed() -> None:
    config = {"alerts": {"runbooks": {"New:EC2/Thing": "https://wiki"}}, "allowUnknownFindingTypes": True}
    assert parsed(config).alerts.runbooks == {"New:EC2/Thing": "https://wiki"}
    assert warnings(config) == [
        "threat-monitor:alerts.runbooks.New:EC2/Thing: is unknown to the catalogue; if it is mistyped, nothing links "
        "there"
    ]
    config["alerts"] = {"runbooks": {"New EC2": "https://wiki"}}
    assert faults_beside(config) == ["alerts.runbooks.New EC2: is not a GuardDuty finding type"]


@given(
    st.text(max_size=20)
    | st.sampled_from([*catalogue()]).flatmap(lambda name: st.integers(0, len(name)).map(lambda end: f"{name[:end]}*"))
)
def test_a_runbook_takes_the_same_finding_types_as_the_choice_of_findings(entry: str) -> None:
    def is_fine(config: Config) -> bool:
        try:
            return bool(parsed(config))
        except ConfigFaults:
            return False

    for allow in (True, False):
        common = {"allowUnknownFindingTypes": allow}
        assert is_fine({"alerts": {"runbooks": {entry: "https://wiki"}}, **common}) == is_fine(
            {"findingTypes": [entry], **common}
        )


def test_an_unknown_type_is_a_fault_unless_allowed_and_then_a_warning() -> None:
    unknown = ["New:EC2/Thing", "New:*"]
    assert faults_beside({"findingTypes": unknown}) == [
        'findingTypes[0]: "New:EC2/Thing" is not a GuardDuty finding type',
        'findingTypes[1]: "New:*" matches no GuardDuty finding type',
    ]
    text = "is unknown to the catalogue and passed on as it is; if it is mistyped, it matches nothing"
    assert warnings({"findingTypes": unknown, "allowUnknownFindingTypes": True}) == [
        f'threat-monitor:findingTypes[0]: "New:EC2/Thing" {text}',
        f'threat-monitor:findingTypes[1]: "New:*" {text}',
    ]


@pytest.mark.parametrize("entry", ["New EC2", "New:EC2/", "Recon:*/Portscan", "", "New:EC2/" + "x" * 93])
def test_what_cannot_be_a_type_is_a_fault_even_if_unknown_ones_are_allowed(entry: str) -> None:
    [fault] = faults_beside({"findingTypes": [entry], "allowUnknownFindingTypes": True})
    assert fault.startswith("findingTypes[0]: ")


RETIRED = next(row for row in catalogue().values() if row.retired)


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"findingTypes": [RETIRED.name]}, f'"{RETIRED.name}" is retired: GuardDuty no longer raises it'),
        (
            {"findingTypes": ["Recon:EC2/Portscan"], "minimumSeverity": "high"},
            '"Recon:EC2/Portscan" is usually of medium severity, below threat-monitor:minimumSeverity high, so it will'
            " seldom or never alert",
        ),
        (
            {"findingTypes": ["Discovery:S3/AnomalousBehavior"]},
            '"Discovery:S3/AnomalousBehavior" is never raised while threat-monitor:protectionPlans.s3 is off',
        ),
        (
            {"findingTypes": ["Backdoor:Runtime/C&CActivity.B"], "protectionPlans": {"runtime": False}},
            '"Backdoor:Runtime/C&CActivity.B" is never raised while threat-monitor:protectionPlans.runtime is off',
        ),
    ],
)
def test_a_type_that_will_not_alert_is_a_warning(config: Config, text: str) -> None:
    assert warnings(config) == [f"threat-monitor:findingTypes[0]: {text}"]


def test_every_type_warns_only_if_it_will_not_alert() -> None:
    for row in catalogue().values():
        said = warnings({"findingTypes": [row.name], "minimumSeverity": "medium"})
        off = row.plan not in {None, "ai"}  # ai is left as it is unless set
        assert len(said) == (row.retired or row.severity == "Low" or off), row.name
        assert len(warnings({"findingTypes": [row.name]})) == (row.retired or off), row.name
        for is_on in (True, False) if row.plan else ():
            said = warnings({"findingTypes": [row.name], "protectionPlans": {row.plan: is_on}})
            assert len(said) == (not is_on), row.name


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"findingTypes": ["*"], "minimumSeverity": "critical"},
        {"findingTypes": ["Recon:EC2/*", "Discovery:S3/*"], "minimumSeverity": "critical"},
        {"findingTypes": ["Recon:EC2/Portscan"], "minimumSeverity": "medium"},
        {"findingTypes": ["Recon:EC2/Portscan"], "allowUnknownFindingTypes": True},
        {"findingTypes": ["Discovery:S3/AnomalousBehavior"], "protectionPlans": {"s3": True}},
        {"findingTypes": ["Discovery:S3/AnomalousBehavior"], "detector": {"mode": "lookup"}},
        {"findingTypes": [next(r.name for r in catalogue().values() if r.severity == "Variable" and not r.plan)]},
    ],
)
def test_otherwise_nothing_warns(config: Config) -> None:
    assert warnings(config) == []
