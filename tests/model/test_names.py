import pytest

from threatmon.model import names


@pytest.mark.parametrize("stack", ["prod", "eu.prod-1", "a_b"])
def test_a_dashboard_has_a_name_that_cloudwatch_takes(stack: str) -> None:
    assert set(names.dashboard(stack)) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_")


def test_a_log_group_names_its_stack() -> None:
    assert names.log_group("eu.prod-1") == "/threat-monitor/eu.prod-1/flow-logs"


@pytest.mark.parametrize("name", ["prod", "prod-eu.west_1", "1", "_x", "a" * 100])
def test_names_that_pulumi_and_a_file_can_have(name: str) -> None:
    assert names.is_stack_name(name)


@pytest.mark.parametrize("name", ["", "org/prod", "../prod", "a b", "a\n", "-x", "ä", "a" * 101, "a\\b", "a:b", "a\0"])
def test_names_that_they_cannot_have(name: str) -> None:
    assert not names.is_stack_name(name)
