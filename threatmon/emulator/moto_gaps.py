"""Corrects what moto answers differently from AWS, at botocore's event hooks, for all clients of an account."""

import uuid
from dataclasses import dataclass, field
from typing import Any

from botocore.hooks import BaseEventHooks

from threatmon.emulator.answers import Params, Refusal, in_place_of_moto, remember
from threatmon.emulator.chat_configurations import ChatConfigurations
from threatmon.emulator.inside import Account
from threatmon.emulator.messages import check_notification, check_queue_message
from threatmon.emulator.permissions import find_role, key_refusal
from threatmon.emulator.step_functions import StepFunctions
from threatmon.emulator.subscriptions import notifications

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


def close_gaps(events: BaseEventHooks, account: Account) -> None:
    """Register on a session's events what moto lacks or does differently."""
    gaps, machines = _Gaps(account), StepFunctions(account)
    for operation, answer in {
        "cloudwatch-logs.PutQueryDefinition": gaps.put_query,
        "cloudwatch-logs.DescribeQueryDefinitions": gaps.describe_queries,
        "cloudwatch-logs.DeleteQueryDefinition": gaps.delete_query,
        "cloudwatch-logs.AssociateKmsKey": gaps.set_log_group_key,
        "cloudwatch-logs.DisassociateKmsKey": gaps.set_log_group_key,
        "guardduty.TagResource": gaps.tag_detector,
        "guardduty.UntagResource": gaps.untag_detector,
        "guardduty.ListTagsForResource": lambda asked: {"Tags": dict(gaps.detector_tags(asked))},
        "sns.Publish": gaps.publish,
        "sqs.SendMessage": gaps.sending,
        "sfn.StartExecution": machines.starting,
        "sfn.GetExecutionHistory": machines.history,
        "sfn.ValidateStateMachineDefinition": machines.validate,
        "sfn.TestState": machines.test,
        **{f"chatbot.{name}": operation for name, operation in ChatConfigurations(account).operations()},
    }.items():
        events.register(f"before-call.{operation}", in_place_of_moto(answer))
    for event, handler in {
        "before-sign.*.*": gaps.name_the_account,
        "before-parameter-build.*.*": remember,
        "after-call.cloudwatch-logs.CreateLogGroup": gaps.log_group_created,
        "after-call.cloudwatch-logs.DescribeLogGroups": gaps.log_groups_described,
        "before-parameter-build.guardduty.CreateDetector": gaps.creating_detector,
        "before-parameter-build.guardduty.UpdateDetector": gaps.updating_detector,
        "after-call.sfn.StartExecution": machines.started,
        "after-call.sns.Subscribe": gaps.subscribed,
        "after-call.sns.ListSubscriptions": gaps.subscriptions_listed,
        "after-call.sns.ListSubscriptionsByTopic": gaps.subscriptions_listed,
        "before-parameter-build.ec2.CreateFlowLogs": gaps.creating_flow_logs,
        "after-call.ec2.CreateFlowLogs": gaps.flow_logs_created,
        "after-call.ec2.DescribeFlowLogs": gaps.flow_logs_described,
    }.items():
        events.register(event, handler)


