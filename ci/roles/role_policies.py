"""The IAM roles by which CI previews and deploys the stacks of an account: who may assume them, and what they may do.

Which actions can be limited to resources, and to which:
https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
"""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from threatmon.model.policies import Document

PREVIEW_ROLE = "threat-monitor-preview"
DEPLOY_ROLE = "threat-monitor-deploy"
STATE_READ_ROLE = "threat-monitor-state-read"
STATE_WRITE_ROLE = "threat-monitor-state-write"
BOUNDARY = "threat-monitor-boundary"
ENVIRONMENTS = ("canary", "production")
LONGEST_SESSION = 2 * 3600
"""seconds for which a role can be held: as long as a deployment may take"""
# Keys have no names; this tag, which the stack files give everything, tells the project's own.
KEY_TAG = ("project", "threat-monitor")


class Home(NamedTuple):
    """The account that the roles are for."""

    id: str
    partition: str = "aws"

    def arn(self, service: str, resource: str, region: str = "*") -> str:
        """ARN of resources of this account, in any Region unless one is given ("" for a global service)."""
        return f"arn:{self.partition}:{service}:{region}:{self.id}:{resource}"


# -- who ---------------------------------------------------------------------------------------------------------------


class Identities(NamedTuple):
    """The CI jobs that are trusted, by what their OIDC tokens say."""

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


def github(repository: str) -> Identities:
    """Pull requests and the main branch preview; the environments of :data:`ENVIRONMENTS` deploy.

    ``repository`` is spelled as in the ``sub`` of its tokens, upper and lower case included: ``octo-org/octo-repo`` or
    ``octo-org@123456/octo-repo@456789``. Raises :class:`ValueError` for anything else, a wildcard above all.
    https://docs.github.com/en/actions/reference/security/oidc
    """
    if not _REPOSITORY.fullmatch(repository):
        raise ValueError(f'repository: "{repository}" is neither OWNER/NAME nor OWNER@ID/NAME@ID')
    return Identities(
        "token.actions.githubusercontent.com",
        "sts.amazonaws.com",
        [f"repo:{repository}:pull_request", f"repo:{repository}:ref:refs/heads/main"],
        [f"repo:{repository}:environment:{environment}" for environment in ENVIRONMENTS],
    )


def gitlab(project: str, host: str = "gitlab.com") -> Identities:
    """Every branch of the project previews, main deploys; a fork is another project, and does neither.

    ``project`` is the path with all groups. Raises :class:`ValueError` for what is no path or no host.
    https://docs.gitlab.com/ci/secrets/id_token_authentication/
    """
    if not _PROJECT.fullmatch(project):
        raise ValueError(f'project: "{project}" is not GROUP/PROJECT')
    if not _HOST.fullmatch(host):
        raise ValueError(f'host: "{host}" is not a host name such as gitlab.com')
    branch = f"project_path:{project}:ref_type:branch:ref:"
    return Identities(host, f"https://{host}", [f"{branch}*"], [f"{branch}main"])


def provider_arn(home: Home, issuer: str) -> str:
    """ARN of the issuer's OIDC provider, of which an account has one."""
    return home.arn("iam", f"oidc-provider/{issuer}", region="")


def trust(home: Home, identities: Identities, subjects: Sequence[str]) -> Document:
    """Who may assume a role: jobs of these subjects, by a token that is meant for AWS.

    Compared exactly, since a pattern for ``sub`` is what lets strangers in; only subjects that hold a ``*`` are not:
    https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_create_oidc_secure-by-default.html
    """
    audience = {f"{identities.issuer}:aud": identities.audience}
    subject = {f"{identities.issuer}:sub": list(subjects)}
    is_pattern = any("*" in it for it in subjects)
    return _document(
        {
            "Effect": "Allow",
            "Principal": {"Federated": provider_arn(home, identities.issuer)},
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": {"StringEquals": audience, "StringLike": subject}
            if is_pattern
            else {"StringEquals": {**audience, **subject}},
        }
    )


# -- what --------------------------------------------------------------------------------------------------------------


class Grant(NamedTuple):
    """Actions on one kind of resource."""

    sid: str
    resources: Sequence[str]
    reads: Sequence[str] = ()
    """what a preview and a refresh ask"""
    writes: Sequence[str] = ()
    """what creating, updating and deleting need besides"""
    condition: Document | None = None


