"""What a role of the account may do, and whether a key serves."""

import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from threatmon.emulator.inside import Account
from threatmon.evaluation.policy_evaluator import Principal, allows, statements

_ALLOW_ALL = {"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}
_NO_CONTEXT: Mapping[str, str] = MappingProxyType({})


class Role(NamedTuple):
    """A role: its trust policy, and its inline policies as one."""

    arn: str
    trust: str
    policy: str

    def allows(
        self, action: str, resource: str, resource_policy: str = "{}", context: Mapping[str, str] = _NO_CONTEXT
    ) -> bool:
        """Return whether the role may do this to a resource of its account, whose own policy must not deny it.

        https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
        """
        document = json.loads(resource_policy)
        with_everything = json.dumps({**document, "Statement": [*statements(document), _ALLOW_ALL]})
        return allows(self.policy, action, resource, None, context) and allows(
            with_everything, action, resource, Principal("AWS", self.arn), context
        )

    def may_use_key(self, policy: str, key_arn: str, action: str, context: Mapping[str, str]) -> bool:
        """Return whether a key's policy serves the role by its name, or leaves it to the account, whose policy does.

        https://docs.aws.amazon.com/kms/latest/developerguide/key-policies.html
        """
        if allows(policy, action, "*", Principal("AWS", self.arn), context):
            return True
        account = Principal("AWS", f"{':'.join(self.arn.split(':')[:5])}:root")
        return allows(policy, action, "*", account, context) and self.allows(action, key_arn, policy, context)


def find_role(account: Account, arn: str | None) -> Role | None:
    """Return a role of the account with its inline policies; None if it does not exist, or none is named."""
    if not arn:
        return None
    iam, name = account.client("iam"), arn.rpartition("/")[2]
    try:
        role = iam.get_role(RoleName=name)["Role"]
    except iam.exceptions.NoSuchEntityException:
        return None
    names = iam.list_role_policies(RoleName=name)["PolicyNames"]
    policies = [iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"] for policy in names]
    merged = {"Version": "2012-10-17", "Statement": [entry for policy in policies for entry in statements(policy)]}
    return Role(role["Arn"], json.dumps(role["AssumeRolePolicyDocument"]), json.dumps(merged))


def key_refusal(account: Account, key_id: str | None, may_use: Callable[[str, str], bool]) -> str | None:
    """Return the code by which SNS says that the key of a topic does not serve; None if it does, or there is no key.

    `may_use` judges the key's policy and ARN. https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
    """
    if not key_id:
        return None
    kms: Any = account.client("kms")
    try:
        key = kms.describe_key(KeyId=key_id)["KeyMetadata"]
        policy = kms.get_key_policy(KeyId=key["KeyId"], PolicyName="default")["Policy"]
    except kms.exceptions.NotFoundException:
        return "KMSNotFound"
    if key["KeyState"] != "Enabled":
        return "KMSDisabled" if key["KeyState"] == "Disabled" else "KMSInvalidState"
    return None if may_use(policy, key["Arn"]) else "KMSAccessDenied"
