from typing import Any

import pytest
from fleet.previews import WRAPPED_SECRET

from threatmon.fleet.previewed import States, are_in

TOPIC, KEY = (f"urn:pulumi:prod::p::a:b:C$aws:{type_}::it" for type_ in ("sns/topic:Topic", "kms/key:Key"))
NAME = {"name": "it"}


def exported(resources: States, **further: Any) -> dict[str, Any]:
    """What the engine exports of resources with these inputs, besides the stack itself and its provider."""
    states = [
        {"urn": urn, "type": urn.split("$")[1].split("::")[0], "custom": True, "inputs": inputs, **further}
        for urn, inputs in resources.items()
    ]
    stack = {"urn": "urn:pulumi:prod::p::pulumi:pulumi:Stack::p-prod", "type": "pulumi:pulumi:Stack"}
    provider = {"urn": "urn:pulumi:prod::p::pulumi:providers:aws::d", "type": "pulumi:providers:aws", "custom": True}
    return {"deployment": {"resources": [stack, provider, *states]}}


@pytest.mark.parametrize(
    ("before", "there"),
    [
        ({TOPIC: NAME}, exported({TOPIC: NAME})),
        ({TOPIC: {"days": 365.0}}, exported({TOPIC: {"days": 365}})),
        ({TOPIC: {"endpoint": WRAPPED_SECRET}}, exported({TOPIC: {"endpoint": {**WRAPPED_SECRET, "value": "v1:x"}}})),
        # the engine hides a secret wherever its text occurs
        ({TOPIC: {"policy": "allow [secret]"}}, exported({TOPIC: {"policy": "allow soc@example.com"}})),
        ({}, {"deployment": None}),
        ({}, exported({})),
        ({}, exported({TOPIC: NAME}, delete=True)),
    ],
)
def test_a_state_is_what_the_preview_saw(before: States, there: dict[str, Any]) -> None:
    assert are_in(before, there)


@pytest.mark.parametrize(
    ("before", "there"),
    [
        ({TOPIC: NAME}, {TOPIC: {"name": "other"}}),
        ({TOPIC: NAME}, {TOPIC: {**NAME, "tags": {}}}),
        ({TOPIC: NAME}, {TOPIC: NAME, KEY: {}}),
        ({TOPIC: NAME}, {}),
        ({}, {TOPIC: NAME}),
    ],
)
def test_what_somebody_else_has_deployed_is_another_state(before: States, there: States) -> None:
    assert not are_in(before, exported(there))
