"""Typed settings of one stack, parsed from its plain config values. All faults are reported at once.

The models below are the one description of the config: defaults, the JSON schema for editors and the README's table
come from them (``threatmon.schema``).
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Annotated, Any, Literal, NamedTuple, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError, PydanticKnownError

from threatmon import finding_types
from threatmon.errors import ThreatmonError
from threatmon.severity import SeverityName, is_below

NAMESPACE = "threat-monitor"
# Stands for an encrypted value where it cannot be read; the engine alone can.
SECRET_PLACEHOLDER = "secret"  # noqa: S105 - no secret

# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html
RetentionDays = Literal[
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653
]  # fmt: skip
PlanName = Literal["s3", "eksAudit", "malware", "rds", "lambda", "runtime", "ai"]
# Declared whenever the stack manages the detector. `ai` is not: some Regions do not have it.
DEFAULT_PLANS: tuple[PlanName, ...] = ("s3", "eksAudit", "malware", "rds", "lambda", "runtime")


class Fault(NamedTuple):
    """One thing wrong with the config. ``path`` is the key within the namespace and the indexes below it."""

    path: tuple[str | int, ...]
    text: str

    def __str__(self) -> str:
        """The fault as a line of the message: the full key, then what is wrong."""
        key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in self.path)
        line = f"{NAMESPACE}:{key.removeprefix('.')}: {self.text}"
        # Keys and values are free text; a line break in one must not look like a further fault.
        return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in line)


class ConfigFaults(ThreatmonError):  # noqa: N818 - it carries any number of faults and reads as what it reports
    """The stack's config has faults; ``str()`` of it is the whole message for the user."""

    def __init__(self, stack: str, faults: Sequence[Fault]) -> None:
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        super().__init__("\n".join([f"Pulumi.{stack}.yaml has {count}:", *(f"  {fault}" for fault in faults)]))
        self.faults = tuple(faults)


def _decoded(value: object) -> object:
    """The engine hands every config value over as a string; one that holds a JSON scalar or container is meant."""
    if isinstance(value, str):
        try:
            decoded = json.loads(value)
        except (ValueError, RecursionError):
            return value
        # A JSON string stays one: "subnet-1" must never be read as a list of its characters.
        return value if isinstance(decoded, str) else decoded
    return value


def _days(value: object) -> object:
    value = _decoded(value)
    if isinstance(value, bool):  # True equals 1, and would keep the logs for a day
        raise PydanticKnownError("literal_error", {"expected": ", ".join(map(str, get_args(RetentionDays)))})
    return value


def _items(value: object) -> object:
    value = _decoded(value)
    return tuple(value) if isinstance(value, list) else value


# The pattern of https://html.spec.whatwg.org/multipage/input.html#valid-e-mail-address, with at least one dot in the
# domain, and no dot at either end of the local part or beside another; the lengths are those of RFC 5321.
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_EMAIL = rf"(?=.{{1,254}}$)(?=[^@]{{1,64}}@){_ATOM}(?:\.{_ATOM})*@{_LABEL}(?:\.{_LABEL})+"


def _email(value: object) -> object:
    if not isinstance(value, str) or not re.fullmatch(_EMAIL, value):
        raise PydanticCustomError("form", "is not an e-mail address (expected name@example.com)")
    return value


def _alias(value: object) -> object:
    # The alias becomes part of a mail template, where these characters cannot be written.
    if not isinstance(value, str) or not value.isprintable() or not 1 <= len(value) <= 64 or set(value) & set('"\\<>'):  # noqa: PLR2004 - bounded in the text
        raise PydanticCustomError("form", 'is not an alias (expected 1 to 64 printable characters other than " \\ < >)')
    return value


