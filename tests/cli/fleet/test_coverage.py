"""On emulated accounts, deployed as their stack files say; each is reached by a profile of its own."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from conftest import RunCommand
from examples import ACCOUNT, EMAIL, OTHER_ACCOUNT, OTHER_SUBNET, SUBNET
from stack_in_account import CHANNELS, TOKEN, StackInAccount, stack_file, stack_in_account, write

from threatmon.cli.fleet.coverage import PERMISSIONS
from threatmon.emulator.account import EmulatedAccount
from threatmon.verify import stack_checks

HOSTILE = "<script>alert(1)</script>\u202e[bold]|"
# A VPC that no stack has: the emulator puts the subnets of stack files into it.
_VPC = "vpc-0000000000000feed"

Fleet = dict[str, StackInAccount]
Covered = Callable[..., dict[str, Any]]


def deploy(deployments: ExitStack, folder: Path, **changes: Any) -> StackInAccount:
    """A stack in an account that has no other subnets."""
    file = stack_file(**changes)
    stack = deployments.enter_context(stack_in_account(file))
    write(folder, file)
    ec2 = stack.client("ec2")
    for subnet in ec2.describe_subnets(Filters=[{"Name": "default-for-az", "Values": ["true"]}])["Subnets"]:
        ec2.delete_subnet(SubnetId=subnet["SubnetId"])
    return stack


def reach(fleet: Fleet, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("threatmon.project.ROOT", folder)
    monkeypatch.setattr("threatmon.aws.session.new_session", lambda profile, _region: fleet[profile].aws.session)


def add_subnet(stack: StackInAccount, vpc_id: str = _VPC, name: str = "") -> str:
    tags = [{"ResourceType": "subnet", "Tags": [{"Key": "Name", "Value": name}]}] if name else []
    made = stack.client("ec2").create_subnet(VpcId=vpc_id, CidrBlock="10.0.9.0/24", TagSpecifications=tags)
    return made["Subnet"]["SubnetId"]


@pytest.fixture
def covered(threatmon: RunCommand) -> Covered:
    """The document of the command."""
    return lambda *arguments: json.loads(threatmon("fleet", "coverage", "-o", "json", *arguments).out)


def problems(document: dict[str, Any]) -> list[tuple[str, list[str], str]]:
    return [(problem["stack"], problem["subjects"], problem["found"]) for problem in document["problems"]]


def states(document: dict[str, Any]) -> dict[str, str]:
    return {row["id"]: row["state"] for row in document["subnets"]}


def last_alert(document: dict[str, Any]) -> str:
    [stack] = document["stacks"]
    return next(check["found"] for check in stack["checks"] if check["subject"] == "last alert")


# -- the whole fleet --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="class")
def deployed_fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Fleet, Path]]:
    """For tests that change nothing: all is well but for an uncovered subnet in prod, whose name is meant to harm."""
    with ExitStack() as deployments:
        folder = tmp_path_factory.mktemp("project")
        dev = deploy(deployments, folder)
        prod = deploy(deployments, folder, stack="prod", account=OTHER_ACCOUNT, subnetIds=[OTHER_SUBNET])
        add_subnet(prod, name=HOSTILE)
        yield {"dev": dev, "prod": prod}, folder


class TestFleet:
    @pytest.fixture
    def fleet(self, deployed_fleet: tuple[Fleet, Path], monkeypatch: pytest.MonkeyPatch) -> Fleet:
        reach(*deployed_fleet, monkeypatch)
        return deployed_fleet[0]

    def test_every_account_and_subnet_is_shown_and_a_problem_ends_with_one(
        self, fleet: Fleet, threatmon: RunCommand
    ) -> None:
        code, out, err = threatmon("fleet", "coverage")
        lines = [" ".join(line.split()) for line in out.splitlines()]
        assert (code, len(fleet)) == (1, 2)
        assert {"Problems: 1 failed.", "Stacks 2 ok", "Subnets 1 uncovered, 2 covered"} <= set(lines)
        for stack, account, subnet in (("dev", ACCOUNT, SUBNET), ("prod", OTHER_ACCOUNT, OTHER_SUBNET)):
            assert f"ok {account} eu-west-1 {stack} 23 ok 1 of 1 confirmed none in 90 days" in lines
            assert any(line.startswith(f"covered {account} eu-west-1 {stack} {subnet} ") for line in lines)
        assert sorted(err.splitlines()) in (
            ["Asked 1 of 2: dev", "Asked 2 of 2: prod"],
            ["Asked 1 of 2: prod", "Asked 2 of 2: dev"],
        )

    def test_the_chosen_stacks_alone_are_asked_and_without_a_problem_it_ends_with_zero(
        self, fleet: Fleet, threatmon: RunCommand
    ) -> None:
        fleet["prod"].aws.calls.clear()
        code, out, _ = threatmon("fleet", "coverage", "--stacks", "d*")
        assert code == 0
        assert "Everything that was checked is covered." in out
        assert fleet["prod"].aws.calls == []

    @pytest.mark.usefixtures("fleet")
    @pytest.mark.parametrize(
        ("output", "name"),
        [
            ("text", r"<script>alert(1)</script>\u202e[bold]|"),
            ("markdown", r"\<script\>alert(1)\</script\>\\u202e\[bold\]\|"),
            ("html", r"&lt;script&gt;alert(1)&lt;/script&gt;\u202e[bold]|"),
        ],
    )
    def test_names_are_shown_and_do_nothing(self, threatmon: RunCommand, output: str, name: str) -> None:
        code, out, _ = threatmon("fleet", "coverage", "-o", output)
        assert code == 1
        assert name in out
        assert not {"\x1b", "\u202e"} & set(out)

    def test_an_action_that_is_refused_is_named_and_the_rest_is_shown(self, fleet: Fleet, covered: Covered) -> None:
        lost = {
            "ec2:DescribeSubnets": [("dev", ["inventory"])],
            "ec2:DescribeFlowLogs": [("dev", [f"flow log {SUBNET}"])],
            "cloudwatch:GetMetricData": [("dev", ["last alert"])],
        }
        for action, expected in lost.items():
            with fleet["dev"].aws.refuse(action):
                document = covered("--stacks", "dev")
            reason = f"Permission {action} is missing: no"
            assert problems(document) == [(*problem, reason) for problem in expected]

    @pytest.mark.parametrize(
        ("break_it", "said"),
        [
            (lambda aws: aws.refuse("sts:GetCallerIdentity", "ExpiredToken"), "The AWS credentials have expired"),
            (lambda aws: aws.answer("sts:GetCallerIdentity", unreachable), "AWS cannot be reached"),
        ],
        ids=["expired", "unreachable"],
    )
    def test_an_account_that_does_not_answer_is_one_problem_and_keeps_no_other_from_being_shown(
        self, fleet: Fleet, covered: Covered, break_it: Callable[..., ExitStack], said: str
    ) -> None:
        with break_it(fleet["dev"].aws):
            document = covered()
        [(stack, subjects, found), _] = problems(document)
        assert (stack, subjects) == ("dev", ["everything"])
        assert found.startswith(said)
        assert states(document)[SUBNET] == "unknown"
        assert [stack["state"] for stack in document["stacks"]] == ["unknown", "ok"]

    def test_credentials_of_another_account_are_not_used_any_further(
        self, fleet: Fleet, covered: Covered, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("threatmon.aws.session.new_session", lambda *_: fleet["dev"].aws.session)
        fleet["dev"].aws.calls.clear()
        [(_, _, found)] = problems(covered("--stacks", "prod"))
        assert found.startswith(
            f"The credentials are of account {ACCOUNT}, but Pulumi.prod.yaml allows {OTHER_ACCOUNT}"
        )
        assert fleet["dev"].aws.calls == ["sts:GetCallerIdentity"]

    def test_its_permissions_are_those_of_verify_without_sending(self, fleet: Fleet, covered: Covered) -> None:
        fleet["dev"].aws.calls.clear()
        covered("--stacks", "dev")
        # This stack has no alarms, and no executions that failed.
        unused = {"cloudwatch:DescribeAlarms", "states:DescribeExecution", "states:GetExecutionHistory"}
        assert set(fleet["dev"].aws.calls) - {"sts:GetCallerIdentity"} == set(PERMISSIONS) - unused
        assert PERMISSIONS == stack_checks.PERMISSIONS


def unreachable(_: object) -> None:
    raise EndpointConnectionError(endpoint_url="https://sts.eu-west-1.amazonaws.com")


# -- one account ------------------------------------------------------------------------------------------------------


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., StackInAccount]]:
    with ExitStack() as deployments:

        def build(**changes: Any) -> StackInAccount:
            stack = deploy(deployments, tmp_path, **changes)
            reach({"dev": stack}, tmp_path, monkeypatch)
            return stack

        yield build


Alone = Callable[..., StackInAccount]


def test_a_flow_log_that_cannot_deliver_is_a_problem_of_its_stack(alone: Alone, covered: Covered) -> None:
    alone().forbid_writing()
    document = covered()
    [(stack, subjects, found)] = problems(document)
    assert (stack, subjects) == ("dev", [f"flow log {SUBNET}"])
    assert "DeliverLogsStatus is FAILED" in found
    assert states(document) == {SUBNET: "broken"}


def test_a_subnet_that_is_gone_is_a_problem_of_its_stack(alone: Alone, covered: Covered) -> None:
    alone().delete_subnet()
    document = covered()
    found = "the account has no such subnet in this Region"
    assert problems(document) == [("dev", [f"flow log {SUBNET}"], found)]
    assert states(document) == {SUBNET: "gone"}


def test_what_is_not_confirmed_or_switched_off_is_a_problem(alone: Alone, covered: Covered) -> None:
    stack = alone()
    stack.set_detector(Enable=False)
    stack.unconfirm()
    assert [subjects for _, subjects, _ in problems(covered())] == [
        ["detector"], [f"topic subscription {EMAIL}"]
    ]  # fmt: skip


def test_in_an_account_in_which_nothing_was_deployed_everything_failed(
    covered: Covered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, stack_file())
    with EmulatedAccount(ACCOUNT, "eu-west-1") as bare:
        monkeypatch.setattr("threatmon.project.ROOT", tmp_path)
        monkeypatch.setattr("threatmon.aws.session.new_session", lambda *_: bare.boto3_session())
        document = covered()
    [stack] = document["stacks"]
    fine = {check["subject"] for check in stack["checks"] if check["state"] == "ok"}
    assert fine == {"alarms", "further rules", "inventory", "last alert"}
    assert {check["state"] for check in stack["checks"]} == {"ok", "failed"}


def deliver(stack: StackInAccount, topic: str, ago: timedelta, count: float) -> datetime:
    at = datetime.now(UTC) - ago
    dimension = {"Name": "TopicName", "Value": topic.rpartition(":")[2]}
    data = {"MetricName": "NumberOfNotificationsDelivered", "Dimensions": [dimension], "Timestamp": at, "Value": count}
    stack.client("cloudwatch").put_metric_data(Namespace="AWS/SNS", MetricData=[data])
    return at


def test_the_last_alert_is_the_latest_that_any_topic_delivered(alone: Alone, covered: Covered) -> None:
    stack = alone(**CHANNELS)
    deliver(stack, stack.topic, timedelta(days=91), 1)
    assert last_alert(covered()) == "none in 90 days"
    deliver(stack, stack.topic, timedelta(days=9), 1)
    latest = deliver(stack, stack.topic_like("-raw"), timedelta(days=3), 2)
    deliver(stack, stack.topic, timedelta(days=1), 0)
    document = covered()
    shown = datetime.strptime(last_alert(document), "%Y-%m-%d %H:%M UTC").replace(tzinfo=UTC)
    assert abs(shown - latest) <= timedelta(hours=1, minutes=1)  # by the hour, and shown by the minute
    assert TOKEN not in json.dumps(document)


# -- before any account is asked --------------------------------------------------------------------------------------


def test_without_a_stack_file_nothing_is_called_covered(
    threatmon: RunCommand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("threatmon.project.ROOT", tmp_path)
    assert threatmon("fleet", "coverage") == (2, "", "There is no stack file, so no account was read.\n")
