import json
from collections.abc import Callable
from typing import Any

import pulumi
import pulumi_aws as aws
import pytest

from threatmon.emulator.account import EmulatedAccount
from threatmon.emulator.constraints import ConstraintError
from threatmon.emulator.deployment import deployed
from threatmon.emulator.mocks import EmulatedMocks, NothingToImportError
from threatmon.emulator.program import ProgramRun, run_program
from threatmon.emulator.resources import UnknownResourceTypeError
from threatmon.project import ROOT as PROJECT_ROOT
from threatmon.stacks.files import StackFile, load

DEV = load(PROJECT_ROOT, "dev")


def changed(**changes: object) -> StackFile:
    return StackFile("dev", {**DEV.config, **{f"threat-monitor:{key}": value for key, value in changes.items()}})


def run(program: Callable[[], object]) -> ProgramRun:
    with EmulatedAccount("111122223333", "eu-west-1") as account:
        return run_program(program, {}, EmulatedMocks(account))


def test_the_account_holds_what_the_program_registered() -> None:
    with deployed(DEV) as (account, result):
        logs = account.client("ec2").describe_flow_logs()["FlowLogs"]
        assert {log["ResourceId"] for log in logs} == set(DEV.config["threat-monitor:subnetIds"])
        [group] = account.client("logs").describe_log_groups()["logGroups"]
        assert (group["logGroupName"], group["retentionInDays"]) == ("/threat-monitor/dev/flow-logs", 365)
        key = account.client("kms").describe_key(KeyId=group["kmsKeyId"])["KeyMetadata"]
        assert key["KeyManager"] == "CUSTOMER"
        assert {rule["Name"] for rule in account.client("events").list_rules()["Rules"]} == set(
            result.outputs["ruleNames"]
        )
        assert account.client("guardduty").list_detectors()["DetectorIds"] == [result.outputs["detectorId"]]
        assert result.outputs["topicArn"] == account.arn("sns", result.outputs["topicArn"].split(":")[-1])


def test_everything_that_takes_tags_carries_the_default_tags() -> None:
    wanted = {"project": "threat-monitor", "stack": "dev"}
    with deployed(DEV) as (account, result):
        topic = account.client("sns").list_tags_for_resource(ResourceArn=result.outputs["topicArn"])["Tags"]
        queue = account.client("sqs").list_queue_tags(QueueUrl=result.outputs["deadLetterQueueUrl"])["Tags"]
        detector = account.client("guardduty").get_detector(DetectorId=result.outputs["detectorId"])["Tags"]
        group = account.client("logs").list_tags_log_group(logGroupName=result.outputs["logGroupName"])["tags"]
        logs = [pairs(log["Tags"]) for log in account.client("ec2").describe_flow_logs()["FlowLogs"]]
        rules = [
            pairs(account.client("events").list_tags_for_resource(ResourceARN=rule["Arn"])["Tags"])
            for rule in account.client("events").list_rules()["Rules"]
        ]
        [role] = account.client("iam").list_roles()["Roles"]
        roles = [pairs(account.client("iam").list_role_tags(RoleName=role["RoleName"])["Tags"])]
        keys = [
            {
                tag["TagKey"]: tag["TagValue"]
                for tag in account.client("kms").list_resource_tags(KeyId=k["KeyId"])["Tags"]
            }
            for k in account.client("kms").list_keys()["Keys"]
        ]
        for tags in [pairs(topic), queue, detector, group, *logs, *rules, *roles, *keys]:
            assert tags == wanted


def pairs(tags: list[dict[str, str]]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in tags}


@pytest.mark.parametrize("mode", ["import", "lookup"])
def test_an_existing_detector_is_found_and_no_second_one_is_made(mode: str) -> None:
    detector_id = "0" * 31 + "7"
    with deployed(changed(detector={"mode": mode, "id": detector_id})) as (account, result):
        assert account.client("guardduty").list_detectors()["DetectorIds"] == [detector_id]
        assert result.outputs["detectorId"] == detector_id


def test_the_stacks_of_one_process_do_not_see_each_other() -> None:
    with deployed(DEV) as (_, first):
        names = set(first.outputs["ruleNames"])
    with deployed(changed(vpcIds=["vpc-0123456789abcdef0"])) as (account, second):
        assert len(account.client("events").list_rules()["Rules"]) == len(names)
        assert len(account.client("ec2").describe_flow_logs()["FlowLogs"]) == 3
        assert second.outputs.keys() == first.outputs.keys()


def test_an_unknown_resource_type_is_an_error_and_no_echo() -> None:
    with pytest.raises(UnknownResourceTypeError, match="aws:s3/bucket:Bucket"):
        run(lambda: aws.s3.Bucket("b"))


@pytest.mark.parametrize(
    ("program", "refusal"),
    [
        (lambda: aws.cloudwatch.EventRule("r", event_pattern='{"source": [{"prefx": "aws."}]}'), "prefx"),
        (lambda: aws.cloudwatch.EventRule("r", event_pattern=json.dumps({"source": ["x" * 2100]})), "quota is 2,048"),
        (lambda: aws.iam.Role("r", assume_role_policy='{"Statement": []}'), "r"),
        (lambda: aws.cloudwatch.LogGroup("g", name="/g", retention_in_days=366), "retention"),
        (lambda: [aws.guardduty.Detector("a"), aws.guardduty.Detector("b")], "already exists"),
    ],
    ids=["unknown operator", "pattern too long", "policy without version", "retention", "second detector"],
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
    with pytest.raises(NothingToImportError, match="does not exist"):
        run(lambda: aws.guardduty.Detector("d", opts=options))
