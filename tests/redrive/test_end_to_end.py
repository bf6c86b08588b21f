"""Events that fail on their way through a deployed stack, whatever the reason, arrive by redrive, each once."""

import json
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import RunCommand
from examples import EMAIL
from findings import recorded
from redrive.dead_letter_stack import answer_at_once
from stack_in_account import StackInAccount, show_commands, stack_file, stack_in_account

from threatmon.cli import redrive
from threatmon.emulator.delivery import deliver

SIEM = "arn:aws:sqs:eu-west-1:111122223333:siem"
ALERTS = {
    "slack": {"workspaceId": "T0123ABCD", "channelId": "C0123ABCD"},
    "subscribers": [{"protocol": "sqs", "endpoint": SIEM, "format": "raw"}],
}
EVENT = recorded("ec2_portscan")
Break = Callable[[StackInAccount], AbstractContextManager[None]]


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StackInAccount]:
    with stack_in_account(stack_file(minimumSeverity="low", alerts=ALERTS)) as stack:
        show_commands(stack, tmp_path, monkeypatch)
        monkeypatch.setattr(redrive, "stack_outputs", lambda _stack: stack.outputs)
        answer_at_once(stack.aws)
        yield stack


def readers(stack: StackInAccount) -> dict[str, int]:
    """How many messages each reader got."""
    named = {EMAIL: "mail", SIEM: "raw"}
    reached = [named.get(sent.endpoint, "slack") for sent in stack.account.notifications]
    return {reader: reached.count(reader) for reader in sorted(set(reached))}


def waiting(stack: StackInAccount) -> list[Any]:
    """Moto's records of what is in the queue, hidden or not."""
    return list(stack.account.backend("sqs").queues[stack.queue.rpartition("/")[2]]._messages)


# -- ways to fail, each repaired at the end of its block --------------------------------------------------------------


@contextmanager
def without_machine(stack: StackInAccount) -> Generator[None]:
    machines = stack.account.backend("stepfunctions").state_machines
    gone = list(machines)
    machines.clear()
    yield
    machines.extend(gone)


@contextmanager
def without_topic(stack: StackInAccount, suffix: str) -> Generator[None]:
    topics = stack.account.backend("sns").topics
    [arn] = [arn for arn in topics if arn.endswith(f"-topic{suffix}")]
    gone = topics.pop(arn)
    yield
    topics[arn] = gone