SubnetId = Annotated[str, Field(pattern=r"^subnet-(?:[0-9a-f]{8}|[0-9a-f]{17})$")]
VpcId = Annotated[str, Field(pattern=r"^vpc-(?:[0-9a-f]{8}|[0-9a-f]{17})$")]
DetectorId = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
KeyArn = Annotated[
    str,
    Field(
        pattern=r"^arn:aws(?:-us-gov|-cn)?:kms:[a-z0-9-]+:[0-9]{12}:key/"
        r"(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|mrk-[0-9a-f]{32})$"
    ),
]
PolicyArn = Annotated[
    str,
    Field(pattern=r"^arn:aws(?:-us-gov|-cn)?:iam::(?:[0-9]{12}|aws):policy/[A-Za-z0-9_+=,.@/-]{1,640}$"),
]
# What each of these forms is called in a fault, by the key in which it is expected.
_FORMS = {
    "subnetIds": "a subnet id (expected subnet- and 8 or 17 hex digits)",
    "vpcIds": "a VPC id (expected vpc- and 8 or 17 hex digits)",
    "id": "a detector id (expected 32 hex digits)",
    "kmsKeyArn": "the ARN of a KMS key (expected arn:aws:kms:<region>:<account>:key/<key id>, not an alias)",
    "permissionsBoundary": "the ARN of a policy (expected arn:aws:iam::<account>:policy/<name>)",
}
EmailAddress = Annotated[str, BeforeValidator(_email)]
Alias = Annotated[str, BeforeValidator(_alias)]
Flag = Annotated[bool, BeforeValidator(_decoded)]


class _Model(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel,
        extra="forbid",
        strict=True,
        frozen=True,
    )


class DetectorSettings(_Model):
    """How the stack comes to its detector; there is one for each account and Region."""

    mode: Literal["create", "import", "lookup"] = Field(
        default="create",
        description="`create` makes one, `import` adopts the one with `id`, `lookup` only refers to it",
    )
    id: DetectorId | None = Field(
        default=None, description="the detector to adopt or refer to; `lookup` without it takes the one the account has"
    )


class FlowLogSettings(_Model):
    """The evidence: which traffic is recorded, how finely, and for how long it is kept."""

    traffic_type: Literal["ALL", "ACCEPT", "REJECT"] = Field(
        default="ALL",
        description="a port scan is ACCEPT on its way out, so anything but ALL leaves half of the evidence out",
    )
    aggregation_seconds: Annotated[Literal[60, 600], BeforeValidator(_decoded)] = Field(
        default=60, description="width of one record; 600 costs less and tells less"
    )
    retention_days: Annotated[RetentionDays, BeforeValidator(_days)] = Field(
        default=365, description="one of the values CloudWatch Logs accepts; controls want 365 or more"
    )
    format: Literal["default", "extended"] = Field(
        default="extended",
        description="`extended` adds instance, TCP flags, direction and the packet's own addresses, "
        "for about twice the volume",
    )
    log_group_class: Literal["STANDARD", "INFREQUENT_ACCESS"] = Field(
        default="STANDARD",
        description="INFREQUENT_ACCESS halves the price of ingestion, and cannot be browsed or tailed; "
        "it cannot be changed later",
    )
    keep_on_destroy: Flag = Field(default=False, description="`pulumi destroy` leaves the log group and its key")
    permissions_boundary: PolicyArn | None = Field(
        default=None, description="ARN of the policy that the role may never exceed, where the account demands one"
    )


class Subscriber(_Model):
    """A further subscriber to the alerts."""

    protocol: Literal["email", "email-json", "https", "sqs", "lambda", "sms"] = Field(description="the SNS protocol")
    endpoint: str = Field(
        min_length=1, description="address, URL, ARN or phone number, as the protocol needs; secret unless an address"
    )
    format: Literal["text", "raw"] = Field(
        default="text",
        description="`text` is the mail for people, `raw` the untouched event for chat tools, pagers and SIEMs",
    )
    minimum_severity: SeverityName | None = Field(
        default=None, description="the lowest severity this subscriber gets; the stack's unless set"
    )


class AlertSettings(_Model):
    """What is sent, and to whom besides alertEmails."""

    include_samples: Flag = Field(default=True, description="sample findings alert, so that the path can be tested")
    include_archived: Flag = Field(default=False, description="findings archived by hand alert too")
    kms_key_arn: KeyArn | None = Field(
        default=None,
        description="a key of yours instead of one made by this stack; "
        "its policy must let EventBridge and CloudWatch Logs use it",
    )
    account_alias: Alias | None = Field(default=None, description="a name for the account, shown in the mail")
    subscribers: Annotated[tuple[Subscriber, ...], BeforeValidator(_items)] = Field(
        default=(), description="further subscribers: `{protocol, endpoint, format, minimumSeverity}`"
    )


