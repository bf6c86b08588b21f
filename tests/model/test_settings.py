import json
import re
import string
from itertools import product
from typing import Any, get_args

import botocore.session
import pytest
from examples import ACCOUNT, DETECTOR_ID, KEY_ARN, SLACK, SUBNET, TEAMS, VPC
from hypothesis import example, given
from hypothesis import settings as limits
from hypothesis import strategies as st
from parsing import MINIMAL, Config, faults, faults_beside, nested, parsed

from threatmon.model.protection_plans import PlanName
from threatmon.model.settings import (
    AlertSettings,
    AlertSubscriber,
    ConfigFaults,
    DetectorSettings,
    FlowLogSettings,
    HealthSettings,
    Settings,
    SlackSettings,
    TeamsSettings,
    parse,
)
from threatmon.model.severity import SeverityName

BOUNDARY = f"arn:aws:iam::{ACCOUNT}:policy/threat-monitor-boundary"
HEX = "0123456789abcdef0"
PLANS: tuple[PlanName, ...] = get_args(PlanName)
FREQUENCIES = ["FIFTEEN_MINUTES", "ONE_HOUR", "SIX_HOURS"]
FLOORS: tuple[SeverityName, ...] = get_args(SeverityName)
# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html
RETENTION_DAYS = {
    *(1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731),
    *(1096, 1827, 2192, 2557, 2922, 3288, 3653),
}


# -- keys and defaults ------------------------------------------------------------------------------------------------


def test_the_defaults_are_those_of_the_contract() -> None:
    settings, said = parse(MINIMAL)
    assert settings.model_dump(by_alias=True) == {
        "subnetIds": (SUBNET,),
        "vpcIds": (),
        "alertEmails": ("soc@example.com",),
        "findingTypes": ("*",),
        "minimumSeverity": None,
        "allowUnknownFindingTypes": False,
        "detector": {"mode": "create", "id": None},
        "protectionPlans": {},
        "findingPublishingFrequency": "SIX_HOURS",
        "flowLogs": {
            "trafficType": "ALL",
            "aggregationSeconds": 60,
            "retentionDays": 365,
            "format": "extended",
            "logGroupClass": "STANDARD",
            "keepOnDestroy": False,
            "permissionsBoundary": None,
        },
        "alerts": {
            "includeSamples": True,
            "includeArchived": False,
            "kmsKeyArn": None,
            "accountAlias": None,
            "runbooks": {},
            "slack": None,
            "teams": None,
            "subscribers": (),
        },
        "health": {"enabled": False, "emails": ()},
        "protect": False,
    }
    assert settings.severity_floor == "medium"
    assert settings.declared_plans == dict.fromkeys(("s3", "eksAudit", "malware", "rds", "lambda", "runtime"), False)
    assert said == []


def test_every_key_takes_a_value() -> None:
    config: Config = {
        "subnetIds": [SUBNET, "subnet-1234abcd"],
        "vpcIds": [VPC, "vpc-1234abcd"],
        "alertEmails": ["soc@example.com", "oncall@example.org"],
        "findingTypes": ["Recon:EC2/Portscan", "Backdoor:*"],
        "minimumSeverity": "high",
        "allowUnknownFindingTypes": True,
        "detector": {"mode": "import", "id": DETECTOR_ID},
        "protectionPlans": dict.fromkeys(PLANS, True),
        "findingPublishingFrequency": "FIFTEEN_MINUTES",
        "flowLogs": {
            "trafficType": "REJECT",
            "aggregationSeconds": 600,
            "retentionDays": 30,
            "format": "default",
            "logGroupClass": "INFREQUENT_ACCESS",
            "keepOnDestroy": True,
            "permissionsBoundary": BOUNDARY,
        },
        "alerts": {
            "includeSamples": False,
            "includeArchived": True,
            "kmsKeyArn": KEY_ARN,
            "accountAlias": "example prod",
            "runbooks": {"Recon:EC2/*": "https://wiki.example.com/scans"},
            "slack": SLACK | {"minimumSeverity": "critical"},
            "teams": TEAMS | {"minimumSeverity": "high"},
            "subscribers": [
                {"protocol": "sms", "endpoint": "+491701234567", "format": "raw", "minimumSeverity": "critical"}
            ],
        },
        "health": {"enabled": True, "emails": ["watch@example.com"]},
        "protect": True,
    }
    assert set(config) == {field.alias for field in Settings.model_fields.values()}
    assert json.loads(parse(config)[0].model_dump_json(by_alias=True)) == config
    assert parse(as_the_engine_passes(config))[0] == parse(config)[0]


def as_the_engine_passes(config: Config) -> dict[str, str]:
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in config.items()}


