"""Whatever is interrupted, nothing is lost, nothing is sent to people twice, and at most one event to machines."""

import itertools
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redrive.dead_letter_stack import DeadLetterStack
from scripted_account import ScriptedAccount

from threatmon.aws.errors import AwsError
from threatmon.aws.reader import Aws
from threatmon.redrive.queue import Queue
from threatmon.redrive.redrive import RedriveStatus, Statuses, follow, send_again, waiting
from threatmon.redrive.sender import Sender, sender_of
from threatmon.redrive.undelivered import Undelivered

OFTEN = 100  # calls; more than any run here makes
Way = Literal["machine", "raw", "failed"]


class Interruption(BaseException):
    """Ctrl-C, kill -9, a lost connection: whatever ends the run at once."""


@pytest.fixture
def stack(scripted: ScriptedAccount) -> DeadLetterStack:
    return DeadLetterStack(scripted)


class InterruptedAws(Aws):
    """Is interrupted at one of the calls of a run, before AWS has it, or (``done``) after."""

    def run_until(self, stack: DeadLetterStack, call: int, *, done: bool) -> bool:
        """Redrive, interrupted at the ``call``-th call; return False if it ends before."""
        self._left, self._done = call, done
        try:
            queue, sender = Queue(self, stack.url), sender_of(self, stack.outputs)
            statuses = waiting(queue, sender)
            for _ in send_again(queue, sender, statuses):
                pass
            follow(queue, sender, statuses)
        except Interruption:
            return True
        return False

    def call(self, service: str, operation: str, **parameters: Any) -> Mapping[str, Any]:
        self._left -= 1
        if not self._left and not self._done:
            raise Interruption
        answer = super().call(service, operation, **parameters)
        if not self._left:
            raise Interruption
        return answer


def titles(*events: Any) -> list[str]:
    return [(json.loads(event) if isinstance(event, str) else event)["detail"]["title"] for event in events]


def test_interrupted_anywhere_nothing_is_lost_and_at_most_one_event_is_sent_twice(scripted: ScriptedAccount) -> None:
    names, aws = itertools.count(), InterruptedAws(scripted.session)

    @settings(max_examples=100)
    @given(
        ways=st.lists(st.sampled_from(["machine", "raw", "failed"]), min_size=1, max_size=5),
        call=st.integers(1, 30),
        done=st.booleans(),
    )
    def interrupted_run(ways: list[Way], call: int, done: bool) -> None:
        stack = DeadLetterStack(scripted, str(next(names)))
        for number, way in enumerate(ways):
            event = {"detail": {"title": f"{number}"}}
            if way == "failed":
                stack.machine.run(f"{number}", json.dumps(event))
            else:
                stack.put(event, stack.raw_topic if way == "raw" else "")
        expected = {f"{number}" for number in range(len(ways))}
        failed = {f"{number}" for number, way in enumerate(ways) if way == "failed"}

        interrupted = aws.run_until(stack, call, done=done)
        sent, queued = titles(*stack.machine.sent, *stack.published), set(titles(*stack.queued))
        assert set(sent) | queued | failed == expected
        assert len(set(sent) & queued) <= 1
        assert interrupted or (not queued and set(sent) == expected)

        stack.end_hiding()
        assert not aws.run_until(stack, OFTEN, done=done)
        assert stack.queued == []
        assert sorted(titles(*stack.machine.sent)) == [f"{number}" for number, way in enumerate(ways) if way != "raw"]
        published = Counter(titles(*stack.published))
        assert set(published) == {f"{number}" for number, way in enumerate(ways) if way == "raw"}
        assert published.total() - len(published) <= interrupted

    interrupted_run()


def test_each_call_of_a_run_is_a_place_to_be_interrupted(stack: DeadLetterStack) -> None:
    stack.put({"detail": {"title": "x"}}, stack.raw_topic)
    aws, interrupted = InterruptedAws(stack.aws.session), list[int]()
    for call in range(1, 12):
        interrupted += [call] if aws.run_until(stack, call, done=False) else []
        stack.end_hiding()
    # receive, receive none, show again, receive, publish, delete, receive none
    assert interrupted == [1, 2, 3, 4, 5, 6, 7]
    assert len(stack.published) == 2  # once before the deletion was interrupted, once before it was not


