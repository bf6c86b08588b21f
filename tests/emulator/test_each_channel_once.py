"""Whatever the event is and whatever fails: each wanted channel gets one message, or is named where nobody got one."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, get_args

from findings import RECORDED, recorded
from hypothesis import given, settings
from hypothesis import strategies as st

from threatmon.emulator.state_machine import Service, StateError, run
from threatmon.model.channels import FormattedChannel
from threatmon.model.location import Location
from threatmon.model.settings import AlertSettings, SlackSettings
from threatmon.model.state_machine import CHANNELS_KEY, LOST, definition

CHANNELS: tuple[FormattedChannel, ...] = get_args(FormattedChannel)
MACHINE = definition(
    Location("111122223333", "eu-west-1", "aws", "amazonaws.com"),
    AlertSettings(slack=SlackSettings(workspace_id="T0", channel_id="C0", minimum_severity="high")),
    topic_arns={channel: channel for channel in CHANNELS},
    queue_url="queue",
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
MEMBERS = ("severity", "type", "id", "region", "accountId", "title", "description", "service", "resource")
FINDINGS = VALUES | st.builds(
    lambda name, changes: recorded(name)["detail"] | changes,
    st.sampled_from(RECORDED),
    st.dictionaries(st.sampled_from(MEMBERS), VALUES, max_size=3),
)
# A redriven execution names its channels.
WANTED = st.none() | st.lists(st.sampled_from(CHANNELS), unique=True)
# Who refuses: the topic of a channel a message of a kind, the queue what a channel missed, the metric everything.
FAILING = st.sets(
    st.tuples(st.sampled_from(("formatted", "plain", "queue")), st.sampled_from(CHANNELS)) | st.just(("metric", "mail"))
)
ERRORS = st.sampled_from(("SNS.InvalidParameterException", "SNS.ThrottledException", "SNS.SdkClientException"))


def services(failing: set[tuple[str, str]], error: str, got: Counter[str]) -> Mapping[str, Service]:
    """Services that count what each channel got."""

    def service(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        if "TopicArn" in arguments:
            channel = arguments["TopicArn"]
            shown = arguments.get("Subject", "") + arguments["Message"]
            call = ("plain" if "[UNFORMATTED] GuardDuty finding" in shown else "formatted", channel)
        elif "QueueUrl" in arguments:
            channel = arguments["MessageAttributes"]["CHANNEL"]["StringValue"]
            call = ("queue", channel)
        else:
            channel, call = "", ("metric", "mail")
        if call in failing:
            raise StateError(error, "no")
        got[channel] += 1
        return {}

    return dict.fromkeys(("sns:publish", "sqs:sendMessage", "aws-sdk:cloudwatch:putMetricData"), service)


@settings(max_examples=40, deadline=None)
@given(finding=FINDINGS, wanted=WANTED, failing=FAILING, error=ERRORS)
def test_each_wanted_channel_gets_one_message_or_is_named(
    finding: Any, wanted: list[FormattedChannel] | None, failing: set[tuple[str, str]], error: str
) -> None:
    event = {"detail": finding} if wanted is None else {"detail": finding, CHANNELS_KEY: wanted}
    got: Counter[str] = Counter()
    execution = run(MACHINE, event, services(failing, error, got))
    named = execution.cause.split(",") if execution.failure else []
    assert execution.error in {"", LOST}
    severity = finding.get("severity") if isinstance(finding, dict) else None
    is_low = isinstance(severity, int | float) and not isinstance(severity, bool) and severity < 7
    for channel in CHANNELS:
        expected = channel in (wanted if wanted is not None else CHANNELS) and not (channel == "slack" and is_low)
        assert got[channel] + named.count(channel) == expected, channel
        assert channel not in named or ("queue", channel) in failing
