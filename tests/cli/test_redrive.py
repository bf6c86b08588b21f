import itertools
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from conftest import RunCommand
from examples import ACCOUNT, REGION
from findings import recorded
from redrive.dead_letter_stack import FAILS, SUCCEEDS, DeadLetterStack
from scripted_account import ScriptedAccount

from threatmon.cli import redrive
from threatmon.model.state_machine import QUOTA


@pytest.fixture
def stack(scripted: ScriptedAccount, monkeypatch: pytest.MonkeyPatch) -> DeadLetterStack:
    stack = DeadLetterStack(scripted)
    monkeypatch.setattr(redrive, "stack_outputs", lambda _stack: stack.outputs)
    return stack


def row(out: str, word: str) -> list[str]:
    line = next(line for line in out.splitlines() if word in line)
    return [cell.strip() for cell in line.split("  ") if cell]


def text_of(body: str) -> dict[str, Any]:
    """What the state machine gets for a body that is no event."""
    return {"detail": None, "body": body, "channels": ["mail"]}


# -- what it shows and does -------------------------------------------------------------------------------------------


def test_where_nothing_failed_there_is_nothing_to_do(stack: DeadLetterStack, threatmon: RunCommand) -> None:
    nothing = "Undelivered alerts of stack dev\n\nThe dead-letter queue is empty, and no execution has failed.\n"
    assert threatmon("redrive", "--yes") == (0, nothing, "")
    assert stack.machine.sent == []


def test_without_a_terminal_it_only_lists_and_hides_nothing(stack: DeadLetterStack, threatmon: RunCommand) -> None:
    stack.put(recorded("ec2_portscan"))
    stack.put("no JSON", code="NO_RESOURCE")
    stack.machine.run("a", json.dumps(recorded("iam_user")), error="Lost", cause="mail")
    code, out, err = threatmon("redrive")
    assert (code, err) == (1, "")
    portscan = ["waiting", "message", "0 s", "Recon:EC2/Portscan", "MEDIUM (5)", ACCOUNT, REGION, "NO_PERMISSIONS"]
    assert row(out, "Recon") == portscan
    assert row(out, "no finding") == ["waiting", "message", "0 s", "no finding", "NO_RESOURCE"]
    assert row(out, "execution")[:2] == ["waiting", "execution"]
    assert row(out, "execution")[-1] == "Lost: mail"
    assert out.endswith("\n3 waiting.\n")
    assert stack.machine.sent == stack.hidden == []
    assert len(stack.queued) == 2


def test_with_yes_everything_is_sent_and_leaves_the_queue(stack: DeadLetterStack, threatmon: RunCommand) -> None:
    event, failed = recorded("ec2_portscan"), recorded("iam_user")
    stack.put(event)
    stack.put("no JSON")
    stack.machine.run("a", json.dumps(failed), "Slack", "Teams", status="TIMED_OUT")
    code, out, err = threatmon("redrive", "--yes")
    assert (code, err) == (0, "")
    assert row(out, "Recon:EC2/Portscan")[0] == row(out, "TIMED_OUT")[0] == "sent again"
    assert out.endswith("\n3 sent again.\n")
    assert stack.queued == []
    for sent in (event, text_of("no JSON"), failed | {"channels": ["mail"]}):
        assert stack.machine.sent.count(sent) == 1
    assert threatmon("redrive").code == 0
    assert len(stack.machine.sent) == 3


@pytest.mark.parametrize(("answered", "code", "sent"), [("y", 0, 1), ("n", 1, 0), ("", 1, 0)])
def test_in_a_terminal_it_asks_first(
    stack: DeadLetterStack, threatmon: RunCommand, answered: str, code: int, sent: int
) -> None:
    stack.put(recorded("iam_user"))
    ended = threatmon("redrive", stdin=f"{answered}\n", terminal=True)
    assert ended.code == code
    assert "\n1 waiting.\nSend 1 alert(s) again?" in ended.out
    assert ended.out.endswith("\n1 sent again.\n") is bool(sent)
    assert (len(stack.machine.sent), len(stack.queued)) == (sent, 1 - sent)
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
    assert sorted(sent["body"] for sent in stack.machine.sent) == bodies
    assert stack.queued == []


