"""Keys and aliases."""

from threatmon.emulator import constraints, tagging
from threatmon.emulator.account import EmulatedAccount
from threatmon.emulator.emulated import (
    ApiNames,
    Emulated,
    MissingResourceError,
    Properties,
    capitalised,
    first,
    from_api,
    to_api,
)

_KEY = capitalised("description", "policy")
_ALIAS: ApiNames = {"name": "AliasName", "targetKeyId": "TargetKeyId"}


def _make_key(account: EmulatedAccount, inputs: Properties) -> str:
    constraints.key_policy(inputs["policy"], account.location.root)
    key_id = account.client("kms").create_key(**to_api(inputs, _KEY))["KeyMetadata"]["KeyId"]
    _switch(account, key_id, inputs)
    return key_id


def _look_at_key(account: EmulatedAccount, key_id: str) -> Properties:
    kms = account.client("kms")
    key = kms.describe_key(KeyId=key_id)["KeyMetadata"]
    if key["KeyState"] == "PendingDeletion":
        raise MissingResourceError
    return {
        **from_api(key, capitalised("description", "arn", "keyId")),
        "isEnabled": key["Enabled"],
        "policy": kms.get_key_policy(KeyId=key_id, PolicyName="default")["Policy"],
        "enableKeyRotation": kms.get_key_rotation_status(KeyId=key_id)["KeyRotationEnabled"],
    }


def _change_key(account: EmulatedAccount, key_id: str, inputs: Properties) -> None:
    constraints.key_policy(inputs["policy"], account.location.root)
    kms = account.client("kms")
    kms.update_key_description(KeyId=key_id, Description=inputs.get("description", ""))
    kms.put_key_policy(KeyId=key_id, PolicyName="default", Policy=inputs["policy"])
    _switch(account, key_id, inputs)


def _switch(account: EmulatedAccount, key_id: str, inputs: Properties) -> None:
    kms = account.client("kms")
    (kms.enable_key if inputs["isEnabled"] else kms.disable_key)(KeyId=key_id)
    (kms.enable_key_rotation if inputs["enableKeyRotation"] else kms.disable_key_rotation)(KeyId=key_id)


def _remove_key(account: EmulatedAccount, key_id: str, outputs: Properties) -> None:
    window = outputs.get("deletionWindowInDays") or 30
    account.client("kms").schedule_key_deletion(KeyId=key_id, PendingWindowInDays=window)


def _make_alias(account: EmulatedAccount, inputs: Properties) -> str:
    account.client("kms").create_alias(**to_api(inputs, _ALIAS))
    return inputs["name"]


def _look_at_alias(account: EmulatedAccount, name: str) -> Properties:
    aliases = account.client("kms").get_paginator("list_aliases").paginate().build_full_result()["Aliases"]
    alias = first(alias for alias in aliases if alias["AliasName"] == name and "TargetKeyId" in alias)
    return from_api(alias, {**_ALIAS, "arn": "AliasArn"})


RESOURCES = (
    Emulated(
        type="aws:kms/key:Key",
        inputs={*_KEY, "isEnabled", "enableKeyRotation", "deletionWindowInDays", "tags"},
        make=_make_key,
        look=_look_at_key,
        change=_change_key,
        remove=_remove_key,
        computed={"arn", "keyId"},
        defaults={"isEnabled": True, "enableKeyRotation": False},
        tagging=tagging.KMS,
    ),
    Emulated(
        type="aws:kms/alias:Alias",
        inputs={*_ALIAS},
        make=_make_alias,
        look=_look_at_alias,
        change=lambda account, _, inputs: account.client("kms").update_alias(**to_api(inputs, _ALIAS)),
        remove=lambda account, name, _: account.client("kms").delete_alias(AliasName=name),
        replaced_by={"name"},
        computed={"arn"},
        named="name",
        name_prefix="alias/",
    ),
)
