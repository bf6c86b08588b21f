"""Functions of values that are known only once their resources exist."""

import json
from collections.abc import Callable
from typing import Any, TypeVar

import pulumi

T = TypeVar("T")


def result_of(function: Callable[..., T], **arguments: pulumi.Input[Any]) -> pulumi.Output[T]:
    """Return what ``function`` returns for these arguments."""
    return pulumi.Output.all(**arguments).apply(lambda known: function(**known))


def json_of(function: Callable[..., Any], **arguments: pulumi.Input[Any]) -> pulumi.Output[str]:
    """Return what ``function`` returns for these arguments, as JSON."""
    return result_of(function, **arguments).apply(json.dumps)
