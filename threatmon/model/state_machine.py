"""The state machine that turns a finding into a message for each channel, as the dict Step Functions takes.

https://docs.aws.amazon.com/step-functions/latest/dg/transforming-data.html

Each channel is a branch of its own that never fails, so that one cannot stop another: a formatted message; if that
fails, a plain one of the whole event, and a count of it for an alarm; if that fails too, the dead-letter queue; and if
even that fails, the execution fails in the end and names the channels.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from threatmon.model import console_urls, mail_formatter
from threatmon.model.alarms import METRIC_NAMESPACE, PLAIN_MESSAGES_METRIC
from threatmon.model.channels import CHANNELS, FormattedChannel
from threatmon.model.location import Location
from threatmon.model.mail_formatter import MailOptions
from threatmon.model.settings import AlertSettings
from threatmon.model.severity import lowest

Definition = dict[str, Any]

CHANNELS_KEY = "channels"
"""The key of an execution's input that names the channels to send to; without it, all."""
QUOTA = 262_144
"""Bytes of a message of SNS, and of a state's input, arguments and output.

https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
"""
LOST = "Lost"
"""The error of an execution whose message not even the queue took; its cause names the channels, joined by commas."""

# What SNS says before it has accepted a message; anything else may have been accepted, and would arrive twice.
# https://docs.aws.amazon.com/sns/latest/api/API_Publish.html#API_Publish_Errors
_NOT_ACCEPTED = [
    *("SNS.ThrottledException", "SNS.KMSThrottlingException", "SNS.KmsThrottlingException"),
    "SNS.InternalErrorException",
]
_RETRY = [{"ErrorEquals": _NOT_ACCEPTED, "IntervalSeconds": 2, "MaxAttempts": 4, "BackoffRate": 3}]
_TIMEOUT = 900  # seconds of an execution; all retries together take three minutes

# What follows is JSONata. Characters other than printable ASCII become question marks: nothing can refuse such a text,
# and each is one byte. A run becomes one, because engines count an emoji as one or as two.
_PRINTABLE = r"$replace({}, /[^ -~]+/, '?')"
_DETAIL = "$states.input.detail"
# Whoever filters by severity hears of a finding without a usable one.
_SEVERITY = (
    f"($severity := {_DETAIL}.severity;"
    " $type($severity) = 'number' and $severity >= 0 and $severity <= 10 ? $string($severity) : '10')"
)
_HAS_ID = f"($type({_DETAIL}.id) = 'string' and $contains({_DETAIL}.id, /[A-Za-z0-9]+/))"
_PLAIN_SUBJECT = _PRINTABLE.format(
    f"$substring($join(['[UNFORMATTED] GuardDuty finding', $string({_DETAIL}.type)], ' '), 0, 100)"
)
# A state counts each quotation mark and backslash twice.
_MAIL_LENGTH = 120_000
_CHAT_LENGTH = 7_000  # of the 8,000 of a custom notification
# The event, but of a large one, which could be more than a state takes, what it takes to find it in GuardDuty.
# SQS refuses two characters: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
_OF_EVENT = ", ".join(
    f"'{name}': $short($states.input.`{name}`)" for name in ("source", "detail-type", "account", "region", "time")
)
_OF_DETAIL = ", ".join(
    f"'{name}': $short({_DETAIL}.{name})" for name in ("id", "type", "severity", "accountId", "region", "title")
)
_QUEUED_EVENT = (
    "($short := function($value) { $type($value) = 'number' ? $value : $substring($string($value), 0, 300) };"
    " $event := $string($states.input); $replace($length($event) <= 50000 ? $event"
    f" : $string({{'shortened': true, {_OF_EVENT}, 'detail': {{{_OF_DETAIL}}}}}), /[\\uFFFE\\uFFFF]/, '?'))"
)


class _Branch(NamedTuple):
    """A channel as JSONata: ``arguments`` of ``sns:publish`` but the topic, and the same if they cannot be had."""

    channel: FormattedChannel
    topic_arn: str
    wanted: str
    arguments: str
    plain: Mapping[str, str]


def mail_options(
    location: Location, settings: AlertSettings, log_group_name: str | None = None, dashboard_name: str | None = None
) -> MailOptions:
    """Return what the messages of a stack know besides the finding."""
    return MailOptions(
        account=location.id,
        region=location.region,
        partition=location.partition,
        account_aliases={location.id: settings.account_alias} if settings.account_alias else {},
        log_group_name=log_group_name,
        dashboard_name=dashboard_name,
        runbooks=settings.runbooks,
    )