def test_the_document_has_every_alert_and_what_became_of_it(stack: DeadLetterStack, threatmon: RunCommand) -> None:
    stack.put(recorded("ec2_portscan"), stack.topic, "slack")
    code, out, _ = threatmon("redrive", "-o", "json")
    listed = json.loads(out)
    assert (code, listed["stack"], listed["sentAgain"], listed["remaining"], listed["hidden"]) == (1, "dev", 0, 1, 0)
    assert stack.machine.sent == []
    code, out, _ = threatmon("redrive", "-o", "json", "--yes")
    document = json.loads(out)
    assert (code, document["sentAgain"], document["remaining"]) == (0, 1, 0)
    [message] = document["messages"]
    assert message.pop("id")
    assert 0 <= message.pop("ageSeconds") < 60
    assert message == {
        "kind": "message",
        "findingType": "Recon:EC2/Portscan",
        "severity": "5",
        "accountId": ACCOUNT,
        "region": REGION,
        "targetArn": stack.topic,
        "channels": ["slack"],
        "error": "NO_PERMISSIONS",
        "state": "sent again",
        "reason": None,
        "executionArn": stack.machine.executions[0].execution_arn,
    }


@pytest.mark.parametrize("output", ["json", "markdown", "html"])
def test_what_is_no_text_asks_nothing_even_in_a_terminal(
    stack: DeadLetterStack, threatmon: RunCommand, output: str
) -> None:
    stack.put("x")
    assert threatmon("redrive", "-o", output, stdin="y\n", terminal=True).code == 1
    assert stack.queued == ["x"]


