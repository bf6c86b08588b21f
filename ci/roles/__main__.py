"""Deploys the roles by which CI previews and deploys the stacks of one account; docs/ci.md says how it is used."""

import json

import pulumi
import pulumi_aws as aws
import role_policies

from threatmon.model.policies import Document

config = pulumi.Config("threat-monitor-ci")
repository, project = config.get("repository"), config.get("gitlabProject")
if bool(repository) == bool(project):
    raise pulumi.RunError("threat-monitor-ci: set either repository (GitHub) or gitlabProject")
try:
    jobs = (
        role_policies.github(repository)
        if repository
        else role_policies.gitlab(project or "", config.get("gitlabHost", "gitlab.com"))
    )
except ValueError as fault:
    raise pulumi.RunError(f"threat-monitor-ci: {fault}") from None

account = role_policies.AwsAccount(aws.get_caller_identity().account_id, aws.get_partition().partition)
bounded = config.get_bool("boundary", default=False)
needed: list[pulumi.Resource] = []
if config.get_bool("createProvider", default=True):
    needed.append(
        aws.iam.OpenIdConnectProvider("provider", url=f"https://{jobs.issuer}", client_id_lists=[jobs.audience])
    )
if bounded:
    aws.iam.Policy("boundary", name=role_policies.BOUNDARY, policy=json.dumps(role_policies.boundary_policy(account)))

# Role -> whose jobs may assume it, and what it may do.
roles: dict[str, tuple[list[str], Document]] = {
    role_policies.PREVIEW_ROLE: ([*jobs.previews], role_policies.preview_policy(account)),
    role_policies.DEPLOY_ROLE: ([*jobs.deploys], role_policies.deploy_policy(account, bounded=bounded)),
}
if bucket := config.get("stateBucket"):
    key_arn = config.get("stateKeyArn")
    roles[role_policies.STATE_READ_ROLE] = ([*jobs.previews], role_policies.state_policy(account, bucket, key_arn))
    roles[role_policies.STATE_WRITE_ROLE] = (
        [*jobs.deploys],
        role_policies.state_policy(account, bucket, key_arn, write=True),
    )

for name, (subjects, policy) in roles.items():
    role = aws.iam.Role(
        name,
        name=name,
        assume_role_policy=json.dumps(role_policies.trust(account, jobs, subjects)),
        max_session_duration=role_policies.LONGEST_SESSION,
        opts=pulumi.ResourceOptions(depends_on=needed),
    )
    aws.iam.RolePolicy(name, name=name, role=role.name, policy=json.dumps(policy))
    pulumi.export(name, role.arn)
