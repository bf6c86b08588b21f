"""The catalogue of GuardDuty finding types, and the ways a stack's config may name them.

A selection entry is an exact type (``Recon:EC2/Portscan``), a family by a trailing ``*`` (``Recon:EC2/*``), or ``*``.
The data lies beside this module, from
https://docs.aws.amazon.com/guardduty/latest/ug/guardduty_finding-types-active.html and
https://docs.aws.amazon.com/guardduty/latest/ug/guardduty_finding-types-retired.html.
AWS adds types every few weeks, so the catalogue is never taken as closed: see ``allowUnknownFindingTypes``.
"""

import json
import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import NamedTuple

EVERYTHING = "*"

# ThreatPurpose:ResourceTypeAffected/ThreatFamilyName.DetectionMechanism!Artifact
# https://docs.aws.amazon.com/guardduty/latest/ug/guardduty_finding-format.html; 100 is the API's limit.
_GRAMMAR = re.compile(r"[A-Za-z]+:[A-Za-z0-9]+/[A-Za-z0-9&!.\-]+")
_FAMILY_GRAMMAR = re.compile(r"[A-Za-z][A-Za-z0-9:/&!.\-]*\*")
MAX_LENGTH = 100


class FindingType(NamedTuple):
    """One row of the catalogue. ``severity`` is Low, Medium, High, Critical or Variable; ``plan`` is the protection
    plan (a key of ``protectionPlans``) without which GuardDuty never raises the type."""

    name: str
    resource: str
    severity: str
    source: str
    plan: str | None
    retired: bool
    custom_detection_rule: bool


@cache
def catalogue() -> Mapping[str, FindingType]:
    """Every known finding type by name."""
    rows = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
    return {
        row["type"]: FindingType(
            row["type"],
            row["resource"],
            row["severity"],
            row["source"],
            row.get("plan"),
            row.get("retired", False),
            row.get("customDetectionRule", False),
        )
        for row in rows
    }


def is_family(entry: str) -> bool:
    """Whether a selection entry names types by prefix (``*`` itself included)."""
    return entry.endswith("*")


def covers(entry: str, name: str) -> bool:
    """Whether a selection entry selects the finding type ``name``. Case counts, as it does in EventBridge."""
    return name.startswith(entry[:-1]) if is_family(entry) else name == entry


def simplify(entries: Iterable[str]) -> list[str]:
    """The entries that no other entry covers, sorted: the shortest selection of the same types."""
    entries = set(entries)
    return sorted(e for e in entries if not any(o != e and is_family(o) and e.startswith(o[:-1]) for o in entries))


def fault(entry: str) -> str | None:
    """What is wrong with a selection entry, as the end of a sentence that starts with the entry; None if nothing is."""
    if "*" in entry[:-1]:
        return 'has a "*" that is not at its end (a family looks like "Recon:EC2/*")'
    if entry == EVERYTHING:
        return None
    if is_well_formed(entry) and is_known(entry):
        return None
    problem = "matches no GuardDuty finding type" if is_family(entry) else "is not a GuardDuty finding type"
    near = suggestion(entry)
    return f'{problem}; did you mean "{near}"?' if near else problem


def is_well_formed(entry: str) -> bool:
    """Whether an entry could name a finding type or family, known or not."""
    grammar = _FAMILY_GRAMMAR if is_family(entry) else _GRAMMAR
    return entry == EVERYTHING or (grammar.fullmatch(entry) is not None and len(entry) <= MAX_LENGTH)


def is_known(entry: str) -> bool:
    """Whether the catalogue has a type that the entry selects."""
    return entry in catalogue() or (is_family(entry) and any(covers(entry, name) for name in catalogue()))


def suggestion(entry: str) -> str | None:
    """The known type or family nearest to a mistyped entry; a difference in case alone is always found."""
    names = list(catalogue())
    if is_family(entry):
        families = {name[: name.index("/") + 1] + "*" for name in names} | {name.split(":")[0] + ":*" for name in names}
        names = sorted(families)
    by_lower_case = {name.lower(): name for name in names}
    near = get_close_matches(entry.lower(), by_lower_case, n=1)
    return by_lower_case[near[0]] if near else None
