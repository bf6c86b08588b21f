"""Detectors and their features."""

from threatmon.emulator import tagging
from threatmon.emulator.account import EmulatedAccount
from threatmon.emulator.constraints import ConstraintError
from threatmon.emulator.emulated import (
    Emulated,
    MissingResourceError,
    Properties,
    capitalised,
    first,
    from_api,
    nothing,
    to_api,
)

_DETECTOR = capitalised("enable", "findingPublishingFrequency")
_FEATURE = capitalised("name", "status")


def _make_detector(account: EmulatedAccount, inputs: Properties) -> str:
    guardduty = account.client("guardduty")
    if guardduty.list_detectors()[
        "DetectorIds"
    ]:  # https://docs.aws.amazon.com/guardduty/latest/ug/guardduty_limits.html
        raise ConstraintError(
            "BadRequestException: The request is rejected because a detector already exists for the current account."
        )
    return guardduty.create_detector(**to_api(inputs, _DETECTOR))["DetectorId"]


def _detector(account: EmulatedAccount, detector_id: str) -> Properties:
    guardduty = account.client("guardduty")
    # GuardDuty says BadRequestException for a missing detector as for any other fault.
    if detector_id not in guardduty.list_detectors()["DetectorIds"]:
        raise MissingResourceError
    return guardduty.get_detector(DetectorId=detector_id)


def _look_at_detector(account: EmulatedAccount, detector_id: str) -> Properties:
    detector = _detector(account, detector_id)
    return {
        **from_api(detector, capitalised("findingPublishingFrequency")),
        "enable": detector["Status"] == "ENABLED",
        "accountId": account.account_id,
        "arn": account.arn("guardduty", f"detector/{detector_id}"),
    }


def _change_detector(account: EmulatedAccount, detector_id: str, inputs: Properties) -> None:
    account.client("guardduty").update_detector(DetectorId=detector_id, **to_api(inputs, _DETECTOR))


def _put_feature(account: EmulatedAccount, inputs: Properties) -> str:
    feature = to_api(inputs, _FEATURE)
    account.client("guardduty").update_detector(DetectorId=inputs["detectorId"], Features=[feature])
    return f"{inputs['detectorId']}/{inputs['name']}"


def _look_at_feature(account: EmulatedAccount, physical_id: str) -> Properties:
    detector_id, _, name = physical_id.partition("/")
    features = _detector(account, detector_id)["Features"]
    return {
        **from_api(first(feature for feature in features if feature["Name"] == name), _FEATURE),
        "detectorId": detector_id,
    }


RESOURCES = (
    Emulated(
        type="aws:guardduty/detector:Detector",
        inputs={*_DETECTOR, "tags"},
        make=_make_detector,
        look=_look_at_detector,
        change=_change_detector,
        remove=lambda account, detector, _: account.client("guardduty").delete_detector(DetectorId=detector),
        computed={"arn", "accountId"},
        defaults={"enable": True},
        tagging=tagging.GUARDDUTY,
    ),
    Emulated(
        type="aws:guardduty/detectorFeature:DetectorFeature",
        inputs={*_FEATURE, "detectorId"},
        make=_put_feature,
        look=_look_at_feature,
        remove=nothing,
        replaced_by={"detectorId", "name"},
    ),
)
