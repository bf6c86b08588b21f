import re
import shlex
import subprocess
from typing import Any

import botocore.session
import pytest
from botocore import xform_name
from botocore.model import StructureShape

from threatmon.model.location import Location
from threatmon.model.settings import parse
from threatmon.verify.port_scan_plan import Plan, plan

SUBNETS = ["subnet-0123456789abcdef0", "subnet-0fedcba9876543210"]
MINIMAL = {"subnetIds": SUBNETS, "alertEmails": ["soc@example.com"]}
IRELAND = Location("111122223333", "eu-west-1", "aws", "amazonaws.com")

# What the AWS CLI takes beside the members of a call: its own options, and its short forms of a few members.
CLI_OPTIONS = {"query", "output"}
SHORT_FORMS = {
    "run-instances": {"count"},  # MinCount, MaxCount
    "authorize-security-group-ingress": {"protocol", "port", "source-group"},  # IpPermissions
}


def made(account: Location = IRELAND, profile: str | None = None, stack: str = "dev", **changes: Any) -> Plan:
    return plan(stack, parse(MINIMAL | changes)[0], account, profile)


def script(wanted: Plan) -> str:
    return "\n".join(command for step in wanted.steps for command in step.commands)


def calls(text: str) -> list[tuple[str, str, set[str]]]:
    """Service, operation and options of each call of the AWS CLI in a script."""
    without_json = re.sub(r'"\{.*?\}"', "JSON", text)
    words = [call.split() for call in re.findall(r"\baws ([a-z0-9]+ [a-z-]+ [^|\n]*?)(?=\baws |\n|$)", without_json)]
    return [(it[0], it[1], {word.removeprefix("--") for word in it if word.startswith("--")}) for it in words]


def members(service: str, operation: str) -> set[str]:
    """The options that the AWS CLI has for the members of an operation."""
    model = botocore.session.get_session().get_service_model(service)
    name = next(name for name in model.operation_names if xform_name(name, "-") == operation)
    shape = model.operation_model(name).input_shape
    assert isinstance(shape, StructureShape)
    return {xform_name(member, "-") for member in shape.members}


def test_the_script_is_bash() -> None:
    for wanted in (made(), made(profile="it's mine"), made(subnetIds=[], vpcIds=["vpc-0123456789abcdef0"])):
        checked = subprocess.run(["bash", "-n"], input=script(wanted), text=True, capture_output=True, check=False)  # noqa: S607
        assert (checked.returncode, checked.stderr) == (0, "")


def test_each_command_names_an_operation_and_options_that_aws_has() -> None:
    found = calls(script(made(vpcIds=["vpc-0123456789abcdef0"])))
    assert ("ec2", "run-instances") in {call[:2] for call in found}
    for service, operation, options in found:
        if operation == "wait":
            continue
        known = members(service, operation) | CLI_OPTIONS | SHORT_FORMS.get(operation, set())
        assert options, (service, operation)
        assert options <= known, (service, operation)


def test_the_waits_are_ones_that_aws_has() -> None:
    waiters = botocore.session.get_session().get_waiter_model("ec2").waiter_names
    waits = re.findall(r"aws ec2 wait ([a-z-]+) --instance-ids ", script(made()))
    assert waits == ["instance-status-ok", "instance-terminated"]
    assert set(waits) <= {xform_name(name, "-") for name in waiters}


def test_what_is_made_is_unmade() -> None:
    done = [operation for _, operation, _ in calls(script(made()))]
    for make, unmake in {
        "create-role": "delete-role",
        "attach-role-policy": "detach-role-policy",
        "create-instance-profile": "delete-instance-profile",
        "add-role-to-instance-profile": "remove-role-from-instance-profile",
        "create-security-group": "delete-security-group",
        "run-instances": "terminate-instances",
    }.items():
        assert done.index(make) < done.index(unmake), make
    assert {name.partition("-")[0] for name in done} <= {
        *("add", "attach", "authorize", "create", "delete", "describe", "detach", "get", "list"),
        *("remove", "run", "start", "terminate", "wait"),
    }


def test_the_clean_up_needs_nothing_of_the_steps_before() -> None:
    last = made().steps[-1].commands
    assigned: set[str] = set()
    for command in last:
        used = set(re.findall(r"\$([A-Z]\w*)", command))
        assert used <= assigned
        assigned |= set(re.findall(r"^([A-Z]\w*)=", command))
    assert {"IDS", "SG", "POLICY"} <= assigned


def test_every_variable_is_set_before_it_is_used() -> None:
    assigned: set[str] = set()
    for command in script(made()).splitlines():
        assert set(re.findall(r"\$([A-Z]\w*)", command)) <= assigned, command
        assigned |= set(re.findall(r"(?:^|\) )([A-Z][A-Z_]*)=", command))


