import io
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from unittest.mock import patch

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from findings import recorded
from hypothesis import given, settings
from hypothesis import strategies as st

from threatmon import cli
from threatmon.cli import redrive
from threatmon.cli.redrive import Fate, PostOffice, Queue, send_again
from threatmon.emulator.account import EmulatedAccount
from threatmon.emulator.delivery import deliver
from threatmon.emulator.deployment import deployed
from threatmon.model.email import MESSAGE_QUOTA
from threatmon.project import ROOT as PROJECT_ROOT
from threatmon.redrive.dead_letters import harmless
from threatmon.stacks import old_aws as session
from threatmon.stacks.files import load

ACCOUNT = ("111122223333", "eu-west-1")
OFTEN = 60  # calls; more than any run here makes


class Interruption(BaseException):
    """Ctrl-C, kill -9, a lost connection: whatever ends the run at once."""


class Stack:
    """A dead-letter queue, a topic that mails and one that gets untouched events, and the rule that feeds them."""

    def __init__(self, account: EmulatedAccount, name: str = "") -> None:
        self.account, self.session = account, account.boto3_session()
        self.sns, self.sqs, self.events = (account.client(service) for service in ("sns", "sqs", "events"))
        self.topic = self.sns.create_topic(Name=f"topic{name}")["TopicArn"]
        self.raw_topic = self.sns.create_topic(Name=f"topic-raw{name}")["TopicArn"]
        self.queue_name = f"dead-letters{name}"
        self.url = self.sqs.create_queue(QueueName=self.queue_name)["QueueUrl"]
        self.events.put_rule(Name=f"rule{name}", EventPattern="{}")
        transformer = {"InputPathsMap": {"a": "$.id"}, "InputTemplate": '"<a>"'}
        self.events.put_targets(
            Rule=f"rule{name}",
            Targets=[
                {"Id": "1", "Arn": self.topic, "InputTransformer": transformer},
                {"Id": "2", "Arn": self.raw_topic},
            ],
        )
        self.outputs = {
            "topicArn": self.topic,
            "deadLetterQueueUrl": self.url,
            "ruleNames": [f"rule{name}"],
            "logGroupName": "/logs",
        }

    def put(self, body: Any, target: str | None = None, code: str = "INVALID_JSON") -> None:
        attributes = {"TARGET_ARN": target or self.topic, "ERROR_CODE": code}
        self.sqs.send_message(
            QueueUrl=self.url,
            MessageBody=body if isinstance(body, str) else json.dumps(body),
            MessageAttributes={k: {"DataType": "String", "StringValue": v} for k, v in attributes.items()},
        )

    @property
    def queued(self) -> list[str]:
        """Bodies of the messages in the queue, hidden or not."""
        return [message.body for message in self._messages]

    @property
    def hidden(self) -> list[str]:
        return [message.body for message in self._messages if not message.visible]

    def time_passes(self) -> None:
        for message in self._messages:
            message.change_visibility(0)

    @property
    def _messages(self) -> list[Any]:
        return list(self.account.backend("sqs").queues[self.queue_name]._messages)

    def published(self, topic: str | None = None) -> list[tuple[str | None, str]]:
        """Subjects and bodies of what the topic was given."""
        sent = self.account.backend("sns").topics[topic or self.topic].sent_notifications
        return [(subject, body) for _, body, subject, *_ in sent]


def no_waiting(account: EmulatedAccount) -> EmulatedAccount:
    """moto waits for messages in earnest."""
    account.boto3_session().events.register(
        "before-parameter-build.sqs.ReceiveMessage", lambda params, **_: params.update(WaitTimeSeconds=0)
    )
    return account


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    with EmulatedAccount(*ACCOUNT) as account:
        stack = Stack(no_waiting(account))
        monkeypatch.setattr(session, "new_session", lambda _profile, _region: stack.session)
        monkeypatch.setattr(redrive, "stack_outputs", lambda _stack: stack.outputs)
        yield stack


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Exit code, standard output, standard error of `threatmon redrive ...`."""
    monkeypatch.setenv("COLUMNS", "140")

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["threatmon", "redrive", *arguments])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        captured = capsys.readouterr()
        return int(stop.value.code or 0), captured.out, captured.err

    return call


def aws_says(parsed: dict[str, Any], status: int = 400) -> Any:
    """What a handler of botocore's ``before-call`` returns to answer a call in the place of AWS."""
    headers: Any = {}
    return AWSResponse("https://aws", status, headers, None), parsed | {"ResponseMetadata": {}}


