"""The inventory of subnets, and the order of everything; answers are written here in the form that boto3 gives them."""

import json
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from examples import ACCOUNT, EMAIL, OTHER_ACCOUNT, OTHER_SUBNET, REGION, SUBNET, VPC
from hypothesis import given
from hypothesis import strategies as st

from threatmon.aws.errors import AwsError, RefusedError
from threatmon.fleet.coverage import (
    STATE_OF,
    Coverage,
    CoverageProblem,
    StackCoverage,
    SubnetCoverage,
    coverage,
    subnets,
)
from threatmon.fleet.coverage_report import report
from threatmon.fleet.targets import Target
from threatmon.model.queries import log_format
from threatmon.model.settings import parse
from threatmon.reports.model import Check, Facts, Status, Table
from threatmon.reports.rendering import render
from threatmon.stacks.files import StackFile
from threatmon.verify import checks

AT = datetime(2026, 11, 22, 12, 30, tzinfo=UTC)
THIRD, OTHER_VPC = "subnet-00000000000000003", "vpc-0fedcba9876543210"
DENIED = RefusedError("denied", "ec2:DescribeFlowLogs", "", "")
VPC_ALONE = {"subnetIds": [], "vpcIds": [VPC]}


def target(stack: str = "prod", account: str = ACCOUNT, region: str = REGION, **changes: Any) -> Target:
    config = {"subnetIds": [SUBNET], "alertEmails": [EMAIL], **changes}
    return Target(StackFile(stack, {}), parse(config)[0], account, region)


def subnet(id_: str = SUBNET, vpc: str = VPC, **changes: Any) -> dict[str, Any]:
    owned = {"OwnerId": ACCOUNT, "CidrBlock": "10.0.0.0/24", "AvailableIpAddressCount": 251}
    return {"SubnetId": id_, "VpcId": vpc, **owned, **changes}


def flow_log(of: str = SUBNET, group: str = "/threat-monitor/prod/flow-logs", **changes: Any) -> dict[str, Any]:
    return {
        "FlowLogId": f"fl-{of}",
        "ResourceId": of,
        "TrafficType": "ALL",
        "MaxAggregationInterval": 60,
        "LogFormat": log_format("extended"),
        "FlowLogStatus": "ACTIVE",
        "DeliverLogsStatus": "SUCCESS",
        "LogDestination": f"arn:aws:logs:eu-west-1:{ACCOUNT}:log-group:{group}:*",
        **changes,
    }


BUCKET: Mapping[str, Any] = {"FlowLogId": "fl-bucket", "LogDestination": "arn:aws:s3:::flows", "TrafficType": "REJECT"}


def to_bucket(of: str, **changes: Any) -> dict[str, Any]:
    return {**flow_log(of), **BUCKET, **changes}


def checked(of: Target, flow_logs: list[Any] | AwsError) -> dict[str, Check]:
    """The checks of the stack's flow logs, by subnet or VPC."""
    ids = (*of.settings.subnet_ids, *of.settings.vpc_ids)
    if isinstance(flow_logs, AwsError):
        return {id_: Check("unknown", f"flow log {id_}", str(flow_logs)) for id_ in ids}
    results = {
        id_: checks.flow_log(
            of.settings, "/threat-monitor/prod/flow-logs", [log for log in flow_logs if log["ResourceId"] == id_]
        )
        for id_ in ids
    }
    return {id_: Check(found.state, f"flow log {id_}", found.found, found.todo) for id_, found in results.items()}


def rows(
    settings: Mapping[str, Any] | None = None,
    listed: list[Any] | AwsError | None = None,
    flow_logs: list[Any] | AwsError | None = None,
) -> list[SubnetCoverage]:
    """The rows of a stack of one subnet with a flow log that delivers, unless said otherwise."""
    of = target(**(settings or {}))
    logs = [flow_log()] if flow_logs is None else flow_logs
    return list(subnets(of, checked(of, logs), [subnet()] if listed is None else listed, logs))


def states(found: list[SubnetCoverage]) -> dict[str, str]:
    return {row.id: row.state for row in found}


# -- subnets ----------------------------------------------------------------------------------------------------------


def test_a_flow_log_of_the_vpc_covers_each_of_its_subnets() -> None:
    found = rows(VPC_ALONE, [subnet(), subnet(OTHER_SUBNET)], [flow_log(VPC), flow_log()])
    assert states(found) == {SUBNET: "covered", OTHER_SUBNET: "covered"}
    assert {row.stack for row in found} == {"prod"}


