"""What the program registers for each config of ``recordings/configs.py`` is what ``recordings/*.json`` says.

What is deployed changes on purpose: record again, and review the diff:

    pytest tests/project/test_recorded_registrations.py --record

``committed-stack.json`` is a whole recording: URN -> property -> value, and the stack's outputs. Each other file has
what differs from it; null is a property that is absent. Properties that are empty or false are left out. For readable
diffs, a text of several lines is ``{"$lines": [...]}``, and a JSON text is its document below the key of ``WRITERS``
that writes exactly this text. Of a formatter there is what comes before its texts (``$before``) and what these know of
the stack (``$options``): the texts have tests of their own.
"""

import json
from collections.abc import Mapping
from difflib import unified_diff
from typing import Any

import pytest
from harness import AwsMocks, PreviewMocks, run
from pulumi.output import Unknown
from recordings.configs import CONFIGS
from recordings.reading import BASE, FOLDER, WRITERS, Recording, recorded

from threatmon.emulator.program import Registration
from threatmon.model.settings import Settings

_MAPS = ("inputs", "property_dependencies")


def record(name: str) -> Recording:
    """Run the program with a config of ``CONFIGS``, and return what it registers."""
    config, region, partition, preview = CONFIGS[name]
    deployed = run(config, mocks=(PreviewMocks if preview else AwsMocks)(region, partition), preview=preview)
    properties = {urn: _properties(registration) for urn, registration in deployed.resources.items()}
    return _readable({"outputs": deployed.outputs, **properties})


def _properties(registration: Registration) -> dict[str, Any]:
    fields = {key: value for key, value in vars(registration).items() if key not in ("urn", *_MAPS)}
    maps = {f"{key}.{name}": value for key in _MAPS for name, value in getattr(registration, key).items()}
    # False is a value of an input, but of nothing else.
    return {key: value for key, value in {**fields, **maps}.items() if value or key.startswith("inputs.")}


def _readable(value: Any) -> Any:
    """Return ``value`` as JSON, sorted except for lists and for documents, whose order shows in their text."""
    match value:
        case Mapping():
            return {key: _readable(item) for key, item in sorted(value.items())}
        case frozenset():
            return sorted(value)
        case list() | tuple():
            return [_readable(item) for item in value]
        case Unknown():
            return "$unknown"
        case str():
            return _readable_text(value)
        case _:
            return value


def _readable_text(text: str) -> Any:
    if text.startswith(("{", "[")):
        document = json.loads(text)
        return next(
            (
                {key: _without_texts(document)}
                for key, write in WRITERS.items()
                if key != "$lines" and write(document) == text
            ),
            text,
        )
    return {"$lines": text.split("\n")} if "\n" in text else text


def _without_texts(value: Any) -> Any:
    match value:
        case Mapping():
            return {key: _without_texts(item) for key, item in value.items()}
        case list():
            return [_without_texts(item) for item in value]
        case str() if "$options:=" in value:
            before, _, after = value.partition("$options:=")
            options, _ = json.JSONDecoder().raw_decode(after)
            return {"$before": before, "$options": {key: options[key] for key in options if key != "known"}}
        case _:
            return value


def _shown(value: object) -> str:
    """Return a value as its file has it. It is compared as this text, since the order of a document's keys counts."""
    return json.dumps(value, indent=1, ensure_ascii=False)


def changes(before: Recording, after: Recording) -> Recording:
    """Return the properties of ``after`` that differ from ``before``; None is one that only ``before`` has."""
    differing = {
        urn: {
            key: after.get(urn, {}).get(key)
            for key in sorted({*before.get(urn, {}), *after.get(urn, {})})
            if _shown(before.get(urn, {}).get(key)) != _shown(after.get(urn, {}).get(key))
        }
        for urn in sorted({*before, *after})
    }
    return {urn: properties for urn, properties in differing.items() if properties}


@pytest.mark.parametrize("name", CONFIGS)
def test_what_is_registered_is_what_was_recorded(name: str, pytestconfig: pytest.Config) -> None:
    now = record(name)
    if pytestconfig.getoption("record"):
        base = record(BASE) if name != BASE else {}
        (FOLDER / f"{name}.json").write_text(_shown(changes(base, now)) + "\n", encoding="utf-8")
    before = recorded(name)
    differences = [
        _difference(urn, key, before, now) for urn, properties in changes(before, now).items() for key in properties
    ]
    if differences:
        pytest.fail("\n\n".join(["- recorded, + registered now", *differences]), pytrace=False)


def _difference(urn: str, key: str, before: Recording, now: Recording) -> str:
    old, new = (_shown(recording.get(urn, {}).get(key)).splitlines() for recording in (before, now))
    _, _, *lines = unified_diff(old, new, lineterm="")
    return "\n".join([urn, f"  {key}", *lines])


def test_the_configs_set_every_setting() -> None:
    schema = Settings.model_json_schema()
    keys = {key for model in (schema, *schema["$defs"].values()) for key in model["properties"]}
    configs = json.dumps([recorded_config.config for recorded_config in CONFIGS.values()])
    assert {key for key in keys if f'"{key}": ' not in configs} == set()


def test_each_recording_is_of_a_config() -> None:
    assert {file.stem for file in FOLDER.glob("*.json")} == set(CONFIGS)