def error(code: str, message: str = "no") -> Any:
    return aws_says({"Error": {"Code": code, "Message": message}})


def answer(session: boto3.Session, operation: str, answered: Callable[[], Any]) -> None:
    """From now on a call is answered so; None lets it through to moto."""
    handler: Any = lambda **_: answered()  # noqa: E731 - botocore passes much that is not needed
    session.events.register(f"before-call.{operation}", handler)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


# -- what it shows and does -------------------------------------------------------------------------------------------


def test_an_empty_queue_is_fine(stack: Stack, run: Run) -> None:
    assert run() == (0, "The dead-letter queue is empty.\n", "")
    assert stack.published() == []


def test_without_a_terminal_it_only_lists_and_hides_nothing(stack: Stack, run: Run) -> None:
    stack.put(recorded("ec2_portscan"))
    stack.put("no JSON", code="NO_PERMISSIONS")
    code, out, err = run()
    assert (code, err) == (1, "")
    row = next(line for line in out.splitlines() if "Recon" in line)
    assert [cell.strip() for cell in row.strip("│").split("│")] == [
        "0 s",
        "Recon:EC2/Portscan",
        "MEDIUM (5)",
        "111122223333",
        "eu-west-1",
        "INVALID_JSON",
    ]
    assert "no finding" in out
    assert "NO_PERMISSIONS" in out
    assert out.endswith("2 in the queue.\n")
    assert stack.published() == stack.hidden == []
    assert len(stack.queued) == 2


def test_with_yes_every_message_is_sent_as_plain_text_and_leaves_the_queue(stack: Stack, run: Run) -> None:
    event = recorded("ec2_portscan")
    event["detail"]["title"] = 'say "hi"'
    stack.put(event)
    stack.put("no JSON")
    code, out, err = run("--yes")
    assert (code, err) == (0, "")
    assert "sent again: Recon:EC2/Portscan\n" in out
    assert out.endswith("2 sent again.\n")
    assert stack.queued == []
    subjects, bodies = zip(*stack.published(), strict=True)
    assert set(subjects) == {"Sent again: MEDIUM Recon:EC2/Portscan (111122223333, eu-west-1)", "Sent again: an alert"}
    assert any('\nsay "hi"\n' in body for body in bodies)
    assert any(body.endswith("\nno JSON") for body in bodies)


@pytest.mark.parametrize(("answered", "code", "sent"), [("y", 0, 1), ("n", 1, 0), ("", 1, 0)])
def test_in_a_terminal_it_asks_first(
    stack: Stack, run: Run, monkeypatch: pytest.MonkeyPatch, answered: str, code: int, sent: int
) -> None:
    stack.put(recorded("iam_user"))
    monkeypatch.setattr("sys.stdin", Terminal(f"{answered}\n"))
    assert run()[0] == code
    assert (len(stack.published()), len(stack.queued)) == (sent, 1 - sent)
    assert stack.hidden == []


def test_more_messages_than_sqs_hands_out_at_once_are_all_sent_once(stack: Stack, run: Run) -> None:
    bodies = [f"message {number:02}" for number in range(23)]
    for body in bodies:
        stack.put(body)
    code, out, _ = run("--yes")
    assert code == 0
    assert out.endswith("23 sent again.\n")
    assert sorted(body.splitlines()[-1] for _, body in stack.published()) == bodies
    assert stack.queued == []


