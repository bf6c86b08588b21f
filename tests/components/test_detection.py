from collections.abc import Callable, Mapping
from typing import Any, Literal

import pulumi
import pytest
from examples import DETECTOR_ID
from harness import DETECTOR, FEATURE, AwsMocks, custom, made, run_component, the
from pulumi.runtime import MockCallArgs

from components.detection import ThreatDetection, ThreatDetectionArgs
from threatmon.emulator.program import ProgramRun
from threatmon.model.protection_plans import FEATURES
from threatmon.model.settings import DEFAULT_PLANS, PlanName

ALL_OFF = dict.fromkeys(DEFAULT_PLANS, False)


def deploy(mocks: AwsMocks | None = None, **args: Any) -> ProgramRun:
    wanted = ThreatDetectionArgs(**args)
    return run_component(lambda: ThreatDetection("watch", wanted), mocks=mocks)


def told_id(mocks: AwsMocks, **args: Any) -> str:
    told: list[str] = []
    wanted = ThreatDetectionArgs(**args)
    run_component(lambda: ThreatDetection("watch", wanted).detector_id.apply(told.append), mocks=mocks)
    return told[0]


def statuses(run: ProgramRun) -> dict[str, str]:
    return {feature.inputs["name"]: feature.inputs["status"] for feature in run.of_type(FEATURE)}


def test_the_detector_is_enabled_and_has_the_frequency_it_is_given() -> None:
    run = deploy(finding_publishing_frequency="ONE_HOUR")
    assert the(run, DETECTOR).inputs == {"enable": True, "findingPublishingFrequency": "ONE_HOUR"}


@pytest.mark.parametrize("args", [{}, {"mode": "import", "detector_id": DETECTOR_ID}], ids=["create", "import"])
@pytest.mark.parametrize("on", DEFAULT_PLANS)
def test_each_plan_is_declared_enabled_or_disabled(args: dict[str, Any], on: PlanName) -> None:
    run = deploy(protection_plans={**ALL_OFF, on: True}, **args)
    assert statuses(run) == {FEATURES[plan]: "ENABLED" if plan == on else "DISABLED" for plan in DEFAULT_PLANS}
    assert {feature.inputs["detectorId"] for feature in run.of_type(FEATURE)} == {
        args.get("detector_id") or made(the(run, DETECTOR))["id"]
    }


def test_a_plan_left_out_is_not_declared() -> None:
    assert statuses(deploy(protection_plans=ALL_OFF)).keys() == {FEATURES[plan] for plan in DEFAULT_PLANS}
    assert statuses(deploy(protection_plans={"ai": True})) == {"AI_PROTECTION": "ENABLED"}


def test_the_retired_names_of_features_are_not_used() -> None:
    # https://docs.aws.amazon.com/guardduty/latest/ug/guardduty-features-activation-model.html
    assert "EKS_RUNTIME_MONITORING" not in FEATURES.values()


def test_import_adopts_the_detector_with_that_id() -> None:
    assert the(deploy(mode="import", detector_id=DETECTOR_ID), DETECTOR).import_id == DETECTOR_ID


def test_import_without_an_id_is_refused_and_makes_no_detector() -> None:
    mocks = AwsMocks()
    with pytest.raises(ValueError, match="detector_id"):
        deploy(mocks, mode="import")
    assert not [resource for resource in mocks.resources if resource.typ == DETECTOR]


def test_create_imports_nothing() -> None:
    run = deploy(protection_plans=ALL_OFF)
    assert {r.import_id for r in run.resources.values()} == {""}


def test_lookup_registers_nothing_but_the_component() -> None:
    assert custom(deploy(mode="lookup", detector_id=DETECTOR_ID, protection_plans=ALL_OFF)) == []


def test_lookup_asks_for_the_configured_detector() -> None:
    mocks = AwsMocks()
    other = "0" * 32
    assert told_id(mocks, mode="lookup", detector_id=other) == other
    assert [call.args for call in mocks.calls] == [{"id": other}]


