"""What a deployed stack has in its account: its resources, by their names, and AWS's answers about them."""

import json
from collections.abc import Mapping

from threatmon.aws.errors import AwsError, NotThereError
from threatmon.aws.reader import Answer, Aws, attempt
from threatmon.aws.regions import location_in_region
from threatmon.errors import ThreatmonError
from threatmon.evaluation.explain import rules_of
from threatmon.evaluation.roles import Role, role_of
from threatmon.model import alarms, names
from threatmon.model.channels import TOPICS
from threatmon.model.location import Location
from threatmon.model.settings import Settings
from threatmon.model.state_machine import Definition
from threatmon.verify.recipients import recipients


class NotDeployedError(ThreatmonError):
    """Names something that a deployed stack has, and this one does not."""


class DeployedStack:
    """A stack in its account; all of it has fixed names, so that nobody need ask the stack's state.

    Every reading raises :class:`threatmon.aws.errors.AwsError` or :class:`NotDeployedError`, and is asked for once.
    """

    def __init__(self, aws: Aws, settings: Settings, stack: str) -> None:
        self.aws, self.settings, self.stack = aws, settings, stack
        self.log_group_name = names.log_group(stack)

    @property
    def location(self) -> Location:
        """The account and Region, which AWS is asked for."""
        return location_in_region(self.aws.region, f"stack {self.stack}", self.aws.account_id)

    # -- detection and evidence --

    def detector_id(self) -> str:
        """Return the id of the detector, of which an account has one in each Region."""
        for detector_id in self.aws.read_all("guardduty", "list_detectors"):
            return detector_id
        raise NotDeployedError("the account has no detector in this Region")

    def detector(self) -> Answer:
        """Return GetDetector."""
        return self.aws.read("guardduty", "get_detector", DetectorId=self.detector_id())

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

    def rule_name(self, key: str) -> str:
        """Return the name of one of the settings' rules (``findings-2``)."""
        return names.alert_rule(self.stack, key)

    def rule_names(self) -> list[str]:
        """Return the names of the rules that the settings ask for."""
        return [self.rule_name(rule.key) for rule in rules_of(self.settings)]

    def rule_arns(self) -> list[str]:
        """Return the ARNs of the rules that the settings ask for."""
        return [self.location.arn("events", f"rule/{name}") for name in self.rule_names()]

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
        """Return the topics that the settings ask for, by what they are called within the stack."""
        return {topic: self.topic_arn(topic) for topic in recipients(self.settings)}

    def topic_arn(self, topic: str) -> str:
        """Return the ARN of a topic by what it is called within the stack (``topic-raw``)."""
        component = "alerts" if topic in TOPICS.values() else "alerts-chat"
        return self.location.arn("sns", names.physical(self.stack, f"{component}-{topic}"))

    def topic(self, arn: str) -> Mapping[str, str]:
        """Return GetTopicAttributes."""
        return self.aws.read("sns", "get_topic_attributes", TopicArn=arn)["Attributes"]

    def subscriptions(self, topic_arn: str) -> list[Answer]:
        """Return ListSubscriptionsByTopic."""
        return self.aws.read_all("sns", "list_subscriptions_by_topic", TopicArn=topic_arn)

    def queue_url(self) -> str:
        """Return the URL of the dead-letter queue."""
        return self.aws.read("sqs", "get_queue_url", QueueName=names.dead_letter_queue(self.stack))["QueueUrl"]

    def queue(self) -> Mapping[str, str]:
        """Return GetQueueAttributes of the dead-letter queue."""
        url = self.queue_url()
        return self.aws.read("sqs", "get_queue_attributes", QueueUrl=url, AttributeNames=["All"])["Attributes"]

    def queue_arn(self) -> str:
        """Return the ARN of the dead-letter queue."""
        return self.location.arn("sqs", names.dead_letter_queue(self.stack))

    # -- alarms --

    def alarms(self) -> dict[str, Answer]:
        """Return DescribeAlarms of the stack, by the alarms' names within it."""
        rules, topics = [rule.key for rule in rules_of(self.settings)], recipients(self.settings)
        words = {names.physical(self.stack, f"health-{name}"): name for name, _, _ in alarms.of_stack(rules, topics)}
        answers = self.aws.read_all("cloudwatch", "describe_alarms", AlarmNames=list(words))
        return {words[answer["AlarmName"]]: answer for answer in answers}

    def alarm_topic_arn(self) -> str:
        """Return the ARN of the topic that the alarms notify."""
        return self.location.arn("sns", names.physical(self.stack, "health-topic"))
