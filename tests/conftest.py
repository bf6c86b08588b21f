"""What holds for every test: no credentials, no config of the machine's, repeatable examples."""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from scripted_account import ScriptedAccount

# Slow machines are no fault; the same examples every time keep a red build red.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile("repeatable")


@pytest.fixture(autouse=True)
def _hermetic(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("AWS_", "PULUMI_", "THREATMON_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Iterator["ScriptedAccount"]:
    """An account without anything in it, which every profile gets to; see :class:`scripted_account.ScriptedAccount`."""
    from scripted_account import ScriptedAccount  # noqa: PLC0415 - most tests need no AWS

    from threatmon.local.account import EmulatedAccount  # noqa: PLC0415 - as above

    with EmulatedAccount("111122223333", "eu-west-1") as account:
        scripted = ScriptedAccount(account)
        monkeypatch.setattr("threatmon.aws.session.new_session", lambda _profile, _region: scripted.session)
        yield scripted
