"""The emulated account: its ARNs, its borders, and what may be put into it."""

import json
import os

import pytest
from examples import ACCOUNT, DETECTOR_ID, KEY_ARN, OTHER_ACCOUNT

from threatmon.emulator.account import EmulatedAccount

TRUST = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:AssumeRole"}]}'


def _arns(account: EmulatedAccount) -> list[str]:
    """Return one ARN of each service, from the answers of its API."""
    client = account.client
    client("logs").create_log_group(logGroupName="g")
    queue = client("sqs").create_queue(QueueName="q")["QueueUrl"]
    detector = client("guardduty").create_detector(Enable=True)["DetectorId"]
    client("cloudwatch").put_dashboard(DashboardName="d", DashboardBody="{}")
    return [
        client("cloudwatch").get_dashboard(DashboardName="d")["DashboardArn"],
        client("events").put_rule(Name="r", EventPattern='{"source":["s"]}')["RuleArn"],
        client("guardduty").get_detector(DetectorId=detector)["ServiceRole"],
        client("iam").create_role(RoleName="r", AssumeRolePolicyDocument=TRUST)["Role"]["Arn"],
        client("kms").create_key()["KeyMetadata"]["Arn"],
        client("logs").describe_log_groups()["logGroups"][0]["logGroupArn"],
        client("sns").create_topic(Name="t")["TopicArn"],
        client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]["QueueArn"],
        client("sts").get_caller_identity()["Arn"],
    ]


@pytest.mark.parametrize(
    ("region", "partition"), [("eu-west-1", "aws"), ("us-gov-west-1", "aws-us-gov"), ("cn-north-1", "aws-cn")]
)
def test_every_arn_carries_the_account_and_the_partition_of_the_region(region: str, partition: str) -> None:
    with EmulatedAccount(ACCOUNT, region) as account:
        arns = [arn.split(":") for arn in _arns(account)]
        assert {(arn[1], arn[4]) for arn in arns} == {(partition, ACCOUNT)}


def test_the_users_own_aws_settings_are_out_of_reach_inside_and_back_afterwards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mine = {
        "AWS_ACCESS_KEY_ID": "MINE",
        "AWS_PROFILE": "there-is-no-such-profile",
        "AWS_ENDPOINT_URL": "https://elsewhere.example",
        "MOTO_ACCOUNT_ID": "999999999999",
    }
    for name, value in mine.items():
        monkeypatch.setenv(name, value)
    before = dict(os.environ)
    with EmulatedAccount(ACCOUNT, "eu-west-1") as account:
        assert "MINE" not in os.environ.values()
        assert account.client("sts").get_caller_identity()["Account"] == ACCOUNT
    assert dict(os.environ) == before


def test_accounts_side_by_side_do_not_see_each_other(account: EmulatedAccount) -> None:
    account.client("sns").create_topic(Name="mine")
    with EmulatedAccount(OTHER_ACCOUNT, "eu-west-1") as other:
        assert other.client("sns").list_topics()["Topics"] == []
    assert len(account.client("sns").list_topics()["Topics"]) == 1


def test_nothing_is_left_in_an_account_opened_again() -> None:
    for _ in range(2):
        with EmulatedAccount(ACCOUNT, "eu-west-1") as account:
            assert account.client("sns").list_topics()["Topics"] == []
            account.client("sns").create_topic(Name="t")


def test_automatic_names_are_the_same_in_every_run_and_never_twice_the_same() -> None:
    accounts = [EmulatedAccount(ACCOUNT, "eu-west-1") for _ in range(2)]
    runs = [[account.automatic_name("topic") for _ in range(3)] for account in accounts]
    assert runs[0] == runs[1]
    assert len(set(runs[0])) == 3


# Seeding


