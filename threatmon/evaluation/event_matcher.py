"""Whether an event matches an event pattern, and if not, which condition stopped it.

Follows https://github.com/aws/event-ruler for the operators that the program's patterns use. Any other operator is
refused: to ignore an unknown one would hide a typing mistake that EventBridge rejects.
"""

import json
import operator
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
    # All are evaluated, so that a wrong condition is refused even beside one that holds.
    return next(iter(list(_failures(pattern, event))), None)


def matches(pattern: Mapping[str, Any], event: Mapping[str, Any]) -> bool:
    """Return whether EventBridge would pass the event to the pattern's rule."""
    return mismatch(pattern, event) is None


def _failures(pattern: Any, node: Any, parents: str = "") -> Iterator[str]:
    if not isinstance(pattern, Mapping) or not pattern:
        raise UnknownOperatorError(f"{parents.removesuffix('.') or 'the pattern'}: has no condition")
    for key, conditions in pattern.items():
        path = parents + key
        value = node.get(key, _ABSENT) if isinstance(node, Mapping) else _ABSENT
        if isinstance(conditions, Mapping):
            yield from _failures(conditions, value, f"{path}.")
        elif not isinstance(conditions, list) or not conditions:
            raise UnknownOperatorError(
                f"{path}: a condition is a list with at least one entry, not {_shown(conditions)}"
            )
        else:
            values: list[Any] = value if isinstance(value, list) else [_ABSENT if isinstance(value, Mapping) else value]
            values = values or [_ABSENT]
            held = [_holds(condition, value) for condition in conditions for value in values]
            if not any(held):
                yield f"{path}: {_shown(values[0])} is not {_either(conditions)}"


def _holds(condition: Any, value: Any) -> bool:
    if isinstance(condition, list):
        raise UnknownOperatorError(f"a condition is a value or an operator, not {_shown(condition)}")
    if not isinstance(condition, Mapping):
        return type(condition) is type(value) and condition == value
    if len(condition) != 1 or next(iter(condition)) not in _OPERATORS:
        raise UnknownOperatorError(f"unknown operator: {_shown(condition)}")
    [(name, operand)] = condition.items()
    return _OPERATORS[name](operand, value)


def _prefix(operand: Any, value: Any) -> bool:
    if not isinstance(operand, str):
        raise UnknownOperatorError(f"prefix takes a string, not {_shown(operand)}")
    return isinstance(value, str) and value.startswith(operand)


def _exists(operand: Any, value: Any) -> bool:
    if not isinstance(operand, bool):
        raise UnknownOperatorError(f"exists takes true or false, not {_shown(operand)}")
    return (value is not _ABSENT) is operand


_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
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
        [(name, operand)] = value.items()
        if name == "exists" and isinstance(operand, bool):
            return "present" if operand else "absent"
        if name == "numeric" and isinstance(operand, list):
            return " and ".join(f"{sign} {bound}" for sign, bound in zip(operand[::2], operand[1::2], strict=False))
        return f"{name} {_shown(operand)}"
    return json.dumps(value, default=str)
