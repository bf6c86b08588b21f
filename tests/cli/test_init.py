import stat
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import botocore.session
import pytest
import typer
import yaml
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import ClientError, EndpointConnectionError
from botocore.model import Shape
from botocore.validate import ParamValidator
from moto.core.botocore_stubber import MockRawResponse
from typer.testing import CliRunner, Result

from threatmon.cli import init
from threatmon.emulator.account import EmulatedAccount
from threatmon.errors import ThreatmonError, UsageError
from threatmon.model.settings import Settings, parse
from threatmon.stacks import old_aws as session
from threatmon.stacks.files import load

ACCOUNT, ADMINISTRATOR = "111122223333", "444455556666"
VPC, OTHER_VPC = "vpc-0123456789abcdef0", "vpc-0fedcba9876543210"
PUBLIC, PRIVATE, OTHER = "subnet-0000000000000000a", "subnet-0000000000000000b", "subnet-0000000000000000c"
DETECTOR = "12abc34d567e8fa901bc2d34e56789f0"
GIVEN = ("--subnet", PUBLIC, "--email", "soc@example.com")

app = typer.Typer()
app.command()(init.init)


@cache
def shape(service: str, operation: str) -> Shape:
    output = botocore.session.get_session().get_service_model(service).operation_model(operation).output_shape
    assert output is not None
    return output


class World:
    """An account with two VPCs, and the command that looks at it from the terminal of somebody who types."""

    def __init__(self, account: EmulatedAccount, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.account, self.folder, self.monkeypatch = account, folder, monkeypatch
        self.session = account.boto3_session()
        self.called: list[str] = []
        self.hook("before-parameter-build", self._note)
        self.hook("after-call.ec2.DescribeSubnets", self._place)
        monkeypatch.setattr(session, "new_session", lambda _profile, _region: self.session)
        monkeypatch.setattr("threatmon.project.ROOT", folder)

    def hook(self, event: str, handler: Callable[..., Any]) -> None:
        self.session.events.register(event, handler)

    def _note(self, model: Any, **_: object) -> None:
        self.called.append(f"{model.service_model.service_name}:{model.name}")

    def _place(self, parsed: dict[str, Any], **_: object) -> None:
        for subnet in parsed.get("Subnets", ()):  # moto draws the zone at random
            subnet["AvailabilityZone"] = "eu-west-1a"

    def refuse(self, operation: str, code: str = "AccessDeniedException", message: str = "user x may not") -> None:
        """From now on AWS refuses an operation (``ec2.DescribeSubnets``)."""
        error = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": 400}}
        self.hook(f"before-call.{operation}", lambda **_: (AWSResponse("", 400, HTTPHeaders(), None), dict(error)))

    def answer(self, operation: str, body: dict[str, Any]) -> None:
        """From now on AWS answers an operation so; the answer has the form of botocore's model."""
        report = ParamValidator().validate(body, shape(*operation.split(".")))
        assert not report.has_errors(), report.generate_report()
        self.hook(f"before-call.{operation}", lambda **_: (AWSResponse("", 200, HTTPHeaders(), None), dict(body)))

    def detector(self, *features: dict[str, Any], administrator: str | None = None, **changes: Any) -> None:
        """A detector that the account has."""
        self.account.seed_detector(DETECTOR)
        self.called.clear()
        body = {"ServiceRole": "role", "Status": "ENABLED", "FindingPublishingFrequency": "ONE_HOUR", **changes}
        self.answer("guardduty.GetDetector", {**body, "Features": list(features)})
        relation = {"AccountId": administrator, "RelationshipStatus": "Enabled"}
        self.answer("guardduty.GetAdministratorAccount", {"Administrator": relation if administrator else {}})

    def flow_log(self, resource_id: str, group: str = "old") -> None:
        kind = "VPC" if resource_id.startswith("vpc-") else "Subnet"
        roles = [it["RoleName"] for it in self.account.client("iam").list_roles()["Roles"]]
        if "writer" not in roles:
            self.account.client("iam").create_role(RoleName="writer", AssumeRolePolicyDocument="{}")
        answer = self.account.client("ec2").create_flow_logs(
            ResourceIds=[resource_id],
            ResourceType=kind,
            TrafficType="ALL",
            LogGroupName=group,
            DeliverLogsPermissionArn=f"arn:aws:iam::{ACCOUNT}:role/writer",
        )
        assert answer["Unsuccessful"] == []

    @property
    def path(self) -> Path:
        return self.folder / "Pulumi.prod.yaml"

    def __call__(self, *arguments: str, stack: str = "prod", typed: str | None = None) -> Result:
        """``typed`` is what a person types; without it there is no terminal."""
        self.monkeypatch.setattr(init, "in_a_terminal", lambda: typed is not None)
        runner = CliRunner(env={"COLUMNS": "160"})
        return runner.invoke(app, ["--region", "eu-west-1", *arguments, "--", stack], input=typed)

    def settings(self) -> Settings:
        """Of the file that was written, which has no faults."""
        return parse(load(self.folder, "prod").own_config, "prod")[0]

    @property
    def files(self) -> list[str]:
        return sorted(it.name for it in self.folder.iterdir())


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with EmulatedAccount(ACCOUNT, "eu-west-1") as account:
        backend = account.backend("ec2")
        for subnets in backend.subnets.values():
            subnets.clear()
        backend.vpcs.clear()
        backend.route_tables.clear()
        for vpc_id, subnet_ids in {VPC: [PUBLIC, PRIVATE], OTHER_VPC: [OTHER]}.items():
            account.seed_vpc(vpc_id)
            for subnet_id in subnet_ids:
                account.seed_subnet(subnet_id, vpc_id)
        ec2 = account.client("ec2")
        ec2.create_tags(Resources=[PUBLIC], Tags=[{"Key": "Name", "Value": "web\n  evil: true # \u202e"}])
        gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=VPC)
        table = ec2.create_route_table(VpcId=VPC)["RouteTable"]["RouteTableId"]
        ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
        ec2.associate_route_table(RouteTableId=table, SubnetId=PUBLIC)
        yield World(account, tmp_path, monkeypatch)


