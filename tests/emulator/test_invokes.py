"""The provider functions, answered from the emulated account."""

import pytest
from examples import ACCOUNT, DETECTOR_ID

from threatmon.emulator.account import EmulatedAccount
from threatmon.emulator.emulated import NotEmulatedError
from threatmon.emulator.invokes import InvokeError, invoke

GET_DETECTOR = "aws:guardduty/getDetector:getDetector"


def test_account_region_and_partition_are_those_of_the_account() -> None:
    account = EmulatedAccount(ACCOUNT, "cn-north-1")
    assert invoke(account, "aws:index/getCallerIdentity:getCallerIdentity", {})["accountId"] == ACCOUNT
    assert invoke(account, "aws:index/getRegion:getRegion", {})["region"] == "cn-north-1"
    answer = invoke(account, "aws:index/getPartition:getPartition", {})
    assert (answer["partition"], answer["dnsSuffix"]) == ("aws-cn", "amazonaws.com.cn")


@pytest.mark.parametrize("args", [{}, {"id": DETECTOR_ID}], ids=["the only one", "by id"])
def test_a_detector_is_found(args: dict[str, str], account: EmulatedAccount) -> None:
    account.seed_detector(DETECTOR_ID)
    assert invoke(account, GET_DETECTOR, args) == {"id": DETECTOR_ID, "status": "ENABLED"}


def test_an_account_without_a_detector_says_so(account: EmulatedAccount) -> None:
    with pytest.raises(InvokeError, match="reading this account's single GuardDuty Detector: empty result"):
        invoke(account, GET_DETECTOR, {})


def test_a_detector_that_does_not_exist_is_named(account: EmulatedAccount) -> None:
    account.seed_detector(DETECTOR_ID)
    with pytest.raises(InvokeError, match=rf"reading GuardDuty Detector \({'f' * 32}\): couldn't find resource"):
        invoke(account, GET_DETECTOR, {"id": "f" * 32})


def test_an_unknown_function_is_named_with_what_to_add(account: EmulatedAccount) -> None:
    with pytest.raises(NotEmulatedError, match="aws:ec2/getVpc:getVpc: not emulated; add it to INVOKES"):
        invoke(account, "aws:ec2/getVpc:getVpc", {})
