"""The state machine that turns a finding into a message for each channel, as the dict Step Functions takes.

https://docs.aws.amazon.com/step-functions/latest/dg/transforming-data.html

Each channel is a branch of its own that never fails, so that one cannot stop another: a formatted message; if that
fails, a plain one of the whole event, and a count of it for an alarm; if that fails too, the dead-letter queue; and if
even that fails, the execution fails in the end and names the channels.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

Definition = dict[str, Any]

METRIC_NAMESPACE = "ThreatMonitor"
PLAIN_MESSAGES = "PlainMessages"
CHANNELS_KEY = "channels"
"""The key of an execution's input that names the channels to send to; without it, all."""

# What SNS says before it has accepted a message; anything else may have been accepted, and would arrive twice.
# https://docs.aws.amazon.com/sns/latest/api/API_Publish.html#API_Publish_Errors
_NOT_ACCEPTED = ["SNS.ThrottledException", "SNS.KmsThrottlingException", "SNS.InternalErrorException"]
# Characters other than printable ASCII become question marks: nothing can refuse such a text, and each is one byte.
_EVENT = r"$replace($string($states.input), /[^ -~]/, '?')"
# Whoever filters by severity hears of a finding without a usable one.
_SEVERITY = (
    "($severity := $states.input.detail.severity;"
    " $type($severity) = 'number' and $severity >= 0 and $severity <= 10 ? $string($severity) : '10')"
)
_PLAIN_SUBJECT = "[UNFORMATTED] GuardDuty finding"
# SNS takes 262,144 bytes, and so does a state, which counts each quotation mark and backslash twice.
_MAIL_LENGTH = 120_000
_CHAT_LENGTH = 7_000  # of the 8,000 of a custom notification
# The event, but of a large one, which could be more than a state takes, what it takes to find it in GuardDuty.
# SQS refuses two characters: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
_QUEUED_EVENT = (
    r"($event := $replace($string($states.input), /[\uFFFE\uFFFF]/, '?');"
    " $length($event) <= 50000 ? $event : ($detail := $states.input.detail; $string({"
    "'source': $states.input.source, 'detail-type': $states.input.`detail-type`, 'account': $states.input.account,"
    " 'region': $states.input.region, 'time': $states.input.time, 'shortened': true, 'detail': {"
    "'id': $substring($string($detail.id), 0, 300), 'type': $substring($string($detail.type), 0, 300),"
    " 'severity': $detail.severity, 'accountId': $substring($string($detail.accountId), 0, 300),"
    " 'region': $substring($string($detail.region), 0, 300), 'title': $substring($string($detail.title), 0, 300)}})))"
)


class MessageChannel(NamedTuple):
    """A topic, and the expression of what is published to it."""

    name: str
    """``Mail`` or ``Chat``: names the states of its branch, and in lower case the channel in an execution's input"""
    topic_arn: str
    arguments: str
    """JSONata that gives the arguments of ``sns:publish`` but the topic"""
    plain_message: str
    """JSONata that gives the message if the arguments cannot be had or are refused"""
    minimum_severity: float | None = None
    """lowest severity that is sent; everything unless set"""


def mail_channel(topic_arn: str, formatter: str) -> MessageChannel:
    """Return the channel of text messages; ``formatter`` gives Subject, Message and MessageAttributes."""
    return MessageChannel("Mail", topic_arn, formatter, f"$substring({_EVENT}, 0, {_MAIL_LENGTH})")


def chat_channel(topic_arn: str, formatter: str, minimum_severity: float | None) -> MessageChannel:
    """Return the channel of chat messages; ``formatter`` gives Message, a custom notification as JSON text.

    https://docs.aws.amazon.com/chatbot/latest/adminguide/custom-notifs.html
    """
    plain = (
        "$string({'version': '1.0', 'source': 'custom', 'content': {'textType': 'client-markdown',"
        f" 'title': '{_PLAIN_SUBJECT}', 'description': $substring({_EVENT}, 0, {_CHAT_LENGTH})}}}})"
    )
    return MessageChannel("Chat", topic_arn, formatter, plain, minimum_severity)


def definition(channels: Sequence[MessageChannel], queue_url: str, partition: str) -> Definition:
    """Return the definition of a STANDARD state machine whose input is an EventBridge event."""
    return {
        "Comment": "Formats GuardDuty findings for people.",
        "QueryLanguage": "JSONata",
        "StartAt": "Channels",
        "States": {
            "Channels": {
                "Type": "Parallel",
                "Branches": [_branch(channel, queue_url, partition) for channel in channels],
                "Next": "All delivered?",
            },
            "All delivered?": {
                "Type": "Choice",
                "Choices": [{"Condition": "{% $exists($states.input[lost]) %}", "Next": "Lost"}],
                "Default": "Delivered",
            },
            "Delivered": {"Type": "Succeed", "Output": {}},
            "Lost": {
                "Type": "Fail",
                "Error": "Lost",
                "Cause": "{% $join($states.input[lost].channel, ',') %}",
            },
        },
    }


