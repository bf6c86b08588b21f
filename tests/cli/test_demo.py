import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from conftest import RunCommand
from examples import ACCOUNT, EMAIL, OTHER_ACCOUNT, REGION, SUBNET, VPC
from findings import recorded
from stack_in_account import write

from threatmon.emulator.demonstration import Demonstration, demonstrate, report
from threatmon.reports.rendering import render
from threatmon.stacks.files import StackFile

DEV = {
    "aws:region": REGION,
    "aws:allowedAccountIds": [ACCOUNT],
    "threat-monitor:subnetIds": [SUBNET],
    "threat-monitor:alertEmails": [EMAIL],
    "threat-monitor:findingTypes": ["Recon:EC2/Portscan"],
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of stack files, without the program."""
    monkeypatch.setattr("threatmon.project.ROOT", tmp_path)
    return tmp_path


def write_stack(folder: Path, changes: Mapping[str, object] = MappingProxyType({})) -> None:
    config = {key: value for key, value in {**DEV, **changes}.items() if value is not None}
    write(folder, StackFile("dev", config))


@pytest.mark.parametrize("tags", ["x", ["x"], {"tags": ["x"]}, {"tags": "x"}])
def test_malformed_default_tags_are_named(threatmon: RunCommand, project: Path, tags: object) -> None:
    write_stack(project, {"aws:defaultTags": tags})
    code, out, err = threatmon("demo", "--stack", "dev")
    assert (code, out) == (2, "")
    assert err == "Pulumi.dev.yaml: aws:defaultTags: expected a map of names to values under `tags`\n"


@pytest.fixture(scope="module")
def shown() -> Demonstration:
    return demonstrate(StackFile("dev", DEV))


def test_a_recorded_port_scan_becomes_a_mail_and_another_finding_stays_quiet(shown: Demonstration) -> None:
    data: Any = report(shown).data
    assert (data["stack"], data["account"], data["region"]) == ("dev", ACCOUNT, REGION)
    assert {"topicArn", "detectorId", "logGroupName", "ruleNames"} <= set(data["outputs"])
    [finding], quiet = data["findings"], data["quiet"]
    assert finding["event"] == recorded("ec2_portscan")
    assert [sent["endpoint"] for sent in finding["notifications"]] == [EMAIL]
    assert len([match for match in finding["rules"] if match["stoppedBy"] is None]) == 1
    assert finding["deadLetters"] == quiet["notifications"] == quiet["deadLetters"] == []
    assert all(match["stoppedBy"] for match in quiet["rules"])
    assert not shown.failed


def test_the_text_has_the_resources_as_a_tree_the_verdicts_and_the_mail(shown: Demonstration) -> None:
    lines = render(report(shown), "text").splitlines()
    assert lines[0] == f"Stack dev in account {ACCOUNT}, {REGION}, emulated in this process"
    assert "  └── MonitoringPipeline threat-monitor" in lines
    assert f"      │   ├── FlowLog threat-monitor-flow-logs-{SUBNET}" in lines
    mail = lines.index(f"email to {EMAIL}")
    assert lines[mail + 2].startswith("  Subject: [MEDIUM] Recon:EC2/Portscan (3x) ")
    assert lines[mail + 4] == f"  {recorded('ec2_portscan')['detail']['title']}"
    assert any(line.endswith("  matches: every condition holds") for line in lines)
    sent, quiet = (line for line in lines if line.startswith("-> "))
    assert sent == "-> 1 message sent, 0 in the dead-letter queue"
    assert quiet == "-> nothing is sent, 0 in the dead-letter queue"
    assert lines[-1].startswith(f"{len(shown.run.resources)} resources, 1 message; deployment ")


def test_any_stack_file_can_be_demonstrated_and_shows_its_own_account_and_region() -> None:
    changes = {
        "aws:region": "us-gov-west-1",
        "aws:allowedAccountIds": [OTHER_ACCOUNT],
        "threat-monitor:subnetIds": [],
        "threat-monitor:vpcIds": [VPC],
        "threat-monitor:detector": {"mode": "import", "id": "0" * 31 + "1"},
        "threat-monitor:alerts": {
            "kmsKeyArn": f"arn:aws-us-gov:kms:us-gov-west-1:{OTHER_ACCOUNT}:key/11112222-3333-4444-5555-666677778888",
            "accountAlias": "Prod",
            "subscribers": [{"protocol": "https", "endpoint": "https://example.com/hook", "format": "raw"}],
        },
    }
    shown = demonstrate(StackFile("prod", {**DEV, **changes}))
    assert (shown.account_id, shown.region) == (OTHER_ACCOUNT, "us-gov-west-1")
    assert shown.run.outputs["detectorId"] == "0" * 31 + "1"
    assert shown.run.outputs["topicArn"].startswith(f"arn:aws-us-gov:sns:us-gov-west-1:{OTHER_ACCOUNT}:")
    [found] = shown.findings
    bodies = {sent.protocol: sent.body for sent in found.notifications}
    assert f"\nAccount: {OTHER_ACCOUNT} (Prod), us-gov-west-1\n" in bodies["email"]
    assert json.loads(bodies["https"]) == found.event


def test_several_findings_of_the_user_are_taken_as_they_are_and_the_archived_form_of_one_is_quiet() -> None:
    stack = StackFile("dev", {**DEV, "threat-monitor:findingTypes": ["*"], "threat-monitor:minimumSeverity": "low"})
    events = [recorded("eks"), recorded("iam_user")]
    shown = demonstrate(stack, events)
    assert [found.event for found in shown.findings] == events
    subjects = [sent.subject.partition("/")[0] for found in shown.findings for sent in found.notifications]
    assert subjects == ["[HIGH] SAMPLE Persistence:Kubernetes", "[LOW] Discovery:IAMUser"]
    assert shown.quiet
    assert shown.quiet.event["detail"]["service"]["archived"] is True


def test_a_finding_that_no_rule_selects_ends_well_and_says_why(threatmon: RunCommand, project: Path) -> None:
    write_stack(project, {"threat-monitor:findingTypes": ["Policy:S3/*"]})
    code, out, err = threatmon("demo")
    assert (code, err) == (0, "")
    assert 'detail.type: "Recon:EC2/Portscan" is not prefix "Policy:S3/"' in out
    assert "\x1b[" not in out


def test_a_finding_too_large_for_the_state_machine_fails_the_demo_and_lands_in_the_queue(
    threatmon: RunCommand, project: Path
) -> None:
    write_stack(project)
    event = recorded("ec2_portscan")
    event["detail"]["title"] = "a long title " * 30_000
    code, out, _ = threatmon("demo", "--event", "-", "--output", "json", stdin=json.dumps(event))
    assert code == 1
    [finding] = json.loads(out)["findings"]
    assert finding["notifications"] == []
    assert [letter["error"] for letter in finding["deadLetters"]] == ["INVALID_PARAMETER"]


@pytest.mark.parametrize(
    ("arguments", "changes", "message"),
    [
        (["--stack", "nowhere"], {}, "Pulumi.nowhere.yaml: no such stack file (there are: dev)\n"),
        ([], {"threat-monitor:subnetIds": ["subnet-12xyz"]}, "Pulumi.dev.yaml has 1 fault:\n"),
        (["--event", "-"], {}, "-: `detail` of an event is a map of names to values\n"),
    ],
)
def test_what_a_user_can_fix_is_said_without_a_traceback(
    threatmon: RunCommand, project: Path, arguments: list[str], changes: dict[str, object], message: str
) -> None:
    write_stack(project, changes)
    code, out, err = threatmon("demo", *arguments, stdin='{"detail": 5}')
    assert (code, out) == (2, "")
    assert err.startswith(message)
    assert "Traceback" not in err
