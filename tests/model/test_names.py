import pytest

from threatmon.model import names


@pytest.mark.parametrize("stack", ["prod", "eu.prod-1", "a_b"])
def test_a_dashboard_has_a_name_that_cloudwatch_takes(stack: str) -> None:
    assert set(names.dashboard(stack)) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_")


def test_a_log_group_names_its_stack() -> None:
    assert names.log_group("eu.prod-1") == "/threat-monitor/eu.prod-1/flow-logs"
