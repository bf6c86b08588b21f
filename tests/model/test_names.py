import re

import pytest

from threatmon.model import names


@pytest.mark.parametrize("stack", ["prod", "eu.prod-1", "a_b"])
def test_a_dashboard_has_a_name_that_cloudwatch_takes(stack: str) -> None:
    assert set(names.dashboard(stack)) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_")


@pytest.mark.parametrize("stack", ["prod", "eu.prod-1", "a_b", "x" * 100, "." * 100])
def test_a_state_machine_has_a_name_that_step_functions_takes(stack: str) -> None:
    assert re.fullmatch("[A-Za-z0-9_-]{1,80}", names.state_machine(stack))


def test_a_state_machine_is_called_as_the_dashboard_unless_that_is_too_long() -> None:
    assert names.state_machine("eu.prod") == names.dashboard("eu.prod") == "threat-monitor-eu-prod"
    assert len(names.state_machine("x" * 65)) == 80


def test_long_names_that_end_differently_stay_different() -> None:
    assert len({names.state_machine("x" * 90 + end) for end in ("a", "b", "c")}) == 3


@pytest.mark.parametrize("stack", ["prod", "x" * 100])
def test_the_log_group_of_errors_has_the_prefix_that_spares_the_resource_policy(stack: str) -> None:
    assert names.state_machine_log_group(stack) == f"/aws/vendedlogs/states/{names.state_machine(stack)}"


def test_the_key_of_a_stack_serves_the_log_groups_of_its_evidence_and_of_its_errors() -> None:
    groups = {"/threat-monitor/eu.prod/flow-logs", "/aws/vendedlogs/states/threat-monitor-eu-prod"}
    assert set(names.log_groups("eu.prod")) == groups


@pytest.mark.parametrize("stack", ["eu.prod", "x" * 100])
def test_the_chat_configurations_of_a_stack_have_names_of_their_own_that_aws_takes(stack: str) -> None:
    configurations = {names.chat_configuration(stack, application) for application in ("slack", "teams")}
    assert len(configurations) == 2
    # https://docs.aws.amazon.com/chatbot/latest/APIReference/API_CreateSlackChannelConfiguration.html
    assert all(re.fullmatch("[A-Za-z0-9-_]{1,128}", name) for name in configurations)


def test_a_log_group_names_its_stack() -> None:
    assert names.log_group("eu.prod-1") == "/threat-monitor/eu.prod-1/flow-logs"


@pytest.mark.parametrize("name", ["prod", "prod-eu.west_1", "1", "_x", "a" * 100])
def test_names_that_pulumi_and_a_file_can_have(name: str) -> None:
    assert names.is_stack_name(name)


@pytest.mark.parametrize("name", ["", "org/prod", "../prod", "a b", "a\n", "-x", "ä", "a" * 101, "a\\b", "a:b", "a\0"])
def test_names_that_they_cannot_have(name: str) -> None:
    assert not names.is_stack_name(name)
