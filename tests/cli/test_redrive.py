import itertools
import json

import pytest
from botocore.exceptions import ClientError
from conftest import RunCommand
from examples import ACCOUNT, REGION
from findings import recorded
from redrive.dead_letter_stack import DeadLetterStack
from scripted_account import ScriptedAccount

from threatmon.cli import redrive
from threatmon.model.email import MESSAGE_QUOTA


@pytest.fixture
def stack(scripted: ScriptedAccount, monkeypatch: pytest.MonkeyPatch) -> DeadLetterStack:
    stack = DeadLetterStack(scripted)
    monkeypatch.setattr(redrive, "stack_outputs", lambda _stack: stack.outputs)
    return stack


def row(out: str, word: str) -> list[str]:
    return next(line for line in out.splitlines() if word in line).split("  ")


# -- what it shows and does -------------------------------------------------------------------------------------------


def test_an_empty_queue_is_fine(stack: DeadLetterStack, threatmon: RunCommand) -> None:
    assert threatmon("redrive") == (0, "Dead letters of stack dev\n\nThe dead-letter queue is empty.\n", "")
    assert stack.published() == []


def test_without_a_terminal_it_only_lists_and_hides_nothing(stack: DeadLetterStack, threatmon: RunCommand) -> None:
    stack.put(recorded("ec2_portscan"))
    stack.put("no JSON", code="NO_PERMISSIONS")
    code, out, err = threatmon("redrive")
    assert (code, err) == (1, "")
    assert [cell.strip() for cell in row(out, "Recon") if cell] == [
        "in the queue",
        "0 s",
        "Recon:EC2/Portscan",
        "MEDIUM (5)",
        ACCOUNT,
        REGION,
        "INVALID_JSON",
    ]
    assert "no finding" in out
    assert "NO_PERMISSIONS" in out
    assert out.endswith("\n2 in the queue.\n")
    assert stack.published() == stack.hidden == []
    assert len(stack.queued) == 2


def test_with_yes_every_message_is_sent_as_plain_text_and_leaves_the_queue(
    stack: DeadLetterStack, threatmon: RunCommand
) -> None:
    event = recorded("ec2_portscan")
    event["detail"]["title"] = 'say "hi"'
    stack.put(event)
    stack.put("no JSON")
    code, out, err = threatmon("redrive", "--yes")
    assert (code, err) == (0, "")
    assert row(out, "Recon:EC2/Portscan")[0] == "sent again"
    assert out.endswith("\n2 sent again.\n")
    assert stack.queued == []
    subjects, bodies = zip(*stack.published(), strict=True)
    assert set(subjects) == {"Sent again: MEDIUM Recon:EC2/Portscan (111122223333, eu-west-1)", "Sent again: an alert"}
    assert any('\nsay "hi"\n' in body for body in bodies)
    assert any(body.endswith("\nno JSON") for body in bodies)


@pytest.mark.parametrize(("answered", "code", "sent"), [("y", 0, 1), ("n", 1, 0), ("", 1, 0)])
def test_in_a_terminal_it_asks_first(
    stack: DeadLetterStack, threatmon: RunCommand, answered: str, code: int, sent: int
) -> None:
    stack.put(recorded("iam_user"))
    ended = threatmon("redrive", stdin=f"{answered}\n", terminal=True)
    assert ended.code == code
    assert "\n1 in the queue.\nSend 1 message(s) again?" in ended.out
    assert ended.out.endswith("\n1 sent again.\n") is bool(sent)
    assert (len(stack.published()), len(stack.queued)) == (sent, 1 - sent)
    assert stack.hidden == []


def test_more_messages_than_sqs_hands_out_at_once_are_all_sent_once(
    stack: DeadLetterStack, threatmon: RunCommand
) -> None:
    bodies = [f"message {number:02}" for number in range(23)]
    for body in bodies:
        stack.put(body)
    code, out, _ = threatmon("redrive", "--yes")
    assert code == 0
    assert out.endswith("\n23 sent again.\n")
    assert sorted(body.splitlines()[-1] for _, body in stack.published()) == bodies
    assert stack.queued == []


