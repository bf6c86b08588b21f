"""Corrects what moto answers differently from AWS, at botocore's event hooks, for all clients of an account.

https://boto3.amazonaws.com/v1/documentation/api/latest/guide/events.html
A `before-call` handler that returns an answer replaces the call; an `after-call` handler may change the answer.
"""

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

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


def close_gaps(
    events: BaseEventHooks, account_id: str, client: Callable[[str], Any], backend: Callable[[str], Any]
) -> None:
    """Register on a session's events what moto lacks or does differently.

    `client` returns the account's client of a service, `backend` moto's store of it.
    """
    gaps = _Gaps(account_id, client, backend)
    for operation, answer in {
        "cloudwatch-logs.PutQueryDefinition": gaps.put_query,
        "cloudwatch-logs.DescribeQueryDefinitions": gaps.describe_queries,
        "cloudwatch-logs.DeleteQueryDefinition": gaps.delete_query,
        "cloudwatch-logs.AssociateKmsKey": gaps.set_log_group_key,
        "cloudwatch-logs.DisassociateKmsKey": gaps.set_log_group_key,
        "guardduty.TagResource": gaps.tag_detector,
        "guardduty.UntagResource": gaps.untag_detector,
        "guardduty.ListTagsForResource": lambda asked: {"Tags": dict(gaps.detector_tags(asked))},
    }.items():
        events.register(f"before-call.{operation}", _in_place_of_moto(answer))
    for event, handler in {
        "before-sign.*.*": gaps.name_the_account,
        "before-parameter-build.*.*": _remember,
        "after-call.cloudwatch-logs.CreateLogGroup": gaps.log_group_created,
        "after-call.cloudwatch-logs.DescribeLogGroups": gaps.log_groups_described,
        "before-parameter-build.guardduty.CreateDetector": gaps.creating_detector,
        "before-parameter-build.guardduty.UpdateDetector": gaps.updating_detector,
        "after-call.sns.Subscribe": gaps.subscribed,
        "after-call.sns.ListSubscriptions": gaps.subscriptions_listed,
        "after-call.sns.ListSubscriptionsByTopic": gaps.subscriptions_listed,
        "before-parameter-build.ec2.CreateFlowLogs": gaps.creating_flow_logs,
        "after-call.ec2.CreateFlowLogs": gaps.flow_logs_created,
        "after-call.ec2.DescribeFlowLogs": gaps.flow_logs_described,
    }.items():
        events.register(event, handler)


def _remember(params: _Params, context: _Params, **_: Any) -> None:
    context["asked"] = params


def _in_place_of_moto(operation: Callable[[_Params], _Params]) -> Callable[..., Any]:
    def handler(context: _Params, **_: Any) -> tuple[AWSResponse, _Params]:
        answer = operation(context["asked"])
        return AWSResponse("", 200, HTTPHeaders(), None), {**answer, "ResponseMetadata": {"HTTPStatusCode": 200}}

    return handler


