"""Whether AWS takes the deployed definition, and writes the alerts as this program does offline. Nothing is sent.

https://docs.aws.amazon.com/step-functions/latest/dg/test-state-isolation.html
"""

import json
from collections.abc import Callable, Mapping
from functools import partial
from itertools import takewhile, zip_longest
from typing import Any

from threatmon.evaluation.findings import Event
from threatmon.evaluation.jsonata_expressions import QueryEvaluationError, resolve
from threatmon.model.channels import FormattedChannel
from threatmon.model.one_line import one_line
from threatmon.model.state_machine import branch_name, states
from threatmon.reports.model import Check, counted, first_few, short
from threatmon.verify.checks import REPAIR, CheckResult, failed, ok
from threatmon.verify.deployed_stack import DeployedStack, NotDeployedError
from threatmon.verify.recipients import formatted_topics
from threatmon.verify.sample_events import sample_events
from threatmon.verify.stack_checks import judged

PERMISSIONS = ("states:TestState", "states:ValidateStateMachineDefinition")

# AWS throttles more than about one a second; the client tries again what is throttled all the same.
_SECONDS_BETWEEN = 1.1
_PUBLISHED = json.dumps({"MessageId": "00000000-0000-0000-0000-000000000000"})
_BEFORE = 60  # characters shown before those that differ
_TODO = (
    "Such findings arrive otherwise than `threatmon explain` shows, or as plain messages. "
    f"See docs/mail.md, or else: {REPAIR}"
)


def checks(stack: DeployedStack, say: Callable[[str], object], sleep: Callable[[float], object]) -> list[Check]:
    """Check the deployed definition at AWS, and what it makes of a sample finding of each family in each channel.

    ``say`` is given the progress; ``sleep`` waits for some seconds between the calls.
    """
    return [
        judged("state machine at AWS", partial(_definition, stack)),
        *(
            judged(f"{channel} as AWS writes it", partial(_channel, stack, channel, say, sleep))
            for channel in formatted_topics(stack.settings)
        ),
    ]


def _definition(stack: DeployedStack) -> CheckResult:
    text = stack.machine()["definition"]
    answer = stack.aws.call("stepfunctions", "validate_state_machine_definition", definition=text, type="STANDARD")
    if answer["result"] == "OK":
        return ok("AWS finds no fault in its definition")
    said = [f"{fault.get('location', '')} {_said(fault['message'])}".strip() for fault in answer["diagnostics"]]
    return failed(first_few(said) if said else "AWS finds its definition wrong, and does not say why")


def _channel(
    stack: DeployedStack, channel: FormattedChannel, say: Callable[[str], object], sleep: Callable[[float], object]
) -> CheckResult:
    name = branch_name(channel)
    state = states(stack.definition()).get(name, {})
    if "Arguments" not in state:
        raise NotDeployedError(f"the state machine has no state {name} that formats")
    events = sample_events(stack.location)
    faults: dict[str, str] = {}
    for number, (family, event) in enumerate(events.items(), start=1):
        say(f"Having AWS write samples for {channel}: {number} of {len(events)}, {family}")
        sleep(_SECONDS_BETWEEN)
        if fault := _fault(stack, state, event):
            faults[family] = fault
    if faults:
        first, fault = next(iter(faults.items()))
        return failed(
            f"{counted(len(faults), 'sample')} of {len(events)} ({', '.join(faults)}); {first}: {fault}", _TODO
        )
    return ok(f"the same as offline for a sample of each of {len(events)} families")


def _fault(stack: DeployedStack, state: Mapping[str, Any], event: Event) -> str | None:
    """Return what is wrong with AWS's text of an event, or nothing.

    The state is tested as a definition of its own: no page says that a name finds a state inside of a branch.
    """
    answer = stack.aws.call(
        "stepfunctions",
        "test_state",
        definition=json.dumps({**state, "QueryLanguage": "JSONata"}),
        input=json.dumps(event),
        inspectionLevel="DEBUG",
        mock={"result": _PUBLISHED},
    )
    if answer["status"] != "SUCCEEDED":
        return f"AWS fails: {_said(answer.get('error', answer['status']))}: {_said(answer.get('cause', ''))}"
    try:
        offline = resolve(state["Arguments"], {"states": {"input": event}})
    except QueryEvaluationError as error:
        return f"offline fails, where AWS does not: {_said(error)}"
    return difference(json.loads(answer["inspectionData"]["afterArguments"]), offline)


def difference(aws: Mapping[str, Any], offline: Mapping[str, Any]) -> str | None:
    """Return the first line in which arguments of ``sns:publish`` differ; None if they are the same."""
    for field in dict.fromkeys([*offline, *aws]):
        pairs = zip_longest(_lines(aws.get(field)), _lines(offline.get(field)))
        for number, (theirs, ours) in enumerate(pairs, start=1):
            if theirs != ours:
                start = max(0, _alike(theirs or "", ours or "") - _BEFORE)
                return f"line {number} of {field} is {_quoted(theirs, start)}, offline {_quoted(ours, start)}"
    return None


def _alike(one: str, other: str) -> int:
    """Return how many characters two lines have in common at their beginning."""
    pairs = zip_longest(one, other)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _lines(value: Any) -> list[str]:
    if value is None:
        return []
    return value.split("\n") if isinstance(value, str) else [json.dumps(value, sort_keys=True)]


def _quoted(line: str | None, start: int) -> str:
    return "not there" if line is None else f'"{"…" if start else ""}{_said(line[start:])}"'


def _said(text: object) -> str:
    """Return a text of AWS as one short line."""
    return short(one_line(text))
