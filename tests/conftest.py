"""What holds for every test: no credentials, no config of the machine's, repeatable examples."""

import io
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple, Protocol

import pytest
from examples import ACCOUNT, REGION
from hypothesis import settings

if TYPE_CHECKING:
    from scripted_account import ScriptedAccount

# Slow machines are no fault; the same examples every time keep a red build red.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile("repeatable")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record", action="store_true", help="record again what the program registers")


@pytest.fixture(autouse=True)
def _hermetic(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("AWS_", "PULUMI_", "THREATMON_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("XDG_STATE_HOME", os.devnull)  # nothing is recorded there
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)


class CommandResult(NamedTuple):
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str


class RunCommand(Protocol):
    """Runs ``threatmon`` with these arguments, and this text or these bytes to read, from a terminal or not."""

    def __call__(self, *arguments: str, stdin: str | bytes = "", terminal: bool = False) -> CommandResult: ...


@pytest.fixture
def threatmon(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> RunCommand:
    """The command line, run in this process as its entry point runs it."""
    from threatmon.cli import main  # noqa: PLC0415 - most tests need no command

    def run(*arguments: str, stdin: str | bytes = "", terminal: bool = False) -> CommandResult:
        content = stdin if isinstance(stdin, bytes) else stdin.encode()
        monkeypatch.setattr(sys, "argv", ["threatmon", *arguments])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content), encoding="utf-8"))
        monkeypatch.setattr(sys.stdin, "isatty", lambda: terminal)
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return CommandResult(int(ended.value.code or 0), printed.out, printed.err)

    return run


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Iterator["ScriptedAccount"]:
    """An account without anything in it, which every profile gets to; see :class:`scripted_account.ScriptedAccount`."""
    from scripted_account import ScriptedAccount  # noqa: PLC0415 - most tests need no AWS

    from threatmon.emulator.account import EmulatedAccount  # noqa: PLC0415 - as above

    with EmulatedAccount(ACCOUNT, REGION) as account:
        scripted = ScriptedAccount(account)
        monkeypatch.setattr("threatmon.aws.session.new_session", lambda _profile, _region: scripted.session)
        yield scripted
