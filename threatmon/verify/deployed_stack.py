"""What a deployed stack has in its account: its resources, and AWS's answers about them."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from threatmon.aws.errors import AwsError, NotThereError
from threatmon.aws.reader import Answer, Aws, attempt
from threatmon.aws.regions import location_in_region
from threatmon.errors import ThreatmonError
from threatmon.evaluation.roles import Role, role_of
from threatmon.model import names
from threatmon.model.channels import TOPICS, topic_of
from threatmon.model.location import Location
from threatmon.model.settings import Settings
from threatmon.model.state_machine import Definition, destinations

# What the names of every stack's resources begin with; Pulumi ends them in a random suffix:
# https://www.pulumi.com/docs/iac/concepts/resources/names/#autonaming
ALERTS, HEALTH = "threat-monitor-alerts-", "threat-monitor-health-"

# An output of the stack -> the same, found in an account that has one such stack.
_FIND: Mapping[str, Callable[[Aws], Any]] = {
    "detectorId": lambda aws: next(iter(aws.read_all("guardduty", "list_detectors")), None),
    "ruleNames": lambda aws: [rule["Name"] for rule in aws.read_all("events", "list_rules", NamePrefix=ALERTS)],
    "deadLetterQueueUrl": lambda aws: next(
        iter(aws.read_all("sqs", "list_queues", QueueNamePrefix=f"{ALERTS}dead-letters-")), None
    ),
    "alarmNames": lambda aws: [alarm["AlarmName"] for alarm in _alarms(aws)],
}


class NotDeployedError(ThreatmonError):
    """Names something that a deployed stack has, and this one does not."""


def logical_name(name: str) -> str:
    """Return a resource's name without Pulumi's random suffix."""
    return name.rpartition("-")[0]


def names_by_rule(rule_names: Sequence[str]) -> dict[str, str]:
    """Return the names of deployed rules by the keys they have in the settings (``findings-2``)."""
    return {logical_name(name).removeprefix(ALERTS): name for name in sorted(rule_names, reverse=True)}


class DeployedStack:
    """A stack in its account.

    ``outputs`` are those the engine remembers; without them the stack is found by the names of its resources, which
    needs no access to its state, and an account and Region with one stack. Every reading raises
    :class:`threatmon.aws.errors.AwsError` or :class:`NotDeployedError`, and is asked for once.
    """

    def __init__(self, aws: Aws, settings: Settings, stack: str, outputs: Mapping[str, Any] | None = None) -> None:
        self.aws, self.settings, self.stack = aws, settings, stack
        self.log_group_name = names.log_group(stack)
        self._outputs = outputs

    def output(self, name: str) -> Any:
        """Return an output of the stack."""
        value = _FIND[name](self.aws) if self._outputs is None else self._outputs.get(name)
        if value is None:
            raise NotDeployedError(f"the stack has no {name}")
        return value

    @property
    def location(self) -> Location:
        """The account and Region, which AWS is asked for."""
        return location_in_region(self.aws.region, f"stack {self.stack}", self.aws.account_id)

    # -- detection and evidence --

    def detector(self) -> Answer:
        """Return GetDetector."""
        return self.aws.read("guardduty", "get_detector", DetectorId=self.output("detectorId"))

    def flow_logs(self) -> list[Answer]:
        """Return DescribeFlowLogs, of the whole account and Region."""
        return self.aws.read_all("ec2", "describe_flow_logs")

    def subnets(self) -> list[Answer]:
        """Return DescribeSubnets, of the whole account and Region."""
        return self.aws.read_all("ec2", "describe_subnets")

    def log_group(self, name: str) -> Answer | None:
        """Return a log group; None if it is gone."""
        groups = self.aws.read_all("logs", "describe_log_groups", logGroupNamePrefix=name)
        return next((group for group in groups if group["logGroupName"] == name), None)

    # -- choice --

    def rule_name(self, key: str) -> str | None:
        """Return the name of the deployed rule for one of the settings' (``findings-2``)."""
        return names_by_rule(self.output("ruleNames")).get(key)

    def rule_arns(self) -> list[str]:
        """Return the ARNs of the stack's rules."""
        return [self.location.arn("events", f"rule/{name}") for name in self.output("ruleNames")]

    def rule(self, name: str) -> Answer | None:
        """Return DescribeRule; None if the rule is gone."""
        found = attempt(lambda: self.aws.read("events", "describe_rule", Name=name), NotThereError)
        return None if isinstance(found, AwsError) else found

    def targets(self, rule_name: str) -> list[Answer]:
        """Return ListTargetsByRule; nothing if the rule is gone."""
        found = attempt(lambda: self.aws.read_all("events", "list_targets_by_rule", Rule=rule_name), NotThereError)
        return [] if isinstance(found, AwsError) else found

    # -- delivery --

    def machine_arn(self) -> str:
        """Return the ARN of the state machine."""
        return self.location.arn("states", f"stateMachine:{names.state_machine(self.stack)}")

    def machine(self) -> Answer:
        """Return DescribeStateMachine."""
        return self.aws.read("stepfunctions", "describe_state_machine", stateMachineArn=self.machine_arn())

    def definition(self) -> Definition:
        """Return the definition of the state machine."""
        return json.loads(self.machine()["definition"])

    def role(self, arn: str) -> Role:
        """Return a role of the account."""
        name = arn.rpartition("/")[2]
        role = self.aws.read("iam", "get_role", RoleName=name)["Role"]
        policies = [
            self.aws.read("iam", "get_role_policy", RoleName=name, PolicyName=policy)["PolicyDocument"]
            for policy in self.aws.read_all("iam", "list_role_policies", RoleName=name)
        ]
        return role_of(arn, role["AssumeRolePolicyDocument"], policies)

    def topic_arns(self) -> dict[str, str]:
        """Return the topics that are sent to, as far as there are any, by what they are called within the stack."""
        formatted = attempt(self._formatted_topics, NotThereError)
        return ({} if isinstance(formatted, AwsError) else formatted) | self._raw_topics()

    def topic_arn(self, topic: str) -> str:
        """Return the topic of a name within the stack (``topic-raw``) that is sent to, whatever others are called."""
        if topic == TOPICS["text"] and self._outputs and "topicArn" in self._outputs:
            return self._outputs["topicArn"]
        if topic == TOPICS["raw"]:
            missing, found = f"no rule sends to a {topic}", self._raw_topics()
        else:
            missing, found = f"the state machine sends to no {topic}", self._formatted_topics()
        if topic not in found:
            raise NotDeployedError(missing)
        return found[topic]

    def _formatted_topics(self) -> dict[str, str]:
        sent_to = destinations(self.definition()).topic_arns
        topics = {topic_of(channel): arn for channel, arn in sent_to.items()}
        return {topic: arn for topic, arn in topics.items() if _is_ours(arn, topic)}

    def _raw_topics(self) -> dict[str, str]:
        raw = TOPICS["raw"]
        arns = {target["Arn"] for name in self.output("ruleNames") for target in self.targets(name)}
        return {raw: min(ours)} if (ours := [arn for arn in arns if _is_ours(arn, raw)]) else {}

    def topic(self, arn: str) -> Mapping[str, str]:
        """Return GetTopicAttributes."""
        return self.aws.read("sns", "get_topic_attributes", TopicArn=arn)["Attributes"]

    def subscriptions(self, topic_arn: str) -> list[Answer]:
        """Return ListSubscriptionsByTopic."""
        return self.aws.read_all("sns", "list_subscriptions_by_topic", TopicArn=topic_arn)

    def queue(self) -> Mapping[str, str]:
        """Return GetQueueAttributes of the dead-letter queue."""
        url = self.output("deadLetterQueueUrl")
        return self.aws.read("sqs", "get_queue_attributes", QueueUrl=url, AttributeNames=["All"])["Attributes"]

    def queue_arn(self) -> str:
        """Return the ARN of the dead-letter queue."""
        return self.location.arn("sqs", self.output("deadLetterQueueUrl").rpartition("/")[2])

    # -- alarms --

    def alarms(self) -> dict[str, Answer]:
        """Return DescribeAlarms of the stack, by the alarms' names within it."""
        known = set(self.output("alarmNames"))
        ours = (alarm for alarm in _alarms(self.aws) if alarm["AlarmName"] in known)
        return {logical_name(alarm["AlarmName"]).removeprefix(HEALTH): alarm for alarm in ours}

    def alarm_topic_arn(self) -> str:
        """Return the topic that the alarms notify."""
        arns = {arn for alarm in self.alarms().values() for arn in alarm.get("AlarmActions", ())}
        if not arns:
            raise NotDeployedError("no alarm notifies a topic")
        return min(arns)


def _alarms(aws: Aws) -> list[Answer]:
    return aws.read_all("cloudwatch", "describe_alarms", AlarmNamePrefix=HEALTH)


def _is_ours(arn: str, topic: str) -> bool:
    """Say whether an ARN is of what a stack calls ``topic``; that of a chat channel has a component of its own."""
    *_, service, _, _, name = arn.split(":", 5)
    return service == "sns" and logical_name(name) in (f"{ALERTS}{topic}", f"{ALERTS}chat-{topic}")