def test_what_arrives_after_the_listing_waits_for_the_next_run(
    stack: DeadLetterStack, threatmon: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.put("first")
    monkeypatch.setattr("typer.confirm", lambda _question: stack.put("late") is None)
    code, out, _ = threatmon("redrive", terminal=True)
    assert code == 1
    assert out.endswith("\n1 sent again, 1 came meanwhile.\n")
    assert stack.queued == ["late"]


def test_what_another_run_has_in_hand_is_said_and_left_alone(stack: DeadLetterStack, threatmon: RunCommand) -> None:
    stack.put("x")
    stack.sqs.receive_message(QueueUrl=stack.url, VisibilityTimeout=100)
    code, out, _ = threatmon("redrive", "--yes")
    assert code == 1
    assert out.endswith(
        "\nNo message can be seen, and no execution has failed.\n"
        "About 1 more hidden: another run is sending them, or was interrupted. Try again in 2 minutes.\n"
    )
    assert stack.machine.sent == []


# -- to whom ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channel", ["mail", "slack", "teams"])
def test_what_the_state_machine_could_not_publish_goes_to_its_channel_alone(
    stack: DeadLetterStack, threatmon: RunCommand, channel: str
) -> None:
    event = recorded("iam_user")
    stack.put(event, stack.topic, channel)
    assert threatmon("redrive", "--yes").code == 0
    assert stack.machine.sent == [event | {"channels": [channel]}]


def test_what_could_not_start_the_state_machine_goes_to_all_channels(
    stack: DeadLetterStack, threatmon: RunCommand
) -> None:
    event = recorded("iam_user")
    stack.put(event, stack.machine.arn)
    assert threatmon("redrive", "--yes").code == 0
    assert stack.machine.sent == [event]


def test_what_machines_missed_goes_to_them_untouched_and_to_nobody_else(
    stack: DeadLetterStack, threatmon: RunCommand
) -> None:
    body = r'{"detail": {"title": "\ud800", "severity": 5.0}, "at": 1}'
    stack.put(body, stack.raw_topic)
    assert threatmon("redrive", "--yes").code == 0
    assert stack.published == [body]
    assert stack.machine.sent == []


@pytest.mark.parametrize("channel", ["", "pager"])
def test_what_another_target_missed_is_mailed(stack: DeadLetterStack, threatmon: RunCommand, channel: str) -> None:
    event = recorded("iam_user")
    stack.put(event, stack.topic, channel)
    assert threatmon("redrive", "--yes").code == 0
    assert stack.machine.sent == [event | {"channels": ["mail"]}]
    assert stack.account.notifications == []


def test_what_is_no_event_is_mailed_whoever_missed_it(stack: DeadLetterStack, threatmon: RunCommand) -> None:
    for target in (stack.machine.arn, stack.raw_topic, "nowhere"):
        stack.put(f"to {target}", target)
    assert threatmon("redrive", "--yes").code == 0
    assert sorted(sent["body"] for sent in stack.machine.sent) == sorted(
        f"to {target}" for target in (stack.machine.arn, stack.raw_topic, "nowhere")
    )
    assert all(sent["channels"] == ["mail"] for sent in stack.machine.sent)
    assert stack.published == []


def test_what_a_deleted_rule_missed_is_mailed(stack: DeadLetterStack, threatmon: RunCommand) -> None:
    stack.outputs["ruleNames"] = ["gone"]
    event = recorded("iam_user")
    stack.put(event, stack.raw_topic)
    assert threatmon("redrive", "--yes").code == 0
    assert stack.machine.sent == [event | {"channels": ["mail"]}]


def test_an_event_too_long_for_machines_stays_and_people_get_a_shorter_one(
    stack: DeadLetterStack, threatmon: RunCommand
) -> None:
    event = recorded("iam_user")
    long = event | {"x": "y" * QUOTA}
    stack.put(long, stack.raw_topic)
    stack.put(long, stack.machine.arn)
    code, out, _ = threatmon("redrive", "--yes")
    assert code == 1
    assert f"the event is longer than the {QUOTA} bytes that SNS takes, and {stack.raw_topic} gets" in out
    assert out.endswith("\n1 sent again, 1 left.\n")
    assert stack.queued == [json.dumps(long)]
    assert stack.published == []
    assert [sent["detail"]["id"] for sent in stack.machine.sent] == [event["detail"]["id"]]


# -- what fails again -------------------------------------------------------------------------------------------------


def test_an_execution_that_fails_again_is_said_and_comes_again(stack: DeadLetterStack, threatmon: RunCommand) -> None:
    event = recorded("iam_user")
    stack.put(event)
    stack.machine.become(FAILS)
    code, out, _ = threatmon("redrive", "--yes")
    assert code == 1
    assert row(out, "message")[-1] == "Lost: mail"
    assert out.endswith("\n1 failed again.\n")
    assert stack.queued == []
    stack.machine.become(SUCCEEDS)
    assert threatmon("redrive", "--yes").out.endswith("\n1 sent again.\n")
    assert stack.machine.sent == [event, event | {"channels": ["mail"]}]
    assert threatmon("redrive").code == 0


def test_what_comes_back_to_the_queue_is_not_sent_for_ever(stack: DeadLetterStack, threatmon: RunCommand) -> None:
    def come_back(asked: dict[str, Any]) -> None:
        stack.put(asked["input"], stack.topic, "mail", "SNS.AuthorizationErrorException")

    stack.aws.answer("states:StartExecution", come_back)
    stack.put(recorded("iam_user"))
    code, out, _ = threatmon("redrive", "--yes")
    assert code == 1
    assert out.endswith("\n1 sent again, 1 came meanwhile.\n")
    assert row(out, "came meanwhile")[-1] == "SNS.AuthorizationErrorException"
    assert len(stack.queued) == len(stack.machine.sent) == 1


def test_a_message_whose_execution_was_started_before_is_deleted_and_not_sent(
    stack: DeadLetterStack, threatmon: RunCommand
) -> None:
    stack.put(recorded("iam_user"))
    with stack.aws.refuse("sqs:DeleteMessage"):
        assert threatmon("redrive", "--yes").code == 1
    stack.end_hiding()
    code, out, _ = threatmon("redrive", "--yes")
    assert (code, len(stack.machine.sent), stack.queued) == (0, 1, [])
    assert out.endswith("\n1 sent again.\n")


# -- when AWS says no -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "sent", "ending"),
    [
        ("states:StartExecution", 0, "\n3 waiting.\n"),
        ("sqs:DeleteMessage", 1, "\n1 sent again, but not deleted, 2 waiting.\n"),
    ],
)
def test_a_missing_permission_ends_the_run_before_the_next_message(
    stack: DeadLetterStack, threatmon: RunCommand, action: str, sent: int, ending: str
) -> None:
    for body in ("one", "two", "three"):
        stack.put(body)
    stack.aws.refuse(action)
    code, out, err = threatmon("redrive", "--yes")
    assert (code, err) == (1, f"Permission {action} is missing: no\n")
    assert (len(stack.machine.sent), len(stack.queued)) == (sent, 3)
    assert out.endswith(ending)


