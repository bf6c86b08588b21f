"""The text of a new stack file: what was chosen of what an account has, and every other key as a comment.

Keys, defaults and their meaning are those of ``threatmon.model.settings``, so a new setting is in the next file.
Names come from tags, which hold any text; they stand in comments alone.
"""

import json
import re
import textwrap
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Any, Literal, NamedTuple

import yaml
from pydantic import BaseModel

from threatmon.aws.route_tables import route_table_of
from threatmon.model import names
from threatmon.model.finding_types import EVERYTHING
from threatmon.model.protection_plans import FEATURES
from threatmon.model.settings import NAMESPACE, Settings
from threatmon.reports import plain

Answer = Mapping[str, Any]


# -- what an account has ----------------------------------------------------------------------------------------------


class NotRead(NamedTuple):
    """Stands for an answer that AWS refused; ``reason`` is a sentence that names nobody, for a file that is shared."""

    reason: str


class Network(NamedTuple):
    """A subnet, or a whole VPC, in which a flow log can be made."""

    id: str
    vpc_id: str
    """its VPC; its own id, if it is one; empty where that is not known"""
    name: str = ""
    """of the tag ``Name``; any text"""
    cidr: str = ""
    zone: str = ""
    size: int | None = None
    """addresses that can be given to interfaces"""
    free: int | None = None
    """addresses that are left"""
    public: bool | None = None
    """whether its routes lead to an internet gateway; None where they could not be read"""
    logged_to: tuple[str, ...] = ()
    """where the flow logs go that it or its VPC has already, this stack's own left out"""
    owner: str = ""
    """the other account that shares it, and alone can log it"""

    @property
    def is_vpc(self) -> bool:
        """Whether it is a whole VPC."""
        return self.id == self.vpc_id

    @property
    def description(self) -> str:
        """What a person knows it by, on one line."""
        size = f"{self.size} addresses" if self.size is not None else ""
        routed = {True: "public", False: "private", None: ""}[self.public]
        place = "whole VPC" if self.is_vpc else f"in {self.vpc_id}" if self.vpc_id else ""
        logs = f"has flow logs to {', '.join(self.logged_to)}" if self.logged_to else ""
        return plain(", ".join(it for it in (self.name, self.cidr, place, self.zone, size, routed, logs) if it))


class Detector(NamedTuple):
    """How a stack should come to the detector, and why."""

    mode: Literal["create", "import", "lookup"]
    remarks: tuple[str, ...]
    id: str | None = None
    plans: Mapping[str, bool] = {}
    """the protection plans it has now, for a stack that adopts it"""
    frequency: str | None = None
    """how often it publishes repeats now, for a stack that adopts it"""


def networks(
    stack: str,
    account_id: str,
    vpcs: Sequence[Answer],
    subnets: Sequence[Answer],
    flow_logs: Sequence[Answer],
    route_tables: Sequence[Answer] | NotRead,
) -> list[Network]:
    """The VPCs of an account, each before its subnets, by the answers of EC2's ``describe_*`` calls."""
    logs: dict[str, list[str]] = {}
    for log in flow_logs:
        destination = _destination(log)
        if destination != f"log group {names.log_group(stack)}":
            logs.setdefault(log["ResourceId"], []).append(destination)

    def logged_to(*ids: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(destination for id_ in ids for destination in logs.get(id_, ())))

    def owner(answer: Answer) -> str:
        return "" if answer.get("OwnerId", account_id) == account_id else str(answer["OwnerId"])

    found = [
        Network(
            id=vpc["VpcId"],
            vpc_id=vpc["VpcId"],
            name=_name(vpc),
            cidr=" ".join(it["CidrBlock"] for it in vpc.get("CidrBlockAssociationSet", ())) or vpc.get("CidrBlock", ""),
            logged_to=logged_to(vpc["VpcId"]),
            owner=owner(vpc),
        )
        for vpc in vpcs
    ]
    found += [
        Network(
            id=subnet["SubnetId"],
            vpc_id=subnet["VpcId"],
            name=_name(subnet),
            cidr=_cidr(subnet),
            zone=subnet.get("AvailabilityZone", ""),
            size=_size(subnet.get("CidrBlock")),
            free=subnet.get("AvailableIpAddressCount"),
            public=None if isinstance(route_tables, NotRead) else _is_public(subnet, route_tables),
            logged_to=logged_to(subnet["SubnetId"], subnet["VpcId"]),
            owner=owner(subnet),
        )
        for subnet in subnets
    ]
    return sorted(found, key=lambda it: (it.vpc_id, not it.is_vpc, it.zone, it.cidr, it.id))


