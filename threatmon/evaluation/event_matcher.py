"""Whether an event matches an event pattern, and if not, which condition stopped it.

Follows https://github.com/aws/event-ruler for the operators that the program's patterns use. Any other operator is
refused: to ignore an unknown one would hide a typing mistake that EventBridge rejects.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

_ABSENT = object()
_FEW = 4


class UnknownOperatorError(ValueError):
    """Refuses a pattern with an operator that this matcher does not know, or a shape that EventBridge refuses."""


def mismatch(pattern: Mapping[str, Any], event: Mapping[str, Any]) -> str | None:
    """Return the first condition of ``pattern`` that ``event`` fails, in words; None if the event matches.

    Raises :class:`UnknownOperatorError` for a pattern that it cannot evaluate, whatever the event is.
    """
    failures: list[str] = []
    for path, conditions in _leaves(pattern):
        values = list(_values(event, path))
        # All are evaluated, so that a wrong condition is refused even beside one that holds.
        held = [_holds(condition, value) for condition in conditions for value in values]
        if not any(held):
            failures.append(f"{path}: {_shown(values[0])} is not {_either(conditions)}")
    return failures[0] if failures else None


def matches(pattern: Mapping[str, Any], event: Mapping[str, Any]) -> bool:
    """Return whether EventBridge would pass the event to the pattern's rule."""
    return mismatch(pattern, event) is None


def _leaves(pattern: Any, prefix: tuple[str, ...] = ()) -> Iterator[tuple["_Path", list[Any]]]:
    if not isinstance(pattern, Mapping) or not pattern:
        raise UnknownOperatorError(f"{'.'.join(prefix) or 'the pattern'}: has no condition")
    for key, value in pattern.items():
        path = _Path((*prefix, key))
        if isinstance(value, Mapping):
            yield from _leaves(value, path)
        elif isinstance(value, list) and value:
            yield path, value
        else:
            raise UnknownOperatorError(f"{path}: a condition is a list with at least one entry, not {_shown(value)}")


class _Path(tuple[str, ...]):
    __slots__ = ()

    def __str__(self) -> str:
        return ".".join(self)


def _values(node: Any, path: tuple[str, ...]) -> Iterator[Any]:
    """Yield the values at ``path``: the elements of a list, or ``_ABSENT`` if there is no value."""
    for key in path:
        node = node.get(key, _ABSENT) if isinstance(node, Mapping) else _ABSENT
    if isinstance(node, list):
        yield from node or [_ABSENT]
    else:
        yield _ABSENT if isinstance(node, Mapping) else node


def _holds(condition: Any, value: Any) -> bool:
    if isinstance(condition, list):
        raise UnknownOperatorError(f"a condition is a value or an operator, not {_shown(condition)}")
    if not isinstance(condition, Mapping):
        return type(condition) is type(value) and condition == value
    if len(condition) != 1 or next(iter(condition)) not in _OPERATORS:
        raise UnknownOperatorError(f"unknown operator: {_shown(condition)}")
    [(operator, operand)] = condition.items()
    return _OPERATORS[operator](operand, value)


def _prefix(operand: Any, value: Any) -> bool:
    if not isinstance(operand, str):
        raise UnknownOperatorError(f"prefix takes a string, not {_shown(operand)}")
    return isinstance(value, str) and value.startswith(operand)


def _exists(operand: Any, value: Any) -> bool:
    if not isinstance(operand, bool):
        raise UnknownOperatorError(f"exists takes true or false, not {_shown(operand)}")
    return (value is not _ABSENT) is operand


_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "=": lambda value, bound: value == bound,
    "<": lambda value, bound: value < bound,
    "<=": lambda value, bound: value <= bound,
    ">": lambda value, bound: value > bound,
    ">=": lambda value, bound: value >= bound,
}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _numeric(operand: Any, value: Any) -> bool:
    pairs = list(zip(operand[::2], operand[1::2], strict=False)) if isinstance(operand, list) else []
    known = all(isinstance(sign, str) and sign in _COMPARISONS and _is_number(bound) for sign, bound in pairs)
    if not pairs or len(operand) % 2 or not known:
        raise UnknownOperatorError(f"numeric takes comparisons and numbers, not {_shown(operand)}")
    return _is_number(value) and all(_COMPARISONS[sign](value, bound) for sign, bound in pairs)


_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {"prefix": _prefix, "exists": _exists, "numeric": _numeric}


def _either(conditions: list[Any]) -> str:
    if len(conditions) > _FEW:
        return f"among the {len(conditions)} listed"
    return " or ".join(map(_shown, conditions))


def _shown(value: Any) -> str:
    """Return a condition or value for a sentence."""
    if value is _ABSENT:
        return "absent"
    if isinstance(value, Mapping) and len(value) == 1:
        [(operator, operand)] = value.items()
        if operator == "exists" and isinstance(operand, bool):
            return "present" if operand else "absent"
        if operator == "numeric" and isinstance(operand, list):
            return " and ".join(f"{sign} {bound}" for sign, bound in zip(operand[::2], operand[1::2], strict=False))
        return f"{operator} {_shown(operand)}"
    return json.dumps(value, default=str)
