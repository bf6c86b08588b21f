"""Findings in files: events as EventBridge delivers them, or findings as ``aws guardduty get-findings`` prints them.

GuardDuty publishes a finding under the names of its REST API (``accountId``); the command line prints the names of the
SDK's model (``AccountId``). https://docs.aws.amazon.com/guardduty/latest/APIReference/API_Finding.html
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

Event = dict[str, Any]

# Names that differ in more than the case of their first letter, by the member that holds them.
_NAMES: Mapping[tuple[str, str], str] = {
    ("Account", "Name"): "account",
    ("KubernetesApiCallAction", "SourceIps"): "sourceIPs",
    ("KubernetesWorkload", "KubernetesResourcesTypes"): "type",
    ("Location", "Latitude"): "lat",
    ("Location", "Longitude"): "lon",
    ("ProductCodes", "Code"): "productCodeId",
    ("ProductCodes", "ProductType"): "productCodeType",
    ("TaskDetails", "TaskCreatedAt"): "createdAt",
}
# Maps, and how many levels of their keys are data, not names.
_MAPS: Mapping[str, int] = {"AffectedResources": 1, "Behavior": 2, "Profiles": 2}


class FindingError(ValueError):
    """Says what a file holds that is no finding, one line for each entry."""


def read(content: bytes | str) -> list[Event]:
    """Return the events in a file's content: JSON, in any of Unicode's encodings.

    The file holds one event or finding, a list of them, or the answer of GetFindings. Raises :class:`FindingError`.
    """
    try:
        entries = _entries(json.loads(content, parse_constant=_refuse))
    except (ValueError, RecursionError) as error:
        raise FindingError(f"is not JSON: {error}") from None
    if not entries:
        raise FindingError("holds no finding")
    faults = {index: fault for index, entry in enumerate(entries) if (fault := _fault(entry))}
    if faults:
        single = len(entries) == 1
        raise FindingError("\n".join(text if single else f"[{index}]: {text}" for index, text in faults.items()))
    return [_event(entry) if "detail" in entry else event_of(entry) for entry in entries]


def event_of(finding: Mapping[str, Any]) -> Event:
    """Return the event by which EventBridge would deliver a finding, whichever names it uses.

    https://docs.aws.amazon.com/guardduty/latest/ug/guardduty_findings_eventbridge.html
    """
    detail = _published(finding) if "Type" in finding else dict(finding)
    return {
        "version": "0",
        "id": detail.get("id"),
        "detail-type": "GuardDuty Finding",
        "source": "aws.guardduty",
        "account": detail.get("accountId"),
        "time": detail.get("updatedAt"),
        "region": detail.get("region"),
        "resources": [],
        "detail": detail,
    }


def _event(event: Event) -> Event:
    """Return an event that was made by hand of a printed finding as EventBridge would deliver it."""
    return {**event, "detail": _published(event["detail"])} if "Type" in event["detail"] else event


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON value")


def _entries(document: Any) -> Sequence[Any]:
    if isinstance(document, Mapping):
        document = document.get("Findings", document.get("findings", [document]))
    return document if isinstance(document, list) else [document]


def _fault(entry: Any) -> str | None:
    if not isinstance(entry, Mapping):
        return f"expected an event or a finding, not {json.dumps(entry)[:40]}"
    if "detail" in entry:
        return None if isinstance(entry["detail"], Mapping) else "`detail` of an event is a map of names to values"
    if {"Type", "Severity"} <= entry.keys() or {"type", "severity"} <= entry.keys():
        return None
    return (
        "is neither an event as EventBridge delivers it (`detail-type`, `detail`) "
        "nor a finding as `aws guardduty get-findings` prints it (`Type`, `Severity`)"
    )


def _published(finding: Mapping[str, Any]) -> Event:
    detail = _renamed(finding, "")
    service = detail.get("service")
    if isinstance(service, dict) and isinstance(service.get("additionalInfo"), dict):
        # What the event has as members, `sample` among them, is one JSON text in the answer of GetFindings.
        service["additionalInfo"] = {**_members(service["additionalInfo"].get("value")), **service["additionalInfo"]}
    return detail


def _members(text: Any) -> Event:
    try:
        members = json.loads(text)
    except (TypeError, ValueError, RecursionError):
        return {}
    return members if isinstance(members, dict) else {}


def _renamed(node: Any, parent: str, levels_of_data: int = 0) -> Any:
    if isinstance(node, list):
        return [_renamed(entry, parent, levels_of_data) for entry in node]
    if not isinstance(node, Mapping):
        return node
    if levels_of_data:
        return {key: _renamed(value, key, levels_of_data - 1) for key, value in node.items()}
    return {
        _NAMES.get((parent, key), key[:1].lower() + key[1:]): _renamed(value, key, _MAPS.get(key, 0))
        for key, value in node.items()
    }