def said_to_the_user(result: Result) -> str:
    assert isinstance(result.exception, ThreatmonError)
    return str(result.exception)


def explained(result: Result) -> str:
    assert isinstance(result.exception, ClientError)
    return session.explained(result.exception)


# -- with options -----------------------------------------------------------------------------------------------------


def test_options_alone_make_a_file_without_faults(world: World) -> None:
    result = world(*GIVEN, "--vpc", OTHER_VPC, "--finding-type", "Recon:EC2/*")
    assert (result.exit_code, result.stderr) == (0, "")
    file = load(world.folder, "prod")
    assert (file.region, file.account_ids) == ("eu-west-1", [ACCOUNT])
    assert file.config["aws:defaultTags"] == {"tags": {"project": "threat-monitor", "stack": "prod"}}
    settings = world.settings()
    assert (settings.subnet_ids, settings.vpc_ids) == ((PUBLIC,), (OTHER_VPC,))
    assert settings.alert_emails == ("soc@example.com",)
    assert settings.finding_types == ("Recon:EC2/*",)
    assert settings.detector.mode == "create"
    assert (settings.protect, settings.health.enabled, settings.flow_logs.keep_on_destroy) == (True, True, True)
    assert world.files == ["Pulumi.prod.yaml"]


def test_a_name_of_many_lines_is_one_comment(world: World) -> None:
    result = world(*GIVEN)
    line = f"    - {PUBLIC} # web\\n  evil: true # \\u202e, 10.0.0.0/28, in {VPC}, eu-west-1a, 11 addresses, public"
    assert line in world.path.read_text(encoding="utf-8").splitlines()
    assert "evil" not in str(load(world.folder, "prod").config)
    assert "\u202e" not in result.stdout


def test_the_next_steps_name_the_profile_that_the_file_does_not(world: World) -> None:
    result = world(*GIVEN, "--profile", "audit")
    assert result.stdout.splitlines()[-6:] == [
        "Wrote Pulumi.prod.yaml. Read it, then:",
        "  export AWS_PROFILE=audit",
        "  pulumi stack init prod",
        "      # for a team, with secrets encrypted by a KMS key of yours that each of them may use:",
        "      # pulumi stack init prod --secrets-provider 'awskms://alias/threat-monitor-secrets?region=eu-west-1'",
        "  make preview STACK=prod",
    ]
    assert "audit" not in world.path.read_text(encoding="utf-8")


