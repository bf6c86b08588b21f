"""On emulated accounts, deployed as their stack files say; each is reached by a profile of its own."""

import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sized
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer
import yaml
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import EndpointConnectionError
from rich.console import Console
from typer.testing import CliRunner

from threatmon.cli.fleet import coverage as command
from threatmon.emulator.account import EmulatedAccount
from threatmon.emulator.deployment import deployed
from threatmon.errors import UsageError
from threatmon.fleet.coverage import Coverage, coverage
from threatmon.fleet.targets import FleetFaults, Target, read
from threatmon.stacks import old_aws as session
from threatmon.stacks.files import load

ACCOUNTS = {"dev": "111122223333", "prod": "444455556666"}
SUBNETS = {"dev": "subnet-0123456789abcdef0", "prod": "subnet-0fedcba9876543210"}
VPC = "vpc-0123456789abcdef0"
TIME = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d[\d.:+]*")
APP = typer.Typer()
APP.command()(command.coverage)
RAW = {"subscribers": [{"protocol": "https", "endpoint": "https://hooks.example.com/T0KEN", "format": "raw"}]}


class Result(NamedTuple):
    code: int
    out: str
    err: str


class World:
    """The accounts of a fleet by the names of their stacks, and the command that asks them."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.accounts: dict[str, EmulatedAccount] = {}
        monkeypatch.setattr("threatmon.project.ROOT", folder)
        monkeypatch.setattr(session, "new_session", lambda profile, _region: self.accounts[profile].boto3_session())

    def write(self, stack: str, account: str | None = None, **changes: Any) -> None:
        settings = {"subnetIds": [SUBNETS[stack]], "alertEmails": ["soc@example.com"], **changes}
        config: dict[str, Any] = {
            "aws:profile": stack,
            "aws:region": "eu-west-1",
            "aws:allowedAccountIds": [account or ACCOUNTS[stack]],
            **{f"threat-monitor:{key}": value for key, value in settings.items()},
        }
        (self.folder / f"Pulumi.{stack}.yaml").write_text(yaml.safe_dump({"config": config}), encoding="utf-8")

    def client(self, service: str, stack: str = "dev") -> Any:
        return self.accounts[stack].client(service)

    def confirm(self, stack: str = "dev") -> None:
        for arn in self.accounts[stack].backend("sns").subscriptions:
            self.accounts[stack].confirm_subscription(arn)

    def topic(self, suffix: str = "") -> str:
        topics = [it["TopicArn"] for it in self.client("sns").list_topics()["Topics"]]
        return next(it for it in topics if it.rpartition("-")[0].endswith(f"-topic{suffix}"))

    @property
    def targets(self) -> list[Target]:
        return read(self.folder)

    @property
    def found(self) -> Coverage:
        now = datetime.now(UTC)
        return coverage(command.ask(self.targets, session.connect, now, 2), now)

    def run(self, *arguments: str) -> Result:
        result = CliRunner().invoke(APP, list(arguments))
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Result(result.exit_code, result.stdout, result.stderr)

    def gaps(self) -> list[str]:
        document = json.loads(self.run("--format", "json").out)
        return [f"{it['level']} {it['stack']} {it['subject']}: {it['found']}" for it in document["gaps"]]

    @contextmanager
    def hooked(self, stack: str, event: str, handler: Callable[..., Any]) -> Generator[None]:
        events = self.accounts[stack].boto3_session().events
        events.register(event, handler)
        try:
            yield
        finally:
            events.unregister(event, handler)

    @contextmanager
    def refusing(self, stack: str, operation: str, code: str = "AccessDenied") -> Generator[None]:
        """While the context is open, the account refuses an operation (``events.ListRules``)."""
        with self.hooked(
            stack, f"before-call.{operation}", lambda **_: answer(400, Error={"Code": code, "Message": "no"})
        ):
            yield


def answer(status: int, **body: Any) -> tuple[AWSResponse, dict[str, Any]]:
    return AWSResponse("", status, HTTPHeaders(), None), {**body, "ResponseMetadata": {"HTTPStatusCode": status}}


Deploy = Callable[..., World]


def deploy_to(world: World, open_accounts: ExitStack, stack: str, changes: dict[str, Any]) -> None:
    """The stack, deployed and confirmed, in an account that has nothing else."""
    world.write(stack, **changes)
    account, _ = open_accounts.enter_context(deployed(load(world.folder, stack)))
    world.accounts[stack] = account
    world.confirm(stack)
    ec2 = account.client("ec2")
    for subnet in ec2.describe_subnets(Filters=[{"Name": "default-for-az", "Values": ["true"]}])["Subnets"]:
        ec2.delete_subnet(SubnetId=subnet["SubnetId"])


@pytest.fixture
def deploy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deploy]:
    with ExitStack() as open_accounts:
        world = World(tmp_path, monkeypatch)

        def build(*stacks: str, **changes: Any) -> World:
            for stack in stacks or ("dev",):
                deploy_to(world, open_accounts, stack, changes)
            return world

        yield build


# -- the whole fleet --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="class")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """For tests that change nothing: dev is covered, prod has an uncovered subnet with a name meant to harm."""
    with pytest.MonkeyPatch.context() as monkeypatch, ExitStack() as open_accounts:
        world = World(tmp_path_factory.mktemp("project"), monkeypatch)
        for stack in ACCOUNTS:
            deploy_to(world, open_accounts, stack, {})
        made = world.client("ec2", "prod").create_subnet(VpcId="vpc-0000000000000feed", CidrBlock="10.0.9.0/24")
        tags = [{"Key": "Name", "Value": HOSTILE}]
        world.client("ec2", "prod").create_tags(Resources=[made["Subnet"]["SubnetId"]], Tags=tags)
        yield world


HOSTILE = "<script>alert(1)</script>\u202e[bold]|"


class TestFleet:
    def test_every_account_and_subnet_is_told_and_a_gap_ends_with_one(self, fleet: World) -> None:
        code, out, _ = fleet.run()
        assert code == 1
        assert "\n1 gap.\n" in out
        assert "Stacks    2: 2 covered\n" in out
        assert "Subnets   3: 1 uncovered, 2 covered\n" in out
        assert f"\nno stack ({ACCOUNTS['prod']}, eu-west-1)\n  gap     subnet-" in out
        for stack, account in ACCOUNTS.items():
            assert f"covered {account} eu-west-1 {stack}" in out
            assert f"covered   {account} eu-west-1 {stack:<5} {SUBNETS[stack]}" in out

    def test_the_chosen_stacks_alone_are_asked_and_without_a_gap_it_ends_with_zero(self, fleet: World) -> None:
        code, out, _ = fleet.run("--stacks", "d*")
        assert code == 0
        assert "Everything that was asked about is covered." in out
        assert ACCOUNTS["prod"] not in out

    def test_json_has_every_row(self, fleet: World) -> None:
        code, out, _ = fleet.run("--format", "json")
        document = json.loads(out)
        assert (code, document["covered"]) == (1, False)
        assert [(it["stack"], it["account"]) for it in document["stacks"]] == list(ACCOUNTS.items())
        assert [it["state"] for it in document["subnets"]] == ["uncovered", "covered", "covered"]
        assert document["subnets"][0]["name"] == HOSTILE

    @pytest.mark.parametrize(
        ("format_", "name"),
        [
            ("text", r"<script>alert(1)</script>\u202e[bold]|"),
            ("markdown", r"\<script\>alert(1)\</script\>\\u202e\[bold\]\|"),
            ("html", r"&lt;script&gt;alert(1)&lt;/script&gt;\u202e[bold]|"),
        ],
    )
    def test_names_are_shown_and_do_nothing(self, fleet: World, format_: str, name: str) -> None:
        code, out, _ = fleet.run("--format", format_)
        assert code == 1
        assert name in out
        assert not {"\x1b", "\u202e"} & set(out)

    @pytest.mark.parametrize("format_", ["text", "markdown", "html", "json"])
    def test_a_file_holds_what_would_have_been_printed(self, fleet: World, format_: str, tmp_path: Path) -> None:
        path = tmp_path / "coverage"
        code, out, err = fleet.run("--format", format_, "--output", str(path))
        assert (code, out) == (1, "")
        assert f"{path}: 1 gap." in "".join(err.splitlines())
        written, printed = path.read_text(encoding="utf-8"), fleet.run("--format", format_).out
        assert TIME.sub("", written) == TIME.sub("", printed)

    def test_a_file_that_cannot_be_written_is_named(self, fleet: World, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"--output .*nowhere/coverage: No such file or directory"):
            fleet.run("--output", str(tmp_path / "nowhere" / "coverage"))

    @pytest.mark.parametrize("width", [20, 60, 100, 200])
    def test_no_terminal_is_too_narrow_to_read_a_row(self, fleet: World, width: int) -> None:
        shown = StringIO()
        command.show(Console(file=shown, width=width), fleet.found)
        text = shown.getvalue()
        assert "\u2026" not in text
        for whole in (*ACCOUNTS.values(), *SUBNETS.values(), "medium,", "critical", "uncovered"):
            assert whole in text

    def test_what_it_calls_is_what_its_permissions_name(self, fleet: World) -> None:
        calls: set[str] = set()

        def note(model: Any, **_: Any) -> None:
            service = model.service_model.signing_name.replace("monitoring", "cloudwatch")
            calls.add(f"{service}:{model.name}")

        with fleet.hooked("dev", "before-call", note):
            fleet.run("--stacks", "dev")
        assert calls - {"sts:GetCallerIdentity"} == set(command.PERMISSIONS)  # every caller may ask who it is
        assert list(command.PERMISSIONS) == sorted(command.PERMISSIONS)

    def test_what_changes_nothing_is_all_it_calls(self) -> None:
        verbs = {action.partition(":")[2] for action in command.PERMISSIONS}
        assert all(verb.startswith(("Describe", "Get", "List")) for verb in verbs)

    @pytest.mark.parametrize(
        ("operation", "lost"),
        [
            ("guardduty.ListDetectors", "detector, protection plans"),
            ("guardduty.GetDetector", "detector, protection plans"),
            ("ec2.DescribeSubnets", "1 subnet"),
            ("ec2.DescribeFlowLogs", "1 subnet"),
            ("events.ListRules", "rules, subscription soc@example.com, last alert"),
            ("events.ListTargetsByRule", "rules, subscription soc@example.com, last alert"),
            ("sns.ListSubscriptionsByTopic", "subscription soc@example.com"),
            ("cloudwatch.GetMetricData", "last alert"),
        ],
    )
    def test_what_may_not_be_asked_is_named_with_the_permission_and_the_rest_is_told(
        self, fleet: World, operation: str, lost: str
    ) -> None:
        with fleet.refusing("dev", operation):
            gaps = [gap for gap in fleet.gaps() if not gap.startswith("gap  subnet-")]
        action = operation.replace(".", ":")
        assert gaps == [f"unknown dev {lost}: Permission {action} is missing: no"]

    def test_an_account_whose_credentials_have_expired_keeps_no_other_from_being_told(self, fleet: World) -> None:
        with fleet.refusing("dev", "sts.GetCallerIdentity", "ExpiredToken"):
            code, out, _ = fleet.run()
        assert code == 1
        assert "unknown everything: The AWS credentials have expired" in out
        assert f"covered {ACCOUNTS['prod']} eu-west-1 prod" in out

    def test_an_account_that_cannot_be_reached_says_so(self, fleet: World) -> None:
        def unreachable(**_: Any) -> None:
            raise EndpointConnectionError(endpoint_url="https://sts.eu-west-1.amazonaws.com")

        with fleet.hooked("dev", "before-call.sts", unreachable):
            assert any(gap.startswith("unknown dev everything: AWS cannot be reached") for gap in fleet.gaps())

    def test_credentials_of_another_account_are_not_asked_any_further(self, fleet: World) -> None:
        calls: list[str] = []
        try:
            fleet.write("dev", "999999999999")
            with fleet.hooked("dev", "before-call", lambda model, **_: calls.append(model.name)):
                gaps = fleet.gaps()
        finally:
            fleet.write("dev")
        assert any("everything: The credentials are of account 111122223333, but Pulumi.dev.yaml" in it for it in gaps)
        assert calls == ["GetCallerIdentity"]


# -- one account ------------------------------------------------------------------------------------------------------


def test_a_flow_log_that_cannot_deliver_is_a_gap(deploy: Deploy) -> None:
    world = deploy()
    world.client("logs").delete_log_group(logGroupName="/threat-monitor/dev/flow-logs")
    [gap] = world.gaps()
    assert gap.startswith(f"gap dev {SUBNETS['dev']}: broken: fl-")
    assert gap.endswith("is ACTIVE, its delivery FAILED (Access error)")


def test_a_flow_log_of_the_vpc_covers_a_subnet_made_later(deploy: Deploy) -> None:
    world = deploy(subnetIds=[], vpcIds=[VPC])
    later = world.client("ec2").create_subnet(VpcId=VPC, CidrBlock="10.0.9.0/24")["Subnet"]["SubnetId"]
    assert [(row.id, row.state) for row in world.found.subnets] == [(later, "covered")]


def test_a_flow_log_of_others_is_told_apart(deploy: Deploy) -> None:
    world = deploy()
    made = world.client("ec2").create_subnet(VpcId="vpc-0000000000000feed", CidrBlock="10.0.9.0/24")["Subnet"]
    world.accounts["dev"].boto3_session().client("s3").create_bucket(
        Bucket="flows", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    world.client("ec2").create_flow_logs(
        ResourceIds=[made["SubnetId"]],
        ResourceType="Subnet",
        TrafficType="REJECT",
        LogDestinationType="s3",
        LogDestination="arn:aws:s3:::flows",
    )
    with world.hooked("dev", "after-call.ec2.DescribeFlowLogs", deliver):  # the emulated delivery is to groups alone
        row = next(row for row in world.found.subnets if row.id == made["SubnetId"])
    assert (row.state, row.stack) == ("another's", "")
    assert row.found.endswith("(REJECT) to arn:aws:s3:::flows")


def deliver(parsed: dict[str, Any], **_: Any) -> None:
    for log in parsed["FlowLogs"]:
        log["DeliverLogsStatus"] = "SUCCESS"


def test_a_disabled_rule_a_suspended_detector_and_a_waiting_address_are_gaps(deploy: Deploy) -> None:
    world = deploy()
    rules = [rule["Name"] for rule in world.client("events").list_rules()["Rules"]]
    world.client("events").disable_rule(Name=next(name for name in rules if "-high-" in name))
    [detector] = world.client("guardduty").list_detectors()["DetectorIds"]
    world.client("guardduty").update_detector(DetectorId=detector, Enable=False)
    for subscription in world.accounts["dev"].backend("sns").subscriptions.values():
        subscription.attributes["PendingConfirmation"] = True
    assert world.gaps() == [
        "gap dev detector: DISABLED",
        "gap dev rules: not there or disabled: high",
        "gap dev subscription soc@example.com: is not confirmed, so nothing arrives",
    ]


def test_an_account_in_which_nothing_was_deployed_has_only_gaps(deploy: Deploy) -> None:
    world = deploy()
    with EmulatedAccount("777788889999", "eu-west-1") as bare:
        world.accounts["dev"] = bare
        world.write("dev", "777788889999")
        subjects = [gap.subject for gap in world.found.gaps if gap.stack]
    assert subjects == ["detector", "rules", "subscription soc@example.com", SUBNETS["dev"]]


def test_the_subscriptions_of_a_topic_that_is_gone_are_gone(deploy: Deploy) -> None:
    world = deploy()
    with world.refusing("dev", "sns.ListSubscriptionsByTopic", "NotFound"):
        assert world.gaps() == ["gap dev subscription soc@example.com: is not there"]


def test_a_rule_that_also_calls_a_function_is_no_topic(deploy: Deploy) -> None:
    world = deploy()
    rule = world.client("events").list_rules()["Rules"][0]["Name"]
    function = f"arn:aws:lambda:eu-west-1:{ACCOUNTS['dev']}:function:{command.ALERTS}topic-f:1"
    world.client("events").put_targets(Rule=rule, Targets=[{"Id": "f", "Arn": function}])
    assert world.gaps() == []


def delivered(world: World, topic: str, ago: timedelta, count: float) -> datetime:
    at = datetime.now(UTC) - ago
    dimension = {"Name": "TopicName", "Value": topic.rpartition(":")[2]}
    data = {"MetricName": "NumberOfNotificationsDelivered", "Dimensions": [dimension], "Timestamp": at, "Value": count}
    world.client("cloudwatch").put_metric_data(Namespace="AWS/SNS", MetricData=[data])
    return at


def test_the_last_alert_is_the_latest_that_any_topic_delivered(deploy: Deploy) -> None:
    world = deploy(alerts=RAW)
    delivered(world, world.topic(), timedelta(days=9), 1)
    latest = delivered(world, world.topic("-raw"), timedelta(days=3), 2)
    delivered(world, world.topic(), timedelta(days=1), 0)
    told = datetime.strptime(world.found.stacks[0].last_alert.found, "%Y-%m-%d %H:%M").replace(tzinfo=UTC)
    assert abs(told - latest) <= timedelta(hours=1)


def test_an_alert_of_long_ago_does_not_count(deploy: Deploy) -> None:
    world = deploy()
    delivered(world, world.topic(), timedelta(days=91), 1)
    assert world.found.stacks[0].last_alert.found == "none in 90 days"


# Hook of an operation -> the client's method, and the key of the list in its answer.
LISTS = {
    "ec2.DescribeSubnets": ("describe_subnets", "Subnets"),
    "ec2.DescribeFlowLogs": ("describe_flow_logs", "FlowLogs"),
    "events.ListRules": ("list_rules", "Rules"),
    "events.ListTargetsByRule": ("list_targets_by_rule", "Targets"),
    "guardduty.ListDetectors": ("list_detectors", "DetectorIds"),
    "sns.ListSubscriptionsByTopic": ("list_subscriptions_by_topic", "Subscriptions"),
    "cloudwatch.GetMetricData": ("get_metric_data", "MetricDataResults"),
}


def test_every_answer_is_read_to_its_last_page(deploy: Deploy) -> None:
    world = deploy(alertEmails=["a@example.com", "b@example.com"], alerts=RAW)
    pages: Counter[str] = Counter()

    def one_at_a_time(operation: str) -> Callable[..., Any]:
        method, key = LISTS[operation]
        whole = getattr(world.client(operation.partition(".")[0]), method)

        def handler(context: dict[str, Any], **_: Any) -> Any:
            asked = dict(context["asked"])
            start = int(asked.pop("NextToken", 0))
            entries = whole(**asked)[key]
            pages[operation] += 1
            # AWS may answer an empty page, and more after it.
            more = {"NextToken": str(start + 1)} if start < len(entries) else {}
            return answer(200, **{key: entries[start - 1 : start] if start else []}, **more)

        return handler

    world.client("ec2").create_subnet(VpcId="vpc-0000000000000feed", CidrBlock="10.0.9.0/24")
    now = datetime.now(UTC)
    whole = command.gather(session.connect(world.targets[0].file), now)
    assert [len(entries) for entries in whole[1:5] if isinstance(entries, Sized)] == [2, 1, 3, 2]
    with ExitStack() as hooks:
        for operation in LISTS:
            hooks.enter_context(world.hooked("dev", f"before-call.{operation}", one_at_a_time(operation)))
        paged = command.gather(session.connect(world.targets[0].file), now)
    assert paged[1:] == whole[1:]
    assert isinstance(paged.detector, dict)
    assert all(pages[operation] > 1 for operation in LISTS)


# -- asking -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def unasked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Two stack files, and no account."""
    world = World(tmp_path, monkeypatch)
    for stack in ACCOUNTS:
        world.write(stack)
    return world