@dataclass
class _Gaps:
    account: Account
    queries: dict[str, Params] = field(default_factory=dict[str, Params])

    def name_the_account(self, request: Any, **_: Any) -> None:
        request.headers["x-moto-account-id"] = self.account.account_id

    # Saved queries of CloudWatch Logs, which moto does not have

    def put_query(self, asked: Params) -> Params:
        query_id = asked.get("queryDefinitionId") or str(uuid.uuid4())
        self.queries[query_id] = {**asked, "queryDefinitionId": query_id}
        return {"queryDefinitionId": query_id}

    def describe_queries(self, asked: Params) -> Params:
        prefix = asked.get("queryDefinitionNamePrefix", "")
        return {"queryDefinitions": [query for query in self.queries.values() if query["name"].startswith(prefix)]}

    def delete_query(self, asked: Params) -> Params:
        del self.queries[asked["queryDefinitionId"]]
        return {"success": True}

    # Log groups: moto sets the key at creation only, and drops the class

    def set_log_group_key(self, asked: Params) -> Params:
        self.account.backend("logs").groups[asked["logGroupName"]].kms_key_id = asked.get("kmsKeyId")
        return {}

    def log_group_created(self, parsed: Params, context: Params, **_: Any) -> None:
        asked = context["asked"]
        if "Error" not in parsed:
            self.account.backend("logs").groups[asked["logGroupName"]].log_class = asked.get(
                "logGroupClass", "STANDARD"
            )

    def log_groups_described(self, parsed: Params, **_: Any) -> None:
        for group in parsed.get("logGroups", ()):
            stored = self.account.backend("logs").groups[group["logGroupName"]]
            group["logGroupClass"] = getattr(stored, "log_class", "STANDARD")

    # Detectors: moto drops the features that a request does not name, and sets tags at creation only

    def creating_detector(self, params: Params, **_: Any) -> None:
        new = [{"Name": name, "Status": status} for name, status in _NEW_DETECTOR_FEATURES.items()]
        params["Features"] = _merged(new, params.get("Features", []))

    def updating_detector(self, params: Params, **_: Any) -> None:
        if "Features" in params:
            detector = self.account.client("guardduty").get_detector(DetectorId=params["DetectorId"])
            params["Features"] = _merged(detector["Features"], params["Features"])

    def detector_tags(self, asked: Params) -> dict[str, str]:
        return self.account.backend("guardduty").detectors[asked["ResourceArn"].rpartition("/")[2]].tags

    def tag_detector(self, asked: Params) -> Params:
        self.detector_tags(asked).update(asked["Tags"])
        return {}

    def untag_detector(self, asked: Params) -> Params:
        for key in asked["TagKeys"]:
            self.detector_tags(asked).pop(key, None)
        return {}

    # Subscriptions wait until their reader confirms them; moto confirms at once:
    # https://docs.aws.amazon.com/sns/latest/dg/sns-email-notifications.html

    def subscribed(self, parsed: Params, context: Params, **_: Any) -> None:
        asked = context["asked"]
        if "Error" not in parsed and asked["Protocol"] in _CONFIRMED_BY_HAND:
            attributes = self.account.backend("sns").subscriptions[parsed["SubscriptionArn"]].attributes
            attributes.update(PendingConfirmation=True, ConfirmationWasAuthenticated=False)
            if not asked.get("ReturnSubscriptionArn"):
                parsed["SubscriptionArn"] = "pending confirmation"

    def subscriptions_listed(self, parsed: Params, **_: Any) -> None:
        subscriptions = self.account.backend("sns").subscriptions
        for entry in parsed.get("Subscriptions", ()):
            if subscriptions[entry["SubscriptionArn"]].attributes["PendingConfirmation"]:
                entry["SubscriptionArn"] = "PendingConfirmation"

    # Messages: moto checks little of them, posts to https endpoints, and keeps nothing of what a subscriber gets

    def publish(self, asked: Params) -> Params:
        published = {"TopicArn": asked.get("TargetArn", ""), **asked}
        topic = self.account.backend("sns").topics.get(published["TopicArn"])
        if topic is None:
            raise Refusal("NotFound", "Topic does not exist")
        check_notification(published)
        if refused := key_refusal(self.account, topic.kms_master_key_id, lambda *_: True):
            raise Refusal(refused, f"{topic.kms_master_key_id} cannot be used")
        self.account.notifications += notifications(self.account, published)
        message_id = str(uuid.uuid4())
        sent = (message_id, asked["Message"], asked.get("Subject"), asked.get("MessageAttributes", {}), None)
        topic.sent_notifications.append(sent)
        return {"MessageId": message_id}

    def sending(self, asked: Params) -> None:
        queue = self.account.backend("sqs").queues.get(asked["QueueUrl"].rpartition("/")[2])
        if queue is not None:
            check_queue_message(asked, int(queue.maximum_message_size))

    # AWS refuses a second flow log only if the whole configuration is the same, moto if resource and destination are.
    # A random log group name makes each call different; the right name is set afterwards.

    def creating_flow_logs(self, params: Params, **_: Any) -> None:
        if ":log-group:" in params.get("LogDestination", ""):
            params["LogGroupName"] = str(uuid.uuid4())

    def flow_logs_created(self, parsed: Params, **_: Any) -> None:
        for flow_log_id in parsed.get("FlowLogIds", ()):
            flow_log = self.account.backend("ec2").flow_logs[flow_log_id]
            if flow_log.log_destination:
                flow_log.log_group_name = flow_log.log_destination.partition(":log-group:")[2] or None

    def flow_logs_described(self, parsed: Params, **_: Any) -> None:
        for flow_log in parsed.get("FlowLogs", ()):
            flow_log.pop("DeliverLogsErrorMessage", None)
            failure = {"DeliverLogsStatus": "FAILED", "DeliverLogsErrorMessage": "Access error"}
            flow_log.update({"DeliverLogsStatus": "SUCCESS"} if self._delivers(flow_log) else failure)

    def _delivers(self, flow_log: Params) -> bool:
        """Return whether the group exists and the role may write to it.

        https://docs.aws.amazon.com/vpc/latest/userguide/flow-logs-troubleshooting.html
        """
        group = self.account.backend("logs").groups.get(flow_log.get("LogGroupName"))
        role = find_role(self.account, flow_log.get("DeliverLogsPermissionArn"))
        if group is None or role is None:
            return False
        actions = ("logs:CreateLogStream", "logs:PutLogEvents")
        return all(role.allows(action, f"{group.arn}:log-stream:any") for action in actions)


def _merged(old: list[Params], new: list[Params]) -> list[Params]:
    return list({feature["Name"]: feature for feature in (*old, *new)}.values())
