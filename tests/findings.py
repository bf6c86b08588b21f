"""Findings as EventBridge delivers them: recorded, and generated from botocore's model of GuardDuty.

EventBridge writes a member as the model's location name (``SourceIps`` -> ``sourceIPs``); a member without one, in
camel case: https://docs.aws.amazon.com/guardduty/latest/ug/guardduty_findings_eventbridge.html
"""

import json
import re
from functools import cache
from typing import Any

import botocore.session
from botocore.model import ListShape, MapShape, Shape, StringShape, StructureShape
from examples import ACCOUNT, REGION
from hypothesis import strategies as st

from threatmon.model.finding_types import catalogue
from threatmon.project import ROOT as PROJECT_ROOT

Event = dict[str, Any]

EVENTS = PROJECT_ROOT / "threatmon" / "emulator" / "events"
RECORDED = sorted(path.stem for path in EVENTS.glob("*.json"))

# https://docs.aws.amazon.com/guardduty/latest/ug/guardduty_finding-format.html
_RESOURCE_TYPES = [
    *("AccessKey", "Container", "ECSCluster", "EKSCluster", "Instance", "Lambda", "RDSDBInstance", "S3Bucket"),
    "S3Object",
]

# What an input transformer can carry as it is: one line, with nothing JSON escapes and no angle brackets.
PLAIN = st.text(st.characters(exclude_categories=["C", "Zl", "Zp"], exclude_characters='"\\<>'), max_size=12)
HOSTILE = st.one_of(
    st.text(st.sampled_from('"\\\n\r\t<>{}[],:1ae\0\u2028'), max_size=12),
    st.sampled_from(['"', "\\", "\n", '"\n1\n"', '"\n"', "<type>", "<aws.events.event>", '", "', "\\u0041", "\\n"]),
    st.text(max_size=12),
)

_DEPTH = 3
_MORE = 2


def recorded(name: str) -> Event:
    """Read one of the events of :data:`RECORDED`."""
    return json.loads((EVENTS / f"{name}.json").read_text(encoding="utf-8"))


@cache
def finding_shape() -> StructureShape:
    """Return botocore's model of a finding."""
    shape = botocore.session.get_session().get_service_model("guardduty").shape_for("Finding")
    assert isinstance(shape, StructureShape)
    return shape


def key(name: str, shape: Shape) -> str:
    """Return how EventBridge writes the member ``name`` of the model."""
    return shape.serialization.get("name") or name[0].lower() + name[1:]


def members(shape: StructureShape) -> dict[str, Shape]:
    """Return the members of a structure as EventBridge writes them."""
    return {key(name, member): member for name, member in shape.members.items()}


def shape_at(path: str) -> Shape | None:
    """Return the model's shape at a JSONPath into an event's ``detail``; None if the path leads out of the model."""
    shape: Shape | None = finding_shape()
    root, *steps = re.findall(r"\$\.detail\b|\.\w+|\[\d+\]", path)
    if "".join([root, *steps]) != path:
        return None
    for step in steps:
        if step.startswith("["):
            shape = shape.member if isinstance(shape, ListShape) else None
        else:
            shape = members(shape).get(step[1:]) if isinstance(shape, StructureShape) else None
    return shape


def events(text: st.SearchStrategy[str] = PLAIN) -> st.SearchStrategy[Event]:
    """Return events of findings of every active type and resource type, with any of the model's optional members.

    Free-form strings come from ``text``; those with a fixed form (types, ids, times) have that form.
    """
    return st.builds(_event, _structure(finding_shape(), text, depth=0))


def _event(detail: Event) -> Event:
    envelope = {"version": "0", "id": "7f3f0b2c-1de3-4c53-9f5e-2d1c0a7b9e10", "time": "2026-09-14T09:55:00Z"}
    where = {"account": ACCOUNT, "region": REGION, "resources": []}
    return {**envelope, **where, "detail-type": "GuardDuty Finding", "source": "aws.guardduty", "detail": detail}


_TIME = st.just("2026-09-14T09:31:02.000Z")
_FIXED: dict[str, st.SearchStrategy[Any]] = {
    "accountId": st.from_regex(r"[0-9]{12}", fullmatch=True),
    "region": st.sampled_from(["eu-west-1", "us-gov-west-1", "cn-north-1"]),
    "id": st.from_regex(r"[0-9a-f]{32}", fullmatch=True),
    "type": st.sampled_from([row.name for row in catalogue().values() if not row.retired]),
    "severity": st.integers(10, 100).map(lambda tenths: tenths / 10),
    "createdAt": _TIME,
    "updatedAt": _TIME,
    "eventFirstSeen": _TIME,
    "eventLastSeen": _TIME,
    "resourceType": st.sampled_from(_RESOURCE_TYPES),
}


def _structure(shape: StructureShape, text: st.SearchStrategy[str], *, depth: int) -> st.SearchStrategy[Event]:
    """Return structures with all required members, and any optional ones near the root but few far from it."""
    required = {key(name, shape.members[name]) for name in shape.required_members}
    known = members(shape)
    optional = sorted(set(known) - required)

    def chosen(names: list[str]) -> st.SearchStrategy[Event]:
        return st.fixed_dictionaries(
            {name: _value(name, known[name], text, depth=depth) for name in sorted({*required, *names})}
        )

    size = len(optional) if depth < _DEPTH else _MORE
    return st.lists(st.sampled_from(optional), unique=True, max_size=size).flatmap(chosen) if optional else chosen([])


def _value(name: str, shape: Shape, text: st.SearchStrategy[str], *, depth: int) -> st.SearchStrategy[Any]:
    if depth < _MORE and name in _FIXED:
        return _FIXED[name]
    if isinstance(shape, StructureShape):
        return _structure(shape, text, depth=depth + 1)
    if isinstance(shape, ListShape):
        return st.lists(_value("", shape.member, text, depth=depth + 1), max_size=_MORE)
    if isinstance(shape, MapShape):
        return st.dictionaries(PLAIN, _value("", shape.value, text, depth=depth + 1), max_size=_MORE)
    if isinstance(shape, StringShape):
        return st.sampled_from(shape.enum) if shape.enum else text
    return _SCALARS[shape.type_name]


_SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "boolean": st.booleans(),
    "double": st.integers(-900, 900).map(lambda tenths: tenths / 10),
    "integer": st.integers(0, 65535),
    "long": st.integers(0, 2**40),
    "timestamp": st.integers(1_700_000_000_000, 1_800_000_000_000).map(lambda milliseconds: milliseconds / 1000),
}