def _name(answer: Answer) -> str:
    return next((tag["Value"] for tag in answer.get("Tags", ()) if tag["Key"] == "Name"), "")


def _cidr(subnet: Answer) -> str:
    """The block of a subnet; of one without IPv4, its IPv6 block."""
    blocks = [subnet.get("CidrBlock"), *(it["Ipv6CidrBlock"] for it in subnet.get("Ipv6CidrBlockAssociationSet", ()))]
    return next((block for block in blocks if block), "")


_RESERVED = 5  # https://docs.aws.amazon.com/vpc/latest/userguide/subnet-sizing.html


def _size(cidr: str | None) -> int | None:
    return ip_network(cidr).num_addresses - _RESERVED if cidr else None


def _is_public(subnet: Answer, route_tables: Sequence[Answer]) -> bool:
    routes = route_table_of(subnet["SubnetId"], subnet["VpcId"], route_tables).get("Routes", ())
    return any(route.get("State") == "active" and route.get("GatewayId", "").startswith("igw-") for route in routes)


def _destination(flow_log: Answer) -> str:
    """Where a flow log goes: a log group by its name, anything else by its ARN."""
    arn = flow_log.get("LogDestination", "")
    group = flow_log.get("LogGroupName") or arn.partition(":log-group:")[2].removesuffix(":*")
    return f"log group {group}" if group else arn or "an unknown destination"


def detector(
    stack: str,
    ids: Sequence[str] | NotRead,
    answer: Answer | NotRead | None = None,
    administrator: Answer | NotRead | None = None,
) -> Detector:
    """How the stack should come to its detector, by ListDetectors, GetDetector and GetAdministratorAccount.

    One that is this account's own is adopted as it is. Where somebody else manages it, or that cannot be told, it is
    only looked up, which changes nothing. Where nothing can be told at all, `create` is safe: it fails if there is one.

    https://docs.aws.amazon.com/guardduty/latest/APIReference/API_GetAdministratorAccount.html
    """
    if isinstance(ids, NotRead):
        unknown = f"Whether there is one is not known: {ids.reason}"
        return Detector("create", (unknown, "If there is one, the deployment fails and says what to write here."))
    if not ids:
        return Detector("create", ("There is none in this account and Region.",))
    unknown = [it.reason for it in (answer, administrator) if isinstance(it, NotRead)]
    if unknown:
        remarks = ("Looked up, which leaves it as it is, since not all could be read of it:", *unknown)
        return Detector("lookup", remarks, ids[0])
    has: Any = answer or {}
    manager = _manager(stack, has, administrator)
    suspended = has.get("Status") == "DISABLED"
    if manager:
        remarks = [f"{manager}, so it is only looked up."]
        remarks += ["It is suspended: nothing is found until it is enabled there."] if suspended else []
        return Detector("lookup", tuple(remarks), ids[0])
    features = {it["Name"]: it for it in has.get("Features", ())}
    remarks = ["It is this account's own, and adopted with the plans and the frequency it has."]
    remarks += ["It is suspended: deploying this stack enables it."] if suspended else []
    plans = {plan: _is_on(features[name]) for plan, name in FEATURES.items() if name in features}
    remarks += _left_alone(features)
    return Detector("import", tuple(remarks), ids[0], plans, has.get("FindingPublishingFrequency"))


def _manager(stack: str, answer: Answer, administrator: Any) -> str | None:
    """Who other than this stack manages a detector, as the beginning of a sentence."""
    account = ((administrator or {}).get("Administrator") or {}).get("AccountId")
    if account:
        return f"GuardDuty's administrator account {account} manages it"
    if any(it.get("ManagedBy") for it in answer.get("Features", ())):
        return "A policy of the organisation manages it"
    tags: Mapping[str, str] = answer.get("Tags") or {}
    other = tags.get("stack")
    if tags.get("project") == NAMESPACE and other and other != stack:
        return f"The stack {plain(other)} manages it, as its tags say"
    return None


def _is_on(feature: Answer) -> bool:
    return feature["Status"] == "ENABLED"


