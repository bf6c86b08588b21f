import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import CommandResult, RunCommand
from examples import ACCOUNT, DETECTOR_ID, EMAIL, OTHER_ACCOUNT, REGION
from scripted_account import ScriptedAccount

from threatmon.cli import init as command
from threatmon.errors import UsageError
from threatmon.model.settings import Settings
from threatmon.stacks.files import load, settings_of

VPC, OTHER_VPC = "vpc-0123456789abcdef0", "vpc-0fedcba9876543210"
PUBLIC, PRIVATE, OTHER = "subnet-0000000000000000a", "subnet-0000000000000000b", "subnet-0000000000000000c"
GIVEN = ("--subnet", PUBLIC, "--email", EMAIL)

Init = Callable[..., CommandResult]


def subnet(id_: str, vpc_id: str, cidr: str, **more: Any) -> dict[str, Any]:
    zone = {"AvailabilityZone": "eu-west-1a", "AvailableIpAddressCount": 10}
    return {"SubnetId": id_, "VpcId": vpc_id, "CidrBlock": cidr, "OwnerId": ACCOUNT, **zone, **more}


SUBNETS = [
    subnet(PUBLIC, VPC, "10.0.0.0/28", Tags=[{"Key": "Name", "Value": "web\n  evil: true # \u202e"}]),
    subnet(PRIVATE, VPC, "10.0.0.16/28"),
    subnet(OTHER, OTHER_VPC, "10.1.0.0/28"),
]
ROUTES = [{"GatewayId": "igw-1", "State": "active", "DestinationCidrBlock": "0.0.0.0/0"}]
TABLES = [{"VpcId": VPC, "Associations": [{"SubnetId": PUBLIC}], "Routes": ROUTES}]


@pytest.fixture
def account(scripted: ScriptedAccount) -> ScriptedAccount:
    """Two VPCs, three subnets, one of them public; no flow logs and no detector."""
    vpcs = [{"VpcId": VPC, "CidrBlock": "10.0.0.0/16"}, {"VpcId": OTHER_VPC, "CidrBlock": "10.1.0.0/16"}]
    scripted.answer("ec2:DescribeVpcs", {"Vpcs": vpcs})
    scripted.answer("ec2:DescribeSubnets", {"Subnets": SUBNETS})
    scripted.answer("ec2:DescribeRouteTables", {"RouteTables": TABLES})
    return scripted


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project's folder, without a file."""
    monkeypatch.setattr("threatmon.project.ROOT", tmp_path)
    return tmp_path


@pytest.fixture
def init(threatmon: RunCommand, account: ScriptedAccount, folder: Path) -> Init:
    """`threatmon init` of the stack prod; ``typed`` is what a person types, without it there is no terminal."""
    assert account.calls == []
    assert not list(folder.iterdir())

    def run(*arguments: str, stack: str = "prod", typed: str | None = None) -> CommandResult:
        return threatmon("init", *arguments, "--", stack, stdin=typed or "", terminal=typed is not None)

    return run


def settings(folder: Path) -> Settings:
    """Those of the file that was written, which has no faults."""
    return settings_of(load(folder, "prod"))


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def flow_logs(account: ScriptedAccount, logs: dict[str, str]) -> None:
    """The account has flow logs: resource -> log group."""
    answer = [{"ResourceId": id_, "LogGroupName": group} for id_, group in logs.items()]
    account.answer("ec2:DescribeFlowLogs", {"FlowLogs": answer})


def detector(account: ScriptedAccount, administrator: str | None = None) -> None:
    features = [{"Name": "S3_DATA_EVENTS", "Status": "ENABLED"}, {"Name": "EKS_AUDIT_LOGS", "Status": "DISABLED"}]
    account.answer("guardduty:ListDetectors", {"DetectorIds": [DETECTOR_ID]})
    described = {"ServiceRole": "r", "Status": "ENABLED", "FindingPublishingFrequency": "ONE_HOUR"}
    account.answer("guardduty:GetDetector", {**described, "Features": features})
    relation = {"Administrator": {"AccountId": administrator}} if administrator else {}
    account.answer("guardduty:GetAdministratorAccount", {"Administrator": {}, **relation})