def test_in_python_a_section_takes_its_attributes_by_name() -> None:
    section = FlowLogSettings(retention_days=90, permissions_boundary=BOUNDARY)
    assert section == parsed({"flowLogs": {"retentionDays": 90, "permissionsBoundary": BOUNDARY}}).flow_logs


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("minimumSeverity", list(FLOORS)),
        ("findingPublishingFrequency", FREQUENCIES),
        ("flowLogs.trafficType", ["ALL", "ACCEPT", "REJECT"]),
        ("flowLogs.aggregationSeconds", [60, 600]),
        ("flowLogs.retentionDays", sorted(RETENTION_DAYS)),
        ("flowLogs.format", ["default", "extended"]),
        ("flowLogs.logGroupClass", ["STANDARD", "INFREQUENT_ACCESS"]),
    ],
)
def test_each_value_of_a_choice_is_accepted_also_as_text(key: str, values: list[Any]) -> None:
    for value in values:
        dumped = parsed(nested(key, value)).model_dump(by_alias=True, exclude_unset=True)
        assert dumped.items() >= nested(key, value).items()
        assert parsed(nested(key, str(value))) == parsed(nested(key, value))


@pytest.mark.parametrize("emails", ["absent", [], "[]"])
def test_one_address_may_be_given_as_alert_email(emails: Any) -> None:
    config: Config = {"subnetIds": [SUBNET], "alertEmail": "a@example.com"}
    if emails != "absent":
        config["alertEmails"] = emails
    assert parse(config)[0].alert_emails == ("a@example.com",)


@pytest.mark.parametrize(
    ("config", "floor"),
    [
        ({}, "medium"),
        ({"findingTypes": ["*"]}, "low"),
        ({"findingTypes": ["Recon:EC2/Portscan"]}, "low"),
        *(({"minimumSeverity": floor}, floor) for floor in FLOORS),
        *(({"minimumSeverity": floor, "findingTypes": ["Backdoor:*"]}, floor) for floor in FLOORS),
    ],
)
def test_the_floor_is_low_if_types_are_chosen_and_medium_if_not(config: Config, floor: str) -> None:
    assert parsed(config).severity_floor == floor


def test_each_plan_is_declared_and_ai_only_if_set() -> None:
    plans = dict.fromkeys(("s3", "eksAudit", "malware", "rds", "lambda", "runtime"), False)
    assert parsed({"protectionPlans": {"s3": True}}).declared_plans == {**plans, "s3": True}
    assert parsed({"protectionPlans": {"ai": False}}).declared_plans["ai"] is False
    assert "ai" not in parsed({}).declared_plans


# -- the message ------------------------------------------------------------------------------------------------------


def test_two_faults_are_reported_together_as_a_short_message() -> None:
    config = {
        "subnetIds": [SUBNET, "subnet-12xyz"],
        "alertEmails": ["security@example.com"],
        "findingTypes": ["Recon:EC2/PortScan"],
    }
    with pytest.raises(ConfigFaults) as refusal:
        parse(config, "dev")
    assert str(refusal.value) == (
        "Pulumi.dev.yaml has 2 faults:\n"
        '  threat-monitor:subnetIds[1]: "subnet-12xyz" is not a subnet id (expected subnet- and 8 or 17 hex digits)\n'
        '  threat-monitor:findingTypes[0]: "Recon:EC2/PortScan" is not a GuardDuty finding type;'
        ' did you mean "Recon:EC2/Portscan"?'
    )
    assert refusal.value.__context__ is None


