"""On an emulated account, as an interrupted creation leaves it."""

import json
from datetime import datetime, timedelta

import pytest
from examples import DETECTOR_ID, SUBNET, VPC
from scripted_account import ScriptedAccount

from threatmon.aws.errors import AwsError
from threatmon.aws.reader import Aws
from threatmon.emulator.account import EmulatedAccount
from threatmon.fleet import recovery
from threatmon.fleet.recovery import InterruptedOperation, LookupResult, interrupted_operations, look_up, repair
from threatmon.model import names

STACK = "prod"
PREFIX = "urn:pulumi:prod::threat-monitor::threat-monitor:index:ThreatMonitor"


@pytest.fixture
def account(scripted: ScriptedAccount) -> EmulatedAccount:
    scripted.account.seed_subnet(SUBNET, VPC)
    return scripted.account


def creating(type_: str, name: str = "threat-monitor") -> InterruptedOperation:
    return InterruptedOperation(f"{PREFIX}$aws:{type_}::{name}", "creating")


def found(account: EmulatedAccount, operation: InterruptedOperation) -> str | None:
    return recovery.find(lambda: Aws(account.boto3_session()), STACK, operation)


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


@pytest.mark.parametrize(("kind", "operation"), [("Subnet", SUBNET_LOG), ("VPC", VPC_LOG)])
def test_a_flow_log_is_found_by_what_it_records(
    account: EmulatedAccount, kind: str, operation: InterruptedOperation
) -> None:
    account.client("logs").create_log_group(logGroupName=names.log_group(STACK))
    other = flow_log(account, *(("VPC", VPC) if kind == "Subnet" else ("Subnet", SUBNET)))
    assert found(account, operation) is None
    made = flow_log(account, kind, SUBNET if kind == "Subnet" else VPC)
    assert made != other
    assert found(account, operation) == made


def test_a_flow_log_of_somebody_else_on_the_same_subnet_is_not_taken(account: EmulatedAccount) -> None:
    account.client("logs").create_log_group(logGroupName=names.log_group("another"))
    flow_log(account, "Subnet", SUBNET, "another")
    assert found(account, SUBNET_LOG) is None


@pytest.mark.parametrize(("hours", "taken"), [(23, True), (25, False)])
def test_a_detector_that_was_there_long_before_is_not_taken(account: EmulatedAccount, hours: int, taken: bool) -> None:
    assert found(account, DETECTORS) is None
    account.seed_detector(DETECTOR_ID)
    detector = account.backend("guardduty").detectors[DETECTOR_ID]
    detector.created_at = datetime.fromisoformat(f"{detector.created_at}+00:00") - timedelta(hours=hours)
    assert found(account, DETECTORS) == (DETECTOR_ID if taken else None)


def test_what_may_exist_twice_is_not_looked_for() -> None:
    operation = creating("sns/topic:Topic", "threat-monitor-topic")
    assert recovery.find(lambda: pytest.fail("the account is asked"), STACK, operation) is None


def test_the_permissions_are_those_of_the_calls(scripted: ScriptedAccount) -> None:
    scripted.account.seed_detector(DETECTOR_ID)
    for operation in (LOG_GROUP, SUBNET_LOG, DETECTORS):
        recovery.find(lambda: scripted.aws, STACK, operation)
    assert set(scripted.calls) == set(recovery.PERMISSIONS)
    assert list(recovery.PERMISSIONS) == sorted(recovery.PERMISSIONS)


# -- looking up and repairing -----------------------------------------------------------------------------------------

TOPIC = creating("sns/topic:Topic")


def test_what_was_made_is_named_and_what_cannot_be_found_is_made_again() -> None:
    updating = InterruptedOperation(DETECTORS.urn, "updating")
    found = look_up([LOG_GROUP, TOPIC, updating], {LOG_GROUP: "/logs"}.get)
    assert found == {
        LOG_GROUP: LookupResult("took over /logs", "/logs"),
        TOPIC: LookupResult("what it made, if anything, is made again"),
        updating: LookupResult("nothing to do"),
    }


def test_an_account_that_cannot_be_asked_is_asked_once() -> None:
    asked: list[InterruptedOperation] = []

    def refused(operation: InterruptedOperation) -> str | None:
        asked.append(operation)
        raise AwsError("Permission {action} is missing: no", "logs:DescribeLogGroups", "AccessDenied", "no")

    summary = "what it made, if anything, cannot be looked up: Permission logs:DescribeLogGroups is missing: no"
    assert look_up([LOG_GROUP, SUBNET_LOG], refused) == {
        LOG_GROUP: LookupResult(summary, answered=False),
        SUBNET_LOG: LookupResult(summary, answered=False),
    }
    assert asked == [LOG_GROUP]


@pytest.mark.parametrize("pending", [[LOG_GROUP.urn], []])
def test_what_the_state_has_under_way_is_imported_under_its_parent(pending: list[str]) -> None:
    ran: list[tuple[str, ...]] = []

    def run(*arguments: str) -> str:
        ran.append(arguments)
        operations = [{"resource": {"urn": urn, "parent": f"{urn}-parent"}} for urn in pending]
        return json.dumps({"deployment": {"pending_operations": operations} if pending else None})

    found = {LOG_GROUP: LookupResult("took over /logs", "/logs"), TOPIC: LookupResult("is made again")}
    repair(run, found)
    options = ("import", "--yes", "--skip-preview", "--protect=false", "--generate-code=false")
    # https://www.pulumi.com/docs/iac/cli/commands/pulumi_import/
    assert ran == [
        ("stack", "export"),
        ("refresh", "--yes", "--skip-preview", "--clear-pending-creates"),
        *((*options, LOG_GROUP.type, "threat-monitor", "/logs", "--parent", f"parent={urn}-parent") for urn in pending),
    ]


# -- the engine's warning ---------------------------------------------------------------------------------------------

WARNING = f"""Attempting to deploy or update resources with 2 pending operations from previous deployment.
  * {SUBNET_LOG.urn}, interrupted while creating
  * urn:pulumi:prod::threat-monitor::aws:sns/topic:Topic::a name, with a comma, interrupted while updating
These resources are in an unknown state because the Pulumi CLI was interrupted while waiting for changes."""


def test_the_warning_names_every_operation_that_was_interrupted_operations() -> None:
    first, second = interrupted_operations(WARNING)
    assert first == SUBNET_LOG
    assert (first.type, first.name) == ("aws:ec2/flowLog:FlowLog", f"threat-monitor-flow-logs-{SUBNET}")
    assert str(first) == f"creating FlowLog threat-monitor-flow-logs-{SUBNET}"
    assert str(second) == "updating Topic a name, with a comma"


def test_another_warning_names_none() -> None:
    assert interrupted_operations(f"something else\n  * {SUBNET_LOG.urn}, interrupted while creating") == []
