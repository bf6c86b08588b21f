"""Where dead letters go when they are sent again: to the topic that missed them, if that is one of the stack's."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from threatmon.aws.errors import AwsError, NotThereError
from threatmon.aws.reader import Aws, attempt
from threatmon.model import names
from threatmon.model.email import MESSAGE_QUOTA
from threatmon.redrive.dead_letters import DeadLetter, plain_text, raw_event
from threatmon.stacks.files import StackFile, settings_of

# What SNS says of a message it will never take. Anything else may be fixed, and ends the run.
_REFUSALS = frozenset(["InvalidParameter", "InvalidParameterValue"])


class Publisher(NamedTuple):
    """Publishes to a stack's topics."""

    aws: Aws
    topic_arn: str
    """for what names no topic of the stack's rules"""
    is_raw: Mapping[str, bool] = {}
    """each topic of the stack's rules -> whether it gets untouched events"""
    mail_args: tuple[str, str | None, str | None, str | None] = ("aws", None, None, None)
    """partition, account alias, log group and dashboard of the mail"""

    def publish(self, dead_letter: DeadLetter) -> str | None:
        """Publish a message; return why SNS will never take it, or None if it has.

        Raises :class:`threatmon.aws.errors.AwsError` for every other failure.
        """
        topic = dead_letter.target_arn if dead_letter.target_arn in self.is_raw else self.topic_arn
        untouched = bool(self.is_raw.get(topic) and dead_letter.detail)
        publication = raw_event(dead_letter) if untouched else plain_text(dead_letter, *self.mail_args)
        if publication is None:
            return f"the event is longer than the {MESSAGE_QUOTA} bytes that SNS takes, and {topic} gets events uncut"
        subject = {"Subject": publication.subject} if publication.subject else {}
        try:
            answer = self.aws.call("sns", "publish", TopicArn=topic, Message=publication.body, **subject)
        except AwsError as error:
            if error.code not in _REFUSALS:
                raise
            return str(error)
        return None if answer.get("MessageId") else "SNS did not confirm it"


def publisher_of(aws: Aws, stack: StackFile, outputs: Mapping[str, Any]) -> Publisher:
    """Return the publisher of a deployed stack, given its outputs."""
    is_raw: dict[str, bool] = {}
    for rule in outputs.get("ruleNames", ()):
        # What a deleted rule had sent goes to the stack's own topic.
        targets = attempt(lambda rule=rule: aws.read_all("events", "list_targets_by_rule", Rule=rule), NotThereError)
        if not isinstance(targets, AwsError):
            is_raw |= {target["Arn"]: "InputTransformer" not in target for target in targets}
    alias = settings_of(stack).alerts.account_alias
    mail_args = aws.partition, alias, outputs.get("logGroupName"), names.dashboard(stack.name)
    return Publisher(aws, outputs["topicArn"], is_raw, mail_args)