def grants(home: Home, *, bounded: bool = False) -> list[Grant]:
    """What the resource types of the program need.

    ``bounded``: the flow logs' role may only be made and filled within the permissions boundary :data:`BOUNDARY`, so
    that who deploys cannot give it, and by it himself, more than :func:`boundary_policy` allows.
    https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_boundaries.html
    """
    # Not `threat-monitor-*`: that would be the role of this policy too, which could then write its own.
    flow_log_role = [home.arn("iam", "role/threat-monitor-flow-logs-role-*", region="")]
    within = {"StringEquals": {"iam:PermissionsBoundary": _boundary_arn(home)}} if bounded else None
    keys = [home.arn("kms", "key/*")]
    return [
        # IAM knows no resource for these.
        Grant(
            "NoResourceToNarrowTo",
            ["*"],
            [
                "ec2:DescribeFlowLogs",
                "guardduty:ListDetectors",
                "kms:ListAliases",
                "logs:DescribeLogGroups",
                "logs:DescribeQueryDefinitions",
                "sns:GetSubscriptionAttributes",
            ],
            [
                "guardduty:CreateDetector",
                "kms:CreateKey",
                "logs:DeleteQueryDefinition",
                "logs:PutQueryDefinition",
                "sns:SetSubscriptionAttributes",
                "sns:Unsubscribe",
            ],
        ),
        Grant(
            "Alarms",
            [home.arn("cloudwatch", "alarm:threat-monitor-health-*")],
            ["cloudwatch:DescribeAlarms", "cloudwatch:ListTagsForResource"],
            [
                "cloudwatch:DeleteAlarms",
                "cloudwatch:PutMetricAlarm",
                "cloudwatch:TagResource",
                "cloudwatch:UntagResource",
            ],
        ),
        Grant(
            "Dashboards",
            [home.arn("cloudwatch", "dashboard/threat-monitor-*", region="")],
            ["cloudwatch:GetDashboard"],
            ["cloudwatch:DeleteDashboards", "cloudwatch:PutDashboard"],
        ),
        # An account has one in a Region.
        Grant(
            "Detector",
            [home.arn("guardduty", "detector/*")],
            ["guardduty:GetDetector", "guardduty:ListTagsForResource"],
            [
                "guardduty:DeleteDetector",
                "guardduty:TagResource",
                "guardduty:UntagResource",
                "guardduty:UpdateDetector",
            ],
        ),
        Grant(
            "WhatFlowLogsWatch",
            [home.arn("ec2", "subnet/*"), home.arn("ec2", "vpc/*")],
            writes=["ec2:CreateFlowLogs"],
        ),
        Grant(
            "FlowLogs",
            [home.arn("ec2", "vpc-flow-log/*")],
            writes=["ec2:CreateFlowLogs", "ec2:CreateTags", "ec2:DeleteFlowLogs", "ec2:DeleteTags"],
        ),
        Grant(
            "FlowLogRole",
            flow_log_role,
            [
                "iam:GetRole",
                "iam:GetRolePolicy",
                "iam:ListAttachedRolePolicies",
                "iam:ListRolePolicies",
                "iam:ListRoleTags",
            ],
            [
                "iam:DeleteRole",
                "iam:DeleteRolePolicy",
                "iam:ListInstanceProfilesForRole",
                "iam:TagRole",
                "iam:UntagRole",
                "iam:UpdateAssumeRolePolicy",
                "iam:UpdateRole",
                "iam:UpdateRoleDescription",
            ],
        ),
        Grant(
            "FlowLogRoleRights",
            flow_log_role,
            writes=["iam:CreateRole", "iam:PutRolePolicy", *(["iam:PutRolePermissionsBoundary"] if bounded else [])],
            condition=within,
        ),
        Grant(
            "FlowLogRoleForFlowLogsAlone",
            flow_log_role,
            writes=["iam:PassRole"],
            condition={"StringEquals": {"iam:PassedToService": "vpc-flow-logs.amazonaws.com"}},
        ),
        # A first detector makes these: https://docs.aws.amazon.com/guardduty/latest/ug/using-service-linked-roles.html
        Grant(
            "GuardDutysOwnRoles",
            [
                home.arn("iam", f"role/aws-service-role/{service}/*", region="")
                for service in ("guardduty.amazonaws.com", "malware-protection.guardduty.amazonaws.com")
            ],
            writes=["iam:CreateServiceLinkedRole"],
            condition={
                "StringEquals": {
                    "iam:AWSServiceName": ["guardduty.amazonaws.com", "malware-protection.guardduty.amazonaws.com"]
                }
            },
        ),
        # A new key's tags may take five minutes to count: https://docs.aws.amazon.com/kms/latest/developerguide/abac.html
        Grant(
            "Keys",
            keys,
            ["kms:DescribeKey", "kms:GetKeyPolicy", "kms:GetKeyRotationStatus", "kms:ListResourceTags"],
            ["kms:CreateAlias", "kms:DeleteAlias", "kms:EnableKeyRotation", "kms:TagResource", "kms:UpdateAlias"],
        ),
        Grant(
            "TaggedKeys",
            keys,
            writes=[
                "kms:DisableKey",
                "kms:DisableKeyRotation",
                "kms:EnableKey",
                "kms:PutKeyPolicy",
                "kms:ScheduleKeyDeletion",
                "kms:UntagResource",
                "kms:UpdateKeyDescription",
            ],
            condition={"StringEquals": {f"aws:ResourceTag/{KEY_TAG[0]}": KEY_TAG[1]}},
        ),
        Grant(
            "KeyAliases",
            [home.arn("kms", "alias/threat-monitor-*")],
            writes=["kms:CreateAlias", "kms:DeleteAlias", "kms:UpdateAlias"],
        ),
        Grant(
            "LogGroups",
            [home.arn("logs", "log-group:/threat-monitor/*")],
            ["logs:ListTagsForResource"],
            [
                "logs:AssociateKmsKey",
                "logs:CreateLogGroup",
                "logs:DeleteLogGroup",
                "logs:DeleteRetentionPolicy",
                "logs:DisassociateKmsKey",
                "logs:PutRetentionPolicy",
                "logs:TagResource",
                "logs:UntagResource",
            ],
        ),
        Grant(
            "DeadLetters",
            [home.arn("sqs", "threat-monitor-alerts-dead-letters-*")],
            ["sqs:GetQueueAttributes", "sqs:ListQueueTags"],
            ["sqs:CreateQueue", "sqs:DeleteQueue", "sqs:SetQueueAttributes", "sqs:TagQueue", "sqs:UntagQueue"],
        ),
        Grant(
            "Rules",
            [home.arn("events", "rule/threat-monitor-alerts-*")],
            ["events:DescribeRule", "events:ListTagsForResource", "events:ListTargetsByRule"],
            [
                "events:DeleteRule",
                "events:PutRule",
                "events:PutTargets",
                "events:RemoveTargets",
                "events:TagResource",
                "events:UntagResource",
            ],
        ),
        Grant(
            "Topics",
            [home.arn("sns", "threat-monitor-*")],
            ["sns:GetTopicAttributes", "sns:ListTagsForResource"],
            [
                "sns:CreateTopic",
                "sns:DeleteTopic",
                "sns:SetTopicAttributes",
                "sns:Subscribe",
                "sns:TagResource",
                "sns:UntagResource",
            ],
        ),
    ]


