"""The alerts an update would stop: topics left without a subscriber, findings no rule lets through any more."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import product
from typing import Any

from threatmon.evaluation.event_matcher import matches
from threatmon.fleet.changes import UNKNOWN, ResourceChange
from threatmon.model.event_patterns import Pattern
from threatmon.model.finding_types import catalogue, is_known
from threatmon.model.severity import BANDS
from threatmon.reports.model import first_few

_TOPIC = "aws:sns/topic:Topic"
_SUBSCRIPTION = "aws:sns/topicSubscription:TopicSubscription"
_RULE = "aws:cloudwatch/eventRule:EventRule"
_TARGET = "aws:cloudwatch/eventTarget:EventTarget"

# On both sides of each border between bands; GuardDuty's severities have one decimal.
_BAND_OF = {
    severity: next(band.name for band in BANDS if severity in band)
    for severity in (1.0, 3.9, 4.0, 6.9, 7.0, 8.9, 9.0, 10.0)
}
_ACTIVE = frozenset(name for name, type_ in catalogue().items() if not type_.retired)

# A finding type, or a family the catalogue does not know, and a severity.
Finding = tuple[str, float]


def dropped_subscribers(changes: Sequence[ResourceChange]) -> Iterator[tuple[str, str]]:
    """Yield each topic none of whose subscriptions would stay, and how many it had.

    A new or replaced subscription is no substitute: it receives nothing until somebody confirms it.
    https://docs.aws.amazon.com/sns/latest/dg/sns-email-notifications.html
    """
    topics = {change.old.get("name"): change for change in changes if change.type == _TOPIC}
    subscriptions: dict[str, list[bool]] = defaultdict(list)
    for change in changes:
        if change.type == _SUBSCRIPTION and change.old:
            arn = change.old["topic"]
            topic = topics.get(_name(arn))
            subscriptions[arn].append(_stays(change) and (topic is None or _stays(topic)))
    for arn, stay in subscriptions.items():
        if not any(stay):
            topic = topics.get(_name(arn))
            end = "its only subscription ends" if len(stay) == 1 else f"all its {len(stay)} subscriptions end"
            yield topic.name if topic else _name(arn), f"{end}; a new one receives nothing until it is confirmed"


def _stays(change: ResourceChange) -> bool:
    return change.op not in ("delete", "replace")


def _name(arn: str) -> str:
    return arn.rpartition(":")[2]


def dropped_findings(changes: Sequence[ResourceChange]) -> Iterator[tuple[str, str]]:
    """Yield the findings that would alert nobody any more, with the first rule by name that lets such through now.

    A rule counts if it is enabled and has a target. Types and severities count, samples and archived findings do not.
    A pattern that cannot be judged counts as letting everything through before, and nothing after.
    """
    before = _patterns([(change, change.old) for change in changes])
    after = _patterns([(change, change.new) for change in changes])
    text, losing = _lost(frozenset(before.values()), frozenset(after.values()))
    if losing:
        yield min(rule for rule, pattern in before.items() if pattern in losing), text


def _patterns(resources: Sequence[tuple[ResourceChange, Mapping[str, Any]]]) -> dict[str, str]:
    """Return the event patterns of the rules that alert somebody, by the rules' logical names."""
    targeted = {inputs.get("rule") for change, inputs in resources if change.type == _TARGET}
    return {
        change.name: inputs["eventPattern"]
        for change, inputs in resources
        if change.type == _RULE
        and inputs.get("eventPattern")
        and inputs.get("state") != "DISABLED"
        and (inputs.get("name") in targeted or (UNKNOWN in targeted and change.op in ("create", "replace")))
    }


@cache  # 10 ms; many stacks have the same patterns
def _lost(before: frozenset[str], after: frozenset[str]) -> tuple[str, frozenset[str]]:
    """Return what the patterns of before let through and those of after do not, in words; and which of before did."""
    if before <= after:
        return "", frozenset()
    types = _ACTIVE.union(*map(_unknown_types, before))
    everything = frozenset(product(types, _BAND_OF))
    passing = {pattern: everything if _judged(pattern) is None else _passing(pattern, types) for pattern in before}
    still = frozenset[Finding]().union(*(_passing(pattern, types) for pattern in after))
    lost = frozenset[Finding]().union(*passing.values()) - still
    return _in_words(lost, still), frozenset(pattern for pattern, findings in passing.items() if findings & lost)


def _passing(pattern: str, types: frozenset[str]) -> frozenset[Finding]:
    """Return the findings that a pattern lets through."""
    judged = _judged(pattern)
    if judged is None:
        return frozenset()
    on_types, others = judged
    # Types and severities are separate conditions, so that they need not be tried in every combination.
    return frozenset(
        product(
            (name for name in types if matches(on_types, {"detail": {"type": name.removesuffix("*")}})),
            (severity for severity in _BAND_OF if matches(others, _event(severity))),
        )
    )


def _event(severity: float) -> dict[str, Any]:
    detail = {"type": "any", "severity": severity, "service": {"archived": False}}
    return {"source": "aws.guardduty", "detail-type": "GuardDuty Finding", "detail": detail}


def _judged(pattern: str) -> tuple[Pattern, Pattern] | None:
    """Return the pattern's conditions on the type, and all others; None if it cannot be judged."""
    try:
        parsed = json.loads(pattern)
        matches(parsed, {})
    except ValueError:  # no JSON, or an UnknownOperatorError
        return None
    detail, anything = parsed.get("detail", {}), [{"exists": True}]
    return {"detail": {"type": detail.get("type", anything)}}, {**parsed, "detail": {**detail, "type": anything}}


def _unknown_types(pattern: str) -> set[str]:
    """Return the types and families a pattern names that are newer than the catalogue."""
    judged = _judged(pattern)
    named = judged[0]["detail"]["type"] if judged else []
    types = {entry for entry in named if isinstance(entry, str)}
    families = {f"{entry['prefix']}*" for entry in named if isinstance(entry, Mapping) and "prefix" in entry}
    return {entry for entry in types | families if not is_known(entry)}


def _in_words(lost: Iterable[Finding], still: Iterable[Finding]) -> str:
    """Name bands of which nothing is left, and the rest by type."""
    left = {_BAND_OF[severity] for _, severity in still}
    bands_of: dict[str, set[str]] = defaultdict(set)
    for type_, severity in lost:
        bands_of[type_].add(_BAND_OF[severity])
    silent = set[str]().union(*bands_of.values()) - left
    texts = [f"all findings of {_listed(silent)} severity"] if silent else []
    types_of: dict[str, list[str]] = defaultdict(list)
    for type_, bands in sorted(bands_of.items()):
        if bands - silent:
            types_of["" if left <= bands else f" of {_listed(bands - silent)} severity"].append(type_)
    texts += [f"{first_few(types)}{of_severity}" for of_severity, types in types_of.items()]
    return f"alerts end for {'; '.join(texts)}"


def _listed(bands: Iterable[str]) -> str:
    ordered = [band.name for band in BANDS if band.name in bands]
    return " and ".join([", ".join(ordered[:-1]), ordered[-1]] if ordered[1:] else ordered)
