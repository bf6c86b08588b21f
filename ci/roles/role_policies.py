"""The IAM roles by which CI previews and deploys the stacks of an account: who may assume them, and what they may do.

Which actions can be limited to resources, and to which:
https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
"""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from threatmon.model.policies import Document, policy_document

PREVIEW_ROLE = "threat-monitor-preview"
DEPLOY_ROLE = "threat-monitor-deploy"
STATE_READ_ROLE = "threat-monitor-state-read"
STATE_WRITE_ROLE = "threat-monitor-state-write"
BOUNDARY = "threat-monitor-boundary"
ENVIRONMENTS = ("canary", "production")
LONGEST_SESSION = 2 * 3600
"""seconds for which a role can be held: as long as a deployment may take"""
# Keys have no names; this tag, which the stack files give everything, marks the project's own.
KEY_TAG = ("project", "threat-monitor")


class AwsAccount(NamedTuple):
    """The account that the roles are for."""

    id: str
    partition: str = "aws"

    def arn(self, service: str, resource: str, region: str = "*") -> str:
        """Return the ARN of resources of this account, in any Region unless one is given ("" for a global service)."""
        return f"arn:{self.partition}:{service}:{region}:{self.id}:{resource}"


# -- who ---------------------------------------------------------------------------------------------------------------


class TrustedJobs(NamedTuple):
    """The CI jobs that may assume roles, by what their OIDC tokens say."""

    issuer: str
    """host (and path) of the token's ``iss``; names the provider in IAM"""
    audience: str
    """the token's ``aud``"""
    previews: Sequence[str]
    """the token's ``sub`` in jobs that may preview; ``*`` stands for any text"""
    deploys: Sequence[str]
    """the same for jobs that may deploy"""


# Names, or since July 2026 names and the ids that no other repository can get:
# https://github.blog/changelog/2026-04-23-immutable-subject-claims-for-github-actions-oidc-tokens/
_REPOSITORY = re.compile(r"[A-Za-z0-9-]+/[A-Za-z0-9._-]+|[A-Za-z0-9-]+@\d+/[A-Za-z0-9._-]+@\d+")
_PROJECT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)+")
_HOST = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+")


def github(repository: str) -> TrustedJobs:
    """Trust a repository: pull requests and the main branch preview, the environments of :data:`ENVIRONMENTS` deploy.

    ``repository`` is spelled as in the ``sub`` of its tokens, upper and lower case included: ``octo-org/octo-repo`` or
    ``octo-org@123456/octo-repo@456789``. Raises :class:`ValueError` for anything else, a wildcard above all.
    https://docs.github.com/en/actions/reference/security/oidc
    """
    if not _REPOSITORY.fullmatch(repository):
        raise ValueError(f'repository: "{repository}" is neither OWNER/NAME nor OWNER@ID/NAME@ID')
    return TrustedJobs(
        "token.actions.githubusercontent.com",
        "sts.amazonaws.com",
        [f"repo:{repository}:pull_request", f"repo:{repository}:ref:refs/heads/main"],
        [f"repo:{repository}:environment:{environment}" for environment in ENVIRONMENTS],
    )


def gitlab(project: str, host: str = "gitlab.com") -> TrustedJobs:
    """Trust a project: every branch previews, main deploys; a fork is another project, and does neither.

    ``project`` is the path with all groups. Raises :class:`ValueError` for what is no path or no host.
    https://docs.gitlab.com/ci/secrets/id_token_authentication/
    """
    if not _PROJECT.fullmatch(project):
        raise ValueError(f'project: "{project}" is not GROUP/PROJECT')
    if not _HOST.fullmatch(host):
        raise ValueError(f'host: "{host}" is not a host name such as gitlab.com')
    branch = f"project_path:{project}:ref_type:branch:ref:"
    return TrustedJobs(host, f"https://{host}", [f"{branch}*"], [f"{branch}main"])


def provider_arn(account: AwsAccount, issuer: str) -> str:
    """Return the ARN of the issuer's OIDC provider, of which an account has one."""
    return account.arn("iam", f"oidc-provider/{issuer}", region="")