def test_without_a_terminal_all_that_is_missing_is_named_at_once(world: World) -> None:
    world.session = botocore_session_without_region()
    result = CliRunner().invoke(app, ["prod"])
    assert said_to_the_user(result) == (
        "Nothing can be asked (without a terminal), so these options are needed: --region, --subnet or --vpc, --email."
    )
    assert world.files == world.called == []


def botocore_session_without_region() -> Any:
    return type("Session", (), {"region_name": None})()


def test_in_a_terminal_with_yes_nothing_is_asked_either(world: World) -> None:
    said = said_to_the_user(world("--yes", "--email", "soc@example.com", typed=""))
    assert said == "Nothing can be asked (--yes), so these options are needed: --subnet or --vpc."


def test_the_faults_of_all_options_are_told_at_once_before_any_call(world: World) -> None:
    said = said_to_the_user(
        world("--subnet", "subnet-1", "--email", "a@b.c", "--email", "nobody", "--finding-type", "Recon:EC2/PortScan")
    )
    assert said.splitlines() == [
        '--subnet: "subnet-1" is not a subnet id (expected subnet- and 8 or 17 hex digits)',
        '--email: "nobody" is not an e-mail address (expected name@example.com)',
        '--finding-type: "Recon:EC2/PortScan" is not a GuardDuty finding type; did you mean "Recon:EC2/Portscan"?',
    ]
    assert world.called == []


def test_a_subnet_given_twice_is_a_fault(world: World) -> None:
    said = said_to_the_user(world(*GIVEN, "--subnet", PUBLIC))
    assert said == f'--subnet: "{PUBLIC}" is listed 2 times; once is enough'


def test_networks_that_the_account_has_not_are_all_named(world: World) -> None:
    absent = "subnet-0000000000000dead", "vpc-0000000000000dead"
    said = said_to_the_user(world(*GIVEN, "--subnet", absent[0], "--vpc", absent[1]))
    assert said.splitlines() == [
        f"--subnet: {absent[0]} is not in account {ACCOUNT}, eu-west-1",
        f"--vpc: {absent[1]} is not in account {ACCOUNT}, eu-west-1",
    ]
    assert world.files == []


def shared(world: World) -> None:
    def by_another_account(parsed: dict[str, Any], **_: object) -> None:
        for subnet in parsed["Subnets"]:
            subnet["OwnerId"] = ADMINISTRATOR if subnet["SubnetId"] == PUBLIC else ACCOUNT

    world.hook("after-call.ec2.DescribeSubnets", by_another_account)


def test_a_subnet_that_another_account_shares_cannot_be_logged(world: World) -> None:
    shared(world)
    said = said_to_the_user(world(*GIVEN))
    assert said == f"--subnet: {PUBLIC} is shared by account {ADMINISTRATOR}, which alone can log it"


@pytest.mark.parametrize("stack", ["", "org/prod", "../prod", "a b", "-x", "ä", "a\n", "a" * 101])
def test_what_is_no_name_of_a_stack_is_refused_before_any_call(world: World, stack: str) -> None:
    assert "is no name of a stack" in said_to_the_user(world(*GIVEN, stack=stack))
    assert world.files == world.called == []


# -- the detector -----------------------------------------------------------------------------------------------------


def feature(name: str, status: str, **more: Any) -> dict[str, Any]:
    return {"Name": name, "Status": status, **more}


def test_the_accounts_own_detector_is_adopted_as_it_is(world: World) -> None:
    world.detector(
        feature("FLOW_LOGS", "ENABLED"),
        feature("S3_DATA_EVENTS", "ENABLED"),
        feature("EKS_AUDIT_LOGS", "DISABLED"),
        feature("RUNTIME_MONITORING", "ENABLED"),
    )
    result = world(*GIVEN)
    settings = world.settings()
    assert (settings.detector.mode, settings.detector.id) == ("import", DETECTOR)
    assert settings.protection_plans == {"s3": True, "eksAudit": False, "runtime": True}
    assert settings.finding_publishing_frequency == "ONE_HOUR"
    assert f"Detector: import {DETECTOR}\n  It is this account's own" in result.stdout


