"""Faults of single config values: each with its key, its value and what was expected, in plain words."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from threatmon.errors import ThreatmonError
from threatmon.model.one_line import one_line
from threatmon.model.settings.sections import FORMS, NAMESPACE, Settings
from threatmon.model.suggestions import did_you_mean

HIDDEN = "the value (hidden, it may hold a token)"
_LONGEST_VALUE = 120  # about one line of a terminal
# What pydantic expected, by its type of error.
_KINDS = {
    "bool_type": "true or false",
    "dict_type": "a map of names to values",
    "int_type": "a whole number",
    "list_type": "a list",
    "model_type": "a map of names to values",
    "string_type": "text",
    "tuple_type": "a list",
}


class Fault(NamedTuple):
    """One thing wrong with the config. ``path`` is the key within the namespace and the keys and indexes below it."""

    path: tuple[str | int, ...]
    text: str

    def __str__(self) -> str:
        """Return the fault as a line of the message: the full key, then what is wrong."""
        key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in self.path)
        return one_line(f"{NAMESPACE}:{key.removeprefix('.')}: {self.text}")


class ConfigFaults(ThreatmonError):  # noqa: N818 - it carries any number of faults and reads as what it reports
    """The stack's config has faults; ``str()`` of it is the whole message for the user."""

    def __init__(self, stack: str, faults: Sequence[Fault]) -> None:
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        super().__init__("\n".join([f"Pulumi.{stack}.yaml has {count}:", *(f"  {fault}" for fault in faults)]))
        self.faults = tuple(faults)


def value_faults(config: Mapping[str, Any]) -> list[Fault]:
    """Return the unknown keys, and the values that are not what their key takes."""
    try:
        Settings.model_validate(config, by_alias=True, by_name=False)
    except ValidationError as error:
        return [_fault(dict(detail)) for detail in error.errors(include_url=False)]
    return []


def shown(value: object) -> str:
    """Return a value as JSON, cut if it is long."""
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 3]}..."


def keys_at(path: Iterable[str | int]) -> list[str]:
    """Return the keys that exist below a path, in the order of the settings."""
    model: type[BaseModel] = Settings
    for part in path:
        if not isinstance(part, int):
            [field] = (field for field in model.model_fields.values() if field.alias == part)
            inner = (field.annotation, *getattr(field.annotation, "__args__", ()))
            model = next(part for part in inner if isinstance(part, type) and issubclass(part, BaseModel))
    keys = [str(field.alias) for field in model.model_fields.values()]
    return [*keys, "alertEmail"] if model is Settings else keys


def _fault(error: Mapping[str, Any]) -> Fault:
    kind, path, value = error["type"], tuple(error["loc"]), error["input"]
    if kind == "literal_error" and path[-1] == "[key]":  # how pydantic marks the key of a map
        path = path[:-1]
    found = HIDDEN if _may_hold_a_token(path, value) else shown(value)
    match kind:
        case "extra_forbidden":
            text = f"is not a known key{did_you_mean(path[-1], keys_at(path[:-1]))}"
        case "missing":
            text = "is required"
        case "literal_error":
            expected = error["ctx"]["expected"].replace("'", "").replace(" or ", ", ")
            text = f"{found} is not one of {expected}{did_you_mean(value, expected.split(', '))}"
        case "string_pattern_mismatch":
            text = f"{found} is not {FORMS[error['ctx']['pattern']]}"
        case _ if kind in _KINDS:
            text = f"{found} is not {_KINDS[kind]}"
        case _:
            text = f"{found} {error['msg'][0].lower()}{error['msg'][1:]}"
    return Fault(path, text)


def _may_hold_a_token(path: Sequence[str | int], value: object) -> bool:
    """Say whether a value is or contains the endpoint of a subscriber, perhaps written under another key.

    So does the webhook of a chat channel where the channel belongs: whoever has its URL can write to the channel.
    """
    match tuple(path):
        case ("alerts",):
            return True
        case ("alerts", "subscribers", *_):
            is_a_word = isinstance(value, str) and re.fullmatch(r"[a-z-]{1,12}", value)
            return path[-1] not in {"protocol", "format"} or not is_a_word
        case ("alerts", "slack" | "teams", *_):
            return "http" in str(value).lower()
        case _:
            return False
