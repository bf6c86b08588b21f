"""The mail of an event, rendered offline as AWS Step Functions does it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from threatmon.evaluation.jsonata_expressions import QueryEvaluationError, evaluate
from threatmon.model.state_machine import QUOTA


class FormattingError(ValueError):
    """The expression fails on an event; the state machine sends the plain mail instead."""


@dataclass(frozen=True)
class FormattedMail:
    """What ``sns:publish`` gets; a chat notification has no subject."""

    subject: str | None
    message: str
    attributes: Mapping[str, str]
    """value of each message attribute, by name"""


def render(expression: str, event: Mapping[str, Any]) -> FormattedMail:
    """Return what an expression of :mod:`threatmon.model.mail_formatter` makes of an event.

    Raise :class:`FormattingError` if Step Functions would fail: the evaluation does, or the arguments are no message
    or are too large.
    """
    try:
        result = evaluate(expression, {"states": {"input": event}})
    except QueryEvaluationError as error:
        raise FormattingError(str(error)) from error
    if not isinstance(result, dict) or not isinstance(result.get("Message"), str):
        raise FormattingError(f"the expression gives {json.dumps(result)[:80]}, not a message")
    size = len(json.dumps(result, ensure_ascii=False).encode(errors="surrogatepass"))
    if size > QUOTA:
        raise FormattingError(f"the arguments have {size:,} bytes, Step Functions takes {QUOTA:,}")
    attributes = {name: attribute["StringValue"] for name, attribute in result["MessageAttributes"].items()}
    return FormattedMail(result.get("Subject"), result["Message"], attributes)
