"""What changes inside a resource, property by property, and inside a JSON document value by value."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
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
_STEP = re.compile(r'\["((?:[^"\\]|\\.)*)"\]|\[(\d+)\]|([^.\[\]]+)')
_BARE = re.compile(r'[^\s.\[\]"]+')
_ABSENT: Any = object()
_ENCODER = json.JSONEncoder(ensure_ascii=False, sort_keys=True)


class Difference(NamedTuple):
    """One value that changes: ``+`` one is added, ``-`` one goes, ``~`` one becomes another."""

    path: str
    """where, down into JSON documents: ``eventPattern.detail.type``"""
    sign: Sign
    old: str
    """the value as JSON; empty where there is none, or it is not known"""
    new: str
    replaces: bool
    """the resource is replaced because of it"""


def differences(change: ResourceChange) -> tuple[Difference, ...]:
    """What a change without secrets does to properties: to all of a new resource, to none of a deleted one."""
    if change.op == "delete":
        return ()
    if not change.diff:
        old, new = (
            {key: _whole(value) for key, value in it.items() if not key.startswith("__")}
            for it in (change.old, change.new)
        )
        return tuple(_inside("", old, new, replaces=False))
    found: list[Difference] = []
    for path, kind in sorted(change.diff.items()):
        sign: Sign = "+" if kind.startswith("add") else "-" if kind.startswith("delete") else "~"
        replaces = kind.endswith("-replace")
        before = _ABSENT if sign == "+" else _at(change.old, path)
        after = _ABSENT if sign == "-" else _at(change.new, path)
        found += _inside(path, before, after, replaces=replaces) or [
            Difference(path, sign, shown(before), shown(after), replaces)
        ]
    return tuple(found)


def without_secrets(change: ResourceChange) -> ResourceChange:
    """The change, ``[secret]`` in place of each secret."""
    if not _wraps(change.old) and not _wraps(change.new):
        return change  # as most are; to look is several times as fast as to build anew
    return change._replace(old=masked(change.old), new=masked(change.new))


def _wraps(value: Any) -> bool:
    if isinstance(value, str):
        return False
    if isinstance(value, Mapping):
        return _WRAPPED in value or any(map(_wraps, value.values()))
    return isinstance(value, list | tuple) and any(map(_wraps, value))


def masked(value: Any) -> Any:
    """The value, ``[secret]`` in place of each secret in it."""
    if isinstance(value, Mapping):
        if _WRAPPED in value and (value[_WRAPPED] == _SECRET or value.get("secret")):
            return SECRET
        return {str(key): masked(it) for key, it in value.items()}
    if isinstance(value, list | tuple):
        return [masked(it) for it in value]
    return value


def shown(value: Any) -> str:
    """The value as people read it: compact JSON, a document as such and not as a quoted text."""
    if value is _ABSENT:
        return ""
    if value == SECRET:
        return SECRET
    return KNOWN_LATER if value == UNKNOWN else _json(_document(value)).replace(UNKNOWN, KNOWN_LATER)


def _json(value: Any) -> str:
    return _ENCODER.encode(value)


def _whole(value: Any) -> Any:
    """The value with its whole numbers as such: the engine has but one kind of number."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return {str(key): _whole(it) for key, it in value.items()}
    if isinstance(value, list | tuple):
        return [_whole(it) for it in value]
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value


def _document(value: Any) -> Any:
    """What a text holds that is a JSON object or array; anything else as it is."""
    if not isinstance(value, str) or value[:1] not in ("{", "["):
        return value
    try:
        return json.loads(value, parse_float=lambda it: _whole(float(it)))
    except (ValueError, RecursionError):
        return value


def _at(properties: Any, path: str) -> Any:
    value = properties
    for quoted, index, key in _STEP.findall(path):
        step = int(index) if index else json.loads(f'"{quoted}"') if quoted and "\\" in quoted else quoted or key
        try:
            value = _document(value)[step]
        except (LookupError, TypeError):
            return _ABSENT
    return _whole(value)


def _inside(path: str, old: Any, new: Any, *, replaces: bool) -> list[Difference]:
    between = _between_texts if isinstance(old, str) and isinstance(new, str) else _between
    return [Difference(*it, replaces) for it in between(path, old, new)]


def _between(path: str, old: Any, new: Any) -> list[tuple[str, Sign, str, str]]:
    return [(at, sign, shown(a), shown(b)) for at, sign, a, b in _differences(path, old, new)]


# Many stacks have the same documents, event patterns above all.
_between_texts = lru_cache(256)(_between)


_Found = Iterator[tuple[str, Sign, Any, Any]]


def _differences(path: str, old: Any, new: Any) -> _Found:
    if old is _ABSENT or new is _ABSENT:
        if old is not new:
            yield path, "+" if old is _ABSENT else "-", old, new
        return
    old, new = _document(old), _document(new)
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted({*old, *new}):
            yield from _differences(_joined(path, key), old.get(key, _ABSENT), new.get(key, _ABSENT))
    elif isinstance(old, list) and isinstance(new, list):
        yield from _lists(path, old, new)
    elif _key(old) != _key(new):
        yield path, "~", old, new


def _joined(path: str, key: str) -> str:
    if not _BARE.fullmatch(key):
        return f"{path}[{json.dumps(key, ensure_ascii=False)}]"
    return f"{path}.{key}" if path else key


def _lists(path: str, old: Sequence[Any], new: Sequence[Any]) -> _Found:
    """Values that come and go, whatever their place; statements and the like are compared with their former selves."""
    gone, come = _without(old, new), _without(new, old)
    if not gone and not come:
        if [_key(it) for it in old] != [_key(it) for it in new]:
            yield path, "~", old, new
        return
    for before, after, label in _pairs(gone, come, new, same_length=len(old) == len(new)):
        gone.remove(before)
        come.remove(after)
        yield from _differences(f"{path}[{label}]", before, after)
    for value in gone:
        yield path, "-", value, _ABSENT
    for value in come:
        yield path, "+", _ABSENT, value


def _without(values: Sequence[Any], others: Sequence[Any]) -> list[Any]:
    left = Counter(map(_key, others))
    kept: list[Any] = []
    for value in values:
        key = _key(value)
        if left[key]:
            left[key] -= 1
        else:
            kept.append(value)
    return kept


def _key(value: Any) -> str | tuple[str]:
    """What is equal for equal JSON values, and no others: ``1`` and ``true`` differ."""
    return value if isinstance(value, str) else (_json(value),)


def _pairs(
    gone: Sequence[Any], come: Sequence[Any], new: Sequence[Any], *, same_length: bool
) -> list[tuple[Any, Any, str | int]]:
    """Entries of two lists that are one entry changed: by their ``Sid``, else by their order."""
    former = {it["Sid"]: it for it in gone if _is_record(it) and isinstance(it.get("Sid"), str)}
    latter = {it["Sid"]: it for it in come if _is_record(it) and isinstance(it.get("Sid"), str)}
    named = [(former[sid], latter[sid], sid) for sid in former if sid in latter]
    if named or not same_length or not all(map(_is_record, [*gone, *come])):
        return named
    return [(before, after, new.index(after)) for before, after in zip(gone, come, strict=True)]


def _is_record(value: Any) -> bool:
    """Whether a value has parts worth comparing; one key alone is a condition, such as ``{"prefix": "Recon:"}``."""
    return isinstance(value, Mapping) and len(value) > 1
