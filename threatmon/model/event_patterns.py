"""The EventBridge event patterns of a selection of finding types, within EventBridge's length quota.

Syntax: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from threatmon.model.finding_types import EVERYTHING, is_family, simplify
from threatmon.model.severity import SeverityName, lowest

# Characters of one pattern; https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-quota.html
PATTERN_QUOTA = 2048

Pattern = dict[str, Any]


class AlertRule(NamedTuple):
    """An EventBridge rule to create: ``key`` names it within its component."""

    key: str
    pattern: Pattern


def alert_rules(
    finding_types: Iterable[str],
    minimum_severity: SeverityName,
    *,
    include_samples: bool = True,
    include_archived: bool = False,
) -> list[AlertRule]:
    """Return the rules that together let each selected finding through exactly once.

    It is one, unless its pattern would exceed :data:`PATTERN_QUOTA`: ``findings``, ``findings-2``...
    """
    conditions = _conditions(minimum_severity, include_samples=include_samples, include_archived=include_archived)
    return [
        AlertRule("findings" if number == 1 else f"findings-{number}", pattern)
        for number, pattern in enumerate(_patterns(simplify(finding_types), conditions), start=1)
    ]


def compact(pattern: Pattern) -> str:
    """Return the pattern as EventBridge stores and measures it."""
    return json.dumps(pattern, separators=(",", ":"))


def _patterns(entries: Sequence[str], conditions: Pattern) -> list[Pattern]:
    """Return the patterns, each as full as the quota allows; ``conditions`` are those on ``detail`` but the type."""
    if EVERYTHING in entries:
        return [_pattern([], conditions)]
    patterns: list[Pattern] = []
    chunk: list[str] = []
    for entry in entries:
        if chunk and len(compact(_pattern([*chunk, entry], conditions))) > PATTERN_QUOTA:
            patterns.append(_pattern(chunk, conditions))
            chunk = []
        chunk.append(entry)
    return [*patterns, _pattern(chunk, conditions)]


def _pattern(entries: Sequence[str], conditions: Pattern) -> Pattern:
    types = [{"prefix": entry[:-1]} if is_family(entry) else entry for entry in entries]
    detail = {"type": types, **conditions} if types else conditions
    # The source also emits "AWS API Call via CloudTrail" events, hence the detail-type.
    pattern: Pattern = {"source": ["aws.guardduty"], "detail-type": ["GuardDuty Finding"]}
    return pattern | ({"detail": detail} if detail else {})


def _conditions(minimum_severity: SeverityName, *, include_samples: bool, include_archived: bool) -> Pattern:
    """Return the conditions on ``detail`` but the type.

    The lowest band has no minimum and needs none; the fields of ``service`` are optional, and an absent one must never
    hide a finding.
    """
    minimum = lowest(minimum_severity)
    optional = [False, {"exists": False}]
    service: dict[str, Any] = {} if include_archived else {"archived": optional}
    if not include_samples:
        service["additionalInfo"] = {"sample": optional}
    severity: Pattern = {} if minimum is None else {"severity": [{"numeric": [">=", minimum]}]}
    return severity | ({"service": service} if service else {})