class HealthSettings(_Model):
    """The watch on the alert path itself."""

    enabled: Flag = Field(default=False, description="alarms on failed deliveries, dead letters and missing flow logs")
    emails: Annotated[tuple[EmailAddress, ...], BeforeValidator(_items)] = Field(
        default=(), description="who is told, by a topic of its own; the addresses of alertEmails unless set"
    )


class Settings(_Model):
    """The settings of one stack. Attributes are the config keys in snake case."""

    subnet_ids: Annotated[tuple[SubnetId, ...], BeforeValidator(_items)] = Field(
        default=(), description="subnets to log"
    )
    vpc_ids: Annotated[tuple[VpcId, ...], BeforeValidator(_items)] = Field(
        default=(),
        description="whole VPCs to log, which is what EC2.6 and CIS look for; at least one subnet or VPC is needed",
    )
    alert_emails: Annotated[tuple[EmailAddress, ...], BeforeValidator(_items)] = Field(
        default=(), description="who gets the mails; required. `alertEmail: a@example.com` is accepted as a list of one"
    )
    finding_types: Annotated[tuple[str, ...], BeforeValidator(_items)] = Field(
        default=(finding_types.EVERYTHING,),
        description="which findings alert: exact type, family by a trailing `*` (`Recon:EC2/*`), or `*`",
    )
    minimum_severity: SeverityName | None = Field(
        default=None,
        description="low, medium, high or critical, applied together with findingTypes; "
        "low where findingTypes is set, else medium",
    )
    allow_unknown_finding_types: Flag = Field(
        default=False, description="let names through that the catalogue does not know yet, with a warning"
    )
    detector: Annotated[DetectorSettings, BeforeValidator(_decoded)] = Field(
        default=DetectorSettings(), description="how the stack comes to its detector"
    )
    protection_plans: Annotated[dict[PlanName, Flag], BeforeValidator(_decoded)] = Field(
        default_factory=dict,
        description="paid plans of GuardDuty (s3, eksAudit, malware, rds, lambda, runtime, ai): off unless true; "
        "ai stays as it is",
    )
    finding_publishing_frequency: Literal["FIFTEEN_MINUTES", "ONE_HOUR", "SIX_HOURS"] = Field(
        default="SIX_HOURS", description="how often repeats of a known finding are sent; a new finding never waits"
    )
    flow_logs: Annotated[FlowLogSettings, BeforeValidator(_decoded)] = Field(
        default=FlowLogSettings(), description="the flow logs"
    )
    alerts: Annotated[AlertSettings, BeforeValidator(_decoded)] = Field(
        default=AlertSettings(), description="the alerts"
    )
    health: Annotated[HealthSettings, BeforeValidator(_decoded)] = Field(
        default=HealthSettings(), description="the watch on the alert path itself"
    )
    protect: Flag = Field(
        default=False, description="refuse to delete or replace the detector, the log group and the key"
    )

    @property
    def severity_floor(self) -> SeverityName:
        """The lowest severity that alerts."""
        return self.minimum_severity or ("low" if "finding_types" in self.model_fields_set else "medium")

    @property
    def health_emails(self) -> tuple[str, ...]:
        """Who is told that the alert path is ill; nobody where nothing watches it."""
        return (self.health.emails or self.alert_emails) if self.health.enabled else ()

    @property
    def declared_plans(self) -> dict[str, bool]:
        """Each protection plan this stack states, on or off: a plan left unsaid may be on and billed."""
        return {**dict.fromkeys(DEFAULT_PLANS, False), **self.protection_plans}


