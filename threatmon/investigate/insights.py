"""Logs Insights queries, several at once: started, polled, and stopped when time or money runs out.

https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_StartQuery.html
"""

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import NamedTuple

from threatmon.aws.errors import AwsError, NotThereError
from threatmon.aws.reader import Aws, attempt
from threatmon.reports.model import size

PERMISSIONS = ("logs:GetQueryResults", "logs:StartQuery", "logs:StopQuery")

AT_ONCE = 5
_POLL_SECONDS = 1.0
_PENDING = frozenset({"Scheduled", "Running", "Unknown"})
# The account runs as many queries as it may; one of them will end.
_TOO_MANY = "LimitExceededException"


class QueryResult(NamedTuple):
    """The rows of a query, or why there are none; ``bytes_scanned`` is what it costs either way."""

    rows: list[dict[str, str]]
    records_matched: int = 0
    bytes_scanned: int = 0
    failure: str | None = None


@dataclass(frozen=True)
class Insights:
    """Logs Insights on one log group.

    Gives up after ``seconds`` since the start, or when all queries together have scanned ``max_bytes``.
    """

    aws: Aws
    log_group_name: str
    seconds: float = 300.0
    max_bytes: int = 100 * 10**9
    sleep: Callable[[float], object] = time.sleep
    clock: Callable[[], float] = time.monotonic

    def run(
        self,
        queries: Mapping[str, str],
        start: datetime,
        end: datetime,
        progress: Callable[[int, int], object] = lambda _done, _bytes_scanned: None,
    ) -> dict[str, QueryResult]:
        """Return the results by the names of ``queries``; at most :data:`AT_ONCE` run at a time.

        ``progress`` is given the number of ended queries and the bytes scanned so far. No query is left running, even
        after Ctrl-C.
        """
        waiting, running, results = deque(queries), dict[str, str](), dict[str, QueryResult]()
        times = {"startTime": int(start.timestamp()), "endTime": int(end.timestamp())}
        deadline = self.clock() + self.seconds
        try:
            while left := len(waiting) + len(running):
                while waiting and len(running) < AT_ONCE and (started := self._start(queries[waiting[0]], times)):
                    if isinstance(started, str):
                        running[waiting.popleft()] = started
                    else:
                        results[waiting.popleft()] = started
                for name, query_id in list(running.items()):
                    ended, results[name] = self._poll(query_id)
                    if ended:
                        del running[name]
                scanned = sum(result.bytes_scanned for result in results.values())
                progress(len(queries) - len(waiting) - len(running), scanned)
                if reason := self._exhausted(scanned, deadline):
                    given_up = {name: results.get(name, QueryResult([])) for name in (*running, *waiting)}
                    results |= {name: result._replace(failure=reason) for name, result in given_up.items()}
                    break
                if len(waiting) + len(running) == left:
                    self.sleep(_POLL_SECONDS)
        finally:
            for query_id in running.values():
                # It may have ended by itself, which is an error.
                attempt(partial(self.aws.call, "logs", "stop_query", queryId=query_id))
        return {name: results[name] for name in queries}

    def _start(self, query: str, times: Mapping[str, int]) -> str | QueryResult | None:
        """Return the id of the started query, its result if AWS refuses it, None if it has to wait for its turn."""
        request = {"logGroupName": self.log_group_name, "queryString": query, **times}
        started = attempt(partial(self.aws.call, "logs", "start_query", **request))
        if not isinstance(started, AwsError):
            return str(started["queryId"])
        return None if started.code == _TOO_MANY else QueryResult([], failure=self._explained(started))

    def _poll(self, query_id: str) -> tuple[bool, QueryResult]:
        """Return whether a query has ended, and its result (until then only the bytes scanned so far)."""
        got = attempt(partial(self.aws.call, "logs", "get_query_results", queryId=query_id))
        if isinstance(got, AwsError):
            return True, QueryResult([], failure=self._explained(got))
        statistics = got.get("statistics") or {}
        scanned, matched = (int(statistics.get(key, 0)) for key in ("bytesScanned", "recordsMatched"))
        if got["status"] in _PENDING:
            return False, QueryResult([], bytes_scanned=scanned)
        if got["status"] != "Complete":
            return True, QueryResult([], matched, scanned, f"Logs Insights ended the query: {got['status']}.")
        # `@ptr` points to a record, and means nothing for what was counted.
        rows = [{cell["field"]: cell["value"] for cell in row if cell["field"] != "@ptr"} for row in got["results"]]
        return True, QueryResult(rows, matched, scanned)

    def _exhausted(self, scanned: int, deadline: float) -> str | None:
        if scanned > self.max_bytes:
            return f"Stopped after {size(scanned)} scanned: look at less time (--hours) or allow more (--max-gb)."
        if self.clock() >= deadline:
            return f"Stopped after {self.seconds:.0f} s: look at less time (--hours)."
        return None

    def _explained(self, error: AwsError) -> str:
        if isinstance(error, NotThereError):
            return f"There is no log group {self.log_group_name} in this account and Region: is the stack deployed?"
        return str(error)
