import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import yaml
from conftest import CommandResult, RunCommand
from examples import ACCOUNT, EMAIL, REGION, SUBNET
from findings import recorded

from threatmon.cli import explain as command

STACK = {
    "aws:region": REGION,
    "aws:allowedAccountIds": [ACCOUNT],
    "threat-monitor:subnetIds": [SUBNET],
    "threat-monitor:alertEmails": [EMAIL],
    "threat-monitor:findingTypes": ["Recon:EC2/Portscan"],
}
EVENT = recorded("ec2_portscan")
PRINTED = {"Findings": [{"Type": "Recon:EC2/Portscan", "Severity": 5, "Title": "A scan", "Id": "1ab9"}]}


class Explain:
    """`threatmon explain` of a document, by a stack that a test may change."""

    def __init__(self, folder: Path, threatmon: RunCommand) -> None:
        self.folder, self.threatmon = folder, threatmon
        self.write_stack()

    def write_stack(self, changes: Mapping[str, object] = MappingProxyType({})) -> None:
        config = {key: value for key, value in {**STACK, **changes}.items() if value is not None}
        (self.folder / "Pulumi.dev.yaml").write_text(yaml.safe_dump({"config": config}), encoding="utf-8")

    def __call__(self, document: Any, *arguments: str) -> CommandResult:
        text = document if isinstance(document, str) else json.dumps(document)
        return self.threatmon("explain", "-", *arguments, stdin=text.encode("utf-16"))

    def json(self, document: Any) -> dict[str, Any]:
        return json.loads(self(document, "--output", "json").out)


@pytest.fixture
def explain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threatmon: RunCommand) -> Explain:
    monkeypatch.setattr("threatmon.project.ROOT", tmp_path)
    return Explain(tmp_path, threatmon)


def test_a_finding_that_alerts_shows_rule_and_mail_and_ends_well(explain: Explain) -> None:
    code, out, _ = explain(EVENT)
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == "1 of 1 finding would alert, by the rules of stack dev"
    assert f"GuardDuty Finding: Recon:EC2/Portscan, severity 5, id {EVENT['detail']['id']}" in lines
    assert "rule findings  matches: every condition holds" in lines
    mail = lines.index("It would alert. The mail:")
    assert lines[mail + 1].startswith("  Subject: [MEDIUM] Recon:EC2/Portscan ")
    assert f"  {EVENT['detail']['title']}" in lines[mail + 2 : mail + 5]
    assert "\x1b[" not in out


def test_a_finding_as_get_findings_prints_it_gets_the_same_answer(explain: Explain) -> None:
    document = explain.json(PRINTED)
    assert document["alerts"] is True
    [finding] = document["findings"]
    assert (finding["type"], finding["severity"], finding["id"]) == ("Recon:EC2/Portscan", 5, "1ab9")
    assert finding["rules"] == [{"rule": "findings", "stoppedBy": None}]
    assert finding["mail"]["subject"].startswith("[MEDIUM] Recon:EC2/Portscan ")
    assert "A scan\n" in finding["mail"]["message"]


def test_the_condition_that_stopped_it_is_named_and_the_exit_code_says_so(explain: Explain) -> None:
    code, out, _ = explain(recorded("eks"))
    assert code == 1
    assert 'rule findings  does not match: detail.type: "Persistence:Kubernetes/SuccessfulAnonymousAccess"' in out
    assert out.endswith("\nIt would not alert.\n")


def test_several_findings_are_explained_one_by_one_and_one_that_is_silent_decides(explain: Explain) -> None:
    code, out, _ = explain([EVENT, recorded("iam_user"), *PRINTED["Findings"]])
    assert code == 1
    assert out.count("\nGuardDuty Finding: ") == 3
    assert out.startswith("2 of 3 findings would alert, ")
    assert explain([EVENT, *PRINTED["Findings"]]).code == 0


def test_a_quoted_title_is_no_hindrance(explain: Explain) -> None:
    code, out, _ = explain(EVENT | {"detail": EVENT["detail"] | {"title": 'a "quoted" title'}})
    assert code == 0
    assert '\n  a "quoted" title\n' in out


