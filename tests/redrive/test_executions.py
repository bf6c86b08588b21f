import json
import time

import pytest
from findings import recorded
from redrive.dead_letter_stack import FAILS, SUCCEEDS, DeadLetterStack, StateMachine
from scripted_account import ScriptedAccount

from threatmon.redrive import executions
from threatmon.redrive.undelivered import Undelivered, json_object

EVENT = json.dumps(recorded("ec2_portscan"))
MAIL_ONLY = json.dumps(recorded("ec2_portscan") | {"channels": ["mail"]})


@pytest.fixture
def machine(scripted: ScriptedAccount) -> StateMachine:
    return DeadLetterStack(scripted).machine


def unsent(machine: StateMachine, scripted: ScriptedAccount) -> list[Undelivered]:
    return executions.unsent(scripted.aws, machine.arn)


def test_a_failed_execution_has_its_event_its_error_and_when_it_ended(
    machine: StateMachine, scripted: ScriptedAccount
) -> None:
    arn = machine.run("a", EVENT, error="Lost", cause="mail,slack")
    machine.run("fine", EVENT, status="SUCCEEDED")
    machine.run("at-work", EVENT, status="RUNNING")
    [alert] = unsent(machine, scripted)
    assert 0 <= time.time() - alert.since < 60
    assert alert._replace(since=0) == Undelivered(
        arn, 0, EVENT, json.loads(EVENT), machine.arn, ["mail", "slack"], "Lost: mail,slack"
    )


@pytest.mark.parametrize("status", ["FAILED", "TIMED_OUT", "ABORTED"])
def test_every_way_to_end_badly_is_found(machine: StateMachine, scripted: ScriptedAccount, status: str) -> None:
    machine.run("a", EVENT, status=status)
    assert [alert.error for alert in unsent(machine, scripted)] == [status]


@pytest.mark.parametrize(
    ("text", "done", "lost", "channels"),
    [
        (EVENT, [], "", ["mail", "slack", "teams"]),
        (EVENT, ["Mail"], "", ["slack", "teams"]),
        (EVENT, ["Mail", "Slack"], "", ["teams"]),
        # What neither the topic nor the queue took is done, and was not sent.
        (EVENT, ["Mail", "Slack"], "Mail", ["mail", "teams"]),
        (MAIL_ONLY, [], "", ["mail"]),
        (MAIL_ONLY, ["Slack"], "", ["mail"]),
        ("[]", [], "", ["mail", "slack", "teams"]),
    ],
)
def test_the_channels_whose_branches_came_to_no_end_are_to_be_sent_to(
    machine: StateMachine, scripted: ScriptedAccount, text: str, done: list[str], lost: str, channels: list[str]
) -> None:
    machine.run("a", text, *done, lost=lost, error="States.DataLimitExceeded", cause="too much")
    [alert] = unsent(machine, scripted)
    assert (alert.channels, alert.error) == (channels, "States.DataLimitExceeded: too much")


def test_only_channels_that_the_definition_had_can_have_missed_something(
    machine: StateMachine, scripted: ScriptedAccount
) -> None:
    machine.run("a", EVENT, "Mail", begun=["Mail"], status="ABORTED")
    machine.run("b", EVENT, "Mail", begun=["Mail", "Slack"], status="ABORTED")
    machine.run("c", EVENT, begun=["Mail"], status="ABORTED")
    assert [alert.channels for alert in unsent(machine, scripted)] == [["slack"], ["mail"]]


@pytest.mark.parametrize(("text", "channels"), [(EVENT, ["mail", "teams"]), (MAIL_ONLY, ["mail"])])
def test_of_lost_messages_the_cause_names_the_channels(
    machine: StateMachine, scripted: ScriptedAccount, text: str, channels: list[str]
) -> None:
    machine.run("a", text, "Mail", "Slack", "Teams", error="Lost", cause="teams,mail")
    assert [alert.channels for alert in unsent(machine, scripted)] == [channels]


@pytest.mark.parametrize(
    ("text", "done"),
    [(EVENT, ["Mail", "Slack", "Teams"]), (MAIL_ONLY, ["Mail"]), ('{"channels": []}', []), ('{"channels": 5}', [])],
)
def test_an_execution_that_owes_nothing_is_not_sent_again(
    machine: StateMachine, scripted: ScriptedAccount, text: str, done: list[str]
) -> None:
    machine.run("a", text, *done, status="ABORTED")
    assert unsent(machine, scripted) == []


def test_what_was_sent_again_is_not_listed_and_what_failed_again_is_listed_itself(
    machine: StateMachine, scripted: ScriptedAccount
) -> None:
    first = machine.run("a", EVENT)
    machine.become(FAILS)
    [alert] = unsent(machine, scripted)
    second = executions.start(scripted.aws, machine.arn, alert, EVENT)
    assert second
    [alert] = unsent(machine, scripted)
    assert alert.id == second != first
    machine.become(SUCCEEDS)
    assert executions.start(scripted.aws, machine.arn, alert, EVENT)
    assert unsent(machine, scripted) == []
    assert len(machine.sent) == 2


def test_an_alert_is_sent_by_one_execution_however_often_it_is_started(
    machine: StateMachine, scripted: ScriptedAccount
) -> None:
    alert = Undelivered("message", 0, EVENT, json_object(EVENT), "", [], "", "receipt")
    first = executions.start(scripted.aws, machine.arn, alert, EVENT)
    machine.executions[0].status = "RUNNING"
    assert first == executions.start(scripted.aws, machine.arn, alert, EVENT)
    assert executions.start(scripted.aws, machine.arn, alert, EVENT) is None
    assert len(machine.executions) == 1
    other = executions.start(scripted.aws, machine.arn, alert._replace(id="other"), EVENT)
    assert other != first
    assert all(len(one.name) <= 80 for one in machine.executions)


def test_the_end_of_an_execution_is_waited_for(machine: StateMachine, scripted: ScriptedAccount) -> None:
    arn = machine.run("a", EVENT, status="RUNNING")
    known = machine.executions.pop()
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        machine.executions[:] = [known]  # not known at once
        if len(waits) == 3:
            vars(known).update(status="FAILED", error="Lost", cause="mail")

    assert executions.failure(scripted.aws, arn, sleep) == "Lost: mail"
    assert waits == [2, 2, 2]
    known.status = "SUCCEEDED"
    assert executions.failure(scripted.aws, arn, sleep) is None
    assert len(waits) == 3
