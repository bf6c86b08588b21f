import json
from typing import Any

from harness import ALIAS, KEY, AwsMocks, custom, made, run_component, the

from components.encryption import EncryptionKey, EncryptionKeyArgs
from threatmon.emulator.program import ProgramRun
from threatmon.model import names
from threatmon.model.location import Location
from threatmon.model.policies import key_policy

GROUPS = ["/logs/flow", "/logs/errors"]


def deploy(mocks: AwsMocks | None = None, **args: Any) -> ProgramRun:
    return run_component(lambda: EncryptionKey("safe", EncryptionKeyArgs("dev", GROUPS, **args)), mocks=mocks)


def test_it_makes_a_rotating_key_and_an_alias_to_it() -> None:
    run = deploy()
    key, alias = the(run, KEY), the(run, ALIAS)
    assert len(custom(run)) == 2
    assert {name: value for name, value in key.inputs.items() if name != "policy"} == {
        "description": "Evidence and alerts of safe",
        "isEnabled": True,
        "enableKeyRotation": True,
        "tags": names.tags("dev", "safe-key"),
        "deletionWindowInDays": 30,
    }
    assert alias.inputs == {"name": "alias/threat-monitor-dev-safe", "targetKeyId": made(key)["keyId"]}


def test_the_policy_is_for_the_log_groups_and_for_where_the_provider_deploys_to() -> None:
    policy = the(deploy(AwsMocks("cn-north-1", "aws-cn", "444455556666")), KEY).inputs["policy"]
    beijing = Location("444455556666", "cn-north-1", "aws-cn", "amazonaws.com.cn")
    assert json.loads(policy) == key_policy(beijing, GROUPS)
