from collections.abc import Callable, Mapping
from typing import Any, Literal

import pulumi
import pytest
from examples import DETECTOR_ID
from harness import DETECTOR, FEATURE, AwsMocks, custom, made, run_component, the
from pulumi.runtime import MockCallArgs

from components.detection import ThreatDetection, ThreatDetectionArgs
from threatmon.emulator.program import ProgramRun
from threatmon.model import names
from threatmon.model.protection_plans import DEFAULT_PLANS, FEATURES, PlanName
from threatmon.model.settings import DetectorSettings

ALL_OFF = dict.fromkeys(DEFAULT_PLANS, False)


CREATE, IMPORT = DetectorSettings(), DetectorSettings(mode="import", id=DETECTOR_ID)


def deploy(settings: DetectorSettings = CREATE, mocks: AwsMocks | None = None, **args: Any) -> ProgramRun:
    def build() -> None:
        pulumi.export("id", ThreatDetection("watch", ThreatDetectionArgs("dev", settings, **args)).detector_id)

    return run_component(build, mocks=mocks)


def statuses(run: ProgramRun) -> dict[str, str]:
    return {feature.inputs["name"]: feature.inputs["status"] for feature in run.of_type(FEATURE)}


def test_the_detector_is_enabled_and_has_the_frequency_it_is_given() -> None:
    run = deploy(finding_publishing_frequency="ONE_HOUR")
    assert the(run, DETECTOR).inputs == {
        "enable": True,
        "findingPublishingFrequency": "ONE_HOUR",
        "tags": names.tags("dev", "watch-detector"),
    }


def test_a_detector_that_was_there_before_the_stack_gets_no_tag_of_it() -> None:
    assert "tags" not in the(deploy(IMPORT), DETECTOR).inputs


@pytest.mark.parametrize("settings", [CREATE, IMPORT], ids=["create", "import"])
@pytest.mark.parametrize("on", [{"s3", "malware", "lambda"}, {"eksAudit", "rds", "runtime"}])
def test_each_plan_is_declared_enabled_or_disabled(settings: DetectorSettings, on: set[PlanName]) -> None:
    run = deploy(settings, protection_plans={plan: plan in on for plan in DEFAULT_PLANS})
    assert statuses(run) == {FEATURES[plan]: "ENABLED" if plan in on else "DISABLED" for plan in DEFAULT_PLANS}
    assert {feature.inputs["detectorId"] for feature in run.of_type(FEATURE)} == {
        settings.id or made(the(run, DETECTOR))["id"]
    }


def test_a_plan_left_out_is_not_declared() -> None:
    assert statuses(deploy(protection_plans=ALL_OFF)).keys() == {FEATURES[plan] for plan in DEFAULT_PLANS}
    assert statuses(deploy(protection_plans={"ai": True})) == {"AI_PROTECTION": "ENABLED"}


def test_the_retired_names_of_features_are_not_used() -> None:
    # https://docs.aws.amazon.com/guardduty/latest/ug/guardduty-features-activation-model.html
    assert "EKS_RUNTIME_MONITORING" not in FEATURES.values()


def test_import_without_an_id_is_refused_and_makes_no_detector() -> None:
    mocks = AwsMocks()
    with pytest.raises(ValueError, match=r"settings\.id"):
        deploy(DetectorSettings(mode="import"), mocks)
    assert not [resource for resource in mocks.resources if resource.typ == DETECTOR]


@pytest.mark.parametrize(
    ("id_", "asked", "found"),
    [("0" * 32, {"id": "0" * 32}, "0" * 32), pytest.param(None, {}, DETECTOR_ID, id="the one the account has")],
)
def test_lookup_asks_for_the_detector_and_registers_nothing(id_: str | None, asked: Any, found: str) -> None:
    mocks = AwsMocks()
    run = deploy(DetectorSettings(mode="lookup", id=id_), mocks, protection_plans=ALL_OFF)
    assert run.outputs["id"] == found
    assert [call.args for call in mocks.calls] == [asked]
    assert custom(run) == []


def test_create_asks_aws_for_no_detector_and_imports_none() -> None:
    mocks = AwsMocks()
    detector = the(deploy(CREATE, mocks), DETECTOR)
    assert mocks.calls == []
    assert (detector.import_id, detector.retain_on_delete) == ("", False)


def test_import_asks_for_the_detector_and_adopts_it_so_that_it_outlives_the_stack() -> None:
    mocks = AwsMocks()
    detector = the(deploy(IMPORT, mocks), DETECTOR)
    assert [call.args for call in mocks.calls] == [{"id": DETECTOR_ID}]
    assert (detector.import_id, detector.retain_on_delete) == (DETECTOR_ID, True)


@pytest.mark.parametrize("mode", ["import", "lookup"])
def test_a_detector_that_is_not_there_is_a_message_and_no_resource(mode: Literal["import", "lookup"]) -> None:
    class NoDetector(AwsMocks):
        def call(self, args: MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]]]:
            raise RuntimeError(f"{args.token}: empty result")

    def build() -> None:
        with pytest.raises(pulumi.RunError, match=r"threat-monitor:detector: .* cannot be found .*empty result"):
            ThreatDetection("watch", ThreatDetectionArgs("dev", DetectorSettings(mode=mode, id=DETECTOR_ID)))

    mocks = NoDetector()
    with pytest.raises(RuntimeError, match="empty result"):  # the mocks report a failed look-up once more, at the end
        run_component(build, mocks=mocks)
    assert not [resource for resource in mocks.resources if resource.custom]


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
    """Say whether the creation is tried again after it failed with ``error``."""
    answers: list[object] = []

    def build() -> None:
        ThreatDetection("watch", ThreatDetectionArgs("dev"))
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
    deploy(IMPORT)
    deploy(DetectorSettings(mode="lookup"))
    assert hooks == {}