def test_every_fault_of_a_config_is_reported_in_the_order_of_the_settings() -> None:
    config = {
        "protect": 3,
        "allerts": {},
        "alerts": {
            "accountAlias": "Zürich",
            "includeSample": True,
            "runbooks": {"Recon:EC2/*": "wiki"},
            "slack": {"channelId": "#alerts"},
        },
        "flowLogs": {"retentionDays": 366, "format": "long"},
        "protectionPlans": {"S3": True, "rds": "on"},
        "detector": {"mode": "import"},
        "minimumSeverity": "hihg",
        "findingTypes": ["Recon:EC2/Portscan", "Recon:EC2/Portscan", "Nonsense", "Zz*"],
        "alertEmails": ["nobody"],
        "vpcIds": "vpc",
        "subnetIds": [],
    }
    assert faults(config) == [
        'vpcIds: "vpc" is not a list',
        'alertEmails[0]: "nobody" is not an e-mail address (expected name@example.com)',
        'findingTypes[1]: "Recon:EC2/Portscan" is listed 2 times; once is enough',
        'findingTypes[2]: "Nonsense" is not a GuardDuty finding type',
        'findingTypes[3]: "Zz*" matches no GuardDuty finding type',
        'minimumSeverity: "hihg" is not one of low, medium, high, critical; did you mean "high"?',
        'detector.id: is required by mode "import" (aws guardduty list-detectors prints it)',
        'protectionPlans.S3: "S3" is not one of s3, eksAudit, malware, rds, lambda, runtime, ai; did you mean "s3"?',
        'protectionPlans.rds: "on" is not true or false',
        "flowLogs.retentionDays: 366 is not one of 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096,"
        ' 1827, 2192, 2557, 2922, 3288, 3653; did you mean "365"?',
        'flowLogs.format: "long" is not one of default, extended',
        'alerts.accountAlias: "Zürich" is not an alias (expected 1 to 64 printable ASCII characters)',
        f'alerts.runbooks.Recon:EC2/*: "wiki" {NO_RUNBOOK}',
        "alerts.slack.workspaceId: is required",
        'alerts.slack.channelId: "#alerts" is not the id of a Slack channel '
        "(expected letters and digits, such as C0123456789)",
        'alerts.includeSample: is not a known key; did you mean "includeSamples"?',
        "protect: 3 is not true or false",
        'allerts: is not a known key; did you mean "alerts"?',
    ]


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("subnetIDs", "subnetIds"),
        ("subnets", "subnetIds"),
        ("alertEmial", "alertEmail"),
        ("alertEmailss", "alertEmails"),
        ("flowlogs", "flowLogs"),
        ("flowLogs.retention", "retentionDays"),
        ("alerts.kmsKey", "kmsKeyArn"),
        ("health.email", "emails"),
        ("alerts.subscriber", "subscribers"),
        ("alerts.slak", "slack"),
        ("alerts.slack.workspace", "workspaceId"),
        ("alerts.teams.tenant", "tenantId"),
        ("alerts.runbook", "runbooks"),
        ("detector.mod", "mode"),
    ],
)
def test_a_misspelt_key_is_a_fault_that_names_the_key_meant(key: str, meant: str) -> None:
    faults = [fault for fault in faults_beside(nested(key, "x")) if not fault.endswith(": is required")]
    assert faults == [f'{key}: is not a known key; did you mean "{meant}"?']


def test_an_unknown_key_with_no_known_one_near_is_a_fault() -> None:
    for key in ("zzz", "flowLogs.zzz", "alerts.zzz", "detector.zzz"):
        assert faults_beside(nested(key, 1)) == [f"{key}: is not a known key"]


SNAKE_CASE = [
    *(name for name, field in Settings.model_fields.items() if name != field.alias),
    *(f"flowLogs.{name}" for name, field in FlowLogSettings.model_fields.items() if name != field.alias),
    *(f"alerts.{name}" for name, field in AlertSettings.model_fields.items() if name != field.alias),
]


def test_an_attributes_name_is_no_config_key() -> None:
    for key, value in product(SNAKE_CASE, (None, True, {"bogus": 1}, [SUBNET])):
        [fault] = faults_beside(nested(key, value))
        assert fault.startswith(f"{key}: is not a known key")


def test_a_misspelt_key_of_a_subscriber_is_a_fault() -> None:
    subscriber = {"protocol": "https", "endpoint": "https://example.com/hook", "fromat": "raw"}
    assert faults_beside({"alerts": {"subscribers": [subscriber]}}) == [
        'alerts.subscribers[0].fromat: is not a known key; did you mean "format"?'
    ]


def test_a_chat_channel_needs_all_its_ids() -> None:
    assert faults_beside({"alerts": {"slack": {}, "teams": {}}}) == [
        "alerts.slack.workspaceId: is required",
        "alerts.slack.channelId: is required",
        "alerts.teams.tenantId: is required",
        "alerts.teams.teamId: is required",
        "alerts.teams.channelId: is required",
    ]


def test_a_subscriber_needs_a_protocol_and_an_endpoint() -> None:
    assert faults_beside({"alerts": {"subscribers": [{}]}}) == [
        "alerts.subscribers[0].protocol: is required",
        "alerts.subscribers[0].endpoint: is required",
    ]


# -- lists ------------------------------------------------------------------------------------------------------------

LISTS = {"subnetIds": SUBNET, "vpcIds": VPC, "alertEmails": "a@example.com", "findingTypes": "Recon:EC2/Portscan"}


@pytest.mark.parametrize(("key", "item"), LISTS.items())
def test_any_other_string_instead_of_a_list_is_a_fault_and_never_its_characters(key: str, item: str) -> None:
    for text in (item, f'"{item}"', "", "*", f"{item},{item}", f'["{item}"', '{"a": 1}', "null", "3", "true"):
        [fault] = faults_beside({key: text})
        assert fault.startswith(f"{key}: ")
        assert fault.endswith(" is not a list")


