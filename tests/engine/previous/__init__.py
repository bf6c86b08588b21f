"""The program before this one, by what it registered; Pulumi named most of it, and ended the names in seven digits.

``registrations.json`` is its last recording (tests/recordings) of the config ``subscribers``.
"""

import hashlib
import json
import re
import shutil
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from engine.stacks import Stack
from harness import AwsMocks
from recordings.reading import Recording, written

FOLDER = Path(__file__).parent
_GIVEN = ("arn", "id", "keyId", "name", "url")


def deploy(stack: Stack) -> None:
    """Deploy what it registered, and put the program of this checkout back into the stack's folder.

    The account has to be that of the recording.
    """
    recording = json.loads((FOLDER / "registrations.json").read_text(encoding="utf-8"))
    main, kept = stack.folder / "__main__.py", stack.folder / "kept.py"
    main.rename(kept)
    shutil.copy(FOLDER / "program.py", main)
    registrations = json.dumps(_registrations(recording))
    (stack.folder / "registrations.json").write_text(registrations, encoding="utf-8")
    stack.up().succeeded()
    kept.replace(main)


def _registrations(resources: Recording) -> list[dict[str, Any]]:
    """Return what `program.py` reads, each resource after those it needs."""
    given = {urn: _given(properties) for urn, properties in resources.items() if properties.get("custom")}
    needs = {urn: {*_depends_on(properties), properties.get("parent")} for urn, properties in resources.items()}
    return [
        {
            "urn": urn,
            "type": resources[urn]["type"],
            "name": resources[urn]["name"],
            "parent": resources[urn].get("parent"),
            "custom": resources[urn].get("custom", False),
            "dependsOn": _depends_on(resources[urn]),
            "secrets": resources[urn].get("secret_inputs", []),
            "inputs": {
                key: _referring(value, {used: given[used] for used in _used(resources[urn], key)})
                for key, value in _inputs(resources[urn]).items()
            },
        }
        for urn in TopologicalSorter(needs).static_order()
        if urn in resources
    ]


def _inputs(properties: dict[str, Any]) -> dict[str, Any]:
    prefix = "inputs."
    return {key.removeprefix(prefix): written(value) for key, value in properties.items() if key.startswith(prefix)}


def _depends_on(properties: dict[str, Any]) -> list[str]:
    return properties.get("depends_on", [])


def _used(properties: dict[str, Any], key: str) -> list[str]:
    return properties.get(f"property_dependencies.{key}", [])


def _given(properties: dict[str, Any]) -> dict[str, str]:
    """Return the texts that a recorded resource gives to others -> the attribute."""
    digest = hashlib.sha256(f"{properties['type']} {properties['name']}".encode()).hexdigest()
    named = {"name": f"{properties['name']}-{digest[:7]}", **_inputs(properties)}
    id_, state = AwsMocks().state(properties["type"], properties["name"], named)
    values = {**state, "id": id_}
    return {values[attribute]: attribute for attribute in _GIVEN if isinstance(values.get(attribute), str)}


def _referring(value: Any, given: dict[str, dict[str, str]]) -> Any:
    """Return a value in which the texts of other resources are references to them."""
    if isinstance(value, list):
        return [_referring(item, given) for item in value]
    if isinstance(value, dict):
        return {key: _referring(item, given) for key, item in value.items()}
    references = {text: [urn, attribute] for urn, texts in given.items() for text, attribute in texts.items()}
    if not isinstance(value, str) or not references:
        return value
    longest_first = sorted(references, key=len, reverse=True)
    parts = re.split(f"({'|'.join(map(re.escape, longest_first))})", value)
    return {"$parts": [references.get(part, part) for part in parts if part]} if len(parts) > 1 else value
