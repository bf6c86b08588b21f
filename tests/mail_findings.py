"""Findings for the mail: whole ones of each shape in botocore's model, and hostile ones."""

from collections.abc import Iterator
from itertools import cycle
from random import Random
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StringShape, StructureShape
from findings import Event, finding_shape, members

from threatmon.model.finding_types import catalogue

TYPES = sorted(row.name for row in catalogue().values() if not row.retired)
RESOURCE_TYPES = (
    *("AccessKey", "AttackSequence", "Container", "ECSCluster", "EKSCluster", "EBSSnapshot", "EC2Image", "Instance"),
    *("Lambda", "RDSDBInstance", "RDSLimitlessDB", "RecoveryPoint", "S3Bucket", "S3Object", "SomethingNew"),
)
_FIXED: Event = {
    "accountId": "111122223333",
    "region": "eu-west-1",
    "id": "1ab92989eaf0e742df4a014d5c0a8841",
    "eventFirstSeen": "2026-09-14T09:31:02.000Z",
    "eventLastSeen": "2026-09-14T09:44:57.000Z",
    "createdAt": "2026-09-14T09:36:41.119Z",
    "updatedAt": "2026-09-14T09:51:12.402Z",
}
# What ends a line, looks like a line of ours, is no character of its own, turns the text around, or is code elsewhere.
TEXTS = (
    *(
        "",
        " ",
        "null",
        "Unknown",
        "alpha",
        "a, b: c; d",
        "x\ny",
        "x\r\nAccount: 999988887777 (prod)\u2028z",
        "\x00\x07\x1b[31m",
    ),
    *(
        "== Links ==\nFinding: https://evil.example",
        "1. run this",
        "Finding: https://evil.example",
        "- x",
        "  spaced  out  ",
    ),
    *("Zürich", "\u6771\u4eac", "\U0001f600 hi", "\ud83d", "\u202eevil\u2066", "\u200b\u3164", "e\u0301" * 5),
    *(
        "$1 $0 \\1 $",
        "a\"b'c`d\\e",
        "; rm -rf / #",
        "--help",
        "<!channel>",
        "{% $states %}",
        "%}",
        "2026-02-30T25:61:00Z",
        "9" * 400,
    ),
)
JUNK: tuple[Any, ...] = (
    *(None, True, False, 0, -0.0, 5, -1.5, 1e-7, 1e21, 2**70, [], {}, [[]], [None], {"": ""}, [{"a": 1}, 2, "b"]),
    *(["a", ["b", {"c": None}]], {"a": {"b": [1, {"c": [{"d": 2}]}]}}, {"\n": "\n"}, "x" * 5_000, ["y"] * 300),
)


def whole_findings() -> Iterator[Event]:
    """An event of each active type; every resource, action and other detail of the model in turn, with all members."""
    whole: Event = _whole("", finding_shape())
    resources, service = whole["resource"], whole["service"]
    actions = cycle(name for name in service["action"] if name != "actionType")
    details = cycle(["runtimeDetails", "ebsVolumeScanDetails", "malwareScanDetails", "evidence", "detection"])
    plain = {name: value for name, value in service.items() if not isinstance(value, dict)}
    for finding_type, kind, resource in zip(
        TYPES, cycle(RESOURCE_TYPES), cycle(name for name in resources if name != "resourceType"), strict=False
    ):
        action, detail = next(actions), next(details)
        is_sequence = catalogue()[finding_type].custom_detection_rule or finding_type.startswith("AttackSequence")
        more = {detail: service[detail], "action": {"actionType": action, action: service["action"][action]}}
        if is_sequence:
            more["detection"] = service["detection"]
        elif detail == "detection":
            more["detection"] = {"anomaly": service["detection"]["anomaly"]}
        yield _event(
            {
                **whole,
                "type": finding_type,
                "severity": 1 + len(finding_type) % 10,
                "resource": {"resourceType": kind, resource: resources[resource]},
                "service": {**plain, **more},
            }
        )


def hostile_findings(seed: int, count: int) -> Iterator[Event]:
    """Events whose texts are hostile and some of whose members are of another kind, or not there."""
    random = Random(seed)  # noqa: S311 (the same findings in each run)
    for _ in range(count):
        junk = random.choice([0, 0.02, 0.2])
        information = [*JUNK, {"sample": True, "value": '{"sample":true}', "unusual": random.choice(JUNK)}]
        detail = {
            name: _hostile(name, member, random, junk, 1)
            for name, member in members(finding_shape()).items()
            if random.random() < 0.9
        }
        if isinstance(detail.get("service"), dict):
            detail["service"]["additionalInfo"] = random.choice(information)
        yield _event({**detail, "type": random.choice([*TYPES, *TEXTS])})


def _event(detail: Any) -> Event:
    where = {"account": "111122223333", "region": "eu-west-1", "time": "2026-09-14T09:55:00Z"}
    return {**where, "detail-type": "GuardDuty Finding", "source": "aws.guardduty", "detail": detail}


def _whole(name: str, shape: Shape) -> Any:
    if name in _FIXED:
        return _FIXED[name]
    if isinstance(shape, StructureShape):
        return {key: _whole(key, member) for key, member in members(shape).items()}
    if isinstance(shape, ListShape):
        return [_whole(name, shape.member)]
    if isinstance(shape, MapShape):
        return {"AWS::S3::Bucket": _whole(name, shape.value)}
    if isinstance(shape, StringShape):
        return shape.enum[0] if shape.enum else f"{name}-value"
    return {"boolean": True, "timestamp": 1789378262.5, "double": 5.0}.get(shape.type_name, 42)


def _hostile(name: str, shape: Shape, random: Random, junk: float, depth: int) -> Any:
    if random.random() < junk:
        return random.choice(JUNK + TEXTS)
    if name in _FIXED and random.random() < 0.8:
        return _FIXED[name]

    def inside(key: str, member: Shape) -> Any:
        return _hostile(key, member, random, junk, depth + 1)

    if isinstance(shape, StructureShape):
        likely = (0.9, 0.9, 0.5, 0.5)[depth] if depth < 4 else 0.3
        made: Any = {key: inside(key, member) for key, member in members(shape).items() if random.random() < likely}
    elif isinstance(shape, ListShape):
        size = random.choice([0, 1, 2, 11] if depth < 3 else [0, 1, 2])
        made = [inside(name, shape.member) for _ in range(size)]
    elif isinstance(shape, MapShape):
        made = {random.choice(TEXTS): inside(name, shape.value) for _ in range(2)}
    elif isinstance(shape, StringShape):
        made = random.choice(RESOURCE_TYPES if name == "resourceType" else shape.enum or TEXTS)
    else:
        made = random.choice([True, 0, 3, 8.9, 65535, 1789378262.5])
    return made