@pytest.mark.parametrize(
    ("answer", "who"),
    [
        ({"administrator": ADMINISTRATOR}, f"administrator account {ADMINISTRATOR} manages it"),
        ({"Tags": {"project": "threat-monitor", "stack": "dev"}}, "The stack dev manages it"),
    ],
)
def test_a_detector_that_somebody_else_manages_is_looked_up(world: World, answer: dict[str, Any], who: str) -> None:
    world.detector(feature("S3_DATA_EVENTS", "ENABLED"), **answer)
    result = world(*GIVEN)
    settings = world.settings()
    assert (settings.detector.mode, settings.detector.id) == ("lookup", DETECTOR)
    assert settings.protection_plans == {}
    assert settings.finding_publishing_frequency == "SIX_HOURS"
    assert who in result.stdout
    assert who in " ".join(world.path.read_text(encoding="utf-8").replace("\n  #", "").split())


def test_a_detector_that_a_policy_of_the_organisation_manages_is_looked_up(world: World) -> None:
    world.detector(feature("S3_DATA_EVENTS", "ENABLED", ManagedBy="GUARDDUTY_POLICY"))
    assert world(*GIVEN).exit_code == 0
    assert world.settings().detector.mode == "lookup"


# -- flow logs that are there -----------------------------------------------------------------------------------------


def test_a_further_flow_log_is_warned_of_and_the_present_one_named(world: World) -> None:
    world.flow_log(VPC)
    result = world(*GIVEN)
    assert result.stderr == f"Warning: {PUBLIC} has a flow log already; a further one costs as much again.\n"
    assert "has flow logs to log group old\n" in world.path.read_text(encoding="utf-8")


def test_a_subnet_that_its_vpc_covers_is_warned_of(world: World) -> None:
    result = world(*GIVEN, "--vpc", VPC)
    assert result.stderr == f"Warning: {PUBLIC} is in a VPC that is logged whole; its traffic is recorded twice.\n"


# -- in a terminal ----------------------------------------------------------------------------------------------------


def rows(result: Result) -> list[list[str]]:
    """The table's cells, of lines that begin with a number."""
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in result.stdout.splitlines() if "│" in line]
    return [row for row in cells if row[0].isdigit()]


def test_a_person_is_asked_what_to_log_whom_to_tell_and_whether_to_write(world: World) -> None:
    world.flow_log(OTHER, "old")
    result = world(typed="\na@example.com, b@example.com\ny\n")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "Which to log (such as 2,4-6) [2-3]:" in result.stdout
    assert [row[:2] for row in rows(result)] == [
        ["1", f"whole {VPC}"],
        ["2", PUBLIC],
        ["3", PRIVATE],
        ["4", f"whole {OTHER_VPC}"],
        ["5", OTHER],
    ]
    assert rows(result)[1][2:] == [
        "web\\n  evil: true # \\u202e",
        "10.0.0.0/28",
        "11 of 11",
        "eu-west-1a",
        "public",
        "",
    ]
    assert rows(result)[4][6:] == ["private", "log group old"]
    settings = world.settings()
    assert settings.subnet_ids == (PUBLIC, PRIVATE)
    assert settings.alert_emails == ("a@example.com", "b@example.com")


def test_answers_that_do_not_fit_are_asked_for_again(world: World) -> None:
    result = world(typed="9\n , \n4,5\nnobody\na@example.com a@example.com\na@example.com\ny\n")
    assert result.exit_code == 0
    assert "9 is no number from 1 to 5" in result.stdout
    assert "At least one is needed." in result.stdout
    assert '"nobody" is not an e-mail address' in result.stdout
    assert "is listed 2 times" in result.stdout
    settings = world.settings()
    assert (settings.vpc_ids, settings.subnet_ids) == ((OTHER_VPC,), (OTHER,))
    assert settings.alert_emails == ("a@example.com",)


def test_where_all_is_logged_already_nothing_is_chosen_by_default(world: World) -> None:
    world.flow_log(VPC)
    world.flow_log(OTHER_VPC)
    result = world("--email", "a@example.com", typed="3\ny\n")
    assert "Which to log (such as 2,4-6):" in result.stdout
    assert world.settings().subnet_ids == (PRIVATE,)


def test_the_flow_logs_of_the_stack_itself_are_kept_by_default(world: World) -> None:
    world.flow_log(PRIVATE, "/threat-monitor/prod/flow-logs")
    assert "[2-3,5]" in world("--email", "a@example.com", typed="\ny\n").stdout


