"""The definition of the formatter, run by the interpreter with services that take or refuse what they are given."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from findings import recorded

from threatmon.emulator.state_machine import Execution, StateError, UnknownFieldError, run
from threatmon.model.state_machine import chat_channel, definition, mail_channel

EVENT = recorded("ec2_portscan")
MAIL, CHAT = "arn:aws:sns:eu-west-1:111122223333:mail", "arn:aws:sns:eu-west-1:111122223333:chat"
QUEUE = "https://sqs.eu-west-1.amazonaws.com/111122223333/dead-letters"
FORMATTED = "{'Subject': $states.input.detail.type, 'Message': $states.input.detail.title}"
CARD = "{'Message': $string({'title': $states.input.detail.title})}"


class Services:
    """Take everything, but refuse what ``refused`` says, by topic (or queue, or metric) and how often."""

    def __init__(self, **refused: int) -> None:
        self.refused = refused
        self.error = "SNS.InvalidParameterException"
        self.sent: dict[str, list[Mapping[str, Any]]] = {"mail": [], "chat": [], "queue": [], "metric": []}

    def _take(self, kind: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        if self.refused.get(kind, 0):
            self.refused[kind] -= 1
            raise StateError(self.error, "no")
        if "TopicArn" in arguments and "Message" not in arguments:
            raise StateError("SNS.InvalidParameterException", "Message is required")
        self.sent[kind].append(arguments)
        return {"MessageId": "1"}

    def run(
        self, event: Mapping[str, Any] = EVENT, formatter: str = FORMATTED, floor: float | None = None
    ) -> Execution:
        channels = [mail_channel(MAIL, formatter), chat_channel(CHAT, CARD, floor)]
        return run(
            definition(channels, QUEUE, "aws"),
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
        {"TopicArn": MAIL, "Subject": "Recon:EC2/Portscan", "Message": EVENT["detail"]["title"]}
    ]


@pytest.mark.parametrize("formatter", ["$states.input.nowhere", "{'Message': 1 & $error('x')}", "$undefined()"])
def test_what_cannot_be_formatted_is_mailed_plain_and_counted(formatter: str) -> None:
    services = Services()
    assert services.run(formatter=formatter).succeeded
    assert services.counts() == (1, 1, 0, 1)
    [plain] = services.sent["mail"]
    assert plain["Subject"] == "[UNFORMATTED] GuardDuty finding"
    assert json.loads(plain["Message"]) == EVENT
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
    assert values == {"TARGET_ARN": MAIL, "CHANNEL": "mail", "ERROR_CODE": "SNS.InvalidParameterException"}


def test_what_nothing_takes_fails_the_execution_by_name_of_its_channel_and_the_other_is_sent() -> None:
    services = Services(mail=2, queue=1)
    execution = services.run()
    assert (execution.succeeded, execution.error, execution.cause) == (False, "Lost", "mail")
    assert services.counts() == (0, 1, 0, 0)


def test_a_count_that_cannot_be_taken_loses_nothing() -> None:
    services = Services(chat=1, metric=1)
    assert services.run().succeeded
    assert services.counts() == (1, 1, 0, 0)


def test_an_execution_for_one_channel_sends_to_no_other() -> None:
    services = Services()
    assert services.run({**EVENT, "channels": ["chat"]}).succeeded
    assert services.counts() == (0, 1, 0, 0)


@pytest.mark.parametrize(("severity", "sent"), [(6.9, 0), (7, 1), (8.5, 1), ("high", 1), (None, 1)])
def test_a_channel_with_a_lowest_severity_gets_what_reaches_it_and_what_has_none(severity: Any, sent: int) -> None:
    services = Services()
    assert services.run(event(severity=severity), floor=7).succeeded
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
    assert message.isprintable()


def test_a_large_event_that_no_topic_takes_waits_shortened() -> None:
    services = Services(mail=2)
    assert services.run(event(description='"\\' * 60_000)).succeeded
    [queued] = services.sent["queue"]
    shortened = json.loads(queued["MessageBody"])
    assert (shortened["detail"]["id"], shortened["detail"]["severity"]) == (EVENT["detail"]["id"], 5)
    assert shortened["shortened"]


def test_state_names_are_unique_in_the_whole_machine() -> None:
    machine = definition([mail_channel(MAIL, FORMATTED), chat_channel(CHAT, CARD, None)], QUEUE, "aws")
    branches = machine["States"]["Channels"]["Branches"]
    names = [*machine["States"], *(name for branch in branches for name in branch["States"])]
    assert len(names) == len(set(names))
    assert all(len(name) <= 80 for name in names)


@pytest.mark.parametrize("partition", ["aws", "aws-us-gov", "aws-cn"])
def test_services_are_those_of_the_partition(partition: str) -> None:
    text = json.dumps(definition([mail_channel(MAIL, FORMATTED)], QUEUE, partition))
    assert text.count(f'"arn:{partition}:states:::') == text.count(":states:::") == 4


def test_what_the_interpreter_does_not_know_is_refused() -> None:
    machine = {"StartAt": "a", "States": {"a": {"Type": "Pass", "ResultPath": "$.x"}}}
    with pytest.raises(UnknownFieldError, match="a: ResultPath"):
        run(machine, {}, {})