def test_it_scans_the_instance_it_made_in_the_first_subnet_and_nothing_else() -> None:
    text = script(made())
    assert f"SUBNET={SUBNETS[0]}\n" in text
    assert SUBNETS[1] not in text
    assert len(re.findall(r"nmap -Pn -sT --max-rate 100 -p 1-1000 \$TARGET_IP", text)) == 1
    assert text.count("nmap ") == 1
    assert '--subnet-id "$SUBNET"' in text
    assert not re.search(r"\d+\.\d+\.\d+\.\d+", text)
    assert "PublicIpAddress" not in text
    assert "0.0.0.0" not in text  # noqa: S104 - its absence


def test_a_stack_of_vpcs_takes_a_subnet_of_the_first() -> None:
    text = script(made(subnetIds=[], vpcIds=["vpc-0123456789abcdef0"]))
    assert "SUBNET=$(aws ec2 describe-subnets --filters Name=vpc-id,Values=vpc-0123456789abcdef0 " in text


def test_the_stacks_own_names_are_filled_in() -> None:
    text = script(made(detector={"mode": "lookup", "id": "0" * 32}, stack="prod"))
    assert "export AWS_REGION=eu-west-1\n" in text
    assert " = 111122223333 ] || " in text
    assert "--log-group-name /threat-monitor/prod/flow-logs " in text
    assert f"DETECTOR={'0' * 32}\n" in text
    assert "threatmon explain finding.json --stack prod\n" in text
    assert "AWS_PROFILE=prod" not in text


def test_a_stack_that_allows_any_account_has_no_account_to_check() -> None:
    text = script(made(Location("", "eu-west-1", "aws", "amazonaws.com")))
    assert "get-caller-identity" not in text


def test_another_account_stops_every_later_command(tmp_path: Any) -> None:
    fake = tmp_path / "aws"
    fake.write_text("#!/bin/sh\necho 999988887777\n", encoding="utf-8")
    fake.chmod(0o755)
    [check] = [command for command in made().steps[0].commands if "get-caller-identity" in command]
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    ran = subprocess.run(
        ["bash", "-c", f'{check}\necho "profile: $AWS_PROFILE"'],  # noqa: S607
        env=environment,
        text=True,
        capture_output=True,
        check=False,
    )
    assert ran.stdout.splitlines() == ["STOP: another account. Open a new shell.", "profile: another-account"]


def test_a_profile_and_names_of_any_kind_reach_the_shell_as_they_are() -> None:
    commands = made(profile="it's $HOME", stack="a b").steps
    [export] = [command for command in commands[0].commands if command.startswith("export AWS_PROFILE=")]
    assert shlex.split(export) == ["export", "AWS_PROFILE=it's $HOME"]
    assert "threatmon explain finding.json --stack 'a b'" in commands[3].commands


@pytest.mark.parametrize(
    ("partition", "suffix"), [("aws", "amazonaws.com"), ("aws-us-gov", "amazonaws.com"), ("aws-cn", "amazonaws.com.cn")]
)
def test_the_role_is_of_the_stacks_partition(partition: str, suffix: str) -> None:
    text = script(made(Location("111122223333", "x", partition, suffix)))
    assert f"arn:{partition}:iam::aws:policy/AmazonSSMManagedInstanceCore" in text
    assert f'"ec2.{suffix}"' in text


def test_permission_ownership_and_awss_policy_are_asked_for_before_anything_is_made() -> None:
    wanted = made()
    assert "agreed in writing" in wanted.before[0]
    assert "111122223333" in wanted.before[0]
    assert "https://aws.amazon.com/security/penetration-testing/" in wanted.safety[0]
    assert "your own instances" in wanted.safety[1]
    assert wanted.stop


def test_it_says_what_to_expect_when() -> None:
    expected = {moment.when: moment.what for moment in made().expect}
    assert expected["within about 10 minutes"] == "flow-log records in /threat-monitor/dev/flow-logs"
    assert "Recon:EC2/Portscan" in expected["after 5 to 30 minutes, at times later"]
    assert expected["within minutes of the finding"] == "the mail, by the rule medium, to soc@example.com"
    assert expected["on a second scan"].endswith("at most every six hours")


def test_settings_that_hold_a_mail_or_a_record_back_are_named() -> None:
    wanted = made(
        findingTypes=["Policy:S3/*"],
        flowLogs={"trafficType": "REJECT", "aggregationSeconds": 600},
        findingPublishingFrequency="ONE_HOUR",
    )
    expected = {moment.when: moment.what for moment in wanted.expect}
    assert expected["within about 20 minutes"].endswith("(only REJECT is recorded)")
    assert expected["within minutes of the finding"].startswith("no mail, because this stack does not alert on it: ")
    assert expected["on a second scan"].endswith("every hour")


def test_dropping_samples_does_not_hold_back_the_mail_of_a_real_scan() -> None:
    wanted = made(alerts={"includeSamples": False})
    assert any(moment.what.startswith("the mail, by the rule medium") for moment in wanted.expect)
