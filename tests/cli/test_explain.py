import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import typer
import yaml
from findings import RECORDED, recorded
from typer.testing import CliRunner, Result

from threatmon.cli import explain as command
from threatmon.emulator.delivery import deliver
from threatmon.emulator.deployment import deployed
from threatmon.errors import ThreatmonError
from threatmon.stacks.files import load

STACK = {
    "aws:region": "eu-west-1",
    "aws:allowedAccountIds": ["111122223333"],
    "threat-monitor:subnetIds": ["subnet-0123456789abcdef0"],
    "threat-monitor:alertEmails": ["security@example.com"],
    "threat-monitor:findingTypes": ["Recon:EC2/Portscan"],
}
EVENT = recorded("ec2_portscan")
PRINTED = {"Findings": [{"Type": "Recon:EC2/Portscan", "Severity": 5, "Title": "A scan", "Id": "1ab9"}]}

app = typer.Typer()
app.command()(command.explain)


class Explain:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.write_stack()

    def write_stack(self, changes: Mapping[str, object] = MappingProxyType({})) -> None:
        config = {key: value for key, value in {**STACK, **changes}.items() if value is not None}
        (self.folder / "Pulumi.dev.yaml").write_text(yaml.safe_dump({"config": config}), encoding="utf-8")

    def __call__(self, document: Any, *arguments: str) -> Result:
        path = self.folder / "event.json"
        path.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
        return CliRunner(env={"COLUMNS": "100"}).invoke(app, [str(path), "--stack", "dev", *arguments])

    def json(self, document: Any) -> dict[str, Any]:
        return json.loads(self(document, "--json").stdout)


@pytest.fixture
def explain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Explain:
    monkeypatch.setattr("threatmon.project.ROOT", tmp_path)
    return Explain(tmp_path)


def said_to_the_user(result: Result) -> str:
    assert isinstance(result.exception, ThreatmonError)
    assert result.stdout == ""
    return str(result.exception)


def test_a_finding_that_alerts_shows_rule_and_mail_and_ends_well(explain: Explain) -> None:
    result = explain(EVENT)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == f"GuardDuty Finding: Recon:EC2/Portscan, severity 5, id {EVENT['detail']['id']}"
    assert "  rule medium matches: every condition holds" in lines
    assert "  rule high does not match: detail.severity: 5 is not >= 7 and < 9" in lines
    assert "  -> it would alert, by the rule medium" in lines
    assert '"MEDIUM: Recon:EC2/Portscan"' in lines
    assert "\x1b[" not in result.stdout


def test_what_it_says_is_what_the_deployed_stack_does(explain: Explain) -> None:
    explain.write_stack({"threat-monitor:findingTypes": ["*"], "threat-monitor:minimumSeverity": "low"})
    with deployed(load(explain.folder, "dev")) as (account, run):
        for arn in account.backend("sns").subscriptions:
            account.confirm_subscription(arn)
        for event in map(recorded, RECORDED):
            journey = deliver(account, event)
            [finding] = explain.json(event)["findings"]
            rules = zip(finding["rules"], run.outputs["ruleNames"], strict=True)
            reasons = {verdict.rule: verdict.reason for verdict in journey.verdicts}
            assert {name: rule["stoppedBy"] for rule, name in rules} == reasons
            mails = [rule["mail"] for rule in finding["rules"] if rule["mail"]]
            assert mails == [notification.body for notification in journey.notifications]


def test_a_finding_as_get_findings_prints_it_gets_the_same_answer(explain: Explain) -> None:
    document = explain.json(PRINTED)
    assert document["alerts"] is True
    [finding] = document["findings"]
    assert (finding["type"], finding["severity"], finding["id"]) == ("Recon:EC2/Portscan", 5, "1ab9")
    assert [rule["rule"] for rule in finding["rules"]] == ["low", "medium", "high", "critical"]
    [mail] = [rule["mail"] for rule in finding["rules"] if rule["mail"]]
    assert '\n"A scan"\n' in mail


def test_the_condition_that_stopped_it_is_named_and_the_exit_code_tells(explain: Explain) -> None:
    result = explain(recorded("eks"))
    assert result.exit_code == 1
    assert 'rule high does not match: detail.type: "Persistence:Kubernetes/SuccessfulAnonymousAccess"' in result.stdout
    assert "  -> it would not alert" in result.stdout
    assert "the mail" not in result.stdout


def test_several_findings_are_explained_one_by_one_and_one_that_is_silent_decides(explain: Explain) -> None:
    result = explain([EVENT, recorded("iam_user"), *PRINTED["Findings"]])
    assert result.exit_code == 1
    assert result.stdout.count("GuardDuty Finding: ") == 3
    assert result.stdout.endswith("2 of 3 findings would alert.\n")
    assert explain([EVENT, *PRINTED["Findings"]]).exit_code == 0


def test_a_sample_that_the_stack_drops_is_told_as_such_in_either_form(explain: Explain) -> None:
    explain.write_stack({"threat-monitor:alerts": {"includeSamples": False}})
    info = {"Value": '{"sample":true}', "Type": "default"}
    printed = PRINTED["Findings"][0] | {"Service": {"AdditionalInfo": info}}
    for document in (recorded("ec2_portscan_sample"), printed):
        result = explain(document)
        assert result.exit_code == 1
        assert "rule medium does not match: detail.service.additionalInfo.sample: true is not false" in result.stdout