# -- single values ----------------------------------------------------------------------------------------------------

RUNBOOK = "https://wiki.example.com/scans"
NO_RUNBOOK = (
    "is not the address of a runbook (expected https://..., at most 500 ASCII characters without blanks, "
    "quotation marks and angle brackets)"
)
UUID = str(TEAMS["teamId"])
NO_UUID = "is not a UUID (expected 8-4-4-4-12 hex digits)"
WRONG: dict[str, tuple[list[Any], str]] = {
    "subnetIds": ([SUBNET, None, 3, True, {"a": SUBNET}], "is not a list"),
    "vpcIds": ([VPC, None, 3, True, {}], "is not a list"),
    "alertEmails": (["a@example.com", None, 3, False, {}], "is not a list"),
    "findingTypes": (["*", None, 3, True, {}], "is not a list"),
    "minimumSeverity": (["HIGH", "info", 4, True, ["low"], {}], "is not one of low, medium, high, critical"),
    "allowUnknownFindingTypes": (["yes", "True", 1, 0, None, [], {}], "is not true or false"),
    "detector": (["create", DETECTOR_ID, None, 3, True, ["import"]], "is not a map of names to values"),
    "detector.mode": (["adopt", None, 1, True, []], "is not one of create, import, lookup"),
    "detector.id": (
        [DETECTOR_ID[:-1], DETECTOR_ID + "0", DETECTOR_ID.upper(), f"{DETECTOR_ID}\n", ""],
        "is not a detector id (expected 32 hex digits)",
    ),
    "protectionPlans": (["s3", ["s3"], True, None, 3], "is not a map of names to values"),
    "protectionPlans.s3": (["ENABLED", 1, None, {}, []], "is not true or false"),
    "findingPublishingFrequency": (
        ["six_hours", "6h", 6, None, True, []],
        "is not one of FIFTEEN_MINUTES, ONE_HOUR, SIX_HOURS",
    ),
    "flowLogs": (["ALL", ["ALL"], 60, None, False], "is not a map of names to values"),
    "flowLogs.trafficType": (["all", "ANY", 1, None, True, ["ALL"]], "is not one of ALL, ACCEPT, REJECT"),
    "flowLogs.aggregationSeconds": ([0, 59, 61, 601, 60.5, "1m", True, None, [60]], "is not one of 60, 600"),
    "flowLogs.retentionDays": (
        [
            -1,
            *sorted({day + step for day in RETENTION_DAYS for step in (-1, 1)} - RETENTION_DAYS),
            "a year",
            True,  # equals 1 in Python
            False,
            None,
            [365],
            365.5,
        ],
        "is not one of " + ", ".join(map(str, sorted(RETENTION_DAYS))),
    ),
    "flowLogs.format": (["custom", "DEFAULT", 1, None, True, []], "is not one of default, extended"),
    "flowLogs.logGroupClass": (["DELIVERY", "standard", 1, None, []], "is not one of STANDARD, INFREQUENT_ACCESS"),
    "flowLogs.keepOnDestroy": (["no", 0, None, []], "is not true or false"),
    "flowLogs.permissionsBoundary": (
        ["boundary", BOUNDARY.replace(":policy/", ":role/"), BOUNDARY.replace("arn:aws:", "arn:aws-xx:"), ""],
        "is not the ARN of a policy (expected arn:aws:iam::<account>:policy/<name>)",
    ),
    "alerts.includeSamples": (["no", 0, None, []], "is not true or false"),
    "alerts.includeArchived": (["no", 0, None, []], "is not true or false"),
    "alerts.kmsKeyArn": (
        [
            "alias/mine",
            KEY_ARN.rpartition("/")[2],
            KEY_ARN.replace(":key/", ":alias/"),
            KEY_ARN.replace("arn:aws:", "arn:aws-xx:"),
            KEY_ARN + "\n",
            "",
        ],
        "is not the ARN of a KMS key (expected arn:aws:kms:<region>:<account>:key/<key id>, not an alias)",
    ),
    "alerts.accountAlias": (
        ["", "a" * 65, "Zürich", "a\nb", "a\n", "a\tb", "a\0b"],
        "is not an alias (expected 1 to 64 printable ASCII characters)",
    ),
    "alerts.runbooks": ([RUNBOOK, [RUNBOOK], True, None, 3], "is not a map of names to values"),
    "alerts.runbooks.Recon:EC2/*": (
        [
            *(
                "",
                "wiki",
                "http://wiki.example.com",
                "HTTPS://wiki.example.com",
                "https://",
                "https:///a",
                f" {RUNBOOK}",
            ),
            *(f"{RUNBOOK}{bad}" for bad in ("\n", " a", "é", "<", ">", '"', "'", "\0")),
            f"https://{'a' * 493}",
        ],
        NO_RUNBOOK,
    ),
    "alerts.slack": (["C0123456789", ["C0123456789"], True, 3], "is not a map of names to values"),
    "alerts.slack.workspaceId": (
        ["", "t0123456789", "T 1", "my-team", "T1\n", "T" * 256, "É"],
        "is not the id of a Slack workspace (expected capital letters and digits, such as T0123456789)",
    ),
    "alerts.slack.channelId": (
        ["", "#alerts", "C1\n", "C" * 256, "É"],
        "is not the id of a Slack channel (expected letters and digits, such as C0123456789)",
    ),
    "alerts.slack.minimumSeverity": (["HIGH", 7, True, ["low"]], "is not one of low, medium, high, critical"),
    "alerts.teams": (["General", ["General"], True, 3], "is not a map of names to values"),
    **dict.fromkeys(
        ("alerts.teams.tenantId", "alerts.teams.teamId"),
        (["", "contoso", UUID[:-1], f"{UUID}0", f"{UUID}\n", UUID.replace("-", ""), f"{{{UUID}}}"], NO_UUID),
    ),
    "alerts.teams.channelId": (
        [
            *("", "General", "19:abc", "abc@thread.tacv2", "19:@thread.tacv2", "19:a b@thread.tacv2", "19%3aabc"),
            *("19:abc@thread.tacv2\n", f"19:{'a' * 201}@thread.tacv2", "19%3Aé%40thread.tacv2"),
        ],
        "is not the id of a Teams channel (expected 19:...@thread.tacv2, or percent-encoded as in a link to it)",
    ),
    "alerts.teams.minimumSeverity": (["HIGH", 7, True, ["low"]], "is not one of low, medium, high, critical"),
    "health": (["yes", 1, True, None, []], "is not a map of names to values"),
    "health.enabled": (["yes", 1, None, [], {}], "is not true or false"),
    "health.emails": (["a@example.com", 1, None, {}], "is not a list"),
    "protect": (["yes", 1, None, [], {}], "is not true or false"),
}