def test_the_document_has_every_message_and_what_became_of_it(stack: DeadLetterStack, threatmon: RunCommand) -> None:
    stack.put(recorded("ec2_portscan"))
    code, out, _ = threatmon("redrive", "-o", "json")
    listed = json.loads(out)
    assert (code, listed["stack"], listed["sentAgain"], listed["remaining"], listed["hidden"]) == (1, "dev", 0, 1, 0)
    assert stack.published() == []
    code, out, _ = threatmon("redrive", "-o", "json", "--yes")
    document = json.loads(out)
    assert (code, document["sentAgain"], document["remaining"]) == (0, 1, 0)
    [message] = document["messages"]
    assert message.pop("id")
    assert 0 <= message.pop("ageSeconds") < 60
    assert message == {
        "findingType": "Recon:EC2/Portscan",
        "severity": "5",
        "accountId": ACCOUNT,
        "region": REGION,
        "targetArn": stack.topic,
        "error": "INVALID_JSON",
        "state": "sent again",
        "reason": None,
    }


@pytest.mark.parametrize("output", ["json", "markdown", "html"])
def test_what_is_no_text_asks_nothing_even_in_a_terminal(
    stack: DeadLetterStack, threatmon: RunCommand, output: str
) -> None:
    stack.put("x")
    assert threatmon("redrive", "-o", output, stdin="y\n", terminal=True).code == 1
    assert stack.queued == ["x"]


def test_what_arrives_after_the_listing_is_sent_too(
    stack: DeadLetterStack, threatmon: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.put("first")
    monkeypatch.setattr("typer.confirm", lambda _question: stack.put("late") is None)
    code, out, _ = threatmon("redrive", terminal=True)
    assert code == 0
    assert out.endswith("\n2 sent again.\n")
    assert stack.queued == []


def test_what_another_run_has_in_hand_is_said_and_left_alone(stack: DeadLetterStack, threatmon: RunCommand) -> None:
    stack.put("x")
    stack.sqs.receive_message(QueueUrl=stack.url, VisibilityTimeout=100)
    code, out, _ = threatmon("redrive", "--yes")
    assert code == 1
    assert out.endswith(
        "\nNo message can be seen.\n"
        "About 1 more hidden: another run is sending them, or was interrupted. Try again in 2 minutes.\n"
    )
    assert stack.published() == []


# -- which topic ------------------------------------------------------------------------------------------------------


def test_each_message_goes_to_the_topic_that_missed_it_and_raw_ones_stay_events(
    stack: DeadLetterStack, threatmon: RunCommand
) -> None:
    event = recorded("iam_user")
    stack.put(event, stack.topic)
    stack.put(event, stack.raw_topic, "NO_PERMISSIONS")
    assert threatmon("redrive", "--yes").code == 0
    [(subject, text)] = stack.published()
    assert subject
    assert subject.startswith("Sent again: ")
    assert text.startswith("This could not be delivered (INVALID_JSON)")
    assert stack.published(stack.raw_topic) == [(None, json.dumps(event))]


def test_a_topic_that_is_not_the_stacks_gets_nothing(stack: DeadLetterStack, threatmon: RunCommand) -> None:
    foreign = stack.sns.create_topic(Name="foreign")["TopicArn"]
    stack.put("x", foreign)
    assert threatmon("redrive", "--yes").code == 0
    assert stack.published(foreign) == []
    assert len(stack.published()) == 1


def test_what_is_no_event_goes_to_a_raw_topic_as_text(stack: DeadLetterStack, threatmon: RunCommand) -> None:
    stack.put("no JSON", stack.raw_topic)
    assert threatmon("redrive", "--yes").code == 0
    [(_, body)] = stack.published(stack.raw_topic)
    assert body.startswith("This could not be delivered")
    assert body.endswith("no JSON")


def test_an_event_too_long_for_a_raw_topic_stays_in_the_queue_and_the_others_go(
    stack: DeadLetterStack, threatmon: RunCommand
) -> None:
    long = recorded("iam_user") | {"x": "y" * MESSAGE_QUOTA}
    stack.put(long, stack.raw_topic)
    stack.put(long, stack.topic)
    code, out, _ = threatmon("redrive", "--yes")
    assert code == 1
    assert f"the event is longer than the {MESSAGE_QUOTA} bytes that SNS takes, and {stack.raw_topic} gets" in out
    assert out.endswith("\n1 sent again, 1 left in the queue.\n")
    assert stack.queued == [json.dumps(long)]
    assert stack.published(stack.raw_topic) == []
    assert len(stack.published()) == 1


def test_what_a_deleted_rule_missed_goes_to_the_stacks_own_topic(stack: DeadLetterStack, threatmon: RunCommand) -> None:
    stack.outputs["ruleNames"] = ["gone"]
    stack.put(recorded("iam_user"), stack.raw_topic)
    assert threatmon("redrive", "--yes").code == 0
    assert len(stack.published()) == 1


# -- when AWS says no -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "published", "ending"),
    [
        ("sns:Publish", 0, "\n3 in the queue.\n"),
        ("sqs:DeleteMessage", 1, "\n1 sent again, but not deleted, 2 in the queue.\n"),
    ],
)
def test_a_missing_permission_ends_the_run_before_the_next_message(
    stack: DeadLetterStack, threatmon: RunCommand, action: str, published: int, ending: str
) -> None:
    for body in ("one", "two", "three"):
        stack.put(body)
    stack.aws.refuse(action)
    code, out, err = threatmon("redrive", "--yes")
    assert (code, err) == (1, f"Permission {action} is missing: no\n")
    assert (len(stack.published()), len(stack.queued)) == (published, 3)
    assert out.endswith(ending)