def parse(config: Mapping[str, Any], stack: str = "<stack>") -> tuple[Settings, list[str]]:
    """The settings that ``config`` describes, and warnings about them.

    ``config`` maps keys of the namespace, without it, to plain values, or to the strings the engine hands over.
    Raises :class:`ConfigFaults` with every fault of the config.
    """
    config, faults = _with_emails_as_a_list(config)
    faults += _model_faults(config)
    settings = Settings.model_validate(_without(config, faults))
    faults += [
        fault
        for rule, keys in _RULES
        if not {str(fault.path[0]) for fault in faults} & keys
        for fault in rule(settings)
    ]
    if faults:
        raise ConfigFaults(stack, sorted(faults, key=_place))
    return settings, _warnings(settings)


def _place(fault: Fault) -> int:
    """Faults are listed in the order of the settings; the engine hands keys over in none."""
    keys = _keys_at(())
    return keys.index(str(fault.path[0])) if fault.path[0] in keys else len(keys)


def _with_emails_as_a_list(config: Mapping[str, Any]) -> tuple[dict[str, Any], list[Fault]]:
    """The config with the shorthand ``alertEmail`` written out."""
    config = dict(config)
    if "alertEmail" not in config:
        return config, []
    single = config.pop("alertEmail")
    if _items(config.get("alertEmails", [])) != ():
        return config, [Fault(("alertEmail",), "is set and so is threat-monitor:alertEmails; keep one of them")]
    try:
        _email(single)
    except PydanticCustomError as error:
        return config | {"alertEmails": ["placeholder@example.com"]}, [
            Fault(("alertEmail",), f"{_shown(single)} {error.message()}")
        ]
    return config | {"alertEmails": [single]}, []


# -- faults of single values ------------------------------------------------------------------------------------------

_KINDS = {
    "bool_type": "true or false",
    "dict_type": "a map of names to values",
    "int_type": "a whole number",
    "list_type": "a list",
    "model_type": "a map of names to values",
    "string_type": "text",
    "tuple_type": "a list",
}


def _model_faults(config: Mapping[str, Any]) -> list[Fault]:
    try:
        Settings.model_validate(config)
    except ValidationError as error:
        return [_fault(dict(detail)) for detail in error.errors(include_url=False)]
    return []


def _fault(error: Mapping[str, Any]) -> Fault:
    kind, value = error["type"], _shown(error["input"])
    path = tuple(error["loc"])
    if kind == "literal_error" and path[-1] == "[key]":  # how pydantic marks the key of a map
        path = path[:-1]
    if _may_hold_a_token(path, error["input"]):
        value = "the value (hidden, it may hold a token)"
    if kind == "extra_forbidden":
        return Fault(path, f"is not a known key{_did_you_mean(str(path[-1]), _keys_at(path[:-1]))}")
    if kind == "missing":
        return Fault(path, "is required")
    if kind == "literal_error":
        expected = error["ctx"]["expected"].replace("'", "").replace(" or ", ", ")
        return Fault(
            path, f"{value} is not one of {expected}{_did_you_mean(str(error['input']), expected.split(', '))}"
        )
    if kind == "string_pattern_mismatch":
        return Fault(path, f"{value} is not {_FORMS[next(str(key) for key in reversed(path) if key in _FORMS)]}")
    if kind in _KINDS:
        return Fault(path, f"{value} is not {_KINDS[kind]}")
    return Fault(path, f"{value} {error['msg'][0].lower()}{error['msg'][1:]}")


def _may_hold_a_token(path: Sequence[str | int], value: object) -> bool:
    """Whether a value is or contains the endpoint of a subscriber, perhaps written under another key."""
    if tuple(path[:2]) != ("alerts", "subscribers"):
        return tuple(path) == ("alerts",)
    is_a_word = isinstance(value, str) and re.fullmatch(r"[a-z-]{1,12}", value)
    return path[-1] not in {"protocol", "format"} or not is_a_word


def _keys_at(path: Sequence[str | int]) -> list[str]:
    model: Any = Settings
    for part in path:
        if not isinstance(part, int):
            annotation = next(f.annotation for f in model.model_fields.values() if f.alias == part)
            model = next(
                (m for m in (annotation, *getattr(annotation, "__args__", ())) if hasattr(m, "model_fields")), None
            )
    keys = [str(field.alias) for field in model.model_fields.values()]
    return [*keys, "alertEmail"] if model is Settings else keys


