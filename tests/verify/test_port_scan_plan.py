import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore import xform_name
from botocore.model import StructureShape
from examples import ACCOUNT, EMAIL, OTHER_SUBNET, REGION, SUBNET, VPC

from threatmon.model.location import Location
from threatmon.model.settings import parse
from threatmon.verify.port_scan_plan import text, values_of

IRELAND = Location(ACCOUNT, REGION, "aws", "amazonaws.com")

# What the AWS CLI takes beside the members of a call: its own options, and its short forms of a few members.
CLI_OPTIONS = {"query", "output"}
SHORT_FORMS = {
    "run-instances": {"count"},  # MinCount, MaxCount
    "authorize-security-group-ingress": {"protocol", "port", "source-group"},  # IpPermissions
}


def plan(account: Location = IRELAND, profile: str | None = None, stack: str = "dev", **changes: Any) -> str:
    settings, _ = parse({"subnetIds": [SUBNET, OTHER_SUBNET], "alertEmails": [EMAIL], **changes})
    return text(values_of(stack, settings, account, profile))


def expected(wanted: str) -> dict[str, str]:
    """What to expect, by when."""
    lines = wanted.partition("# What to expect")[2].splitlines()[1:]
    return dict(line.removeprefix("# - ").split(": ", 1) for line in lines)


def calls(wanted: str) -> list[tuple[str, str, set[str]]]:
    """Service, operation and options of each call of the AWS CLI."""
    commands = re.sub(r"^#.*\n", "", re.sub(r'"\{.*?\}"', "JSON", wanted), flags=re.MULTILINE)
    words = [call.split() for call in re.findall(r"\baws ([a-z0-9]+ [a-z-]+ [^|\n]*?)(?=\baws |\n|$)", commands)]
    return [(call[0], call[1], {word[2:] for word in call if word.startswith("--")}) for call in words]


def members(service: str, operation: str) -> set[str]:
    """The options that the AWS CLI has for the members of an operation."""
    model = botocore.session.get_session().get_service_model(service)
    name = next(name for name in model.operation_names if xform_name(name, "-") == operation)
    shape = model.operation_model(name).input_shape
    assert isinstance(shape, StructureShape)
    return {xform_name(member, "-") for member in shape.members}


def step(wanted: str, number: int) -> str:
    return wanted.partition(f"\n# {number}. ")[2].partition("\n\n")[0]


@pytest.mark.parametrize(
    "wanted", [plan(), plan(profile="it's mine"), plan(subnetIds=[], vpcIds=[VPC])], ids=["plain", "profile", "VPC"]
)
def test_the_plan_is_bash(wanted: str) -> None:
    checked = subprocess.run(["bash", "-n"], input=wanted, text=True, capture_output=True, check=False)  # noqa: S607
    assert (checked.returncode, checked.stderr) == (0, "")
    assert "@{" not in wanted


def test_each_command_names_an_operation_and_options_that_aws_has() -> None:
    found = calls(plan(subnetIds=[], vpcIds=[VPC]))
    assert ("ec2", "run-instances") in {call[:2] for call in found}
    for service, operation, options in found:
        if operation == "wait":
            continue
        known = members(service, operation) | CLI_OPTIONS | SHORT_FORMS.get(operation, set())
        assert options, (service, operation)
        assert options <= known, (service, operation)


def test_the_waits_are_ones_that_aws_has() -> None:
    waiters = botocore.session.get_session().get_waiter_model("ec2").waiter_names
    waits = re.findall(r"aws ec2 wait ([a-z-]+) --instance-ids ", plan())
    assert waits == ["instance-status-ok", "instance-terminated"]
    assert set(waits) <= {xform_name(name, "-") for name in waiters}


def test_what_is_made_is_unmade_and_has_one_name() -> None:
    done = [operation for _, operation, _ in calls(plan())]
    for make, unmake in {
        "create-role": "delete-role",
        "attach-role-policy": "detach-role-policy",
        "create-instance-profile": "delete-instance-profile",
        "add-role-to-instance-profile": "remove-role-from-instance-profile",
        "create-security-group": "delete-security-group",
        "run-instances": "terminate-instances",
    }.items():
        assert done.index(make) < done.index(unmake), make
    named = re.findall(r"--(?:role|instance-profile|group)-name (\S+)|Values?=([\w-]+)", plan())
    assert {"".join(name) for name in named} == {"threat-monitor-port-scan-test"}


def test_every_variable_is_set_before_it_is_used_and_the_clean_up_needs_none_of_before() -> None:
    for commands in (plan(), step(plan(), 5)):
        assigned: set[str] = {"AWS_PROFILE"}
        for line in commands.splitlines():
            assert set(re.findall(r"\$([A-Z]\w*)", line)) <= assigned, line
            assigned |= set(re.findall(r"(?:^|\) )([A-Z][A-Z_]*)=", line))
        assert {"IDS", "SG", "POLICY"} <= assigned


