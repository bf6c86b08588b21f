"""Executions of the state machine: those that failed, and those that send again.

Never by RedriveExecution, which goes on with the definition of that time; what failed is sent by a new execution.
https://docs.aws.amazon.com/step-functions/latest/dg/redrive-executions.html
"""

import hashlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from threatmon.aws.errors import AwsError, NotThereError
from threatmon.aws.reader import Answer, Aws, attempt, side_by_side
from threatmon.model.channels import CHANNELS
from threatmon.model.state_machine import CHANNELS_KEY, LOST, begun_channels, sent_channels
from threatmon.redrive.undelivered import Undelivered, json_object, reason

_UNSUCCESSFUL = ("FAILED", "TIMED_OUT", "ABORTED")
_POLL_SECONDS = 2


def unsent(aws: Aws, state_machine_arn: str) -> list[Undelivered]:
    """Return the executions of the last 90 days that ended before everyone had a message, oldest first.

    Those that were sent again are left out; if that failed too, it is the later execution that is returned.
    """
    arns = [
        str(execution["executionArn"])
        for status in _UNSUCCESSFUL
        for execution in aws.call_all(
            "stepfunctions", "list_executions", stateMachineArn=state_machine_arn, statusFilter=status
        )
    ]
    found = side_by_side({arn: partial(_unsent, aws, state_machine_arn, arn) for arn in arns})
    return sorted((alert for alert in found.values() if alert), key=lambda alert: alert.since)


def start(aws: Aws, state_machine_arn: str, alert: Undelivered, text: str) -> str | None:
    """Start the one execution that may send an alert again; return its ARN, or None if it has been started before.

    Its name follows from the alert. For 90 days Step Functions starts no second one of a name, and says nothing if
    one with the same input still runs, so that an alert whose start was interrupted can be given to it again:
    https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
    """
    try:
        answer = aws.call(
            "stepfunctions", "start_execution", stateMachineArn=state_machine_arn, name=_name(alert.id), input=text
        )
    except AwsError as error:
        if error.code != "ExecutionAlreadyExists":
            raise
        return None
    return str(answer["executionArn"])


def failure(aws: Aws, execution_arn: str, sleep: Callable[[float], None]) -> str | None:
    """Return why an execution failed, or None if it did not. Wait for its end, which the machine's timeout ensures."""
    # A new execution may not be known everywhere at once.
    while (execution := _described(aws, execution_arn)) is None or execution["status"] == "RUNNING":
        sleep(_POLL_SECONDS)
    return None if execution["status"] == "SUCCEEDED" else _error(execution)


def _unsent(aws: Aws, state_machine_arn: str, execution_arn: str) -> Undelivered | None:
    executions = state_machine_arn.replace(":stateMachine:", ":execution:")
    if _described(aws, f"{executions}:{_name(execution_arn)}"):
        return None
    execution = aws.call("stepfunctions", "describe_execution", executionArn=execution_arn)
    event = json_object(execution["input"])
    channels = _missing_channels(aws, execution, event)
    if not channels:
        return None
    since = execution["startDate"].timestamp()
    error = _error(execution)
    return Undelivered(execution_arn, since, execution["input"], event, state_machine_arn, channels, error)


def _missing_channels(aws: Aws, execution: Answer, event: Mapping[str, Any]) -> list[str]:
    """Return the channels that an execution should have sent to, and did not."""
    if execution.get("error") == LOST:
        missing = set(execution["cause"].split(","))
    else:
        history = aws.call_all("stepfunctions", "get_execution_history", executionArn=execution["executionArn"])
        exited = [step["stateExitedEventDetails"] for step in history if "stateExitedEventDetails" in step]
        outputs = [json_object(state.get("output", "")) for state in exited]
        entered = [step["stateEnteredEventDetails"]["name"] for step in history if "stateEnteredEventDetails" in step]
        missing = (begun_channels(entered) or set(CHANNELS)) - sent_channels(outputs)
    wanted = event.get(CHANNELS_KEY, CHANNELS)
    if not isinstance(wanted, list | tuple):
        return []
    return [channel for channel in CHANNELS if channel in missing and channel in wanted]


def _described(aws: Aws, execution_arn: str) -> Answer | None:
    question = partial(aws.call, "stepfunctions", "describe_execution", executionArn=execution_arn)
    answer = attempt(question, NotThereError)
    return None if isinstance(answer, AwsError) else answer


def _error(execution: Answer) -> str:
    return reason(execution.get("error") or execution["status"], execution.get("cause"))


def _name(alert_id: str) -> str:
    return f"redrive-{hashlib.sha256(alert_id.encode()).hexdigest()[:40]}"
