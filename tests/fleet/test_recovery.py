"""What the engine says was interrupted, and the repair of the state."""

import json

import pytest
from examples import SUBNET

from threatmon.aws.errors import AwsError
from threatmon.fleet.recovery import InterruptedOperation, LookupResult, interrupted_operations, look_up, repair

PREFIX = "urn:pulumi:prod::threat-monitor::threat-monitor:index:ThreatMonitor"


def creating(type_: str, name: str = "threat-monitor") -> InterruptedOperation:
    return InterruptedOperation(f"{PREFIX}$aws:{type_}::{name}", "creating")


LOG_GROUP = creating("cloudwatch/logGroup:LogGroup")
DETECTORS = creating("guardduty/detector:Detector")
SUBNET_LOG = creating("ec2/flowLog:FlowLog", f"threat-monitor-flow-logs-{SUBNET}")


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


@pytest.mark.parametrize("recorded", [[LOG_GROUP.urn], []])
def test_what_was_made_is_imported_under_its_parent_unless_the_state_has_it(recorded: list[str]) -> None:
    ran: list[tuple[str, ...]] = []

    def run(*arguments: str) -> str:
        ran.append(arguments)
        return json.dumps({"deployment": {"resources": [{"urn": urn} for urn in recorded]} if recorded else None})

    operation = LOG_GROUP._replace(parent="urn:parent")
    repair(run, {operation: LookupResult("took over /logs", "/logs"), TOPIC: LookupResult("is made again")})
    options = ("import", "--yes", "--skip-preview", "--protect=false", "--generate-code=false")
    # https://www.pulumi.com/docs/iac/cli/commands/pulumi_import/
    command = (*options, LOG_GROUP.type, "threat-monitor", "/logs", "--parent", "parent=urn:parent")
    assert ran == [
        ("refresh", "--yes", "--skip-preview", "--clear-pending-creates"),
        ("stack", "export"),
        *([] if recorded else [command]),
    ]


# -- what the state has under way -------------------------------------------------------------------------------------


def test_every_operation_under_way_is_named() -> None:
    pending = [
        {"type": "creating", "resource": {"urn": SUBNET_LOG.urn, "parent": "urn:parent"}},
        {"type": "updating", "resource": {"urn": "urn:pulumi:prod::p::aws:sns/topic:Topic::a name, with a comma"}},
    ]
    first, second = interrupted_operations(json.dumps({"deployment": {"pending_operations": pending}}))
    assert first == SUBNET_LOG._replace(parent="urn:parent")
    assert (first.type, first.name) == ("aws:ec2/flowLog:FlowLog", f"threat-monitor-flow-logs-{SUBNET}")
    assert str(first) == f"creating FlowLog threat-monitor-flow-logs-{SUBNET}"
    assert str(second) == "updating Topic a name, with a comma"


@pytest.mark.parametrize("deployment", [None, {}, {"pending_operations": None}])
def test_a_state_without_any_names_none(deployment: object) -> None:
    assert interrupted_operations(json.dumps({"deployment": deployment})) == []
