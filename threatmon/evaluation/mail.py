"""The mail of an event, rendered offline as AWS Step Functions does it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jsonata

# Bytes of a state's arguments: https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
ARGUMENTS_QUOTA = 262_144


class FormattingError(ValueError):
    """The expression fails on an event; the state machine sends the plain mail instead."""


@dataclass(frozen=True)
class FormattedMail:
    """What ``sns:publish`` gets: ``attributes`` are the values of the message attributes by name. A chat notification
    has no subject."""

    subject: str | None
    message: str
    attributes: Mapping[str, str]


def render(expression: str, event: Mapping[str, Any]) -> FormattedMail:
    """Return what an expression of :mod:`threatmon.model.mail_formatter` makes of an event.

    Raises :class:`FormattingError` if Step Functions would fail: the evaluation does, its result is undefined, or the
    arguments are too large.
    """
    evaluator = _parsed(expression)
    frame = evaluator.create_frame()
    frame.bind("states", {"input": _as_javascript_reads(event)})
    try:
        result = evaluator.evaluate(None, frame)
    except (
        jsonata.JException,
        RuntimeError,
        ValueError,
        TypeError,
        ArithmeticError,
        LookupError,
        AttributeError,
    ) as error:
        raise FormattingError(f"the expression fails: {error}") from error
    if not isinstance(result, dict) or not isinstance(result.get("Message"), str):
        raise FormattingError(f"the expression gives {json.dumps(result)[:80]}, not a message")
    size = len(json.dumps(result, ensure_ascii=False).encode(errors="surrogatepass"))
    if size > ARGUMENTS_QUOTA:
        raise FormattingError(f"the arguments have {size:,} bytes, Step Functions takes {ARGUMENTS_QUOTA:,}")
    attributes = {name: attribute["StringValue"] for name, attribute in result["MessageAttributes"].items()}
    return FormattedMail(result.get("Subject"), result["Message"], attributes)


@lru_cache(maxsize=8)
def _parsed(expression: str) -> jsonata.Jsonata:
    try:
        return jsonata.Jsonata(expression)
    except jsonata.JException as error:
        raise FormattingError(f"the expression cannot be parsed: {error}") from error


def _as_javascript_reads(event: Mapping[str, Any]) -> Any:
    """Return the event with each number as the double that JavaScript and Java make of it: 5.0 as 5."""
    return json.loads(json.dumps(event), parse_int=_number, parse_float=_number)


def _number(text: str) -> int | float:
    value = float(text)
    return int(value) if value.is_integer() and abs(value) < 2**53 else value