def test_accounts_are_asked_side_by_side(unasked: World) -> None:
    both = threading.Barrier(2, timeout=30)

    def connect(_: object) -> Any:
        both.wait()  # breaks unless the other one comes too
        raise UsageError("met")

    found = coverage(command.ask(unasked.targets, connect, datetime.now(UTC), 2), datetime.now(UTC))
    assert {gap.found for gap in found.gaps} == {"met"}


def test_whoever_stops_listening_does_not_wait_and_no_further_account_is_asked(unasked: World) -> None:
    asked: list[object] = []
    go_on = threading.Event()

    def connect(file: object) -> Any:
        asked.append(file)
        if len(asked) == 2:
            go_on.wait(30)
        raise UsageError("no")

    answers = command.ask(unasked.targets * 3, connect, datetime.now(UTC), 1)
    next(answers)
    answers.close()
    go_on.set()
    assert len(asked) <= 2


def test_a_fault_of_ours_is_not_taken_for_an_account_that_does_not_answer(unasked: World) -> None:
    def connect(_: object) -> Any:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(command.ask(unasked.targets, connect, datetime.now(UTC), 2))


def test_without_a_stack_file_nothing_is_called_covered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="There is no stack file, so no account was asked"):
        World(tmp_path, monkeypatch).run()


def test_faults_of_stack_files_are_told_before_any_account_is_asked(unasked: World) -> None:
    unasked.write("prod", ACCOUNTS["dev"])
    with pytest.raises(FleetFaults, match="111122223333 in eu-west-1 is claimed by 2 stacks"):
        unasked.run()


def test_the_help_has_an_example() -> None:
    result = CliRunner().invoke(APP, ["--help"])
    assert "Example: threatmon fleet coverage --format html --output coverage.html" in result.stdout
