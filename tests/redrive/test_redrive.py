"""Whatever is interrupted, no message is lost, and at most one is sent twice."""

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redrive.dead_letter_stack import DeadLetterStack
from scripted_account import ScriptedAccount

from threatmon.aws.reader import Aws
from threatmon.model.one_line import one_line
from threatmon.redrive.publisher import Publisher
from threatmon.redrive.queue import Queue
from threatmon.redrive.redrive import RedriveStatus, send_again

OFTEN = 60  # calls; more than any run here makes


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
            queue = Queue(self, stack.url)
            statuses = {message.id: RedriveStatus(message) for message in queue.peek()}
            for _ in send_again(queue, Publisher(self, stack.topic), statuses):
                pass
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


def test_interrupted_anywhere_nothing_is_lost_and_at_most_one_is_sent_twice(scripted: ScriptedAccount) -> None:
    names, aws = itertools.count(), InterruptedAws(scripted.session)

    @settings(max_examples=150)
    @given(
        texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), min_size=1, max_size=5),
        call=st.integers(1, 24),
        done=st.booleans(),
    )
    def interrupted_run(texts: list[str], call: int, done: bool) -> None:
        stack = DeadLetterStack(scripted, str(next(names)))
        bodies = [f"{number}:{text}" for number, text in enumerate(texts)]
        expected = set(map(one_line, bodies))
        for body in bodies:
            stack.put(body)

        interrupted = aws.run_until(stack, call, done=done)
        sent = [body.rpartition("\n")[2] for _, body in stack.published()]
        queued = set(map(one_line, stack.queued))
        assert set(sent) | queued == expected
        assert len(set(sent) & queued) <= 1
        assert interrupted or not queued

        stack.end_hiding()
        assert not aws.run_until(stack, OFTEN, done=done)
        assert stack.queued == []
        sent = [body.rpartition("\n")[2] for _, body in stack.published()]
        assert set(sent) == expected
        assert len(sent) <= len(expected) + interrupted

    interrupted_run()


def test_each_call_of_a_run_is_a_place_to_be_interrupted(stack: DeadLetterStack) -> None:
    stack.put("x")
    aws, interrupted = InterruptedAws(stack.aws.session), list[int]()
    for call in range(1, 10):
        interrupted += [call] if aws.run_until(stack, call, done=False) else []
        stack.end_hiding()
    # receive, receive none, show again, receive, publish, delete, receive none
    assert interrupted == [1, 2, 3, 4, 5, 6, 7]
    assert len(stack.published()) == 2  # once before the deletion was interrupted, once before it was not


class Conveyor(Aws):
    """A queue that hands out the same messages in turns, as SQS does once they are visible again; and a topic."""

    def __init__(self, ids: list[str], times: int, *, takes: bool) -> None:  # pyright: ignore[reportMissingSuperCall]
        self.handed_out = ids * times
        self.deleted: list[str] = []
        self.published: list[str] = []
        self.takes = takes

    def call(self, service: str, operation: str, **parameters: Any) -> Mapping[str, Any]:
        del service
        if operation == "publish":
            self.published.append(parameters["Message"].rpartition("\n")[2])
            return {"MessageId": "1"} if self.takes else {}
        if operation == "delete_message":
            self.deleted.append(parameters["ReceiptHandle"])
            return {}
        if not self.handed_out:
            return {}
        id_ = self.handed_out.pop(0)
        attributes = {"SentTimestamp": "0"}
        return {"Messages": [{"MessageId": id_, "ReceiptHandle": id_, "Body": id_, "Attributes": attributes}]}

    def redrive(self) -> Iterator[tuple[str, str]]:
        statuses = send_again(Queue(self, ""), Publisher(self, ""), {})
        return ((status.message.id, status.state) for status in statuses)


def test_a_message_handed_out_twice_is_sent_once_and_deleted_again() -> None:
    aws = Conveyor(["a", "b"], 2, takes=True)
    assert list(aws.redrive()) == [("a", "sent again"), ("b", "sent again")]
    assert aws.published == ["a", "b"]
    assert aws.deleted == ["a", "b", "a", "b"]


def test_what_was_left_may_come_back_before_the_rest_of_the_queue() -> None:
    aws = Conveyor(["a", "a", "b"], 1, takes=False)
    assert [id_ for id_, _ in aws.redrive()] == aws.published == ["a", "b"]


def test_a_run_ends_when_the_queue_only_repeats_what_was_left() -> None:
    aws = Conveyor(["a", "b"], 1000, takes=False)
    assert list(aws.redrive()) == [("a", "left in the queue"), ("b", "left in the queue")]
    assert aws.published == ["a", "b"]
    assert aws.deleted == []


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