def definition(
    location: Location,
    settings: AlertSettings,
    *,
    topic_arns: Mapping[FormattedChannel, str],
    queue_url: str,
    log_group_name: str | None = None,
    dashboard_name: str | None = None,
) -> Definition:
    """Return the definition of a STANDARD state machine whose input is an EventBridge event.

    ``topic_arns`` has the channels; the mail links to the log group and the dashboard given.
    """
    options = mail_options(location, settings, log_group_name, dashboard_name)
    branches = [_branch(channel, arn, settings, options) for channel, arn in topic_arns.items()]
    return {
        "Comment": "Formats GuardDuty findings for people.",
        "QueryLanguage": "JSONata",
        "TimeoutSeconds": _TIMEOUT,
        "StartAt": "Channels",
        "States": {
            "Channels": {
                "Type": "Parallel",
                "Branches": [_states(branch, queue_url, location.partition) for branch in branches],
                "Next": "All delivered?",
            },
            "All delivered?": {
                "Type": "Choice",
                "Choices": [{"Condition": "{% $exists($states.input[lost]) %}", "Next": LOST}],
                "Default": "Delivered",
            },
            "Delivered": {"Type": "Succeed", "Output": {}},
            LOST: {"Type": "Fail", "Error": LOST, "Cause": "{% $join($states.input[lost].channel, ',') %}"},
        },
    }


def branch_name(channel: FormattedChannel) -> str:
    """Return the name of a channel's first state, with which those of its other states begin."""
    return channel.capitalize()


def begun_channels(entered: Sequence[str]) -> set[str]:
    """Return the channels that an execution's definition has, by the names of the states it has entered."""
    return {name.removesuffix(_WANTED).lower() for name in entered if name.endswith(_WANTED)}


def sent_channels(outputs: Collection[Any]) -> set[str]:
    """Return the channels that need nothing more, by the outputs of the states that an execution has left.

    By the first state that says so: an execution may end before its branch does.
    """
    return {channel for channel in CHANNELS if _done(channel) in outputs}


def _done(channel: FormattedChannel, *, lost: bool = False) -> Definition:
    return {"channel": channel, "lost": lost}


_WANTED, _DONE = " wanted?", " done"


class Destinations(NamedTuple):
    """Where a deployed state machine sends."""

    topic_arns: Mapping[FormattedChannel, str]
    queue_url: str | None
    """the queue of what it cannot send; None if branches disagree, or have none"""


def destinations(deployed: Definition) -> Destinations:
    """Return where the state machine of a definition sends, by its own words."""
    found = states(deployed)

    def argument(channel: FormattedChannel, state: str, name: str) -> str | None:
        return found.get(f"{branch_name(channel)} {state}", {}).get("Arguments", {}).get(name)

    queues = {queue for channel in CHANNELS if (queue := argument(channel, "to queue", "QueueUrl"))}
    topic_arns: dict[FormattedChannel, str] = {
        channel: arn for channel in CHANNELS if (arn := argument(channel, "plain", "TopicArn"))
    }
    return Destinations(topic_arns, queues.pop() if len(queues) == 1 else None)


def states(machine: Definition) -> dict[str, Definition]:
    """Return the states of a definition by their names, which are unique; those of branches too."""
    own: dict[str, Definition] = machine.get("States", {})
    branches = [branch for state in own.values() for branch in state.get("Branches", ())]
    return own | {name: state for branch in branches for name, state in states(branch).items()}


def _branch(channel: FormattedChannel, topic_arn: str, settings: AlertSettings, options: MailOptions) -> _Branch:
    wanted = f"($not($exists($states.input.{CHANNELS_KEY})) or '{channel}' in $states.input.{CHANNELS_KEY})"
    chat = settings.chats.get(channel)
    if chat and (minimum := lowest(chat.minimum_severity)):
        # A severity that is missing or no number is never too low.
        severity = f"{_DETAIL}.severity"
        wanted += f" and $not($type({severity}) = 'number' and {severity} < {minimum})"
    link = _link(options.partition)
    if channel == "mail":
        arguments = mail_formatter.formatter(options)
        finding = f"({_HAS_ID} ? '\\nFinding: ' & {link} : '')"
        message = f"'This finding could not be formatted.' & {finding} & '\\n\\n' & {_shortened(_MAIL_LENGTH)}"
        plain = {"Subject": _PLAIN_SUBJECT, "Message": message}
    else:
        arguments = mail_formatter.chat(options)
        # In a code block, nothing in the event is taken for markup, a mention or a link.
        block = f"$replace({_shortened(_CHAT_LENGTH)}, /`/, '?')"
        finding = f"({_HAS_ID} ? '[Finding](' & {link} & ')\\n' : '')"
        text = f"{finding} & '```\\n' & {block} & '\\n```'"
        # https://docs.aws.amazon.com/chatbot/latest/adminguide/custom-notifs.html
        message = (
            "$string({'version': '1.0', 'source': 'custom', 'content': {'textType': 'client-markdown',"
            f" 'title': {_PLAIN_SUBJECT}, 'description': {text}}}}})"
        )
        plain = {"Message": message}
    return _Branch(channel, topic_arn, wanted, arguments, plain)


