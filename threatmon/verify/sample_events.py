"""Events of invented findings, one for each family of texts in ``threatmon/model/mail/families``."""

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from threatmon.evaluation.findings import Event, event_of
from threatmon.model.location import Location

_DETECTOR = "12abc34d567e8fa901bc2d34e56789f0"


def sample_events(location: Location) -> dict[str, Event]:
    """Return the event of each family, as EventBridge would deliver it in an account and Region."""
    return {family: event_at(location, details) for family, details in _details().items()}


@cache
def _details() -> Mapping[str, Any]:
    """Return what is particular to the finding of each family."""
    return json.loads((files("threatmon.verify") / "sample_events.json").read_text(encoding="utf-8"))


def event_at(location: Location, details: Mapping[str, Any]) -> Event:
    """Return the event of a finding; ``details`` has its id, type, severity, title, resource and service."""
    common = {
        "schemaVersion": "2.0",
        "accountId": location.id,
        "region": location.region,
        "partition": location.partition,
        "arn": location.arn("guardduty", f"detector/{_DETECTOR}/finding/{details['id']}"),
        "createdAt": "2026-09-14T09:36:41.119Z",
        "updatedAt": "2026-09-14T09:51:12.402Z",
    }
    service = {
        "serviceName": "guardduty",
        "detectorId": _DETECTOR,
        "resourceRole": "TARGET",
        "eventFirstSeen": "2026-09-14T09:31:02.000Z",
        "eventLastSeen": "2026-09-14T09:44:57.000Z",
        "archived": False,
        "count": 1,
    }
    return event_of({**common, **details, "service": {**service, **details["service"]}})