def test_a_subnet_is_covered_by_its_own_flow_log_or_by_that_of_its_vpc() -> None:
    both = {"subnetIds": [SUBNET], "vpcIds": [VPC]}
    assert states(rows(both, flow_logs=[flow_log(VPC)])) == {SUBNET: "covered"}
    assert states(rows(both, flow_logs=[flow_log(), flow_log(VPC, FlowLogStatus="FAILED")])) == {SUBNET: "covered"}


def test_a_flow_log_of_a_vpc_that_the_stack_does_not_have_is_not_the_stacks() -> None:
    found = rows(listed=[subnet(), subnet(OTHER_SUBNET)], flow_logs=[flow_log(VPC)])
    assert states(found) == {SUBNET: "broken", OTHER_SUBNET: "another's"}


@pytest.mark.parametrize(
    "flow_logs",
    [[], [to_bucket(SUBNET)], [{key: value for key, value in flow_log().items() if key != "DeliverLogsStatus"}]],
    ids=["none", "to a bucket", "not said"],
)
def test_a_stacks_subnet_is_broken_exactly_if_its_check_fails(flow_logs: list[Any]) -> None:
    [row] = rows(flow_logs=flow_logs)
    assert (row.state, row.found, row.todo) == ("broken", *checked(target(), flow_logs)[SUBNET][2:])


def test_a_subnet_that_no_stack_has_is_uncovered_and_says_how_full_it_is() -> None:
    tags = [{"Key": "team", "Value": "a"}, {"Key": "Name", "Value": "web"}]
    _, row = rows(listed=[subnet(), subnet(OTHER_SUBNET, Tags=tags, AvailableIpAddressCount=239)])
    assert row == SubnetCoverage(
        "uncovered", ACCOUNT, REGION, "", OTHER_SUBNET, "web", VPC, "10.0.0.0/24",
        "no flow log; addresses in use: 12", "Add it to subnetIds, or its VPC to vpcIds.",
    )  # fmt: skip


def test_a_subnet_without_ipv4_does_not_guess_how_full_it_is() -> None:
    [row] = rows(listed=[{"SubnetId": OTHER_SUBNET, "VpcId": VPC, "AvailableIpAddressCount": 0}], flow_logs=[])[:1]
    assert (row.found, row.cidr, row.name) == ("no flow log; addresses in use not known", "", "")


@pytest.mark.parametrize("of", [OTHER_SUBNET, OTHER_VPC])
@pytest.mark.parametrize("is_said", [True, False])
def test_a_flow_log_of_others_is_shown_with_its_destination_whether_or_not_its_delivery_is_said(
    of: str, is_said: bool
) -> None:
    log = {key: value for key, value in to_bucket(of).items() if is_said or key != "DeliverLogsStatus"}
    _, row = rows(listed=[subnet(), subnet(OTHER_SUBNET, OTHER_VPC)], flow_logs=[flow_log(), log])
    assert (row.state, row.stack, row.found) == ("another's", "", "fl-bucket (REJECT) to arn:aws:s3:::flows")


def test_a_flow_log_of_others_that_does_not_deliver_covers_nothing() -> None:
    failing = to_bucket(OTHER_SUBNET, DeliverLogsStatus="FAILED", DeliverLogsErrorMessage="Access error")
    _, row = rows(listed=[subnet(), subnet(OTHER_SUBNET)], flow_logs=[flow_log(), failing])
    assert row.state == "uncovered"
    assert row.found.startswith("fl-bucket is ACTIVE, its delivery FAILED (Access error); ")


def test_a_subnet_shared_by_another_account_is_that_accounts_to_log() -> None:
    _, row = rows(listed=[subnet(), subnet(OTHER_SUBNET, OwnerId=OTHER_ACCOUNT)])
    assert (row.state, row.found) == ("shared", f"account {OTHER_ACCOUNT} shares it, and has to log it")


def test_a_configured_vpc_without_subnets_is_judged_by_its_own_flow_log() -> None:
    assert states(rows(VPC_ALONE, [], [flow_log(VPC)])) == {VPC: "covered"}
    assert states(rows(VPC_ALONE, [], [])) == {VPC: "broken"}


