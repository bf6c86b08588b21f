"""Sample findings: the types that GuardDuty makes them of, and the rules they should pass.

https://docs.aws.amazon.com/guardduty/latest/ug/sample_findings.html
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from threatmon.evaluation.event_matcher import mismatch
from threatmon.model.event_patterns import AlertRule
from threatmon.model.finding_types import catalogue, covers, is_family
from threatmon.model.severity import BANDS

# Types of one call; https://docs.aws.amazon.com/guardduty/latest/APIReference/API_CreateSampleFindings.html
MOST_TYPES = 50


class Selection(NamedTuple):
    """The types to make samples of, each once, and why an entry of the selection is left out."""

    types: list[str]
    left_out: dict[str, str]


class Expectation(NamedTuple):
    """What samples of some types should lead to, by the usual severity of each type."""

    by_rule: dict[str, list[str]]
    """the types that a rule should mail, by the rule's key"""
    varying: list[str]
    """types whose severity is not known beforehand; one of the rules should mail them"""
    silent: dict[str, str]
    """types that no rule lets through, and the condition that stops them"""


def select(entries: Iterable[str]) -> Selection:
    """The types that a selection names. A type the catalogue does not know is left to GuardDuty's judgement."""
    types: dict[str, None] = {}
    left_out: dict[str, str] = {}
    for entry in entries:
        named = [name for name in catalogue() if covers(entry, name)]
        usable = [name for name in named if not _unusable(name)]
        if is_family(entry):
            reason = "" if usable else "has no type that GuardDuty makes samples of"
        else:
            usable, reason = ([], _unusable(entry)) if named and not usable else ([entry], "")
        types |= dict.fromkeys(usable)
        left_out |= {entry: reason} if reason else {}
    return Selection(list(types), left_out)


def batches(types: Sequence[str]) -> list[Sequence[str]]:
    """The types, as many in a call as GuardDuty takes."""
    return [types[start : start + MOST_TYPES] for start in range(0, len(types), MOST_TYPES)]


def expectation(types: Iterable[str], rules: Sequence[AlertRule], *, samples: bool = True) -> Expectation:
    """Which of the rules should let a sample of each type through, or a real finding of it."""
    by_rule: dict[str, list[str]] = {}
    varying: list[str] = []
    silent: dict[str, str] = {}
    for name in types:
        usual = catalogue()[name].severity.lower() if name in catalogue() else "variable"
        bands = [band for band in BANDS if usual in (band.name, "variable")]
        asked = [
            (rule, mismatch(rule.pattern, _event(name, rule.band.minimum, samples=samples)))
            for rule in rules
            if rule.band in bands
        ]
        passed = [rule.key for rule, reason in asked if reason is None]
        if not passed:
            silent[name] = asked[0][1] or "" if asked else f"no rule takes its usual severity, {usual}"
        elif len(bands) > 1:
            varying.append(name)
        else:
            by_rule.setdefault(passed[0], []).append(name)
    return Expectation(by_rule, varying, silent)


def _unusable(name: str) -> str:
    row = catalogue()[name]
    if row.retired:
        return "is retired: GuardDuty makes no samples of it"
    if row.custom_detection_rule:
        return "is raised by custom detection rules only: GuardDuty makes no samples of it"
    return ""


def _event(name: str, severity: float | None, *, samples: bool) -> dict[str, Any]:
    """As much of an event as rules look at; the lowest band has no minimum, but findings start at 1."""
    service = {"archived": False, "additionalInfo": {"sample": True} if samples else {}}
    detail = {"type": name, "severity": severity or 1, "service": service}
    return {"source": "aws.guardduty", "detail-type": "GuardDuty Finding", "detail": detail}