def test_it_scans_the_instance_it_made_in_the_first_subnet_and_nothing_else() -> None:
    wanted = plan()
    assert f"\nSUBNET={SUBNET}\n" in wanted
    assert OTHER_SUBNET not in wanted
    assert re.findall(r"nmap -[^\\]*", wanted) == ["nmap -Pn -sT --max-rate 100 -p 1-1000 $TARGET_IP"]
    assert '--subnet-id "$SUBNET"' in wanted
    assert not re.search(r"\d+\.\d+\.\d+\.\d+", wanted)
    assert "PublicIpAddress" not in wanted


def test_a_stack_of_vpcs_takes_a_subnet_of_the_first() -> None:
    wanted = plan(subnetIds=[], vpcIds=[VPC])
    assert f"SUBNET=$(aws ec2 describe-subnets --filters Name=vpc-id,Values={VPC} " in wanted


def test_the_stacks_own_names_are_filled_in() -> None:
    wanted = plan(detector={"mode": "lookup", "id": "0" * 32}, stack="prod")
    for filled in (
        "export AWS_REGION=eu-west-1\n",
        f" = {ACCOUNT} ] || ",
        "--log-group-name /threat-monitor/prod/flow-logs ",
        f"DETECTOR={'0' * 32}\n",
        "threatmon explain finding.json --stack prod\n",
    ):
        assert filled in wanted
    assert "AWS_PROFILE=prod" not in wanted


def test_a_stack_that_allows_any_account_has_no_account_to_check() -> None:
    assert "get-caller-identity" not in plan(Location("", REGION, "aws", "amazonaws.com"))


def test_another_account_stops_every_later_command(tmp_path: Path) -> None:
    fake = tmp_path / "aws"
    fake.write_text("#!/bin/sh\necho 999988887777\n", encoding="utf-8")
    fake.chmod(0o755)
    check = next(line for line in plan().splitlines() if "get-caller-identity" in line)
    ran = subprocess.run(
        ["bash", "-c", f'{check}\necho "profile: $AWS_PROFILE"'],  # noqa: S607
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        text=True,
        capture_output=True,
        check=False,
    )
    assert ran.stdout.splitlines() == ["STOP: another account. Open a new shell.", "profile: another-account"]


def test_a_profile_and_names_of_any_kind_reach_the_shell_as_they_are() -> None:
    wanted = plan(profile="it's $HOME", stack="a b")
    export = next(line for line in wanted.splitlines() if line.startswith("export AWS_PROFILE="))
    assert shlex.split(export) == ["export", "AWS_PROFILE=it's $HOME"]
    assert "\nthreatmon explain finding.json --stack 'a b'\n" in wanted
    assert "--log-group-name '/threat-monitor/a b/flow-logs' " in wanted


@pytest.mark.parametrize(
    ("partition", "suffix"), [("aws", "amazonaws.com"), ("aws-us-gov", "amazonaws.com"), ("aws-cn", "amazonaws.com.cn")]
)
def test_the_role_is_of_the_stacks_partition(partition: str, suffix: str) -> None:
    wanted = plan(Location(ACCOUNT, "x", partition, suffix))
    assert f"arn:{partition}:iam::aws:policy/AmazonSSMManagedInstanceCore" in wanted
    assert f'"ec2.{suffix}"' in wanted


def test_agreement_awss_policy_and_when_to_stop_come_before_anything_is_made() -> None:
    before, _, _ = plan().partition("\n# 1. ")
    for said in (
        f"The owner of account {ACCOUNT} has agreed in writing",
        "https://aws.amazon.com/security/penetration-testing/",
        "Scan only your own instances",
        "# Stop if:\n# - the account check of step 1 prints STOP",
    ):
        assert said in before
    assert all(line.startswith("#") for line in before.splitlines())


def test_it_says_what_to_expect_when() -> None:
    found = expected(plan())
    assert found["within about 10 minutes"] == "flow-log records in /threat-monitor/dev/flow-logs"
    assert found["after 5 to 30 minutes, at times later"] == "the finding Recon:EC2/Portscan, of medium severity"
    assert found["within minutes of the finding"] == f"the mail, by the rule findings, to {EMAIL}"
    assert found["on a second scan"].endswith("at most every six hours")


def test_settings_that_hold_a_mail_or_a_record_back_are_named() -> None:
    found = expected(
        plan(
            findingTypes=["Policy:S3/*"],
            flowLogs={"trafficType": "REJECT", "aggregationSeconds": 600},
            findingPublishingFrequency="ONE_HOUR",
        )
    )
    assert found["within about 20 minutes"].endswith("(only REJECT is recorded)")
    assert found["within minutes of the finding"].startswith("no mail, because this stack does not alert on it: ")
    assert found["on a second scan"].endswith("every hour")


def test_dropping_samples_does_not_hold_back_the_mail_of_a_real_scan() -> None:
    found = expected(plan(alerts={"includeSamples": False}))
    assert found["within minutes of the finding"].startswith("the mail, by the rule findings")
