"""The roles of the account, and whether a key serves."""

from collections.abc import Callable
from typing import Any

from threatmon.emulator.inside import Account
from threatmon.evaluation.roles import Role, role_of


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
    return role_of(role["Arn"], role["AssumeRolePolicyDocument"], policies)


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