def shortened(value: str) -> str:
    return value if len(value) <= 120 else f"{value[:117]}..."


def test_every_key_but_the_hidden_ones_has_wrong_values_here() -> None:
    top = {str(field.alias) for field in Settings.model_fields.values()} - {"alerts"}
    models: dict[str, Any] = {
        "detector": DetectorSettings,
        "flowLogs": FlowLogSettings,
        "alerts": AlertSettings,
        "alerts.slack": SlackSettings,
        "alerts.teams": TeamsSettings,
        "health": HealthSettings,
    }
    inner = {f"{key}.{field.alias}" for key, model in models.items() for field in model.model_fields.values()}
    entries = {"protectionPlans.s3", "alerts.runbooks.Recon:EC2/*"}
    assert set(WRONG) - entries == top | inner - {"alerts.subscribers"}


@pytest.mark.parametrize("key", WRONG)
def test_a_wrong_value_is_one_fault_with_key_value_and_what_was_expected(key: str) -> None:
    values, expected = WRONG[key]
    for value in values:
        [fault] = [fault for fault in faults_beside(nested(key, value)) if not fault.endswith(": is required")]
        shown = shortened(json.dumps(value, ensure_ascii=False))
        text, _, suggestion = fault.partition("; did you mean ")
        assert text == f"{key}: {shown} {expected}"
        assert not suggestion or suggestion.strip('"?') in expected


@pytest.mark.parametrize(
    ("key", "good", "kind"),
    [
        ("subnetIds", SUBNET, "a subnet id (expected subnet- and 8 or 17 hex digits)"),
        ("vpcIds", VPC, "a VPC id (expected vpc- and 8 or 17 hex digits)"),
    ],
)
def test_an_id_of_another_form_is_a_fault(key: str, good: str, kind: str) -> None:
    prefix = good.removesuffix(HEX)
    endings = ("", "1234567", "123456789", f"{HEX}0", HEX[:-1], f"{HEX}\n", HEX.upper())
    for item in ("", prefix[:-1], f"ami-{HEX}", good.upper(), *(f"{prefix}{ending}" for ending in endings)):
        assert faults_beside({key: [good, item]}) == [f"{key}[1]: {json.dumps(item)} is not {kind}"]


@pytest.mark.parametrize("item", [3, None, True, ["a"], {}])
def test_a_name_or_an_id_is_text(item: Any) -> None:
    for key in ("subnetIds", "vpcIds", "findingTypes"):
        assert faults_beside({key: [item]}) == [f"{key}[0]: {json.dumps(item)} is not text"]
    for key in ("detector.id", "alerts.kmsKeyArn", "alerts.accountAlias"):
        config = nested(key, item)
        if item is None:
            assert parsed(config) == parsed({})  # as if left out
        else:
            assert faults_beside(config) == [f"{key}: {json.dumps(item)} is not text"]


