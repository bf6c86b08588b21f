"""What ``threatmon verify`` reads of an account: each answer is asked for once, however many checks need it."""

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from threading import Lock
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar
from urllib.parse import unquote

from threatmon.errors import UsageError
from threatmon.evaluation.explain import rules_of
from threatmon.model.settings import Settings
from threatmon.stacks.old_aws import Aws
from threatmon.verify.checks import Answer, Channel, Key, names_of_rules

_SERVICES = ("cloudwatch", "ec2", "events", "guardduty", "kms", "logs", "sns", "sqs")
# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_Filter.html
_MOST_FILTER_VALUES = 200
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DescribeAlarms.html
_MOST_ALARM_NAMES = 100

_Params = ParamSpec("_Params")
_Result = TypeVar("_Result")


class Rule(NamedTuple):
    """A deployed rule; neither state nor pattern where it is gone."""

    state: str | None
    pattern: Any


class NotDeployedError(UsageError):
    """Something the stack should have put into its outputs or its account is not there; ``str()`` of it says what."""


def _once(
    read: Callable[Concatenate["Account", _Params], _Result],
) -> Callable[Concatenate["Account", _Params], _Result]:
    """A reading that is done once, also where several threads want it; its failure is kept too."""

    @functools.wraps(read)
    def answer(self: "Account", *args: _Params.args, **kwargs: _Params.kwargs) -> _Result:
        question = (read.__name__, args)
        with self.lock:
            first = question not in self.answers
            future = self.answers.setdefault(question, Future())
        if first:
            try:
                future.set_result(read(self, *args, **kwargs))
            except Exception as error:  # noqa: BLE001 - whoever asks gets it
                future.set_exception(error)
        return future.result()

    return answer


