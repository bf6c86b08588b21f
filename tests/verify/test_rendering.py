"""What AWS is asked to write, and what is made of its answers; the emulated account answers as AWS does."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from examples import ACCOUNT, REGION
from stack_in_account import CHANNELS, StackInAccount, stack_file, stack_in_account

from threatmon.aws.reader import Aws
from threatmon.evaluation.jsonata_expressions import evaluate
from threatmon.evaluation.mail import render
from threatmon.model import mail_formatter
from threatmon.model.location import Location
from threatmon.model.mail_formatter import MailOptions, formatter
from threatmon.model.state_machine import states
from threatmon.reports.model import Check
from threatmon.stacks.files import settings_of
from threatmon.verify import rendering
from threatmon.verify.deployed_stack import DeployedStack
from threatmon.verify.rendering import difference
from threatmon.verify.sample_events import sample_events

PLACE = Location(ACCOUNT, REGION, "aws", "amazonaws.com")
FAMILIES = {path.stem for path in (Path(mail_formatter.__file__).parent / "mail" / "families").glob("*.jsonata")}
VALID, MAIL, SLACK = "state machine at AWS", "mail as AWS writes it", "slack as AWS writes it"


@pytest.fixture
def stack() -> Iterator[StackInAccount]:
    with stack_in_account(stack_file()) as stack:
        yield stack


def checks(
    stack: StackInAccount,
    say: Callable[[str], object] = lambda _: None,
    sleep: Callable[[float], object] = lambda _: None,
    **changes: Any,
) -> dict[str, Check]:
    """What is said of the stack, given its file with changes."""
    settings = settings_of(stack_file(**changes))
    deployed = DeployedStack(Aws(stack.aws.session), settings, "dev")
    return {check.subject: check for check in rendering.checks(deployed, say, sleep)}


# -- the samples ------------------------------------------------------------------------------------------------------


def test_there_is_a_sample_of_each_family_and_each_gets_the_steps_of_its_own() -> None:
    events = sample_events(PLACE)
    assert set(events) == FAMILIES
    expression = formatter(MailOptions(ACCOUNT, REGION, "aws"))
    mails = {family: render(expression, event) for family, event in events.items()}
    steps = {mail.message.partition("== First steps ==")[2].partition("== Links ==")[0] for mail in mails.values()}
    assert len(steps) == len(FAMILIES)
    assert all("== More ==" in mail.message for family, mail in mails.items() if family == "generic")


def test_a_sample_is_of_the_place_it_is_made_for() -> None:
    china = Location("444455556666", "cn-north-1", "aws-cn", "amazonaws.com.cn")
    event = sample_events(china)["ec2"]
    assert (event["account"], event["region"], event["detail"]["partition"]) == (china.id, china.region, "aws-cn")


# -- AWS agrees -------------------------------------------------------------------------------------------------------


def test_aws_takes_the_definition_and_writes_every_channel_as_expected() -> None:
    said: list[str] = []
    slept: list[float] = []
    with stack_in_account(stack_file(**CHANNELS)) as stack:
        found = checks(stack, said.append, slept.append, **CHANNELS)
        assert not stack.account.notifications
        assert not stack.account.executions
    assert {subject: check.state for subject, check in found.items()} == {VALID: "ok", MAIL: "ok", SLACK: "ok"}
    assert found[MAIL].found == f"the same as offline for a sample of each of {len(FAMILIES)} families"
    assert slept == [1.1] * 2 * len(FAMILIES)
    assert said[0] == f"Having AWS write samples for mail: 1 of {len(FAMILIES)}, ai"


def test_what_is_tested_is_one_state_with_the_service_mocked(stack: StackInAccount) -> None:
    asked: list[dict[str, Any]] = []
    stack.aws.answer("states:TestState", asked.append)
    checks(stack)
    described = stack.client("stepfunctions").describe_state_machine(stateMachineArn=stack.machine)
    first = asked[0]
    mail = states(json.loads(described["definition"]))["Mail"]
    assert json.loads(first["definition"]) == {**mail, "QueryLanguage": "JSONata"}
    assert first["inspectionLevel"] == "DEBUG"
    assert json.loads(first["input"])["detail-type"] == "GuardDuty Finding"
    assert "MessageId" in json.loads(first["mock"]["result"])
    assert "roleArn" not in first


# -- AWS disagrees ----------------------------------------------------------------------------------------------------


def test_a_definition_that_aws_refuses_says_why(stack: StackInAccount) -> None:
    fault = {"severity": "ERROR", "code": "X", "message": "Missing 'Next'\ntarget", "location": "/States/Channels"}
    stack.aws.answer("states:ValidateStateMachineDefinition", {"result": "FAIL", "diagnostics": [fault]})
    found = checks(stack)[VALID]
    assert found[:3] == ("failed", VALID, "/States/Channels Missing 'Next'\\ntarget")
    stack.aws.answer("states:ValidateStateMachineDefinition", {"result": "FAIL", "diagnostics": []})
    assert checks(stack)[VALID].found == "AWS finds its definition wrong, and does not say why"


def test_a_text_that_aws_writes_otherwise_says_for_whom_and_which_line_first(stack: StackInAccount) -> None:
    def answer(asked: dict[str, Any]) -> dict[str, Any]:
        expression = json.loads(asked["definition"])["Arguments"][2:-2]
        arguments = evaluate(expression, {"states": {"input": json.loads(asked["input"])}})
        for family in ("s3", "rds"):
            if sample_events(PLACE)[family]["detail"]["type"] in asked["input"]:
                lines = arguments["Message"].split("\n")
                arguments["Message"] = "\n".join([lines[0], "Account: ?", *lines[2:]])
        return {"status": "SUCCEEDED", "inspectionData": {"afterArguments": json.dumps(arguments)}}

    stack.aws.answer("states:TestState", answer)
    found = checks(stack)[MAIL]
    assert found.state == "failed"
    assert found.found == (
        f'2 samples of {len(FAMILIES)} (rds, s3); rds: line 2 of Message is "Account: ?", '
        f'offline "Account: {ACCOUNT}, {REGION}"'
    )
    assert "or as plain messages" in found.todo


def test_a_state_that_fails_at_aws_says_how(stack: StackInAccount) -> None:
    failure = {"status": "CAUGHT_ERROR", "error": "States.QueryEvaluationError", "cause": "The JSONata\nexpression"}
    stack.aws.answer("states:TestState", failure)
    found = checks(stack)[MAIL]
    assert found.state == "failed"
    assert found.found.endswith("ai: AWS fails: States.QueryEvaluationError: The JSONata\\nexpression")


def test_a_deployed_text_that_fails_offline_alone_says_so(stack: StackInAccount) -> None:
    stack.change_definition("{% $merge([", "{% $error('no') ; $merge([")
    stack.aws.answer("states:TestState", {"status": "SUCCEEDED", "inspectionData": {"afterArguments": "{}"}})
    assert "ai: offline fails, where AWS does not: " in checks(stack)[MAIL].found


def test_a_channel_that_the_deployed_definition_does_not_have_is_missing(stack: StackInAccount) -> None:
    found = checks(stack, **CHANNELS)
    assert found[SLACK][::2] == ("failed", "the state machine has no state Slack that formats")
    assert found[MAIL].state == "ok"


@pytest.mark.parametrize(
    ("permission", "unknown"),
    [
        ("states:DescribeStateMachine", {VALID, MAIL}),
        ("states:TestState", {MAIL}),
        ("states:ValidateStateMachineDefinition", {VALID}),
    ],
)
def test_without_a_permission_a_check_is_unknown_and_names_it(
    stack: StackInAccount, permission: str, unknown: set[str]
) -> None:
    with stack.aws.refuse(permission):
        found = checks(stack)
    assert {subject for subject, check in found.items() if check.state == "unknown"} == unknown
    assert {found[subject].found for subject in unknown} == {f"Permission {permission} is missing: no"}


def test_a_state_machine_that_is_gone_is_said_once_a_check(stack: StackInAccount) -> None:
    stack.client("stepfunctions").delete_state_machine(stateMachineArn=stack.machine)
    assert {check.state for check in checks(stack).values()} == {"failed"}


# -- two texts --------------------------------------------------------------------------------------------------------

ARGUMENTS = {"TopicArn": "t", "Subject": "s", "Message": "a\nb\nc"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, None),
        ({"Subject": "S"}, 'line 1 of Subject is "S", offline "s"'),
        ({"Message": "a\nB\nc"}, 'line 2 of Message is "B", offline "b"'),
        ({"Message": "a\nb"}, 'line 3 of Message is not there, offline "c"'),
        ({"Message": "a\nb\nc\n"}, 'line 4 of Message is "", offline not there'),
        (
            {"Message": f"a\nb\n{'x' * 400}d"},
            f'line 3 of Message is "{"x" * 199}…", offline "c"',
        ),
        ({"Extra": 1}, 'line 1 of Extra is "1", offline not there'),
    ],
)
def test_the_first_line_that_differs_is_said(change: dict[str, Any], said: str | None) -> None:
    assert difference(ARGUMENTS | change, ARGUMENTS) == said


def test_an_argument_that_aws_leaves_out_is_said() -> None:
    assert difference({}, {"Subject": "s"}) == 'line 1 of Subject is not there, offline "s"'


def test_of_long_lines_the_part_that_differs_is_shown() -> None:
    link = "https://console.example/" + "a" * 500
    said = difference({"Message": f"{link}1"}, {"Message": f"{link}2"})
    assert said == f'line 1 of Message is "…{"a" * 60}1", offline "…{"a" * 60}2"'