def test_executions_that_nobody_may_look_at_are_on_their_way(stack: DeadLetterStack, threatmon: RunCommand) -> None:
    stack.put("x")
    stack.aws.refuse("states:DescribeExecution", "AccessDeniedException")
    code, out, err = threatmon("redrive", "--yes")
    assert (code, err) == (1, "Permission states:DescribeExecution is missing: no\n")
    assert out.endswith("\n1 on its way.\n")
    assert (len(stack.machine.sent), stack.queued) == (1, [])


@pytest.mark.parametrize(
    ("action", "code"), [("sns:Publish", "InvalidParameter"), ("states:StartExecution", "InvalidExecutionInput")]
)
def test_what_aws_will_never_take_stays_and_the_others_go(
    stack: DeadLetterStack, threatmon: RunCommand, action: str, code: str
) -> None:
    target = stack.raw_topic if action == "sns:Publish" else stack.machine.arn
    for _ in range(2):
        stack.put(recorded("iam_user"), target)
    calls = itertools.count()

    def first_is_odd(_: object) -> None:
        if not next(calls):
            raise ClientError({"Error": {"Code": code, "Message": "too odd"}}, action)

    stack.aws.answer(action, first_is_odd)
    exit_code, out, _ = threatmon("redrive", "--yes")
    assert exit_code == 1
    assert f"{action} failed: {code}: too odd" in row(out, "left")[-1]
    assert out.endswith("\n1 sent again, 1 left.\n")
    assert len(stack.queued) == len(stack.published) + len(stack.machine.sent) == 1


def test_a_publish_that_sns_does_not_confirm_deletes_nothing(stack: DeadLetterStack, threatmon: RunCommand) -> None:
    stack.put(recorded("iam_user"), stack.raw_topic)
    stack.aws.answer("sns:Publish", {})
    code, out, _ = threatmon("redrive", "--yes")
    assert code == 1
    assert "SNS did not confirm it" in out
    assert len(stack.queued) == 1


@pytest.mark.parametrize(
    ("action", "code", "message"),
    [
        ("sqs:ReceiveMessage", "AccessDenied", "Permission sqs:ReceiveMessage is missing: no\n"),
        ("sqs:ChangeMessageVisibility", "AccessDenied", "Permission sqs:ChangeMessageVisibility is missing: no\n"),
        ("events:ListTargetsByRule", "AccessDeniedException", "Permission events:ListTargetsByRule is missing: no\n"),
        ("states:ListExecutions", "AccessDeniedException", "Permission states:ListExecutions is missing: no\n"),
        (
            "states:StartExecution",
            "StateMachineDoesNotExist",
            "states:StartExecution failed: StateMachineDoesNotExist: no\n",
        ),
        ("sns:Publish", "NotFound", "sns:Publish failed: NotFound: no\n"),
    ],
)
def test_what_aws_refuses_is_said_in_one_line_and_nothing_is_lost(
    stack: DeadLetterStack, threatmon: RunCommand, action: str, code: str, message: str
) -> None:
    stack.put(recorded("iam_user"), stack.raw_topic if action == "sns:Publish" else stack.machine.arn)
    stack.aws.refuse(action, code)
    exit_code, _, err = threatmon("redrive", "--yes")
    assert (exit_code, err) == (1, message)
    assert len(stack.queued) == 1


@pytest.mark.parametrize("missing", ["deadLetterQueueUrl", "stateMachineArn"])
def test_a_half_deployed_stack_says_which_output_is_missing(
    stack: DeadLetterStack, threatmon: RunCommand, missing: str
) -> None:
    del stack.outputs[missing]
    error = f"Stack dev has no output {missing}; complete its deployment: `make up STACK=dev`.\n"
    assert threatmon("redrive") == (2, "", error)


def test_it_calls_what_its_permissions_name_and_nothing_else(stack: DeadLetterStack, threatmon: RunCommand) -> None:
    stack.put("x")
    stack.put(recorded("iam_user"), stack.raw_topic)
    stack.machine.run("a", "{}")
    assert threatmon("redrive", "--yes").code == 0
    called = set(stack.aws.calls) - {"sts:GetCallerIdentity"}  # every caller may ask who it is
    # The services use the key themselves.
    assert called | {"kms:Decrypt", "kms:GenerateDataKey"} == set(redrive.PERMISSIONS)
    assert list(redrive.PERMISSIONS) == sorted(redrive.PERMISSIONS)
