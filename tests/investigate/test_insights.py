import json
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from typing import Any

import botocore.session
import pytest
from botocore.exceptions import ClientError
from botocore.model import Shape
from botocore.validate import ParamValidator
from hypothesis import given
from hypothesis import strategies as st

from threatmon.emulator.account import EmulatedAccount
from threatmon.investigate.insights import AT_ONCE, PERMISSIONS, Answer, Insights, Limits, Progress

START, END = datetime(2026, 9, 14, 8, tzinfo=UTC), datetime(2026, 9, 14, 10, tzinfo=UTC)


def error(code: str, operation: str) -> ClientError:
    response: Any = {"Error": {"Code": code, "Message": "no", "Action": f"logs:{operation}"}}
    return ClientError(response, operation)


class Logs:
    """Recorded answers of CloudWatch Logs: each query is Running for some polls, then ends as told.

    moto ends every query at once, counts nothing and cannot stop one.
    """

    def __init__(self, polls: dict[str, int] | None = None, ends: dict[str, str] | None = None) -> None:
        self.polls, self.ends = dict(polls or {}), dict(ends or {})
        self.running: set[str] = set()
        self.most_at_once = 0
        self.started: list[dict[str, Any]] = []
        self.stopped: list[str] = []
        self.refusals: list[str] = []

    def start_query(self, **asked: Any) -> dict[str, str]:
        if self.refusals:
            raise error(self.refusals.pop(0), "StartQuery")
        self.started.append(asked)
        self.running.add(asked["queryString"])
        self.most_at_once = max(self.most_at_once, len(self.running))
        return {"queryId": asked["queryString"]}

    def get_query_results(self, *, queryId: str) -> dict[str, Any]:  # noqa: N803 - as AWS writes it
        left = self.polls.get(queryId, 0)
        self.polls[queryId] = left - 1
        status = "Running" if left > 0 else self.ends.get(queryId, "Complete")
        if left <= 0:
            self.running.discard(queryId)
        return checked(
            {
                "status": status,
                "statistics": {"bytesScanned": 1000.0, "recordsMatched": 3.0, "recordsScanned": 10.0},
                "results": [[{"field": "flows", "value": "7"}, {"field": "@ptr", "value": "x"}]],
            }
        )

    def stop_query(self, *, queryId: str) -> dict[str, bool]:  # noqa: N803 - as AWS writes it
        self.stopped.append(queryId)
        self.running.discard(queryId)
        return {"success": True}


@cache
def shape_of_results() -> Shape:
    shape = botocore.session.get_session().get_service_model("logs").operation_model("GetQueryResults").output_shape
    assert shape is not None
    return shape


