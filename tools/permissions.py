"""The IAM policy documents of the commands, from the actions each of them names.

Which actions can be limited to resources, and to which:
https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from threatmon.evaluation.iam_wildcards import matches
from threatmon.model import names
from threatmon.model.location import Location
from threatmon.model.policies import Document, policy_document


class UnknownActionError(ValueError):
    """Names the actions that no scope has, and says what to do."""


class Scope(NamedTuple):
    """What the actions of one statement are limited to."""

    sid: str
    actions: Sequence[str]
    """a trailing ``*`` stands for actions of one kind"""
    resources: Sequence[str]
    """ARNs, in which :func:`document` fills in what stands in braces"""
    why: str = ""
    """why it is no narrower, if it could be thought to be"""
    services: Sequence[str] = ()
    """the key may be used through these services alone"""


# Pulumi ends the names it gives in a random suffix, for which the "*" at their end stands:
# https://www.pulumi.com/docs/iac/concepts/resources/names/#autonaming
_ANY_KEY = "arn:{partition}:kms:{region}:{account}:key/*"
SCOPES = (
    Scope(
        "NoResourceToNarrowTo",
        [
            "chatbot:DescribeSlackChannelConfigurations",
            "chatbot:ListMicrosoftTeamsChannelConfigurations",
            "cloudwatch:GetMetricData",
            "cloudwatch:GetMetricStatistics",
            "ec2:Describe*",
            "elasticloadbalancing:Describe*",
            "events:ListRuleNamesByTarget",
            "events:ListRules",
            "guardduty:CreateSampleFindings",
            "guardduty:GetAdministratorAccount",
            "guardduty:GetFindings",
            "guardduty:ListDetectors",
            "guardduty:ListFindings",
            "kms:ListAliases",
            "kms:ListKeys",
            "logs:DescribeLogGroups",
            "logs:DescribeQueryDefinitions",
            "logs:StopQuery",
            "sns:GetSubscriptionAttributes",
            "states:TestState",
            "states:ValidateStateMachineDefinition",
        ],
        ["*"],
        "IAM cannot limit these actions to a resource",
    ),
    Scope(
        "Alarms",
        ["cloudwatch:DescribeAlarms"],
        ["arn:{partition}:cloudwatch:{region}:{account}:alarm:*"],
        "a list of alarms, even by their names, has to be allowed for every alarm",
    ),
    Scope(
        "AlertKey",
        ["kms:Decrypt", "kms:GenerateDataKey"],
        [_ANY_KEY],
        "a key has no name; put its ARN here. Only SNS and SQS can use it on the caller's behalf",
        ["sns", "sqs"],
    ),
    Scope(
        "DeadLetters",
        [
            "sqs:ChangeMessageVisibility",
            "sqs:DeleteMessage",
            "sqs:GetQueueAttributes",
            "sqs:GetQueueUrl",
            "sqs:ReceiveMessage",
        ],
        ["arn:{partition}:sqs:{region}:{account}:{dead_letters}"],
    ),
    Scope(
        "Detector",
        ["guardduty:GetDetector"],
        ["arn:{partition}:guardduty:{region}:{account}:detector/*"],
        "an account has one detector in a Region",
    ),
    Scope(
        "Executions",
        ["states:DescribeExecution", "states:GetExecutionHistory"],
        ["arn:{partition}:states:{region}:{account}:execution:{state_machine}:*"],
    ),
    Scope(
        "FlowLogs",
        ["logs:GetQueryResults", "logs:StartQuery"],
        [
            "arn:{partition}:logs:{region}:{account}:log-group:{log_group}",
            "arn:{partition}:logs:{region}:{account}:log-group:{log_group}:*",
        ],
    ),
    Scope(
        "InstanceProfiles",
        ["iam:GetInstanceProfile"],
        ["arn:{partition}:iam::{account}:instance-profile/*"],
        "a finding may be about any instance",
    ),
    Scope(
        "KeyPolicies",
        ["kms:DescribeKey", "kms:GetKeyPolicy", "kms:ListResourceTags"],
        [_ANY_KEY],
        "keys have no names; put their ARNs here",
    ),
    Scope(
        "PrefixLists",
        ["ec2:GetManagedPrefixListEntries"],
        ["arn:{partition}:ec2:{region}:*:prefix-list/*"],
        "security groups and routes may name any, AWS's own among them",
    ),
    Scope(
        "Roles",
        ["iam:GetRole", "iam:GetRolePolicy", "iam:ListRolePolicies"],
        ["arn:{partition}:iam::{account}:role/threat-monitor-*-alerts-*-role-{region}"],
    ),
    Scope("RawTopic", ["sns:Publish"], ["arn:{partition}:sns:{region}:{account}:{prefix}alerts-topic-raw"]),
    Scope(
        "Rules",
        ["events:DescribeRule", "events:ListTargetsByRule"],
        ["arn:{partition}:events:{region}:{account}:rule/{prefix}*"],
    ),
    Scope(
        "StateMachine",
        ["states:DescribeStateMachine", "states:ListExecutions", "states:StartExecution"],
        ["arn:{partition}:states:{region}:{account}:stateMachine:{state_machine}"],
    ),
    Scope(
        "Topics",
        ["sns:GetTopicAttributes", "sns:ListSubscriptionsByTopic"],
        ["arn:{partition}:sns:{region}:{account}:{prefix}*"],
    ),
)


def document(actions: Iterable[str], account: Location, stack: str) -> Document:
    """Make the policy that allows the actions on what the stack has, as far as IAM can limit them to resources.

    Raises :class:`UnknownActionError`.
    """
    place = {
        "partition": account.partition,
        "region": account.region,
        "account": account.id,
        "prefix": names.prefix(stack),
        "dead_letters": names.dead_letter_queue(stack),
        "log_group": names.log_group(stack),
        "state_machine": names.state_machine(stack),
    }
    return policy_document(*(_statement(scope, scoped_actions, place) for scope, scoped_actions in scoped(actions)))


def scoped(actions: Iterable[str]) -> list[tuple[Scope, list[str]]]:
    """Return the actions by what they are limited to. Raises :class:`UnknownActionError`."""
    wanted = set(actions)
    found = [
        (scope, sorted(action for action in wanted if any(matches(pattern, action) for pattern in scope.actions)))
        for scope in SCOPES
    ]
    if unknown := sorted(wanted.difference(*(scoped_actions for _, scoped_actions in found))):
        raise UnknownActionError(
            f"{', '.join(unknown)}: add each to {__name__}.SCOPES, with the resources it can be limited to"
        )
    return [(scope, scoped_actions) for scope, scoped_actions in found if scoped_actions]


def _statement(scope: Scope, actions: Sequence[str], place: Mapping[str, str]) -> Document:
    statement: Document = {
        "Sid": scope.sid,
        "Effect": "Allow",
        "Action": actions,
        "Resource": [resource.format_map(place) for resource in scope.resources],
    }
    if scope.services:
        # https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html#conditions-kms-via-service
        hosts = [f"{service}.{place['region']}.amazonaws.com" for service in scope.services]
        statement["Condition"] = {"StringEquals": {"kms:ViaService": hosts}}
    return statement
