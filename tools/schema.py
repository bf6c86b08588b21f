"""Generates ``stack.schema.json`` and the README's config table from the settings.

``python -m tools.schema`` writes ``stack.schema.json`` and the README's config table; a test holds them current.
"""

import json
import re
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from threatmon.model import finding_types
from threatmon.model.settings import NAMESPACE, Settings
from threatmon.project import ROOT

SCHEMA_FILE = ROOT / "stack.schema.json"
README_FILE = ROOT / "README.md"
# How the engine writes a secret into a stack file.
_ENCRYPTED = {"type": "object", "properties": {"secure": {"type": "string"}}, "required": ["secure"]}
_TABLE = re.compile(r"(?<=<!-- config table -->\n).*?(?=<!-- end of config table -->)", re.DOTALL)


class _Schema(GenerateJsonSchema):
    """Pydantic's schema, less the titles it makes of field names."""

    def field_title_should_be_set(self, schema: object) -> bool:  # noqa: ARG002 - the base class's signature
        return False


def stack_file_schema() -> dict[str, Any]:
    """Return the JSON schema of a ``Pulumi.<stack>.yaml``."""
    settings = Settings.model_json_schema(schema_generator=_Schema)
    known = [name for name, type_ in finding_types.catalogue().items() if not type_.retired]
    # An editor offers the known types; a family, or a type newer than the catalogue, is accepted too.
    settings["properties"]["findingTypes"]["items"] = {"anyOf": [{"enum": known}, {"type": "string"}]}
    endpoint = settings["$defs"]["AlertSubscriber"]["properties"]["endpoint"]
    endpoint["anyOf"] = [{"type": endpoint.pop("type"), "minLength": endpoint.pop("minLength")}, _ENCRYPTED]
    keys = {f"{NAMESPACE}:{key}": schema for key, schema in settings["properties"].items()}
    address = keys[f"{NAMESPACE}:alertEmails"]["items"]
    keys[f"{NAMESPACE}:alertEmail"] = address | {"description": "shorthand for alertEmails with one address"}
    config: dict[str, Any] = {
        "type": "object",
        "properties": {
            "aws:region": {"type": "string", "description": "AWS Region to deploy to"},
            "aws:allowedAccountIds": {
                "type": "array",
                "items": {"type": "string", "pattern": r"^\d{12}$"},
                "minItems": 1,
                "description": "the accounts this stack may touch",
            },
            **keys,
        },
        "patternProperties": {f"^(?!{NAMESPACE}:)": True},
        "additionalProperties": False,
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Stack file of {NAMESPACE}",
        "type": "object",
        "properties": {"config": config},
        "$defs": settings["$defs"],
    }


def config_table() -> str:
    """Return the README's table of config keys, in Markdown."""
    rows = ["| key | default | meaning |", "|---|---|---|", *_rows(Settings, "")]
    return "\n".join(rows) + "\n"


def _rows(model: type[BaseModel], prefix: str) -> list[str]:
    rows: list[str] = []
    for field in model.model_fields.values():
        key = f"{prefix}{field.alias}"
        default = field.get_default(call_default_factory=True)
        if isinstance(default, BaseModel):
            rows += _rows(type(default), f"{key}.")
        else:
            shown = "" if default is None else f"`{json.dumps(default)}`"
            rows.append(f"| `{key}` | {shown} | {field.description} |")
    return rows


def schema_text() -> str:
    """Return ``stack.schema.json`` as it is committed."""
    return json.dumps(stack_file_schema(), indent=2) + "\n"


def with_current_table(readme: str) -> str:
    """Return the README with its config table as the settings have it."""
    return _TABLE.sub(lambda _: config_table(), readme)


if __name__ == "__main__":
    SCHEMA_FILE.write_text(schema_text(), encoding="utf-8")
    README_FILE.write_text(with_current_table(README_FILE.read_text(encoding="utf-8")), encoding="utf-8")