def trust(account: AwsAccount, jobs: TrustedJobs, subjects: Sequence[str]) -> Document:
    """Make the trust policy of a role: for jobs of these subjects, by a token that is meant for AWS.

    Compared exactly, since a pattern for ``sub`` is what lets strangers in; only subjects that hold a ``*`` are not:
    https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_create_oidc_secure-by-default.html
    """
    audience = {f"{jobs.issuer}:aud": jobs.audience}
    subject = {f"{jobs.issuer}:sub": list(subjects)}
    is_pattern = any("*" in text for text in subjects)
    return policy_document(
        {
            "Effect": "Allow",
            "Principal": {"Federated": provider_arn(account, jobs.issuer)},
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": {"StringEquals": audience, "StringLike": subject}
            if is_pattern
            else {"StringEquals": {**audience, **subject}},
        }
    )


# -- what --------------------------------------------------------------------------------------------------------------


class Grant(NamedTuple):
    """Actions on one kind of resource; each text is a list, separated by spaces."""

    sid: str
    resources: str
    """``service:region:resource``, or ``*``"""
    reads: str = ""
    """what a preview and a refresh ask, of the resources' service unless they name one"""
    writes: str = ""
    """what creating, updating and deleting need as well"""
    only_if: Mapping[str, str | list[str]] = {}
    """keys of the request and what they must equal; ``*`` stands for any text"""


