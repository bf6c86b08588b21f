import json
import subprocess
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import botocore.session
import pytest
import typer
from botocore.exceptions import ClientError
from botocore.model import StructureShape
from typer.testing import CliRunner, Result

from threatmon.cli import simulate as command
from threatmon.emulator.deployment import Deployment, deployed
from threatmon.errors import ThreatmonError, UsageError
from threatmon.evaluation.explain import rules_of
from threatmon.model.finding_types import catalogue
from threatmon.model.settings import parse
from threatmon.project import ROOT as PROJECT_ROOT
from threatmon.stacks import old_aws as session
from threatmon.stacks.files import StackFile, load

ACTIVE = [row.name for row in catalogue().values() if not row.retired and not row.custom_detection_rule]
RETIRED = next(row.name for row in catalogue().values() if row.retired)
PORT_SCAN = "Recon:EC2/Portscan"

app = typer.Typer()
app.command()(command.simulate)

Answer = Callable[[dict[str, Any]], tuple[str, str] | None]


class Simulate:
    """The command on a deployed stack. moto lacks CreateSampleFindings: ``answer`` is given each call's parameters, and
    gives code and message of an error, or None for the empty answer that AWS documents."""

    def __init__(self, deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
        self.account, run = deployment
        self.outputs: dict[str, Any] = dict(run.outputs)
        self.config = dict(load(PROJECT_ROOT, "dev").config)
        self.answer: Answer = lambda _: None
        self.asked: list[dict[str, Any]] = []
        self.called: list[str] = []
        self.refused: dict[str, tuple[str, str]] = {}
        boto = self.account.boto3_session()
        self._handlers = {
            "before-parameter-build": self._note,
            "before-call.guardduty.CreateSampleFindings": self._samples,
            "before-call.sts.GetCallerIdentity": self._identity,
        }
        self._events: Any = boto.events
        for event, handler in self._handlers.items():
            self._events.register(event, handler)
        monkeypatch.setattr(session, "new_session", lambda _profile, _region: boto)
        monkeypatch.setattr(command, "stack_outputs", lambda _stack: self.outputs)
        monkeypatch.setattr(command, "load", lambda _folder, stack: StackFile(stack, self.config))

    def close(self) -> None:
        for event, handler in self._handlers.items():
            self._events.unregister(event, handler)

    def __call__(self, *arguments: str) -> Result:
        return CliRunner(env={"COLUMNS": "100"}).invoke(app, ["--stack", "dev", *arguments])

    def json(self, *arguments: str) -> dict[str, Any]:
        result = self("--json", *arguments)
        assert result.stderr == ""
        return json.loads(result.stdout)

    def set(self, **changes: Any) -> None:
        self.config |= {f"threat-monitor:{key}": value for key, value in changes.items()}

    @property
    def asked_types(self) -> list[list[str]]:
        return [call["findingTypes"] for call in self.asked]

    def _note(self, model: Any, **_: object) -> None:
        self.called.append(f"{model.service_model.service_name}:{model.name}")

    def _samples(self, params: dict[str, Any], **_: object) -> tuple[Any, dict[str, Any]]:
        body = json.loads(params["body"]) | {"detectorId": params["url_path"].split("/")[2]}
        self.asked.append(body)
        error = self.answer(body)
        return _answered(*error) if error else (SimpleNamespace(status_code=200), {})

    def _identity(self, **_: object) -> tuple[Any, dict[str, Any]] | None:
        return _answered(*self.refused["sts"]) if "sts" in self.refused else None


def _answered(code: str, message: str) -> tuple[Any, dict[str, Any]]:
    parsed = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": 400}}
    return SimpleNamespace(status_code=400), parsed


@pytest.fixture(scope="module")
def deployment() -> Iterator[Deployment]:
    with deployed(load(PROJECT_ROOT, "dev")) as deployment:
        yield deployment


@pytest.fixture
def simulate(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulate]:
    simulate = Simulate(deployment, monkeypatch)
    yield simulate
    simulate.close()


def said_to_the_user(result: Result) -> str:
    assert isinstance(result.exception, ThreatmonError)
    assert result.stdout == ""
    return str(result.exception)


def explained(result: Result) -> str:
    assert isinstance(result.exception, ClientError)
    assert "\n" not in session.explained(result.exception)
    return session.explained(result.exception)


# -- what is created --------------------------------------------------------------------------------------------------


def test_the_configured_type_is_sampled_by_the_stacks_detector_and_its_rule_named(simulate: Simulate) -> None:
    result = simulate()
    assert result.exit_code == 0
    assert simulate.asked == [{"detectorId": simulate.outputs["detectorId"], "findingTypes": [PORT_SCAN]}]
    medium = simulate.outputs["ruleNames"][1]
    assert result.stdout.splitlines() == [
        f"Created in eu-west-1, detector {simulate.outputs['detectorId']}: 1 sample ({PORT_SCAN}).",
        "",
        "Within about 5 minutes these rules should mail:",
        f"  {medium}: 1 sample ({PORT_SCAN})",
        "",
        "A sample that exists already may count as a repeat, and be mailed hours later: archive old ones first.",
    ]
    assert result.stderr == ""


def test_everything_is_sampled_in_calls_of_fifty(simulate: Simulate) -> None:
    simulate.set(findingTypes=["*"])
    document = simulate.json()
    assert [len(types) for types in simulate.asked_types] == [50, 50, 50, 50, len(ACTIVE) - 200]
    assert [name for types in simulate.asked_types for name in types] == ACTIVE
    assert document["created"] == ACTIVE
    assert document["refused"] == document["leftOut"] == document["expected"]["silent"] == {}


def test_types_given_replace_the_configured_and_what_no_rule_takes_is_told(simulate: Simulate) -> None:
    document = simulate.json("--type", "Policy:S3/AccountBlockPublicAccessDisabled", "--type", "Recon:EC2/*")
    assert simulate.asked_types == [["Policy:S3/AccountBlockPublicAccessDisabled", *_family("Recon:EC2/")]]
    assert document["expected"]["byRule"] == {simulate.outputs["ruleNames"][1]: [PORT_SCAN]}
    silent = document["expected"]["silent"]
    assert silent["Policy:S3/AccountBlockPublicAccessDisabled"].startswith("detail.type: ")
    out = simulate("--type", "Policy:S3/AccountBlockPublicAccessDisabled").stdout
    assert "No rule lets these through:\n  Policy:S3/AccountBlockPublicAccessDisabled: detail.type: " in out
    assert "should mail" not in out


def _family(prefix: str) -> list[str]:
    return [name for name in ACTIVE if name.startswith(prefix)]


def test_a_retired_type_is_left_out_with_a_note(simulate: Simulate) -> None:
    simulate.set(findingTypes=[RETIRED, PORT_SCAN])
    result = simulate()
    assert result.exit_code == 0
    assert simulate.asked_types == [[PORT_SCAN]]
    assert f"Left out:\n  {RETIRED} is retired: GuardDuty makes no samples of it\n" in result.stdout
    assert simulate.json()["leftOut"] == {RETIRED: "is retired: GuardDuty makes no samples of it"}


def test_nothing_left_to_create_is_wrong_use_and_calls_nothing(simulate: Simulate) -> None:
    said = said_to_the_user(simulate("--type", RETIRED))
    assert said.splitlines() == [
        "There is no sample to create:",
        f"  {RETIRED} is retired: GuardDuty makes no samples of it",
    ]
    assert simulate.called == []


def test_misspelt_types_are_refused_together_before_any_call(simulate: Simulate) -> None:
    said = said_to_the_user(simulate("--type", "Recon:EC2/PortScan", "--type", PORT_SCAN, "--type", "Nothing:*"))
    assert said.splitlines() == [
        f'--type: Recon:EC2/PortScan is not a GuardDuty finding type; did you mean "{PORT_SCAN}"?',
        "--type: Nothing:* matches no GuardDuty finding type",
    ]
    assert simulate.called == []


def test_a_type_newer_than_the_catalogue_is_tried_where_the_stack_allows_it(simulate: Simulate) -> None:
    simulate.set(allowUnknownFindingTypes=True)
    assert simulate.json("--type", "Recon:EC2/Brandnew")["expected"]["silent"].keys() == {"Recon:EC2/Brandnew"}
    assert simulate.asked_types == [["Recon:EC2/Brandnew"]]
    assert "--type: a b" in said_to_the_user(simulate("--type", "a b"))


def test_dropped_samples_are_warned_of(simulate: Simulate) -> None:
    simulate.set(alerts={"includeSamples": False})
    result = simulate()
    assert result.stdout.startswith("Warning: threat-monitor:alerts.includeSamples is false: the rules let no sample")
    assert f"{PORT_SCAN}: detail.service.additionalInfo.sample: true is not false or absent" in result.stdout
    assert "should mail" not in result.stdout


def test_a_stack_file_that_is_ahead_of_the_deployment_is_warned_of(simulate: Simulate) -> None:
    simulate.set(minimumSeverity="medium")
    document = simulate.json()
    assert document["warnings"] == ["The stack file makes 3 rules, 4 are deployed: run `make preview`."]
    assert document["expected"]["byRule"] == {"medium": [PORT_SCAN]}


def test_the_rules_it_reckons_with_are_the_deployed_ones_in_their_order(simulate: Simulate) -> None:
    events = simulate.account.client("events")
    deployed_patterns = [
        json.loads(events.describe_rule(Name=name)["EventPattern"]) for name in simulate.outputs["ruleNames"]
    ]
    config = {key.removeprefix("threat-monitor:"): value for key, value in simulate.config.items() if "threat" in key}
    assert [rule.pattern for rule in rules_of(parse(config)[0])] == deployed_patterns


# -- what GuardDuty refuses -------------------------------------------------------------------------------------------


def test_a_type_that_guardduty_refuses_does_not_stop_the_others(simulate: Simulate) -> None:
    bad = {ACTIVE[3], ACTIVE[120]}
    refusal = ("BadRequestException", "The request is rejected because a finding type is not supported.")
    simulate.answer = lambda call: refusal if bad & set(call["findingTypes"]) else None
    simulate.set(findingTypes=["*"])
    result = simulate("--json")
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    assert document["refused"] == dict.fromkeys(sorted(bad, key=ACTIVE.index), refusal[1])
    assert document["created"] == [name for name in ACTIVE if name not in bad]
    assert len(simulate.asked) < 30
    assert f"Refused by GuardDuty:\n  {ACTIVE[3]} The request is rejected" in simulate().stdout


def test_a_detector_that_is_gone_is_asked_for_once_and_named(simulate: Simulate) -> None:
    said = "The request is rejected because the input detectorId is not owned by the current account."
    simulate.answer = lambda _: ("BadRequestException", said)
    simulate.set(findingTypes=["*"])
    assert said_to_the_user(simulate()) == (
        f"GuardDuty does not know detector {simulate.outputs['detectorId']} of the stack's outputs here ({said}) "
        "Run `pulumi up --refresh`."
    )
    assert len(simulate.asked) == 1


def test_a_missing_permission_is_named(simulate: Simulate) -> None:
    simulate.answer = lambda _: ("AccessDeniedException", "User: arn:aws:iam::111122223333:user/x may not")
    assert explained(simulate()).startswith("Permission guardduty:CreateSampleFindings is missing: ")


def test_throttling_in_the_middle_tells_what_was_created_before(simulate: Simulate) -> None:
    simulate.answer = lambda _: ("TooManyRequestsException", "slow down") if len(simulate.asked) > 2 else None
    simulate.set(findingTypes=["*"])
    result = simulate()
    assert explained(result) == (
        "AWS still throttles guardduty:CreateSampleFindings after 8 attempts; try again later."
    )
    assert result.stderr == f"100 of {len(ACTIVE)} sample findings were created; then:\n"
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("ExpiredToken", "The AWS credentials have expired"),
        ("UnrecognizedClientException", "AWS does not accept the credentials in this Region"),
    ],
)
def test_credentials_that_do_not_serve_are_explained(simulate: Simulate, code: str, said: str) -> None:
    simulate.refused["sts"] = (code, "no")
    assert explained(simulate()).startswith(said)
    assert simulate.asked == []