# Always on, and no plans: https://docs.aws.amazon.com/guardduty/latest/ug/guardduty_data-sources.html
_FOUNDATIONAL = frozenset({"CLOUD_TRAIL", "DNS_LOGS", "FLOW_LOGS"})


def _left_alone(features: Mapping[str, Answer]) -> list[str]:
    """What is on, and no setting is about."""
    own = {*FEATURES.values(), *_FOUNDATIONAL}
    on = [name for name, feature in features.items() if name not in own and _is_on(feature)]
    on += [
        f"{part['Name']} of {name}"
        for name, feature in features.items()
        for part in feature.get("AdditionalConfiguration", ())
        if _is_on(part)
    ]
    return [f"Also on, and no setting of this stack: {', '.join(on)}."] if on else []


# -- what was chosen --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Choice:
    """What a new stack file says."""

    stack: str
    account_id: str
    region: str
    networks: Sequence[Network]
    emails: Sequence[str]
    detector: Detector
    finding_types: Sequence[str] = field(default_factory=tuple)
    """none for the default: all from medium upwards"""

    @property
    def config(self) -> dict[str, Any]:
        """The keys of the namespace that are set, as ``threatmon.model.settings.parse`` takes them."""
        # Types that are set count from low upwards, so the default is written out as a whole.
        types = {"findingTypes": list(self.finding_types)}
        everything = {"findingTypes": [EVERYTHING], "minimumSeverity": "medium"}
        lists = {
            "subnetIds": [it.id for it in self.networks if not it.is_vpc],
            "vpcIds": [it.id for it in self.networks if it.is_vpc],
        }
        adopted = {
            "protectionPlans": dict(self.detector.plans),
            "findingPublishingFrequency": self.detector.frequency,
        }
        return {
            **{key: ids for key, ids in lists.items() if ids},
            "alertEmails": list(self.emails),
            **(types if self.finding_types else everything),
            "detector": {
                "mode": self.detector.mode,
                **({"id": self.detector.id} if self.detector.id else {}),
            },
            **{key: value for key, value in adopted.items() if value},
            "flowLogs": {"keepOnDestroy": True},
            "health": {"enabled": True},
            "protect": True,
        }

    @property
    def overlaps(self) -> list[str]:
        """Subnets whose VPC is chosen as a whole, so that their traffic would be recorded twice."""
        vpcs = {it.id for it in self.networks if it.is_vpc}
        return [it.id for it in self.networks if not it.is_vpc and it.vpc_id in vpcs]


# -- the text ---------------------------------------------------------------------------------------------------------

_WIDTH = 120
_INDENT = "  "


def text(choice: Choice, kept: str = "") -> str:
    """The stack file; ``kept`` are the lines that :func:`kept_of` found in the one before."""
    config = choice.config
    remarks = {
        **{network.id: network.description for network in choice.networks},
        "detector": " ".join(choice.detector.remarks),
    }
    lines = [
        "# yaml-language-server: $schema=./stack.schema.json",
        f"# Stack {choice.stack}, written by `threatmon init` from what the account had.",
        *(kept.split("\n") if kept else []),
        "config:",
        *_prose("the Region to deploy to", _INDENT),
        f"{_INDENT}aws:region: {_scalar(choice.region)}",
        "",
        *_prose(
            "the account this stack may touch, and no other. Credentials come from the environment (AWS_PROFILE); "
            "aws:profile is not set, because each person calls a profile differently",
            _INDENT,
        ),
        f"{_INDENT}aws:allowedAccountIds: [{_scalar(choice.account_id)}]",
        "",
        *_prose("tags of all that is made", _INDENT),
        f"{_INDENT}aws:defaultTags:",
        f"{_INDENT * 2}tags:",
        f"{_INDENT * 3}project: {_scalar(NAMESPACE)}",
        f"{_INDENT * 3}stack: {_scalar(choice.stack)}",
        "",
        *_prose(
            "What follows are all settings. A key behind a # is not set, and shows what holds without it.", _INDENT
        ),
        *_settings(Settings, config, remarks, f"{NAMESPACE}:"),
    ]
    return "\n".join(lines) + "\n"


