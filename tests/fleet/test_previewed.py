from typing import Any

import pytest
from fleet.previews import WRAPPED_SECRET, create, same, update
from harness import KEY, TOPIC

from threatmon.fleet.changes import ResourceChange
from threatmon.fleet.previewed import are_in

NAME = {"name": "t"}
CIPHER = {**WRAPPED_SECRET, "ciphertext": "v1:x"}


def exported(*resources: tuple[str, str, dict[str, Any]], **further: Any) -> dict[str, Any]:
    """What the engine exports of resources: type, name and inputs."""
    states = [
        {
            "urn": f"urn:pulumi:prod::p::a:b:C${type_}::{name}",
            "type": type_,
            "custom": True,
            "inputs": inputs,
            **further,
        }
        for type_, name, inputs in resources
    ]
    stack = {"urn": "urn:pulumi:prod::p::pulumi:pulumi:Stack::p-prod", "type": "pulumi:pulumi:Stack"}
    return {"deployment": {"resources": [stack, *states]}}


@pytest.mark.parametrize(
    ("resource", "there"),
    [
        (same(TOPIC, "t", **NAME), exported((TOPIC, "t", NAME))),
        (update(TOPIC, "t", NAME, {"name": "later"}), exported((TOPIC, "t", NAME))),
        (same(TOPIC, "t", days=365.0), exported((TOPIC, "t", {"days": 365}))),
        (same(TOPIC, "t", endpoint=WRAPPED_SECRET), exported((TOPIC, "t", {"endpoint": CIPHER}))),
        # the engine hides a secret wherever its text occurs
        (same(TOPIC, "t", policy="allow [secret]"), exported((TOPIC, "t", {"policy": "allow soc@example.com"}))),
        (create(TOPIC, "t", **NAME), {"deployment": None}),
        (create(TOPIC, "t", **NAME), exported()),
        (create(TOPIC, "t", **NAME), exported((TOPIC, "replaced", {}), delete=True)),
        (same("pulumi:providers:aws", "p"), exported()),
    ],
)
def test_a_state_is_what_the_preview_saw(resource: ResourceChange, there: dict[str, Any]) -> None:
    assert are_in([resource], there)


@pytest.mark.parametrize(
    ("resource", "there"),
    [
        (same(TOPIC, "t", **NAME), exported((TOPIC, "t", {"name": "other"}))),
        (same(TOPIC, "t", **NAME), exported((TOPIC, "t", {**NAME, "tags": {}}))),
        (same(TOPIC, "t", **NAME), exported((TOPIC, "t", NAME), (KEY, "k", {}))),
        (same(TOPIC, "t", **NAME), exported()),
        (create(TOPIC, "t", **NAME), exported((TOPIC, "t", NAME))),
    ],
)
def test_what_somebody_else_has_deployed_is_another_state(resource: ResourceChange, there: dict[str, Any]) -> None:
    assert not are_in([resource], there)
