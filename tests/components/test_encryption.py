import json
from typing import Any

import pytest
from examples import ACCOUNT
from harness import ALIAS, KEY, AwsMocks, custom, made, run_component, the

from components.encryption import EncryptionKey, EncryptionKeyArgs
from threatmon.emulator.program import ProgramRun


def deploy(mocks: AwsMocks | None = None, **args: Any) -> ProgramRun:
    wanted = EncryptionKeyArgs("/logs/flow", **args)
    return run_component(lambda: EncryptionKey("safe", wanted), mocks=mocks)


def statements(run: ProgramRun) -> dict[str, dict[str, Any]]:
    policy = json.loads(the(run, KEY).inputs["policy"])
    return {statement["Sid"]: statement for statement in policy["Statement"]}


def test_it_makes_a_rotating_key_and_an_alias_to_it() -> None:
    run = deploy()
    key, alias = the(run, KEY), the(run, ALIAS)
    assert len(custom(run)) == 2
    assert {name: value for name, value in key.inputs.items() if name != "policy"} == {
        "description": "Evidence and alerts of safe",
        "enableKeyRotation": True,
        "deletionWindowInDays": 30,
    }
    assert alias.inputs == {"targetKeyId": made(key)["keyId"]}


def test_the_policy_names_exactly_the_log_group_and_the_regions_logs_service() -> None:
    logs = statements(deploy())["CloudWatchLogsStores"]
    assert logs["Principal"] == {"Service": "logs.eu-west-1.amazonaws.com"}
    assert logs["Condition"] == {
        "ArnEquals": {
            "kms:EncryptionContext:aws:logs:arn": f"arn:aws:logs:eu-west-1:{ACCOUNT}:log-group:/logs/flow",
        }
    }


def test_eventbridge_may_use_the_key_without_a_source_condition() -> None:
    events = statements(deploy())["EventBridgePublishes"]
    assert events["Principal"] == {"Service": "events.amazonaws.com"}
    assert sorted(events["Action"]) == ["kms:Decrypt", "kms:GenerateDataKey*"]
    assert "Condition" not in events


def test_the_account_keeps_the_administration_of_its_key() -> None:
    assert statements(deploy())["OwnerAdministers"]["Principal"] == {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}


def test_nobody_else_may_use_the_key() -> None:
    assert set(statements(deploy())) == {"OwnerAdministers", "EventBridgePublishes", "CloudWatchLogsStores"}


def test_in_china_the_logs_service_has_another_suffix() -> None:
    run = deploy(AwsMocks("cn-north-1", "aws-cn"))
    assert statements(run)["CloudWatchLogsStores"]["Principal"] == {"Service": "logs.cn-north-1.amazonaws.com.cn"}
    assert statements(run)["EventBridgePublishes"]["Principal"] == {"Service": "events.amazonaws.com"}


@pytest.mark.parametrize("protect", [True, False])
def test_protect_covers_the_key_and_nothing_else(*, protect: bool) -> None:
    run = deploy(protect=protect)
    assert {r.type for r in run.resources.values() if r.protect} == ({KEY} if protect else set())


@pytest.mark.parametrize("keep", [True, False])
def test_keep_on_destroy_retains_the_key_and_nothing_else(*, keep: bool) -> None:
    run = deploy(keep_on_destroy=keep)
    assert {r.type for r in run.resources.values() if r.retain_on_delete} == ({KEY} if keep else set())