def _settings(
    model: type[BaseModel],
    given: Mapping[str, Any],
    remarks: Mapping[str, str],
    prefix: str = "",
    indent: str = _INDENT,
) -> Iterator[str]:
    """The fields of a model in their order: the given ones, and behind a # the others with their defaults.

    The engine rewrites the file when it sets a key, moves comments at its end out of the config, and gives the lines of
    a comment one indentation. So the last setting has to be given, and what is indented is so behind the #.
    """
    for it in model.model_fields.values():
        key, default = str(it.alias), it.get_default(call_default_factory=True)
        yield from [""] if prefix else []
        yield from _prose(str(it.description), indent)
        yield from _prose(remarks.get(key, ""), indent)
        if isinstance(default, BaseModel):
            lines = [f"{prefix}{key}:", *_settings(type(default), given.get(key, _defaults(default)), {})]
        else:
            lines = _value(f"{prefix}{key}:", given.get(key, default), remarks)
        yield from (f"{indent}{'' if key in given else '#'}{line}" for line in lines)


def _defaults(model: BaseModel) -> dict[str, Any]:
    return {str(it.alias): getattr(model, name) for name, it in type(model).model_fields.items()}


def _value(start: str, value: Any, remarks: Mapping[str, str]) -> Iterator[str]:
    if isinstance(value, Mapping) and value:
        yield start
        yield from (f"{_INDENT}{key}: {_scalar(entry)}" for key, entry in value.items())
    elif isinstance(value, list) and value:
        yield start
        for entry in value:
            remark = f" # {remarks[entry]}" if remarks.get(entry) else ""
            yield f"{_INDENT}- {_scalar(entry)}{remark}"
    else:
        yield f"{start} {_scalar(value)}"


def _prose(words: str, indent: str) -> list[str]:
    return textwrap.wrap(
        plain(words),
        _WIDTH,
        initial_indent=f"{indent}# ",
        subsequent_indent=f"{indent}# ",
        break_long_words=False,
        break_on_hyphens=False,
    )


# Text that every version of YAML reads as text, also unquoted, unless it is one of its words.
_TEXT = r"[A-Za-z][A-Za-z0-9_@.-]*"
_WORDS = frozenset({"false", "n", "no", "null", "off", "on", "true", "y", "yes"})


def _scalar(value: Any) -> str:
    unquoted = isinstance(value, str) and re.fullmatch(_TEXT, value) and value.lower() not in _WORDS
    return str(value) if unquoted else json.dumps(value)


# -- the file before --------------------------------------------------------------------------------------------------


def kept_of(before: str) -> str:
    """The lines of a stack file that are not its config: above all, what its secrets are encrypted with.

    https://www.pulumi.com/docs/iac/concepts/projects/stack-settings-file/. Raises :class:`yaml.YAMLError`.
    """
    root = yaml.compose(before, Loader=yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode):
        return ""
    blocks = [
        before[key.start_mark.index : value.end_mark.index]
        for key, value in root.value
        if isinstance(key, yaml.ScalarNode) and key.value != "config"
    ]
    return "\n".join("\n".join(_without_comments_after(block.split("\n"))) for block in blocks)


def _without_comments_after(lines: Sequence[str]) -> Sequence[str]:
    """A block's lines; YAML counts what stands between it and the next key as its own."""
    last = max((index for index, line in enumerate(lines) if line.strip() and not line.startswith("#")), default=-1)
    return lines[: last + 1]


# -- choosing by number -----------------------------------------------------------------------------------------------


def numbered(answer: str, count: int) -> list[int]:
    """The indexes that an answer such as ``1, 3-5`` means in a list of ``count``, numbered from 1.

    Raises :class:`ValueError` with what is wrong, for the user.
    """
    chosen: dict[int, None] = {}
    for part in answer.replace(",", " ").split():
        found = re.fullmatch(r"([0-9]{1,9})(?:-([0-9]{1,9}))?", part)
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
        if not 1 <= first <= last <= count:
            raise ValueError(f"{plain(part)} is no number from 1 to {count}, nor a range of them such as 1-{count}")
        chosen |= dict.fromkeys(range(first - 1, last))
    return list(chosen)


def as_numbers(indexes: Collection[int]) -> str:
    """The shortest answer that :func:`numbered` reads as these indexes, in order."""
    ranges: list[tuple[int, int]] = []
    for number in sorted(index + 1 for index in indexes):
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1] = (ranges[-1][0], number)
        else:
            ranges.append((number, number))
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)
