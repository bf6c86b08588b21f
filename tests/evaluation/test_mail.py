import json
import os
import re
import shutil
import subprocess
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from examples import ACCOUNT, REGION
from findings import Event
from mail_examples import EXAMPLES
from mail_findings import hostile_findings, whole_findings

from threatmon.evaluation.jsonata_expressions import evaluate, expressions
from threatmon.evaluation.mail import FormattingError, render
from threatmon.model import mail_formatter
from threatmon.model.location import Location
from threatmon.model.mail_formatter import MailOptions, chat, formatter
from threatmon.model.settings import AlertSettings
from threatmon.model.state_machine import definition, states

OPTIONS = MailOptions(
    ACCOUNT, REGION, "aws", {ACCOUNT: "prod"}, "/flow-logs", "dashboard", {"*": "https://wiki.example.com"}
)
NUMBERS = [
    5.0,
    0.1,
    1e20,
    12345678901234567890,
    123456789.123456789,
    1e-7,
    0.000012,
    1.5e21,
    1.7976931348623151e308,
    -0.0,
]
ATTRIBUTES = '"MessageAttributes": {"sample": {"DataType": "String", "StringValue": "true"}}'
# A folder with node_modules/jsonata of the version that Step Functions names: `npm install jsonata@2.0.6`.
REFERENCE = os.environ.get("THREATMON_JSONATA_REFERENCE", "")


def test_the_event_is_the_input_of_the_state() -> None:
    mail = render(
        f'{{"Subject": "s", "Message": $states.input.detail.title, {ATTRIBUTES}}}', {"detail": {"title": "t"}}
    )
    assert (mail.subject, mail.message, mail.attributes) == ("s", "t", {"sample": "true"})


@pytest.mark.parametrize(
    ("expression", "error"),
    [
        ('{"Message": "x"', "Expected"),
        ('{"Message": 1 + "x"}', "must evaluate to a number"),
        ('{"Message": $error("no")}', "no in the expression"),
        ('{"Message": $eval("1")}', "in the expression"),
        ("$states.input.nothing", "is undefined"),
        ("$states.input.detail.nothing", "gives null"),
        ('{"Message": $states.input.nothing}', "not a message"),
        ('{"Message": $states.input.detail.count}', "not a message"),
        (f'{{"Message": $pad("", 263000, "x"), {ATTRIBUTES}}}', "have 263,"),
    ],
)
def test_what_step_functions_refuses_is_an_error(expression: str, error: str) -> None:
    with pytest.raises(FormattingError, match=re.escape(error)):
        render(expression, {"detail": {"count": 3, "nothing": None}})


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("$type($states.input.a)", "null"),
        ("$exists($states.input.a)", True),
        ("$exists($states.input.b)", False),
        ("{'x': $states.input.a, 'y': $states.input.b}", {"x": None}),
        ("[$states.input.list, $states.input.b]", [None, 5]),
    ],
)
def test_null_is_not_what_is_missing(expression: str, result: Any) -> None:
    assert evaluate(expression, {"states": {"input": {"a": None, "list": [None, 5.0]}}}) == result


def test_numbers_are_those_of_javascript() -> None:
    event = json.loads('{"a": 5.0, "b": 1e2, "c": 123456789012345678901234567890, "d": -0.0}')
    expression = f'{{"Message": $join($map([a,b,c,d], $string), " "), {ATTRIBUTES}}}'
    mail = render(expression.replace("[a,b,c,d]", "$states.input.[a,b,c,d]"), event)
    assert mail.message == "5 100 1.23456789012346e+29 0"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ({"a": 'ä\N{GRINNING FACE}\u2028\x7f/"\n'}, '{"a":"ä\N{GRINNING FACE}\u2028\x7f/\\"\\n"}'),
        (["\ud800"], '["\\ud800"]'),
        (NUMBERS, "[5,0.1,100000000000000000000,12345678901234600000,123456789.123457,1e-7,0.000012,1.5e+21,null,0]"),
        ([None, True, [], {}], "[null,true,[],{}]"),
        ("ä", "ä"),
    ],
)
def test_json_is_written_as_javascript_does(value: Any, written: str) -> None:
    assert evaluate("$string($states.input)", {"states": {"input": value}}) == written


@pytest.mark.parametrize("compose", [formatter, chat])
def test_without_its_comments_and_spaces_the_expression_says_the_same(
    compose: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    compact = compose(OPTIONS)
    monkeypatch.setattr(mail_formatter, "_compact", lambda text: text)
    monkeypatch.setattr(mail_formatter, "_texts", vars(mail_formatter)["_texts"].__wrapped__)
    whole = compose(OPTIONS)
    assert len(compact) < len(whole) - 5_000
    for event in list(EXAMPLES.values())[::4]:
        assert render(compact, event) == render(whole, event)


@pytest.mark.parametrize("compose", [formatter, chat])
def test_the_expression_keeps_to_what_step_functions_takes(compose: Any) -> None:
    code = re.sub(r'"(?:\\.|[^"\\])*"|(?<=[,(?:])/(?:\\.|[^/\\])+/', '""', compose(OPTIONS))
    assert len(code) < 65_536
    assert not re.search(r"\$eval\b|\$\$|\$(?!\w)|%}|\?\?|\?:", code)


needs_reference = pytest.mark.skipif(
    not REFERENCE or shutil.which("node") is None,
    reason="needs node, and THREATMON_JSONATA_REFERENCE: a folder in which `npm install jsonata@2.0.6` was run",
)


def by_reference(expression: str, events: list[Event]) -> list[Any]:
    answer = subprocess.run(
        ["node", Path(__file__).with_name("jsonata_reference.js")],  # noqa: S607 (wherever the machine has it)
        input=json.dumps({"expression": expression, "events": events}),
        env={**os.environ, "NODE_PATH": f"{REFERENCE}/node_modules"},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(answer.stdout)


@needs_reference
@pytest.mark.parametrize(("compose", "hostile"), [(formatter, 1_000), (chat, 100)])
def test_the_reference_implementation_says_the_same(compose: Any, hostile: int) -> None:
    expression = compose(OPTIONS)
    events: list[Event] = [*EXAMPLES.values(), *chain(whole_findings(), hostile_findings(seed=3, count=hostile))]
    for event, expected in zip(events, by_reference(expression, events), strict=True):
        mail = render(expression, event)
        assert mail.subject == expected.get("Subject")
        assert _document(mail.message) == _document(expected["Message"])
        assert mail.attributes == {name: value["StringValue"] for name, value in expected["MessageAttributes"].items()}


@needs_reference
def test_the_reference_implementation_makes_the_same_plain_and_queued_messages() -> None:
    machine = definition(
        Location(ACCOUNT, REGION, "aws", "amazonaws.com"),
        AlertSettings(),
        topic_arns={"mail": "mail", "slack": "slack"},
        queue_url="queue",
    )
    large = [{"detail": {"type": char * 300, "title": char * 60_000}} for char in ('"', "ä", "\N{GRINNING FACE}")]
    events: list[Event] = [*EXAMPLES.values(), *hostile_findings(seed=4, count=100), *large]
    for state in ("Mail plain", "Slack plain", "Mail to queue"):
        for expression in expressions(states(machine)[state]["Arguments"]):
            if "$failure" not in expression:
                results = by_reference(expression, events)
                assert results == [evaluate(expression, {"states": {"input": event}}) for event in events]


def _document(message: str) -> Any:
    return json.loads(message) if message.startswith("{") else message