def test_a_seeded_subnet_can_be_logged(account: EmulatedAccount) -> None:
    ids = ["subnet-0123456789abcdef0", "subnet-12345678"]
    for subnet_id in (*ids, ids[0]):
        account.seed_subnet(subnet_id)
    answer = account.client("ec2").create_flow_logs(
        ResourceIds=ids,
        ResourceType="Subnet",
        TrafficType="ALL",
        LogGroupName="g",
        DeliverLogsPermissionArn=f"arn:aws:iam::{ACCOUNT}:role/r",
    )
    assert len(answer["FlowLogIds"]) == 2
    assert answer["Unsuccessful"] == []


def test_a_seeded_subnet_is_in_the_vpc_that_it_is_given(account: EmulatedAccount) -> None:
    account.seed_subnet("subnet-12345678", "vpc-87654321")
    [subnet] = account.client("ec2").describe_subnets(SubnetIds=["subnet-12345678"])["Subnets"]
    assert subnet["VpcId"] == "vpc-87654321"
    assert subnet["AvailabilityZone"].startswith("eu-west-1")


def test_a_seeded_detector_answers_to_its_id(account: EmulatedAccount) -> None:
    account.seed_detector(DETECTOR_ID)
    account.seed_detector(DETECTOR_ID)
    guardduty = account.client("guardduty")
    assert guardduty.get_detector(DetectorId=DETECTOR_ID)["Status"] == "ENABLED"
    assert guardduty.list_detectors()["DetectorIds"] == [DETECTOR_ID]


def test_a_seeded_key_answers_to_its_arn_and_keeps_its_policy(account: EmulatedAccount) -> None:
    account.seed_key(KEY_ARN, policy='{"Version":"2012-10-17","Statement":[]}')
    kms = account.client("kms")
    assert kms.describe_key(KeyId=KEY_ARN)["KeyMetadata"]["Arn"] == KEY_ARN
    assert json.loads(kms.get_key_policy(KeyId=KEY_ARN, PolicyName="default")["Policy"])["Statement"] == []


# What moto does not have


def test_saved_queries_are_found_by_the_beginning_of_their_name(account: EmulatedAccount) -> None:
    logs = account.client("logs")
    for name in ("threats/talkers", "threats/ports", "other"):
        logs.put_query_definition(name=name, queryString="fields @message")
    found = logs.describe_query_definitions(queryDefinitionNamePrefix="threats/")["queryDefinitions"]
    assert [definition["name"] for definition in found] == ["threats/talkers", "threats/ports"]


def test_the_key_of_a_log_group_can_be_changed_and_taken_away(account: EmulatedAccount) -> None:
    logs = account.client("logs")
    logs.create_log_group(logGroupName="g")
    logs.associate_kms_key(logGroupName="g", kmsKeyId="arn:key")
    assert logs.describe_log_groups()["logGroups"][0]["kmsKeyId"] == "arn:key"
    logs.disassociate_kms_key(logGroupName="g")
    assert "kmsKeyId" not in logs.describe_log_groups()["logGroups"][0]


def test_subscribing_answers_pending_if_the_arn_is_not_asked_for(account: EmulatedAccount) -> None:
    sns = account.client("sns")
    topic = sns.create_topic(Name="t")["TopicArn"]
    answer = sns.subscribe(TopicArn=topic, Protocol="email", Endpoint="a@example.com")
    assert answer["SubscriptionArn"] == "pending confirmation"
    assert sns.list_subscriptions()["Subscriptions"][0]["SubscriptionArn"] == "PendingConfirmation"


def test_a_flow_log_without_its_group_or_role_cannot_deliver(account: EmulatedAccount) -> None:
    account.seed_subnet("subnet-12345678")
    ec2 = account.client("ec2")
    ec2.create_flow_logs(
        ResourceIds=["subnet-12345678"],
        ResourceType="Subnet",
        TrafficType="ALL",
        LogDestination=account.arn("logs", "log-group:none"),
        DeliverLogsPermissionArn=f"arn:aws:iam::{ACCOUNT}:role/none",
    )
    [flow_log] = ec2.describe_flow_logs()["FlowLogs"]
    assert (flow_log["DeliverLogsStatus"], flow_log["DeliverLogsErrorMessage"]) == ("FAILED", "Access error")
    assert flow_log["LogGroupName"] == "none"