def test_the_document_has_every_message_and_what_became_of_it(stack: Stack, run: Run) -> None:
    stack.put(recorded("ec2_portscan"))
    code, out, _ = run("--json")
    listed = json.loads(out)
    assert (code, listed["stack"], listed["sentAgain"], listed["remaining"], listed["hidden"]) == (1, "dev", 0, 1, 0)
    assert stack.published() == []
    code, out, _ = run("--json", "--yes")
    document = json.loads(out)
    assert (code, document["sentAgain"], document["remaining"]) == (0, 1, 0)
    [message] = document["messages"]
    assert message.pop("id")
    assert message == {
        "findingType": "Recon:EC2/Portscan",
        "severity": "5",
        "accountId": "111122223333",
        "region": "eu-west-1",
        "ageSeconds": 0,
        "targetArn": stack.topic,
        "error": "INVALID_JSON",
        "state": "sent again",
        "reason": None,
    }


def test_json_asks_nothing_even_in_a_terminal(stack: Stack, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    stack.put("x")
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    assert run("--json")[0] == 1
    assert stack.queued == ["x"]


def test_hostile_text_reaches_neither_the_terminal_nor_the_markup(stack: Stack, run: Run) -> None:
    event = recorded("ec2_portscan")
    event["detail"]["type"] = "[red]\x1b[31m\nfake line"
    stack.put(event)
    _, out, _ = run("--yes")
    assert "\x1b" not in out
    assert "\nfake" not in out
    assert out.count(r"[red]\x1b[31m\nfake line") == 2  # in the table, and when it is sent
    assert r"sent again: [red]\x1b[31m\nfake line" in out


def test_what_arrives_after_the_listing_is_sent_too(stack: Stack, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    stack.put("first")
    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("typer.confirm", lambda _question: stack.put("late") is None)
    code, out, _ = run()
    assert code == 0
    assert out.endswith("2 sent again.\n")
    assert stack.queued == []


def test_what_another_run_has_in_hand_is_told_and_left_alone(stack: Stack, run: Run) -> None:
    stack.put("x")
    stack.sqs.receive_message(QueueUrl=stack.url, VisibilityTimeout=100)
    code, out, _ = run("--yes")
    assert code == 1
    assert out == (
        "No message can be seen.\n"
        "About 1 more are hidden: another run has them, or one was interrupted. Try again in 2 minutes.\n"
    )
    assert stack.published() == []


# -- which topic ------------------------------------------------------------------------------------------------------


def test_each_message_goes_to_the_topic_that_missed_it_and_raw_ones_stay_events(stack: Stack, run: Run) -> None:
    event = recorded("iam_user")
    stack.put(event, stack.topic)
    stack.put(event, stack.raw_topic, "NO_PERMISSIONS")
    assert run("--yes")[0] == 0
    [(subject, text)] = stack.published()
    assert subject
    assert subject.startswith("Sent again: ")
    assert text.startswith("This could not be delivered (INVALID_JSON)")
    assert stack.published(stack.raw_topic) == [(None, json.dumps(event))]


def test_a_topic_that_is_not_the_stacks_gets_nothing(stack: Stack, run: Run) -> None:
    foreign = stack.sns.create_topic(Name="foreign")["TopicArn"]
    stack.put("x", foreign)
    assert run("--yes")[0] == 0
    assert stack.published(foreign) == []
    assert len(stack.published()) == 1


def test_what_is_no_event_goes_to_a_raw_topic_as_text(stack: Stack, run: Run) -> None:
    stack.put("no JSON", stack.raw_topic)
    assert run("--yes")[0] == 0
    [(_, body)] = stack.published(stack.raw_topic)
    assert body.startswith("This could not be delivered")
    assert body.endswith("no JSON")


def test_an_event_too_long_for_a_raw_topic_stays_in_the_queue_and_the_others_go(stack: Stack, run: Run) -> None:
    long = recorded("iam_user") | {"x": "y" * MESSAGE_QUOTA}
    stack.put(long, stack.raw_topic)
    stack.put(long, stack.topic)
    code, out, _ = run("--yes")
    assert code == 1
    assert f"the event is longer than the {MESSAGE_QUOTA} bytes that SNS takes, and {stack.raw_topic} gets" in out
    assert out.endswith("1 sent again, 1 left in the queue.\n")
    assert stack.queued == [json.dumps(long)]
    assert stack.published(stack.raw_topic) == []
    assert len(stack.published()) == 1


def test_a_rule_that_is_gone_sends_its_messages_to_the_stacks_own_topic(stack: Stack, run: Run) -> None:
    stack.outputs["ruleNames"] = ["gone"]
    stack.put(recorded("iam_user"), stack.raw_topic)
    assert run("--yes")[0] == 0
    assert len(stack.published()) == 1


# -- nothing is lost --------------------------------------------------------------------------------------------------


def run_until(stack: Stack, call: int, *, done: bool) -> bool:
    """A run that ends at its ``call``-th call, before AWS has it or (``done``) after; False where it ends before."""
    calls = itertools.count(1)

    def interrupt(**_: object) -> None:
        if next(calls) == call:
            raise Interruption

    event = "after-call" if done else "before-call"
    for client in (stack.sqs, stack.sns):
        client.meta.events.register(event, interrupt)
    try:
        queue, post = Queue(stack.sqs, stack.url), PostOffice(stack.sns, stack.topic, {})
        fates: dict[str, Fate] = {}
        for letter in [*queue.look(), *send_again(queue, post, fates)]:
            assert letter
    except Interruption:
        return True
    finally:
        for client in (stack.sqs, stack.sns):
            client.meta.events.unregister(event, interrupt)
    return False


def test_interrupted_anywhere_nothing_is_lost_and_at_most_one_is_sent_twice(stack: Stack) -> None:
    names = itertools.count()

    @settings(max_examples=150)
    @given(
        texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), min_size=1, max_size=5),
        call=st.integers(1, 24),
        done=st.booleans(),
    )
    def interrupted_run(texts: list[str], call: int, done: bool) -> None:
        path = Stack(stack.account, str(next(names)))
        bodies = [f"{number}:{text}" for number, text in enumerate(texts)]
        expected = set(map(harmless, bodies))
        for body in bodies:
            path.put(body)

        interrupted = run_until(path, call, done=done)
        sent = [body.rpartition("\n")[2] for _, body in path.published()]
        queued = set(map(harmless, path.queued))
        assert set(sent) | queued == expected
        assert len(set(sent) & queued) <= 1
        assert interrupted or not queued

        path.time_passes()
        assert not run_until(path, OFTEN, done=done)
        assert path.queued == []
        sent = [body.rpartition("\n")[2] for _, body in path.published()]
        assert set(sent) == expected
        assert len(sent) <= len(expected) + interrupted

    interrupted_run()