def _did_you_mean(word: str, known: Iterable[str]) -> str:
    by_lower_case = {name.lower(): name for name in known}
    near = get_close_matches(word.lower(), by_lower_case, n=1)
    return f'; did you mean "{by_lower_case[near[0]]}"?' if near else ""


def _shown(value: object) -> str:
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 120 else f"{text[:117]}..."  # noqa: PLR2004 - about one line of a terminal


def _without(config: Mapping[str, Any], faults: Iterable[Fault]) -> dict[str, Any]:
    """The config less the top-level keys that have a fault: what the rules between keys can still be asked of."""
    faulty = {fault.path[0] for fault in faults}
    return {key: value for key, value in config.items() if key not in faulty}


# -- rules between values ---------------------------------------------------------------------------------------------


def _something_to_log(settings: Settings) -> list[Fault]:
    if settings.subnet_ids or settings.vpc_ids:
        return []
    return [Fault(("subnetIds",), "is empty, and so is threat-monitor:vpcIds; name at least one subnet or VPC to log")]


def _someone_to_tell(settings: Settings) -> list[Fault]:
    return [] if settings.alert_emails else [Fault(("alertEmails",), 'is required, such as ["soc@example.com"]')]


def _nothing_twice(settings: Settings) -> list[Fault]:
    lists: dict[str, tuple[str, ...]] = {
        "subnetIds": settings.subnet_ids,
        "vpcIds": settings.vpc_ids,
        "alertEmails": tuple(address.lower() for address in settings.alert_emails),
        "health.emails": tuple(address.lower() for address in settings.health.emails),
        "findingTypes": settings.finding_types,
    }
    return [
        Fault(
            (*key.split("."), values.index(value, values.index(value) + 1)),
            f"{_shown(value)} is listed {count} times; once is enough",
        )
        for key, values in lists.items()
        for value, count in Counter(values).items()
        if count > 1
    ]


_ARN = r"arn:aws(-us-gov|-cn)?:{}:[a-z0-9-]+:[0-9]{{12}}:.+"
# What an endpoint looks like, by protocol; e-mail addresses are checked as such.
_ENDPOINTS = {
    "https": (r"https://\S+", "an https:// URL"),
    "sqs": (_ARN.format("sqs"), "the ARN of a queue"),
    "lambda": (_ARN.format("lambda"), "the ARN of a function"),
    "sms": (r"\+[1-9][0-9]{6,14}", "a phone number in international form (+49...)"),
}


def _endpoints_fit(settings: Settings) -> list[Fault]:
    faults: list[Fault] = []
    for index, (protocol, endpoint) in enumerate((s.protocol, s.endpoint) for s in settings.alerts.subscribers):
        if endpoint == SECRET_PLACEHOLDER:
            continue
        form, kind = _ENDPOINTS.get(protocol, (_EMAIL, "an e-mail address"))
        if not re.fullmatch(form, endpoint):
            text = f'the value (hidden, it may hold a token) is not {kind}, as protocol "{protocol}" needs'
            faults.append(Fault(("alerts", "subscribers", index, "endpoint"), text))
    return faults


# https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-quota.html
_TARGETS_OF_A_RULE = 5


def _channels_are_possible(settings: Settings) -> list[Fault]:
    floor, faults = settings.severity_floor, list[Fault]()
    channels = {("text", floor)}
    for index, subscriber in enumerate(settings.alerts.subscribers):
        wanted = subscriber.minimum_severity or floor
        channels.add((subscriber.format, wanted))
        if is_below(wanted, floor):
            text = f'"{wanted}" is below threat-monitor:minimumSeverity {floor}, which nothing passes'
            faults.append(Fault(("alerts", "subscribers", index, "minimumSeverity"), text))
    if len(channels) > _TARGETS_OF_A_RULE:
        text = f"need {len(channels)} topics, one for each format and severity; EventBridge allows {_TARGETS_OF_A_RULE}"
        faults.append(Fault(("alerts", "subscribers"), text))
    return faults


