"""The formatter of mails and chat notifications: JSONata, composed of the texts in ``mail/``.

AWS Step Functions evaluates each expression in a Task's ``Arguments``, with the event as ``$states.input``; this module
only puts the text together. How to change a text: docs/mail.md.
https://docs.aws.amazon.com/step-functions/latest/dg/transforming-data.html
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from threatmon.model import console_urls, queries
from threatmon.model.finding_types import is_family
from threatmon.model.severity import BANDS

_FOLDER = Path(__file__).parent / "mail"
# A file may use at once what stands in a file before it, and inside functions what stands anywhere.
_FACTS = (
    "helpers",
    "finding",
    "families/ec2",
    "families/iam",
    "families/s3",
    "families/containers",
    "families/kubernetes",
    "families/lambda",
    "families/rds",
    "families/malware",
    "families/runtime",
    "actions",
    "families/sequence",
    "families/ai",
    "families/generic",
    "body",
    "links",
    "subject",
    "attributes",
)
# A string, a regular expression (which a division cannot be taken for: it follows no such character), a comment, white
# space, or anything else.
_TOKEN = re.compile(r'("(?:\\.|[^"\\])*")|([,(?:])\s*(/(?!\*)(?:\\.|[^/\\\n])+/)|/\*.*?\*/|(\s+)|(.)', re.DOTALL)
_WORD = re.compile(r'[\w$"]')

# Members of a finding and of its resource, action and service that the texts write down, or that say nothing to a
# reader; all others are shown as they are.
_KNOWN = {
    "finding": (
        *("accountId", "archived", "arn", "associatedAttackSequenceArn", "confidence", "createdAt"),
        *("customDetectionRuleName", "description", "detectorId", "eventFirstSeen", "eventLastSeen", "findingType"),
        *("findingTypeVersion", "id", "partition", "region", "resource", "schemaVersion", "service", "severity"),
        *("title", "type", "updatedAt"),
    ),
    "resource": (
        "resourceType",
        "accessKeyDetails",
        "bedrockGuardrailDetails",
        "containerDetails",
        "ebsSnapshotDetails",
        "ebsVolumeDetails",
        "ec2ImageDetails",
        "ecsClusterDetails",
        "eksClusterDetails",
        "instanceDetails",
        "kubernetesDetails",
        "lambdaDetails",
        "modelDetails",
        "rdsDbInstanceDetails",
        "rdsDbUserDetails",
        "rdsLimitlessDbDetails",
        "recoveryPointDetails",
        "s3BucketDetails",
    ),
    "action": (
        "actionType",
        "awsApiCallAction",
        "dnsRequestAction",
        "kubernetesApiCallAction",
        "kubernetesPermissionCheckedDetails",
        "kubernetesRoleBindingDetails",
        "kubernetesRoleDetails",
        "networkConnectionAction",
        "portProbeAction",
        "rdsLoginAttemptAction",
    ),
    "service": (
        "action",
        "additionalInfo",
        "archived",
        "count",
        "detection",
        "detectorId",
        "ebsVolumeScanDetails",
        "eventFirstSeen",
        "eventLastSeen",
        "evidence",
        "featureName",
        "malwareScanDetails",
        "resourceRole",
        "runtimeDetails",
        "serviceName",
        "userFeedback",
    ),
}


@dataclass(frozen=True)
class MailOptions:
    """What mails of a stack know besides the finding.

    ``account`` and ``region`` are the stack's own: the flow logs of ``log_group_name`` and the dashboard are there.
    """

    account: str
    region: str
    partition: str
    account_aliases: Mapping[str, str] = field(default_factory=dict[str, str])
    """name of an account by its id"""
    log_group_name: str | None = None
    dashboard_name: str | None = None
    runbooks: Mapping[str, str] = field(default_factory=dict[str, str])
    """address by finding type, or by family (``Recon:EC2/*``); the most specific one wins"""


def formatter(options: MailOptions) -> str:
    """Return the expression of the mail: ``Subject``, ``Message`` and ``MessageAttributes`` for ``sns:publish``."""
    return _composed(options, "mail")


def chat(options: MailOptions) -> str:
    """Return the expression of the chat notification: ``Message`` and ``MessageAttributes`` for ``sns:publish``."""
    return _composed(options, "chat")


def _composed(options: MailOptions, output: str) -> str:
    # "%}" would end the expression in the state machine's definition.
    constant = json.dumps(_constants(options), separators=(",", ":"), sort_keys=True).replace("%}", r"%\u007d")
    return f"($options:={constant};{_texts(output)})"


@cache
def _texts(output: str) -> str:
    """Return the texts that give an output, without what only readers need."""
    files = (_FOLDER / f"{name}.jsonata" for name in (*_FACTS, output))
    return _compact("\n".join(file.read_text(encoding="utf-8") for file in files))


def _constants(options: MailOptions) -> dict[str, object]:
    """Return what the texts know as ``$options``: data, so that no value of a stack's config can become code."""
    return {
        "account": options.account,
        "region": options.region,
        "partition": options.partition,
        "accountAliases": dict(options.account_aliases),
        "bands": [{"name": band.name.upper(), "minimum": band.minimum or 0} for band in BANDS],
        "links": _links(options),
        "runbooks": [
            {"types": types.removesuffix("*"), "exact": not is_family(types), "address": address}
            for types, address in sorted(options.runbooks.items(), key=_specificity)
        ],
        "known": _KNOWN,
    }


def _specificity(runbook: tuple[str, str]) -> tuple[bool, int]:
    return is_family(runbook[0]), -len(runbook[0])


def _links(options: MailOptions) -> dict[str, str]:
    links = {
        "finding": console_urls.finding(options.partition, "<region>", "<findingId>"),
        "type": console_urls.finding_type("<type>"),
    }
    if options.log_group_name:
        query = queries.traffic_of("<interfaceId>")
        links["traffic"] = console_urls.logs_insights(
            options.partition, options.region, options.log_group_name, query, start="<start>", end="<end>"
        )
    if options.dashboard_name:
        links["dashboard"] = console_urls.dashboard(options.partition, options.region, options.dashboard_name)
    return links


def _compact(text: str) -> str:
    """Return an expression without its comments and the white space that no token needs."""
    compact: list[str] = []
    space = False
    for token in _TOKEN.finditer(text):
        text, before, expression, _, other = token.groups(default="")
        kept = text + before + expression + other
        if not kept:
            space = True
            continue
        if space and compact and _WORD.match(compact[-1][-1]) and _WORD.match(kept):
            compact.append(" ")
        compact.append(kept)
        space = False
    return "".join(compact)