def preview_policy(home: Home) -> Document:
    """What a preview and a refresh read: settings of the project's resources, no log, no message, no finding."""
    return _document(*(_statement(it, it.reads) for it in grants(home) if it.reads))


def deploy_policy(home: Home, *, bounded: bool = False) -> Document:
    """What an update needs: the same, and to create, change and delete them."""
    return _document(*(_statement(it, [*it.reads, *it.writes]) for it in grants(home, bounded=bounded)))


def boundary_policy(home: Home) -> Document:
    """The most that the flow logs' role can ever do, whatever its own policy says: write the project's log groups."""
    return _document(
        {
            "Sid": "FlowLogsWrite",
            "Effect": "Allow",
            "Action": [
                "logs:CreateLogStream",
                "logs:DescribeLogGroups",
                "logs:DescribeLogStreams",
                "logs:PutLogEvents",
            ],
            "Resource": [home.arn("logs", "log-group:/threat-monitor/*")],
        }
    )


def state_policy(home: Home, bucket: str, key_arn: str | None = None, *, write: bool = False) -> Document:
    """What the engine needs of the bucket with the stacks' state, and of the key that encrypts their secrets.

    A preview takes no lock and writes nothing:
    https://www.pulumi.com/docs/iac/operations/stack-management/using-a-diy-backend/
    """
    objects = ["s3:GetObject", *(["s3:DeleteObject", "s3:PutObject"] if write else [])]
    found = f"arn:{home.partition}:s3:::{bucket}"
    statements = [
        {"Sid": "Bucket", "Effect": "Allow", "Action": ["s3:ListBucket"], "Resource": [found]},
        {"Sid": "State", "Effect": "Allow", "Action": objects, "Resource": [f"{found}/.pulumi/*"]},
    ]
    if key_arn:
        use = ["kms:Decrypt", "kms:Encrypt"]  # the preview of a new stack makes it a key
        statements.append({"Sid": "Secrets", "Effect": "Allow", "Action": use, "Resource": [key_arn]})
    return _document(*statements)


def _boundary_arn(home: Home) -> str:
    return home.arn("iam", f"policy/{BOUNDARY}", region="")


def _statement(grant: Grant, actions: Sequence[str]) -> Document:
    statement: Document = {
        "Sid": grant.sid,
        "Effect": "Allow",
        "Action": sorted(actions),
        "Resource": list(grant.resources),
    }
    return {**statement, "Condition": grant.condition} if grant.condition else statement


def _document(*statements: dict[str, Any]) -> Document:
    return {"Version": "2012-10-17", "Statement": list(statements)}
