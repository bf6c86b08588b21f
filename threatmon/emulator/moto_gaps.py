"""Corrects what moto answers differently from AWS, at botocore's event hooks, for all clients of an account.

https://boto3.amazonaws.com/v1/documentation/api/latest/guide/events.html
A `before-call` handler that returns an answer replaces the call; an `after-call` handler may change the answer.
"""

import json
import uuid
from collections.abc import Callable
from typing import Any, Protocol

from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.hooks import BaseEventHooks

from threatmon.evaluation.policy_evaluator import allows

_Params = dict[str, Any]
# Protocols whose subscriber has to confirm: https://docs.aws.amazon.com/sns/latest/api/API_Subscribe.html
_CONFIRMED_BY_HAND = frozenset({"email", "email-json", "http", "https"})
# What a new detector has on or off by itself:
# https://docs.aws.amazon.com/guardduty/latest/APIReference/API_CreateDetector.html
_NEW_DETECTOR_FEATURES = {
    "CLOUD_TRAIL": "ENABLED",
    "DNS_LOGS": "ENABLED",
    "FLOW_LOGS": "ENABLED",
    "S3_DATA_EVENTS": "ENABLED",
    "EKS_AUDIT_LOGS": "ENABLED",
    "EBS_MALWARE_PROTECTION": "ENABLED",
    "RDS_LOGIN_EVENTS": "ENABLED",
    "LAMBDA_NETWORK_LOGS": "ENABLED",
    "EKS_RUNTIME_MONITORING": "DISABLED",
    "RUNTIME_MONITORING": "DISABLED",
}


class MotoAccount(Protocol):
    """What the corrections need of an account: its clients, and moto's stores of its services."""

    account_id: str

    def client(self, service: str) -> Any:
        """Return the boto3 client of a service."""

    def backend(self, service: str) -> Any:
        """Return moto's store of a regional service."""


def close_gaps(account: MotoAccount, events: BaseEventHooks) -> None:
    """Register on a session's events what moto lacks or does differently."""

    def in_this_account(request: Any, **_: Any) -> None:
        request.headers["x-moto-account-id"] = account.account_id

    def remember(params: _Params, context: _Params, **_: Any) -> None:
        context["asked"] = params

    events.register("before-sign.*.*", in_this_account)
    events.register("before-parameter-build.*.*", remember)
    for close in (
        _query_definitions,
        _log_group_keys,
        _log_group_class,
        _detector_features,
        _detector_tags,
        _pending_subscriptions,
        _flow_logs,
    ):
        close(account, events)


def _answer(operation: Callable[[_Params], _Params]) -> Callable[..., Any]:
    """Return a `before-call` handler that carries out an operation which moto has not implemented."""

    def handler(context: _Params, **_: Any) -> tuple[AWSResponse, _Params]:
        answer = operation(context["asked"])
        return AWSResponse("", 200, HTTPHeaders(), None), {**answer, "ResponseMetadata": {"HTTPStatusCode": 200}}

    return handler


def _query_definitions(_: MotoAccount, events: BaseEventHooks) -> None:
    """Keep the saved queries of CloudWatch Logs, which moto does not have."""
    definitions: dict[str, _Params] = {}

    def put(asked: _Params) -> _Params:
        definition_id = asked.get("queryDefinitionId") or str(uuid.uuid4())
        definitions[definition_id] = {**asked, "queryDefinitionId": definition_id}
        return {"queryDefinitionId": definition_id}

    def describe(asked: _Params) -> _Params:
        prefix = asked.get("queryDefinitionNamePrefix", "")
        return {"queryDefinitions": [d for d in definitions.values() if d["name"].startswith(prefix)]}

    def delete(asked: _Params) -> _Params:
        del definitions[asked["queryDefinitionId"]]
        return {"success": True}

    events.register("before-call.cloudwatch-logs.PutQueryDefinition", _answer(put))
    events.register("before-call.cloudwatch-logs.DescribeQueryDefinitions", _answer(describe))
    events.register("before-call.cloudwatch-logs.DeleteQueryDefinition", _answer(delete))


def _detector_features(account: MotoAccount, events: BaseEventHooks) -> None:
    """Keep the features that a request does not name; moto drops them."""

    def creating(params: _Params, **_: Any) -> None:
        new = [{"Name": name, "Status": status} for name, status in _NEW_DETECTOR_FEATURES.items()]
        params["Features"] = merged(new, params.get("Features", []))

    def updating(params: _Params, **_: Any) -> None:
        if "Features" in params:
            detector = account.client("guardduty").get_detector(DetectorId=params["DetectorId"])
            params["Features"] = merged(detector["Features"], params["Features"])

    def merged(old: list[_Params], new: list[_Params]) -> list[_Params]:
        return list({feature["Name"]: feature for feature in (*old, *new)}.values())

    events.register("before-parameter-build.guardduty.CreateDetector", creating)
    events.register("before-parameter-build.guardduty.UpdateDetector", updating)


def _detector_tags(account: MotoAccount, events: BaseEventHooks) -> None:
    """Set the tags of a detector; moto sets them at creation only."""

    def tags(asked: _Params) -> dict[str, str]:
        return account.backend("guardduty").detectors[asked["ResourceArn"].rpartition("/")[2]].tags

    def tag(asked: _Params) -> _Params:
        tags(asked).update(asked["Tags"])
        return {}

    def untag(asked: _Params) -> _Params:
        for key in asked["TagKeys"]:
            tags(asked).pop(key, None)
        return {}

    events.register("before-call.guardduty.TagResource", _answer(tag))
    events.register("before-call.guardduty.UntagResource", _answer(untag))
    events.register("before-call.guardduty.ListTagsForResource", _answer(lambda asked: {"Tags": dict(tags(asked))}))


