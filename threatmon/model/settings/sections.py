"""The settings as typed models, one for each section of the config.

They are the one description of the config: defaults, the JSON schema for editors and the README's table come from them
(``tools.schema``). In Python, a section takes its attributes by name:
``FlowLogSettings(retention_days=90)``.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, TypeVar, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError, PydanticKnownError

from threatmon.model.channels import FormattedChannel, MessageFormat
from threatmon.model.finding_types import EVERYTHING
from threatmon.model.protection_plans import DEFAULT_PLANS, PlanName
from threatmon.model.severity import SeverityName

NAMESPACE = "threat-monitor"
# In place of an encrypted value, which only the engine can read.
SECRET_PLACEHOLDER = "secret"  # noqa: S105 - no secret

# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html
RetentionDays = Literal[
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653
]  # fmt: skip


def _decoded(value: object) -> object:
    """Return what a string holds as JSON, because the engine passes every config value on as a string."""
    if not isinstance(value, str):
        return value
    try:
        decoded = json.loads(value)
    except (ValueError, RecursionError):
        return value
    # A JSON string stays one: "subnet-1" must never be read as a list of its characters.
    return value if isinstance(decoded, str) else decoded


def _days(value: object) -> object:
    value = _decoded(value)
    if isinstance(value, bool):  # True equals 1, and would keep the logs for a day
        raise PydanticKnownError("literal_error", {"expected": ", ".join(map(str, get_args(RetentionDays)))})
    return value


def as_items(value: object) -> object:
    """Return a list, or a string that holds one as JSON, as a tuple; anything else as it is."""
    value = _decoded(value)
    return tuple(value) if isinstance(value, list) else value


# The pattern of https://html.spec.whatwg.org/multipage/input.html#valid-e-mail-address, with at least one dot in the
# domain, and no dot at either end of the local part or beside another; the lengths are those of RFC 5321.
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
EMAIL = rf"(?=.{{1,254}}$)(?=[^@]{{1,64}}@){_ATOM}(?:\.{_ATOM})*@{_LABEL}(?:\.{_LABEL})+"


def _email(value: object) -> object:
    # Not a pattern of pydantic's, which has no lookahead.
    if not isinstance(value, str) or not re.fullmatch(EMAIL, value):
        raise PydanticCustomError("form", "is not an e-mail address (expected name@example.com)")
    return value


_SUBNET_ID = r"^subnet-(?:[0-9a-f]{8}|[0-9a-f]{17})$"
_VPC_ID = r"^vpc-(?:[0-9a-f]{8}|[0-9a-f]{17})$"
_DETECTOR_ID = r"^[0-9a-f]{32}$"
_KEY_ARN = (
    r"^arn:aws(?:-us-gov|-cn)?:kms:[a-z0-9-]+:[0-9]{12}:key/"
    r"(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|mrk-[0-9a-f]{32})$"
)
_POLICY_ARN = r"^arn:aws(?:-us-gov|-cn)?:iam::(?:[0-9]{12}|aws):policy/[A-Za-z0-9_+=,.@/-]{1,640}$"
# Subject and message attributes are ASCII, and an alias with question marks in it is not the account's name.
_ALIAS = r"^[ -~]{1,64}$"
# In a mail, a link ends at a blank, and in some programs at a quotation mark or angle bracket.
_RUNBOOK = r"^https://[A-Za-z0-9][!#-&(-;=?-~]{0,491}$"
# https://docs.aws.amazon.com/chatbot/latest/APIReference/API_CreateSlackChannelConfiguration.html
_SLACK_WORKSPACE = r"^[0-9A-Z]{1,255}$"
_SLACK_CHANNEL = r"^[A-Za-z0-9]{1,255}$"
# https://docs.aws.amazon.com/chatbot/latest/APIReference/API_CreateMicrosoftTeamsChannelConfiguration.html takes at
# most 255 characters, and the channel's percent-encoded, as it stands in a link to it.
_UUID = r"^[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$"
_TEAMS_CHANNEL = r"^[A-Za-z0-9_=+/.,-]{1,20}(?::|%3[aA])[A-Za-z0-9_=+/.,-]{1,200}(?:@|%40)[A-Za-z0-9_=+/.,-]{1,20}$"
# What a fault calls a text of each pattern.
FORMS = {
    _SUBNET_ID: "a subnet id (expected subnet- and 8 or 17 hex digits)",
    _VPC_ID: "a VPC id (expected vpc- and 8 or 17 hex digits)",
    _DETECTOR_ID: "a detector id (expected 32 hex digits)",
    _KEY_ARN: "the ARN of a KMS key (expected arn:aws:kms:<region>:<account>:key/<key id>, not an alias)",
    _POLICY_ARN: "the ARN of a policy (expected arn:aws:iam::<account>:policy/<name>)",
    _ALIAS: "an alias (expected 1 to 64 printable ASCII characters)",
    _RUNBOOK: "the address of a runbook (expected https://..., at most 500 ASCII characters without blanks, quotation "
    "marks and angle brackets)",
    _SLACK_WORKSPACE: "the id of a Slack workspace (expected capital letters and digits, such as T0123456789)",
    _SLACK_CHANNEL: "the id of a Slack channel (expected letters and digits, such as C0123456789)",
    _UUID: "a UUID (expected 8-4-4-4-12 hex digits)",
    _TEAMS_CHANNEL: "the id of a Teams channel (expected 19:...@thread.tacv2, or percent-encoded as in a link to it)",
}
SubnetId = Annotated[str, Field(pattern=_SUBNET_ID)]
VpcId = Annotated[str, Field(pattern=_VPC_ID)]
DetectorId = Annotated[str, Field(pattern=_DETECTOR_ID)]
KeyArn = Annotated[str, Field(pattern=_KEY_ARN)]
PolicyArn = Annotated[str, Field(pattern=_POLICY_ARN)]
Alias = Annotated[str, Field(pattern=_ALIAS)]
RunbookAddress = Annotated[str, Field(pattern=_RUNBOOK)]
SlackWorkspaceId = Annotated[str, Field(pattern=_SLACK_WORKSPACE)]
SlackChannelId = Annotated[str, Field(pattern=_SLACK_CHANNEL)]
Uuid = Annotated[str, Field(pattern=_UUID)]
TeamsChannelId = Annotated[str, Field(pattern=_TEAMS_CHANNEL)]
EmailAddress = Annotated[str, BeforeValidator(_email)]

_T = TypeVar("_T")
Decoded = Annotated[_T, BeforeValidator(_decoded)]
Items = Annotated[tuple[_T, ...], BeforeValidator(as_items)]


class _Model(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        extra="forbid",
        strict=True,
        frozen=True,
    )


class DetectorSettings(_Model):
    """How the stack gets its detector, of which an account has one in each Region."""

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
    aggregation_seconds: Decoded[Literal[60, 600]] = Field(
        default=60, description="width of one record; 600 costs less and shows less"
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
    keep_on_destroy: Decoded[bool] = Field(
        default=False, description="`pulumi destroy` leaves the log group and its key"
    )
    permissions_boundary: PolicyArn | None = Field(
        default=None,
        description="ARN of the policy that the stack's roles may never exceed, if the account demands one",
    )


class AlertSubscriber(_Model):
    """A further subscriber to the alerts."""

    protocol: Literal["email", "email-json", "https", "sqs", "lambda", "sms"] = Field(description="the SNS protocol")
    endpoint: str = Field(
        min_length=1, description="address, URL, ARN or phone number, as the protocol needs; secret unless an address"
    )
    format: MessageFormat = Field(
        default="text",
        description="`text` is the mail for people, `raw` the untouched event for pagers and SIEMs",
    )
    minimum_severity: SeverityName | None = Field(
        default=None, description="the lowest severity this subscriber gets; the stack's unless set"
    )


class SlackSettings(_Model):
    """A Slack channel that gets the alerts."""

    workspace_id: SlackWorkspaceId = Field(description="the workspace, which the account must be connected to by hand")
    channel_id: SlackChannelId = Field(description="the channel in it")
    minimum_severity: SeverityName | None = Field(
        default=None, description="the lowest severity the channel gets; the stack's unless set"
    )


class TeamsSettings(_Model):
    """A Microsoft Teams channel that gets the alerts."""

    tenant_id: Uuid = Field(description="the tenant, which the account must be connected to by hand")
    team_id: Uuid = Field(description="the team in it")
    channel_id: TeamsChannelId = Field(
        description="the team's channel, `19:...@thread.tacv2`, or percent-encoded as in a link to it"
    )
    minimum_severity: SeverityName | None = Field(
        default=None, description="the lowest severity the channel gets; the stack's unless set"
    )


class AlertSettings(_Model):
    """What is sent, and to whom besides alertEmails."""

    include_samples: Decoded[bool] = Field(
        default=True, description="sample findings alert, so that the path can be tested"
    )
    include_archived: Decoded[bool] = Field(default=False, description="findings archived by hand alert too")
    kms_key_arn: KeyArn | None = Field(
        default=None,
        description="a key of yours instead of one made by this stack; "
        "its policy must let EventBridge use it, CloudWatch Logs (for `/threat-monitor/<stack>/flow-logs` and "
        "`/aws/vendedlogs/states/threat-monitor-<stack>`), and roles that the account's IAM policies allow to",
    )
    account_alias: Alias | None = Field(
        default=None, description="a name for the account, shown in mails and chat; ASCII, as subjects are"
    )
    runbooks: Decoded[dict[str, RunbookAddress]] = Field(
        default_factory=dict,
        description='your own runbooks, linked in mails and chat: `{"Recon:EC2/*": "https://..."}`, '
        "keys as in findingTypes; the most specific one wins",
    )
    slack: Decoded[SlackSettings | None] = Field(
        default=None,
        description="a Slack channel: `{workspaceId, channelId, minimumSeverity}`; not in China or GovCloud",
    )
    teams: Decoded[TeamsSettings | None] = Field(
        default=None,
        description="a Microsoft Teams channel: `{tenantId, teamId, channelId, minimumSeverity}`; "
        "not in China or GovCloud",
    )
    subscribers: Items[AlertSubscriber] = Field(
        default=(), description="further subscribers: `{protocol, endpoint, format, minimumSeverity}`"
    )

    @property
    def chats(self) -> Mapping[FormattedChannel, SlackSettings | TeamsSettings]:
        """The chat channels."""
        chats: dict[FormattedChannel, SlackSettings | TeamsSettings | None] = {"slack": self.slack, "teams": self.teams}
        return {channel: chat for channel, chat in chats.items() if chat}

    @property
    def channels(self) -> Sequence[FormattedChannel]:
        """The channels that the state machine sends to."""
        return ["mail", *self.chats]


class HealthSettings(_Model):
    """The alarms on the alert path itself."""

    enabled: Decoded[bool] = Field(
        default=False,
        description="alarms on failed deliveries, unformatted messages, dead letters and missing flow logs",
    )
    emails: Items[EmailAddress] = Field(
        default=(), description="who gets the alarms, by a topic of its own; the addresses of alertEmails unless set"
    )


class Settings(_Model):
    """All settings of one stack. Attributes are the config keys in snake case."""

    subnet_ids: Items[SubnetId] = Field(default=(), description="subnets to log")
    vpc_ids: Items[VpcId] = Field(
        default=(),
        description="whole VPCs to log, which is what EC2.6 and CIS look for; at least one subnet or VPC is needed",
    )
    alert_emails: Items[EmailAddress] = Field(
        default=(), description="who gets the mails; required. `alertEmail: a@example.com` is accepted as a list of one"
    )
    finding_types: Items[str] = Field(
        default=(EVERYTHING,),
        description="which findings alert: exact type, family by a trailing `*` (`Recon:EC2/*`), or `*`",
    )
    minimum_severity: SeverityName | None = Field(
        default=None,
        description="low, medium, high or critical, applied together with findingTypes; "
        "low if findingTypes is set, else medium",
    )
    allow_unknown_finding_types: Decoded[bool] = Field(
        default=False, description="let names through that the catalogue does not know yet, with a warning"
    )
    detector: Decoded[DetectorSettings] = Field(
        default=DetectorSettings(), description="how the stack gets its detector"
    )
    protection_plans: Decoded[dict[PlanName, Decoded[bool]]] = Field(
        default_factory=dict,
        description="paid plans of GuardDuty (s3, eksAudit, malware, rds, lambda, runtime, ai): off unless true; "
        "ai stays as it is",
    )
    finding_publishing_frequency: Literal["FIFTEEN_MINUTES", "ONE_HOUR", "SIX_HOURS"] = Field(
        default="SIX_HOURS", description="how often repeats of a known finding are sent; a new finding never waits"
    )
    flow_logs: Decoded[FlowLogSettings] = Field(default=FlowLogSettings(), description="the flow logs")
    alerts: Decoded[AlertSettings] = Field(default=AlertSettings(), description="the alerts")
    health: Decoded[HealthSettings] = Field(default=HealthSettings(), description="the alarms on the alert path itself")
    protect: Decoded[bool] = Field(
        default=False, description="refuse to delete or replace the detector, the log group and the key"
    )

    @property
    def severity_floor(self) -> SeverityName:
        """Return the lowest severity that alerts."""
        return self.minimum_severity or ("low" if "finding_types" in self.model_fields_set else "medium")

    @property
    def health_emails(self) -> tuple[str, ...]:
        """Return who gets the alarms on the alert path; nobody if they are off."""
        return (self.health.emails or self.alert_emails) if self.health.enabled else ()

    @property
    def declared_plans(self) -> dict[str, bool]:
        """Return each protection plan that the stack declares, on or off: one left out may be on and billed."""
        return {**dict.fromkeys(DEFAULT_PLANS, False), **self.protection_plans}
