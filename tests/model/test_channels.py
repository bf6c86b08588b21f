import json
from typing import Any, get_args

import pytest
from findings import RECORDED, recorded

from threatmon.evaluation.event_matcher import matches
from threatmon.model.channels import CHANNELS, TOPICS, MessageFormat, filter_policy, filter_scope, topic_of
from threatmon.model.severity import SeverityName

FORMATS: tuple[MessageFormat, ...] = get_args(MessageFormat)
MINIMUMS: dict[SeverityName, int] = {"medium": 4, "high": 7, "critical": 9}


def test_each_format_and_each_chat_application_has_a_topic_of_its_own() -> None:
    assert list(TOPICS.values()) == ["topic", "topic-raw"]
    assert list(map(topic_of, CHANNELS)) == ["topic", "topic-slack", "topic-teams"]


@pytest.mark.parametrize("message_format", FORMATS)
@pytest.mark.parametrize("minimum", [None, "low"])
def test_who_takes_every_severity_has_no_filter(message_format: MessageFormat, minimum: SeverityName | None) -> None:
    assert filter_policy(message_format, minimum) is None


@pytest.mark.parametrize("minimum", MINIMUMS)
def test_the_mail_is_filtered_by_its_attribute_and_the_raw_event_by_its_body(minimum: SeverityName) -> None:
    severity = {"severity": [{"numeric": [">=", MINIMUMS[minimum]]}]}
    assert (filter_policy("text", minimum), filter_scope("text")) == (severity, "MessageAttributes")
    assert (filter_policy("raw", minimum), filter_scope("raw")) == ({"detail": severity}, "MessageBody")


@pytest.mark.parametrize("name", RECORDED)
def test_the_filter_of_a_raw_event_fits_a_finding_by_its_severity(name: str) -> None:
    event: dict[str, Any] = recorded(name)
    for minimum, lowest in MINIMUMS.items():
        policy = json.loads(json.dumps(filter_policy("raw", minimum)))
        # Of numbers, SNS filters as EventBridge matches.
        assert matches(policy, event) == (event["detail"]["severity"] >= lowest)
