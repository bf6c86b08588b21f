"""A stack, deployed to an emulated account."""

import json
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from threatmon.emulator.account import EmulatedAccount
from threatmon.emulator.mocks import EmulatedMocks
from threatmon.emulator.program import ProgramRun, run_project
from threatmon.errors import UsageError
from threatmon.model import names
from threatmon.model.policies import key_policy
from threatmon.stacks.files import StackFile, file_name, settings_of
from threatmon.stacks.location import location_of

_ANY_ACCOUNT = "111122223333"
_ANY_DETECTOR = "12abc34d567e8fa901bc2d34e56789f0"


class Deployment(NamedTuple):
    """What ``up`` leaves behind: the account, and what the program registered and returned."""

    account: EmulatedAccount
    run: ProgramRun

    def confirm_subscriptions(self) -> None:
        """Confirm all subscriptions, as their readers do by the link in the first mail."""
        for arn in self.account.backend("sns").subscriptions:
            self.account.confirm_subscription(arn)


@contextmanager
def deployed(stack: StackFile) -> Generator[Deployment]:
    """Deploy the stack to an account of its own, which has what the stack file refers to, while the context is open.

    Raises :class:`threatmon.model.settings.ConfigFaults`, :class:`threatmon.errors.UsageError` if the stack file names
    no Region of AWS or malformed tags, and :class:`threatmon.emulator.constraints.ConstraintError` if AWS would refuse
    what the program registers.
    """
    settings, region = settings_of(stack), location_of(stack).region
    given: Any = stack.config.get("aws:defaultTags") or {}
    tags: Any = (given.get("tags") or {}) if isinstance(given, Mapping) else None
    if not isinstance(tags, Mapping):
        raise UsageError(f"{file_name(stack.name)}: aws:defaultTags: expected a map of names to values under `tags`")
    account_id = next(iter(stack.account_ids), _ANY_ACCOUNT)
    with EmulatedAccount(account_id, region, tags) as account:
        for vpc_id in settings.vpc_ids:
            account.seed_vpc(vpc_id)
        for subnet_id in settings.subnet_ids:
            account.seed_subnet(subnet_id)
        if settings.detector.mode != "create":
            account.seed_detector(settings.detector.id or _ANY_DETECTOR)
        if settings.alerts.kms_key_arn:
            policy = key_policy(account.location, names.log_groups(stack.name))
            account.seed_key(settings.alerts.kms_key_arn, json.dumps(policy))
        yield Deployment(account, run_project(stack.config, EmulatedMocks(account), stack=stack.name))