def test_each_call_of_a_run_is_a_place_to_be_interrupted(stack: Stack) -> None:
    stack.put("x")
    interrupted: list[int] = []
    for call in range(1, 10):
        interrupted += [call] if run_until(stack, call, done=False) else []
        stack.time_passes()
    # receive, receive none, show again, receive, publish, delete, receive none
    assert interrupted == [1, 2, 3, 4, 5, 6, 7]
    assert len(stack.published()) == 2  # once before the deletion was interrupted, once before it was not


@pytest.mark.parametrize(
    ("operation", "action", "published"),
    [("sns.Publish", "sns:Publish", 0), ("sqs.DeleteMessage", "sqs:DeleteMessage", 1)],
)
def test_a_missing_permission_ends_the_run_before_the_next_message(
    stack: Stack, run: Run, operation: str, action: str, published: int
) -> None:
    for body in ("one", "two", "three"):
        stack.put(body)
    answer(stack.session, operation, lambda: error("AccessDenied"))
    code, out, err = run("--yes")
    assert code == 1
    assert err.startswith(f"Permission {action} is missing: no")
    assert len(stack.published()) == published
    assert len(stack.queued) == 3
    assert out.endswith("1 sent again, but not deleted, 2 in the queue.\n" if published else "3 in the queue.\n")


