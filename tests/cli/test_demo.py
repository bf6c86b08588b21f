import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import yaml

from threatmon import cli
from threatmon.project import ROOT as PROJECT_ROOT

DEV = {
    "aws:region": "eu-west-1",
    "aws:allowedAccountIds": ["111122223333"],
    "threat-monitor:subnetIds": ["subnet-0123456789abcdef0"],
    "threat-monitor:alertEmails": ["security@example.com"],
    "threat-monitor:findingTypes": ["Recon:EC2/Portscan"],
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of stack files; the program stays where it is."""
    monkeypatch.setattr("threatmon.project.ROOT", tmp_path)
    return tmp_path


def write_stack(folder: Path, changes: Mapping[str, object] = MappingProxyType({}), name: str = "dev") -> None:
    config = {key: value for key, value in {**DEV, **changes}.items() if value is not None}
    (folder / f"Pulumi.{name}.yaml").write_text(yaml.safe_dump({"config": config}), encoding="utf-8")


def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output, standard error of `threatmon ...`."""
    monkeypatch.setattr("sys.argv", ["threatmon", *arguments])
    monkeypatch.setenv("COLUMNS", "100")
    with pytest.raises(SystemExit) as stop:
        cli.main()
    captured = capsys.readouterr()
    return int(stop.value.code or 0), captured.out, captured.err


class Demo:
    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._fixtures = (monkeypatch, capsys)

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        return run(*self._fixtures, "demo", *arguments)

    def json(self, *arguments: str) -> dict[str, Any]:
        code, out, err = self("--json", *arguments)
        assert (code, err) == (0, "")
        return json.loads(out)


@pytest.fixture
def demo(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Demo:
    return Demo(monkeypatch, capsys)


def test_the_committed_stack_turns_a_recorded_port_scan_into_a_mail(demo: Demo) -> None:
    code, out, err = demo()
    assert (code, err) == (0, "")
    assert "└── MonitoringPipeline threat-monitor" in out
    assert "FlowLog threat-monitor-flow-logs-subnet-0123456789abcdef0" in out
    assert "email to security@example.com" in out
    assert '"MEDIUM: Recon:EC2/Portscan"' in out
    assert '"Resource: Instance i-0abcd1234ef567890' in out
    assert "matches: every condition holds" in out
    assert "-> nothing is sent" in out
    assert "\x1b[" not in out


def test_the_document_has_resources_outputs_the_alert_and_what_stays_quiet(demo: Demo, project: Path) -> None:
    write_stack(project)
    document = demo.json()
    assert document["stack"] == "dev"
    assert {"topicArn", "detectorId", "logGroupName", "ruleNames"} <= set(document["outputs"])
    alert, quiet = document["alert"], document["quiet"]
    assert [n["endpoint"] for n in alert["notifications"]] == ["security@example.com"]
    assert [v for v in alert["verdicts"] if v["reason"] is None] != []
    assert quiet["notifications"] == quiet["deliveries"] == []


def test_any_stack_file_can_be_demonstrated_and_shows_its_own_account_and_region(demo: Demo, project: Path) -> None:
    write_stack(
        project,
        {
            "aws:region": "us-gov-west-1",
            "aws:allowedAccountIds": ["999988887777"],
            "threat-monitor:findingTypes": None,
            "threat-monitor:vpcIds": ["vpc-0123456789abcdef0"],
            "threat-monitor:detector": {"mode": "import", "id": "0" * 31 + "1"},
            "threat-monitor:alerts": {
                "kmsKeyArn": "arn:aws-us-gov:kms:us-gov-west-1:999988887777:key/11112222-3333-4444-5555-666677778888",
                "accountAlias": "Prod",
                "subscribers": [{"protocol": "https", "endpoint": {"secure": "v1:abc"}, "format": "raw"}],
            },
        },
        "prod",
    )
    document = demo.json("--stack", "prod")
    assert (document["account"], document["region"]) == ("999988887777", "us-gov-west-1")
    outputs = document["outputs"]
    assert outputs["detectorId"] == "0" * 31 + "1"
    assert str(outputs["topicArn"]).startswith("arn:aws-us-gov:sns:us-gov-west-1:999988887777:")
    alert = document["alert"]
    by_protocol = {n["protocol"]: n["body"] for n in alert["notifications"]}
    assert '"Account: 999988887777 (Prod)"' in by_protocol["email"]
    assert json.loads(by_protocol["https"]) == alert["event"]


def test_a_lookup_stack_finds_a_detector_and_makes_none(demo: Demo, project: Path) -> None:
    write_stack(project, {"threat-monitor:detector": {"mode": "lookup"}})
    document = demo.json()
    assert not [r for r in document["resources"] if "guardduty" in r["type"]]
    assert document["outputs"]["detectorId"]


def test_an_event_that_no_rule_selects_ends_well_and_says_why(demo: Demo, project: Path) -> None:
    write_stack(project, {"threat-monitor:findingTypes": ["Policy:S3/*"]})
    code, out, _ = demo()
    assert code == 0
    assert 'detail.type: "Recon:EC2/Portscan" is not prefix "Policy:S3/"' in " ".join(out.split())


def test_an_event_of_the_users_is_taken_as_it_is(demo: Demo, project: Path, tmp_path: Path) -> None:
    write_stack(project, {"threat-monitor:findingTypes": ["Persistence:Kubernetes/*"]})
    recorded = PROJECT_ROOT / "threatmon" / "emulator" / "events" / "eks.json"
    event = tmp_path / "mine.json"
    event.write_text(recorded.read_text(encoding="utf-8").replace("111122223333", "444455556666"), encoding="utf-8")
    code, out, _ = demo("--event", str(event))
    assert code == 0
    assert '"HIGH: Persistence:Kubernetes/SuccessfulAnonymousAccess"' in out
    assert '"Account: 444455556666"' in out


def test_a_finding_whose_mail_cannot_be_rendered_fails_the_demo_and_lands_in_the_queue(
    demo: Demo, project: Path, tmp_path: Path
) -> None:
    write_stack(project)
    recorded = PROJECT_ROOT / "threatmon" / "emulator" / "events" / "ec2_portscan.json"
    event = json.loads(recorded.read_text(encoding="utf-8"))
    event["detail"]["title"] = 'a "quoted" title'
    path = tmp_path / "hostile.json"
    path.write_text(json.dumps(event), encoding="utf-8")
    code, out, _ = demo("--event", str(path))
    assert code == 1
    assert "nothing is sent, 1 in the dead-letter queue" in out


@pytest.mark.parametrize(
    ("arguments", "changes", "message"),
    [
        (["--stack", "nowhere"], {}, "Pulumi.nowhere.yaml: no such stack file (there are: dev)\n"),
        (
            [],
            {"aws:region": None},
            "Pulumi.dev.yaml: aws:region is not set; run `pulumi config set aws:region <region>`\n",
        ),
        (
            [],
            {"threat-monitor:subnetIds": ["subnet-12xyz"], "threat-monitor:findingTypes": ["Recon:EC2/PortScan"]},
            "Pulumi.dev.yaml has 2 faults:\n"
            '  threat-monitor:subnetIds[0]: "subnet-12xyz" is not a subnet id '
            "(expected subnet- and 8 or 17 hex digits)\n"
            '  threat-monitor:findingTypes[0]: "Recon:EC2/PortScan" is not a GuardDuty finding type; '
            'did you mean "Recon:EC2/Portscan"?\n',
        ),
        (["--event", "nowhere.json"], {}, "nowhere.json: cannot be read as JSON"),
    ],
)
def test_what_a_user_can_mend_is_said_without_a_traceback(
    demo: Demo, project: Path, arguments: list[str], changes: dict[str, object], message: str
) -> None:
    write_stack(project, changes)
    code, out, err = demo(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith(message)
    assert "Traceback" not in err


@pytest.mark.parametrize("content", ["[]", '{"detail-type": "GuardDuty Finding"}', '{"detail": 5}', "{"])
def test_a_file_that_is_no_event_is_refused(demo: Demo, project: Path, tmp_path: Path, content: str) -> None:
    write_stack(project)
    (tmp_path / "event.json").write_text(content, encoding="utf-8")
    code, _, err = demo("--event", str(tmp_path / "event.json"))
    assert code == 2
    assert "event.json: " in err


def test_the_help_has_an_example(demo: Demo) -> None:
    code, out, _ = demo("--help")
    assert code == 0
    assert "Example: threatmon demo --stack dev" in out
