"""Step Functions by its API: executions and their history, validation of a definition, the test of one state."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from emulator.alerting_account import EMAIL, HOOK, AlertingAccount
from findings import recorded

from threatmon.emulator.account import EmulatedAccount
from threatmon.model.state_machine import states

EVENT = recorded("ec2_portscan")
FORMATTER = "{'Subject': $states.input.detail.type, 'Message': $states.input.detail.title}"
CARD = "{'Message': $string({'title': $states.input.detail.title})}"
STEPS = ["Channels", "Mail wanted?", "Mail", "Mail done", "All delivered?", "Delivered"]


@pytest.fixture
def bus(account: EmulatedAccount) -> AlertingAccount:
    return AlertingAccount(account, FORMATTER)


# Executions


def test_an_execution_sends_what_the_machine_makes_of_its_input(bus: AlertingAccount) -> None:
    arn = bus.start(EVENT, name="again-1")
    described = bus.machines.describe_execution(executionArn=arn)
    assert (described["status"], described["name"]) == ("SUCCEEDED", "again-1")
    assert json.loads(described["input"]) == EVENT
    assert json.loads(described["output"]) == {}
    assert [sent.subject for sent in bus.sent_to(EMAIL)] == ["Recon:EC2/Portscan"]


def test_an_execution_that_loses_a_message_has_failed_by_name_of_its_channel(bus: AlertingAccount) -> None:
    bus.sns.delete_topic(TopicArn=bus.topic)
    bus.sqs.delete_queue(QueueUrl=bus.queue_url)
    described: Any = bus.machines.describe_execution(executionArn=bus.start(EVENT))
    assert (described["status"], described["error"], described["cause"]) == ("FAILED", "Lost", "mail")


def test_executions_are_listed_by_their_status(bus: AlertingAccount) -> None:
    good = bus.start(EVENT)
    bus.sns.delete_topic(TopicArn=bus.topic)
    bus.sqs.delete_queue(QueueUrl=bus.queue_url)
    bad = bus.start(EVENT)
    listed = {
        status: [
            entry["executionArn"]
            for entry in bus.machines.list_executions(stateMachineArn=bus.machine, statusFilter=status)["executions"]
        ]
        for status in ("SUCCEEDED", "FAILED", "RUNNING")
    }
    assert listed == {"SUCCEEDED": [good], "FAILED": [bad], "RUNNING": []}


def _history(bus: AlertingAccount, arn: str, **asked: Any) -> list[dict[str, Any]]:
    return bus.machines.get_execution_history(executionArn=arn, **asked)["events"]


def test_the_history_names_the_states_in_order(bus: AlertingAccount) -> None:
    events = _history(bus, bus.start(EVENT))
    entered = [event["stateEnteredEventDetails"]["name"] for event in events if event["type"].endswith("StateEntered")]
    exited = [event["stateExitedEventDetails"]["name"] for event in events if event["type"].endswith("StateExited")]
    assert entered == STEPS
    assert exited == ["Mail wanted?", "Mail", "Mail done", "Channels", "All delivered?", "Delivered"]
    assert (events[0]["type"], events[-1]["type"]) == ("ExecutionStarted", "ExecutionSucceeded")
    assert [event["id"] for event in events] == list(range(1, len(events) + 1))
    [scheduled] = [event for event in events if event["type"] == "TaskScheduled"]
    assert json.loads(scheduled["taskScheduledEventDetails"]["parameters"])["Subject"] == "Recon:EC2/Portscan"


def test_the_history_of_a_failure_names_each_error(bus: AlertingAccount) -> None:
    bus.sns.delete_topic(TopicArn=bus.topic)
    bus.forbid_machine("sqs:SendMessage")
    events = _history(bus, bus.start(EVENT), reverseOrder=True)
    failed = [event["taskFailedEventDetails"]["error"] for event in events if event["type"] == "TaskFailed"]
    assert failed == ["SQS.AmazonSQSException", "SNS.NotFoundException", "SNS.NotFoundException"]
    assert events[0]["executionFailedEventDetails"] == {"error": "Lost", "cause": "mail"}


def test_a_history_without_data_holds_nothing_of_the_finding(bus: AlertingAccount) -> None:
    events = _history(bus, bus.start(EVENT), includeExecutionData=False)
    assert "Portscan" not in json.dumps(events, default=str)
    assert len(events) > len(STEPS)


def test_a_name_is_used_once(bus: AlertingAccount) -> None:
    bus.start(EVENT, name="once")
    with pytest.raises(ClientError, match="ExecutionAlreadyExists"):
        bus.start(EVENT, name="once")
    assert len(bus.sent_to(EMAIL)) == 1


def test_an_input_has_262144_bytes_at_most(bus: AlertingAccount) -> None:
    frame = len(json.dumps({"detail": {"title": ""}}))
    bus.start({"detail": {"title": "x" * (262_144 - frame)}})
    with pytest.raises(ClientError, match=r"ValidationException.*262144"):
        bus.start({"detail": {"title": "x" * (262_145 - frame)}})


def test_what_is_no_json_is_no_input(bus: AlertingAccount) -> None:
    with pytest.raises(ClientError, match="InvalidExecutionInput"):
        bus.machines.start_execution(stateMachineArn=bus.machine, input="{")


@pytest.mark.parametrize("operation", ["describe_execution", "get_execution_history"])
def test_an_execution_that_is_not_there_is_not_found(bus: AlertingAccount, operation: str) -> None:
    arn = bus.account.arn("states", "execution:formatter:none")
    with pytest.raises(ClientError, match="ExecutionDoesNotExist"):
        getattr(bus.machines, operation)(executionArn=arn)


def test_a_changed_definition_is_what_the_next_execution_runs(bus: AlertingAccount) -> None:
    bus.start(EVENT)
    changed = bus.definition.replace("$states.input.detail.title", "'fixed'")
    bus.machines.update_state_machine(stateMachineArn=bus.machine, definition=changed)
    bus.start(EVENT)
    assert [sent.body for sent in bus.sent_to(EMAIL)] == [EVENT["detail"]["title"], "fixed"]


def test_an_execution_for_one_channel_tells_no_other(account: EmulatedAccount) -> None:
    bus = AlertingAccount(account, FORMATTER, CARD)
    bus.subscribe(bus.chat_topic, "https", HOOK)
    bus.start({**EVENT, "channels": ["slack"]})
    assert [sent.endpoint for sent in account.notifications] == [HOOK]


# Validation


def _machine(**states: Any) -> str:
    return json.dumps({"QueryLanguage": "JSONata", "StartAt": "A", "States": states})


def _pass(**fields: Any) -> dict[str, Any]:
    return {"Type": "Pass", "Next": "B", **fields}


END = {"Type": "Succeed"}
INNER = {"StartAt": "C", "States": {"C": END}}
TASK = {"Type": "Task", "Resource": "arn:aws:states:::sns:publish", "Arguments": {}, "Next": "B"}


def _validated(account: EmulatedAccount, definition: str) -> dict[str, Any]:
    return account.client("stepfunctions").validate_state_machine_definition(definition=definition)


@pytest.mark.parametrize(
    "definition",
    [
        _machine(A=END),
        _machine(A=_pass(Output="{% $states.input & '' %}"), B=END),
        _machine(A={"Type": "Parallel", "Branches": [INNER], "Next": "B"}, B=END),
        # AWS does not see that a variable is never assigned.
        _machine(A=_pass(Output="{% $nowhere %}"), B=END),
    ],
)
def test_a_valid_definition_has_no_diagnostics(account: EmulatedAccount, definition: str) -> None:
    assert _validated(account, definition)["diagnostics"] == []
    assert _validated(account, definition)["result"] == "OK"


@pytest.mark.parametrize(
    ("definition", "code", "message"),
    [
        ("{", "INVALID_JSON_DESCRIPTION", "Expecting property name"),
        ("[]", "SCHEMA_VALIDATION_FAILED", "list"),
        (json.dumps({"StartAt": "A"}), "SCHEMA_VALIDATION_FAILED", "'States'"),
        (_machine(A=END, Comment="x" * 1024 * 1024), "INVALID_DEFINITION", "the quota is 1,048,576"),
        (_machine(A=_pass()), "MISSING_TRANSITION_TARGET", "Missing 'A' target: B"),
        (_machine(A=END, B=END), "MISSING_TRANSITION_TARGET", "State 'B' is not reachable"),
        (_machine(B=END), "MISSING_TRANSITION_TARGET", "Missing 'StartAt' target: A"),
        (_machine(A=_pass(Next=None, Type="Pss"), B=END), "SCHEMA_VALIDATION_FAILED", "'Pss' is not a type"),
        (_machine(A={"Type": "Pass"}), "SCHEMA_VALIDATION_FAILED", "Next or End"),
        (_machine(A=_pass(Output="{% $sum( %}"), B=END), "SCHEMA_VALIDATION_FAILED", "JSONata expression is not valid"),
        (_machine(A=_pass(Output="{% $states.result %}"), B=END), "SCHEMA_VALIDATION_FAILED", "$states.result"),
        (
            _machine(A={"Type": "Parallel", "Branches": [INNER, INNER], "Next": "B"}, B=END),
            *("DUPLICATE_STATE_NAME", "2 states are named 'C'"),
        ),
        (
            _machine(
                A={
                    "Type": "Parallel",
                    "Branches": [{"StartAt": "C", "States": {"C": {**END, "Assign": {"x": 1}}}}],
                    "Assign": {"x": 2},
                    "Next": "B",
                },
                B=END,
            ),
            *("SCHEMA_VALIDATION_FAILED", "the variable 'x' is assigned outside too"),
        ),
        (
            _machine(
                A={**TASK, "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "D"}]},
                B=END,
            ),
            *("MISSING_TRANSITION_TARGET", "Missing 'A' target: D"),
        ),
        (_machine(A=_pass(Next="B" * 81), **{"B" * 81: END}), "SCHEMA_VALIDATION_FAILED", "at most 80 characters"),
    ],
)
def test_an_invalid_definition_gets_the_reason(
    account: EmulatedAccount, definition: str, code: str, message: str
) -> None:
    answer = _validated(account, definition)
    assert answer["result"] == "FAIL"
    found = [(entry["code"], message in entry["message"]) for entry in answer["diagnostics"]]
    assert (code, True) in found


def test_the_definition_of_the_program_is_valid(bus: AlertingAccount) -> None:
    assert _validated(bus.account, bus.definition)["result"] == "OK"


# The test of one state


def _tested(bus: AlertingAccount, name: str, mock: dict[str, Any], **changes: Any) -> dict[str, Any]:
    state = {**states(json.loads(bus.definition))[name], "QueryLanguage": "JSONata", **changes}
    answer = bus.machines.test_state(
        definition=json.dumps(state), input=json.dumps(EVENT), inspectionLevel="DEBUG", mock=mock
    )
    return {key: value for key, value in answer.items() if key != "ResponseMetadata"}


def test_a_mocked_state_shows_its_arguments_and_sends_nothing(bus: AlertingAccount) -> None:
    answer = _tested(bus, "Mail", mock={"result": '{"MessageId":"1"}'})
    assert (answer["status"], answer["nextState"]) == ("SUCCEEDED", "Mail done")
    assert json.loads(answer["output"]) == {"channel": "mail", "lost": False}
    assert json.loads(answer["inspectionData"]["afterArguments"]) == {
        "TopicArn": bus.topic,
        "Subject": "Recon:EC2/Portscan",
        "Message": EVENT["detail"]["title"],
    }
    assert bus.account.notifications == []


def test_an_expression_that_fails_is_a_caught_error(account: EmulatedAccount) -> None:
    bus = AlertingAccount(account, "{'Message': $error('no')}")
    answer = _tested(bus, "Mail", mock={"result": "{}"})
    assert (answer["status"], answer["error"]) == ("CAUGHT_ERROR", "States.QueryEvaluationError")
    assert "afterArguments" not in answer["inspectionData"]


def test_an_expression_whose_error_nothing_catches_fails(bus: AlertingAccount) -> None:
    answer = _tested(bus, "Mail", mock={"result": "{}"}, Arguments="{% $error('no') %}", Catch=[])
    assert (answer["status"], answer["error"]) == ("FAILED", "States.QueryEvaluationError")
    assert "nextState" not in answer


@pytest.mark.parametrize(
    ("mock", "changes"),
    [
        ({"result": "{}"}, {"QueryLanguage": "JSONPath"}),
        ({"errorOutput": {"error": "SNS.NotFound", "cause": "gone"}}, {}),
    ],
)
def test_only_what_a_state_makes_of_a_result_in_jsonata_is_emulated(
    bus: AlertingAccount, mock: dict[str, Any], changes: dict[str, Any]
) -> None:
    with pytest.raises(NotImplementedError, match="JSONata, with the result of a mock"):
        _tested(bus, "Mail", mock=mock, **changes)