def test_without_flow_logs_no_subnet_is_called_covered_or_uncovered() -> None:
    found = rows(listed=[subnet(), subnet(OTHER_SUBNET), subnet(THIRD)], flow_logs=DENIED)
    assert {(row.state, row.found) for row in found} == {("unknown", "denied")}


def test_without_a_list_of_subnets_the_stacks_own_are_still_judged() -> None:
    assert states(rows(listed=DENIED)) == {SUBNET: "covered"}
    assert states(rows(listed=DENIED, flow_logs=[])) == {SUBNET: "broken"}


IDS = [f"subnet-{number:017x}" for number in range(6)]
VPCS = [f"vpc-{number:017x}" for number in range(3)]
listed_ = st.lists(
    st.builds(subnet, st.sampled_from(IDS), st.sampled_from(VPCS), OwnerId=st.sampled_from([ACCOUNT, OTHER_ACCOUNT])),
    unique_by=lambda answer: answer["SubnetId"],
)
flow_logs_ = st.lists(
    st.builds(
        flow_log,
        st.sampled_from([*IDS, *VPCS]),
        st.sampled_from(["/threat-monitor/prod/flow-logs", "elsewhere"]),
        FlowLogId=st.from_regex(r"fl-[0-9a-f]{17}", fullmatch=True),
        FlowLogStatus=st.sampled_from(["ACTIVE", "INACTIVE"]),
        DeliverLogsStatus=st.sampled_from(["SUCCESS", "FAILED"]),
    ),
    unique_by=lambda log: log["FlowLogId"],
)
configured_ = st.fixed_dictionaries(
    {
        "subnetIds": st.lists(st.sampled_from(IDS), unique=True, min_size=1),
        "vpcIds": st.lists(st.sampled_from(VPCS), unique=True),
    }
)


@given(configured_, listed_ | st.just(DENIED), flow_logs_ | st.just(DENIED))
def test_every_subnet_the_account_or_the_stack_has_is_in_exactly_one_state(
    configured: dict[str, Any], listed: Any, flow_logs: Any
) -> None:
    found = Counter(row.id for row in rows(configured, listed, flow_logs))
    answers = [] if isinstance(listed, AwsError) else listed
    assert set(found.values()) <= {1}
    assert {answer["SubnetId"] for answer in answers} | set(configured["subnetIds"]) <= set(found)
    assert set(found) & set(VPCS) == set(configured["vpcIds"]) - {answer["VpcId"] for answer in answers}


@given(configured_, listed_, flow_logs_)
def test_only_a_stacks_own_delivering_flow_log_covers(
    configured: dict[str, Any], listed: list[Any], flow_logs: list[Any]
) -> None:
    fine = {id_ for id_, check in checked(target(**configured), flow_logs).items() if check.state == "ok"}
    for row in rows(configured, listed, flow_logs):
        assert (row.state == "covered") is bool({row.id, row.vpc_id} & fine)


# -- many stacks ------------------------------------------------------------------------------------------------------

OK = Check("ok", "detector", "fine")
FAILED = Check("failed", "detector", "DISABLED", "Enable it.")


def stack(of: Target | None = None, *given_checks: Check, found: list[SubnetCoverage] | None = None) -> StackCoverage:
    return StackCoverage(of or target(), given_checks or (OK,), rows() if found is None else found)


def test_a_problem_of_a_stack_comes_before_one_of_no_stack_and_what_has_one_reason_is_one() -> None:
    listed = [subnet(), subnet(THIRD), subnet(OTHER_SUBNET, Tags=[{"Key": "Name", "Value": "web"}])]
    denied = [Check("unknown", subject, "denied") for subject in ("rule high", "rule critical")]
    found = coverage([stack(None, *denied, FAILED, OK, found=rows(listed=listed))], AT)
    assert found.problems == [
        CoverageProblem("failed", ACCOUNT, REGION, "prod", ["detector"], "DISABLED", "Enable it."),
        CoverageProblem("unknown", ACCOUNT, REGION, "prod", ["rule high", "rule critical"], "denied", ""),
        CoverageProblem(
            "failed", ACCOUNT, REGION, "", [THIRD, f"{OTHER_SUBNET} (web)"],
            "uncovered: no flow log; addresses in use: 0", "Add it to subnetIds, or its VPC to vpcIds.",
        ),
    ]  # fmt: skip


