"""The definition of the formatter, run by the interpreter with services that take or refuse what they are given."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from emulator.alerting_account import with_expressions
from findings import recorded

from threatmon.emulator.state_machine import Execution, StateError, UnknownFieldError, run
from threatmon.model.channels import FormattedChannel
from threatmon.model.location import Location
from threatmon.model.settings import AlertSettings, SlackSettings
from threatmon.model.severity import SeverityName
from threatmon.model.state_machine import Definition, definition

EVENT = recorded("ec2_portscan")
TOPICS: dict[FormattedChannel, str] = {
    "mail": "arn:aws:sns:eu-west-1:111122223333:mail",
    "slack": "arn:aws:sns:eu-west-1:111122223333:slack",
}
QUEUE = "https://sqs.eu-west-1.amazonaws.com/111122223333/dead-letters"
FORMATTED = "{'Subject': $states.input.detail.type, 'Message': $states.input.detail.title}"
CARD = "{'Message': $string({'title': $states.input.detail.title})}"


def machine(formatter: str = FORMATTED, floor: SeverityName | None = None) -> Definition:
    settings = AlertSettings(slack=SlackSettings(workspace_id="T0", channel_id="C0", minimum_severity=floor))
    location = Location("111122223333", "eu-west-1", "aws", "amazonaws.com")
    made = definition(location, settings, topic_arns=TOPICS, queue_url=QUEUE)
    return with_expressions(made, TOPICS, {"mail": formatter, "slack": CARD})


class Services:
    """Take everything, but refuse what ``refused`` says, by topic (or queue, or metric) and how often."""

    def __init__(self, **refused: int) -> None:
        self.refused = refused
        self.error = "SNS.InvalidParameterException"
        self.sent: dict[str, list[Mapping[str, Any]]] = {"mail": [], "slack": [], "queue": [], "metric": []}

    def _take(self, kind: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        if self.refused.get(kind, 0):
            self.refused[kind] -= 1
            raise StateError(self.error, "no")
        if "TopicArn" in arguments and "Message" not in arguments:
            raise StateError("SNS.InvalidParameterException", "Message is required")
        self.sent[kind].append(arguments)
        return {"MessageId": "1"}

    def run(
        self, event: Mapping[str, Any] = EVENT, formatter: str = FORMATTED, floor: SeverityName | None = None
    ) -> Execution:
        return run(
            machine(formatter, floor),
            event,
            {
                "sns:publish": lambda given: self._take(given["TopicArn"].rpartition(":")[2], given),
                "sqs:sendMessage": lambda given: self._take("queue", given),
                "aws-sdk:cloudwatch:putMetricData": lambda given: self._take("metric", given),
            },
        )

    def counts(self) -> tuple[int, int, int, int]:
        return tuple(len(sent) for sent in self.sent.values())  # pyright: ignore[reportReturnType]


def event(**detail: Any) -> dict[str, Any]:
    return {**EVENT, "detail": {**EVENT["detail"], **detail}}


def test_each_channel_gets_one_formatted_message() -> None:
    services = Services()
    assert services.run().succeeded
    assert services.counts() == (1, 1, 0, 0)
    assert services.sent["mail"] == [
        {"TopicArn": TOPICS["mail"], "Subject": "Recon:EC2/Portscan", "Message": EVENT["detail"]["title"]}
    ]


@pytest.mark.parametrize("formatter", ["$states.input.nowhere", "{'Message': 1 & $error('x')}", "$undefined()"])
def test_what_cannot_be_formatted_is_mailed_plain_and_counted(formatter: str) -> None:
    services = Services()
    assert services.run(formatter=formatter).succeeded
    assert services.counts() == (1, 1, 0, 1)
    [plain] = services.sent["mail"]
    assert plain["Subject"] == "[UNFORMATTED] GuardDuty finding Recon:EC2/Portscan"
    assert json.loads(plain["Message"].rpartition("\n\n")[2]) == EVENT
    assert plain["MessageAttributes"]["severity"] == {"DataType": "Number", "StringValue": "5"}


def test_what_sns_refuses_is_mailed_plain_and_once() -> None:
    services = Services(mail=1)
    assert services.run().succeeded
    assert services.counts() == (1, 1, 0, 1)


def test_what_sns_throttles_is_tried_again_and_needs_no_plain_mail() -> None:
    services = Services(mail=3)
    services.error = "SNS.ThrottledException"
    assert services.run().succeeded
    assert services.counts() == (1, 1, 0, 0)


def test_what_no_topic_takes_waits_in_the_queue_with_its_channel_and_reason() -> None:
    services = Services(mail=2)
    assert services.run().succeeded
    assert services.counts() == (0, 1, 1, 0)
    [queued] = services.sent["queue"]
    assert json.loads(queued["MessageBody"]) == EVENT
    values = {name: attribute["StringValue"] for name, attribute in queued["MessageAttributes"].items()}
    assert values == {"TARGET_ARN": TOPICS["mail"], "CHANNEL": "mail", "ERROR_CODE": "SNS.InvalidParameterException"}


def test_what_nothing_takes_fails_the_execution_by_name_of_its_channel_and_the_other_is_sent() -> None:
    services = Services(mail=2, queue=1)
    execution = services.run()
    assert (execution.succeeded, execution.error, execution.cause) == (False, "Lost", "mail")
    assert services.counts() == (0, 1, 0, 0)


def test_a_count_that_cannot_be_taken_loses_nothing() -> None:
    services = Services(slack=1, metric=1)
    assert services.run().succeeded
    assert services.counts() == (1, 1, 0, 0)


def test_an_execution_for_one_channel_sends_to_no_other() -> None:
    services = Services()
    assert services.run({**EVENT, "channels": ["slack"]}).succeeded
    assert services.counts() == (0, 1, 0, 0)


@pytest.mark.parametrize(("severity", "sent"), [(6.9, 0), (7, 1), (8.5, 1), ("high", 1), (None, 1)])
def test_a_channel_with_a_lowest_severity_gets_what_reaches_it_and_what_has_none(severity: Any, sent: int) -> None:
    services = Services()
    assert services.run(event(severity=severity), floor="high").succeeded
    assert services.counts() == (1, sent, 0, 0)


@pytest.mark.parametrize("severity", [None, "5", -1, 1e21, [5], {}])
def test_a_plain_mail_without_a_usable_severity_reaches_every_filter(severity: Any) -> None:
    services = Services()
    assert services.run(event(severity=severity), formatter="$nothing").succeeded
    assert services.sent["mail"][0]["MessageAttributes"]["severity"]["StringValue"] == "10"


def test_a_plain_mail_of_the_largest_event_is_one_that_sns_takes() -> None:
    services = Services()
    assert services.run(event(description="\N{SNOWMAN}\x01" * 28_000), formatter="$nothing").succeeded
    message = services.sent["mail"][0]["Message"]
    assert 100_000 < len(message.encode()) <= 250_000
    assert message.isascii()
    assert message.replace("\n", "").isprintable()


def test_a_large_event_that_no_topic_takes_waits_shortened() -> None:
    services = Services(mail=2)
    assert services.run(event(description='"\\' * 60_000)).succeeded
    [queued] = services.sent["queue"]
    shortened = json.loads(queued["MessageBody"])
    assert (shortened["detail"]["id"], shortened["detail"]["severity"]) == (EVENT["detail"]["id"], 5)
    assert shortened["shortened"]


def test_what_the_interpreter_does_not_know_is_refused() -> None:
    unknown = {"StartAt": "a", "States": {"a": {"Type": "Pass", "ResultPath": "$.x"}}}
    with pytest.raises(UnknownFieldError, match="a: ResultPath"):
        run(unknown, {}, {})


def test_a_type_of_state_that_the_interpreter_does_not_know_is_refused() -> None:
    unknown = {"StartAt": "a", "States": {"a": {"Type": "Wait", "Seconds": 1}}}
    with pytest.raises(UnknownFieldError, match="a: Seconds, Type"):
        run(unknown, {}, {})


@pytest.mark.parametrize(
    "state",
    [
        {"Type": "Choice", "Choices": [{"Condition": "{% $states.input.severity %}", "Next": "x"}], "Default": "x"},
        {"Type": "Fail", "Error": "Lost", "Cause": "{% $states.input %}"},
        {"Type": "Task", "Resource": "arn:aws:states:::sns:publish", "Arguments": "{% 'text' %}", "Next": "x"},
    ],
    ids=lambda state: state["Type"],
)
def test_a_result_of_another_kind_than_the_field_takes_is_an_error(state: dict[str, Any]) -> None:
    services = {"sns:publish": lambda _: {}}
    execution = run({"StartAt": "s", "States": {"s": state, "x": {"Type": "Succeed"}}}, {"severity": 5}, services)
    assert execution.error == "States.QueryEvaluationError"


def test_the_context_names_machine_and_state() -> None:
    shown = {"Type": "Succeed", "Output": "{% $states.context.StateMachine.Name & '/' & $states.context.State.Name %}"}
    ended = run({"StartAt": "a", "States": {"a": shown}}, {}, {}, {"StateMachine": {"Name": "m"}})
    assert ended.output == "m/a"


def test_an_output_over_the_quota_ends_the_execution_as_nothing_can_catch_it() -> None:
    large = {"Type": "Succeed", "Output": "{% $pad('', 262143, 'x') %}"}
    ended = run({"StartAt": "a", "States": {"a": large}}, {}, {})
    assert (ended.error, ended.cause) == ("States.DataLimitExceeded", "262,145 bytes are more than 262,144")
    assert ended.entered == ["a"]


def test_a_message_of_an_error_names_it_and_its_cause() -> None:
    assert str(StateError("SNS.NotFoundException", "no topic")) == "SNS.NotFoundException: no topic"
