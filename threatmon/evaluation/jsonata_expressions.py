"""JSONata expressions as AWS Step Functions evaluates them, by jsonata-python.

https://docs.aws.amazon.com/step-functions/latest/dg/transforming-data.html
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any

from jsonata import Jsonata, Utils
from jsonata.functions import Functions
from jsonata.jexception import JException

_START, _END = "{%", "%}"


class QueryEvaluationError(ValueError):
    """Says why an expression has no result: Step Functions would fail with ``States.QueryEvaluationError``."""


def resolve(value: Any, bindings: Mapping[str, Any]) -> Any:
    """Return a field of a state with every ``{% expression %}`` in it replaced by its result.

    ``bindings`` are the variables by name: ``states`` and those a state assigned. Raise :class:`QueryEvaluationError`.
    """
    if (expression := _expression(value)) is not None:
        return evaluate(expression, bindings)
    if isinstance(value, Mapping):
        return {key: resolve(entry, bindings) for key, entry in value.items()}
    return [resolve(entry, bindings) for entry in value] if isinstance(value, list) else value


def expressions(value: Any) -> Iterator[str]:
    """Yield every expression in a field of a state, at any depth."""
    if (expression := _expression(value)) is not None:
        yield expression
    elif isinstance(value, Mapping | list):
        for entry in value.values() if isinstance(value, Mapping) else value:
            yield from expressions(entry)


def _expression(value: Any) -> str | None:
    """Return what stands between the marks of an expression; None if a value is none."""
    marked = isinstance(value, str) and value.startswith(_START) and value.endswith(_END)
    return value.removeprefix(_START).removesuffix(_END) if marked else None


def syntax_error(expression: str) -> str | None:
    """Return why an expression cannot be parsed; None if it can."""
    try:
        _parsed(expression)
    except (JException, RecursionError) as error:
        return str(error)
    return None


def evaluate(expression: str, bindings: Mapping[str, Any]) -> Any:
    """Return the result of an expression. Raise :class:`QueryEvaluationError`, also if the result is undefined."""
    try:
        result = _parsed(expression).evaluate(None, {name: _as_read(value) for name, value in bindings.items()})
    except (JException, RecursionError, ArithmeticError, TypeError, ValueError, LookupError, AttributeError) as error:
        raise QueryEvaluationError(f"{error} in the expression {expression[:200]!r}") from error
    if result is None:
        raise QueryEvaluationError(f"the result of the expression {expression[:200]!r} is undefined")
    return _as_json(result)


class _Frame(Jsonata.Frame):
    """A scope that says at once that no hooks are set; without it the port asks every outer scope at every step."""

    def __init__(self, parent: Jsonata.Frame | None) -> None:
        super().__init__(parent)
        self.bindings.update(__evaluate_entry=None, __evaluate_exit=None)


class _Functions(Functions):
    """Functions of the port that do as the reference implementation does."""

    @staticmethod
    def string(arg: Any, prettify: bool | None) -> str | None:  # noqa: FBT001 (called by the port)
        """Write JSON as JavaScript does: no character is escaped that need not be, and no exponent below 1e21."""
        if not isinstance(arg, dict | list) or getattr(arg, "outer_wrapper", False) or prettify:
            return Functions.string(arg, prettify)
        return _written(arg)


_STRING = Jsonata.JNativeFunction("string", "<x-b?:s>", _Functions, None)


class _Evaluator(Jsonata):
    def create_frame(self, enclosing_environment: Jsonata.Frame | None = None) -> Jsonata.Frame:
        return _Frame(enclosing_environment)


@lru_cache(maxsize=256)  # all of several machines; each takes long to parse
def _parsed(expression: str) -> Jsonata:
    parsed = _Evaluator(expression)
    parsed.set_output_convert_nulls(False)  # else null and undefined would be the same
    parsed.assign("eval", None)  # Step Functions has none
    parsed.assign("string", _STRING)
    return parsed


def _as_read(value: Any) -> Any:
    """Return a JSON value with nulls of its own kind, and each number as the double that Step Functions makes of it."""
    if value is None:
        return Utils.NULL_VALUE
    if isinstance(value, Mapping):
        return {key: _as_read(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_as_read(entry) for entry in value]
    return value if isinstance(value, str | bool) else _as_double(float(value))


def _as_double(number: float) -> int | float:
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def _written(value: Any) -> str:
    """Return a value of the port as JSON, with numbers of 15 digits, which may be too many for a double."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{_quoted(key)}:{_written(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_written, value)) + "]"
    if isinstance(value, str):
        return _quoted(value)
    if value is Utils.NULL_VALUE or isinstance(value, bool):
        return "null" if value is Utils.NULL_VALUE else str(value).lower()
    return _digits(float(f"{value:.15g}")) if isinstance(value, int | float) else '""'  # a function


def _quoted(text: str) -> str:
    return re.sub("[\ud800-\udfff]", lambda half: f"\\u{ord(half[0]):x}", json.dumps(text, ensure_ascii=False))


def _digits(number: float) -> str:
    if not math.isfinite(number):
        return "null"
    if number == 0 or _EXPONENT_BELOW <= abs(number) < _EXPONENT_FROM:
        return f"{Decimal(repr(number)).normalize():f}"
    return re.sub("e([+-])0", r"e\1", repr(number))


_EXPONENT_BELOW, _EXPONENT_FROM = 1e-6, 1e21


def _as_json(value: Any) -> Any:
    if value is Utils.NULL_VALUE:
        return None
    if isinstance(value, Mapping):
        return {key: _as_json(entry) for key, entry in value.items()}
    return [_as_json(entry) for entry in value] if isinstance(value, list) else value
