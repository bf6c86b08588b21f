"""Roles as an account has them: whom they let in, and what they may do."""

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from threatmon.aws.reader import Aws
from threatmon.evaluation.policy_evaluator import Principal, allows, source, statements
from threatmon.model.policies import policy_document

_NO_CONTEXT: Mapping[str, str] = MappingProxyType({})


class Role(NamedTuple):
    """A role by its trust policy and its inline policies, which are one document here; it has no others."""

    arn: str
    trust: str
    policy: str

    def lets_in(self, service: str, arn: str) -> bool:
        """Return whether a service may assume the role on behalf of a resource."""
        return allows(self.trust, "sts:AssumeRole", self.arn, Principal("Service", service), source(arn))

    def lets_in_anybody(self, service: str) -> bool:
        """Return whether a service may assume the role on behalf of any resource of any account."""
        return allows(self.trust, "sts:AssumeRole", self.arn, Principal("Service", service))

    def allows(self, action: str, resource: str, context: Mapping[str, str] = _NO_CONTEXT) -> bool:
        """Return whether the role's own policies allow an action; ``context`` holds the request's condition keys."""
        return allows(self.policy, action, resource, context=context)


def read_role(aws: Aws, arn: str) -> Role:
    """Return a role of the account. Raises :class:`threatmon.aws.errors.AwsError`."""
    name = arn.rpartition("/")[2]
    trust = aws.read("iam", "get_role", RoleName=name)["Role"]["AssumeRolePolicyDocument"]
    policies = [
        aws.read("iam", "get_role_policy", RoleName=name, PolicyName=policy)["PolicyDocument"]
        for policy in aws.read_all("iam", "list_role_policies", RoleName=name)
    ]
    merged = policy_document(*(statement for policy in policies for statement in statements(policy)))
    return Role(arn, json.dumps(trust), json.dumps(merged))
