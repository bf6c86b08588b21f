"""What the checks of the state machine make of answers that no emulated account gives; see test_stack_checks.py."""

import json
from copy import deepcopy
from typing import Any

import pytest
from examples import ACCOUNT, KEY_ARN, REGION

from threatmon.evaluation.roles import Role
from threatmon.model.alarms import METRIC_NAMESPACE
from threatmon.model.location import Location
from threatmon.model.policies import start_execution, start_trust, state_machine_permissions, state_machine_trust
from threatmon.model.settings import AlertSettings
from threatmon.model.state_machine import definition, destinations, states
from threatmon.verify import machine_checks

PLACE = Location(ACCOUNT, REGION, "aws", "amazonaws.com")
MACHINE, QUEUE = PLACE.arn("states", "stateMachine:machine"), PLACE.arn("sqs", "queue")
RULES = [PLACE.arn("events", f"rule/{name}") for name in ("findings", "findings-2")]
TOPICS = {"topic": PLACE.arn("sns", "topic"), "topic-slack": PLACE.arn("sns", "chat")}
GROUP = PLACE.arn("logs", "log-group:errors")
NOBODY = '{"Statement": []}'
STATE_MACHINE: dict[str, Any] = {
    "status": "ACTIVE",
    "type": "STANDARD",
    "loggingConfiguration": {
        "level": "ERROR",
        "includeExecutionData": False,
        "destinations": [{"cloudWatchLogsLogGroup": {"logGroupArn": f"{GROUP}:*"}}],
    },
}


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"status": "DELETING"}, "status is DELETING, expected ACTIVE"),
        ({"type": "EXPRESS"}, "type is EXPRESS, expected STANDARD"),
        (
            {"loggingConfiguration": {}},
            f"logging is OFF, expected ERROR; log group is not set, expected {GROUP}",
        ),
    ],
)
def test_a_state_machine_says_each_finding_once_and_logs_its_errors(change: dict[str, Any], found: str) -> None:
    assert machine_checks.state_machine(STATE_MACHINE, GROUP, log_group_is_there=True).state == "ok"
    assert machine_checks.state_machine(STATE_MACHINE | change, GROUP, log_group_is_there=True).found == found


WANTED = definition(
    PLACE, AlertSettings(), topic_arns={"mail": TOPICS["topic"], "slack": TOPICS["topic-slack"]}, queue_url="https://q"
)


def test_a_definition_is_compared_state_by_state() -> None:
    other = deepcopy(WANTED)
    assert machine_checks.definition(other, WANTED).state == "ok"
    states(other)["Slack"]["Arguments"] = "{% {} %}"
    states(other)["Delivered"]["Comment"] = "x"
    assert machine_checks.definition(other, WANTED).found.endswith("by the states Delivered, Slack")
    without_chat = definition(PLACE, AlertSettings(), topic_arns={"mail": TOPICS["topic"]}, queue_url="https://q")
    assert "by the states Slack" in machine_checks.definition(without_chat, WANTED).found
    assert "outside its states" in machine_checks.definition(WANTED | {"TimeoutSeconds": 1}, WANTED).found


def test_a_definition_says_itself_where_it_sends() -> None:
    assert destinations(WANTED) == ({"mail": TOPICS["topic"], "slack": TOPICS["topic-slack"]}, "https://q")
    assert destinations({}) == ({}, None)
    torn = json.loads(json.dumps(WANTED).replace("https://q", "https://other", 1))
    assert destinations(torn).queue_url is None


def start_role(trust: Any = None, policy: Any = None) -> Role:
    return Role(
        f"arn:aws:iam::{ACCOUNT}:role/starts",
        json.dumps(trust or start_trust(PLACE, RULES)),
        json.dumps(policy or start_execution(MACHINE)),
    )


@pytest.mark.parametrize(
    ("role", "found"),
    [
        (start_role(), "lets the rules in, and may start the state machine"),
        (start_role(start_trust(PLACE, RULES[:1])), "starts does not let events.amazonaws.com in for findings-2"),
        (
            start_role(start_trust(Location("444455556666", REGION, "aws", "amazonaws.com"), RULES[:1])),
            "starts does not let events.amazonaws.com in for findings; "
            "starts does not let events.amazonaws.com in for findings-2",
        ),
        (start_role(policy=start_execution(f"{MACHINE}2")), "starts may not start the state machine"),
    ],
)
def test_the_start_role_lets_every_rule_in_and_starts_the_state_machine(role: Role, found: str) -> None:
    assert machine_checks.start_role(dict.fromkeys(RULES, role), MACHINE).found == found


def test_each_rule_may_have_a_role_of_its_own() -> None:
    lone = start_role(start_trust(PLACE, RULES[:1]))
    assert machine_checks.start_role({RULES[0]: lone}, MACHINE).state == "ok"
    assert machine_checks.start_role({RULES[0]: lone, RULES[1]: lone}, MACHINE).state == "failed"


def test_the_role_of_the_state_machine_may_do_what_its_tasks_do() -> None:
    trust = json.dumps(state_machine_trust(PLACE, "machine"))
    policy = state_machine_permissions(PLACE, list(TOPICS.values()), QUEUE, KEY_ARN, METRIC_NAMESPACE)
    role = Role(f"arn:aws:iam::{ACCOUNT}:role/works", trust, json.dumps(policy))
    assert machine_checks.machine_role(role, MACHINE, TOPICS, QUEUE).state == "ok"
    assert machine_checks.machine_role(role._replace(policy=NOBODY), MACHINE, TOPICS, QUEUE).found == (
        "works may not publish to topic; works may not publish to topic-slack; "
        "works may not write to the dead-letter queue; works may not count plain messages; works may not log its errors"
    )
    assert machine_checks.machine_role(role._replace(trust=NOBODY), MACHINE, TOPICS, QUEUE).found == (
        "works does not let states.amazonaws.com in for machine"
    )