def _branch(channel: MessageChannel, queue_url: str, partition: str) -> Definition:
    name, key = channel.name, channel.name.lower()
    wanted = f"($not($exists($states.input.{CHANNELS_KEY})) or '{key}' in $states.input.{CHANNELS_KEY})"
    if channel.minimum_severity is not None:
        severity = "$states.input.detail.severity"
        wanted += f" and ($type({severity}) != 'number' or {severity} >= {channel.minimum_severity})"
    done = {"channel": key, "lost": False}
    publish = {"Type": "Task", "Resource": f"arn:{partition}:states:::sns:publish", "Output": done}
    plain = {
        "TopicArn": channel.topic_arn,
        "Message": f"{{% {channel.plain_message} %}}",
        "MessageAttributes": {"severity": {"DataType": "Number", "StringValue": f"{{% {_SEVERITY} %}}"}},
    }
    return {
        "StartAt": f"{name} wanted?",
        "States": {
            f"{name} wanted?": {
                "Type": "Choice",
                "Choices": [{"Condition": f"{{% {wanted} %}}", "Next": name}],
                "Default": f"{name} skipped",
            },
            # Without the event, or that of two channels together could be more than a state may put out.
            f"{name} skipped": {"Type": "Pass", "Output": done, "Next": f"{name} done"},
            name: {
                **publish,
                "Arguments": f"{{% $merge([{{'TopicArn': '{channel.topic_arn}'}}, ({channel.arguments})]) %}}",
                "Retry": [{"ErrorEquals": _NOT_ACCEPTED, "IntervalSeconds": 2, "MaxAttempts": 4, "BackoffRate": 3}],
                "Catch": [_to(f"{name} plain")],
                "Next": f"{name} done",
            },
            f"{name} plain": {
                **publish,
                "Arguments": plain if name == "Chat" else {**plain, "Subject": _PLAIN_SUBJECT},
                "Output": "{% $states.input %}",
                "Retry": [{"ErrorEquals": _NOT_ACCEPTED, "IntervalSeconds": 2, "MaxAttempts": 4, "BackoffRate": 3}],
                "Catch": [_to(f"{name} to queue", error="{% $states.errorOutput.Error & '' %}")],
                "Next": f"{name} counted",
            },
            # The formatter needs a look; that this fails says nothing of the finding.
            f"{name} counted": {
                "Type": "Task",
                "Resource": f"arn:{partition}:states:::aws-sdk:cloudwatch:putMetricData",
                "Arguments": {
                    "Namespace": METRIC_NAMESPACE,
                    "MetricData": [
                        {
                            "MetricName": PLAIN_MESSAGES,
                            "Dimensions": [
                                {"Name": "StateMachine", "Value": "{% $states.context.StateMachine.Name %}"}
                            ],
                            "Unit": "Count",
                            "Value": 1,
                        }
                    ],
                },
                "Output": done,
                "Catch": [{"ErrorEquals": ["States.ALL"], "Output": done, "Next": f"{name} done"}],
                "Next": f"{name} done",
            },
            f"{name} to queue": {
                "Type": "Task",
                "Resource": f"arn:{partition}:states:::sqs:sendMessage",
                "Arguments": {
                    "QueueUrl": queue_url,
                    "MessageBody": f"{{% {_QUEUED_EVENT} %}}",
                    "MessageAttributes": {
                        "TARGET_ARN": {"DataType": "String", "StringValue": channel.topic_arn},
                        "CHANNEL": {"DataType": "String", "StringValue": key},
                        "ERROR_CODE": {"DataType": "String", "StringValue": "{% $error %}"},
                    },
                },
                "Output": done,
                "Catch": [
                    {
                        "ErrorEquals": ["States.ALL"],
                        "Output": {"channel": key, "lost": True},
                        "Next": f"{name} done",
                    }
                ],
                "Next": f"{name} done",
            },
            f"{name} done": {"Type": "Succeed"},
        },
    }


def _to(state: str, **assign: str) -> Definition:
    """Catch everything that can be caught, and go on to a state with the same event."""
    caught = {"ErrorEquals": ["States.ALL"], "Output": "{% $states.input %}", "Next": state}
    return {**caught, "Assign": assign} if assign else caught