def _shortened(length: int) -> str:
    """Return the start of the event as JSON: first cut, so that little is done to a large one."""
    start = _PRINTABLE.format(f"$substring($event, 0, {length})")
    return f"($event := $string($states.input); {start} & ($length($event) > {length} ? '... (cut)' : ''))"


def _link(partition: str) -> str:
    """Return the link to the finding, of whose texts only harmless characters are used."""
    start, middle, end = console_urls.finding(partition, "\0", "\0").split("\0")
    region, finding_id = (
        f"$replace($substring($string({_DETAIL}.{name}), 0, 100), /[^A-Za-z0-9-]+/, '')" for name in ("region", "id")
    )
    return f"'{start}' & {region} & '{middle}' & {finding_id} & '{end}'"


def _states(branch: _Branch, queue_url: str, partition: str) -> Definition:
    name = branch_name(branch.channel)
    end = f"{name}{_DONE}"
    done, lost = _done(branch.channel), _done(branch.channel, lost=True)
    publish = {"Type": "Task", "Resource": f"arn:{partition}:states:::sns:publish", "Retry": _RETRY}
    severity = {"severity": {"DataType": "Number", "StringValue": f"{{% {_SEVERITY} %}}"}}
    return {
        "StartAt": f"{name}{_WANTED}",
        "States": {
            f"{name}{_WANTED}": {
                "Type": "Choice",
                "Choices": [{"Condition": f"{{% {branch.wanted} %}}", "Next": name}],
                "Default": f"{name} skipped",
            },
            # Without the event, or that of two channels together could be more than a state may put out.
            f"{name} skipped": {"Type": "Pass", "Output": done, "Next": end},
            name: {
                **publish,
                "Arguments": f"{{% $merge([{{'TopicArn': '{branch.topic_arn}'}}, ({branch.arguments})]) %}}",
                "Output": done,
                "Catch": [_to(f"{name} plain", _SAME_EVENT)],
                "Next": end,
            },
            f"{name} plain": {
                **publish,
                "Arguments": {
                    "TopicArn": branch.topic_arn,
                    **{field: f"{{% {expression} %}}" for field, expression in branch.plain.items()},
                    "MessageAttributes": severity,
                },
                "Output": done,
                "Catch": [{**_to(f"{name} to queue", _SAME_EVENT), "Assign": {"failure": _ERROR_NAME}}],
                "Next": f"{name} counted",
            },
            # The formatter needs a look; that this fails says nothing of the finding.
            f"{name} counted": {
                "Type": "Task",
                "Resource": f"arn:{partition}:states:::aws-sdk:cloudwatch:putMetricData",
                "Arguments": {"Namespace": METRIC_NAMESPACE, "MetricData": [_PLAIN_MESSAGE]},
                "Output": done,
                "Catch": [_to(end, done)],
                "Next": end,
            },
            f"{name} to queue": {
                "Type": "Task",
                "Resource": f"arn:{partition}:states:::sqs:sendMessage",
                "Arguments": {
                    "QueueUrl": queue_url,
                    "MessageBody": f"{{% {_QUEUED_EVENT} %}}",
                    "MessageAttributes": {
                        "TARGET_ARN": {"DataType": "String", "StringValue": branch.topic_arn},
                        "CHANNEL": {"DataType": "String", "StringValue": branch.channel},
                        "ERROR_CODE": {"DataType": "String", "StringValue": "{% $failure %}"},
                    },
                },
                "Output": done,
                "Catch": [_to(end, lost)],
                "Next": end,
            },
            end: {"Type": "Succeed"},
        },
    }


_PLAIN_MESSAGE = {
    "MetricName": PLAIN_MESSAGES_METRIC,
    "Dimensions": [{"Name": "StateMachine", "Value": "{% $states.context.StateMachine.Name %}"}],
    "Unit": "Count",
    "Value": 1,
}


_SAME_EVENT, _ERROR_NAME = "{% $states.input %}", "{% $states.errorOutput.Error & '' %}"


def _to(state: str, output: object) -> Definition:
    """Catch everything that can be caught, and go on to a state with an output."""
    return {"ErrorEquals": ["States.ALL"], "Output": output, "Next": state}
