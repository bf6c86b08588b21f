"""Sample findings: which types there are samples of, how they are made, and which rules should let them through.

https://docs.aws.amazon.com/guardduty/latest/ug/sample_findings.html
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from threatmon.aws.errors import AwsError, NotThereError
from threatmon.aws.reader import Aws, attempt, batches
from threatmon.errors import UsageError
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


class Samples(NamedTuple):
    """The types that samples were made of, and the others with the reason."""

    created: list[str]
    refused: dict[str, str]


class Expectation(NamedTuple):
    """What samples of some types should lead to, by the usual severity of each type."""

    by_rule: dict[str, list[str]]
    """the types that a rule should let through, by the rule's key"""
    varying: list[str]
    """types whose severity is not known beforehand, and decides whether a rule lets them through"""
    silent: dict[str, str]
    """types that no rule lets through, and the condition that stops them"""


def select(entries: Iterable[str]) -> Selection:
    """Return the types that a selection names; GuardDuty decides on a type that the catalogue does not know."""
    types: dict[str, None] = {}
    left_out: dict[str, str] = {}
    for entry in entries:
        named = [name for name in catalogue() if covers(entry, name)] if is_family(entry) else [entry]
        usable = [name for name in named if not _unusable(name)]
        types |= dict.fromkeys(usable)
        if not usable:
            left_out[entry] = "has no type that GuardDuty makes samples of" if is_family(entry) else _unusable(entry)
    return Selection(list(types), left_out)


def create(aws: Aws, detector_id: str, types: Sequence[str], say: Callable[[str], object]) -> Samples:
    """Make a sample finding of each type; ``say`` is given the progress.

    GuardDuty refuses a whole call for one type that it does not know (in this Region, or yet) without naming it, so a
    refused call is halved. Any other error ends it, and is raised only if no sample was made before. Raises
    :class:`UsageError` if there is no such detector.
    """
    samples = Samples([], {})
    waiting = deque(batches(types, MOST_TYPES))
    while waiting:
        batch = waiting.popleft()
        say(f"{len(samples.created)} of {len(types)} sample findings made")
        error = attempt(
            lambda batch=batch: aws.call(
                "guardduty", "create_sample_findings", DetectorId=detector_id, FindingTypes=batch
            )
        )
        if isinstance(error, NotThereError):
            raise UsageError(
                f"GuardDuty has no detector {detector_id} here, which the stack's outputs name ({error.message}) "
                "Run `pulumi up --refresh`."
            )
        if not isinstance(error, AwsError):
            samples.created.extend(batch)
        elif error.code == "BadRequestException" and len(batch) == 1:
            samples.refused[batch[0]] = error.message
        elif error.code == "BadRequestException":
            waiting.extendleft([batch[len(batch) // 2 :], batch[: len(batch) // 2]])
        elif not samples.created:
            raise error
        else:
            samples.refused.update(dict.fromkeys([*batch, *(name for rest in waiting for name in rest)], str(error)))
            break
    return samples


def expectation(types: Iterable[str], rules: Sequence[AlertRule], *, samples: bool = True) -> Expectation:
    """Return which of the rules should let a sample of each type through, or a real finding of it."""
    by_rule: dict[str, list[str]] = {}
    varying: list[str] = []
    silent: dict[str, str] = {}
    for name in types:
        usual = catalogue()[name].severity.lower() if name in catalogue() else "variable"
        # The lowest band has no minimum, but findings start at 1.
        severities = [band.minimum or 1 for band in BANDS if usual in (band.name, "variable")]
        asked = [_asked(rules, _event(name, severity, samples=samples)) for severity in severities]
        passed = [next((key for key, reason in reasons.items() if reason is None), None) for reasons in asked]
        if first := next(filter(None, passed), None):
            if None in passed:
                varying.append(name)
            else:
                by_rule.setdefault(first, []).append(name)
        else:
            # Of several rules, the one that has the type says why.
            reasons = [str(reason) for reason in asked[0].values()]
            silent[name] = min(reasons, key=lambda reason: reason.startswith("detail.type:"))
    return Expectation(by_rule, varying, silent)


def _asked(rules: Sequence[AlertRule], event: Mapping[str, Any]) -> dict[str, str | None]:
    """Return what stops each rule from letting an event through, by the rule's key; None if nothing does."""
    return {rule.key: mismatch(rule.pattern, event) for rule in rules}


def _unusable(name: str) -> str:
    """Return why there are no samples of a type, or nothing."""
    row = catalogue().get(name)
    if row and row.retired:
        return "is retired: GuardDuty makes no samples of it"
    if row and row.custom_detection_rule:
        return "is raised by custom detection rules only: GuardDuty makes no samples of it"
    return ""


def _event(name: str, severity: float, *, samples: bool) -> dict[str, Any]:
    """Return as much of an event as rules look at."""
    service = {"archived": False, "additionalInfo": {"sample": True} if samples else {}}
    detail = {"type": name, "severity": severity, "service": service}
    return {"source": "aws.guardduty", "detail-type": "GuardDuty Finding", "detail": detail}
