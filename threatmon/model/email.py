"""The text of the mail: EventBridge's input transformer, and what it makes of an event.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-transform-target-input.html
The template is one JSON string for each line. EventBridge does not escape the values it fills in, so only fields that
hold a single line are used: ``description``, which may hold line breaks, would make EventBridge refuse the message
(https://docs.aws.amazon.com/guardduty/latest/ug/guardduty_findings_eventbridge.html). What it refuses for another value
goes to the dead-letter queue.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from threatmon.model import console_urls, queries
from threatmon.model.severity import Band

# https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_InputTransformer.html
TEMPLATE_QUOTA = 8192
# Bytes of one message; https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
MESSAGE_QUOTA = 262_144


class Transformer(NamedTuple):
    """An EventBridge input transformer: the JSONPath of each variable, and the template that uses them."""

    input_paths: dict[str, str]
    input_template: str


class InvalidMessageError(ValueError):
    """What EventBridge or SNS would refuse, so that the event goes to the dead-letter queue with this ``code``."""

    code = "INVALID_JSON"


class RefusedMessageError(InvalidMessageError):
    """What SNS would refuse."""

    code = "INVALID_PARAMETER"


_INPUT_PATHS = {
    "account": "$.detail.accountId",
    "count": "$.detail.service.count",
    "findingId": "$.detail.id",
    "firstSeen": "$.detail.service.eventFirstSeen",
    "interfaceId": "$.detail.resource.instanceDetails.networkInterfaces[0].networkInterfaceId",
    "lastSeen": "$.detail.service.eventLastSeen",
    "region": "$.detail.region",
    "resourceType": "$.detail.resource.resourceType",
    "severity": "$.detail.severity",
    "title": "$.detail.title",
    "type": "$.detail.type",
    "updatedAt": "$.detail.updatedAt",
}

# A finding has one of each group, seldom more; the others are left blank.
_RESOURCE_PATHS = {
    "instance": "$.detail.resource.instanceDetails.instanceId",
    "user": "$.detail.resource.accessKeyDetails.userName",
    "bucket": "$.detail.resource.s3BucketDetails[0].name",
    "eksCluster": "$.detail.resource.eksClusterDetails.name",
    "ecsCluster": "$.detail.resource.ecsClusterDetails.name",
    "container": "$.detail.resource.containerDetails.name",
    "function": "$.detail.resource.lambdaDetails.functionName",
    "database": "$.detail.resource.rdsDbInstanceDetails.dbInstanceIdentifier",
    "shardGroup": "$.detail.resource.rdsLimitlessDbDetails.dbShardGroupIdentifier",
    "snapshot": "$.detail.resource.ebsSnapshotDetails.snapshotArn",
    "image": "$.detail.resource.ec2ImageDetails.imageArn",
    "recoveryPoint": "$.detail.resource.recoveryPointDetails.recoveryPointArn",
}
_REMOTE_PATHS = {
    "peer": "$.detail.service.action.networkConnectionAction.remoteIpDetails.ipAddressV4",
    "prober": "$.detail.service.action.portProbeAction.portProbeDetails[0].remoteIpDetails.ipAddressV4",
    "caller": "$.detail.service.action.awsApiCallAction.remoteIpDetails.ipAddressV4",
    "kubernetesCaller": "$.detail.service.action.kubernetesApiCallAction.remoteIpDetails.ipAddressV4",
    "databaseCaller": "$.detail.service.action.rdsLoginAttemptAction.remoteIpDetails.ipAddressV4",
    "domain": "$.detail.service.action.dnsRequestAction.domain",
}


def mail(
    band: Band,
    partition: str,
    account_alias: str | None = None,
    log_group_name: str | None = None,
    dashboard_name: str | None = None,
) -> Transformer:
    """Return the transformer for the rules of one severity band.

    The mail links to the log group and the dashboard, if they are given.
    """
    word = band.name.upper()
    alias = f" ({account_alias})" if account_alias else ""
    lines = [
        f"{word}: <type>",
        "<title>",
        "",
        f"Severity: {word} (<severity>)",
        f"Account: <account>{alias}",
        "Region: <region>",
        f"Resource: <resourceType> {_all(_RESOURCE_PATHS)}",
        f"Remote: {_all(_REMOTE_PATHS)}",
        "First seen: <firstSeen>",
        "Last seen: <lastSeen>",
        "Count: <count>",
        "Finding id: <findingId>",
        "",
        _link("The finding", console_urls.finding(partition, "<region>", "<findingId>")),
        _link("About this finding type", console_urls.finding_type("<type>")),
    ]
    if log_group_name:
        query = queries.by_destination_port("<interfaceId>")
        link = console_urls.logs_insights(
            partition, "<region>", log_group_name, query, start="<firstSeen>", end="<updatedAt>"
        )
        lines.append(_link("Its traffic by destination port", link))
    if dashboard_name:
        link = console_urls.dashboard(partition, "<region>", dashboard_name)
        lines.append(_link("Dashboard and saved queries", link))
    template = "\n".join(json.dumps(line, ensure_ascii=False) for line in lines)
    paths = _INPUT_PATHS | _RESOURCE_PATHS | _REMOTE_PATHS
    return Transformer({name: path for name, path in paths.items() if f"<{name}>" in template}, template)


def _all(paths: Mapping[str, str]) -> str:
    return " ".join(f"<{name}>" for name in paths)


def _link(label: str, url: str) -> str:
    # The space keeps the closing quote of the line, which the reader sees, out of the link.
    return f"{label}: {url} "


def render(transformer: Transformer, event: Mapping[str, Any]) -> str:
    """Return the text that EventBridge sends for an event.

    Raises :class:`InvalidMessageError` if EventBridge would refuse what the template becomes, or SNS the text.
    """
    text = re.sub(
        r"<(\w+)>",
        lambda variable: _value_at(event, transformer.input_paths[variable[1]]),
        transformer.input_template,
    )
    # Only "\n" separates lines: what else str.splitlines splits at may be part of a value.
    for line in text.split("\n"):
        try:
            valid = isinstance(json.loads(line), str)
        except (ValueError, RecursionError) as error:
            raise InvalidMessageError(f"{line!r} is not a JSON text: {error}") from error
        if not valid:
            raise InvalidMessageError(f"{line!r} is not a JSON text")
    return sendable(text)


def sendable(message: str) -> str:
    """Return the message if SNS takes it, else raise :class:`RefusedMessageError`."""
    try:
        size = len(message.encode())
    except UnicodeEncodeError as error:  # half of a surrogate pair
        raise RefusedMessageError(f"the message is not UTF-8: {error.reason}") from None
    if size > MESSAGE_QUOTA:
        raise RefusedMessageError(f"the message has {size:,} bytes, SNS takes {MESSAGE_QUOTA:,}")
    return message


def _value_at(event: Mapping[str, Any], path: str) -> str:
    """Return what EventBridge fills in for a path: nothing if it leads nowhere, a string as it is, else JSON."""
    node: Any = event
    for key, index in re.findall(r"\.(\w+)|\[(\d+)\]", path):
        if key:
            node = node.get(key) if isinstance(node, Mapping) else None
        else:
            node = node[int(index)] if isinstance(node, list) and int(index) < len(node) else None
    if node is None:
        return ""
    return node if isinstance(node, str) else json.dumps(node)
