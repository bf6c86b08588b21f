from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scripted_account import ScriptedAccount

from threatmon.investigate.insights import AT_ONCE, Insights, QueryResult

START, END = datetime(2026, 9, 14, 8, tzinfo=UTC), datetime(2026, 9, 14, 10, tzinfo=UTC)
ROW = [{"field": "flows", "value": "7"}, {"field": "@ptr", "value": "x"}]


class Queries:
    """Queries that run for some polls and then end as a test says; and a clock that only sleep moves.

    moto ends every query at once, counts nothing and cannot stop one.
    """

    def __init__(self, scripted: ScriptedAccount, polls: dict[str, int] | None = None) -> None:
        self.scripted, self.polls = scripted, dict(polls or {})
        self.ends: dict[str, str] = {}
        self.running: set[str] = set()
        self.most_at_once = 0
        self.started: list[dict[str, Any]] = []
        self.stopped: list[str] = []
        self.now = 0.0
        self.naps: list[float] = []
        scripted.answer("logs:StartQuery", self._start)
        scripted.answer("logs:GetQueryResults", self._results)
        scripted.answer("logs:StopQuery", self._stop)

    def run(self, *names: str, **limits: Any) -> dict[str, QueryResult]:
        return self.insights(**limits).run({name: name for name in names}, START, END)

    def insights(self, **limits: Any) -> Insights:
        return Insights(self.scripted.aws, "/logs", sleep=self._sleep, clock=lambda: self.now, **limits)

    def refuse(self, action: str, query: str, code: str) -> None:
        answering = {"logs:StartQuery": self._start, "logs:GetQueryResults": self._results}[action]

        def refused(asked: dict[str, Any]) -> dict[str, Any]:
            if query in asked.values():
                raise ClientError({"Error": {"Code": code, "Message": "no"}}, action)
            return answering(asked)

        self.scripted.answer(action, refused)

    def _sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.now += seconds

    def _start(self, asked: dict[str, Any]) -> dict[str, Any]:
        self.started.append(asked)
        self.running.add(asked["queryString"])
        self.most_at_once = max(self.most_at_once, len(self.running))
        return {"queryId": asked["queryString"]}

    def _results(self, asked: dict[str, Any]) -> dict[str, Any]:
        query = asked["queryId"]
        left = self.polls.get(query, 0)
        self.polls[query] = left - 1
        self.running -= set() if left > 0 else {query}
        statistics = {"bytesScanned": 1000.0, "recordsMatched": 3.0, "recordsScanned": 10.0}
        status = "Running" if left > 0 else self.ends.get(query, "Complete")
        return {"status": status, "statistics": statistics, "results": [ROW]}

    def _stop(self, asked: dict[str, Any]) -> dict[str, Any]:
        self.stopped.append(asked["queryId"])
        self.running.discard(asked["queryId"])
        return {"success": True}


@pytest.fixture
def queries(scripted: ScriptedAccount) -> Queries:
    return Queries(scripted)


def test_a_result_is_its_rows_and_what_they_took(queries: Queries) -> None:
    assert queries.run("q") == {"q": QueryResult([{"flows": "7"}], 3, 1000)}
    assert queries.started == [
        {"logGroupName": "/logs", "queryString": "q", "startTime": 1789372800, "endTime": 1789380000}
    ]
    assert (queries.stopped, queries.naps) == ([], [])


def test_a_running_query_is_asked_again_after_a_while(queries: Queries) -> None:
    queries.polls["q"] = 3
    assert queries.run("q")["q"].failure is None
    assert queries.naps == [1.0, 1.0, 1.0]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(polls=st.lists(st.integers(0, 4), max_size=12))
