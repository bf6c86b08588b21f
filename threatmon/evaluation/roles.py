"""Whom a role lets in, and what it may do."""

import json
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from threatmon.evaluation.policy_evaluator import Principal, allows, denies, source, statements

_NO_CONTEXT: Mapping[str, str] = MappingProxyType({})


class Role(NamedTuple):
    """A role: its trust policy, and its inline policies as one (JSON texts); managed policies are not evaluated."""

    arn: str
    trust: str
    policy: str

    def lets_in(self, service: str, arn: str) -> bool:
        """Return whether a service may assume the role on behalf of a resource."""
        return allows(self.trust, "sts:AssumeRole", self.arn, Principal("Service", service), source(arn))

    def lets_in_anybody(self, service: str) -> bool:
        """Return whether a service may assume the role on behalf of any resource of any account."""
        return allows(self.trust, "sts:AssumeRole", self.arn, Principal("Service", service))

    def allows(
        self, action: str, resource: str, resource_policy: str = "{}", context: Mapping[str, str] = _NO_CONTEXT
    ) -> bool:
        """Return whether the role may do this to a resource of its account, whose own policy must not deny it.

        https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
        """
        denied = denies(resource_policy, action, resource, Principal("AWS", self.arn), context)
        return not denied and allows(self.policy, action, resource, None, context)

    def may_use_key(self, policy: str, key_arn: str, action: str, context: Mapping[str, str]) -> bool:
        """Return whether a key's policy serves the role by its name, or leaves it to the account, whose policy does.

        https://docs.aws.amazon.com/kms/latest/developerguide/key-policies.html
        """
        if allows(policy, action, "*", Principal("AWS", self.arn), context):
            return True
        account = Principal("AWS", f"{':'.join(self.arn.split(':')[:5])}:root")
        return allows(policy, action, "*", account, context) and self.allows(action, key_arn, policy, context)


def role_of(arn: str, trust: Mapping[str, Any], policies: Iterable[Mapping[str, Any]]) -> Role:
    """Return a role, given its trust policy and its inline policies."""
    merged = [statement for policy in policies for statement in statements(policy)]
    return Role(arn, json.dumps(trust), json.dumps({"Statement": merged}))