def test_a_shared_subnet_is_not_offered(world: World) -> None:
    shared(world)
    result = world("--email", "a@example.com", typed="\ny\n")
    assert PUBLIC not in result.stdout
    assert world.settings().subnet_ids == (PRIVATE, OTHER)


def test_what_is_given_is_not_asked(world: World) -> None:
    result = world(*GIVEN, typed="y\n")
    assert "Which to log" not in result.stdout
    assert "Who gets" not in result.stdout
    assert world.settings().subnet_ids == (PUBLIC,)


def test_a_missing_region_is_asked_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = {None: botocore_session_without_region(), "eu-west-1": world.session}
    monkeypatch.setattr(session, "new_session", lambda _profile, region: sessions[region])
    monkeypatch.setattr(init, "in_a_terminal", lambda: True)
    result = CliRunner().invoke(app, ["prod", *GIVEN], input="eu-west-1\ny\n")
    assert result.exit_code == 0
    assert result.stdout.startswith("Region: eu-west-1\n")
    assert load(world.folder, "prod").region == "eu-west-1"


@pytest.mark.parametrize("typed", ["n\n", ""])
def test_nothing_is_written_unless_it_is_confirmed(world: World, typed: str) -> None:
    result = world(*GIVEN, typed=typed)
    assert result.exit_code == 1
    assert world.files == []


def test_with_yes_it_is_written_without_a_question(world: World) -> None:
    result = world(*GIVEN, "--yes", typed="")
    assert result.exit_code == 0
    assert "?" not in result.stdout.partition("Wrote")[0]
    assert world.files == ["Pulumi.prod.yaml"]


# -- a file that is there ---------------------------------------------------------------------------------------------

BEFORE = f"""\
encryptionsalt: v1:abc=:v1:def
config:
  aws:region: eu-west-1
  aws:profile: mine
  aws:allowedAccountIds: ["{ACCOUNT}"]
  threat-monitor:subnetIds: [{PRIVATE}]
  threat-monitor:alerts: {{ accountAlias: "x\x7f" }}
"""


def test_a_file_that_is_there_is_not_touched(world: World) -> None:
    world.path.write_text("config: {}\n", encoding="utf-8")
    assert said_to_the_user(world(*GIVEN, "--yes")) == (
        "Pulumi.prod.yaml exists; --force replaces it, and shows what that changes."
    )
    assert world.path.read_text(encoding="utf-8") == "config: {}\n"
    assert world.called == []


def before(world: World) -> None:
    world.path.write_text(BEFORE.replace("\x7f", ""), encoding="utf-8")
    world.path.chmod(0o640)


def test_with_force_it_shows_the_changes_and_asks(world: World) -> None:
    before(world)
    result = world(*GIVEN, "--force", typed="y\n")
    assert result.exit_code == 0
    assert "--- Pulumi.prod.yaml\n+++ Pulumi.prod.yaml (new)\n" in result.stdout
    assert f"\n-  threat-monitor:subnetIds: [{PRIVATE}]\n" in result.stdout
    assert f"\n+    - {PUBLIC} # web" in result.stdout
    assert "Write Pulumi.prod.yaml? [y/N]: y\n" in result.stdout
    assert "pulumi stack init prod   # unless it exists" in result.stdout
    assert result.stderr == "Warning: set before, and not in the new file: aws:profile, threat-monitor:alerts\n"
    assert world.settings().subnet_ids == (PUBLIC,)
    assert world.files == ["Pulumi.prod.yaml"]


def test_what_secrets_are_encrypted_with_and_the_mode_stay(world: World) -> None:
    before(world)
    world(*GIVEN, "--force", "--yes")
    assert yaml.safe_load(world.path.read_text(encoding="utf-8"))["encryptionsalt"] == "v1:abc=:v1:def"
    assert stat.S_IMODE(world.path.stat().st_mode) == 0o640


def test_with_force_and_without_a_confirmation_it_stays(world: World) -> None:
    before(world)
    was = world.path.read_text(encoding="utf-8")
    assert world(*GIVEN, "--force", typed="\n").exit_code == 1
    assert world.path.read_text(encoding="utf-8") == was


def test_without_a_terminal_force_needs_yes(world: World) -> None:
    before(world)
    assert said_to_the_user(world(*GIVEN, "--force")) == (
        "Nothing can be asked (without a terminal), so these options are needed: --yes (it replaces Pulumi.prod.yaml)."
    )


