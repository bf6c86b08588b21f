"""The EventBridge event patterns of a selection of finding types, within EventBridge's length quota.

Syntax: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from threatmon.model.finding_types import EVERYTHING, is_family, simplify
from threatmon.model.severity import Band, SeverityName, bands_from

# Characters of one pattern; https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-quota.html
PATTERN_QUOTA = 2048

Pattern = dict[str, Any]


class AlertRule(NamedTuple):
    """An EventBridge rule to create: ``key`` names it within its component, its mail names the ``band``."""

    key: str
    band: Band
    pattern: Pattern


def alert_rules(
    finding_types: Iterable[str],
    minimum_severity: SeverityName,
    *,
    include_samples: bool = True,
    include_archived: bool = False,
) -> list[AlertRule]:
    """Return the rules that together let each selected finding through exactly once.

    There is one rule for each severity band from ``minimum_severity`` up, so that the mail can name the band without
    code to run; there are more if one pattern would exceed :data:`PATTERN_QUOTA`.
    """
    conditions = _service_conditions(include_samples=include_samples, include_archived=include_archived)
    return [
        AlertRule(band.name if number == 1 else f"{band.name}-{number}", band, pattern)
        for band in bands_from(minimum_severity)
        for number, pattern in enumerate(_patterns(simplify(finding_types), band, conditions), start=1)
    ]


def compact(pattern: Pattern) -> str:
    """Return the pattern as EventBridge stores and measures it."""
    return json.dumps(pattern, separators=(",", ":"))


def _patterns(entries: Sequence[str], band: Band, service: dict[str, Any]) -> list[Pattern]:
    """Return the band's patterns, each as full as the quota allows."""
    if EVERYTHING in entries:
        return [_pattern([], band, service)]
    patterns: list[Pattern] = []
    chunk: list[str] = []
    for entry in entries:
        if chunk and len(compact(_pattern([*chunk, entry], band, service))) > PATTERN_QUOTA:
            patterns.append(_pattern(chunk, band, service))
            chunk = []
        chunk.append(entry)
    return [*patterns, _pattern(chunk, band, service)]


def _pattern(entries: Sequence[str], band: Band, service: dict[str, Any]) -> Pattern:
    detail: dict[str, Any] = {"severity": [{"numeric": _range(band)}]}
    if entries:
        detail["type"] = [{"prefix": entry[:-1]} if is_family(entry) else entry for entry in entries]
    if service:
        detail["service"] = service
    # The source also emits "AWS API Call via CloudTrail" events, hence the detail-type.
    return {"source": ["aws.guardduty"], "detail-type": ["GuardDuty Finding"], "detail": detail}


def _range(band: Band) -> list[str | float]:
    lower = [] if band.minimum is None else [">=", band.minimum]
    return lower + ([] if band.below is None else ["<", band.below])


def _service_conditions(*, include_samples: bool, include_archived: bool) -> dict[str, Any]:
    """Return conditions on ``detail.service``, whose fields are optional: an absent one must never hide a finding."""
    conditions: dict[str, Any] = {}
    if not include_archived:
        conditions["archived"] = [False, {"exists": False}]
    if not include_samples:
        conditions["additionalInfo"] = {"sample": [False, {"exists": False}]}
    return conditions
