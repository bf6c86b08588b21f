from collections.abc import Iterator

import pytest
from examples import ACCOUNT, REGION

from threatmon.emulator.account import EmulatedAccount


@pytest.fixture
def account() -> Iterator[EmulatedAccount]:
    """An account without anything in it."""
    with EmulatedAccount(ACCOUNT, REGION) as account:
        yield account
