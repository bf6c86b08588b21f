"""Answers in place of moto's, at botocore's event hooks.

https://boto3.amazonaws.com/v1/documentation/api/latest/guide/events.html
A `before-call` handler that returns an answer replaces the call; an `after-call` handler may change the answer.
"""

from collections.abc import Callable
from typing import Any

from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders

Params = dict[str, Any]


class Refusal(Exception):  # noqa: N818 - botocore makes the error of it
    """What a service refuses, by the code and message of its API."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message = code, message


def remember(params: Params, context: Params, **_: Any) -> None:
    """Keep a call's parameters for the handlers that come after botocore has written the request."""
    context["asked"] = params


def in_place_of_moto(operation: Callable[[Params], Params | None]) -> Callable[..., Any]:
    """Return a `before-call` handler that answers as `operation` does with the call's parameters.

    None leaves the call to moto; a :class:`Refusal` becomes botocore's `ClientError`.
    """

    def handler(context: Params, **_: Any) -> tuple[AWSResponse, Params] | None:
        try:
            answer = operation(context["asked"])
        except Refusal as refusal:
            return _answered(400, {"Error": {"Code": refusal.code, "Message": refusal.message}})
        return None if answer is None else _answered(200, answer)

    return handler


def _answered(status: int, answer: Params) -> tuple[AWSResponse, Params]:
    return AWSResponse("", status, HTTPHeaders(), None), {**answer, "ResponseMetadata": {"HTTPStatusCode": status}}