def test_a_mail_that_cannot_be_rendered_lands_in_the_dead_letter_queue_and_says_why(explain: Explain) -> None:
    event = EVENT | {"detail": EVENT["detail"] | {"title": 'a "quoted" title'}}
    result = explain(event)
    assert result.exit_code == 1
    assert "-> it would land in the dead-letter queue, because its mail cannot be sent:" in result.stdout
    assert 'a "quoted" title' in result.stdout
    [finding] = explain.json(event)["findings"]
    assert finding["alerts"] is False
    assert [rule["rule"] for rule in finding["rules"] if rule["deadLetter"]] == ["medium"]
    assert all(rule["mail"] is None for rule in finding["rules"])


def test_a_strangers_text_neither_steers_nor_fills_the_terminal(explain: Explain) -> None:
    steering = "\x1b[2J\u009b2J\u202e\ud800\n  -> it would alert[bold]"
    detail = EVENT["detail"] | {"type": steering, "title": '"' + "x" * 100_000}
    for types in (["*"], ["Recon:EC2/Portscan"]):
        explain.write_stack({"threat-monitor:findingTypes": types})
        out = explain(EVENT | {"detail": detail, "detail-type": "GuardDuty Finding"}).stdout
        assert len(out) < 3_000
        assert not set("\x1b\r\u009b\u202e") & set(out)
        assert "\n  -> it would alert" not in out
        assert "\\x1b[2J\\x9b2J\\u202e\\ud800\\n  -> it would alert[bold]" in out


def test_the_mail_is_shown_whole_with_what_steers_a_terminal_escaped(explain: Explain) -> None:
    out = explain(EVENT | {"detail": EVENT["detail"] | {"title": "\u009b2J\u2028 [bold]" + "x" * 300}}).stdout
    assert '"\\x9b2J\\u2028 [bold]' + "x" * 300 + '"\n' in out


def test_a_finding_of_another_region_is_noted(explain: Explain) -> None:
    explain.write_stack({"aws:region": "us-east-1"})
    result = explain(EVENT)
    assert "note: it is of Region eu-west-1; stack dev sees those of us-east-1" in result.stdout
    explain.write_stack()
    assert "note" not in explain(EVENT).stdout


def test_the_mail_has_the_links_of_the_stacks_partition_its_alias_log_group_and_dashboard(explain: Explain) -> None:
    explain.write_stack({"aws:region": "cn-north-1", "threat-monitor:alerts": {"accountAlias": "Prod"}})
    out = explain(EVENT).stdout
    assert "https://console.amazonaws.cn/guardduty/" in out
    assert '"Account: 111122223333 (Prod)"' in out
    assert "*2fthreat-monitor*2fdev*2fflow-logs" in out
    assert (
        "https://console.amazonaws.cn/cloudwatch/home?region=eu-west-1#dashboards/dashboard/threat-monitor-dev " in out
    )


@pytest.mark.usefixtures("explain")
def test_it_reads_standard_input() -> None:
    result = CliRunner().invoke(app, ["-", "--json"], input=json.dumps(PRINTED).encode("utf-16"))
    assert [finding["id"] for finding in json.loads(result.stdout)["findings"]] == ["1ab9"]


def test_neither_aws_nor_the_users_profile_is_asked(explain: Explain, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("something was asked of AWS")

    monkeypatch.setenv("AWS_PROFILE", "nobody")
    monkeypatch.setattr("botocore.httpsession.URLLib3Session.send", refuse)
    monkeypatch.setattr("boto3.Session.__init__", refuse)
    assert explain(EVENT).exit_code == 0
    assert command.PERMISSIONS == ()


@pytest.mark.parametrize(
    ("document", "changes", "said"),
    [
        ("{", {}, "event.json: is not JSON: "),
        ([], {}, "event.json: holds no finding"),
        ([5, EVENT, {}], {}, "event.json: [2]: is neither an event"),
        (EVENT, {"aws:region": None}, "Pulumi.dev.yaml: aws:region is not set; run `pulumi config set aws:region"),
        (EVENT, {"aws:region": "nowhere"}, "Pulumi.dev.yaml: aws:region: nowhere is not a Region of AWS"),
        (EVENT, {"threat-monitor:subnetIds": ["subnet-1"]}, "Pulumi.dev.yaml has 1 fault:"),
    ],
)
def test_what_a_user_can_mend_is_said(explain: Explain, document: Any, changes: dict[str, object], said: str) -> None:
    explain.write_stack(changes)
    assert said in said_to_the_user(explain(document))


@pytest.mark.usefixtures("explain")
def test_a_file_and_a_stack_that_do_not_exist_are_named() -> None:
    result = CliRunner().invoke(app, ["nowhere.json", "--stack", "dev"])
    assert said_to_the_user(result) == "nowhere.json: cannot be read: No such file or directory"
    result = CliRunner().invoke(app, ["nowhere.json", "--stack", "nowhere"])
    assert said_to_the_user(result) == "Pulumi.nowhere.yaml: no such stack file (there are: dev)"


def test_the_help_has_an_example() -> None:
    out = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["--help"]).stdout
    assert (
        "Example: aws guardduty get-findings --detector-id ID --finding-ids ID | threatmon explain - --stack dev" in out
    )