LONG_DOMAIN = f"{'b' * 63}.{'c' * 63}.{'d' * 57}.com"  # with 64 characters and an @ before it, 254 in all

ADDRESSES = [
    f"{'a' * 64}@{LONG_DOMAIN}",
    "a@example.com",
    "first.last+tag@sub.example.co.uk",
    "o'neil@example.com",
    "x_y-z%{}|~!#$&*/=?^`@example.com",
    "1@2.example",
    "a@xn--bcher-kva.example",
    f"{'a' * 64}@example.com",
]
NO_ADDRESSES = [
    f"{'a' * 64}@{LONG_DOMAIN}m",
    *("", "a", "a@", "@example.com", "a@localhost", "a@b@example.com", "a b@example.com", "a@exam ple.com"),
    *(".a@example.com", "a.@example.com", "a..b@example.com", "a@example..com", "a@.example.com", "a@example.com."),
    *("a@-example.com", "a@example-.com", "a@example.com\n", "A <a@example.com>", "a@example.com,b@example.com"),
    *("ä@example.com", "a@bücher.example", f"{'a' * 65}@example.com", f"a@{'b' * 64}.com", "mailto:a@example.com"),
    *(f"a@{'b.' * 125}example", "a@example_x.com", '"a b"@example.com', "a@[127.0.0.1]", 3, None, True, ["a@b.io"]),
]


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_is_accepted(address: str) -> None:
    assert parsed({"alertEmails": [address]}).alert_emails == (address,)
    assert parse({"subnetIds": [SUBNET], "alertEmail": address})[0].alert_emails == (address,)


@pytest.mark.parametrize("address", NO_ADDRESSES)
def test_what_is_no_address_is_a_fault_in_either_key(address: Any) -> None:
    [fault] = faults_beside({"alertEmails": ["b@example.com", address]})
    assert fault.startswith("alertEmails[1]: ")
    assert fault.endswith(" is not an e-mail address (expected name@example.com)")
    [fault] = faults({"subnetIds": [SUBNET], "alertEmail": address})
    assert fault.startswith("alertEmail: ")
    assert fault.endswith(" is not an e-mail address (expected name@example.com)")


def test_a_long_value_is_cut_short() -> None:
    [fault] = faults_beside({"subnetIds": ["x" * 1000]})
    assert fault == f'subnetIds[0]: "{"x" * 116}... is not a subnet id (expected subnet- and 8 or 17 hex digits)'


@pytest.mark.parametrize(
    "arn",
    [
        *(KEY_ARN.replace("arn:aws:", f"arn:{partition}:") for partition in ("aws", "aws-us-gov", "aws-cn")),
        "arn:aws:kms:eu-west-1:111122223333:key/mrk-0123456789abcdef0123456789abcdef",
    ],
)
def test_a_keys_arn_is_accepted_in_every_partition(arn: str) -> None:
    assert parsed({"alerts": {"kmsKeyArn": arn}}).alerts.kms_key_arn == arn


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "1" * 10_000])
@pytest.mark.parametrize("key", ["subnetIds", "protect", "flowLogs", "alertEmails"])
def test_text_no_decoder_can_read_is_a_fault_like_any_other(key: str, text: str) -> None:
    assert len(faults_beside({key: text})) == 1


@pytest.mark.parametrize("key", ["a\nb", "a\r\n  threat-monitor:x: y", "a\u2028b"])
def test_a_key_with_a_line_break_makes_no_line_of_its_own(key: str) -> None:
    for config in ({key: 1}, {"flowLogs": {key: 1}}, {"protectionPlans": {key: True}}):
        assert len(faults_beside(config)[0].splitlines()) == 1


def test_text_that_utf_8_cannot_hold_is_reported_in_a_message_that_it_can() -> None:
    with pytest.raises(ConfigFaults) as refusal:
        parse(MINIMAL | {"alertEmails": '["\\ud800@example.com"]', "vpcIds": '["\\udfff"]'})
    assert len(str(refusal.value).encode().splitlines()) == 3


# -- secrets ----------------------------------------------------------------------------------------------------------

TOKEN = "https://hooks.example.com/T0KEN"
GOOD = {"protocol": "https", "endpoint": TOKEN}