def shared(account: ScriptedAccount) -> None:
    """The public subnet is another account's."""
    by_other = [subnet(PUBLIC, VPC, "10.0.0.0/28", OwnerId=OTHER_ACCOUNT), *SUBNETS[1:]]
    account.answer("ec2:DescribeSubnets", {"Subnets": by_other})


# -- with options -----------------------------------------------------------------------------------------------------


def test_options_alone_make_a_file_without_faults(init: Init, folder: Path) -> None:
    result = init(*GIVEN, "--vpc", OTHER_VPC, "--finding-type", "Recon:EC2/*")
    assert (result.code, result.err) == (0, "")
    file, found = load(folder, "prod"), settings(folder)
    assert (file.region, file.account_ids) == (REGION, [ACCOUNT])
    assert file.config["aws:defaultTags"] == {"tags": {"project": "threat-monitor", "stack": "prod"}}
    assert (found.subnet_ids, found.vpc_ids) == ((PUBLIC,), (OTHER_VPC,))
    assert (found.alert_emails, found.finding_types) == ((EMAIL,), ("Recon:EC2/*",))
    assert found.detector.mode == "create"
    assert (found.protect, found.health.enabled, found.flow_logs.keep_on_destroy) == (True, True, True)
    assert files(folder) == ["Pulumi.prod.yaml"]


def test_the_next_steps_name_the_profile_that_the_file_does_not(init: Init, folder: Path) -> None:
    assert init(*GIVEN, "--profile", "audit").out.splitlines()[-6:] == [
        "Wrote Pulumi.prod.yaml. Read it, then:",
        "  export AWS_PROFILE=audit",
        "  pulumi stack init prod",
        "      # for a team, with secrets encrypted by a KMS key of yours that each of them may use:",
        "      # pulumi stack init prod --secrets-provider 'awskms://alias/threat-monitor-secrets?region=eu-west-1'",
        "  make preview STACK=prod",
    ]
    assert "audit" not in (folder / "Pulumi.prod.yaml").read_text(encoding="utf-8")