# Not `threat-monitor-*`: that would be the role of this policy too, which could then write its own.
_ROLES = "iam::role/threat-monitor-*-role-*"
_ROLE_USERS = [
    "chatbot.amazonaws.com", "events.amazonaws.com", "states.amazonaws.com", "vpc-flow-logs.amazonaws.com"
]  # fmt: skip
_ROLE_RIGHTS = Grant("RoleRights", _ROLES, writes="CreateRole PutRolePolicy")
# https://docs.aws.amazon.com/guardduty/latest/ug/using-service-linked-roles.html
# https://docs.aws.amazon.com/chatbot/latest/adminguide/slr-permissions.html
_WITH_OWN_ROLES = [
    "guardduty.amazonaws.com", "malware-protection.guardduty.amazonaws.com", "management.chatbot.amazonaws.com"
]  # fmt: skip
_FLOW_LOG_GROUPS = "logs:*:log-group:/threat-monitor/*"
_LOG_GROUPS = f"{_FLOW_LOG_GROUPS} logs:*:log-group:/aws/vendedlogs/states/threat-monitor-*"
_MACHINES = "states:*:stateMachine:threat-monitor-*"
_TOPICS, _DEAD_LETTERS = "sns:*:threat-monitor-*", "sqs:*:threat-monitor-*-alerts-dead-letters"
GRANTS = (
    # IAM cannot limit these to a resource.
    Grant(
        "NoResourceToNarrowTo",
        "*",
        "chatbot:DescribeSlackChannelConfigurations chatbot:ListMicrosoftTeamsChannelConfigurations "
        "chatbot:ListTagsForResource ec2:DescribeFlowLogs guardduty:ListDetectors kms:ListAliases kms:ListKeys "
        "logs:DescribeLogGroups logs:DescribeQueryDefinitions sns:GetSubscriptionAttributes "
        "states:ValidateStateMachineDefinition",
        "chatbot:CreateMicrosoftTeamsChannelConfiguration chatbot:CreateSlackChannelConfiguration "
        "guardduty:CreateDetector kms:CreateKey logs:DeleteQueryDefinition logs:PutQueryDefinition "
        "sns:SetSubscriptionAttributes sns:Unsubscribe",
    ),
    Grant(
        "Alarms",
        "cloudwatch:*:alarm:threat-monitor-*-health-*",
        "DescribeAlarms ListTagsForResource",
        "DeleteAlarms PutMetricAlarm TagResource UntagResource",
    ),
    Grant(
        "ChatChannels",
        "chatbot::chat-configuration/*/threat-monitor-*",
        writes="DeleteMicrosoftTeamsChannelConfiguration DeleteSlackChannelConfiguration TagResource UntagResource "
        "UpdateMicrosoftTeamsChannelConfiguration UpdateSlackChannelConfiguration",
    ),
    Grant("Dashboards", "cloudwatch::dashboard/threat-monitor-*", "GetDashboard", "DeleteDashboards PutDashboard"),
    # An account has one in a Region.
    Grant(
        "Detector",
        "guardduty:*:detector/*",
        "GetDetector ListTagsForResource",
        "DeleteDetector TagResource UntagResource UpdateDetector",
    ),
    Grant("WhatFlowLogsWatch", "ec2:*:subnet/* ec2:*:vpc/*", writes="CreateFlowLogs"),
    Grant("FlowLogs", "ec2:*:vpc-flow-log/*", writes="CreateFlowLogs CreateTags DeleteFlowLogs DeleteTags"),
    Grant(
        "Roles",
        _ROLES,
        "GetRole GetRolePolicy ListAttachedRolePolicies ListRolePolicies ListRoleTags",
        "DeleteRole DeleteRolePolicy ListInstanceProfilesForRole TagRole UntagRole UpdateAssumeRolePolicy UpdateRole "
        "UpdateRoleDescription",
    ),
    _ROLE_RIGHTS,
    Grant("RolesForTheirServicesAlone", _ROLES, writes="PassRole", only_if={"iam:PassedToService": _ROLE_USERS}),
    # A first detector and a first chat channel make these.
    Grant(
        "ServicesOwnRoles",
        "iam::role/aws-service-role/*",
        writes="CreateServiceLinkedRole",
        only_if={"iam:AWSServiceName": _WITH_OWN_ROLES},
    ),
    # A new key's tags may take five minutes to count: https://docs.aws.amazon.com/kms/latest/developerguide/abac.html
    Grant(
        "Keys",
        "kms:*:key/*",
        "DescribeKey GetKeyPolicy GetKeyRotationStatus ListResourceTags",
        "CreateAlias DeleteAlias EnableKeyRotation TagResource UpdateAlias",
    ),
    Grant(
        "TaggedKeys",
        "kms:*:key/*",
        writes="DisableKey DisableKeyRotation EnableKey PutKeyPolicy ScheduleKeyDeletion UntagResource "
        "UpdateKeyDescription",
        only_if={f"aws:ResourceTag/{KEY_TAG[0]}": KEY_TAG[1]},
    ),
    Grant("KeyAliases", "kms:*:alias/threat-monitor-*", writes="CreateAlias DeleteAlias UpdateAlias"),
    Grant(
        "LogGroups",
        _LOG_GROUPS,
        "ListTagsForResource",
        "AssociateKmsKey CreateLogGroup DeleteLogGroup DeleteRetentionPolicy DisassociateKmsKey PutRetentionPolicy "
        "TagResource UntagResource",
    ),
    Grant(
        "DeadLetters",
        _DEAD_LETTERS,
        "GetQueueAttributes ListQueueTags",
        "CreateQueue DeleteQueue SetQueueAttributes TagQueue UntagQueue",
    ),
    Grant(
        "Rules",
        "events:*:rule/threat-monitor-*-alerts-*",
        "DescribeRule ListTagsForResource ListTargetsByRule",
        "DeleteRule PutRule PutTargets RemoveTargets TagResource UntagResource",
    ),
    Grant(
        "StateMachines",
        _MACHINES,
        "DescribeStateMachine ListStateMachineVersions ListTagsForResource",
        "CreateStateMachine DeleteStateMachine TagResource UntagResource UpdateStateMachine",
    ),
    Grant(
        "Topics",
        _TOPICS,
        "GetTopicAttributes ListTagsForResource",
        "CreateTopic DeleteTopic SetTopicAttributes Subscribe TagResource UntagResource",
    ),
)
"""What the resource types of the program need."""
BOUNDARY_GRANTS = (
    Grant(
        "FlowLogsWrite", _FLOW_LOG_GROUPS, writes="CreateLogStream DescribeLogGroups DescribeLogStreams PutLogEvents"
    ),
    Grant("RulesStart", _MACHINES, writes="StartExecution"),
    Grant("MachinesPublish", _TOPICS, writes="Publish"),
    Grant("MachinesQueue", _DEAD_LETTERS, writes="SendMessage"),
    # Any key, as a stack may bring its own, but only for what is encrypted in topics and queues.
    Grant(
        "MachinesEncrypt",
        "kms:*:key/*",
        writes="Decrypt GenerateDataKey",
        only_if={"kms:ViaService": ["sns.*", "sqs.*"]},
    ),
    # IAM cannot limit these to a resource: https://docs.aws.amazon.com/step-functions/latest/dg/cw-logs.html
    Grant(
        "MachinesCount",
        "*",
        writes="cloudwatch:PutMetricData",
        only_if={"cloudwatch:namespace": "ThreatMonitor"},
    ),
    Grant(
        "MachinesLog",
        "*",
        writes="logs:CreateLogDelivery logs:DeleteLogDelivery logs:DescribeLogGroups logs:DescribeResourcePolicies "
        "logs:GetLogDelivery logs:ListLogDeliveries logs:PutResourcePolicy logs:UpdateLogDelivery",
    ),
)
"""What the program's roles have to do."""


