"""Roles and their policies. moto checks the form of an identity policy itself."""

import json

from threatmon.emulator import constraints, tagging
from threatmon.emulator.account import EmulatedAccount
from threatmon.emulator.emulated import ApiNames, Emulated, Properties, capitalised, from_api, to_api

_ROLE: ApiNames = {
    "name": "RoleName",
    "assumeRolePolicy": "AssumeRolePolicyDocument",
    **capitalised("description", "permissionsBoundary"),
}
_POLICY: ApiNames = {"role": "RoleName", "name": "PolicyName", "policy": "PolicyDocument"}


def _make_role(account: EmulatedAccount, inputs: Properties) -> str:
    constraints.policy_document(inputs["assumeRolePolicy"], "trust")
    account.client("iam").create_role(**to_api(inputs, _ROLE))
    return inputs["name"]


def _look_at_role(account: EmulatedAccount, name: str) -> Properties:
    role = account.client("iam").get_role(RoleName=name)["Role"]
    return {
        **from_api(role, {"name": "RoleName", "description": "Description", "arn": "Arn"}),
        **from_api(role.get("PermissionsBoundary", {}), {"permissionsBoundary": "PermissionsBoundaryArn"}),
        "assumeRolePolicy": json.dumps(role["AssumeRolePolicyDocument"]),
    }


def _change_role(account: EmulatedAccount, name: str, inputs: Properties) -> None:
    constraints.policy_document(inputs["assumeRolePolicy"], "trust")
    iam = account.client("iam")
    iam.update_assume_role_policy(RoleName=name, PolicyDocument=inputs["assumeRolePolicy"])
    iam.update_role(RoleName=name, Description=inputs.get("description", ""))
    if inputs.get("permissionsBoundary"):
        iam.put_role_permissions_boundary(RoleName=name, PermissionsBoundary=inputs["permissionsBoundary"])
    elif "PermissionsBoundary" in iam.get_role(RoleName=name)["Role"]:
        iam.delete_role_permissions_boundary(RoleName=name)


def _put_role_policy(account: EmulatedAccount, inputs: Properties) -> str:
    account.client("iam").put_role_policy(**to_api(inputs, _POLICY))
    return f"{inputs['role']}:{inputs['name']}"


def _look_at_role_policy(account: EmulatedAccount, physical_id: str) -> Properties:
    policy = account.client("iam").get_role_policy(**_policy_names(physical_id))
    return {**from_api(policy, _POLICY), "policy": json.dumps(policy["PolicyDocument"])}


def _policy_names(physical_id: str) -> dict[str, str]:
    role, _, name = physical_id.partition(":")
    return {"RoleName": role, "PolicyName": name}


RESOURCES = (
    Emulated(
        type="aws:iam/role:Role",
        inputs={*_ROLE, "tags"},
        make=_make_role,
        look=_look_at_role,
        change=_change_role,
        remove=lambda account, name, _: account.client("iam").delete_role(RoleName=name),
        replaced_by={"name"},
        computed={"arn"},
        named="name",
        tagging=tagging.IAM_ROLE,
    ),
    Emulated(
        type="aws:iam/rolePolicy:RolePolicy",
        inputs={*_POLICY},
        make=_put_role_policy,
        look=_look_at_role_policy,
        remove=lambda account, policy, _: account.client("iam").delete_role_policy(**_policy_names(policy)),
        replaced_by={"role", "name"},
        named="name",
    ),
)
