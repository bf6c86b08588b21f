import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

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


LONGEST_WORD = "threat-monitor-health-undeliverable-topic-slack"
STACKS = ["prod", "eu.prod", "x" * 29, "x" * 30, "x" * 31, "x" * 100, "." * 100, "a_b"]


def test_a_name_in_the_account_is_the_programs_with_the_stack_in_it() -> None:
    assert names.physical("prod", "threat-monitor-alerts-topic") == "threat-monitor-prod-alerts-topic"
    assert names.physical("prod", "guard-topic") == "threat-monitor-prod-guard-topic"
    assert names.alert_rule("prod", "findings-2") == "threat-monitor-prod-alerts-findings-2"
    assert names.dead_letter_queue("prod") == "threat-monitor-prod-alerts-dead-letters"
    assert names.alias("prod", "threat-monitor-encryption") == "alias/threat-monitor-prod-encryption"


@pytest.mark.parametrize("stack", STACKS)
def test_every_service_takes_the_names(stack: str) -> None:
    # https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutRule.html and the services' own pages
    assert re.fullmatch("[A-Za-z0-9_-]{1,64}", names.alert_rule(stack, "findings-10"))
    assert re.fullmatch("[A-Za-z0-9_-]{1,80}", names.dead_letter_queue(stack))
    assert re.fullmatch("[A-Za-z0-9_-]{1,255}", names.physical(stack, LONGEST_WORD))
    assert re.fullmatch("alias/[A-Za-z0-9_-]{1,250}", names.alias(stack, "threat-monitor-encryption"))
    for region in ("eu-west-1", "ap-southeast-1"):
        assert re.fullmatch("[A-Za-z0-9_-]{1,64}", names.role(stack, "threat-monitor-alerts-formatter-role", region))


@pytest.mark.parametrize("stack", STACKS)
def test_all_names_of_a_stack_begin_alike(stack: str) -> None:
    assert all(
        name.startswith(names.prefix(stack)) for name in (names.alert_rule(stack, "f"), names.dead_letter_queue(stack))
    )


_stacks = st.text("abz09-_.", min_size=1, max_size=100).filter(names.is_stack_name)


@given(_stacks, _stacks)
def test_two_stacks_share_no_name(one: str, other: str) -> None:
    assume(one != other)
    for name in (names.alert_rule, names.physical):
        assert name(one, "findings") != name(other, "findings")
    assert names.role(one, "alerts-start-role", "eu-west-1") != names.role(other, "alerts-start-role", "eu-west-1")


@pytest.mark.parametrize("name", ["prod", "prod-eu.west_1", "1", "_x", "a" * 100])
def test_names_that_pulumi_and_a_file_can_have(name: str) -> None:
    assert names.is_stack_name(name)


@pytest.mark.parametrize("name", ["", "org/prod", "../prod", "a b", "a\n", "-x", "ä", "a" * 101, "a\\b", "a:b", "a\0"])
def test_names_that_they_cannot_have(name: str) -> None:
    assert not names.is_stack_name(name)