def test_a_second_time_nothing_is_left_to_change(world: World) -> None:
    world(*GIVEN)
    was = world.path.stat()
    result = world(*GIVEN, "--force", "--yes")
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (0, "Pulumi.prod.yaml says all this already.")
    assert world.path.stat().st_ino == was.st_ino


def test_a_file_of_another_account_is_not_replaced(world: World) -> None:
    world.path.write_text(BEFORE.replace("\x7f", "").replace(ACCOUNT, ADMINISTRATOR), encoding="utf-8")
    said = said_to_the_user(world(*GIVEN, "--force", "--yes"))
    assert f"of account {ACCOUNT}, but Pulumi.prod.yaml allows {ADMINISTRATOR}" in said


def test_a_file_that_is_no_yaml_is_not_replaced(world: World) -> None:
    world.path.write_text(BEFORE, encoding="utf-8")
    assert "Pulumi.prod.yaml: cannot be read" in said_to_the_user(world(*GIVEN, "--force", "--yes"))
    assert world.path.read_text(encoding="utf-8") == BEFORE


def test_a_file_that_cannot_be_written_leaves_nothing_behind(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    assert said_to_the_user(world(*GIVEN)) == "Pulumi.prod.yaml cannot be written: No space left on device"
    assert world.files == []


def test_a_link_stays_one(world: World, tmp_path_factory: pytest.TempPathFactory) -> None:
    target = tmp_path_factory.mktemp("shared") / "prod.yaml"
    target.write_text("config: {}\n", encoding="utf-8")
    world.path.symlink_to(target)
    assert world(*GIVEN, "--force", "--yes").exit_code == 0
    assert world.path.is_symlink()
    assert "threat-monitor:subnetIds" in target.read_text(encoding="utf-8")


# -- what AWS refuses -------------------------------------------------------------------------------------------------


def test_without_permission_for_the_detector_the_rest_is_written_and_it_is_told(world: World) -> None:
    world.refuse("guardduty.ListDetectors")
    result = world(*GIVEN)
    assert result.exit_code == 0
    assert result.stderr == (
        "Warning: detectors could not be read. Permission guardduty:ListDetectors is missing: user x may not\n"
    )
    assert world.settings().detector.mode == "create"
    written = world.path.read_text(encoding="utf-8")
    assert "Permission guardduty:ListDetectors is missing." in written
    assert "user x" not in written


@pytest.mark.parametrize("operation", ["GetDetector", "GetAdministratorAccount"])
def test_a_detector_that_cannot_be_read_whole_is_only_looked_up(world: World, operation: str) -> None:
    world.account.seed_detector(DETECTOR)
    world.refuse(f"guardduty.{operation}")
    result = world(*GIVEN)
    settings = world.settings()
    assert (settings.detector.mode, settings.detector.id, settings.protection_plans) == ("lookup", DETECTOR, {})
    assert f"Permission guardduty:{operation} is missing" in result.stderr


@pytest.mark.parametrize("operation", ["DescribeVpcs", "DescribeFlowLogs", "DescribeRouteTables", "DescribeSubnets"])
def test_named_subnets_are_written_without_what_cannot_be_read_of_them(world: World, operation: str) -> None:
    world.refuse(f"ec2.{operation}", "UnauthorizedOperation")
    result = world(*GIVEN)
    assert result.exit_code == 0
    assert f"Permission ec2:{operation} is missing" in result.stderr
    assert world.settings().subnet_ids == (PUBLIC,)


def test_where_flow_logs_cannot_be_read_nothing_is_chosen_by_default(world: World) -> None:
    world.refuse("ec2.DescribeFlowLogs", "UnauthorizedOperation")
    assert "Which to log (such as 2,4-6):" in world("--email", "a@example.com", typed="1\ny\n").stdout


def test_where_no_networks_can_be_read_the_permissions_are_named(world: World) -> None:
    world.refuse("ec2.DescribeSubnets", "UnauthorizedOperation")
    world.refuse("ec2.DescribeVpcs", "UnauthorizedOperation")
    assert said_to_the_user(world(typed="")).splitlines() == [
        "Permission ec2:DescribeSubnets is missing: user x may not",
        "Permission ec2:DescribeVpcs is missing: user x may not",
        f"No subnet or VPC to log is to be seen in account {ACCOUNT}, eu-west-1.",
    ]


def test_an_account_without_networks_has_nothing_to_log(world: World) -> None:
    world.answer("ec2.DescribeSubnets", {"Subnets": []})
    world.answer("ec2.DescribeVpcs", {"Vpcs": []})
    said = said_to_the_user(world(typed=""))
    assert said == f"No subnet or VPC to log is to be seen in account {ACCOUNT}, eu-west-1."


@pytest.mark.parametrize(
    ("operation", "code", "said"),
    [
        ("sts.GetCallerIdentity", "ExpiredToken", "The AWS credentials have expired"),
        ("guardduty.ListDetectors", "ExpiredTokenException", "The AWS credentials have expired"),
        ("ec2.DescribeSubnets", "AuthFailure", "AWS does not accept the credentials in this Region"),
        ("ec2.DescribeSubnets", "RequestLimitExceeded", "AWS still throttles ec2:DescribeSubnets after 8 attempts"),
    ],
)
def test_what_no_other_command_could_do_either_ends_it(world: World, operation: str, code: str, said: str) -> None:
    world.refuse(operation, code)
    assert explained(world(*GIVEN)).startswith(said)
    assert world.files == []


def test_a_throttled_call_is_made_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)
    monkeypatch.setattr("botocore.retries.bucket.TokenBucket.acquire", lambda *_, **__: True)
    throttled: list[str] = []

    def once(request: Any, **_: object) -> AWSResponse | None:
        if throttled:
            return None
        throttled.append(request.url)
        error = b"<Response><Errors><Error><Code>RequestLimitExceeded</Code></Error></Errors></Response>"
        return AWSResponse(request.url, 503, HTTPHeaders(), MockRawResponse(error))

    world.hook("before-send.ec2.DescribeSubnets", once)
    assert world(*GIVEN).exit_code == 0
    assert len(throttled) == 1
    assert world.settings().subnet_ids == (PUBLIC,)


