"""Register what ``registrations.json`` says: the program as it was before, as far as the engine can see."""

import json
from pathlib import Path
from typing import Any

import pulumi

_ATTRIBUTES = ("arn", "keyId", "name", "url")  # what else a resource gives to others, besides its id
made: dict[str, pulumi.Resource] = {}


def _value(recorded: Any) -> Any:
    """Return an input; ``$parts`` are those of a text, an attribute of a resource as its URN and name."""
    if isinstance(recorded, list):
        return [_value(item) for item in recorded]
    if not isinstance(recorded, dict):
        return recorded
    if "$parts" not in recorded:
        return {key: _value(item) for key, item in recorded.items()}
    parts = [part if isinstance(part, str) else pulumi.get(made[part[0]], part[1]) for part in recorded["$parts"]]
    return pulumi.Output.concat(*parts)


for registration in json.loads(Path("registrations.json").read_text(encoding="utf-8")):
    opts = pulumi.ResourceOptions(
        parent=made.get(registration["parent"]), depends_on=[made[urn] for urn in registration["dependsOn"]]
    )
    type_, name = registration["type"], registration["name"]
    if registration["custom"]:
        inputs = {key: _value(value) for key, value in registration["inputs"].items()}
        secrets = {key: pulumi.Output.secret(inputs[key]) for key in registration["secrets"]}
        properties: dict[str, Any] = {**dict.fromkeys(_ATTRIBUTES), **inputs, **secrets}
        made[registration["urn"]] = pulumi.CustomResource(type_, name, properties, opts)
    else:
        made[registration["urn"]] = pulumi.ComponentResource(type_, name, None, opts)
