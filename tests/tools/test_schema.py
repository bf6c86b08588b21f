from typing import Any

import pytest
import yaml
from examples import SLACK, TEAMS
from jsonschema import Draft202012Validator

from threatmon.project import ROOT as PROJECT_ROOT
from tools import schema

VALIDATOR = Draft202012Validator(schema.stack_file_schema())
GOOD = {
    "aws:region": "eu-west-1",
    "aws:allowedAccountIds": ["111122223333"],
    "threat-monitor:subnetIds": ["subnet-0123456789abcdef0"],
    "threat-monitor:alertEmails": ["a@example.com"],
}


def is_valid(**changes: Any) -> bool:
    return VALIDATOR.is_valid({"config": GOOD | {key.replace("__", ":"): value for key, value in changes.items()}})


def test_the_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(schema.stack_file_schema())


@pytest.mark.parametrize("path", sorted(PROJECT_ROOT.glob("Pulumi.*.yaml")), ids=lambda path: path.name)
def test_every_committed_stack_file_is_valid(path: Any) -> None:
    assert list(VALIDATOR.iter_errors(yaml.safe_load(path.read_text(encoding="utf-8")))) == []


def test_an_encrypted_stack_file_is_valid() -> None:
    subscriber = {"protocol": "https", "endpoint": {"secure": "v1:abc"}}
    content = {
        "secretsprovider": "awskms://alias/pulumi",
        "encryptedkey": "abc",
        "config": GOOD | {"threat-monitor:alerts": {"subscribers": [subscriber]}},
    }
    assert list(VALIDATOR.iter_errors(content)) == []


@pytest.mark.parametrize(
    ("key", "value", "valid"),
    [
        ("alertEmail", "a@example.com", True),
        ("alertEmail", ["a@example.com"], False),
        ("subnetIDs", [], False),
        ("subnetIds", ["subnet-12xyz"], False),
        ("subnetIds", "subnet-0123456789abcdef0", False),
        ("findingTypes", ["Recon:EC2/Portscan", "Recon:EC2/*", "*"], True),
        ("findingTypes", [5], False),
        ("minimumSeverity", "high", True),
        ("minimumSeverity", "hihg", False),
        ("flowLogs", {"retentionDays": 365}, True),
        ("flowLogs", {"retentionDays": 366}, False),
        ("flowLogs", {"retention": 365}, False),
        ("protectionPlans", {"s3": True}, True),
        ("protectionPlans", {"s4": True}, False),
        ("detector", {"mode": "import", "id": "0" * 32}, True),
        ("detector", {"mode": "import", "id": "0"}, False),
        ("alerts", {"slack": SLACK, "teams": TEAMS, "accountAlias": "prod (eu)"}, True),
        ("alerts", {"slack": {**SLACK, "channelId": "#alerts"}}, False),
        ("alerts", {"slack": {"channelId": "C0123456789"}}, False),
        ("alerts", {"teams": {**TEAMS, "channelId": "General"}}, False),
        ("alerts", {"runbooks": {"Recon:EC2/*": "https://wiki.example.com"}}, True),
        ("alerts", {"runbooks": {"Recon:EC2/*": "http://wiki.example.com"}}, False),
        ("alerts", {"accountAlias": "Zürich"}, False),
        ("protect", True, True),
        ("protect", "yes", False),
    ],
)
def test_an_editor_marks_what_is_wrong(key: str, value: object, valid: bool) -> None:
    assert is_valid(**{f"threat-monitor__{key}": value}) is valid


def test_other_namespaces_are_none_of_its_business() -> None:
    assert is_valid(aws__profile="p", other__thing={"x": 1})


def test_editors_are_offered_the_active_types_only() -> None:
    offered = schema.stack_file_schema()["properties"]["config"]["properties"]["threat-monitor:findingTypes"]
    names = offered["items"]["anyOf"][0]["enum"]
    assert "Recon:EC2/Portscan" in names
    assert "UnauthorizedAccess:IAMUser/ConsoleLogin" not in names
