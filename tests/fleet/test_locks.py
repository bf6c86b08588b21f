from datetime import UTC, datetime, timedelta

import pytest

from threatmon.fleet.locks import Lock, locks, may_clear

REFUSAL = (
    "error: the stack is currently locked by 2 lock(s). Either wait for the other process(es) to end or delete the "
    "lock file with `pulumi cancel`.\n"
    "  file:///state/.pulumi/locks/dev/a.json: created by ada@laptop (pid 4711) at 2026-09-14T09:30:00Z\n"
    "  s3://state/.pulumi/locks/dev/b.json: created by runner@ci-7 (pid 12) at 2026-09-14T11:30:00+02:00"
)
NOON = datetime(2026, 9, 14, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def test_a_refusal_names_who_holds_the_locks() -> None:
    since = datetime(2026, 9, 14, 9, 30, tzinfo=UTC)
    assert locks(REFUSAL) == [Lock("ada", "laptop", 4711, since), Lock("runner", "ci-7", 12, since)]
    assert str(locks(REFUSAL)[0]) == "ada@laptop (process 4711) since 2026-09-14 09:30:00 UTC"


def test_another_error_names_no_lock_and_clears_nothing() -> None:
    assert locks("error: no stack named 'dev' found") == []
    assert not may_clear([], "laptop", lambda _: False, NOON, HOUR)


@pytest.mark.parametrize("runs", [True, False])
def test_on_this_machine_it_counts_whether_the_process_still_runs_however_old_the_lock_is(*, runs: bool) -> None:
    asked: list[int] = []

    def is_running(pid: int) -> bool:
        asked.append(pid)
        return runs

    lock = Lock("ada", "laptop", 4711, NOON - 9 * HOUR)
    assert may_clear([lock], "laptop", is_running, NOON, HOUR) is not runs
    assert asked == [4711]


def test_the_lock_of_another_machine_is_left_behind_after_a_time() -> None:
    lock = Lock("runner", "ci-7", 12, NOON - HOUR)
    assert not may_clear([lock], "laptop", lambda _: False, NOON, HOUR)
    assert may_clear([lock], "laptop", lambda _: False, NOON + timedelta(seconds=1), HOUR)


def test_one_lock_that_is_held_keeps_all() -> None:
    assert not may_clear(locks(REFUSAL), "laptop", lambda _: True, NOON, HOUR)
    assert may_clear(locks(REFUSAL), "laptop", lambda _: False, NOON, HOUR)
