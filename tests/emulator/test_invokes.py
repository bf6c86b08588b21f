"""The provider functions, answered from the emulated account."""

from collections.abc import Iterator

import pytest

from threatmon.emulator.account import EmulatedAccount
from threatmon.emulator.invokes import InvokeError, UnknownInvokeError, invoke

ACCOUNT = "111122223333"
DETECTOR_ID = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def account() -> Iterator[EmulatedAccount]:
    with EmulatedAccount(ACCOUNT, "eu-west-1") as account:
        yield account


def test_the_caller_is_in_the_account(account: EmulatedAccount) -> None:
    answer = invoke(account, "aws:index/getCallerIdentity:getCallerIdentity", {})
    assert answer["accountId"] == answer["id"] == ACCOUNT
    assert ACCOUNT in answer["arn"]
    assert answer["userId"]


def test_the_region_has_a_name_a_description_and_an_endpoint(account: EmulatedAccount) -> None:
    assert invoke(account, "aws:index/getRegion:getRegion", {}) == {
        "id": "eu-west-1",
        "name": "eu-west-1",
        "region": "eu-west-1",
        "description": "Europe (Ireland)",
        "endpoint": "ec2.eu-west-1.amazonaws.com",
    }


@pytest.mark.parametrize(
    ("region", "partition", "suffix", "prefix"),
    [
        ("eu-west-1", "aws", "amazonaws.com", "com.amazonaws"),
        ("us-gov-west-1", "aws-us-gov", "amazonaws.com", "com.amazonaws"),
        ("cn-north-1", "aws-cn", "amazonaws.com.cn", "cn.com.amazonaws"),
    ],
)
def test_the_partition_is_that_of_the_region(region: str, partition: str, suffix: str, prefix: str) -> None:
    assert invoke(EmulatedAccount(ACCOUNT, region), "aws:index/getPartition:getPartition", {}) == {
        "id": partition,
        "partition": partition,
        "dnsSuffix": suffix,
        "reverseDnsPrefix": prefix,
    }


@pytest.mark.parametrize("args", [{}, {"id": DETECTOR_ID}], ids=["the only one", "by id"])
def test_a_detector_is_found(args: dict[str, str], account: EmulatedAccount) -> None:
    account.seed_detector(DETECTOR_ID)
    account.client("guardduty").update_detector(
        DetectorId=DETECTOR_ID,
        Features=[
            {
                "Name": "RUNTIME_MONITORING",
                "Status": "ENABLED",
                "AdditionalConfiguration": [{"Name": "EC2_AGENT_MANAGEMENT", "Status": "DISABLED"}],
            }
        ],
    )
    answer = invoke(account, "aws:guardduty/getDetector:getDetector", args)
    assert (answer["id"], answer["status"]) == (DETECTOR_ID, "ENABLED")
    assert answer["arn"] == f"arn:aws:guardduty:eu-west-1:{ACCOUNT}:detector/{DETECTOR_ID}"
    assert {
        "name": "RUNTIME_MONITORING",
        "status": "ENABLED",
        "additionalConfigurations": [{"name": "EC2_AGENT_MANAGEMENT", "status": "DISABLED"}],
    } in answer["features"]


def test_an_account_without_a_detector_says_so(account: EmulatedAccount) -> None:
    with pytest.raises(InvokeError, match="reading this account's single GuardDuty Detector: empty result"):
        invoke(account, "aws:guardduty/getDetector:getDetector", {})


def test_a_detector_that_does_not_exist_is_named(account: EmulatedAccount) -> None:
    account.seed_detector(DETECTOR_ID)
    with pytest.raises(InvokeError, match=rf"reading GuardDuty Detector \({'f' * 32}\): couldn't find resource"):
        invoke(account, "aws:guardduty/getDetector:getDetector", {"id": "f" * 32})


def test_an_unknown_function_is_named_with_what_to_add(account: EmulatedAccount) -> None:
    with pytest.raises(UnknownInvokeError, match="aws:ec2/getVpc:getVpc: not emulated; add it to INVOKES"):
        invoke(account, "aws:ec2/getVpc:getVpc", {})
