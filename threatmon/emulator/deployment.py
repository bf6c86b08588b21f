"""A stack, deployed to an emulated account."""

import json
from collections.abc import Generator
from contextlib import contextmanager
from typing import NamedTuple

from threatmon.emulator.account import EmulatedAccount
from threatmon.emulator.mocks import EmulatedMocks
from threatmon.emulator.program import ProgramRun, run_project
from threatmon.model import names, settings
from threatmon.model.location import Location
from threatmon.model.policies import key_policy
from threatmon.stacks.files import StackFile, StackFileError

_ANY_ACCOUNT = "111122223333"
_ANY_DETECTOR = "12abc34d567e8fa901bc2d34e56789f0"


class Deployment(NamedTuple):
    """What ``up`` leaves behind: the account, and what the program registered and put out."""

    account: EmulatedAccount
    run: ProgramRun


@contextmanager
def deployed(stack: StackFile) -> Generator[Deployment]:
    """The stack in an account of its own, which has what the stack file refers to; gone when the context closes.

    Raises :class:`threatmon.model.settings.ConfigFaults`, :class:`threatmon.stacks.files.StackFileError`, and
    :class:`threatmon.emulator.constraints.ConstraintError` where AWS would refuse what the program asks for.
    """
    wanted, _ = settings.parse(stack.own_config, stack.name)
    if not stack.region:
        raise StackFileError(
            f"Pulumi.{stack.name}.yaml: aws:region is not set; run `pulumi config set aws:region <region>`"
        )
    tags = (stack.config.get("aws:defaultTags") or {}).get("tags") or {}
    account_id = next(iter(stack.account_ids), _ANY_ACCOUNT)
    with EmulatedAccount(account_id, stack.region, tags) as account:
        _seed(account, wanted, stack.name)
        yield Deployment(account, run_project(stack.config, EmulatedMocks(account), stack=stack.name))


def _seed(account: EmulatedAccount, wanted: settings.Settings, stack: str) -> None:
    """Puts into the account what the stack expects to find there."""
    for vpc_id in wanted.vpc_ids:
        account.seed_vpc(vpc_id)
    for subnet_id in wanted.subnet_ids:
        account.seed_subnet(subnet_id)
    if wanted.detector.mode != "create":
        account.seed_detector(wanted.detector.id or _ANY_DETECTOR)
    if wanted.alerts.kms_key_arn:
        place = Location(account.account_id, account.region, account.partition, account.dns_suffix)
        account.seed_key(wanted.alerts.kms_key_arn, json.dumps(key_policy(place, names.log_group(stack))))