def test_the_worst_comes_first() -> None:
    fine, bad = target("a", "000000000001"), target("b", "999999999999")
    found = coverage([stack(fine), stack(bad, FAILED, found=rows(flow_logs=[]))], AT)
    assert [row.target.stack for row in found.stacks] == ["b", "a"]
    assert [row.state for row in found.subnets] == ["broken", "covered"]


@given(st.permutations(range(4)), listed_, flow_logs_)
def test_the_result_does_not_depend_on_the_order_of_accounts(
    order: list[int], listed: list[Any], flow_logs: list[Any]
) -> None:
    stacks = [
        stack(target(f"s{number}", f"{number % 2:012}", f"eu-west-{number}"), FAILED if number % 2 else OK,
              found=rows(listed=listed, flow_logs=flow_logs))
        for number in range(4)
    ]  # fmt: skip
    assert coverage([stacks[number] for number in order], AT) == coverage(stacks, AT)


# -- the report -------------------------------------------------------------------------------------------------------


def hurt() -> Coverage:
    unknown = Check("unknown", "last alert", "denied")
    mails = [Check(state, f"topic subscription {state}@example.com", "") for state in ("ok", "warning", "failed")]
    alert = Check("ok", "last alert", "2026-11-20 08:00 UTC")
    listed = [subnet(), subnet(OTHER_SUBNET), subnet(THIRD, OwnerId=OTHER_ACCOUNT)]
    return coverage(
        [stack(target("dev"), FAILED, unknown, found=rows(listed=listed)),
         stack(target("eu", OTHER_ACCOUNT, "eu-central-1"), *mails, alert, found=[])],
        AT,
    )  # fmt: skip


def table(found: Coverage, title: str) -> Table:
    [section] = [section for section in report(found).sections if section.title == title]
    [block] = section.blocks
    assert isinstance(block, Table)
    return block


def test_the_summary_counts_accounts_regions_stacks_and_subnets() -> None:
    conclusion, facts = report(hurt()).sections[0].blocks
    assert conclusion == Status("failed", "Problems: 3 failed, 1 unknown.")
    assert isinstance(facts, Facts)
    assert facts.rows == [
        ("Asked at", "2026-11-22 12:30 UTC"),
        ("Accounts", "2"),
        ("Regions", "2"),
        ("Stacks", "2 failed"),
        ("Subnets", "1 uncovered, 1 shared, 1 covered"),
    ]


def test_without_a_problem_it_says_so() -> None:
    summary, problems, *_ = report(coverage([stack()], AT)).sections
    assert summary.blocks[0] == Status("ok", "Everything that was checked is covered.")
    assert problems.blocks == ["Nothing."]


def test_a_stack_has_a_row_with_its_checks_subscriptions_and_last_alert() -> None:
    assert [list(map(str, row[3:])) for row in table(hurt(), "Stacks").rows] == [
        ["dev", "1 failed, 1 unknown", "unknown", "unknown"],
        ["eu", "1 failed, 1 warning, 2 ok", "2 of 3 confirmed", "2026-11-20 08:00 UTC"],
    ]


def test_each_subnet_has_a_row_whose_word_has_a_state() -> None:
    found = table(hurt(), "Subnets").rows
    assert [row[0] for row in found] == [
        Status("failed", "uncovered"), Status("warning", "shared"), Status("ok", "covered")
    ]  # fmt: skip
    assert [row[3] for row in found] == ["none", "none", "prod"]
    assert {row.state for row in hurt().subnets} <= STATE_OF.keys()


def test_every_format_says_that_other_regions_were_not_read() -> None:
    for output in ("text", "markdown", "html"):
        assert "Only the accounts and Regions that stack files name were read" in render(report(hurt()), output)


def test_the_document_is_json_with_every_row() -> None:
    document = json.loads(render(report(hurt()), "json"))
    assert (document["at"], document["covered"]) == ("2026-11-22T12:30:00+00:00", False)
    assert document["stacks"][0]["checks"][0] == FAILED._asdict()
    assert document["problems"][0] == {
        "account": ACCOUNT, "state": "failed", "region": REGION, "stack": "dev", "subjects": ["detector"],
        "found": "DISABLED", "todo": "Enable it.",
    }  # fmt: skip
    assert [row["id"] for row in document["subnets"]] == [OTHER_SUBNET, THIRD, SUBNET]