def test_a_strangers_text_neither_steers_nor_fills_the_terminal(explain: Explain) -> None:
    steering = "\x1b[2J\u009b2J\u202e\ud800\nIt would alert[bold]"
    detail = EVENT["detail"] | {"type": steering, "title": '"' + "x" * 100_000}
    for types in (["*"], ["Recon:EC2/Portscan"]):
        explain.write_stack({"threat-monitor:findingTypes": types})
        out = explain(EVENT | {"detail": detail}).out
        assert len(out) < 6_000
        assert not set("\x1b\r\u009b\u202e") & set(out)
        assert out.count("\nIt would alert") == (types == ["*"])
        assert "\\x1b[2J\\x9b2J\\u202e\\ud800\\nIt would alert[bold]" in out


def test_a_finding_of_another_region_is_noted(explain: Explain) -> None:
    explain.write_stack({"aws:region": "us-east-1"})
    note = "The finding is of Region eu-west-1; stack dev only sees those of us-east-1."
    assert note in explain(EVENT).out.splitlines()
    explain.write_stack()
    assert "only sees" not in explain(EVENT).out


def test_the_mail_has_the_links_of_the_stacks_partition_its_alias_log_group_and_dashboard(explain: Explain) -> None:
    explain.write_stack({"aws:region": "cn-north-1", "threat-monitor:alerts": {"accountAlias": "Prod"}})
    out = explain(EVENT).out
    assert "https://console.amazonaws.cn/guardduty/" in out
    assert f"  Account: {ACCOUNT} (Prod), eu-west-1\n" in out
    assert "Its traffic: " not in out  # those flow logs are of another Region
    assert (
        "https://console.amazonaws.cn/cloudwatch/home?region=cn-north-1#dashboards/dashboard/threat-monitor-dev" in out
    )
    explain.write_stack()
    assert "*2fthreat-monitor*2fdev*2fflow-logs" in explain(EVENT).out


def test_neither_aws_nor_the_users_profile_is_asked(explain: Explain, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("something was asked of AWS")

    monkeypatch.setenv("AWS_PROFILE", "nobody")
    monkeypatch.setattr("botocore.httpsession.URLLib3Session.send", refuse)
    monkeypatch.setattr("boto3.Session.__init__", refuse)
    assert explain(EVENT).code == 0
    assert command.PERMISSIONS == ()


@pytest.mark.parametrize(
    ("document", "changes", "message"),
    [
        ("{", {}, "-: is not JSON: "),
        (EVENT, {"aws:region": None}, "Pulumi.dev.yaml: aws:region is not set; run `pulumi config set aws:region"),
        (EVENT, {"aws:region": "nowhere"}, "Pulumi.dev.yaml: aws:region: nowhere is not a Region of AWS"),
        (EVENT, {"threat-monitor:subnetIds": ["subnet-1"]}, "Pulumi.dev.yaml has 1 fault:"),
    ],
)
def test_what_a_user_can_fix_is_said(explain: Explain, document: Any, changes: dict[str, object], message: str) -> None:
    explain.write_stack(changes)
    code, out, err = explain(document)
    assert (code, out) == (2, "")
    assert message in err


def test_a_file_and_a_stack_that_do_not_exist_are_named(explain: Explain) -> None:
    code, _, err = explain.threatmon("explain", "nowhere.json")
    assert (code, err) == (2, "nowhere.json: cannot be read: No such file or directory\n")
    code, _, err = explain.threatmon("explain", "nowhere.json", "--stack", "nowhere")
    assert (code, err) == (2, "Pulumi.nowhere.yaml: no such stack file (there are: dev)\n")


def test_an_error_does_not_reach_the_terminal_as_a_control_sequence(explain: Explain) -> None:
    code, _, err = explain.threatmon("explain", "no\x1b[31mwhere\r.json")
    assert (code, err) == (2, "no\\x1b[31mwhere\\r.json: cannot be read: No such file or directory\n")
