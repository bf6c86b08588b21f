"""On an emulated account, as an interrupted creation leaves it."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from threatmon.emulator.account import EmulatedAccount
from threatmon.fleet import recovery
from threatmon.fleet.interruptions import Interrupted
from threatmon.model import names
from threatmon.stacks.old_aws import Aws

STACK = "prod"
SUBNET, VPC = "subnet-0123456789abcdef0", "vpc-0123456789abcdef0"
DETECTOR = "12abc34d567e8fa901bc2d34e56789f0"
PREFIX = "urn:pulumi:prod::threat-monitor::threat-monitor:index:ThreatMonitor"


@pytest.fixture
def account() -> Iterator[EmulatedAccount]:
    with EmulatedAccount("111122223333", "eu-west-1") as account:
        account.seed_subnet(SUBNET, VPC)
        yield account


def creating(type_: str, name: str = "threat-monitor") -> Interrupted:
    return Interrupted(f"{PREFIX}$aws:{type_}::{name}", "creating")


def found(account: EmulatedAccount, it: Interrupted, stack: str = STACK) -> str | None:
    return recovery.find(lambda: Aws(account.boto3_session(), account.account_id), stack, it)


def flow_log(account: EmulatedAccount, kind: str, resource_id: str, stack: str = STACK) -> str:
    made = account.client("ec2").create_flow_logs(
        ResourceType=kind,
        ResourceIds=[resource_id],
        TrafficType="ALL",
        LogDestinationType="cloud-watch-logs",
        LogGroupName=names.log_group(stack),
        DeliverLogsPermissionArn="arn:aws:iam::111122223333:role/flow-logs",
    )
    return made["FlowLogIds"][0]


LOG_GROUP = creating("cloudwatch/logGroup:LogGroup")
DETECTORS = creating("guardduty/detector:Detector")
SUBNET_LOG = creating("ec2/flowLog:FlowLog", f"threat-monitor-flow-logs-{SUBNET}")
VPC_LOG = creating("ec2/flowLog:FlowLog", f"threat-monitor-flow-logs-{VPC}")


def test_the_log_group_is_found_by_its_name(account: EmulatedAccount) -> None:
    account.client("logs").create_log_group(logGroupName=names.log_group(STACK))
    assert found(account, LOG_GROUP) == "/threat-monitor/prod/flow-logs"


def test_a_log_group_whose_name_only_begins_like_it_is_another(account: EmulatedAccount) -> None:
    for name in (f"{names.log_group(STACK)}-old", names.log_group("production")):
        account.client("logs").create_log_group(logGroupName=name)
    assert found(account, LOG_GROUP) is None


@pytest.mark.parametrize(("kind", "it"), [("Subnet", SUBNET_LOG), ("VPC", VPC_LOG)])
def test_a_flow_log_is_found_by_what_it_records(account: EmulatedAccount, kind: str, it: Interrupted) -> None:
    account.client("logs").create_log_group(logGroupName=names.log_group(STACK))
    other = flow_log(account, *(("VPC", VPC) if kind == "Subnet" else ("Subnet", SUBNET)))
    assert found(account, it) is None
    made = flow_log(account, kind, SUBNET if kind == "Subnet" else VPC)
    assert made != other
    assert found(account, it) == made


def test_a_flow_log_of_somebody_else_on_the_same_subnet_is_not_taken(account: EmulatedAccount) -> None:
    account.client("logs").create_log_group(logGroupName=names.log_group("another"))
    flow_log(account, "Subnet", SUBNET, "another")
    assert found(account, SUBNET_LOG) is None


def test_a_detector_made_just_now_is_taken(account: EmulatedAccount) -> None:
    account.seed_detector(DETECTOR)
    assert found(account, DETECTORS) == DETECTOR


@pytest.mark.parametrize(("hours", "taken"), [(23, True), (25, False)])
def test_a_detector_that_was_there_long_before_is_not_taken(account: EmulatedAccount, hours: int, taken: bool) -> None:
    account.seed_detector(DETECTOR)
    detector = account.backend("guardduty").detectors[DETECTOR]
    detector.created_at = datetime.fromisoformat(f"{detector.created_at}+00:00") - timedelta(hours=hours)
    assert found(account, DETECTORS) == (DETECTOR if taken else None)


@pytest.mark.parametrize("it", [LOG_GROUP, SUBNET_LOG, VPC_LOG, DETECTORS])
def test_in_an_empty_account_nothing_is_found(account: EmulatedAccount, it: Interrupted) -> None:
    assert found(account, it) is None


def calls(account: EmulatedAccount, *searched: Interrupted) -> set[str]:
    """The IAM actions of the calls that the searches make."""
    called: set[str] = set()

    def note(model: Any, **_: object) -> None:
        called.add(f"{model.service_model.signing_name}:{model.name}")

    session = account.boto3_session()
    session.events.register("before-call", note)
    for it in searched:
        recovery.find(lambda: Aws(session, account.account_id), STACK, it)
    return called


def test_what_may_exist_twice_is_not_looked_for(account: EmulatedAccount) -> None:
    made = account.client("sns").create_topic(Name="threat-monitor-topic-1234567")
    assert made["TopicArn"]
    it = creating("sns/topic:Topic", "threat-monitor-topic")
    assert recovery.find(lambda: pytest.fail("the account is asked"), STACK, it) is None


def test_the_permissions_are_those_of_the_calls(account: EmulatedAccount) -> None:
    account.seed_detector(DETECTOR)
    assert calls(account, LOG_GROUP, SUBNET_LOG, DETECTORS) == set(recovery.PERMISSIONS)
    assert list(recovery.PERMISSIONS) == sorted(recovery.PERMISSIONS)