def test_a_message_that_sns_refuses_stays_and_the_others_go(stack: DeadLetterStack, threatmon: RunCommand) -> None:
    stack.put("one")
    stack.put("two")
    publishes = itertools.count()

    def first_is_odd(_: object) -> None:
        if not next(publishes):
            raise ClientError({"Error": {"Code": "InvalidParameter", "Message": "Message too odd"}}, "Publish")

    stack.aws.answer("sns:Publish", first_is_odd)
    code, out, _ = threatmon("redrive", "--yes")
    assert code == 1
    assert "sns:Publish failed: InvalidParameter: Message too odd" in row(out, "left in the queue")[-1]
    assert out.endswith("\n1 sent again, 1 left in the queue.\n")
    assert (len(stack.queued), len(stack.published())) == (1, 1)


def test_a_publish_that_sns_does_not_confirm_deletes_nothing(stack: DeadLetterStack, threatmon: RunCommand) -> None:
    stack.put("x")
    stack.aws.answer("sns:Publish", {})
    code, out, _ = threatmon("redrive", "--yes")
    assert code == 1
    assert "SNS did not confirm it" in out
    assert stack.queued == ["x"]


@pytest.mark.parametrize(
    ("action", "code", "message"),
    [
        ("sqs:ReceiveMessage", "AccessDenied", "Permission sqs:ReceiveMessage is missing: no\n"),
        ("sqs:ChangeMessageVisibility", "AccessDenied", "Permission sqs:ChangeMessageVisibility is missing: no\n"),
        ("events:ListTargetsByRule", "AccessDeniedException", "Permission events:ListTargetsByRule is missing: no\n"),
        ("sns:Publish", "NotFound", "sns:Publish failed: NotFound: no\n"),
    ],
)
def test_what_aws_refuses_is_said_in_one_line_and_nothing_is_lost(
    stack: DeadLetterStack, threatmon: RunCommand, action: str, code: str, message: str
) -> None:
    stack.put("x")
    stack.aws.refuse(action, code)
    exit_code, _, err = threatmon("redrive", "--yes")
    assert (exit_code, err) == (1, message)
    assert stack.queued == ["x"]


@pytest.mark.parametrize("missing", ["deadLetterQueueUrl", "topicArn"])
def test_a_half_deployed_stack_says_which_output_is_missing(
    stack: DeadLetterStack, threatmon: RunCommand, missing: str
) -> None:
    del stack.outputs[missing]
    error = f"Stack dev has no output {missing}; complete its deployment: `make up STACK=dev`.\n"
    assert threatmon("redrive") == (2, "", error)


def test_it_calls_what_its_permissions_name_and_nothing_else(stack: DeadLetterStack, threatmon: RunCommand) -> None:
    stack.put("x")
    assert threatmon("redrive", "--yes").code == 0
    called = set(stack.aws.calls) - {"sts:GetCallerIdentity"}  # every caller may ask who it is
    # The services use the key themselves.
    assert called | {"kms:Decrypt", "kms:GenerateDataKey"} == set(redrive.PERMISSIONS)
    assert list(redrive.PERMISSIONS) == sorted(redrive.PERMISSIONS)
