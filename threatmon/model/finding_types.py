"""The catalogue of GuardDuty finding types, and how a config selects them.

A selection entry is an exact type (``Recon:EC2/Portscan``), a family by a trailing ``*`` (``Recon:EC2/*``), or ``*``.
The data is in the JSON file beside this module, from
https://docs.aws.amazon.com/guardduty/latest/ug/guardduty_finding-types-active.html and
https://docs.aws.amazon.com/guardduty/latest/ug/guardduty_finding-types-retired.html.
AWS adds types every few weeks, so the catalogue is never complete: see ``allowUnknownFindingTypes``.
"""

import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

from threatmon.model.suggestions import did_you_mean

EVERYTHING = "*"

# ThreatPurpose:ResourceTypeAffected/ThreatFamilyName.DetectionMechanism!Artifact
# https://docs.aws.amazon.com/guardduty/latest/ug/guardduty_finding-format.html
_GRAMMAR = re.compile(r"[A-Za-z]+:[A-Za-z0-9]+/[A-Za-z0-9&!.\-]+")
_FAMILY_GRAMMAR = re.compile(r"[A-Za-z][A-Za-z0-9:/&!.\-]*\*")
_MAX_LENGTH = 100  # the API's limit


class FindingType(NamedTuple):
    """A row of the catalogue.

    ``severity`` is Low, Medium, High, Critical or Variable; ``plan`` is the protection plan (a key of
    ``protectionPlans``) without which GuardDuty never raises the type.
    """

    name: str
    severity: str
    plan: str | None
    retired: bool
    custom_detection_rule: bool


@cache
def catalogue() -> Mapping[str, FindingType]:
    """Return every known finding type by name."""
    rows = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
    return {
        row["type"]: FindingType(
            row["type"], row["severity"], row.get("plan"), "retired" in row, "customDetectionRule" in row
        )
        for row in rows
    }


def is_family(entry: str) -> bool:
    """Say whether an entry selects types by prefix (``*`` does)."""
    return entry.endswith("*")


def covers(entry: str, name: str) -> bool:
    """Say whether an entry selects the finding type ``name``. Case counts, as it does in EventBridge."""
    return name.startswith(entry[:-1]) if is_family(entry) else name == entry


def simplify(entries: Iterable[str]) -> list[str]:
    """Return the entries that no other entry covers, sorted: the shortest selection of the same types."""
    entries = set(entries)
    families = [entry for entry in entries if is_family(entry)]
    return sorted(
        entry for entry in entries if not any(family != entry and covers(family, entry) for family in families)
    )


def fault(entry: str) -> str | None:
    """Return what is wrong with an entry, as the end of a sentence that starts with the entry; None if nothing is."""
    if "*" in entry[:-1]:
        return 'has a "*" that is not at its end (a family looks like "Recon:EC2/*")'
    if entry == EVERYTHING:
        return None
    if is_well_formed(entry) and is_known(entry):
        return None
    names = catalogue()
    if not is_family(entry):
        return f"is not a GuardDuty finding type{did_you_mean(entry, names)}"
    families = {name[: name.index(end) + 1] + "*" for name in names for end in ":/"}
    return f"matches no GuardDuty finding type{did_you_mean(entry, sorted(families))}"


def is_well_formed(entry: str) -> bool:
    """Say whether an entry could be a finding type or family, known or not."""
    grammar = _FAMILY_GRAMMAR if is_family(entry) else _GRAMMAR
    return entry == EVERYTHING or (grammar.fullmatch(entry) is not None and len(entry) <= _MAX_LENGTH)


def is_known(entry: str) -> bool:
    """Say whether the catalogue has a type that the entry selects."""
    return entry in catalogue() or (is_family(entry) and any(covers(entry, name) for name in catalogue()))
