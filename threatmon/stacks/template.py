"""The text of a new stack file: the chosen settings, and every other key as a comment with its default.

Keys, defaults and descriptions are those of ``threatmon.model.settings``, so a new setting is in the next file.
Names come from tags, which hold any text; they stand in comments alone.
"""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import CommentMark
from ruamel.yaml.scalarstring import DoubleQuotedScalarString
from ruamel.yaml.tokens import CommentToken

from threatmon.model.finding_types import EVERYTHING
from threatmon.model.one_line import one_line
from threatmon.model.settings import NAMESPACE, Settings
from threatmon.stacks import yaml
from threatmon.stacks.detector_choice import DetectorChoice
from threatmon.stacks.networks import Network

_WIDTH = 117  # and three characters more where a section is commented out
_INDENT = "  "
_DESCRIPTIONS = {
    "aws:region": "the Region to deploy to",
    "aws:allowedAccountIds": "the account this stack may touch, and no other. Credentials come from the environment "
    "(AWS_PROFILE); aws:profile is not set, because each person calls a profile differently",
    "aws:defaultTags": "tags of all that is made",
}
_SETTINGS = "What follows are all settings. A key behind a # is not set, and shows what holds without it."


@dataclass(frozen=True)
class NewStackFile:
    """The chosen content of a new stack file."""

    stack: str
    account_id: str
    region: str
    networks: Sequence[Network]
    emails: Sequence[str]
    detector: DetectorChoice
    finding_types: Sequence[str] = ()
    """none for the default: all from medium upwards"""

    @property
    def config(self) -> dict[str, Any]:
        """The keys of the namespace that are set, as ``threatmon.model.settings.parse`` takes them."""
        # Types that are set count from low upwards, so the default is written out as a whole.
        everything = {"findingTypes": [EVERYTHING], "minimumSeverity": "medium"}
        config: dict[str, Any] = {
            "subnetIds": [network.id for network in self.networks if not network.is_vpc],
            "vpcIds": [network.id for network in self.networks if network.is_vpc],
            "alertEmails": list(self.emails),
            **({"findingTypes": list(self.finding_types)} if self.finding_types else everything),
            "detector": {"mode": self.detector.mode, **({"id": self.detector.id} if self.detector.id else {})},
            "protectionPlans": dict(self.detector.plans),
            "findingPublishingFrequency": self.detector.frequency,
            "flowLogs": {"keepOnDestroy": True},
            "health": {"enabled": True},
            "protect": True,
        }
        return {key: value for key, value in config.items() if value}

    @property
    def overlaps(self) -> list[str]:
        """Subnets whose VPC is chosen as a whole, so that their traffic would be recorded twice."""
        vpcs = {network.id for network in self.networks if network.is_vpc}
        return [network.id for network in self.networks if not network.is_vpc and network.vpc_id in vpcs]


def text(choice: NewStackFile, before: str = "") -> str:
    """Return the text of the stack file; all but the config of the file ``before`` stays, as what encrypts secrets."""
    kept: Mapping[str, Any] = yaml.round_trip().load(before) or {}
    document = CommentedMap((key, value) for key, value in kept.items() if key != "config")
    document["config"] = _config(choice)
    start = (
        "# yaml-language-server: $schema=./stack.schema.json",
        f"# Stack {choice.stack}, written by `threatmon init` from what the account had.",
    )
    _comment(document, next(iter(document)), start)
    return yaml.write(document)


def _config(choice: NewStackFile) -> CommentedMap:
    accounts = CommentedSeq([DoubleQuotedScalarString(choice.account_id)])
    accounts.fa.set_flow_style()
    tags = {"project": NAMESPACE, "stack": choice.stack}
    values = {"aws:region": choice.region, "aws:allowedAccountIds": accounts, "aws:defaultTags": {"tags": tags}}
    config, comments = CommentedMap(), list[str]()
    for key, description in _DESCRIPTIONS.items():
        config[key] = values[key]
        _comment(config, key, [*comments, *_prose(description, _INDENT)])
        comments = [""]
    remarks = {network.id: network.description for network in choice.networks}
    remarks["detector"] = " ".join(choice.detector.remarks)
    comments += _prose(_SETTINGS, _INDENT)
    _add_settings(config, Settings, choice.config, _INDENT, comments, remarks, f"{NAMESPACE}:")
    return config


def _add_settings(
    section: CommentedMap,
    model: type[BaseModel],
    given: Mapping[str, Any],
    indent: str,
    comments: Sequence[str] = (),
    remarks: Mapping[str, str] = {},
    prefix: str = "",
) -> Sequence[str]:
    """Add the given fields of a model, the first below ``comments``; return the comments that belong below the last.

    The engine rewrites the file when it sets a key, moves comments at its end out of the config, and gives the lines of
    a comment one indentation. So the last setting has to be given, and what is indented is so behind the #.
    """
    for field in model.model_fields.values():
        key, value = str(field.alias), field.get_default(call_default_factory=True)
        name, is_given, below = f"{prefix}{key}", key in given, ()
        prose = [*_prose(str(field.description), indent), *_prose(remarks.get(key, ""), indent)]
        comments = [*comments, *([""] if prefix else []), *prose]
        if isinstance(value, BaseModel):
            fields, nested = given[key] if is_given else value.model_dump(by_alias=True), CommentedMap()
            below = _add_settings(nested, type(value), fields, indent + _INDENT if is_given else _INDENT)
            value = nested
        elif is_given:
            value = _with_remarks(given[key], remarks) if isinstance(given[key], list) else given[key]
        if is_given:
            section[name] = value
            _comment(section, name, comments)
            comments = below
        else:
            comments += [f"{indent}#{line}" for line in yaml.write({name: value}).splitlines()]
    return comments


def _with_remarks(values: list[str], remarks: Mapping[str, str]) -> CommentedSeq:
    entries = CommentedSeq(values)
    for index, value in enumerate(values):
        if value in remarks:
            entries.yaml_add_eol_comment(f"# {remarks[value]}", index, column=0)
    return entries


def _comment(section: CommentedMap, key: str, lines: Iterable[str]) -> None:
    """Put lines above a key; not by ruamel's own method, which would put a space behind each #."""
    section.ca.items[key] = [None, [CommentToken(f"{line}\n", CommentMark(0)) for line in lines], None, None]


def _prose(words: str, indent: str) -> list[str]:
    wrapper = textwrap.TextWrapper(_WIDTH - len(indent) - 2, break_long_words=False, break_on_hyphens=False)
    return [f"{indent}# {line}" for line in wrapper.wrap(one_line(words).strip())]
