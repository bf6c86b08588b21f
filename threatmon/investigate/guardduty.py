"""Findings read from GuardDuty, in the form of the ``detail`` of their events."""

from threatmon.aws.reader import Aws
from threatmon.errors import CHECK_FAILED, ThreatmonError
from threatmon.evaluation.findings import Event, event_of
from threatmon.model.one_line import one_line

PERMISSIONS = ("guardduty:GetFindings", "guardduty:ListDetectors", "guardduty:ListFindings")

# https://docs.aws.amazon.com/guardduty/latest/APIReference/API_GetFindings.html
_MOST_FINDINGS = 50
_LATEST_FIRST = {"AttributeName": "updatedAt", "OrderBy": "DESC"}


class UnknownFindingError(ThreatmonError):
    """Say that an account has no such finding, or no detector."""

    exit_code = CHECK_FAILED


def finding(aws: Aws, finding_id: str, detector_id: str | None) -> Event:
    """Return a finding of a detector, or of the Region's only one. Raises :class:`UnknownFindingError`."""
    detector_id = detector_id or _only_detector(aws)
    answer = aws.read("guardduty", "get_findings", DetectorId=detector_id, FindingIds=[finding_id])
    if not answer["Findings"]:
        raise UnknownFindingError(
            f"Detector {detector_id} in account {aws.account_id}, {aws.region} has no finding {one_line(finding_id)}."
            " GuardDuty keeps findings for 90 days; is it of another account or Region (--stack)?"
        )
    return event_of(answer["Findings"][0])["detail"]


def findings_on(aws: Aws, instance_id: str, detector_id: str | None, own_id: str | None) -> list[Event]:
    """Return the findings on an instance, the latest first, but not that of ``own_id``.

    Raises :class:`UnknownFindingError` if there is no detector.
    """
    detector_id = detector_id or _only_detector(aws)
    criteria = {"Criterion": {"resource.instanceDetails.instanceId": {"Equals": [instance_id]}}}
    listed = aws.read(
        "guardduty",
        "list_findings",
        DetectorId=detector_id,
        FindingCriteria=criteria,
        SortCriteria=_LATEST_FIRST,
        MaxResults=_MOST_FINDINGS,
    )
    ids = [finding_id for finding_id in listed["FindingIds"] if finding_id != own_id]
    if not ids:
        return []
    answer = aws.read("guardduty", "get_findings", DetectorId=detector_id, FindingIds=ids, SortCriteria=_LATEST_FIRST)
    return [event_of(found)["detail"] for found in answer["Findings"]]


def _only_detector(aws: Aws) -> str:
    """Return the Region's detector; there is one at most."""
    ids = aws.read("guardduty", "list_detectors")["DetectorIds"]
    if not ids:
        raise UnknownFindingError(
            f"GuardDuty has no detector in account {aws.account_id}, {aws.region}: is the stack deployed?"
        )
    return str(ids[0])
