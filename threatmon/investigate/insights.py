"""Logs Insights queries, several at once: started, polled, and stopped when time or money runs out.

https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_StartQuery.html
"""

import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from threatmon.reports import size
from threatmon.stacks.old_aws import explained

PERMISSIONS: tuple[str, ...] = ("logs:GetQueryResults", "logs:StartQuery", "logs:StopQuery")

AT_ONCE = 5
_POLL_SECONDS = 1.0
_PENDING = frozenset({"Scheduled", "Running", "Unknown"})
# The account runs as many queries as it may; one of them will end.
_TOO_MANY = "LimitExceededException"


class Answer(NamedTuple):
    """What became of a query: its rows, or why there are none. ``bytes_scanned`` is what it costs either way."""

    rows: list[dict[str, str]]
    records_matched: int = 0
    bytes_scanned: int = 0
    failure: str | None = None


class Progress(NamedTuple):
    """How far the queries are."""

    done: int
    of: int
    bytes_scanned: int


@dataclass(frozen=True)
class Limits:
    """When to give up: seconds since the start, and bytes that all queries together may scan."""

    seconds: float = 300.0
    bytes_scanned: int = 100 * 10**9


class Insights:
    """Logs Insights on one log group. ``sleep`` and ``clock`` are in seconds."""

    def __init__(
        self,
        logs: Any,
        log_group_name: str,
        *,
        limits: Limits | None = None,
        sleep: Callable[[float], object] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._logs = logs
        self._log_group_name = log_group_name
        self._limits = limits or Limits()
        self._sleep = sleep
        self._clock = clock

    def run(
        self,
        queries: Mapping[str, str],
        start: datetime,
        end: datetime,
        progress: Callable[[Progress], object] = lambda _: None,
    ) -> dict[str, Answer]:
        """The answers, by the names of ``queries``; at most :data:`AT_ONCE` run at a time.

        Whatever ends this, Ctrl-C included, leaves no query running.
        """
        waiting = deque(queries)
        running: dict[str, str] = {}
        answers: dict[str, Answer] = {}
        scanned: dict[str, int] = {}
        times = {"startTime": int(start.timestamp()), "endTime": int(end.timestamp())}
        deadline = self._clock() + self._limits.seconds
        try:
            while True:
                before = len(answers)
                self._start(waiting, running, answers, queries, times)
                for name, query_id in list(running.items()):
                    answer, scanned[name] = self._poll(query_id)
                    if answer:
                        answers[name] = answer
                        del running[name]
                progress(Progress(len(answers), len(queries), sum(scanned.values())))
                if not running and not waiting:
                    break
                reason = self._exhausted(sum(scanned.values()), deadline)
                if reason:
                    given_up = [*running, *waiting]
                    answers |= {it: Answer([], 0, scanned.get(it, 0), reason) for it in given_up}
                    break
                if len(answers) == before:
                    self._sleep(_POLL_SECONDS)
        finally:
            for query_id in running.values():
                with suppress(BotoCoreError, ClientError):  # it may have ended by itself
                    self._logs.stop_query(queryId=query_id)
        return {name: answers[name] for name in queries}

    def _start(
        self,
        waiting: deque[str],
        running: dict[str, str],
        answers: dict[str, Answer],
        queries: Mapping[str, str],
        times: Mapping[str, int],
    ) -> None:
        while waiting and len(running) < AT_ONCE:
            name = waiting[0]
            try:
                started = self._logs.start_query(logGroupName=self._log_group_name, queryString=queries[name], **times)
            except (BotoCoreError, ClientError) as error:
                if _code(error) == _TOO_MANY:
                    return
                answers[name] = Answer([], failure=self._explained(error))
            else:
                running[name] = started["queryId"]
            waiting.popleft()

    def _poll(self, query_id: str) -> tuple[Answer | None, int]:
        """The answer of a query, None while there is none, and the bytes scanned so far."""
        try:
            got = self._logs.get_query_results(queryId=query_id)
        except (BotoCoreError, ClientError) as error:
            return Answer([], failure=self._explained(error)), 0
        statistics = got.get("statistics") or {}
        scanned, matched = (int(statistics.get(key, 0)) for key in ("bytesScanned", "recordsMatched"))
        if got["status"] in _PENDING:
            return None, scanned
        if got["status"] != "Complete":
            return Answer([], matched, scanned, f"Logs Insights ended the query: {got['status']}."), scanned
        # `@ptr` points to a record, and means nothing for what was counted.
        rows = [{it["field"]: it["value"] for it in row if it["field"] != "@ptr"} for row in got["results"]]
        return Answer(rows, matched, scanned), scanned

    def _exhausted(self, scanned: int, deadline: float) -> str | None:
        if scanned > self._limits.bytes_scanned:
            return f"Stopped after {size(scanned)} scanned: look at less time (--hours) or allow more (--max-gb)."
        if self._clock() >= deadline:
            return f"Stopped after {self._limits.seconds:.0f} s: look at less time (--hours)."
        return None

    def _explained(self, error: Exception) -> str:
        if _code(error) == "ResourceNotFoundException":
            return f"There is no log group {self._log_group_name} in this account and Region: is the stack deployed?"
        return explained(error)


def _code(error: Exception) -> str:
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else ""