def checked(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer that has the form of botocore's model."""
    report = ParamValidator().validate(answer, shape_of_results())
    assert not report.has_errors(), report.generate_report()
    return answer


class Clock:
    def __init__(self) -> None:
        self.now = 0.0
        self.naps: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def insights(logs: Any, clock: Clock, limits: Limits | None = None) -> Insights:
    return Insights(logs, "/logs", limits=limits, sleep=clock.sleep, clock=lambda: clock.now)


def test_an_answer_is_its_rows_and_what_they_took(clock: Clock) -> None:
    logs = Logs()
    answers = insights(logs, clock).run({"one": "q1"}, START, END)
    assert answers == {"one": Answer([{"flows": "7"}], 3, 1000)}
    assert logs.started == [
        {"logGroupName": "/logs", "queryString": "q1", "startTime": 1789372800, "endTime": 1789380000}
    ]
    assert (logs.stopped, clock.naps) == ([], [])


def test_a_running_query_is_asked_again_after_a_while(clock: Clock) -> None:
    assert insights(Logs({"q": 3}), clock).run({"q": "q"}, START, END)["q"].failure is None
    assert clock.naps == [1.0, 1.0, 1.0]


@given(st.lists(st.integers(0, 4), max_size=12))
def test_all_queries_are_answered_in_their_order_and_never_too_many_run(polls: list[int]) -> None:
    clock, logs = Clock(), Logs({f"q{n}": count for n, count in enumerate(polls)})
    seen: list[Progress] = []
    names = [f"q{n}" for n in range(len(polls))]
    answers = insights(logs, clock).run({name: name for name in names}, START, END, seen.append)
    assert list(answers) == names
    assert all(answer.failure is None for answer in answers.values())
    assert logs.most_at_once == min(AT_ONCE, len(polls))
    assert [it.done for it in seen] == sorted(it.done for it in seen)
    assert seen[-1] == Progress(len(polls), len(polls), 1000 * len(polls))
    assert logs.stopped == []


@pytest.mark.parametrize("status", ["Failed", "Cancelled", "Timeout"])
def test_a_query_that_ends_badly_says_how_and_the_others_go_on(status: str, clock: Clock) -> None:
    answers = insights(Logs(ends={"bad": status}), clock).run({"bad": "bad", "good": "good"}, START, END)
    assert answers["bad"] == Answer([], 3, 1000, f"Logs Insights ended the query: {status}.")
    assert answers["good"].failure is None


def test_a_refused_query_says_why_and_the_others_go_on(clock: Clock) -> None:
    logs = Logs()
    logs.refusals = ["AccessDeniedException"]
    answers = insights(logs, clock).run({"bad": "bad", "good": "good"}, START, END)
    assert answers["bad"].failure == "Permission logs:StartQuery is missing: no"
    assert answers["good"].failure is None


def test_where_too_many_queries_run_already_one_waits_for_its_turn(clock: Clock) -> None:
    logs = Logs()
    logs.refusals = ["LimitExceededException"] * 3
    assert insights(logs, clock).run({"q": "q"}, START, END)["q"].failure is None
    assert len(clock.naps) == 3


def test_a_turn_that_never_comes_ends_in_time(clock: Clock) -> None:
    logs = Logs()
    logs.refusals = ["LimitExceededException"] * 100
    answers = insights(logs, clock, Limits(seconds=10)).run({"q": "q"}, START, END)
    assert answers["q"].failure == "Stopped after 10 s: look at less time (--hours)."
    assert clock.now == 10
    assert logs.stopped == []


def test_after_the_time_limit_what_runs_is_stopped_and_what_waits_never_starts(clock: Clock) -> None:
    logs = Logs({f"q{n}": 1000 for n in range(7)})
    answers = insights(logs, clock, Limits(seconds=10)).run({f"q{n}": f"q{n}" for n in range(7)}, START, END)
    assert {answer.failure for answer in answers.values()} == {"Stopped after 10 s: look at less time (--hours)."}
    assert sorted(logs.stopped) == ["q0", "q1", "q2", "q3", "q4"]
    assert len(logs.started) == AT_ONCE


def test_after_too_many_bytes_everything_is_stopped_and_what_was_scanned_is_told(clock: Clock) -> None:
    logs = Logs({"slow": 1000})
    limits = Limits(bytes_scanned=1500)
    answers = insights(logs, clock, limits).run({"quick": "quick", "slow": "slow"}, START, END)
    assert answers["quick"].failure is None
    assert answers["slow"] == Answer(
        [], 0, 1000, "Stopped after 2.0 kB scanned: look at less time (--hours) or allow more (--max-gb)."
    )
    assert logs.stopped == ["slow"]


def test_ctrl_c_leaves_no_query_running() -> None:
    logs = Logs({"a": 1000, "b": 1000})

    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Insights(logs, "/logs", sleep=interrupted).run({"a": "a", "b": "b"}, START, END)
    assert sorted(logs.stopped) == ["a", "b"]
    assert logs.running == set()


def test_a_query_that_cannot_be_stopped_hides_nothing(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    logs = Logs({"a": 1000, "b": 1000})
    tried: list[str] = []

    def refused(*, queryId: str) -> None:  # noqa: N803 - as AWS writes it
        tried.append(queryId)
        raise error("InvalidParameterException", "StopQuery")

    monkeypatch.setattr(logs, "stop_query", refused)
    answers = insights(logs, clock, Limits(seconds=2)).run({"a": "a", "b": "b"}, START, END)
    assert tried == ["a", "b"]
    assert answers["a"].failure == "Stopped after 2 s: look at less time (--hours)."


def test_an_error_while_polling_is_that_querys_alone(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    logs = Logs()
    poll = logs.get_query_results

    def polled(*, queryId: str) -> dict[str, Any]:  # noqa: N803 - as AWS writes it
        if queryId == "bad":
            raise error("ThrottlingException", "GetQueryResults")
        return poll(queryId=queryId)

    monkeypatch.setattr(logs, "get_query_results", polled)
    answers = insights(logs, clock).run({"bad": "bad", "good": "good"}, START, END)
    assert answers["bad"].failure == "AWS still throttles logs:GetQueryResults after 8 attempts; try again later."
    assert answers["good"].failure is None


@pytest.fixture
def emulated() -> Iterator[Any]:
    with EmulatedAccount("111122223333", "eu-west-1") as account:
        yield account.client("logs")


def test_a_real_client_takes_the_calls(emulated: Any, clock: Clock) -> None:
    emulated.create_log_group(logGroupName="/logs")
    query = "fields @timestamp, @message"
    assert insights(emulated, clock).run({"q": query}, START, END) == {"q": Answer([])}


def test_a_log_group_that_is_not_there_is_named(emulated: Any, clock: Clock) -> None:
    answers = insights(emulated, clock).run({"q": "fields @message"}, START, END)
    assert answers["q"].failure == ("There is no log group /logs in this account and Region: is the stack deployed?")


def test_nothing_to_ask_asks_nothing(clock: Clock) -> None:
    assert insights(None, clock).run({}, START, END) == {}


def test_the_permissions_are_the_three_calls() -> None:
    assert json.dumps(PERMISSIONS) == '["logs:GetQueryResults", "logs:StartQuery", "logs:StopQuery"]'
