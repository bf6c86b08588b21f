import json
from typing import Any, Literal

import pytest
from examples import ACCOUNT
from harness import DASHBOARD, QUERY, AwsMocks, custom, run_component, the

from components.investigation import Investigation, InvestigationArgs
from threatmon.emulator.program import ProgramRun
from threatmon.model.queries import FIELDS, saved_queries

TOPIC_ARN = f"arn:aws:sns:eu-west-1:{ACCOUNT}:page-topic-1a2b3c4"
QUEUE_URL = f"https://sqs.eu-west-1.amazonaws.com/{ACCOUNT}/page-dead-letters-1a2b3c4"
Format = Literal["default", "extended"]
FORMATS: list[Format] = ["default", "extended"]


def wanted(log_format: Format = "extended") -> InvestigationArgs:
    return InvestigationArgs("monitor-dev", "/logs/flow", log_format, TOPIC_ARN, QUEUE_URL, ["high-1", "critical-1"])


def deploy(log_format: Format = "extended", mocks: AwsMocks | None = None) -> ProgramRun:
    return run_component(lambda: Investigation("look", wanted(log_format)), mocks=mocks)


def widgets(run: ProgramRun) -> list[dict[str, Any]]:
    return [widget["properties"] for widget in json.loads(the(run, DASHBOARD).inputs["dashboardBody"])["widgets"]]


@pytest.mark.parametrize("log_format", FORMATS)
def test_each_question_is_a_saved_query_on_the_log_group_in_the_folder_of_the_title(log_format: Format) -> None:
    run = deploy(log_format)
    assert {query.inputs["name"]: query.inputs["queryString"] for query in run.of_type(QUERY)} == {
        f"monitor-dev/{title}": text for title, text in saved_queries(log_format).items()
    }
    assert all(query.inputs["logGroupNames"] == ["/logs/flow"] for query in run.of_type(QUERY))


@pytest.mark.parametrize("log_format", FORMATS)
def test_each_query_reads_as_many_fields_as_the_records_have(log_format: Format) -> None:
    stars = " ".join("*" for _ in FIELDS[log_format])
    for query in deploy(log_format).of_type(QUERY):
        assert query.inputs["queryString"].startswith(f'parse @message "{stars}" as ')


def test_besides_the_queries_there_is_one_dashboard_and_nothing_else() -> None:
    run = deploy()
    assert len(custom(run)) == len(saved_queries("extended")) + 1
    assert set(the(run, DASHBOARD).inputs) == {"dashboardName", "dashboardBody"}
    assert the(run, DASHBOARD).inputs["dashboardName"] == "monitor-dev"


def test_the_dashboard_shows_these_rules_this_topic_this_queue_and_this_log_group() -> None:
    metrics = [metric[:4] for widget in widgets(deploy()) for metric in widget.get("metrics", [])]
    dimensions = {(metric[2], metric[3]) for metric in metrics}
    assert dimensions == {
        ("RuleName", "high-1"),
        ("RuleName", "critical-1"),
        ("TopicName", "page-topic-1a2b3c4"),
        ("QueueName", "page-dead-letters-1a2b3c4"),
        ("LogGroupName", "/logs/flow"),
    }
    sources = [widget["query"] for widget in widgets(deploy()) if "query" in widget]
    assert sources
    assert all(query.startswith("SOURCE '/logs/flow' | ") for query in sources)


def test_the_dashboard_is_of_the_providers_region() -> None:
    run = deploy(mocks=AwsMocks("ap-south-1"))
    assert {widget["region"] for widget in widgets(run)} == {"ap-south-1"}


def test_it_tells_the_dashboards_address_in_the_partitions_console() -> None:
    told: list[str] = []
    mocks = AwsMocks("cn-north-1", "aws-cn")
    run_component(lambda: Investigation("look", wanted()).dashboard_url.apply(told.append), mocks=mocks)
    assert told == [
        "https://console.amazonaws.cn/cloudwatch/home?region=cn-north-1#dashboards/dashboard/monitor-dev",
    ]


def test_nothing_is_protected_or_retained() -> None:
    assert not [r.name for r in deploy().resources.values() if r.protect or r.retain_on_delete]
