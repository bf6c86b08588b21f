"""Keys and aliases."""

from threatmon.emulator import constraints, tagging
from threatmon.emulator.account import EmulatedAccount
from threatmon.emulator.emulated import Emulated, Fields, NotThereError, Properties, found, from_api, names, to_api

_KEY: Fields = {
    "description": "Description",
    "keyUsage": "KeyUsage",
    "customerMasterKeySpec": "KeySpec",
    "multiRegion": "MultiRegion",
    "policy": "Policy",
}


def _make_key(account: EmulatedAccount, inputs: Properties) -> str:
    _check_key_policy(account, inputs)
    key_id = account.client("kms").create_key(**to_api(inputs, _KEY))["KeyMetadata"]["KeyId"]
    _set_key(account, key_id, inputs)
    return key_id


def _check_key_policy(account: EmulatedAccount, inputs: Properties) -> None:
    if inputs.get("policy"):
        constraints.key_policy(inputs["policy"], f"arn:{account.partition}:iam::{account.account_id}:root")


def _look_at_key(account: EmulatedAccount, key_id: str) -> Properties:
    kms = account.client("kms")
    key = kms.describe_key(KeyId=key_id)["KeyMetadata"]
    if key["KeyState"] == "PendingDeletion":
        raise NotThereError
    return {
        **from_api(key, _KEY),
        "arn": key["Arn"],
        "keyId": key["KeyId"],
        "isEnabled": key["Enabled"],
        "policy": kms.get_key_policy(KeyId=key_id, PolicyName="default")["Policy"],
        "enableKeyRotation": kms.get_key_rotation_status(KeyId=key_id)["KeyRotationEnabled"],
    }


def _change_key(account: EmulatedAccount, key_id: str, inputs: Properties) -> None:
    _check_key_policy(account, inputs)
    kms = account.client("kms")
    kms.update_key_description(KeyId=key_id, Description=inputs.get("description", ""))
    if inputs.get("policy"):
        kms.put_key_policy(KeyId=key_id, PolicyName="default", Policy=inputs["policy"])
    _set_key(account, key_id, inputs)


def _set_key(account: EmulatedAccount, key_id: str, inputs: Properties) -> None:
    kms = account.client("kms")
    (kms.enable_key_rotation if inputs["enableKeyRotation"] else kms.disable_key_rotation)(KeyId=key_id)
    (kms.enable_key if inputs["isEnabled"] else kms.disable_key)(KeyId=key_id)


def _remove_key(account: EmulatedAccount, key_id: str, outputs: Properties) -> None:
    window = outputs.get("deletionWindowInDays") or 30
    account.client("kms").schedule_key_deletion(KeyId=key_id, PendingWindowInDays=window)


def _make_alias(account: EmulatedAccount, inputs: Properties) -> str:
    account.client("kms").create_alias(AliasName=inputs["name"], TargetKeyId=inputs["targetKeyId"])
    return inputs["name"]


def _look_at_alias(account: EmulatedAccount, name: str) -> Properties:
    kms = account.client("kms")
    aliases = kms.get_paginator("list_aliases").paginate().build_full_result()["Aliases"]
    alias = found(alias for alias in aliases if alias["AliasName"] == name and "TargetKeyId" in alias)
    return {
        "name": name,
        "arn": alias["AliasArn"],
        "targetKeyId": alias["TargetKeyId"],
        "targetKeyArn": kms.describe_key(KeyId=alias["TargetKeyId"])["KeyMetadata"]["Arn"],
    }


def _change_alias(account: EmulatedAccount, name: str, inputs: Properties) -> None:
    account.client("kms").update_alias(AliasName=name, TargetKeyId=inputs["targetKeyId"])


def _remove_alias(account: EmulatedAccount, name: str, _: Properties) -> None:
    account.client("kms").delete_alias(AliasName=name)


RESOURCES = (
    Emulated(
        type="aws:kms/key:Key",
        inputs=names(_KEY, ("isEnabled", "enableKeyRotation", "deletionWindowInDays", "tags")),
        make=_make_key,
        look=_look_at_key,
        change=_change_key,
        remove=_remove_key,
        replaced_by=frozenset({"keyUsage", "customerMasterKeySpec", "multiRegion"}),
        computed=frozenset({"arn", "keyId"}),
        defaults={"enableKeyRotation": False, "isEnabled": True},
        tagging=tagging.KMS,
    ),
    Emulated(
        type="aws:kms/alias:Alias",
        inputs=frozenset({"name", "targetKeyId"}),
        make=_make_alias,
        look=_look_at_alias,
        change=_change_alias,
        remove=_remove_alias,
        replaced_by=frozenset({"name"}),
        computed=frozenset({"arn", "targetKeyArn"}),
        named="name",
        name_prefix="alias/",
    ),
)