@dataclass
class _Gaps:
    account_id: str
    client: Callable[[str], Any]
    backend: Callable[[str], Any]
    queries: dict[str, _Params] = field(default_factory=dict[str, _Params])

    def name_the_account(self, request: Any, **_: Any) -> None:
        request.headers["x-moto-account-id"] = self.account_id

    # Saved queries of CloudWatch Logs, which moto does not have

    def put_query(self, asked: _Params) -> _Params:
        query_id = asked.get("queryDefinitionId") or str(uuid.uuid4())
        self.queries[query_id] = {**asked, "queryDefinitionId": query_id}
        return {"queryDefinitionId": query_id}

    def describe_queries(self, asked: _Params) -> _Params:
        prefix = asked.get("queryDefinitionNamePrefix", "")
        return {"queryDefinitions": [query for query in self.queries.values() if query["name"].startswith(prefix)]}

    def delete_query(self, asked: _Params) -> _Params:
        del self.queries[asked["queryDefinitionId"]]
        return {"success": True}

    # Log groups: moto sets the key at creation only, and drops the class

    def set_log_group_key(self, asked: _Params) -> _Params:
        self.backend("logs").groups[asked["logGroupName"]].kms_key_id = asked.get("kmsKeyId")
        return {}

    def log_group_created(self, parsed: _Params, context: _Params, **_: Any) -> None:
        asked = context["asked"]
        if "Error" not in parsed:
            self.backend("logs").groups[asked["logGroupName"]].log_class = asked.get("logGroupClass", "STANDARD")

    def log_groups_described(self, parsed: _Params, **_: Any) -> None:
        for group in parsed.get("logGroups", ()):
            stored = self.backend("logs").groups[group["logGroupName"]]
            group["logGroupClass"] = getattr(stored, "log_class", "STANDARD")

    # Detectors: moto drops the features that a request does not name, and sets tags at creation only

    def creating_detector(self, params: _Params, **_: Any) -> None:
        new = [{"Name": name, "Status": status} for name, status in _NEW_DETECTOR_FEATURES.items()]
        params["Features"] = _merged(new, params.get("Features", []))

    def updating_detector(self, params: _Params, **_: Any) -> None:
        if "Features" in params:
            detector = self.client("guardduty").get_detector(DetectorId=params["DetectorId"])
            params["Features"] = _merged(detector["Features"], params["Features"])

    def detector_tags(self, asked: _Params) -> dict[str, str]:
        return self.backend("guardduty").detectors[asked["ResourceArn"].rpartition("/")[2]].tags

    def tag_detector(self, asked: _Params) -> _Params:
        self.detector_tags(asked).update(asked["Tags"])
        return {}

    def untag_detector(self, asked: _Params) -> _Params:
        for key in asked["TagKeys"]:
            self.detector_tags(asked).pop(key, None)
        return {}

    # Subscriptions wait until their reader confirms them; moto confirms at once:
    # https://docs.aws.amazon.com/sns/latest/dg/sns-email-notifications.html

    def subscribed(self, parsed: _Params, context: _Params, **_: Any) -> None:
        asked = context["asked"]
        if "Error" not in parsed and asked["Protocol"] in _CONFIRMED_BY_HAND:
            attributes = self.backend("sns").subscriptions[parsed["SubscriptionArn"]].attributes
            attributes.update(PendingConfirmation=True, ConfirmationWasAuthenticated=False)
            if not asked.get("ReturnSubscriptionArn"):
                parsed["SubscriptionArn"] = "pending confirmation"

    def subscriptions_listed(self, parsed: _Params, **_: Any) -> None:
        subscriptions = self.backend("sns").subscriptions
        for entry in parsed.get("Subscriptions", ()):
            if subscriptions[entry["SubscriptionArn"]].attributes["PendingConfirmation"]:
                entry["SubscriptionArn"] = "PendingConfirmation"

    # AWS refuses a second flow log only if the whole configuration is the same, moto if resource and destination are.
    # A random log group name makes each call different; the right name is set afterwards.

    def creating_flow_logs(self, params: _Params, **_: Any) -> None:
        if ":log-group:" in params.get("LogDestination", ""):
            params["LogGroupName"] = str(uuid.uuid4())

    def flow_logs_created(self, parsed: _Params, **_: Any) -> None:
        for flow_log_id in parsed.get("FlowLogIds", ()):
            flow_log = self.backend("ec2").flow_logs[flow_log_id]
            if flow_log.log_destination:
                flow_log.log_group_name = flow_log.log_destination.partition(":log-group:")[2] or None

    def flow_logs_described(self, parsed: _Params, **_: Any) -> None:
        for flow_log in parsed.get("FlowLogs", ()):
            flow_log.pop("DeliverLogsErrorMessage", None)
            failure = {"DeliverLogsStatus": "FAILED", "DeliverLogsErrorMessage": "Access error"}
            flow_log.update({"DeliverLogsStatus": "SUCCESS"} if self._delivers(flow_log) else failure)

    def _delivers(self, flow_log: _Params) -> bool:
        """Return whether the group exists and the role may write to it.

        https://docs.aws.amazon.com/vpc/latest/userguide/flow-logs-troubleshooting.html
        """
        group = self.backend("logs").groups.get(flow_log.get("LogGroupName"))
        iam = self.client("iam")
        try:
            role = flow_log.get("DeliverLogsPermissionArn", "").rpartition("/")[2]
            names = iam.list_role_policies(RoleName=role)["PolicyNames"] if group else ()
        except iam.exceptions.NoSuchEntityException:
            return False
        policies = [iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"] for name in names]
        return all(
            any(allows(json.dumps(policy), action, f"{group.arn}:log-stream:any") for policy in policies)
            for action in ("logs:CreateLogStream", "logs:PutLogEvents")
        )


def _merged(old: list[_Params], new: list[_Params]) -> list[_Params]:
    return list({feature["Name"]: feature for feature in (*old, *new)}.values())
