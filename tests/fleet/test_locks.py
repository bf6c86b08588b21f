import socket
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fleet.fake_engine import locked
from pulumi.automation import CommandResult
from pulumi.automation.errors import ConcurrentUpdateError

from threatmon.errors import UsageError
from threatmon.fleet import locks as module
from threatmon.fleet.locks import Lock, locks, when_unlocked

REFUSAL = (
    "error: the stack is currently locked by 2 lock(s). Either wait for the other process(es) to end or delete the "
    "lock file with `pulumi cancel`.\n"
    "  file:///state/.pulumi/locks/dev/a.json: created by ada@laptop (pid 4711) at 2026-09-14T09:30:00Z\n"
    "  s3://state/.pulumi/locks/dev/b.json: created by runner@ci-7 (pid 12) at 2026-09-14T11:30:00+02:00"
)
HOUR = timedelta(hours=1)


def test_a_refusal_names_who_holds_the_locks() -> None:
    since = datetime(2026, 9, 14, 9, 30, tzinfo=UTC)
    assert locks(REFUSAL) == [Lock("ada", "laptop", 4711, since), Lock("runner", "ci-7", 12, since)]
    assert str(locks(REFUSAL)[0]) == "ada@laptop (process 4711) since 2026-09-14 09:30:00 UTC"


# -- waiting ----------------------------------------------------------------------------------------------------------


class Clock:
    """Time that passes only when somebody waits."""

    def __init__(self) -> None:
        self.waited = 0.0

    def monotonic(self) -> float:
        return self.waited

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.waited += seconds


class LockedStack:
    """A stack whose updates are refused so many times."""

    def __init__(self, refusal: str, times: int = 1) -> None:
        self.refusals = [refusal] * times
        self.cleared = 0
        self.notes: list[str] = []

    def update(self) -> str:
        if self.refusals:
            raise ConcurrentUpdateError(CommandResult("", self.refusals.pop(), 255))
        return "updated"

    def clear(self) -> None:
        self.cleared += 1

    def result(self, stale_after: timedelta = HOUR) -> str:
        return when_unlocked(self.update, self.clear, stale_after, self.notes)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(module, "_POLL_SECONDS", 30.0)
    return clock


def test_the_lock_of_a_process_that_is_gone_is_cleared_and_noted(clock: Clock) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    stack = LockedStack(locked(socket.gethostname(), process.pid))
    assert (stack.result(), stack.cleared, clock.waited) == ("updated", 1, 0)
    [note] = stack.notes
    assert note.startswith("cleared the lock of a run that had ended: ada@")
    assert f"(process {process.pid}) since 20" in note


def test_a_process_of_another_kind_that_has_got_the_number_since_holds_no_lock(clock: Clock) -> None:
    with subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE) as other:
        stack = LockedStack(locked(socket.gethostname(), other.pid))
        assert (stack.result(), stack.cleared, clock.waited) == ("updated", 1, 0)
        other.communicate()


@pytest.mark.parametrize(("minutes", "cleared"), [(29, False), (31, True)])
def test_the_lock_of_another_machine_is_respected_while_it_is_young_and_its_holder_named(
    clock: Clock, minutes: int, cleared: bool
) -> None:
    stack = LockedStack(locked("ci-7", 12, timedelta(minutes=minutes)))
    if cleared:
        assert stack.result(timedelta(minutes=30)) == "updated"
    else:
        with pytest.raises(
            UsageError, match=r"^somebody else is updating the stack: ada@ci-7 \(process 12\) since 20.* UTC$"
        ):
            stack.result(timedelta(minutes=30))
    assert (stack.cleared, len(stack.notes), clock.waited) == (cleared, cleared, 0)


def test_a_process_that_lives_is_waited_for_however_old_its_lock_is(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_is_engine", lambda pid: pid == 4711)
    stack = LockedStack(locked(socket.gethostname(), 4711, 9 * HOUR), times=3)
    assert (stack.result(), stack.cleared, stack.notes) == ("updated", 0, [])
    assert clock.waited > 0


@pytest.mark.parametrize(
    ("error", "holder"),
    [
        (locked(socket.gethostname(), 4711), "ada@"),
        # Of two locks one is held.
        (f"{locked(socket.gethostname(), 12)}\n{locked(socket.gethostname(), 4711)}", "ada@"),
        # A refusal that names nobody is repeated as it is.
        ("error: [409] Conflict: Another update is under way.", "[409] Conflict: Another update is under way."),
    ],
)
def test_nobody_is_waited_for_for_ever(clock: Clock, monkeypatch: pytest.MonkeyPatch, error: str, holder: str) -> None:
    monkeypatch.setattr(module, "_is_engine", lambda pid: pid == 4711)
    stack = LockedStack(error, times=100)
    with pytest.raises(UsageError) as raised:
        stack.result()
    assert str(raised.value).startswith(f"somebody else is updating the stack: {holder}")
    assert 600 <= clock.waited <= 630  # seconds
    assert stack.cleared == 0


def test_a_process_that_lives_is_seen_without_ps(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = tmp_path / "pulumi"
    script.write_text("#!/bin/sh\necho ready\nread it\n", encoding="utf-8")
    script.chmod(0o755)
    if Path("/proc/self").exists():
        monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    is_engine: Callable[[int], bool] = vars(module)["_is_engine"]
    with subprocess.Popen([script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as living:
        assert living.stdout
        assert living.stdout.readline() == b"ready\n"  # it has its name only when it runs
        assert is_engine(living.pid)
        living.communicate(b"go\n")
    assert not is_engine(living.pid)
