"""A program that registers what another one does, and nothing else: what Pulumi itself costs."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

Call = Mapping[str, Any]
"""A line of `bench/mocked.py --record`."""


def bare_program(calls: Sequence[Call]) -> str:
    """Return a program of plain calls with the recorded values; what depends on resources is an output of them."""
    variables = {call["urn"]: f"r{number}" for number, call in enumerate(calls) if "urn" in call}
    lines = ["import pulumi", "import pulumi_aws as aws", *(_line(call, variables) for call in calls)]
    return "\n".join(lines)


def _line(call: Call, variables: Mapping[str, str]) -> str:
    if "invoke" in call:
        return f"aws.{_snake_case(call['invoke'].rpartition(':')[2])}_output()"
    module, _, class_ = re.split("[:/]", call["type"])[1:]
    arguments = [repr(call["name"])]
    for name, value in call["inputs"].items():
        urns = call["by_property"].get(name)
        arguments.append(f"{_snake_case(name)}={_output(value, urns, variables) if urns else repr(_whole(value))}")
    further = set(call["dependencies"]).difference(*call["by_property"].values())
    if further:
        names = ", ".join(sorted(variables[urn] for urn in further))
        arguments.append(f"opts=pulumi.ResourceOptions(depends_on=[{names}])")
    return f"{variables[call['urn']]} = aws.{module}.{class_}({', '.join(arguments)})"


def _output(value: Any, urns: Sequence[str], variables: Mapping[str, str]) -> str:
    return f"pulumi.Output.all({', '.join(f'{variables[urn]}.id' for urn in urns)}).apply(lambda _: {_whole(value)!r})"


def _whole(value: Any) -> Any:
    """Return the value with the integers that protobuf made floats of."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {name: _whole(entry) for name, entry in value.items()}
    return [_whole(entry) for entry in value] if isinstance(value, list) else value


def _snake_case(name: str) -> str:
    return re.sub("(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