def _nobody_told_twice(settings: Settings) -> list[Fault]:
    told = {("email", address.lower(), "text") for address in settings.alert_emails}
    faults: list[Fault] = []
    for index, subscriber in enumerate(settings.alerts.subscribers):
        mail = subscriber.protocol.startswith("email")
        same = (subscriber.protocol, subscriber.endpoint.lower() if mail else subscriber.endpoint, subscriber.format)
        if same in told:
            text = "is subscribed already, by threat-monitor:alertEmails or above; once is enough"
            faults.append(Fault(("alerts", "subscribers", index), text))
        told.add(same)
    return faults


def _types_exist(settings: Settings) -> list[Fault]:
    if not settings.finding_types:
        return [Fault(("findingTypes",), 'is empty; leave it out, or write ["*"], for every type')]
    faults: list[Fault] = []
    for index, entry in enumerate(settings.finding_types):
        problem = finding_types.fault(entry)
        excused = settings.allow_unknown_finding_types and finding_types.is_well_formed(entry)
        if problem and not excused:
            faults.append(Fault(("findingTypes", index), f"{_shown(entry)} {problem}"))
    return faults


def _detector_mode_and_id_agree(settings: Settings) -> list[Fault]:
    detector = settings.detector
    if detector.mode == "create" and detector.id:
        return [
            Fault(("detector", "id"), f'{_shown(detector.id)} contradicts mode "create"; use mode "import" or "lookup"')
        ]
    if detector.mode == "import" and not detector.id:
        return [Fault(("detector", "id"), 'is required by mode "import" (aws guardduty list-detectors prints it)')]
    return []


def _a_detector_looked_up_is_left_alone(settings: Settings) -> list[Fault]:
    if settings.detector.mode != "lookup":
        return []
    text = 'contradicts detector mode "lookup", which manages nothing; remove it, or use mode "import"'
    given = {
        "protectionPlans": bool(settings.protection_plans),
        "findingPublishingFrequency": settings.finding_publishing_frequency != "SIX_HOURS",
    }
    return [Fault((key,), text) for key, is_given in given.items() if is_given]


# A rule is asked only where none of its keys has a fault of its own.
_RULES: tuple[tuple[Callable[[Settings], list[Fault]], frozenset[str]], ...] = (
    (_something_to_log, frozenset({"subnetIds", "vpcIds"})),
    (_someone_to_tell, frozenset({"alertEmails", "alertEmail"})),
    (_nothing_twice, frozenset()),
    (_endpoints_fit, frozenset({"alerts"})),
    (_channels_are_possible, frozenset({"alerts", "minimumSeverity"})),
    (_nobody_told_twice, frozenset({"alerts"})),
    (_types_exist, frozenset({"findingTypes"})),
    (_detector_mode_and_id_agree, frozenset({"detector"})),
    (_a_detector_looked_up_is_left_alone, frozenset({"detector"})),
)


# -- warnings ---------------------------------------------------------------------------------------------------------


def _warnings(settings: Settings) -> list[str]:
    known = finding_types.catalogue()
    key = f"{NAMESPACE}:findingTypes"
    warnings: list[str] = []
    for index, entry in enumerate(settings.finding_types):
        here = f'{key}[{index}]: "{entry}"'
        if not finding_types.is_known(entry):
            warnings.append(
                f"{here} is unknown to the catalogue and passed on as it is; if it is mistyped, it matches nothing"
            )
        elif entry in known and known[entry].retired:
            warnings.append(f"{here} is retired: GuardDuty no longer raises it")
        elif entry in known and is_below(known[entry].severity, settings.severity_floor):
            usual = known[entry].severity.lower()
            warnings.append(
                f"{here} is usually of {usual} severity, below {NAMESPACE}:minimumSeverity {settings.severity_floor}, "
                "so it will seldom or never alert"
            )
        elif entry in known and settings.detector.mode != "lookup" and not _plan_is_on(known[entry].plan, settings):
            warnings.append(f"{here} is never raised while {NAMESPACE}:protectionPlans.{known[entry].plan} is off")
    return warnings


def _plan_is_on(plan: str | None, settings: Settings) -> bool:
    return plan is None or settings.declared_plans.get(plan, True)
