"""Where an alert goes when it is sent again: to whoever missed it."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from threatmon.aws.errors import AwsError, NotThereError
from threatmon.aws.reader import Aws, attempt
from threatmon.model.state_machine import QUOTA
from threatmon.redrive import executions
from threatmon.redrive.execution_input import execution_input
from threatmon.redrive.undelivered import Undelivered

# What SNS and Step Functions say of a text they will never take. Anything else may be fixed, and ends the run.
_REFUSALS = frozenset(["InvalidExecutionInput", "InvalidParameter", "InvalidParameterValue"])


class Sent(NamedTuple):
    """What became of an alert: why it will never be taken, or the execution that sends it, if one was started."""

    refusal: str | None = None
    execution_arn: str | None = None


class Sender(NamedTuple):
    """Sends alerts of a stack."""

    aws: Aws
    state_machine_arn: str
    raw_topics: Collection[str] = ()
    """topics that get untouched events from the stack's rules"""

    def send(self, alert: Undelivered) -> Sent:
        """Send an alert. Raises :class:`threatmon.aws.errors.AwsError` for what may be fixed."""
        try:
            if alert.target_arn in self.raw_topics and alert.detail:
                return Sent(self._publish(alert))
            addressed = alert._replace(channels=self._channels(alert))
            text = execution_input(addressed)
            return Sent(execution_arn=executions.start(self.aws, self.state_machine_arn, alert, text))
        except AwsError as error:
            if error.code not in _REFUSALS:
                raise
            return Sent(str(error))

    def _channels(self, alert: Undelivered) -> Sequence[str]:
        """Return the channels to send to; none means all. What nobody can be named for goes to a person."""
        to_all = alert.target_arn == self.state_machine_arn and alert.event
        return alert.channels or (() if to_all else ("mail",))

    def _publish(self, alert: Undelivered) -> str | None:
        # SNS takes no half of a surrogate pair; escaped, it is the same JSON.
        message = alert.body.encode("utf-8", "backslashreplace")
        if len(message) > QUOTA:
            return (
                f"the event is longer than the {QUOTA} bytes that SNS takes, and {alert.target_arn} gets events uncut"
            )
        answer = self.aws.call("sns", "publish", TopicArn=alert.target_arn, Message=message.decode())
        return None if answer.get("MessageId") else "SNS did not confirm it"


def sender_of(aws: Aws, outputs: Mapping[str, Any]) -> Sender:
    """Return the sender of a deployed stack, given its outputs."""
    raw_topics: set[str] = set()
    for rule in outputs.get("ruleNames", ()):
        # What a deleted rule had sent to machines goes to people.
        targets = attempt(lambda rule=rule: aws.read_all("events", "list_targets_by_rule", Rule=rule), NotThereError)
        if not isinstance(targets, AwsError):
            raw_topics |= {target["Arn"] for target in targets if ":sns:" in target["Arn"]}
    return Sender(aws, outputs["stateMachineArn"], raw_topics)
