from collections.abc import Callable, Iterator
from typing import Any

import pulumi
import pulumi_aws as aws
import pytest
from examples import ACCOUNT

from threatmon.emulator.account import EmulatedAccount
from threatmon.emulator.constraints import ConstraintError
from threatmon.emulator.deployment import Deployment, deployed
from threatmon.emulator.emulated import MissingResourceError, NotEmulatedError
from threatmon.emulator.mocks import EmulatedMocks
from threatmon.emulator.program import ProgramRun, run_program
from threatmon.errors import UsageError
from threatmon.project import ROOT as PROJECT_ROOT
from threatmon.stacks.files import StackFile, load

DEV = load(PROJECT_ROOT, "dev")


def changed(**changes: object) -> StackFile:
    return StackFile("dev", {**DEV.config, **{f"threat-monitor:{key}": value for key, value in changes.items()}})


def run(program: Callable[[], object]) -> ProgramRun:
    with EmulatedAccount(ACCOUNT, "eu-west-1") as account:
        return run_program(program, {}, EmulatedMocks(account))


@pytest.fixture
def dev() -> Iterator[Deployment]:
    with deployed(DEV) as deployment:
        yield deployment


def test_the_account_holds_what_the_program_registered(dev: Deployment) -> None:
    account, result = dev
    logs = account.client("ec2").describe_flow_logs()["FlowLogs"]
    assert {log["ResourceId"] for log in logs} == set(DEV.config["threat-monitor:subnetIds"])
    groups = account.client("logs").describe_log_groups()["logGroups"]
    [group] = [group for group in groups if group["logGroupName"] == "/threat-monitor/dev/flow-logs"]
    assert group["retentionInDays"] == 365
    key = account.client("kms").describe_key(KeyId=group["kmsKeyId"])["KeyMetadata"]
    assert key["KeyManager"] == "CUSTOMER"
    rules = account.client("events").list_rules()["Rules"]
    assert {rule["Name"] for rule in rules} == set(result.outputs["ruleNames"])
    assert account.client("guardduty").list_detectors()["DetectorIds"] == [result.outputs["detectorId"]]
    [machine] = account.client("stepfunctions").list_state_machines()["stateMachines"]
    assert (machine["stateMachineArn"], machine["type"]) == (result.outputs["stateMachineArn"], "STANDARD")
    assert result.outputs["topicArn"] == account.arn("sns", result.outputs["topicArn"].split(":")[-1])


def test_everything_that_takes_tags_carries_the_default_tags(dev: Deployment) -> None:
    account, result = dev
    events, iam, kms, machines = (account.client(service) for service in ("events", "iam", "kms", "stepfunctions"))
    tags = [
        pairs(account.client("sns").list_tags_for_resource(ResourceArn=result.outputs["topicArn"])["Tags"]),
        account.client("sqs").list_queue_tags(QueueUrl=result.outputs["deadLetterQueueUrl"])["Tags"],
        account.client("guardduty").get_detector(DetectorId=result.outputs["detectorId"])["Tags"],
        account.client("logs").list_tags_log_group(logGroupName=result.outputs["logGroupName"])["tags"],
        *(
            {tag["key"]: tag["value"] for tag in machines.list_tags_for_resource(resourceArn=arn)["tags"]}
            for arn in [result.outputs["stateMachineArn"]]
        ),
        *(pairs(log["Tags"]) for log in account.client("ec2").describe_flow_logs()["FlowLogs"]),
        *(
            pairs(events.list_tags_for_resource(ResourceARN=rule["Arn"])["Tags"])
            for rule in events.list_rules()["Rules"]
        ),
        *(pairs(iam.list_role_tags(RoleName=role["RoleName"])["Tags"]) for role in iam.list_roles()["Roles"]),
        *(pairs(kms.list_resource_tags(KeyId=key["KeyId"])["Tags"], "Tag") for key in kms.list_keys()["Keys"]),
    ]
    default = {"project": "threat-monitor", "stack": "dev"}
    assert len(tags) == 12
    assert all(default.items() <= found.items() for found in tags)


def pairs(tags: list[dict[str, str]], prefix: str = "") -> dict[str, str]:
    return {tag[f"{prefix}Key"]: tag[f"{prefix}Value"] for tag in tags}


@pytest.mark.parametrize("mode", ["import", "lookup"])
def test_an_existing_detector_is_found_and_no_second_one_is_made(mode: str) -> None:
    detector_id = "0" * 31 + "7"
    with deployed(changed(detector={"mode": mode, "id": detector_id})) as (account, result):
        assert account.client("guardduty").list_detectors()["DetectorIds"] == [detector_id]
        assert result.outputs["detectorId"] == detector_id


def test_a_stack_of_no_region_of_aws_is_refused() -> None:
    with (
        pytest.raises(UsageError, match="nowhere is not a Region of AWS"),
        deployed(StackFile("dev", {**DEV.config, "aws:region": "nowhere"})),
    ):
        pass


def test_an_unknown_resource_type_is_an_error_and_no_echo() -> None:
    with pytest.raises(NotEmulatedError, match="aws:s3/bucket:Bucket"):
        run(lambda: aws.s3.Bucket("b"))


@pytest.mark.parametrize(
    ("program", "refusal"),
    [
        (lambda: aws.cloudwatch.EventRule("r", event_pattern='{"source": [{"prefx": "aws."}]}'), "prefx"),
        (lambda: aws.iam.Role("r", assume_role_policy='{"Statement": []}'), "Syntax errors in policy"),
        (lambda: aws.cloudwatch.LogGroup("g", name="/g", retention_in_days=366), "retention"),
    ],
    ids=["unknown operator", "policy without statements", "retention"],
)
def test_what_aws_would_refuse_is_refused_here(program: Callable[[], Any], refusal: str) -> None:
    with pytest.raises(Exception, match=refusal) as error:
        run(program)
    assert _caused_by_a_constraint(error.value)


def _caused_by_a_constraint(error: BaseException | None) -> bool:
    while error is not None and not isinstance(error, ConstraintError):
        error = error.__cause__ or error.__context__
    return error is not None


def test_what_is_imported_has_to_exist() -> None:
    options = pulumi.ResourceOptions(import_="0" * 32)
    with pytest.raises(MissingResourceError, match="does not exist"):
        run(lambda: aws.guardduty.Detector("d", opts=options))
