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
from threatmon.fleet.processes import ProcessRecords

REFUSAL = (
    "error: the stack is currently locked by 2 lock(s). Either wait for the other process(es) to end or delete the "
    "lock file with `pulumi cancel`.\n"
    "  file:///state/.pulumi/locks/dev/a.json: created by ada@laptop (pid 4711) at 2026-09-14T09:30:00Z\n"
    "  s3://state/.pulumi/locks/dev/b.json: created by runner@ci-7 (pid 12) at 2026-09-14T11:30:00+02:00"
)
HOUR = timedelta(hours=1)
needs_proc = pytest.mark.skipif(not Path("/proc/self").exists(), reason="nothing is proved without /proc")


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

    def __init__(self, refusal: str, records: ProcessRecords, times: int = 1) -> None:
        self.refusals = [refusal] * times
        self.records = records
        self.cleared = 0
        self.notes: list[str] = []
        self.said: list[str] = []

    def update(self) -> str:
        if self.refusals:
            raise ConcurrentUpdateError(CommandResult("", self.refusals.pop(), 255))
        return "updated"

    def clear(self) -> None:
        self.cleared += 1

    def result(self) -> str:
        return when_unlocked("dev", self.update, self.clear, self.notes, records=self.records, say=self.said.append)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(module, "_POLL_SECONDS", 30.0)
    return clock


@pytest.fixture
def records(tmp_path: Path) -> ProcessRecords:
    return ProcessRecords(tmp_path / "records")


@pytest.fixture
def ended(records: ProcessRecords) -> int:
    """The id of an engine that was started here, and runs no more."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        records.add(process.pid)
        process.wait()
    return process.pid


def refusal(pid: int, host: str | None = None, age: timedelta = timedelta()) -> str:
    return locked(host or socket.gethostname(), pid, age)


HELD = r"^Stack dev is locked: ada@\S+ \(process \d+\) since 20.* UTC\. If that run has ended, clear the lock: pulumi"


@needs_proc
def test_the_lock_of_an_engine_of_ours_that_is_gone_is_cleared_and_noted(
    clock: Clock, records: ProcessRecords, ended: int
) -> None:
    stack = LockedStack(refusal(ended), records)
    assert (stack.result(), stack.cleared, clock.waited) == ("updated", 1, 0)
    [note] = stack.notes
    assert note.startswith("cleared the lock of a run that had ended: ada@")
    assert f"(process {ended}) since 20" in note
    assert not records.is_gone(ended, datetime.now(UTC))  # it is forgotten with its lock


@pytest.mark.parametrize("case", ["of another machine", "of before", "of nobody that was started here", "of two"])
def test_any_other_lock_stays_and_its_holder_is_named_with_what_clears_it(
    clock: Clock, records: ProcessRecords, ended: int, case: str
) -> None:
    error = {
        "of another machine": refusal(ended, "ci-7"),
        "of before": refusal(ended, age=timedelta(hours=9)),
        "of nobody that was started here": refusal(4_000_000),
        "of two": f"{refusal(ended)}\n{refusal(4_000_000)}",
    }[case]
    stack = LockedStack(error, records)
    with pytest.raises(UsageError, match=HELD):
        stack.result()
    assert (stack.cleared, stack.notes, clock.waited) == (0, [], 0)


def test_another_container_with_the_same_host_name_and_process_id_is_not_taken_for_ours(
    records: ProcessRecords, ended: int
) -> None:
    for file in records.folder.iterdir():
        file.write_text(file.read_text().replace("pid:[", "pid:[9"), encoding="utf-8")
    stack = LockedStack(refusal(ended), records)
    with pytest.raises(UsageError, match=HELD):
        stack.result()
    assert stack.cleared == 0


def test_a_process_that_lives_is_waited_for_and_named_once(
    clock: Clock, records: ProcessRecords, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_is_engine", lambda pid: pid == 4711)
    stack = LockedStack(refusal(4711, age=9 * HOUR), records, times=3)
    assert (stack.result(), stack.cleared, stack.notes) == ("updated", 0, [])
    assert clock.waited > 0
    [said] = stack.said
    assert said.startswith("dev: waiting for ada@")
    assert "(process 4711) since 20" in said


@pytest.mark.parametrize(
    ("error", "holder"),
    [
        (refusal(4711), "ada@"),
        # A refusal that names nobody is repeated as it is.
        ("error: [409] Conflict: Another update is under way.", "[409] Conflict: Another update is under way."),
    ],
)
def test_nobody_is_waited_for_for_ever(
    clock: Clock, records: ProcessRecords, monkeypatch: pytest.MonkeyPatch, error: str, holder: str
) -> None:
    monkeypatch.setattr(module, "_is_engine", lambda pid: pid == 4711)
    stack = LockedStack(error, records, times=100)
    with pytest.raises(UsageError) as raised:
        stack.result()
    assert str(raised.value).startswith(f"Stack dev is locked: {holder}")
    assert 600 <= clock.waited <= 630  # seconds
    assert stack.cleared == 0


@needs_proc
def test_a_process_under_way_is_not_gone(records: ProcessRecords) -> None:
    with subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE) as process:
        records.add(process.pid)
        assert not records.is_gone(process.pid, datetime.now(UTC))
        process.communicate()
    assert records.is_gone(process.pid, datetime.now(UTC))
    records.remove(process.pid)
    assert not records.is_gone(process.pid, datetime.now(UTC))


def test_without_a_folder_to_write_to_nothing_is_recorded_or_proved() -> None:
    records = ProcessRecords(Path("/dev/null/engines"))
    records.add(1)
    assert not records.is_gone(1, datetime.now(UTC))


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
