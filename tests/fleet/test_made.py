"""On an emulated account that holds a whole stack, or nothing of it."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from examples import ACCOUNT, DETECTOR_ID, EMAIL, REGION, SLACK, SUBNET, TEAMS, VPC
from pulumi.runtime.mocks import MockResourceArgs
from scripted_account import ScriptedAccount

from threatmon.aws.reader import Aws
from threatmon.emulator.account import EmulatedAccount
from threatmon.emulator.mocks import EmulatedMocks
from threatmon.emulator.program import run_project
from threatmon.fleet import made

CONFIG = {
    "aws:region": REGION,
    "threat-monitor:subnetIds": [SUBNET],
    "threat-monitor:vpcIds": [VPC],
    "threat-monitor:alertEmails": [EMAIL],
    "threat-monitor:alerts": {"slack": SLACK, "teams": TEAMS},
    "threat-monitor:health": {"enabled": True},
}
REFUSED_TWICE = (
    *("chatbot/slackChannelConfiguration:SlackChannelConfiguration", "chatbot/teamsChannelConfiguration"),
    *("cloudwatch/logGroup:LogGroup", "cloudwatch/queryDefinition", "ec2/flowLog", "guardduty/detector:Detector"),
    *("iam/role:Role", "kms/alias:Alias", "kms/key:Key", "sfn/stateMachine:StateMachine"),
)


class Made(NamedTuple):
    type: str
    name: str
    id: str


class _Noting(EmulatedMocks):
    def __init__(self, account: EmulatedAccount) -> None:
        super().__init__(account)
        self.made: list[Made] = []

    def new_resource(self, args: MockResourceArgs) -> tuple[str | None, dict[Any, Any]]:
        id_, state = super().new_resource(args)
        if args.typ.startswith("aws:") and id_:
            self.made.append(Made(args.typ, args.name, id_))
        return id_, state


def deployed(account: EmulatedAccount, stack: str) -> list[Made]:
    mocks = _Noting(account)
    run_project(CONFIG, mocks, stack=stack)
    return mocks.made


@pytest.fixture
def account() -> Iterator[EmulatedAccount]:
    with EmulatedAccount(ACCOUNT, REGION) as account:
        account.seed_subnet(SUBNET, VPC)
        yield account


def found(account: EmulatedAccount, resource: Made, stack: str = "prod") -> str | None:
    return made.find(lambda: Aws(account.boto3_session()), stack, resource.type, resource.name)


@pytest.mark.parametrize("stack", ["prod", "x" * 100, "eu.prod"])
def test_what_cannot_be_created_twice_is_found_by_its_own_name_or_tags(account: EmulatedAccount, stack: str) -> None:
    resources = [
        one for one in deployed(account, stack) if one.type.startswith(tuple(f"aws:{t}" for t in REFUSED_TWICE))
    ]
    assert len(resources) == 2 + 2 + 7 + 2 + 1 + 4 + 1 + 2 + 1
    assert {one: found(account, one, stack) for one in resources} == {one: one.id for one in resources}


def test_nothing_of_another_stack_is_taken(account: EmulatedAccount) -> None:
    resources = deployed(account, "prod")
    assert {found(account, one, "production") for one in resources} == {None}


def test_in_an_account_without_the_stack_nothing_is_found(account: EmulatedAccount) -> None:
    with EmulatedAccount("444455556666", REGION) as other:
        other.seed_subnet(SUBNET, VPC)
        resources = deployed(other, "prod")
    assert {found(account, one) for one in resources} == {None}


def test_a_detector_that_somebody_else_created_a_minute_ago_is_not_taken(account: EmulatedAccount) -> None:
    account.seed_detector(DETECTOR_ID)
    detector = Made("aws:guardduty/detector:Detector", "threat-monitor-detection-detector", "")
    assert found(account, detector) is None


def test_a_key_that_waits_to_be_deleted_is_not_taken(account: EmulatedAccount) -> None:
    [key] = [one for one in deployed(account, "prod") if one.name == "threat-monitor-health-key"]
    account.client("kms").schedule_key_deletion(KeyId=key.id)
    assert found(account, key) is None


def test_for_what_can_be_created_again_the_account_is_not_asked() -> None:
    assert made.find(lambda: pytest.fail("asked"), "prod", "aws:sns/topic:Topic", "threat-monitor-alerts-topic") is None


def test_the_permissions_are_those_of_the_calls(scripted: ScriptedAccount) -> None:
    scripted.account.seed_subnet(SUBNET, VPC)
    for resource in deployed(scripted.account, "prod"):
        made.find(lambda: scripted.aws, "prod", resource.type, resource.name)
    assert set(scripted.calls) - {"sts:GetCallerIdentity"} == set(made.PERMISSIONS)
    assert list(made.PERMISSIONS) == sorted(made.PERMISSIONS)