def _log_group_keys(account: MotoAccount, events: BaseEventHooks) -> None:
    """Set the key of a log group; moto sets it at creation only."""

    def set_key(asked: _Params) -> _Params:
        account.backend("logs").groups[asked["logGroupName"]].kms_key_id = asked.get("kmsKeyId")
        return {}

    events.register("before-call.cloudwatch-logs.AssociateKmsKey", _answer(set_key))
    events.register("before-call.cloudwatch-logs.DisassociateKmsKey", _answer(set_key))


def _log_group_class(_: MotoAccount, events: BaseEventHooks) -> None:
    """Keep the class of a log group; moto drops it."""
    classes: dict[str, str] = {}

    def created(parsed: _Params, context: _Params, **_: Any) -> None:
        if "Error" not in parsed:
            classes[context["asked"]["logGroupName"]] = context["asked"].get("logGroupClass", "STANDARD")

    def described(parsed: _Params, **_: Any) -> None:
        for group in parsed.get("logGroups", ()):
            group["logGroupClass"] = classes.get(group["logGroupName"], "STANDARD")

    events.register("after-call.cloudwatch-logs.CreateLogGroup", created)
    events.register("after-call.cloudwatch-logs.DescribeLogGroups", described)


def _pending_subscriptions(account: MotoAccount, events: BaseEventHooks) -> None:
    """Let a subscription wait until its reader confirms it; moto confirms at once.

    https://docs.aws.amazon.com/sns/latest/dg/sns-email-notifications.html
    """

    def subscribed(parsed: _Params, context: _Params, **_: Any) -> None:
        asked = context["asked"]
        if "Error" not in parsed and asked["Protocol"] in _CONFIRMED_BY_HAND:
            attributes = account.backend("sns").subscriptions[parsed["SubscriptionArn"]].attributes
            attributes.update(PendingConfirmation=True, ConfirmationWasAuthenticated=False)
            if not asked.get("ReturnSubscriptionArn"):
                parsed["SubscriptionArn"] = "pending confirmation"

    def listed(parsed: _Params, **_: Any) -> None:
        subscriptions = account.backend("sns").subscriptions
        for entry in parsed.get("Subscriptions", ()):
            if subscriptions[entry["SubscriptionArn"]].attributes["PendingConfirmation"]:
                entry["SubscriptionArn"] = "PendingConfirmation"

    events.register("after-call.sns.Subscribe", subscribed)
    events.register("after-call.sns.ListSubscriptions", listed)
    events.register("after-call.sns.ListSubscriptionsByTopic", listed)


def _flow_logs(account: MotoAccount, events: BaseEventHooks) -> None:
    """Allow flow logs that differ in more than moto compares, and say whether each can deliver.

    AWS refuses a second flow log only if the whole configuration is the same, moto if resource and destination are. A
    random log group name makes each call different; the right name is set afterwards.
    """

    def creating(params: _Params, **_: Any) -> None:
        if ":log-group:" in params.get("LogDestination", ""):
            params["LogGroupName"] = str(uuid.uuid4())

    def created(parsed: _Params, **_: Any) -> None:
        for flow_log_id in parsed.get("FlowLogIds", ()):
            flow_log = account.backend("ec2").flow_logs[flow_log_id]
            if flow_log.log_destination:
                flow_log.log_group_name = flow_log.log_destination.partition(":log-group:")[2] or None

    def described(parsed: _Params, **_: Any) -> None:
        for flow_log in parsed.get("FlowLogs", ()):
            flow_log.pop("DeliverLogsErrorMessage", None)
            flow_log["DeliverLogsStatus"] = "SUCCESS" if delivers(flow_log) else "FAILED"
            if flow_log["DeliverLogsStatus"] == "FAILED":
                flow_log["DeliverLogsErrorMessage"] = "Access error"

    def delivers(flow_log: _Params) -> bool:
        """Return whether the group exists and the role may write to it.

        https://docs.aws.amazon.com/vpc/latest/userguide/flow-logs-troubleshooting.html
        """
        group = flow_log.get("LogGroupName")
        groups = account.client("logs").describe_log_groups(logGroupNamePrefix=group)["logGroups"] if group else []
        role = flow_log.get("DeliverLogsPermissionArn", "").rpartition("/")[2]
        return any(
            found["logGroupName"] == group and _may_write(account, role, f"{found['logGroupArn']}:log-stream:any")
            for found in groups
        )

    events.register("before-parameter-build.ec2.CreateFlowLogs", creating)
    events.register("after-call.ec2.CreateFlowLogs", created)
    events.register("after-call.ec2.DescribeFlowLogs", described)


def _may_write(account: MotoAccount, role: str, log_stream_arn: str) -> bool:
    iam = account.client("iam")
    try:
        names = iam.list_role_policies(RoleName=role)["PolicyNames"]
    except iam.exceptions.NoSuchEntityException:
        return False
    policies = [iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"] for name in names]
    return all(
        any(allows(json.dumps(policy), action, log_stream_arn) for policy in policies)
        for action in ("logs:CreateLogStream", "logs:PutLogEvents")
    )
