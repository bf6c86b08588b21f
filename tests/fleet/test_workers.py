import signal
import threading
from collections.abc import Iterator

import pytest

from threatmon.fleet.workers import in_parallel, interruptible

SIGNALS = (signal.SIGINT, signal.SIGTERM)
PATIENCE = 30  # seconds; only a failing test takes as long


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    """Fails the test that leaves a handler behind; a process in the background begins without Ctrl-C's."""
    outside = [signal.getsignal(number) for number in SIGNALS]
    before = [signal.default_int_handler, signal.SIG_DFL]
    for number, handler in zip(SIGNALS, before, strict=True):
        signal.signal(number, handler)
    yield
    left = [signal.getsignal(number) for number in SIGNALS]
    for number, handler in zip(SIGNALS, outside, strict=True):
        signal.signal(number, handler)
    assert left == before


def test_each_result_comes_when_it_is_there() -> None:
    first_was_seen = threading.Event()

    def work(item: str) -> str:
        assert item == "quick" or first_was_seen.wait(PATIENCE)
        return item.upper()

    results = in_parallel(work, ["slow", "quick"], 2)
    assert next(results) == "QUICK"
    first_was_seen.set()
    assert list(results) == ["SLOW"]


def test_as_many_as_allowed_are_under_way_at_a_time_and_no_more() -> None:
    together = threading.Barrier(3)
    threads: set[int] = set()

    def work(item: int) -> int:
        threads.add(threading.get_ident())
        together.wait(PATIENCE)
        return item

    assert sorted(in_parallel(work, range(6), 3)) == list(range(6))
    assert len(threads) == 3


def test_what_is_not_begun_when_it_stops_is_left_out() -> None:
    stopping = threading.Event()
    begun: list[int] = []

    def work(item: int) -> int:
        begun.append(item)
        if item == 1:
            stopping.set()
        return item

    assert list(in_parallel(work, range(5), 1, stopping.is_set)) == [0, 1]
    assert begun == [0, 1]


def test_of_nothing_there_are_no_results() -> None:
    assert list(in_parallel(str, list[int](), 4)) == []


def test_an_error_is_raised_and_nothing_more_is_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    raised = threading.Event()
    begun: list[int] = []

    def work(item: int) -> int:
        begun.append(item)
        if item == 0:
            raise ValueError("broken")
        assert raised.wait(PATIENCE)
        return item

    join = threading.Thread.join

    def noticed(thread: threading.Thread, timeout: float | None = None) -> None:
        raised.set()  # the error is known when the threads are waited for
        join(thread, timeout)

    monkeypatch.setattr(threading.Thread, "join", noticed)
    with pytest.raises(ValueError, match="broken"):
        list(in_parallel(work, range(50), 2))
    assert set(begun) <= {0, 1, 2}  # the thread of the broken one may take one more before the error is heard of


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_stops_and_each_further_one_interrupts(number: signal.Signals) -> None:
    said: list[str] = []
    interrupted: list[bool] = []
    with interruptible(said.append, lambda: interrupted.append(True)) as stopping:
        assert not stopping.is_set()
        signal.raise_signal(number)
        assert stopping.is_set()
        assert said == ["Stopping after the stacks in progress. Press Ctrl-C again to interrupt them."]
        assert interrupted == []
        signal.raise_signal(signal.SIGINT)
        assert said[1:] == ["Interrupting the stacks in progress; the state of each is saved."]
        signal.raise_signal(signal.SIGINT)
        assert interrupted == [True, True]


def test_after_the_work_or_an_error_ctrl_c_means_what_it_meant_before() -> None:
    with interruptible(print, print) as stopping:
        assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    assert not stopping.is_set()
    with pytest.raises(ValueError, match="broken"), interruptible(print, print):
        raise ValueError("broken")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
