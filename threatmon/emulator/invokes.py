"""The provider functions a stack calls, answered from the emulated account.

Names of the answers: https://www.pulumi.com/registry/packages/aws/api-docs/
"""

from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import ClientError

from threatmon.emulator.account import EmulatedAccount

Properties = dict[str, Any]


class UnknownInvokeError(LookupError):
    """A provider function the emulated account has no answer for."""

    def __init__(self, token: str) -> None:
        super().__init__(f"{token}: not emulated; add it to INVOKES in {__name__}")


class InvokeError(RuntimeError):
    """The function fails; the message is worded as the provider words it."""


def invoke(account: EmulatedAccount, token: str, args: Mapping[str, Any]) -> Properties:
    """The answer of a provider function, camelCase. Raises `UnknownInvokeError` and `InvokeError`."""
    if token not in INVOKES:
        raise UnknownInvokeError(token)
    return INVOKES[token](account, args)


def _caller_identity(account: EmulatedAccount, _: Mapping[str, Any]) -> Properties:
    caller = account.client("sts").get_caller_identity()
    return {
        "id": caller["Account"],
        "accountId": caller["Account"],
        "arn": caller["Arn"],
        "userId": caller["UserId"],
    }


def _region(account: EmulatedAccount, _: Mapping[str, Any]) -> Properties:
    return {
        "id": account.region,
        "name": account.region,
        "region": account.region,
        "description": account.region_description,
        "endpoint": f"ec2.{account.region}.{account.dns_suffix}",
    }


def _partition(account: EmulatedAccount, _: Mapping[str, Any]) -> Properties:
    return {
        "id": account.partition,
        "partition": account.partition,
        "dnsSuffix": account.dns_suffix,
        "reverseDnsPrefix": ".".join(reversed(account.dns_suffix.split("."))),
    }


def _detector(account: EmulatedAccount, args: Mapping[str, Any]) -> Properties:
    guardduty = account.client("guardduty")
    detector_id = args.get("id") or next(iter(guardduty.list_detectors()["DetectorIds"]), None)
    if detector_id is None:
        raise InvokeError("reading this account's single GuardDuty Detector: empty result")
    try:
        detector = guardduty.get_detector(DetectorId=detector_id)
    except ClientError as error:
        raise InvokeError(f"reading GuardDuty Detector ({detector_id}): couldn't find resource") from error
    return {
        "id": detector_id,
        "arn": account.arn("guardduty", f"detector/{detector_id}"),
        "region": account.region,
        "status": detector["Status"],
        "findingPublishingFrequency": detector["FindingPublishingFrequency"],
        "serviceRoleArn": detector["ServiceRole"],
        "tags": detector["Tags"],
        "features": [
            {
                "name": feature["Name"],
                "status": feature["Status"],
                "additionalConfigurations": [
                    {"name": entry["Name"], "status": entry["Status"]}
                    for entry in feature.get("AdditionalConfiguration", ())
                ],
            }
            for feature in detector["Features"]
        ],
    }


INVOKES: Mapping[str, Callable[[EmulatedAccount, Mapping[str, Any]], Properties]] = {
    "aws:index/getCallerIdentity:getCallerIdentity": _caller_identity,
    "aws:index/getRegion:getRegion": _region,
    "aws:index/getPartition:getPartition": _partition,
    "aws:guardduty/getDetector:getDetector": _detector,
}
