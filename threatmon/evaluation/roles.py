"""Whom a role lets in, and what it may do."""

import json
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from threatmon.evaluation.policy_evaluator import Principal, allows, denies, source, statements
from threatmon.model.policies import policy_document

_NO_CONTEXT: Mapping[str, str] = MappingProxyType({})


class Role(NamedTuple):
    """A role: its trust policy, and its inline policies as one. It has no others; both are JSON texts."""

    arn: str
    trust: str
    policy: str

    def lets_in(self, service: str, arn: str | None = None) -> bool:
        """Return whether a service may assume the role for a resource; None is any resource of any account."""
        context = source(arn) if arn else _NO_CONTEXT
        return allows(self.trust, "sts:AssumeRole", self.arn, Principal("Service", service), context)

    def allows(
        self, action: str, resource: str, resource_policy: str = "{}", context: Mapping[str, str] = _NO_CONTEXT
    ) -> bool:
        """Return whether the role may do this to a resource of its account, whose own policy must not deny it.

        ``context`` holds the request's condition keys.
        https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
        """
        denied = denies(resource_policy, action, resource, Principal("AWS", self.arn), context)
        return not denied and allows(self.policy, action, resource, context=context)

    def may_use_key(self, policy: str, key_arn: str, context: Mapping[str, str]) -> bool:
        """Return whether a topic's or queue's key serves the role: by the role's name, or because the account's does.

        ``policy`` is the key's. https://docs.aws.amazon.com/kms/latest/developerguide/key-policies.html
        """
        role, account = Principal("AWS", self.arn), Principal("AWS", f"{self.arn.partition(':role/')[0]}:root")
        return all(
            allows(policy, action, "*", role, context)
            or (allows(policy, action, "*", account, context) and self.allows(action, key_arn, policy, context))
            for action in ("kms:Decrypt", "kms:GenerateDataKey")
        )


def role_of(role: Mapping[str, Any], policies: Iterable[Mapping[str, Any]]) -> Role:
    """Return the role of an answer of GetRole, with the documents of its inline policies."""
    merged = policy_document(*(statement for policy in policies for statement in statements(policy)))
    return Role(role["Arn"], json.dumps(role["AssumeRolePolicyDocument"]), json.dumps(merged))