def test_all_queries_are_answered_in_their_order_and_never_too_many_run(
    polls: list[int], scripted: ScriptedAccount
) -> None:
    queries = Queries(scripted, {f"q{n}": count for n, count in enumerate(polls)})
    seen: list[tuple[int, int]] = []
    names = list(queries.polls)
    results = queries.insights().run({name: name for name in names}, START, END, lambda *done: seen.append(done))
    assert list(results) == names
    assert all(result.failure is None for result in results.values())
    assert queries.most_at_once == min(AT_ONCE, len(polls))
    assert seen == sorted(seen)
    assert seen[-1:] == [(len(polls), 1000 * len(polls))] * bool(polls)
    assert queries.stopped == []


@pytest.mark.parametrize("status", ["Failed", "Cancelled", "Timeout"])
def test_a_query_that_ends_badly_says_how_and_the_others_go_on(status: str, queries: Queries) -> None:
    queries.ends["bad"] = status
    results = queries.run("bad", "good")
    assert results["bad"] == QueryResult([], 3, 1000, f"Logs Insights ended the query: {status}.")
    assert results["good"].failure is None


@pytest.mark.parametrize(
    ("action", "code", "failure"),
    [
        ("logs:StartQuery", "AccessDeniedException", "Permission logs:StartQuery is missing: no"),
        (
            "logs:GetQueryResults",
            "ThrottlingException",
            "AWS still throttles logs:GetQueryResults after 8 attempts; try again later.",
        ),
        (
            "logs:StartQuery",
            "ResourceNotFoundException",
            "There is no log group /logs in this account and Region: is the stack deployed?",
        ),
    ],
)
def test_a_refused_query_says_why_and_the_others_go_on(action: str, code: str, failure: str, queries: Queries) -> None:
    queries.refuse(action, "bad", code)
    results = queries.run("bad", "good")
    assert (results["bad"].failure, results["good"].failure) == (failure, None)


def test_if_too_many_queries_run_already_one_waits_for_its_turn(
    queries: Queries, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusal = queries.scripted.refuse("logs:StartQuery", "LimitExceededException")
    monkeypatch.setattr(queries, "_sleep", lambda _: refusal.close())
    assert queries.run("q")["q"].failure is None


def test_a_turn_that_never_comes_ends_in_time(queries: Queries) -> None:
    queries.scripted.refuse("logs:StartQuery", "LimitExceededException")
    assert queries.run("q", seconds=10)["q"].failure == "Stopped after 10 s: look at less time (--hours)."
    assert (queries.now, queries.stopped) == (10, [])


def test_after_the_time_limit_what_runs_is_stopped_and_what_waits_never_starts(queries: Queries) -> None:
    names = [f"q{n}" for n in range(7)]
    queries.polls |= dict.fromkeys(names, 1000)
    failures = {result.failure for result in queries.run(*names, seconds=10).values()}
    assert failures == {"Stopped after 10 s: look at less time (--hours)."}
    assert sorted(queries.stopped) == ["q0", "q1", "q2", "q3", "q4"]
    assert len(queries.started) == AT_ONCE


def test_after_too_many_bytes_everything_is_stopped_and_what_was_scanned_is_counted(queries: Queries) -> None:
    queries.polls["slow"] = 1000
    results = queries.run("quick", "slow", max_bytes=1500)
    assert results["quick"].failure is None
    assert results["slow"] == QueryResult(
        [], 0, 1000, "Stopped after 2.0 kB scanned: look at less time (--hours) or allow more (--max-gb)."
    )
    assert queries.stopped == ["slow"]


def test_ctrl_c_leaves_no_query_running(queries: Queries, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(queries, "_sleep", interrupted)
    queries.polls |= {"a": 1000, "b": 1000}
    with pytest.raises(KeyboardInterrupt):
        queries.run("a", "b")
    assert sorted(queries.stopped) == ["a", "b"]
    assert queries.running == set()


def test_a_query_that_cannot_be_stopped_hides_nothing(queries: Queries) -> None:
    queries.polls |= {"a": 1000, "b": 1000}
    queries.scripted.refuse("logs:StopQuery", "InvalidParameterException")
    assert queries.run("a", "b", seconds=2)["a"].failure == "Stopped after 2 s: look at less time (--hours)."
    assert queries.scripted.calls.count("logs:StopQuery") == 2