def test_all_that_is_missing_and_cannot_be_asked_is_named_at_once(
    init: Init, account: ScriptedAccount, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asks = "There is no dialogue ({}), so these options are required: {}.\n"
    assert init("--yes", "--email", EMAIL, typed="") == (2, "", asks.format("--yes", "--subnet or --vpc"))
    no_region: Any = type("Session", (), {"region_name": None})
    monkeypatch.setattr("threatmon.aws.session.new_session", lambda _profile, _region: no_region)
    assert init().err == asks.format("without a terminal", "--region, --subnet or --vpc, --email")
    assert files(folder) == account.calls == []


def test_the_faults_of_all_options_are_reported_at_once_before_any_call(init: Init, account: ScriptedAccount) -> None:
    given = "--subnet", PUBLIC, "--subnet", PUBLIC, "--email", "a@b.c", "--email", "nobody"
    result = init(*given, "--finding-type", "Recon:EC2/PortScan")
    assert result.code == 2
    assert result.err.splitlines() == [
        f'--subnet: "{PUBLIC}" is listed 2 times; once is enough',
        '--email: "nobody" is not an e-mail address (expected name@example.com)',
        '--finding-type: "Recon:EC2/PortScan" is not a GuardDuty finding type; did you mean "Recon:EC2/Portscan"?',
    ]
    assert account.calls == []


def test_networks_that_the_account_does_not_have_or_cannot_log_are_all_named(
    init: Init, account: ScriptedAccount, folder: Path
) -> None:
    shared(account)
    absent = "subnet-0000000000000dead", "vpc-0000000000000dead"
    result = init(*GIVEN, "--subnet", absent[0], "--vpc", absent[1])
    assert result.err.splitlines() == [
        f"--subnet: {PUBLIC} is shared by account {OTHER_ACCOUNT}, which alone can log it",
        f"--subnet: {absent[0]} is not in account {ACCOUNT}, {REGION}",
        f"--vpc: {absent[1]} is not in account {ACCOUNT}, {REGION}",
    ]
    assert (result.code, files(folder)) == (2, [])


@pytest.mark.parametrize("stack", ["", "org/prod", "../prod", "a\n"])
def test_what_is_no_name_of_a_stack_is_refused_before_any_call(
    init: Init, account: ScriptedAccount, folder: Path, stack: str
) -> None:
    assert "is not a valid stack name" in init(*GIVEN, stack=stack).err
    assert files(folder) == account.calls == []


def test_the_accounts_own_detector_is_adopted_as_it_is(init: Init, account: ScriptedAccount, folder: Path) -> None:
    detector(account)
    out = init(*GIVEN).out
    found = settings(folder)
    assert (found.detector.mode, found.detector.id) == ("import", DETECTOR_ID)
    assert found.protection_plans == {"s3": True, "eksAudit": False}
    assert found.finding_publishing_frequency == "ONE_HOUR"
    assert f"Detector: import {DETECTOR_ID}\n" in out
    assert "\nIt is this account's own" in out


def test_traffic_that_would_be_recorded_twice_is_warned_of(init: Init, account: ScriptedAccount, folder: Path) -> None:
    flow_logs(account, {PUBLIC: "old"})
    assert init(*GIVEN, "--vpc", VPC).err == (
        f"Warning: {PUBLIC} is in a VPC that is logged whole; its traffic is recorded twice.\n"
        f"Warning: {PUBLIC} has a flow log already; another one doubles the cost.\n"
    )
    assert "has flow logs to log group old\n" in (folder / "Pulumi.prod.yaml").read_text(encoding="utf-8")


# -- in a terminal ----------------------------------------------------------------------------------------------------


def rows(out: str) -> list[str]:
    """The table's lines, which begin with a number, with one space between words."""
    return [" ".join(line.split()) for line in out.splitlines() if line[:1].isdigit()]


def test_a_person_is_asked_what_to_log_who_gets_alerts_and_whether_to_write(
    init: Init, account: ScriptedAccount, folder: Path
) -> None:
    flow_logs(account, {OTHER: "old"})
    result = init(typed="\na@example.com, b@example.com\ny\n")
    assert (result.code, result.err) == (0, "")
    assert "Which to log (such as 2,4-6) [2-3]:" in result.out
    table = result.out.partition("Which to log")[0]
    assert rows(table) == [
        f"1 whole {VPC} 10.0.0.0/16",
        rf"2 {PUBLIC} web\n evil: true # \u202e 10.0.0.0/28 10 of 11 eu-west-1a public",
        f"3 {PRIVATE} 10.0.0.16/28 10 of 11 eu-west-1a private",
        f"4 whole {OTHER_VPC} 10.1.0.0/16",
        f"5 {OTHER} 10.1.0.0/28 10 of 11 eu-west-1a private log group old",
    ]
    assert settings(folder).subnet_ids == (PUBLIC, PRIVATE)
    assert settings(folder).alert_emails == ("a@example.com", "b@example.com")


def test_answers_that_do_not_fit_are_asked_for_again(init: Init, folder: Path) -> None:
    result = init(typed="9\n , \n4,5\nnobody\na@example.com a@example.com\na@example.com\ny\n")
    assert result.code == 0
    for said in (
        "9 is neither a number from 1 to 5",
        "At least one is needed.",
        '"nobody" is not an e-mail address',
        "is listed 2 times",
    ):
        assert said in result.out
    found = settings(folder)
    assert (found.vpc_ids, found.subnet_ids, found.alert_emails) == ((OTHER_VPC,), (OTHER,), ("a@example.com",))


@pytest.mark.parametrize(
    ("logs", "default"),
    [
        ({}, " [2-3,5]"),
        ({VPC: "old", OTHER_VPC: "old"}, ""),
        ({PRIVATE: "/threat-monitor/prod/flow-logs", OTHER: "old"}, " [2-3]"),
    ],
)
def test_subnets_without_a_flow_log_but_the_stacks_own_are_the_default(
    init: Init, account: ScriptedAccount, folder: Path, logs: dict[str, str], default: str
) -> None:
    flow_logs(account, logs)
    assert f"Which to log (such as 2,4-6){default}:" in init("--email", EMAIL, typed="3\ny\n").out
    assert settings(folder).subnet_ids == (PRIVATE,)


def test_a_shared_subnet_is_not_offered(init: Init, account: ScriptedAccount, folder: Path) -> None:
    shared(account)
    assert PUBLIC not in init("--email", EMAIL, typed="\ny\n").out
    assert settings(folder).subnet_ids == (PRIVATE, OTHER)


def test_what_is_given_is_not_asked(init: Init, folder: Path) -> None:
    result = init(*GIVEN, typed="y\n")
    assert "Which to log" not in result.out
    assert "Who gets" not in result.out
    assert settings(folder).subnet_ids == (PUBLIC,)


def test_a_missing_region_is_asked_for(
    init: Init, account: ScriptedAccount, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions: dict[str | None, Any] = {None: type("Session", (), {"region_name": None}), REGION: account.session}
    monkeypatch.setattr("threatmon.aws.session.new_session", lambda _profile, region: sessions[region])
    result = init(*GIVEN, typed=f"{REGION}\ny\n")
    assert (result.code, result.out[:7]) == (0, "Region:")
    assert load(folder, "prod").region == REGION


@pytest.mark.parametrize("typed", ["n\n", ""])
def test_nothing_is_written_unless_it_is_confirmed(init: Init, folder: Path, typed: str) -> None:
    assert init(*GIVEN, typed=typed).code == 1
    assert files(folder) == []


def test_with_yes_it_is_written_without_a_question(init: Init, folder: Path) -> None:
    result = init(*GIVEN, "--yes", typed="")
    assert result.code == 0
    assert "?" not in result.out.partition("Wrote")[0]
    assert files(folder) == ["Pulumi.prod.yaml"]


# -- a file that is there ---------------------------------------------------------------------------------------------

BEFORE = f"""\
encryptionsalt: v1:abc=:v1:def
config:
  aws:region: eu-west-1
  aws:profile: mine
  aws:allowedAccountIds: ["{ACCOUNT}"]
  threat-monitor:subnetIds: [{PRIVATE}]
  threat-monitor:alerts: {{ accountAlias: "x" }}
"""


@pytest.fixture
def before(folder: Path, init: Init) -> Path:
    """A stack file that is there."""
    del init  # which begins without a file
    path = folder / "Pulumi.prod.yaml"
    path.write_text(BEFORE, encoding="utf-8")
    path.chmod(0o640)
    return path


def test_a_file_that_is_there_is_not_touched(init: Init, account: ScriptedAccount, before: Path) -> None:
    exists = "Pulumi.prod.yaml exists; --force replaces it, and shows what that changes.\n"
    assert init(*GIVEN, "--yes") == (2, "", exists)
    assert before.read_text(encoding="utf-8") == BEFORE
    assert account.calls == []


def test_with_force_it_shows_the_changes_and_asks(init: Init, before: Path, folder: Path) -> None:
    result = init(*GIVEN, "--force", typed="y\n")
    assert result.code == 0
    assert f"\n  -   threat-monitor:subnetIds: [{PRIVATE}]\n" in result.out
    assert f"\n  +     - {PUBLIC} # web" in result.out
    assert "Write Pulumi.prod.yaml? [y/N]:" in result.out
    assert "pulumi stack init prod   # unless it exists" in result.out
    assert result.err == "Warning: set before, and not in the new file: aws:profile, threat-monitor:alerts\n"
    assert settings(folder).subnet_ids == (PUBLIC,)
    assert files(folder) == [before.name]


def test_what_secrets_are_encrypted_with_and_the_mode_stay(init: Init, before: Path) -> None:
    init(*GIVEN, "--force", "--yes")
    assert "\nencryptionsalt: v1:abc=:v1:def\n" in before.read_text(encoding="utf-8")
    assert stat.S_IMODE(before.stat().st_mode) == 0o640


def test_it_is_replaced_only_if_that_is_confirmed(init: Init, before: Path) -> None:
    assert init(*GIVEN, "--force", typed="\n").code == 1
    needed = "so these options are required: --yes (it replaces Pulumi.prod.yaml).\n"
    assert init(*GIVEN, "--force").err == f"There is no dialogue (without a terminal), {needed}"
    assert before.read_text(encoding="utf-8") == BEFORE


def test_a_second_time_nothing_is_left_to_change(init: Init, folder: Path) -> None:
    init(*GIVEN)
    was = (folder / "Pulumi.prod.yaml").stat()
    result = init(*GIVEN, "--force", "--yes")
    assert (result.code, result.out.splitlines()[-1]) == (0, "Pulumi.prod.yaml is up to date already.")
    assert (folder / "Pulumi.prod.yaml").stat().st_ino == was.st_ino


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BEFORE.replace(ACCOUNT, OTHER_ACCOUNT), f"of account {ACCOUNT}, but Pulumi.prod.yaml allows {OTHER_ACCOUNT}"),
        (f"{BEFORE}\x7f", "Pulumi.prod.yaml: cannot be read"),
    ],
)
def test_a_file_of_another_account_or_that_is_no_yaml_is_not_replaced(
    init: Init, before: Path, text: str, said: str
) -> None:
    before.write_text(text, encoding="utf-8")
    result = init(*GIVEN, "--force", "--yes")
    assert result.code == 2
    assert said in result.err
    assert before.read_text(encoding="utf-8") == text


