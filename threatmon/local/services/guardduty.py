"""Detectors and their features."""

from collections.abc import Mapping

from threatmon.local import constraints, tagging
from threatmon.local.account import EmulatedAccount
from threatmon.local.emulated import Emulated, Fields, NotThereError, Properties, forget, found, from_api, names, to_api

_DETECTOR: Fields = {"enable": "Enable", "findingPublishingFrequency": "FindingPublishingFrequency"}
# What AWS switches on by itself in a new detector; deleting a feature resource does not switch it off again.
# https://docs.aws.amazon.com/guardduty/latest/APIReference/API_CreateDetector.html
_NEW_DETECTOR_FEATURES: Mapping[str, str] = {
    "CLOUD_TRAIL": "ENABLED",
    "DNS_LOGS": "ENABLED",
    "FLOW_LOGS": "ENABLED",
    "S3_DATA_EVENTS": "ENABLED",
    "EKS_AUDIT_LOGS": "ENABLED",
    "EBS_MALWARE_PROTECTION": "ENABLED",
    "RDS_LOGIN_EVENTS": "ENABLED",
    "LAMBDA_NETWORK_LOGS": "ENABLED",
    "EKS_RUNTIME_MONITORING": "DISABLED",
    "RUNTIME_MONITORING": "DISABLED",
}


def _make_detector(account: EmulatedAccount, inputs: Properties) -> str:
    guardduty = account.client("guardduty")
    constraints.first_detector(guardduty.list_detectors()["DetectorIds"])
    features = [{"Name": name, "Status": status} for name, status in _NEW_DETECTOR_FEATURES.items()]
    return guardduty.create_detector(**to_api(inputs, _DETECTOR), Features=features)["DetectorId"]


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
    detector_id = inputs["detectorId"]
    feature = to_api(inputs, _FEATURE)
    if inputs.get("additionalConfigurations"):
        feature["AdditionalConfiguration"] = [to_api(entry, _FEATURE) for entry in inputs["additionalConfigurations"]]
    # moto replaces all features where AWS changes the given one.
    features = {entry["Name"]: entry for entry in _detector(account, detector_id)["Features"]}
    features[inputs["name"]] = feature
    account.client("guardduty").update_detector(DetectorId=detector_id, Features=list(features.values()))
    return f"{detector_id}/{inputs['name']}"


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
