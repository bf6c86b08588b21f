"""The provider functions that the program calls, answered from the emulated account.

Names of the answers: https://www.pulumi.com/registry/packages/aws/api-docs/
"""

from collections.abc import Callable, Mapping
from typing import Any

from threatmon.emulator.account import EmulatedAccount
from threatmon.emulator.emulated import NotEmulatedError, Properties


class InvokeError(RuntimeError):
    """Says why a function fails, in the provider's words."""


def invoke(account: EmulatedAccount, token: str, args: Mapping[str, Any]) -> Properties:
    """Return the answer of a provider function, in camelCase. Raises `NotEmulatedError` and `InvokeError`."""
    if token not in INVOKES:
        raise NotEmulatedError(f"{token}: not emulated; add it to INVOKES in {__name__}")
    return INVOKES[token](account, args)


def _detector(account: EmulatedAccount, args: Mapping[str, Any]) -> Properties:
    guardduty = account.client("guardduty")
    existing = guardduty.list_detectors()["DetectorIds"]
    detector_id = args.get("id") or next(iter(existing), None)
    if detector_id is None:
        raise InvokeError("reading this account's single GuardDuty Detector: empty result")
    if detector_id not in existing:
        raise InvokeError(f"reading GuardDuty Detector ({detector_id}): couldn't find resource")
    detector = guardduty.get_detector(DetectorId=detector_id)
    return {"id": detector_id, "status": detector["Status"]}


INVOKES: Mapping[str, Callable[[EmulatedAccount, Mapping[str, Any]], Properties]] = {
    "aws:index/getCallerIdentity:getCallerIdentity": lambda account, _: dict.fromkeys(
        ("id", "accountId"), account.account_id
    ),
    "aws:index/getRegion:getRegion": lambda account, _: dict.fromkeys(("id", "name", "region"), account.region),
    "aws:index/getPartition:getPartition": lambda account, _: {
        "id": account.location.partition,
        "partition": account.location.partition,
        "dnsSuffix": account.location.dns_suffix,
    },
    "aws:guardduty/getDetector:getDetector": _detector,
}