def test_a_file_that_cannot_be_written_leaves_nothing_behind(
    init: Init, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    assert init(*GIVEN).err == "Pulumi.prod.yaml cannot be written: No space left on device\n"
    assert files(folder) == []


def test_a_link_stays_one(init: Init, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    target = tmp_path_factory.mktemp("shared") / "prod.yaml"
    target.write_text("config: {}\n", encoding="utf-8")
    (folder / "Pulumi.prod.yaml").symlink_to(target)
    assert init(*GIVEN, "--force", "--yes").code == 0
    assert (folder / "Pulumi.prod.yaml").is_symlink()
    assert "threat-monitor:subnetIds" in target.read_text(encoding="utf-8")


# -- what AWS refuses -------------------------------------------------------------------------------------------------


def test_without_permission_for_the_detector_the_rest_is_written(
    init: Init, account: ScriptedAccount, folder: Path
) -> None:
    account.refuse("guardduty:ListDetectors", message="user x may not")
    missing = "Permission guardduty:ListDetectors is missing"
    assert init(*GIVEN)[::2] == (0, f"Warning: detectors could not be read. {missing}: user x may not\n")
    assert settings(folder).detector.mode == "create"
    written = (folder / "Pulumi.prod.yaml").read_text(encoding="utf-8")
    assert f"{missing}." in written
    assert "user x" not in written


@pytest.mark.parametrize("operation", ["GetDetector", "GetAdministratorAccount"])
def test_a_detector_that_cannot_be_read_whole_is_only_looked_up(
    init: Init, account: ScriptedAccount, folder: Path, operation: str
) -> None:
    detector(account)
    account.refuse(f"guardduty:{operation}")
    assert f"Permission guardduty:{operation} is missing" in init(*GIVEN).err
    found = settings(folder)
    assert (found.detector.mode, found.detector.id, found.protection_plans) == ("lookup", DETECTOR_ID, {})


@pytest.mark.parametrize("operation", ["DescribeVpcs", "DescribeFlowLogs", "DescribeRouteTables", "DescribeSubnets"])
def test_named_subnets_are_written_without_what_cannot_be_read_of_them(
    init: Init, account: ScriptedAccount, folder: Path, operation: str
) -> None:
    account.refuse(f"ec2:{operation}", "UnauthorizedOperation")
    result = init(*GIVEN)
    assert result.code == 0
    assert f"Permission ec2:{operation} is missing" in result.err
    assert settings(folder).subnet_ids == (PUBLIC,)


def test_if_flow_logs_cannot_be_read_nothing_is_chosen_by_default(init: Init, account: ScriptedAccount) -> None:
    account.refuse("ec2:DescribeFlowLogs", "UnauthorizedOperation")
    assert "Which to log (such as 2,4-6):" in init("--email", EMAIL, typed="1\ny\n").out


def test_without_networks_to_choose_from_the_missing_permissions_are_named(
    init: Init, account: ScriptedAccount
) -> None:
    nothing = f"There is no subnet or VPC to log in account {ACCOUNT}, {REGION}.\n"
    account.answer("ec2:DescribeSubnets", {"Subnets": []})
    account.answer("ec2:DescribeVpcs", {"Vpcs": []})
    assert init(typed="").err == nothing
    account.refuse("ec2:DescribeSubnets", "UnauthorizedOperation")
    account.refuse("ec2:DescribeVpcs", "UnauthorizedOperation")
    missing = [f"Permission ec2:Describe{what} is missing: no\n" for what in ("Subnets", "Vpcs")]
    assert init(typed="").err == "".join([*missing, nothing])


@pytest.mark.parametrize(
    ("action", "code", "said"),
    [
        ("sts:GetCallerIdentity", "ExpiredToken", "The AWS credentials have expired"),
        ("ec2:DescribeSubnets", "RequestLimitExceeded", "AWS still throttles ec2:DescribeSubnets after 8 attempts"),
    ],
)
def test_what_is_no_missing_permission_ends_it(
    init: Init, account: ScriptedAccount, folder: Path, action: str, code: str, said: str
) -> None:
    account.refuse(action, code)
    result = init(*GIVEN)
    assert (result.code, files(folder)) == (1, [])
    assert result.err.startswith(said)


@pytest.mark.parametrize(
    ("region", "near"), [("eu-wst-1", "; did you mean eu-west-1?"), ("moon-base-1", ""), ("eu-west-1\n", "; did")]
)
def test_a_region_that_does_not_exist_is_refused_before_any_call(
    init: Init, account: ScriptedAccount, region: str, near: str
) -> None:
    result = init(*GIVEN, "--region", region)
    assert result.code == 2
    assert result.err.startswith(f"--region: {region.strip()}")
    assert f" is not a Region that botocore knows{near}" in result.err
    assert account.calls == []


def test_an_unknown_profile_is_named(init: Init, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(profile: str, _: object) -> None:
        raise UsageError(f"aws:profile: The config profile ({profile}) could not be found")

    monkeypatch.setattr("threatmon.aws.session.new_session", unknown)
    said = "--profile: The config profile (nobody) could not be found\n"
    assert init(*GIVEN, "--profile", "nobody") == (2, "", said)


def test_it_calls_what_its_permissions_name(init: Init, account: ScriptedAccount) -> None:
    detector(account)
    assert init(*GIVEN).code == 0
    assert set(account.calls) == {*command.PERMISSIONS, "sts:GetCallerIdentity"}  # which needs no permission
