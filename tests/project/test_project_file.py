"""Pulumi.yaml says the same as the settings do."""

import re
import types
from collections.abc import Mapping
from typing import Any, get_args, get_origin

import pytest
import yaml
from pydantic import BaseModel

from threatmon.emulator.program import PROJECT
from threatmon.model.settings import NAMESPACE, ConfigFaults, Settings, parse
from threatmon.project import ROOT as PROJECT_ROOT

PROJECT_FILE: Mapping[str, Any] = yaml.safe_load((PROJECT_ROOT / "Pulumi.yaml").read_text(encoding="utf-8"))
# Keys with a namespace are what a team's stacks share.
DECLARED: Mapping[str, Mapping[str, Any]] = {
    key: declared for key, declared in PROJECT_FILE["config"].items() if ":" not in key
}
PROMPTS: Mapping[str, Mapping[str, str]] = PROJECT_FILE["template"]["config"]
FIELDS = {str(field.alias): (name, field) for name, field in Settings.model_fields.items()}
# The engine calls a key that is declared without a default missing.
WITHOUT_A_STATIC_DEFAULT = {"alertEmails", "findingTypes", "minimumSeverity"}


def engine_type(annotation: Any) -> str | None:
    """Return the type Pulumi.yaml gives a setting; lists have none, as `pulumi new` stores JSON text for them."""
    if isinstance(annotation, types.UnionType):
        annotation = next(part for part in get_args(annotation) if part is not type(None))
    origin = get_origin(annotation) or annotation
    if origin is tuple:
        return None
    if origin is bool:
        return "boolean"
    if origin is dict or (isinstance(origin, type) and issubclass(origin, BaseModel)):
        return "object"
    return "string"


def test_project_namespace_and_harness_have_one_name() -> None:
    assert PROJECT_FILE["name"] == NAMESPACE == PROJECT


def test_the_program_runs_on_python_from_the_virtualenv_that_make_installs() -> None:
    assert PROJECT_FILE["runtime"] == {"name": "python", "options": {"toolchain": "pip", "virtualenv": ".venv"}}
    assert re.search(r"^VENV := \.venv$", (PROJECT_ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


def test_every_setting_with_a_static_default_is_declared_and_no_other() -> None:
    assert DECLARED.keys() == FIELDS.keys() - WITHOUT_A_STATIC_DEFAULT


@pytest.mark.parametrize("key", DECLARED)
def test_a_declared_default_is_of_a_value_the_settings_take(key: str) -> None:
    """It is the settings' own one, unless a team has put its own there."""
    assert Settings.model_validate({key: DECLARED[key]["default"]})


@pytest.mark.parametrize("key", DECLARED)
def test_a_declared_type_is_the_settings_own(key: str) -> None:
    assert DECLARED[key].get("type") == engine_type(FIELDS[key][1].annotation)


def test_every_declared_key_and_every_prompt_says_what_it_is_for() -> None:
    assert not [key for key, entry in {**DECLARED, **PROMPTS}.items() if not entry.get("description")]


def test_a_new_project_is_asked_for_region_account_subnets_address_and_finding_types() -> None:
    assert list(PROMPTS) == [
        "aws:region",
        "aws:allowedAccountIds",
        "threat-monitor:subnetIds",
        "threat-monitor:alertEmail",
        "threat-monitor:findingTypes",
    ]


def sample(key: str) -> str:
    """Return what `pulumi new` stores, always text: the default, or the list in the prompt's description."""
    prompt = PROMPTS[key]
    listed = re.search(r"\[.*]", prompt["description"])
    return prompt["default"] if "default" in prompt else listed[0] if listed else "security@example.com"


def answers() -> dict[str, str]:
    return {key.removeprefix(f"{NAMESPACE}:"): sample(key) for key in PROMPTS if key.startswith(NAMESPACE)}


def test_the_sample_answers_parse() -> None:
    settings, warnings = parse(answers())
    assert settings.subnet_ids == ("subnet-0123456789abcdef0",)
    assert settings.alert_emails == ("security@example.com",)
    assert settings.finding_types == ("Recon:EC2/Portscan",)
    assert warnings == []


@pytest.mark.parametrize("key", ["subnetIds", "findingTypes"])
def test_a_bare_answer_instead_of_a_list_is_a_fault(key: str) -> None:
    bare = {"subnetIds": "subnet-0123456789abcdef0", "findingTypes": "Recon:EC2/Portscan"}[key]
    with pytest.raises(ConfigFaults, match=f"threat-monitor:{key}: .* is not a list"):
        parse({**answers(), key: bare})
