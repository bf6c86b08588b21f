"""The command on a deployed stack; moto lacks CreateSampleFindings, so that is answered here."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from conftest import RunCommand
from examples import EMAIL, OTHER_ACCOUNT
from stack_in_account import StackInAccount, show_commands, stack_file, stack_in_account, write

from threatmon.cli.simulate import PERMISSIONS
from threatmon.model.finding_types import catalogue

ACTIVE = [row.name for row in catalogue().values() if not row.retired and not row.custom_detection_rule]
RETIRED = next(row.name for row in catalogue().values() if row.retired)
PORT_SCAN = "Recon:EC2/Portscan"
SETTINGS: dict[str, Any] = {"findingTypes": [PORT_SCAN]}


class Simulate:
    """The command, whose stack file a test may change; ``asked`` are the types of each call, which it may refuse."""

    def __init__(self, stack: StackInAccount, folder: Path, run: RunCommand) -> None:
        self.stack, self.folder, self.run = stack, folder, run
        self.asked: list[list[str]] = []
        self.refusal: Callable[[list[str]], tuple[str, str] | None] = lambda _: None
        stack.aws.answer("guardduty:CreateSampleFindings", self.create)

    def create(self, parameters: dict[str, Any]) -> dict[str, Any]:
        assert parameters["DetectorId"] == self.stack.outputs["detectorId"]
        self.asked.append(parameters["FindingTypes"])
        if refusal := self.refusal(parameters["FindingTypes"]):
            raise ClientError({"Error": {"Code": refusal[0], "Message": refusal[1]}}, "CreateSampleFindings")
        return {}

    def set(self, **changes: Any) -> None:
        write(self.folder, stack_file(**(SETTINGS | changes)))

    def __call__(self, *arguments: str) -> Any:
        return self.run("simulate", *arguments)

    def json(self, *arguments: str) -> dict[str, Any]:
        return json.loads(self("-o", "json", *arguments).out)


@pytest.fixture
def simulate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threatmon: RunCommand) -> Iterator[Simulate]:
    with stack_in_account(stack_file(**SETTINGS)) as stack:
        show_commands(stack, tmp_path, monkeypatch)
        yield Simulate(stack, tmp_path, threatmon)


# -- what is created --------------------------------------------------------------------------------------------------


def test_the_configured_type_is_sampled_by_the_stacks_detector_and_its_rule_named(simulate: Simulate) -> None:
    code, out, err = simulate()
    assert (code, err, simulate.asked) == (0, "", [[PORT_SCAN]])
    detector, rule = simulate.stack.outputs["detectorId"], simulate.stack.rule()
    assert out.splitlines() == [
        "Sample findings for stack dev",
        "",
        f"Created in eu-west-1, detector {detector}: 1 sample ({PORT_SCAN}).",
        "",
        "Within about 5 minutes these rules should mail",
        "----------------------------------------------",
        f"{rule}  1 sample ({PORT_SCAN})",
        "A sample that exists already may count as a repeat, and be mailed hours later: archive old ones first.",
    ]


def test_everything_is_sampled_in_calls_of_fifty(simulate: Simulate) -> None:
    simulate.set(findingTypes=["*"])
    document = simulate.json()
    assert [len(types) for types in simulate.asked] == [50, 50, 50, 50, len(ACTIVE) - 200]
    assert document["created"] == [name for types in simulate.asked for name in types] == ACTIVE
    assert document["refused"] == document["leftOut"] == {}


def test_types_given_replace_the_configured_and_what_no_rule_takes_is_shown(simulate: Simulate) -> None:
    other = "Policy:S3/AccountBlockPublicAccessDisabled"
    document = simulate.json("--type", other, "--type", "Recon:EC2/*")
    assert simulate.asked == [[other, *(name for name in ACTIVE if name.startswith("Recon:EC2/"))]]
    assert document["expected"]["byRule"] == {simulate.stack.rule(): [PORT_SCAN]}
    assert document["expected"]["silent"][other].startswith("detail.type: ")
    out = simulate("--type", other).out
    assert f"\nNo rule lets these through\n--------------------------\n{other}  detail.type: " in out
    assert "should mail" not in out


def test_a_retired_type_is_left_out_with_a_note(simulate: Simulate) -> None:
    simulate.set(findingTypes=[RETIRED, PORT_SCAN])
    code, out, _ = simulate()
    assert (code, simulate.asked) == (0, [[PORT_SCAN]])
    assert f"Left out\n--------\n{RETIRED}  is retired: GuardDuty makes no samples of it\n" in out
    assert simulate.json()["leftOut"] == {RETIRED: "is retired: GuardDuty makes no samples of it"}


def test_nothing_left_to_create_is_wrong_use_and_calls_nothing(simulate: Simulate) -> None:
    reason = f"{RETIRED} is retired: GuardDuty makes no samples of it"
    assert simulate("--type", RETIRED) == (2, "", f"There is no sample to create:\n  {reason}\n")
    assert simulate.stack.aws.calls == []


def test_misspelt_types_are_refused_together_before_any_call(simulate: Simulate) -> None:
    code, _, err = simulate("--type", "Recon:EC2/PortScan", "--type", PORT_SCAN, "--type", "Nothing:*")
    assert err.splitlines() == [
        f'--type: Recon:EC2/PortScan is not a GuardDuty finding type; did you mean "{PORT_SCAN}"?',
        "--type: Nothing:* matches no GuardDuty finding type",
    ]
    assert (code, simulate.stack.aws.calls) == (2, [])


def test_a_type_newer_than_the_catalogue_is_tried_if_the_stack_allows_it(simulate: Simulate) -> None:
    simulate.set(allowUnknownFindingTypes=True)
    assert simulate.json("--type", "Recon:EC2/Brandnew")["expected"]["silent"].keys() == {"Recon:EC2/Brandnew"}
    assert simulate.asked == [["Recon:EC2/Brandnew"]]
    assert "--type: a b" in simulate("--type", "a b").err


def test_dropped_samples_are_warned_of(simulate: Simulate) -> None:
    simulate.set(alerts={"includeSamples": False})
    out = simulate().out
    assert "\nthreat-monitor:alerts.includeSamples is false: the rules let no sample through.\n" in out
    assert f"{PORT_SCAN}  detail.service.additionalInfo.sample: true is not false or absent" in out
    assert "should mail" not in out


def test_a_stack_file_that_is_ahead_of_the_deployment_is_warned_of(simulate: Simulate) -> None:
    simulate.stack.outputs["ruleNames"] = []
    document = simulate.json()
    assert document["warnings"] == ["The stack file makes 1 rule, deployed: 0. Run `make preview`."]
    assert document["expected"]["byRule"] == {"threat-monitor-dev-alerts-findings": [PORT_SCAN]}


# -- what GuardDuty refuses -------------------------------------------------------------------------------------------


def test_a_type_that_guardduty_refuses_does_not_stop_the_others(simulate: Simulate) -> None:
    bad = {ACTIVE[3], ACTIVE[120]}
    reason = "The request is rejected because a finding type is not supported."
    simulate.refusal = lambda types: ("BadRequestException", reason) if bad & set(types) else None
    simulate.set(findingTypes=["*"])
    document = simulate.json()
    assert document["refused"] == dict.fromkeys(sorted(bad, key=ACTIVE.index), reason)
    assert document["created"] == [name for name in ACTIVE if name not in bad]
    assert len(simulate.asked) < 30
    code, out, _ = simulate()
    assert f"Refused by GuardDuty\n--------------------\n{ACTIVE[3]}, {ACTIVE[120]}  {reason}" in out
    assert code == 1


def test_a_detector_that_is_gone_is_asked_for_once_and_named(simulate: Simulate) -> None:
    said = "The request is rejected because the input detectorId is not owned by the current account."
    simulate.refusal = lambda _: ("BadRequestException", said)
    simulate.set(findingTypes=["*"])
    detector = simulate.stack.outputs["detectorId"]
    message = (
        f"GuardDuty has no detector {detector} here, which the stack's outputs name ({said}) Run `pulumi up --refresh`."
    )
    assert simulate() == (2, "", f"{message}\n")
    assert len(simulate.asked) == 1


def test_a_missing_permission_is_named(simulate: Simulate) -> None:
    simulate.refusal = lambda _: ("AccessDeniedException", "no")
    assert simulate() == (1, "", "Permission guardduty:CreateSampleFindings is missing: no\n")


def test_throttling_in_the_middle_shows_what_was_created_before(simulate: Simulate) -> None:
    simulate.refusal = lambda _: ("TooManyRequestsException", "slow down") if len(simulate.asked) > 2 else None
    simulate.set(findingTypes=["*"])
    code, out, err = simulate()
    reason = "AWS still throttles guardduty:CreateSampleFindings after 8 attempts; try again later."
    rest = len(ACTIVE) - 100
    assert f"{', '.join(ACTIVE[100:103])} and {rest - 3} more  {reason}" in out
    assert ": 100 samples (" in out
    assert (code, err, len(simulate.asked)) == (1, "", 3)


def test_another_account_is_refused_before_anything_is_created(simulate: Simulate) -> None:
    simulate.set(account=OTHER_ACCOUNT)
    assert "of account 111122223333, but Pulumi.dev.yaml allows 444455556666" in simulate().err
    assert simulate.asked == []


def test_a_half_deployed_stack_says_what_is_missing(simulate: Simulate) -> None:
    del simulate.stack.outputs["detectorId"]
    message = "Stack dev is only half deployed: it has no output detectorId. Run `make up STACK=dev`."
    assert simulate() == (2, "", f"{message}\n")
    assert simulate.asked == []


def test_it_calls_what_its_permissions_name(simulate: Simulate) -> None:
    simulate()
    assert set(simulate.stack.aws.calls) - {"sts:GetCallerIdentity"} == set(PERMISSIONS)


# -- the plan ---------------------------------------------------------------------------------------------------------


def test_the_plan_is_of_the_stack_and_calls_nothing(simulate: Simulate, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("something was asked")

    monkeypatch.setattr("threatmon.cli.simulate.connect", refuse)
    monkeypatch.setattr("threatmon.cli.simulate.stack_outputs", refuse)
    code, out, err = simulate("--plan")
    assert (code, err, simulate.stack.aws.calls) == (0, "", [])
    title, _, script = out.partition("\n")
    assert title == "Port scan to test stack dev"
    assert f"the mail, by the rule findings, to {EMAIL}" in script
    assert "export AWS_PROFILE=dev\n" in script


def test_the_plan_is_a_document_too(simulate: Simulate) -> None:
    document = simulate.json("--plan")
    assert document.keys() == {"stack", "region", "values", "text"}
    assert (document["stack"], document["region"]) == ("dev", "eu-west-1")
    assert document["values"]["log_group"] == "/threat-monitor/dev/flow-logs"
    assert all(value in document["text"] for value in document["values"].values())


def test_a_plan_of_types_is_wrong_use(simulate: Simulate) -> None:
    assert simulate("--plan", "--type", PORT_SCAN) == (2, "", "--plan is always a port scan; leave --type out.\n")