def preview_policy(account: AwsAccount) -> Document:
    """Return what a preview and a refresh read: settings of the project's resources, no log, no message, no finding."""
    return policy_document(*(_statement(account, grant, grant.reads) for grant in GRANTS if grant.reads))


def deploy_policy(account: AwsAccount, *, bounded: bool = False) -> Document:
    """Return what an update needs: the same, and to create, change and delete them.

    ``bounded``: roles may only be made and filled within the permissions boundary :data:`BOUNDARY`, so that who deploys
    cannot give them, and by them themselves, more than :func:`boundary_policy` allows.
    https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_boundaries.html
    """
    within = {"iam:PermissionsBoundary": account.arn("iam", f"policy/{BOUNDARY}", region="")}
    rights = _ROLE_RIGHTS._replace(writes=f"{_ROLE_RIGHTS.writes} PutRolePermissionsBoundary", only_if=within)
    grants = [rights if bounded and grant == _ROLE_RIGHTS else grant for grant in GRANTS]
    return policy_document(*(_statement(account, grant, f"{grant.reads} {grant.writes}") for grant in grants))


def boundary_policy(account: AwsAccount) -> Document:
    """Return the most that the program's roles can ever do, whatever their own policies say."""
    return policy_document(*(_statement(account, grant, grant.writes) for grant in BOUNDARY_GRANTS))


def state_policy(account: AwsAccount, bucket: str, key_arn: str | None = None, *, write: bool = False) -> Document:
    """Return what the engine needs of the bucket with the stacks' state, and of the key that encrypts their secrets.

    A preview takes no lock and writes nothing:
    https://www.pulumi.com/docs/iac/operations/stack-management/using-a-diy-backend/
    """
    objects = ["s3:GetObject", *(["s3:DeleteObject", "s3:PutObject"] if write else [])]
    found = f"arn:{account.partition}:s3:::{bucket}"
    statements = [
        {"Sid": "Bucket", "Effect": "Allow", "Action": ["s3:ListBucket"], "Resource": [found]},
        {"Sid": "State", "Effect": "Allow", "Action": objects, "Resource": [f"{found}/.pulumi/*"]},
    ]
    if key_arn:
        use = ["kms:Decrypt", "kms:Encrypt"]  # the preview of a new stack makes it a key
        statements.append({"Sid": "Secrets", "Effect": "Allow", "Action": use, "Resource": [key_arn]})
    return policy_document(*statements)


def _statement(account: AwsAccount, grant: Grant, actions: str) -> Document:
    service = grant.resources.partition(":")[0]
    statement: Document = {
        "Sid": grant.sid,
        "Effect": "Allow",
        "Action": sorted(action if ":" in action else f"{service}:{action}" for action in actions.split()),
        "Resource": [_arn(account, resource) for resource in grant.resources.split()],
    }
    operator = "StringLike" if "*" in str(grant.only_if) else "StringEquals"
    return statement | ({"Condition": {operator: dict(grant.only_if)}} if grant.only_if else {})


def _arn(account: AwsAccount, resource: str) -> str:
    if resource == "*":
        return resource
    service, region, name = resource.split(":", 2)
    return account.arn(service, name, region)