class Conveyor(Aws):
    """A queue that hands out the same messages in turns, as SQS does once they are visible again; and a machine."""

    def __init__(self, ids: list[str], times: int, *, takes: bool) -> None:  # pyright: ignore[reportMissingSuperCall]
        self.handed_out = ids * times
        self.deleted: list[str] = []
        self.started: list[str] = []
        self.takes = takes

    def call(self, service: str, operation: str, **parameters: Any) -> Mapping[str, Any]:
        if operation == "start_execution":
            self.started.append(json.loads(parameters["input"])["body"])
            if not self.takes:
                raise AwsError("{message}", f"{service}:{operation}", "InvalidExecutionInput", "no")
            return {"executionArn": "arn"}
        if operation == "delete_message":
            self.deleted.append(parameters["ReceiptHandle"])
            return {}
        if not self.handed_out:
            return {}
        id_ = self.handed_out.pop(0)
        attributes = {"SentTimestamp": "0"}
        return {"Messages": [{"MessageId": id_, "ReceiptHandle": id_, "Body": id_, "Attributes": attributes}]}

    def redrive(self, *listed: str) -> Iterator[tuple[str, str]]:
        statuses = {id_: RedriveStatus(Undelivered(id_, 0, id_, {}, "", [], "", id_)) for id_ in listed}
        ended = send_again(Queue(self, ""), Sender(self, ""), statuses)
        return ((status.alert.id, status.state) for status in ended)


def test_a_message_handed_out_twice_is_sent_once_and_deleted_again() -> None:
    aws = Conveyor(["a", "b"], 2, takes=True)
    assert list(aws.redrive("a", "b")) == [("a", "on its way"), ("b", "on its way")]
    assert aws.started == ["a", "b"]
    assert aws.deleted == ["a", "b", "a", "b"]


def test_what_was_left_may_come_back_before_the_rest_of_the_queue() -> None:
    aws = Conveyor(["a", "a", "b"], 1, takes=False)
    assert [id_ for id_, _ in aws.redrive("a", "b")] == aws.started == ["a", "b"]


def test_a_run_ends_when_the_queue_only_repeats_what_was_left() -> None:
    aws = Conveyor(["a", "b"], 1000, takes=False)
    assert list(aws.redrive("a", "b")) == [("a", "left"), ("b", "left")]
    assert aws.started == ["a", "b"]
    assert aws.deleted == []


def test_a_run_leaves_what_came_meanwhile_and_ends() -> None:
    aws = Conveyor(["new", "a", "new"], 1000, takes=True)
    assert list(aws.redrive("a")) == [("new", "came meanwhile"), ("a", "on its way")]
    assert (aws.started, set(aws.deleted)) == (["a"], {"a"})


def test_a_listing_that_fails_hides_nothing_it_has_seen(stack: DeadLetterStack) -> None:
    for number in range(12):
        stack.put(str(number))
    answers = itertools.count()

    def second_fails(_: object) -> None:
        if next(answers):
            raise Interruption

    stack.aws.answer("sqs:ReceiveMessage", second_fails)
    with pytest.raises(Interruption):
        Queue(stack.aws.aws, stack.url).peek()
    assert (stack.hidden, len(stack.queued)) == ([], 12)


def test_executions_are_followed_to_their_ends(stack: DeadLetterStack) -> None:
    for title in ("fine", "bad"):
        stack.put({"detail": {"title": title}})
    queue, sender = Queue(stack.aws.aws, stack.url), sender_of(stack.aws.aws, stack.outputs)
    statuses: Statuses = waiting(queue, sender)
    assert {status.state for status in send_again(queue, sender, statuses)} == {"on its way"}
    assert stack.queued == []
    for execution in stack.machine.executions:
        execution.status = "RUNNING"
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        for execution in stack.machine.executions:
            is_bad = "bad" in execution.execution_input
            end = {"status": "FAILED", "error": "Lost", "cause": "mail"} if is_bad else {"status": "SUCCEEDED"}
            vars(execution).update(end)

    follow(queue, sender, statuses, sleep)
    ends = {titles(status.alert.event)[0]: (status.state, status.reason) for status in statuses.values()}
    assert ends == {"fine": ("sent again", None), "bad": ("failed again", "Lost: mail")}
    assert len(waits) == 1