def test_lookup_without_an_id_takes_the_one_the_account_has() -> None:
    mocks = AwsMocks()
    assert told_id(mocks, mode="lookup") == DETECTOR_ID
    assert [call.args for call in mocks.calls] == [{}]


def test_create_asks_aws_for_no_detector_and_import_for_the_one_it_adopts() -> None:
    mocks = AwsMocks()
    deploy(mocks)
    assert mocks.calls == []
    run = deploy(mocks, mode="import", detector_id=DETECTOR_ID)
    assert [call.args for call in mocks.calls] == [{"id": DETECTOR_ID}]
    assert the(run, DETECTOR).retain_on_delete


@pytest.mark.parametrize("mode", ["import", "lookup"])
def test_a_detector_that_is_not_there_is_a_message_and_no_resource(mode: Literal["import", "lookup"]) -> None:
    class NoDetector(AwsMocks):
        def call(self, args: MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]]]:
            raise RuntimeError(f"{args.token}: empty result")

    def build() -> None:
        with pytest.raises(pulumi.RunError, match=r"threat-monitor:detector: .* cannot be found .*empty result"):
            ThreatDetection("watch", ThreatDetectionArgs(mode=mode, detector_id=DETECTOR_ID))

    mocks = NoDetector()
    with pytest.raises(RuntimeError, match="empty result"):  # the mocks report a failed look-up once more, at the end
        run_component(build, mocks=mocks)
    assert not [resource for resource in mocks.resources if resource.custom]


@pytest.mark.parametrize("protect", [True, False])
def test_protect_covers_the_detector_and_nothing_else(*, protect: bool) -> None:
    run = deploy(protect=protect, protection_plans=ALL_OFF)
    assert {r.type for r in run.resources.values() if r.protect} == ({DETECTOR} if protect else set())


# -- a detector that is there already ---------------------------------------------------------------------------------


@pytest.fixture
def hooks(monkeypatch: pytest.MonkeyPatch) -> dict[str, pulumi.ErrorHook]:
    """The error hooks of the program by name; the mocks' engine never fails, so the tests call them themselves."""
    registered: dict[str, pulumi.ErrorHook] = {}
    make = pulumi.ErrorHook

    def recorded(name: str, callback: Callable[[pulumi.ErrorHookArgs], bool]) -> pulumi.ErrorHook:
        return registered.setdefault(name, make(name, callback))

    monkeypatch.setattr(pulumi, "ErrorHook", recorded)
    return registered


def retry_after(hooks: Mapping[str, pulumi.ErrorHook], error: str) -> object:
    """Whether the creation is tried again after it failed with ``error``."""
    answers: list[object] = []

    def build() -> None:
        ThreatDetection("watch", ThreatDetectionArgs())
        (hook,) = hooks.values()
        answers.append(hook(pulumi.ErrorHookArgs("urn", "", "watch-detector", DETECTOR, errors=[error])))

    run_component(build)
    return answers[0]


def test_an_existing_detector_is_explained_with_its_id_and_not_tried_again(
    hooks: dict[str, pulumi.ErrorHook], caplog: pytest.LogCaptureFixture
) -> None:
    assert retry_after(hooks, "BadRequestException: a detector already exists for the current account") is False
    assert f"threat-monitor:detector: {{mode: import, id: {DETECTOR_ID}}}" in caplog.text
    assert f"threat-monitor:detector: {{mode: lookup, id: {DETECTOR_ID}}}" in caplog.text


def test_any_other_failure_is_left_to_speak_for_itself(
    hooks: dict[str, pulumi.ErrorHook], caplog: pytest.LogCaptureFixture
) -> None:
    assert retry_after(hooks, "AccessDeniedException") is False
    assert caplog.text == ""


def test_only_a_creation_can_meet_an_existing_detector(hooks: dict[str, pulumi.ErrorHook]) -> None:
    deploy(mode="import", detector_id=DETECTOR_ID)
    deploy(mode="lookup", detector_id=DETECTOR_ID)
    assert hooks == {}