def test_a_message_that_sns_refuses_stays_and_the_others_go(stack: Stack, run: Run) -> None:
    stack.put("one")
    stack.put("two")
    publishes = itertools.count()
    odd = error("InvalidParameter", "Message too odd")
    answer(stack.session, "sns.Publish", lambda: None if next(publishes) else odd)
    code, out, _ = run("--yes")
    assert code == 1
    assert "left in the queue: no finding: sns:Publish failed: InvalidParameter: Message too odd\n" in out
    assert out.endswith("1 sent again, 1 left in the queue.\n")
    assert (len(stack.queued), len(stack.published())) == (1, 1)


def test_a_publish_that_sns_does_not_confirm_deletes_nothing(stack: Stack, run: Run) -> None:
    stack.put("x")
    answer(stack.session, "sns.Publish", lambda: aws_says({}, 200))
    code, out, _ = run("--yes")
    assert code == 1
    assert "SNS did not confirm it" in out
    assert stack.queued == ["x"]


class Conveyor:
    """A queue that hands out the same messages in turns, as SQS does once their time is over."""

    def __init__(self, ids: list[str], times: int) -> None:
        self.handed_out = ids * times
        self.deleted: list[str] = []

    def receive_message(self, **_: object) -> Mapping[str, Any]:
        if not self.handed_out:
            return {}
        id_ = self.handed_out.pop(0)
        attributes = {"SentTimestamp": "0"}
        return {"Messages": [{"MessageId": id_, "ReceiptHandle": id_, "Body": id_, "Attributes": attributes}]}

    def delete_message(self, ReceiptHandle: str, **_: object) -> None:  # noqa: N803 - botocore's name
        self.deleted.append(ReceiptHandle)


class Recipient:
    """A topic that takes what it is given, or never does."""

    def __init__(self, *, takes: bool) -> None:
        self.given: list[str] = []
        self.takes = takes

    def publish(self, Message: str, **_: object) -> Mapping[str, str]:  # noqa: N803 - botocore's name
        self.given.append(Message.rpartition("\n")[2])
        return {"MessageId": "1"} if self.takes else {}


def test_a_message_handed_out_twice_is_sent_once_and_deleted_again() -> None:
    sqs, sns = Conveyor(["a", "b"], 2), Recipient(takes=True)
    fates: dict[str, Fate] = {}
    assert [letter.id for letter in send_again(Queue(sqs, ""), PostOffice(sns, "", {}), fates)] == ["a", "b"]
    assert sns.given == ["a", "b"]
    assert sqs.deleted == ["a", "b", "a", "b"]


def test_what_was_left_may_come_back_before_the_rest_of_the_queue() -> None:
    sns = Recipient(takes=False)
    letters = send_again(Queue(Conveyor(["a", "a", "b"], 1), ""), PostOffice(sns, "", {}), {})
    assert [letter.id for letter in letters] == sns.given == ["a", "b"]


def test_a_run_ends_when_the_queue_only_repeats_what_was_left() -> None:
    sqs, sns = Conveyor(["a", "b"], 1000), Recipient(takes=False)
    fates: dict[str, Fate] = {}
    assert [letter.id for letter in send_again(Queue(sqs, ""), PostOffice(sns, "", {}), fates)] == ["a", "b"]
    assert sns.given == ["a", "b"]
    assert sqs.deleted == []
    assert {fate.state for fate in fates.values()} == {"left in the queue"}


# -- when AWS says no -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "code", "said"),
    [
        ("sqs.GetQueueAttributes", "AccessDenied", "Permission sqs:GetQueueAttributes is missing: no\n"),
        ("sqs.ReceiveMessage", "AccessDenied", "Permission sqs:ReceiveMessage is missing: no\n"),
        ("sqs.ChangeMessageVisibilityBatch", "AccessDenied", "Permission sqs:ChangeMessageVisibility is missing: no\n"),
        ("events.ListTargetsByRule", "AccessDeniedException", "Permission events:ListTargetsByRule is missing: no\n"),
        ("sns.Publish", "KMSAccessDeniedException", "sns:Publish failed: KMSAccessDeniedException: no\n"),
        ("sqs.ReceiveMessage", "ExpiredToken", "The AWS credentials have expired"),
        ("sqs.ReceiveMessage", "UnrecognizedClientException", "check AWS_PROFILE and aws:region"),
        ("sns.Publish", "ThrottlingException", "AWS still throttles sns:Publish after 8 attempts"),
        ("sns.Publish", "NotFound", "sns:Publish failed: NotFound: no\n"),
    ],
)
def test_what_aws_refuses_is_said_in_one_line_and_nothing_is_lost(
    stack: Stack, run: Run, operation: str, code: str, said: str
) -> None:
    stack.put("x")
    answer(stack.session, operation, lambda: error(code))
    exit_code, _, err = run("--yes")
    assert exit_code == 1
    assert said in err
    assert err.count("\n") == 1
    assert stack.queued == ["x"]


