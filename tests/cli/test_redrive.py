import io
import itertools
import json

import pytest
from conftest import RunCommand
from examples import ACCOUNT, REGION
from findings import recorded
from redrive.dead_letter_stack import DeadLetterStack, answer_at_once
from scripted_account import ScriptedAccount

from threatmon.cli import redrive
from threatmon.emulator.delivery import deliver
from threatmon.emulator.deployment import deployed
from threatmon.model.email import MESSAGE_QUOTA
from threatmon.project import ROOT as PROJECT_ROOT
from threatmon.stacks.files import load


@pytest.fixture
def stack(scripted: ScriptedAccount, monkeypatch: pytest.MonkeyPatch) -> DeadLetterStack:
    stack = DeadLetterStack(scripted)
    monkeypatch.setattr(redrive, "stack_outputs", lambda _stack: stack.outputs)
    return stack


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


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
    stack: DeadLetterStack, monkeypatch: pytest.MonkeyPatch, answered: str, code: int, sent: int
) -> None:
    import typer  # noqa: PLC0415

    stack.put(recorded("iam_user"))
