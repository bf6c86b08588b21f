import json
from functools import cache
from typing import Any

import pulumi
import pytest
from examples import ACCOUNT, KEY_ARN
from harness import KEY, LOG_GROUP, ROLE, ROLE_POLICY, STATE_MACHINE, AwsMocks, custom, made, run, run_component, the

from components.formatter import AlertFormatter, AlertFormatterArgs
from threatmon.emulator.program import ProgramRun
from threatmon.model.location import Location
from threatmon.model.policies import state_machine_permissions, state_machine_trust
from threatmon.model.settings import AlertSettings
from threatmon.model.state_machine import definition

TOPICS = {"mail": f"arn:aws:sns:eu-west-1:{ACCOUNT}:alerts", "slack": f"arn:aws:sns:eu-west-1:{ACCOUNT}:alerts-slack"}
QUEUE_ARN = f"arn:aws:sqs:eu-west-1:{ACCOUNT}:dead-letters"
QUEUE_URL = f"https://sqs.eu-west-1.amazonaws.com/{ACCOUNT}/dead-letters"
GROUP = "/aws/vendedlogs/states/threat-monitor-dev"
SETTINGS = AlertSettings(account_alias="payments", runbooks={"Recon:*": "https://runbooks.example.com/recon"})
LOCATIONS = [
    Location(ACCOUNT, "eu-west-1", "aws", "amazonaws.com"),
    Location("444455556666", "us-gov-west-1", "aws-us-gov", "amazonaws.com"),
    Location("444455556666", "cn-north-1", "aws-cn", "amazonaws.com.cn"),
]
every_location = pytest.mark.parametrize("location", LOCATIONS, ids=lambda location: location.partition)


@cache
def deploy(location: Location = LOCATIONS[0], stack: str = "dev", boundary: str | None = None) -> ProgramRun:
    def build() -> None:
        args = AlertFormatterArgs(
            stack=stack,
            topic_arns={"mail": TOPICS["mail"], "slack": TOPICS["slack"]},
            dead_letter_queue_arn=QUEUE_ARN,
            dead_letter_queue_url=QUEUE_URL,
            kms_key_arn=KEY_ARN,
            settings=SETTINGS,
            log_group_name="/threat-monitor/dev/flow-logs",
            dashboard_name="threat-monitor-dev",
            permissions_boundary=boundary,
        )
        pulumi.export("machine", AlertFormatter("write", args).state_machine_arn)

    return run_component(build, mocks=AwsMocks(location.region, location.partition, location.id))


def test_it_makes_a_machine_a_role_with_one_policy_and_a_log_group() -> None:
    assert sorted(r.name for r in custom(deploy())) == [
        "write-log-group",
        "write-policy",
        "write-role",
        "write-state-machine",
    ]


@every_location
def test_the_machine_is_a_standard_one_of_the_definition_for_where_the_provider_deploys_to(location: Location) -> None:
    machine = the(deploy(location), STATE_MACHINE)
    assert set(machine.inputs) == {"name", "type", "roleArn", "definition", "loggingConfiguration"}
    assert (machine.inputs["name"], machine.inputs["type"]) == ("threat-monitor-dev", "STANDARD")
    assert machine.inputs["roleArn"] == made(the(deploy(location), ROLE), mocks_of(location))["arn"]
    assert json.loads(machine.inputs["definition"]) == definition(
        location,
        SETTINGS,
        topic_arns={"mail": TOPICS["mail"], "slack": TOPICS["slack"]},
        queue_url=QUEUE_URL,
        log_group_name="/threat-monitor/dev/flow-logs",
        dashboard_name="threat-monitor-dev",
    )


def mocks_of(location: Location) -> AwsMocks:
    return AwsMocks(location.region, location.partition, location.id)


@every_location
def test_its_role_is_for_this_machine_of_this_account_alone(location: Location) -> None:
    trust = json.loads(the(deploy(location), ROLE).inputs["assumeRolePolicy"])
    assert trust == state_machine_trust(location, "threat-monitor-dev")
    machine_arn = f"arn:{location.partition}:states:{location.region}:{location.id}:stateMachine:threat-monitor-dev"
    assert [statement["Condition"] for statement in trust["Statement"]] == [
        {"StringEquals": {"aws:SourceAccount": location.id}, "ArnEquals": {"aws:SourceArn": machine_arn}}
    ]
    assert deploy(location).outputs["machine"] == machine_arn


@every_location
def test_its_role_may_use_its_topics_its_queue_and_their_key(location: Location) -> None:
    policy = the(deploy(location), ROLE_POLICY)
    assert policy.inputs["role"] == made(the(deploy(location), ROLE), mocks_of(location))["name"]
    assert json.loads(policy.inputs["policy"]) == state_machine_permissions(
        location, list(TOPICS.values()), QUEUE_ARN, KEY_ARN, "ThreatMonitor"
    )


def test_the_machine_waits_for_its_permissions() -> None:
    assert the(deploy(), ROLE_POLICY).urn in the(deploy(), STATE_MACHINE).depends_on


def test_the_role_stays_within_the_boundary_it_is_given() -> None:
    boundary = f"arn:aws:iam::{ACCOUNT}:policy/Boundary"
    assert the(deploy(boundary=boundary), ROLE).inputs["permissionsBoundary"] == boundary
    assert "permissionsBoundary" not in the(deploy(), ROLE).inputs


def test_errors_are_logged_without_findings_in_an_encrypted_group_of_the_machines_name() -> None:
    group = the(deploy(), LOG_GROUP)
    assert group.inputs == {"name": GROUP, "retentionInDays": 90, "kmsKeyId": KEY_ARN}
    assert the(deploy(), STATE_MACHINE).inputs["loggingConfiguration"] == {
        "level": "ERROR",
        "includeExecutionData": False,
        "logDestination": f"{made(group)['arn']}:*",
    }


def test_a_stack_whose_name_step_functions_does_not_take_gets_one_that_it_does() -> None:
    run = deploy(stack="eu.prod-1")
    assert the(run, STATE_MACHINE).inputs["name"] == "threat-monitor-eu-prod-1"
    assert the(run, LOG_GROUP).inputs["name"] == "/aws/vendedlogs/states/threat-monitor-eu-prod-1"


@pytest.mark.parametrize("stack", ["dev", "eu.prod-1"])
def test_the_key_of_a_stack_encrypts_the_group_of_errors_too(stack: str) -> None:
    deployed = run(stack=stack)
    groups = {f"arn:aws:logs:eu-west-1:{ACCOUNT}:log-group:{g.inputs['name']}" for g in deployed.of_type(LOG_GROUP)}
    assert len(groups) == 2
    statements: list[dict[str, Any]] = json.loads(the(deployed, KEY).inputs["policy"])["Statement"]
    [served] = [s["Condition"]["ArnEquals"] for s in statements if "ArnEquals" in s.get("Condition", {})]
    assert set(served["kms:EncryptionContext:aws:logs:arn"]) == groups
