import json
from typing import Any

import pytest
from examples import ACCOUNT, KEY_ARN, OTHER_ACCOUNT

from threatmon.evaluation.roles import role_of

RULE, TOPIC = f"arn:aws:events:eu-west-1:{ACCOUNT}:rule/r", f"arn:aws:sns:eu-west-1:{ACCOUNT}:topic"
ARN, ROOT = f"arn:aws:iam::{ACCOUNT}:role/service/starts", f"arn:aws:iam::{ACCOUNT}:root"
SERVICE = "events.amazonaws.com"


def statement(action: str, resource: str = "*", effect: str = "Allow", **more: Any) -> dict[str, Any]:
    return {"Effect": effect, "Action": action, "Resource": resource, **more}


def trust(**condition: Any) -> dict[str, Any]:
    entry = {"Effect": "Allow", "Principal": {"Service": SERVICE}, "Action": "sts:AssumeRole"}
    return {"Statement": [{**entry, "Condition": condition} if condition else entry]}


@pytest.mark.parametrize(
    ("document", "rule", "anybody"),
    [
        (trust(), True, True),
        (trust(ArnEquals={"aws:SourceArn": RULE}), True, False),
        (trust(ArnEquals={"aws:SourceArn": f"{RULE}2"}), False, False),
        (trust(StringEquals={"aws:SourceAccount": OTHER_ACCOUNT}), False, False),
        ({"Statement": []}, False, False),
    ],
)
def test_a_trust_policy_lets_a_service_in_for_a_resource_or_for_anybody(
    document: dict[str, Any], *, rule: bool, anybody: bool
) -> None:
    role = role_of(ARN, document, [])
    assert (role.lets_in(SERVICE, RULE), role.lets_in_anybody(SERVICE)) == (rule, anybody)


def test_inline_policies_are_evaluated_together() -> None:
    may, other = {"Statement": statement("sns:Publish", TOPIC)}, {"Statement": [statement("sqs:*")]}
    assert role_of(ARN, trust(), [other, may]).allows("sns:Publish", TOPIC)
    assert not role_of(ARN, trust(), [other]).allows("sns:Publish", TOPIC)
    forbidden = {"Statement": [statement("sns:*", effect="Deny")]}
    assert not role_of(ARN, trust(), [may, forbidden]).allows("sns:Publish", TOPIC)


def test_a_resource_of_the_account_need_not_name_the_role_but_can_keep_it_out() -> None:
    role = role_of(ARN, trust(), [{"Statement": [statement("sns:Publish", TOPIC)]}])
    denied = statement("sns:Publish", TOPIC, "Deny", Principal={"AWS": ARN})
    assert role.allows("sns:Publish", TOPIC, '{"Statement": []}')
    assert not role.allows("sns:Publish", TOPIC, json.dumps({"Statement": [denied]}))


@pytest.mark.parametrize(
    ("principal", "effect", "own", "serves"),
    [
        (ARN, "Allow", False, True),
        (ROOT, "Allow", True, True),
        (ROOT, "Allow", False, False),
        (f"{ARN}2", "Allow", True, False),
        (ARN, "Deny", True, False),
    ],
)
def test_a_key_serves_by_its_own_policy_or_leaves_it_to_the_account(
    principal: str, effect: str, *, own: bool, serves: bool
) -> None:
    role = role_of(ARN, trust(), [{"Statement": [statement("kms:Decrypt", KEY_ARN)]}] if own else [])
    key = [statement("kms:*", effect=effect, Principal={"AWS": principal})]
    if effect == "Deny":
        key.append(statement("kms:*", Principal={"AWS": ROOT}))
    assert role.may_use_key(json.dumps({"Statement": key}), KEY_ARN, "kms:Decrypt", {}) is serves