@pytest.mark.parametrize(
    "alerts",
    [
        {"subscribers": [GOOD | {"protocol": "slack"}]},
        {"subscribers": [GOOD | {"format": "html"}]},
        {"subscribers": [GOOD | {"more": TOKEN}]},
        {"subscribers": [{"protocol": "https", "endpiont": TOKEN}]},
        {"subscribers": [{"protocol": "https", "endpoint": [TOKEN]}]},
        {"subscribers": [{"protocol": "https", "endpoint": {"url": TOKEN}}]},
        {"subscribers": [{"endpoint": TOKEN}]},
        {"subscribers": [TOKEN]},
        {"subscribers": [[TOKEN]]},
        {"subscribers": TOKEN},
        {"subscribers": GOOD},
        {"subscribers": json.dumps(GOOD)},
        {"subscribers": {"0": GOOD}},
        {"subscriber": [GOOD]},
        {"subscribers": [GOOD], "kmsKeyArn": 3},
        [GOOD],
        TOKEN,
        json.dumps({"subscribers": [GOOD]})[:-1],
        json.dumps([GOOD]),
    ],
)
def test_a_fault_about_a_subscriber_never_shows_its_endpoint(alerts: Any) -> None:
    for value in (alerts, json.dumps(alerts)):
        with pytest.raises(ConfigFaults) as refusal:
            parse(MINIMAL | {"alerts": value})
        assert "T0KEN" not in str(refusal.value)
        assert "T0KEN" not in repr(refusal.value.faults)


@pytest.mark.parametrize(
    ("alerts", "fault"),
    [
        (TOKEN, "alerts: the value (hidden, it may hold a token) is not a map of names to values"),
        ({"subscribers": TOKEN}, "alerts.subscribers: the value (hidden, it may hold a token) is not a list"),
        (
            {"subscribers": [{"protocol": "sqs", "endpoint": 3}]},
            "alerts.subscribers[0].endpoint: the value (hidden, it may hold a token) is not text",
        ),
        (
            {"subscribers": [GOOD | {"protocol": "http"}]},
            'alerts.subscribers[0].protocol: "http" is not one of email, email-json, https, sqs, lambda, sms;'
            ' did you mean "https"?',
        ),
        ({"subscribers": [GOOD | {"format": "json"}]}, 'alerts.subscribers[0].format: "json" is not one of text, raw'),
    ],
)
def test_a_fault_about_a_subscriber_still_says_what_is_wrong(alerts: Any, fault: str) -> None:
    assert faults_beside({"alerts": alerts}) == [fault]


@pytest.mark.parametrize("chat", ["slack", "teams"])
@pytest.mark.parametrize(
    "value", [TOKEN, TOKEN.upper(), [TOKEN], {"channelId": TOKEN}, {"channelId": [TOKEN]}, {"webhook": TOKEN}]
)
def test_a_fault_about_a_chat_channel_never_shows_a_webhook(chat: str, value: Any) -> None:
    for alerts in ({chat: value}, {chat: json.dumps(value)}):
        for fault in faults_beside({"alerts": alerts}):
            assert fault.startswith(f"alerts.{chat}")
            assert "T0KEN" not in fault


def test_an_empty_endpoint_is_a_fault() -> None:
    [fault] = faults_beside({"alerts": {"subscribers": [{"protocol": "sms", "endpoint": ""}]}})
    assert fault.startswith("alerts.subscribers[0].endpoint: ")


# -- any config -------------------------------------------------------------------------------------------------------

WORDS = st.sampled_from(
    [
        *(SUBNET, VPC, KEY_ARN, DETECTOR_ID, "a@example.com", "*", "Recon:EC2/Portscan", "Recon:EC2/*"),
        *("import", "lookup", "low", "ALL", "365", "true", "[]", "{}", "null", "[[]]", '["a"]', '{"id": null}', "NaN"),
        "[1e999]",
    ]
)
KEYS = st.sampled_from(
    [
        str(field.alias)
        for model in (
            *(Settings, DetectorSettings, FlowLogSettings),
            *(AlertSettings, AlertSubscriber, SlackSettings, TeamsSettings),
        )
        for field in model.model_fields.values()
    ]
    + [*PLANS, "alertEmail", "[key]", "mode ", "flow_logs", "subnet_ids", "kms_key_arn", "0"]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | WORDS
JSON_LIKE = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(KEYS | st.text(max_size=8), inner, max_size=4)
        | inner.map(json.dumps)
    ),
    max_leaves=8,
)


