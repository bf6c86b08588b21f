"""The text of a new stack file: what was chosen, and every other key as a comment with what holds without it.

Keys, defaults and descriptions are those of ``threatmon.model.settings``, so a new setting is in the next file.
Names come from tags, which hold any text; they stand in comments alone.
"""

import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import CommentMark
from ruamel.yaml.scalarstring import DoubleQuotedScalarString
from ruamel.yaml.tokens import CommentToken

from threatmon.model.settings import NAMESPACE, Settings
from threatmon.reports import one_line
from threatmon.stacks import yaml
from threatmon.stacks.choice import Choice

_WIDTH = 120
_INDENT = "  "
_REGION = "the Region to deploy to"
_ACCOUNTS = (
    "the account this stack may touch, and no other. Credentials come from the environment (AWS_PROFILE); "
    "aws:profile is not set, because each person calls a profile differently"
)
_TAGS = "tags of all that is made"
_SETTINGS = "What follows are all settings. A key behind a # is not set, and shows what holds without it."


def text(choice: Choice, before: str = "") -> str:
    """Return the stack file; it keeps what a file ``before`` it has besides its config.

    Above all, that is what its secrets are encrypted with.
    """
    kept: Mapping[str, Any] = yaml.round_trip().load(before) or {}
    document = CommentedMap((key, value) for key, value in kept.items() if key != "config")
    document["config"] = _config(choice)
    start = (
        "# yaml-language-server: $schema=./stack.schema.json",
        f"# Stack {choice.stack}, written by `threatmon init` from what the account had.",
    )
    _comment(document, next(iter(document)), start)
    return yaml.write(document)


def _config(choice: Choice) -> CommentedMap:
    config, accounts = CommentedMap(), CommentedSeq([DoubleQuotedScalarString(choice.account_id)])
    accounts.fa.set_flow_style()
    tags = {"tags": {"project": NAMESPACE, "stack": choice.stack}}
    above: list[str] = []
    for key, value, description in (
        ("aws:region", choice.region, _REGION),
        ("aws:allowedAccountIds", accounts, _ACCOUNTS),
        ("aws:defaultTags", tags, _TAGS),
    ):
        config[key] = value
        _comment(config, key, [*above, *_prose(description, _INDENT)])
        above = [""]
    remarks = {
        **{network.id: network.description for network in choice.networks},
        "detector": " ".join(choice.detector.remarks),
    }
    comments = [*above, *_prose(_SETTINGS, _INDENT)]
    _add_settings(config, Settings, choice.config, _INDENT, comments, remarks, f"{NAMESPACE}:")
    return config


def _add_settings(
    section: CommentedMap,
    model: type[BaseModel],
    given: Mapping[str, Any],
    indent: str,
    comments: list[str],
    remarks: Mapping[str, str] = {},
    prefix: str = "",
) -> list[str]:
    """Add the given fields of a model, each below ``comments``, and return the comments that belong below the last.

    The engine rewrites the file when it sets a key, moves comments at its end out of the config, and gives the lines of
    a comment one indentation. So the last setting has to be given, and what is indented is so behind the #.
    """
    for field in model.model_fields.values():
        key, default = str(field.alias), field.get_default(call_default_factory=True)
        name, nested = f"{prefix}{key}", CommentedMap()
        comments += [*([""] if prefix else []), *_prose(str(field.description), indent)]
        comments += _prose(remarks.get(key, ""), indent)
        if key not in given:
            value = default
            if isinstance(default, BaseModel):
                value, defaults = nested, default.model_dump(by_alias=True)
                _add_settings(nested, type(default), defaults, _INDENT, [])
            comments += [f"{indent}#{line}" for line in yaml.write({name: value}).splitlines()]
            continue
        below: list[str] = []
        if isinstance(default, BaseModel):
            below = _add_settings(nested, type(default), given[key], indent + _INDENT, [])
        section[name] = nested or _with_remarks(given[key], remarks)
        _comment(section, name, comments)
        comments = below
    return comments


def _with_remarks(value: Any, remarks: Mapping[str, str]) -> Any:
    """Return a value that, if it is a list, has the remark about each entry behind it."""
    if not isinstance(value, list):
        return value
    entries = CommentedSeq(value)
    for index, entry in enumerate(value):
        if remark := remarks.get(entry):
            entries.yaml_add_eol_comment(f"# {remark}", index, column=0)
    return entries


def _comment(section: CommentedMap, key: str, lines: Iterable[str]) -> None:
    """Put lines above a key; not by ruamel's own method, which would put a space behind each #."""
    section.ca.items[key] = [None, [CommentToken(f"{line}\n", CommentMark(0)) for line in lines], None, None]


def _prose(words: str, indent: str) -> list[str]:
    wrapper = textwrap.TextWrapper(_WIDTH - len(indent) - 2, break_long_words=False, break_on_hyphens=False)
    return [f"{indent}# {line}" for line in wrapper.wrap(one_line(words))]