class Account:
    """The account of a deployed stack. Every reading raises what boto3 raises, and :class:`NotDeployedError`."""

    def __init__(self, aws: Aws, settings: Settings, outputs: Mapping[str, Any]) -> None:
        self.aws, self.settings, self.outputs = aws, settings, outputs
        self.lock = Lock()
        self.answers: dict[Any, Future[Any]] = {}
        # A session is not made for threads, its clients are:
        # https://docs.aws.amazon.com/boto3/latest/guide/clients.html#multithreading-or-multiprocessing-with-clients
        self._clients = {service: aws.client(service) for service in _SERVICES}

    def output(self, name: str) -> Any:
        """An output of the stack."""
        if name not in self.outputs:
            raise NotDeployedError(f"the stack has no output {name}")
        return self.outputs[name]

    def arn(self, service: str, resource: str) -> str:
        """The ARN of a resource of the account and Region."""
        return f"arn:{self.aws.partition}:{service}:{self.aws.region}:{self.aws.account_id}:{resource}"

    @property
    def queue_arn(self) -> str:
        """The dead-letter queue."""
        return self.arn("sqs", self.output("deadLetterQueueUrl").rpartition("/")[2])

    @property
    def dashboard_name(self) -> str:
        """The dashboard."""
        return unquote(self.output("dashboardUrl").rpartition("/")[2])

    @property
    def rule_arns(self) -> list[str]:
        """The stack's rules."""
        return [self.arn("events", f"rule/{name}") for name in self.output("ruleNames")]

    @_once
    def detector(self) -> Answer:
        """GetDetector."""
        return self._clients["guardduty"].get_detector(DetectorId=self.output("detectorId"))

    @_once
    def flow_logs(self) -> list[Answer]:
        """DescribeFlowLogs, of every subnet and VPC of the settings."""
        pages = self._clients["ec2"].get_paginator("describe_flow_logs")
        return [
            flow_log
            for ids in _batches([*self.settings.subnet_ids, *self.settings.vpc_ids], _MOST_FILTER_VALUES)
            for page in pages.paginate(Filters=[{"Name": "resource-id", "Values": ids}])
            for flow_log in page["FlowLogs"]
        ]

    @_once
    def log_group(self) -> Answer | None:
        """The flow logs' log group."""
        name = self.output("logGroupName")
        pages = self._clients["logs"].get_paginator("describe_log_groups").paginate(logGroupNamePrefix=name)
        return next((group for page in pages for group in page["logGroups"] if group["logGroupName"] == name), None)

    @_once
    def rules(self) -> dict[str, Rule]:
        """DescribeRule, of the stack's rules by name."""
        return {name: self._rule(name) for name in self.output("ruleNames")}

    def _rule(self, name: str) -> Rule:
        events = self._clients["events"]
        try:
            answer = events.describe_rule(Name=name)
        except events.exceptions.ResourceNotFoundException:
            return Rule(None, None)
        return Rule(answer["State"], json.loads(answer.get("EventPattern") or "null"))

    @_once
    def rule_name(self, key: str) -> str | None:
        """The name of the deployed rule that is the wanted one of this key."""
        patterns = {name: rule.pattern for name, rule in self.rules().items()}
        return names_of_rules(rules_of(self.settings), patterns).get(key)

    @_once
    def targets(self, rule_name: str) -> list[Answer]:
        """ListTargetsByRule; none where the rule is gone."""
        events = self._clients["events"]
        try:
            return events.list_targets_by_rule(Rule=rule_name)["Targets"]
        except events.exceptions.ResourceNotFoundException:
            return []

    @_once
    def topic_arn(self, channel: Channel) -> str:
        """The topic of a channel. The outputs tell that of the mail; any other is known by what its name ends in."""
        suffix = channel.suffix(self.settings.severity_floor)
        if not suffix:
            return self.output("topicArn")
        arns = {target["Arn"] for name in self.output("ruleNames") for target in self.targets(name)}
        found = next((arn for arn in arns if arn.rpartition("-")[0].endswith(f"-topic{suffix}")), None)
        if found is None:
            raise NotDeployedError(f"no rule sends to a topic{suffix}")
        return found

    @_once
    def topic(self, arn: str) -> Mapping[str, str]:
        """GetTopicAttributes."""
        return self._clients["sns"].get_topic_attributes(TopicArn=arn)["Attributes"]

    @_once
    def queue(self) -> Mapping[str, str]:
        """GetQueueAttributes of the dead-letter queue."""
        url = self.output("deadLetterQueueUrl")
        return self._clients["sqs"].get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]

    @_once
    def key(self, key_id: str) -> Key:
        """DescribeKey and GetKeyPolicy."""
        kms = self._clients["kms"]
        metadata = kms.describe_key(KeyId=key_id)["KeyMetadata"]
        return Key(metadata, kms.get_key_policy(KeyId=metadata["KeyId"], PolicyName="default")["Policy"])

    @_once
    def rules_on(self, topic_arn: str) -> list[str]:
        """ListRuleNamesByTarget."""
        pages = self._clients["events"].get_paginator("list_rule_names_by_target").paginate(TargetArn=topic_arn)
        return [name for page in pages for name in page["RuleNames"]]

    @_once
    def subscriptions(self, topic_arn: str) -> list[Answer]:
        """ListSubscriptionsByTopic."""
        pages = self._clients["sns"].get_paginator("list_subscriptions_by_topic").paginate(TopicArn=topic_arn)
        return [subscription for page in pages for subscription in page["Subscriptions"]]

    @_once
    def subscription(self, arn: str) -> Mapping[str, str]:
        """GetSubscriptionAttributes."""
        return self._clients["sns"].get_subscription_attributes(SubscriptionArn=arn)["Attributes"]

    @_once
    def alarms(self) -> dict[str, Answer]:
        """DescribeAlarms, by name."""
        pages = self._clients["cloudwatch"].get_paginator("describe_alarms")
        return {
            alarm["AlarmName"]: alarm
            for names in _batches(self.outputs.get("alarmNames", ()), _MOST_ALARM_NAMES)
            for page in pages.paginate(AlarmNames=names)
            for alarm in page["MetricAlarms"]
        }

    def alarm_topic_arn(self) -> str:
        """The topic the alarms notify."""
        arns = {arn for alarm in self.alarms().values() for arn in alarm.get("AlarmActions", ())}
        if not arns:
            raise NotDeployedError("no alarm notifies a topic")
        return min(arns)


def _batches(names: Sequence[str], size: int) -> list[list[str]]:
    return [list(names[start : start + size]) for start in range(0, len(names), size)]
