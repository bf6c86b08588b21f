from typing import get_args

import pytest

from threatmon.model.channels import Channel, MessageFormat, by_channel
from threatmon.model.settings import AlertSubscriber
from threatmon.model.severity import BANDS, SeverityName


@pytest.mark.parametrize(
    ("channel", "suffix"),
    [
        (Channel("text", "medium"), ""),
        (Channel("raw", "medium"), "-raw"),
        (Channel("text", "high"), "-high"),
        (Channel("raw", "critical"), "-raw-critical"),
    ],
)
def test_a_suffix_says_how_a_channel_differs_from_the_mail_of_every_alert(channel: Channel, suffix: str) -> None:
    assert channel.suffix("medium") == suffix


@pytest.mark.parametrize("usual", get_args(SeverityName))
def test_no_two_channels_share_a_suffix(usual: SeverityName) -> None:
    channels = [Channel(f, s) for f in get_args(MessageFormat) for s in get_args(SeverityName)]
    assert len({channel.suffix(usual) for channel in channels}) == len(channels)


def test_a_channel_takes_the_bands_from_its_severity_up() -> None:
    assert [band.name for band in BANDS if Channel("raw", "high").takes(band)] == ["high", "critical"]


def test_subscribers_are_grouped_by_format_and_severity_with_the_mail_of_every_alert_first() -> None:
    pager = AlertSubscriber(protocol="sms", endpoint="+491701234567", minimum_severity="critical")
    hook = AlertSubscriber(protocol="https", endpoint="https://example.com", format="raw", minimum_severity="high")
    siem = AlertSubscriber(protocol="sqs", endpoint="arn", format="raw")
    mail = AlertSubscriber(protocol="email", endpoint="a@example.com")
    groups = by_channel([pager, hook, siem, mail], usual="high")
    assert list(groups.items()) == [
        (Channel("text", "high"), [mail]),
        (Channel("text", "critical"), [pager]),
        (Channel("raw", "high"), [hook, siem]),
    ]
