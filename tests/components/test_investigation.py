import json
from typing import get_args

import pulumi
import pytest
from examples import ACCOUNT
from harness import DASHBOARD, QUERY, AwsMocks, custom, run_component, the

from components.investigation import Investigation, InvestigationArgs
from threatmon.emulator.program import ProgramRun
from threatmon.model import dashboard
from threatmon.model.queries import FormatName, saved_queries

MACHINE = f"arn:aws:states:ap-south-1:{ACCOUNT}:stateMachine:monitor-dev"


def deploy(log_format: FormatName = "extended", mocks: AwsMocks | None = None) -> ProgramRun:
    args = InvestigationArgs(
        title="monitor-dev",
        log_group_name="/logs/flow",
        log_format=log_format,
        topic_name="page-topic-1a2b3c4",
        dead_letter_queue_name="page-dead-letters-1a2b3c4",
        rule_names=["findings", "findings-2"],
        state_machine_arn=MACHINE,
    )
    return run_component(lambda: pulumi.export("url", Investigation("look", args).dashboard_url), mocks=mocks)


@pytest.mark.parametrize("log_format", get_args(FormatName))
def test_each_question_is_a_saved_query_on_the_log_group_in_the_folder_of_the_title(log_format: FormatName) -> None:
    run = deploy(log_format)
    assert {query.inputs["name"]: query.inputs["queryString"] for query in run.of_type(QUERY)} == {
        f"monitor-dev/{title}": text for title, text in saved_queries(log_format).items()
    }
    assert all(query.inputs["logGroupNames"] == ["/logs/flow"] for query in run.of_type(QUERY))


def test_besides_the_queries_there_is_one_dashboard_of_the_providers_region_and_nothing_else() -> None:
    run = deploy("default", AwsMocks("ap-south-1"))
    inputs = the(run, DASHBOARD).inputs
    assert len(custom(run)) == len(saved_queries("default")) + 1
    assert set(inputs) == {"dashboardName", "dashboardBody"}
    assert inputs["dashboardName"] == "monitor-dev"
    assert json.loads(inputs["dashboardBody"]) == dashboard.body(
        "ap-south-1",
        "/logs/flow",
        "default",
        topic_name="page-topic-1a2b3c4",
        queue_name="page-dead-letters-1a2b3c4",
        rule_names=["findings", "findings-2"],
        state_machine_arn=MACHINE,
    )


def test_its_output_is_the_dashboards_address_in_the_partitions_console() -> None:
    assert deploy(mocks=AwsMocks("cn-north-1", "aws-cn")).outputs["url"] == (
        "https://console.amazonaws.cn/cloudwatch/home?region=cn-north-1#dashboards/dashboard/monitor-dev"
    )
