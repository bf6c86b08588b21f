from typing import Any

import pytest
from examples import DETECTOR_ID, OTHER_ACCOUNT

from threatmon.aws.errors import RefusedError
from threatmon.stacks.detector_choice import DetectorChoice, detector_choice

REFUSED = RefusedError("Permission {action} is missing: {message}", "guardduty:X", "AccessDenied", "user x may not")
ADMINISTRATOR = {"Administrator": {"AccountId": OTHER_ACCOUNT}}


def described(*features: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"Status": "ENABLED", "FindingPublishingFrequency": "ONE_HOUR", "Features": features, **changes}


def feature(name: str, status: str = "ENABLED", **more: Any) -> dict[str, Any]:
    return {"Name": name, "Status": status, **more}


def choose(detector: Any, administrator: Any = None) -> DetectorChoice:
    return detector_choice("prod", [DETECTOR_ID], detector, administrator)


def test_without_a_detector_one_is_made() -> None:
    found = detector_choice("prod", [])
    assert (found.mode, found.id, found.plans, found.frequency) == ("create", None, {}, None)


def test_the_accounts_own_detector_is_adopted_with_the_plans_and_the_frequency_it_has() -> None:
    found = choose(described(feature("S3_DATA_EVENTS"), feature("RUNTIME_MONITORING", "DISABLED")), {})
    assert (found.mode, found.id, found.frequency) == ("import", DETECTOR_ID, "ONE_HOUR")
    assert found.plans == {"s3": True, "runtime": False}
    assert len(found.remarks) == 1


@pytest.mark.parametrize(
    ("detector", "administrator", "who"),
    [
        (described(), ADMINISTRATOR, f"administrator account {OTHER_ACCOUNT}"),
        (described(feature("S3_DATA_EVENTS", ManagedBy="GUARDDUTY_POLICY")), {}, "A policy of the organisation"),
        (described(Tags={"project": "threat-monitor", "stack": "dev"}), {}, "The stack dev"),
    ],
)
def test_a_detector_that_somebody_else_manages_is_only_looked_up(detector: Any, administrator: Any, who: str) -> None:
    found = choose(detector, administrator)
    assert (found.mode, found.id, found.plans, found.frequency) == ("lookup", DETECTOR_ID, {}, None)
    assert who in found.remarks[0]


@pytest.mark.parametrize(
    "tags",
    [{"project": "threat-monitor", "stack": "prod"}, {"project": "other", "stack": "dev"}, {"stack": "dev"}, {}],
)
def test_tags_of_no_other_stack_of_this_project_do_not_matter(tags: dict[str, str]) -> None:
    assert choose(described(Tags=tags), {"Administrator": {}}).mode == "import"


@pytest.mark.parametrize(
    ("administrator", "mode", "said"), [({}, "import", "enables it"), (ADMINISTRATOR, "lookup", "nothing is found")]
)
def test_a_suspended_detector_is_reported(administrator: Any, mode: str, said: str) -> None:
    found = choose(described(Status="DISABLED"), administrator)
    assert found.mode == mode
    assert said in found.remarks[1]


def test_what_is_on_and_no_setting_is_about_is_reported() -> None:
    parts = [feature("EC2_AGENT_MANAGEMENT"), feature("EKS_ADDON_MANAGEMENT", "DISABLED")]
    features = (
        feature("FLOW_LOGS"),
        feature("AI_ANALYST"),
        feature("EKS_RUNTIME_MONITORING", "DISABLED"),
        feature("RUNTIME_MONITORING", AdditionalConfiguration=parts),
    )
    assert choose(described(*features), {}).remarks[1:] == (
        "Also on, and no setting of this stack: AI_ANALYST, EC2_AGENT_MANAGEMENT of RUNTIME_MONITORING.",
    )


def test_if_nothing_can_be_read_it_is_made_which_fails_if_there_is_one() -> None:
    found = detector_choice("prod", REFUSED)
    assert (found.mode, found.id) == ("create", None)
    assert "Permission guardduty:X is missing." in found.remarks[0]
    assert "user x" not in str(found.remarks)


@pytest.mark.parametrize(("detector", "administrator"), [(REFUSED, {}), (described(), REFUSED)])
def test_if_not_all_can_be_read_it_is_left_as_it_is(detector: Any, administrator: Any) -> None:
    found = choose(detector, administrator)
    assert (found.mode, found.id, found.plans) == ("lookup", DETECTOR_ID, {})
    assert found.remarks[-1] == "Permission guardduty:X is missing."