def test_another_account_is_refused_before_anything_is_created(simulate: Simulate) -> None:
    simulate.config["aws:allowedAccountIds"] = ["444455556666"]
    assert "of account 111122223333, but Pulumi.dev.yaml allows 444455556666" in said_to_the_user(simulate())
    assert simulate.asked == []


def test_a_stack_that_is_not_deployed_creates_nothing(simulate: Simulate, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(stack: str) -> dict[str, Any]:
        raise UsageError(f"Stack {stack} is not deployed: it has no outputs. Run `make up STACK={stack}`.")

    monkeypatch.setattr(command, "stack_outputs", nothing)
    assert said_to_the_user(simulate()).startswith("Stack dev is not deployed")
    assert simulate.asked == []


def test_a_half_deployed_stack_says_what_is_missing(simulate: Simulate) -> None:
    del simulate.outputs["detectorId"]
    assert said_to_the_user(simulate()) == (
        "Stack dev is only half deployed: it has no output detectorId. Run `make up STACK=dev`."
    )
    assert simulate.asked == []


def test_it_calls_what_its_permissions_name(simulate: Simulate) -> None:
    simulate.set(findingTypes=["*"])
    simulate()
    identity = "sts:GetCallerIdentity"  # needs no permission
    assert set(simulate.called) == {*command.PERMISSIONS, identity}


def test_the_recorded_answer_is_the_one_aws_documents() -> None:
    shape = botocore.session.get_session().get_service_model("guardduty").shape_for("CreateSampleFindingsResponse")
    assert isinstance(shape, StructureShape)
    assert shape.members == {}


# -- the plan ---------------------------------------------------------------------------------------------------------


def test_the_plan_calls_nothing_and_can_be_pasted(simulate: Simulate, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("something was asked")

    monkeypatch.setattr(command, "connect", refuse)
    monkeypatch.setattr(command, "stack_outputs", refuse)
    simulate.config |= {"aws:profile": "audit"}
    result = simulate("--plan")
    assert (result.exit_code, result.stderr, simulate.called) == (0, "", [])
    out = result.stdout
    checked = subprocess.run(["bash", "-n"], input=out, text=True, capture_output=True, check=False)  # noqa: S607
    assert (checked.returncode, checked.stderr) == (0, "")
    parts = [
        "Before:",
        "Safety:",
        "Stop if:",
        "1. Choose",
        "2. Make",
        "3. Scan",
        "4. Look",
        "5. Clean up",
        "What to expect",
    ]
    assert [out.index(f"\n# {part}") for part in parts] == sorted(out.index(f"\n# {part}") for part in parts)
    for named in (
        "https://aws.amazon.com/security/penetration-testing/",
        "export AWS_REGION=eu-west-1\n",
        "export AWS_PROFILE=audit\n",
        "SUBNET=subnet-0123456789abcdef0\n",
        " = 111122223333 ] || ",
        "/threat-monitor/dev/flow-logs",
        "the mail, by the rule medium, to security@example.com",
    ):
        assert named in out


def test_the_plan_is_a_document_too(simulate: Simulate) -> None:
    document = simulate.json("--plan")
    assert document.keys() == {"stack", "region", "before", "safety", "stop", "steps", "expect"}
    assert (document["stack"], document["region"]) == ("dev", "eu-west-1")
    assert document["steps"][0]["commands"][0] == "export AWS_REGION=eu-west-1"
    assert all(moment["when"] and moment["what"] for moment in document["expect"])


def test_a_plan_of_types_is_wrong_use(simulate: Simulate) -> None:
    assert said_to_the_user(simulate("--plan", "--type", PORT_SCAN)) == "--plan is of a port scan; leave --type out."


def test_the_help_has_an_example() -> None:
    out = CliRunner(env={"COLUMNS": "120"}).invoke(app, ["--help"]).stdout
    assert "Example: threatmon simulate --stack dev --type Recon:EC2/Portscan" in out
