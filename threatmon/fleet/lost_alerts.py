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

_TOPIC = "aws:sns/topic:Topic"
_SUBSCRIPTION = "aws:sns/topicSubscription:TopicSubscription"
_RULE = "aws:cloudwatch/eventRule:EventRule"
_TARGET = "aws:cloudwatch/eventTarget:EventTarget"

# On both sides of where the bands meet; GuardDuty's severities have one decimal.
_BAND_OF = {
    severity: next(band.name for band in BANDS if severity in band)
    for severity in (1.0, 3.9, 4.0, 6.9, 7.0, 8.9, 9.0, 10.0)
}
_ACTIVE = frozenset(name for name, type_ in catalogue().items() if not type_.retired)
_FEW = 3

# A finding type, or a family the catalogue does not know, and a severity.
Finding = tuple[str, float]


def dropped_subscribers(changes: Sequence[ResourceChange]) -> Iterator[tuple[str, str]]:
    """Each topic none of whose subscriptions would stay, and how many it had.

    A new or replaced subscription is no substitute: it hears nothing until somebody confirms it.
    https://docs.aws.amazon.com/sns/latest/dg/sns-email-notifications.html
    """
    topics = {it.old.get("name"): it for it in changes if it.type == _TOPIC}
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
            yield topic.name if topic else _name(arn), f"{end}; a new one hears nothing until it is confirmed"


def _stays(change: ResourceChange) -> bool:
    return change.op not in ("delete", "replace")


def _name(arn: str) -> str:
    return arn.rpartition(":")[2]


def dropped_findings(changes: Sequence[ResourceChange]) -> Iterator[tuple[str, str]]:
    """The findings that would reach nobody any more, and the first rule by name that lets such through now.

    A rule counts where it is enabled and has a target. Told apart are types and severities, not samples or archived
    findings. A pattern that cannot be judged counts as letting everything through before, and nothing after.
    """
    before = _patterns([(change, change.old) for change in changes])
    after = _patterns([(change, change.new) for change in changes])
    text, losing = _lost(frozenset(before.values()), frozenset(after.values()))
    if losing:
        yield min(rule for rule, pattern in before.items() if pattern in losing), text


def _patterns(resources: Sequence[tuple[ResourceChange, Mapping[str, Any]]]) -> dict[str, str]:
    """The event patterns of the rules that alert somebody, by the rules' logical names."""
    targeted = {inputs.get("rule") for change, inputs in resources if change.type == _TARGET}
    return {
        change.name: inputs["eventPattern"]
        for change, inputs in resources
        if change.type == _RULE
        and inputs.get("eventPattern")
        and inputs.get("state") != "DISABLED"
        and (inputs.get("name") in targeted or (UNKNOWN in targeted and change.op in ("create", "replace")))
    }


@cache
def _lost(before: frozenset[str], after: frozenset[str]) -> tuple[str, frozenset[str]]:
    """What the patterns of before let through and those of after do not, in words; and which of before did."""
    if before <= after:
        return "", frozenset()
    types = _ACTIVE.union(*map(_unknown_types, before))
    everything = frozenset(product(types, _BAND_OF))
    passing = {pattern: everything if _judged(pattern) is None else _passing(pattern, types) for pattern in before}
    still = frozenset[Finding]().union(*(_passing(pattern, types) for pattern in after))
    lost = frozenset[Finding]().union(*passing.values()) - still
    return _in_words(lost, still), frozenset(pattern for pattern, findings in passing.items() if findings & lost)


@cache
def _passing(pattern: str, types: frozenset[str]) -> frozenset[Finding]:
    """The findings that a pattern lets through."""
    judged = _judged(pattern)
    if judged is None:
        return frozenset()
    on_types, others = judged
    # Types and severities are conditions of their own, so that they need not be tried in every combination.
    return frozenset(
        product(
            (it for it in types if matches(on_types, {"detail": {"type": it.removesuffix("*")}})),
            (it for it in _BAND_OF if matches(others, _event(it))),
        )
    )


def _event(severity: float) -> dict[str, Any]:
    detail = {"type": "any", "severity": severity, "service": {"archived": False}}
    return {"source": "aws.guardduty", "detail-type": "GuardDuty Finding", "detail": detail}


@cache
def _judged(pattern: str) -> tuple[Pattern, Pattern] | None:
    """The pattern's conditions on the type, and all others; None where it cannot be judged."""
    try:
        parsed = json.loads(pattern)
        matches(parsed, {})
    except ValueError:  # no JSON, or an UnknownOperatorError
        return None
    detail, anything = parsed.get("detail", {}), [{"exists": True}]
    return {"detail": {"type": detail.get("type", anything)}}, {**parsed, "detail": {**detail, "type": anything}}


def _unknown_types(pattern: str) -> set[str]:
    """The types and families a pattern names that are newer than the catalogue."""
    judged = _judged(pattern)
    named = judged[0]["detail"]["type"] if judged else []
    types = {it for it in named if isinstance(it, str)}
    families = {f"{it['prefix']}*" for it in named if isinstance(it, Mapping) and "prefix" in it}
    return {entry for entry in types | families if not is_known(entry)}


def _in_words(lost: Iterable[Finding], still: Iterable[Finding]) -> str:
    """Whole bands as such, the rest by type."""
    heard = {_BAND_OF[severity] for _, severity in still}
    bands_of: dict[str, set[str]] = defaultdict(set)
    for type_, severity in lost:
        bands_of[type_].add(_BAND_OF[severity])
    silent = set[str]().union(*bands_of.values()) - heard
    texts = [f"all findings of {_listed(silent)} severity"] if silent else []
    groups: dict[str, list[str]] = defaultdict(list)
    for type_, bands in sorted(bands_of.items()):
        if bands - silent:
            groups["" if heard <= bands else f" of {_listed(bands - silent)} severity"].append(type_)
    for of_severity, types in groups.items():
        more = f" and {len(types) - _FEW} more" if len(types) > _FEW else ""
        texts.append(f"{', '.join(types[:_FEW])}{more}{of_severity}")
    return f"nobody is told any more of {'; '.join(texts)}"


def _listed(bands: Iterable[str]) -> str:
    ordered = [band.name for band in BANDS if band.name in bands]
    return " and ".join([", ".join(ordered[:-1]), ordered[-1]] if ordered[1:] else ordered)
