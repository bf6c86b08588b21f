"""Detectors and their features."""

from threatmon.emulator import constraints, tagging
from threatmon.emulator.account import EmulatedAccount
from threatmon.emulator.emulated import (
    Emulated,
    Fields,
    NotThereError,
    Properties,
    forget,
    found,
    from_api,
    names,
    to_api,
)

_DETECTOR: Fields = {"enable": "Enable", "findingPublishingFrequency": "FindingPublishingFrequency"}


def _make_detector(account: EmulatedAccount, inputs: Properties) -> str:
    guardduty = account.client("guardduty")
    constraints.first_detector(guardduty.list_detectors()["DetectorIds"])
    return guardduty.create_detector(**to_api(inputs, _DETECTOR))["DetectorId"]


def _detector(account: EmulatedAccount, detector_id: str) -> Properties:
    guardduty = account.client("guardduty")
    # GuardDuty says BadRequestException for a missing detector as for any other fault.
    if detector_id not in guardduty.list_detectors()["DetectorIds"]:
        raise NotThereError
    return guardduty.get_detector(DetectorId=detector_id)


def _look_at_detector(account: EmulatedAccount, detector_id: str) -> Properties:
    detector = _detector(account, detector_id)
    return {
        "enable": detector["Status"] == "ENABLED",
        "findingPublishingFrequency": detector["FindingPublishingFrequency"],
        "accountId": account.account_id,
        "arn": account.arn("guardduty", f"detector/{detector_id}"),
    }


def _change_detector(account: EmulatedAccount, detector_id: str, inputs: Properties) -> None:
    account.client("guardduty").update_detector(DetectorId=detector_id, **to_api(inputs, _DETECTOR))


def _remove_detector(account: EmulatedAccount, detector_id: str, _: Properties) -> None:
    account.client("guardduty").delete_detector(DetectorId=detector_id)


_FEATURE: Fields = {"name": "Name", "status": "Status"}


def _put_feature(account: EmulatedAccount, inputs: Properties) -> str:
    feature = to_api(inputs, _FEATURE)
    if inputs.get("additionalConfigurations"):
        feature["AdditionalConfiguration"] = [to_api(entry, _FEATURE) for entry in inputs["additionalConfigurations"]]
    account.client("guardduty").update_detector(DetectorId=inputs["detectorId"], Features=[feature])
    return f"{inputs['detectorId']}/{inputs['name']}"


def _look_at_feature(account: EmulatedAccount, physical_id: str) -> Properties:
    detector_id, _, name = physical_id.partition("/")
    feature = found(entry for entry in _detector(account, detector_id)["Features"] if entry["Name"] == name)
    properties = {**from_api(feature, _FEATURE), "detectorId": detector_id}
    if feature.get("AdditionalConfiguration"):
        properties["additionalConfigurations"] = [
            from_api(entry, _FEATURE) for entry in feature["AdditionalConfiguration"]
        ]
    return properties


def _change_feature(account: EmulatedAccount, _: str, inputs: Properties) -> None:
    _put_feature(account, inputs)


RESOURCES = (
    Emulated(
        type="aws:guardduty/detector:Detector",
        inputs=names(_DETECTOR, ("tags",)),
        make=_make_detector,
        look=_look_at_detector,
        change=_change_detector,
        remove=_remove_detector,
        computed=frozenset({"arn", "accountId"}),
        defaults={"enable": True},
        tagging=tagging.GUARDDUTY,
    ),
    Emulated(
        type="aws:guardduty/detectorFeature:DetectorFeature",
        inputs=names(_FEATURE, ("detectorId", "additionalConfigurations")),
        make=_put_feature,
        look=_look_at_feature,
        change=_change_feature,
        remove=forget,
        replaced_by=frozenset({"detectorId", "name"}),
    ),
)