@contextmanager
def with_role_changed(stack: StackInAccount, name: str, old: str, new: str) -> Generator[None]:
    iam = stack.client("iam")
    [role] = [one["RoleName"] for one in iam.list_roles()["Roles"] if f"-{name}-role-" in one["RoleName"]]
    [policy] = iam.list_role_policies(RoleName=role)["PolicyNames"]
    document = json.dumps(iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"])
    assert old in document
    iam.put_role_policy(RoleName=role, PolicyName=policy, PolicyDocument=document.replace(old, new))
    yield
    iam.put_role_policy(RoleName=role, PolicyName=policy, PolicyDocument=document)


@contextmanager
def without_key(stack: StackInAccount) -> Generator[None]:
    key_id = stack.key.rpartition("/")[2]
    stack.client("kms").disable_key(KeyId=key_id)
    yield
    stack.client("kms").enable_key(KeyId=key_id)


@contextmanager
def with_faulty_definition(stack: StackInAccount) -> Generator[None]:
    machines, arn = stack.client("stepfunctions"), stack.outputs["stateMachineArn"]
    definition = machines.describe_state_machine(stateMachineArn=arn)["definition"]
    faulty = json.dumps({**json.loads(definition), "StartAt": "Lost"})
    machines.update_state_machine(stateMachineArn=arn, definition=faulty)
    yield
    machines.update_state_machine(stateMachineArn=arn, definition=definition)


WAYS: dict[str, tuple[Break, dict[str, int], int, int]] = {
    # how, who got a message at once, messages in the queue, failed executions
    "no machine": (without_machine, {"raw": 1}, 1, 0),
    "no right to start": (
        lambda stack: with_role_changed(stack, "start", "states:StartExecution", "states:StopExecution"),
        {"raw": 1},
        1,
        0,
    ),
    "no topic of mails": (lambda stack: without_topic(stack, ""), {"raw": 1, "slack": 1}, 1, 0),
    "no topic of chat": (lambda stack: without_topic(stack, "-slack"), {"mail": 1, "raw": 1}, 1, 0),
    "no topic of events": (lambda stack: without_topic(stack, "-raw"), {"mail": 1, "slack": 1}, 1, 0),
    "no right to publish": (
        lambda stack: with_role_changed(stack, "formatter", "sns:Publish", "sns:Subscribe"),
        {"raw": 1},
        2,
        0,
    ),
    # What is sent again is sent by the definition of now.
    "a faulty definition": (with_faulty_definition, {"raw": 1}, 0, 1),
    "neither topics nor queue": (
        lambda stack: with_role_changed(stack, "formatter", '"Allow"', '"Deny"'),
        {"raw": 1},
        0,
        1,
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_what_failed_arrives_exactly_once(stack: StackInAccount, threatmon: RunCommand, way: str) -> None:
    broken, at_once, messages, failed = WAYS[way]
    with broken(stack):
        delivery = deliver(stack.account, EVENT)
    assert readers(stack) == at_once
    assert (len(delivery.dead_letters), len(waiting(stack)), len(delivery.lost)) == (messages, messages, failed)
    code, out, err = threatmon("redrive", "--yes")
    assert (code, err) == (0, "")
    assert out.endswith(f"\n{messages + failed} sent again.\n")
    assert readers(stack) == {"mail": 1, "raw": 1, "slack": 1}
    assert all("Recon:EC2/Portscan" in sent.subject + sent.body for sent in stack.account.notifications)
    assert [sent.body for sent in stack.account.notifications if "could not be formatted" in sent.body] == []
    assert threatmon("redrive", "--yes").code == 0
    assert readers(stack) == {"mail": 1, "raw": 1, "slack": 1}


@pytest.mark.parametrize(
    "way", ["no machine", "no topic of mails", "no topic of chat", "no topic of events", "no right to publish"]
)
def test_what_still_fails_waits_again_and_arrives_once_it_can(
    stack: StackInAccount, threatmon: RunCommand, way: str
) -> None:
    broken, at_once, messages, _ = WAYS[way]
    with broken(stack):
        deliver(stack.account, EVENT)
        assert threatmon("redrive", "--yes").code == 1
    assert (readers(stack), len(waiting(stack))) == (at_once, messages)
    for message in waiting(stack):
        message.change_visibility(0)
    assert threatmon("redrive", "--yes").code == 0
    assert readers(stack) == {"mail": 1, "raw": 1, "slack": 1}


def test_people_hear_of_what_a_disabled_key_kept_from_topics_and_queue(
    stack: StackInAccount, threatmon: RunCommand
) -> None:
    with without_key(stack):
        delivery = deliver(stack.account, EVENT)
    assert readers(stack) == {}
    assert len(delivery.lost) == 2  # by the rule, for machines, and by the state machine, for people
    assert threatmon("redrive", "--yes").code == 0
    assert readers(stack) == {"mail": 1, "slack": 1}


def test_people_hear_of_an_event_that_is_too_large_and_machines_do_not(
    stack: StackInAccount, threatmon: RunCommand
) -> None:
    large = {**EVENT, "detail": {**EVENT["detail"], "more": ["x" * 1000] * 300}}
    assert len(deliver(stack.account, large).dead_letters) == 2
    code, out, _ = threatmon("redrive", "--yes")
    assert code == 1
    assert out.endswith("\n1 sent again, 1 left.\n")
    assert readers(stack) == {"mail": 1, "slack": 1}
    [mail] = [sent for sent in stack.account.notifications if sent.endpoint == EMAIL]
    assert mail.subject.startswith("[MEDIUM] Recon:EC2/Portscan")
    assert f"#/findings?search=id%3D{EVENT['detail']['id']}" in mail.body


def test_a_text_of_a_stranger_is_mailed_as_it_is(stack: StackInAccount, threatmon: RunCommand) -> None:
    stack.client("sqs").send_message(QueueUrl=stack.queue, MessageBody="an order of 3 \N{SNOWMAN}")
    assert threatmon("redrive", "--yes").code == 0
    assert readers(stack) == {"mail": 1}
    [mail] = stack.account.notifications
    assert mail.subject == "[UNFORMATTED] GuardDuty finding"
    assert '"body":"an order of 3' in mail.body