def test_credentials_of_another_account_are_refused(stack: Stack, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with EmulatedAccount("444455556666", "eu-west-1") as other:
        monkeypatch.setattr(session, "new_session", lambda _profile, _region: other.boto3_session())
        with patch.object(session.Aws, "client", side_effect=AssertionError):
            code, out, err = run("--yes")
    assert (code, out) == (2, "")
    assert "but Pulumi.dev.yaml allows 111122223333" in err
    assert stack.published() == []


@pytest.mark.parametrize("missing", ["deadLetterQueueUrl", "topicArn"])
def test_a_half_deployed_stack_says_which_output_is_missing(stack: Stack, run: Run, missing: str) -> None:
    del stack.outputs[missing]
    assert run() == (2, "", f"Stack dev has no output {missing}; complete its deployment: `make up STACK=dev`.\n")


def test_a_queue_that_is_gone_is_named(stack: Stack, run: Run) -> None:
    stack.sqs.delete_queue(QueueUrl=stack.url)
    code, _, err = run("--yes")
    assert code == 1
    assert err.startswith("sqs:GetQueueAttributes failed: ")


def test_a_stack_that_does_not_exist_is_wrong_use(run: Run) -> None:
    code, _, err = run("--stack", "nowhere")
    assert code == 2
    assert err.startswith("Pulumi.nowhere.yaml: no such stack file")


def test_it_calls_what_its_permissions_name_and_nothing_else(stack: Stack, run: Run) -> None:
    calls: set[str] = set()
    stack.session.events.register(
        "before-call", lambda model, **_: calls.add(f"{model.service_model.signing_name}:{model.name}")
    )
    stack.put("x")
    assert run("--yes")[0] == 0
    # IAM has one action for a call and its batch; every caller may ask who it is; the services use the key themselves.
    called = {call.removesuffix("Batch") for call in calls} - {"sts:GetCallerIdentity"}
    assert called | {"kms:Decrypt", "kms:GenerateDataKey"} == set(redrive.PERMISSIONS)
    assert list(redrive.PERMISSIONS) == sorted(redrive.PERMISSIONS)


def test_the_help_has_an_example(run: Run) -> None:
    code, out, _ = run("--help")
    assert code == 0
    assert "Example: threatmon redrive --stack prod" in out


def test_a_finding_that_broke_the_mail_of_a_deployed_stack_arrives_after_all(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = recorded("ec2_portscan")
    event["detail"]["title"] = 'a "quoted" title'
    with deployed(load(PROJECT_ROOT, "dev")) as (account, program):
        no_waiting(account)
        monkeypatch.setattr(session, "new_session", lambda _profile, _region: account.boto3_session())
        monkeypatch.setattr(redrive, "stack_outputs", lambda _stack: program.outputs)
        for arn in account.backend("sns").subscriptions:
            account.confirm_subscription(arn)
        journey = deliver(account, event)
        assert (len(journey.dead_letters), journey.notifications) == (1, [])
        assert run("--yes")[0] == 0
        [(_, body, subject, *_)] = account.backend("sns").topics[program.outputs["topicArn"]].sent_notifications
        assert subject == "Sent again: MEDIUM Recon:EC2/Portscan (111122223333, eu-west-1)"
        assert '\na "quoted" title\n' in body
        assert f"\nDashboard and saved queries: {program.outputs['dashboardUrl']}\n" in body
        assert run() == (0, "The dead-letter queue is empty.\n", "")