@given(st.dictionaries(KEYS | st.text(max_size=12), JSON_LIKE, max_size=8), st.booleans())
@example({"flow_logs": {"bogus": 1}}, True)  # noqa: FBT003 - drawn otherwise
@limits(max_examples=150)
def test_any_config_gives_settings_or_faults_by_key(config: Config, on_top_of_a_good_one: bool) -> None:
    refusal = None
    try:
        settings, said = parse(MINIMAL | config if on_top_of_a_good_one else config, "dev")
        assert isinstance(settings, Settings)
        assert all(
            line.startswith(("threat-monitor:findingTypes[", "threat-monitor:alerts.runbooks.")) for line in said
        )
    except ConfigFaults as error:
        refusal = error
    if refusal:
        head, *lines = str(refusal).split("\n")
        assert head == f"Pulumi.dev.yaml has {len(refusal.faults)} fault{'s' if len(lines) > 1 else ''}:"
        assert len(lines) == len(refusal.faults) > 0
        assert all(re.fullmatch(r"  threat-monitor:.*: .+", line) for line in lines), lines


ASCII = st.characters(min_codepoint=0x20, max_codepoint=0x7E)


@given(st.text(ASCII, min_size=1, max_size=64) | st.text(max_size=64))
def test_an_alias_is_any_printable_ascii_text(alias: str) -> None:
    config: Config = {"alerts": {"accountAlias": alias}}
    if alias and alias.isascii() and alias.isprintable():
        assert parsed(config).alerts.account_alias == alias
    else:
        assert len(faults_beside(config)) == 1


@given(st.text(ASCII, max_size=30) | st.text(max_size=30))
def test_a_runbook_is_an_address_that_a_mail_can_hold(end: str) -> None:
    address, config = f"https://wiki{end}", {"alerts": {"runbooks": {"*": f"https://wiki{end}"}}}
    if end.isascii() and end.isprintable() and not set(" \"'<>") & set(end):
        assert parsed(config).alerts.runbooks == {"*": address}
    else:
        assert len(faults_beside(config)) == 1


def test_a_runbook_may_have_500_characters() -> None:
    address = "https://wiki/" + "a" * 487
    assert parsed({"alerts": {"runbooks": {"*": address}}}).alerts.runbooks == {"*": address}


API = botocore.session.get_session().get_service_model("chatbot")


def limits_of(operation: str, member: str) -> dict[str, Any]:
    shape = API.operation_model(operation).input_shape
    assert shape
    return shape.members[member].metadata


def takes(operation: str, member: str, value: str) -> bool:
    """Say whether AWS's chat takes a value, by botocore's model of it."""
    its = limits_of(operation, member)
    return its["min"] <= len(value) <= its["max"] and bool(re.fullmatch(its["pattern"], value))


@pytest.mark.parametrize(
    ("key", "operation", "member"),
    [
        ("slack.workspaceId", "CreateSlackChannelConfiguration", "SlackTeamId"),
        ("slack.channelId", "CreateSlackChannelConfiguration", "SlackChannelId"),
        ("teams.tenantId", "CreateMicrosoftTeamsChannelConfiguration", "TenantId"),
        ("teams.teamId", "CreateMicrosoftTeamsChannelConfiguration", "TeamId"),
    ],
)
@given(data=st.data())
def test_the_ids_of_chat_are_those_that_aws_takes(key: str, operation: str, member: str, data: st.DataObject) -> None:
    pattern = limits_of(operation, member)["pattern"]
    text = data.draw(st.from_regex(pattern, fullmatch=True) | st.text(max_size=40) | st.text(ASCII, max_size=40))
    chat, _, id_ = key.partition(".")
    given_ids = {"slack": SLACK, "teams": TEAMS}[chat] | {id_: text}
    if takes(operation, member, text):
        dumped = parsed({"alerts": {chat: given_ids}}).model_dump(by_alias=True, exclude_unset=True)
        assert dumped["alerts"][chat] == given_ids
    else:
        assert len(faults_beside({"alerts": {chat: given_ids}})) == 1


NAMES = st.text(string.ascii_letters + string.digits + "-_=+/.,", min_size=1, max_size=20)


@given(NAMES, NAMES, NAMES)
def test_a_teams_channel_is_taken_as_people_see_it_and_as_aws_takes_it(number: str, name: str, host: str) -> None:
    for id_ in (f"{number}:{name}@{host}", f"{number}%3A{name}%40{host}", f"{number}%3a{name}%40{host}"):
        teams = parsed({"alerts": {"teams": TEAMS | {"channelId": id_}}}).alerts.teams
        assert teams
        assert teams.channel_id == id_
        encoded = id_.replace(":", "%3A").replace("@", "%40")
        assert takes("CreateMicrosoftTeamsChannelConfiguration", "ChannelId", encoded)


def test_the_longest_teams_channel_is_one_that_aws_takes() -> None:
    id_ = f"{'1' * 20}%3A{'a' * 200}%40{'b' * 20}"
    assert parsed({"alerts": {"teams": TEAMS | {"channelId": id_}}})
    assert takes("CreateMicrosoftTeamsChannelConfiguration", "ChannelId", id_)
