"""The differences inside a resource, property by property, and inside JSON documents value by value."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from threatmon.fleet.changes import UNKNOWN, ResourceChange

Sign = Literal["+", "-", "~"]

SECRET = "[secret]"  # noqa: S105 - what the engine prints for one
KNOWN_LATER = "known after deployment"
# How the engine marks a wrapped value, and which of them are secrets:
# https://github.com/pulumi/pulumi/blob/master/sdk/go/common/resource/sig/sig.go
_WRAPPED = "4dabf18193072939515e22adb298388d"
_SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - a marker

# a.b, [0] and ["a.b"]: https://github.com/pulumi/pulumi/blob/master/sdk/go/property/path.go
_KEY = re.compile(r'\["((?:[^"\\]|\\.)*)"\]|\[(\d+)\]|([^.\[\]]+)')
_BARE = re.compile(r'[^\s.\[\]"]+')
_ABSENT: Any = object()
_json = json.JSONEncoder(ensure_ascii=False, sort_keys=True).encode


class Difference(NamedTuple):
    """One value that changes: ``+`` is added, ``-`` is removed, ``~`` becomes another."""

    path: str
    """down into JSON documents: ``eventPattern.detail.type``"""
    sign: Sign
    old: str
    """the value as JSON; empty if there is none, or it is not known"""
    new: str
    replaces: bool = False
    """the resource is replaced because of it"""


def differences(change: ResourceChange) -> tuple[Difference, ...]:
    """Return what a change without secrets does to properties: all of a new resource, none of a deleted one."""
    if change.op == "delete":
        return ()
    options = (_difference(name, "~", *values) for name, values in change.options.items())
    return (*options, *_differences_of_inputs(change))


def _differences_of_inputs(change: ResourceChange) -> tuple[Difference, ...]:
    if not change.diff:
        inputs = [{key: of[key] for key in of if not key.startswith("__")} for of in (change.old, change.new)]
        return tuple(_compare("", *inputs))
    found: list[Difference] = []
    for path, kind in sorted(change.diff.items()):
        sign: Sign = "+" if kind.startswith("add") else "-" if kind.startswith("delete") else "~"
        old = _ABSENT if sign == "+" else _at(change.old, path)
        new = _ABSENT if sign == "-" else _at(change.new, path)
        inside = list(_compare(path, old, new)) or [_difference(path, sign, old, new)]
        found += [each._replace(replaces=kind.endswith("-replace")) for each in inside]
    return tuple(found)


def without_secrets(change: ResourceChange) -> ResourceChange:
    """Return the change with ``[secret]`` in place of each secret, and whole numbers as such."""
    return change._replace(old=readable(change.old), new=readable(change.new))


def readable(value: Any) -> Any:
    """Return the value with ``[secret]`` in place of each secret, and whole numbers as such."""
    if isinstance(value, Mapping):
        if _WRAPPED in value and (value[_WRAPPED] == _SECRET or value.get("secret")):
            return SECRET
        return {str(key): readable(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [readable(entry) for entry in value]
    # The engine has only one kind of number.
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value


def _text(value: Any) -> str:
    """Return the value for people: compact JSON, a document as such and not as a quoted text."""
    if value is _ABSENT:
        return ""
    if value in (SECRET, UNKNOWN):
        return SECRET if value == SECRET else KNOWN_LATER
    return _json(_document(value)).replace(UNKNOWN, KNOWN_LATER)


def _document(value: Any) -> Any:
    """Return what a text holds that is a JSON object or array; anything else as it is."""
    if not isinstance(value, str) or not value.startswith(("{", "[")):
        return value
    try:
        return json.loads(value, parse_float=lambda number: readable(float(number)))
    except (ValueError, RecursionError):
        return value


def _at(properties: Any, path: str) -> Any:
    value = properties
    for quoted, index, key in _KEY.findall(path):
        try:
            name = json.loads(f'"{quoted}"', strict=False) if quoted else key
            value = _document(value)[int(index) if index else name]
        except (LookupError, TypeError, ValueError):
            return _ABSENT
    return value


def _difference(path: str, sign: Sign, old: Any, new: Any) -> Difference:
    return Difference(path, sign, _text(old), _text(new))


def _compare(path: str, old: Any, new: Any) -> Iterator[Difference]:
    if old is _ABSENT or new is _ABSENT:
        if old is not new:
            yield _difference(path, "+" if old is _ABSENT else "-", old, new)
        return
    old, new = _document(old), _document(new)
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted({*old, *new}):
            yield from _compare(_joined(path, key), old.get(key, _ABSENT), new.get(key, _ABSENT))
    elif isinstance(old, list) and isinstance(new, list):
        yield from _compare_lists(path, old, new)
    elif _json(old) != _json(new):  # unlike ==, 1 and true differ
        yield _difference(path, "~", old, new)


def _joined(path: str, key: str) -> str:
    if not _BARE.fullmatch(key):
        return f"{path}[{json.dumps(key, ensure_ascii=False)}]"
    return f"{path}.{key}" if path else key


def _compare_lists(path: str, old: Sequence[Any], new: Sequence[Any]) -> Iterator[Difference]:
    """Compare lists as sets, unless only their order differs; statements and the like with their former selves."""
    removed, added = _only_in(old, new), _only_in(new, old)
    if not removed and not added and _json(old) != _json(new):
        yield _difference(path, "~", old, new)
    for label in [label for label in removed if label in added]:
        yield from _compare(f"{path}[{label}]", removed.pop(label), added.pop(label))
    for value in removed.values():
        yield _difference(path, "-", value, _ABSENT)
    for value in added.values():
        yield _difference(path, "+", _ABSENT, value)


def _only_in(values: Sequence[Any], others: Sequence[Any]) -> dict[Any, Any]:
    """Return the values that the others lack, each under a key that identifies it before and after the change.

    The key is its ``Sid``, or its index in lists of equal length. A value without parts worth comparing has no key,
    as one key alone, which is a condition: ``{"prefix": "Recon:"}``.
    """
    left = Counter(map(_json, others))
    found: dict[Any, Any] = {}
    for place, value in enumerate(values):
        left[_json(value)] -= 1
        if left[_json(value)] < 0:
            label = None
            if isinstance(value, Mapping) and len(value) > 1:
                label = value.get("Sid", place if len(values) == len(others) else None)
            unique = object()
            found[label if isinstance(label, str | int) and label not in found else unique] = value
    return found
