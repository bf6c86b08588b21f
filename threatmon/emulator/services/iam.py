"""Roles and their policies."""

import json

from threatmon.emulator import constraints, tagging
from threatmon.emulator.account import EmulatedAccount
from threatmon.emulator.emulated import Emulated, Fields, Properties, from_api, names, to_api

_ROLE: Fields = {
    "name": "RoleName",
    "path": "Path",
    "description": "Description",
    "maxSessionDuration": "MaxSessionDuration",
}
_BOUNDARY: Fields = {"permissionsBoundary": "PermissionsBoundary"}


def _make_role(account: EmulatedAccount, inputs: Properties) -> str:
    constraints.policy_document(inputs["assumeRolePolicy"], "trust")
    parameters = to_api(inputs, {**_ROLE, **_BOUNDARY})
    account.client("iam").create_role(AssumeRolePolicyDocument=inputs["assumeRolePolicy"], **parameters)
    return inputs["name"]


def _look_at_role(account: EmulatedAccount, name: str) -> Properties:
    role = account.client("iam").get_role(RoleName=name)["Role"]
    return {
        **from_api(role, _ROLE),
        **from_api(role.get("PermissionsBoundary", {}), {"permissionsBoundary": "PermissionsBoundaryArn"}),
        "arn": role["Arn"],
        "uniqueId": role["RoleId"],
        "createDate": role["CreateDate"].isoformat(),
        "assumeRolePolicy": json.dumps(role["AssumeRolePolicyDocument"]),
    }


def _change_role(account: EmulatedAccount, name: str, inputs: Properties) -> None:
    constraints.policy_document(inputs["assumeRolePolicy"], "trust")
    iam = account.client("iam")
    iam.update_assume_role_policy(RoleName=name, PolicyDocument=inputs["assumeRolePolicy"])
    iam.update_role(
        RoleName=name,
        Description=inputs.get("description", ""),
        MaxSessionDuration=inputs["maxSessionDuration"],
    )
    if inputs.get("permissionsBoundary"):
        iam.put_role_permissions_boundary(RoleName=name, PermissionsBoundary=inputs["permissionsBoundary"])
    elif "PermissionsBoundary" in iam.get_role(RoleName=name)["Role"]:
        iam.delete_role_permissions_boundary(RoleName=name)


def _remove_role(account: EmulatedAccount, name: str, _: Properties) -> None:
    account.client("iam").delete_role(RoleName=name)


def _put_role_policy(account: EmulatedAccount, inputs: Properties) -> str:
    constraints.policy_document(inputs["policy"], "identity")
    account.client("iam").put_role_policy(
        RoleName=inputs["role"], PolicyName=inputs["name"], PolicyDocument=inputs["policy"]
    )
    return f"{inputs['role']}:{inputs['name']}"


def _look_at_role_policy(account: EmulatedAccount, physical_id: str) -> Properties:
    role, _, name = physical_id.partition(":")
    policy = account.client("iam").get_role_policy(RoleName=role, PolicyName=name)
    return {"role": role, "name": name, "policy": json.dumps(policy["PolicyDocument"])}


def _change_role_policy(account: EmulatedAccount, _: str, inputs: Properties) -> None:
    _put_role_policy(account, inputs)


def _remove_role_policy(account: EmulatedAccount, physical_id: str, _: Properties) -> None:
    role, name = physical_id.split(":")
    account.client("iam").delete_role_policy(RoleName=role, PolicyName=name)


RESOURCES = (
    Emulated(
        type="aws:iam/role:Role",
        inputs=names(_ROLE, _BOUNDARY, ("assumeRolePolicy", "tags")),
        make=_make_role,
        look=_look_at_role,
        change=_change_role,
        remove=_remove_role,
        replaced_by=frozenset({"name", "path"}),
        computed=frozenset({"arn", "uniqueId", "createDate"}),
        defaults={"path": "/", "maxSessionDuration": 3600},
        named="name",
        tagging=tagging.IAM_ROLE,
    ),
    Emulated(
        type="aws:iam/rolePolicy:RolePolicy",
        inputs=frozenset({"role", "name", "policy"}),
        make=_put_role_policy,
        look=_look_at_role_policy,
        change=_change_role_policy,
        remove=_remove_role_policy,
        replaced_by=frozenset({"role", "name"}),
        named="name",
    ),
)