def unreachable(**_: object) -> None:
    raise EndpointConnectionError(endpoint_url="https://sts.example.com")


@pytest.mark.parametrize(
    ("region", "said"),
    [
        ("eu-wst-1", "--region: eu-wst-1 is no Region that answers; did you mean eu-west-1?"),
        ("moon-base-1", "--region: moon-base-1 is no Region that answers"),
    ],
)
def test_a_wrong_region_is_named(world: World, region: str, said: str) -> None:
    world.hook("before-call.sts", unreachable)
    assert said_to_the_user(world(*GIVEN, "--region", region)) == said


def test_a_region_that_exists_and_does_not_answer_is_no_wrong_use(world: World) -> None:
    world.hook("before-call.sts", unreachable)
    assert isinstance(world(*GIVEN).exception, EndpointConnectionError)


def test_an_unknown_profile_is_named(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(profile: str, _: object) -> None:
        raise UsageError(f"aws:profile: The config profile ({profile}) could not be found")

    monkeypatch.setattr(session, "new_session", unknown)
    said = said_to_the_user(world(*GIVEN, "--profile", "nobody"))
    assert said == "--profile: The config profile (nobody) could not be found"


# -- permissions and help ---------------------------------------------------------------------------------------------


def test_it_calls_what_its_permissions_name(world: World) -> None:
    world.detector()
    assert world(*GIVEN).exit_code == 0
    assert set(world.called) == {*init.PERMISSIONS, "sts:GetCallerIdentity"}  # which needs no permission


def test_all_pages_are_read(world: World) -> None:
    ec2 = world.account.client("ec2")
    pages: Sequence[Any] = [ec2.describe_subnets(SubnetIds=[it])["Subnets"] for it in (PRIVATE, PUBLIC)]
    asked: list[str] = []

    def page(params: dict[str, Any], **_: object) -> Any:
        asked.append(str(params["body"].get("NextToken")))
        body = {"Subnets": pages[len(asked) - 1], **({"NextToken": "more"} if len(asked) == 1 else {})}
        return AWSResponse("", 200, HTTPHeaders(), None), body

    world.hook("before-call.ec2.DescribeSubnets", page)
    assert world(*GIVEN).exit_code == 0
    assert asked == ["None", "more"]


def test_the_help_has_an_example() -> None:
    out = CliRunner(env={"COLUMNS": "120"}).invoke(app, ["--help"]).stdout
    assert "Example: threatmon init prod --profile audit --region eu-west-1" in out
