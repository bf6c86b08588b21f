from typing import Any

import pytest
from examples import EMAIL, SUBNET

from threatmon.model.channels import CHAT_ENDPOINT
from threatmon.model.settings import parse
from threatmon.verify.recipients import Recipient, formatted_topics, recipients, subscriptions_of

TOKEN = "https://hooks.example.com/T0KEN"


SLACK = {"workspaceId": "T0123ABCD", "channelId": "C0123ABCD", "minimumSeverity": "high"}


def test_recipients_are_grouped_as_topics_are_and_named_without_their_endpoints() -> None:
    subscribers = [
        {"protocol": "https", "endpoint": TOKEN, "format": "raw"},
        {"protocol": "https", "endpoint": "secret"},
        {"protocol": "email", "endpoint": "boss@example.com", "minimumSeverity": "high"},
    ]
    alerts = {"subscribers": subscribers, "slack": SLACK}
    settings, _ = parse({"subnetIds": [SUBNET], "alertEmails": [EMAIL], "alerts": alerts})
    grouped = {
        topic: [(recipient.name, recipient.endpoint, recipient.minimum_severity) for recipient in wanted]
        for topic, wanted in recipients(settings).items()
    }
    assert grouped == {
        "topic": [
            (EMAIL, EMAIL, None),
            ("alerts.subscribers[1] (https)", None, None),
            ("boss@example.com", "boss@example.com", "high"),
        ],
        "topic-raw": [("alerts.subscribers[0] (https)", TOKEN, None)],
        "topic-slack": [("chat application", CHAT_ENDPOINT, "high")],
    }
    assert formatted_topics(settings) == {"mail": "topic", "slack": "topic-slack"}


def listed(endpoint: str, protocol: str = "email", arn: str = "arn") -> dict[str, Any]:
    return {"Endpoint": endpoint, "Protocol": protocol, "SubscriptionArn": arn}


def test_subscriptions_are_found_by_endpoint_and_secret_ones_among_what_is_left() -> None:
    wanted = [
        Recipient("a", "https", None),
        Recipient("b", "https", TOKEN),
        Recipient("c", "email", "SOC@example.com"),
    ]
    answers = [listed(TOKEN, "https"), listed("https://other", "https"), listed("soc@example.com")]
    assert subscriptions_of(wanted, answers) == [answers[1], answers[0], answers[2]]


@pytest.mark.parametrize("answer", [listed(EMAIL, arn="Deleted"), listed(EMAIL, "email-json"), listed("other@x.com")])
def test_a_subscription_that_was_ended_or_is_another_is_not_there(answer: dict[str, Any]) -> None:
    assert subscriptions_of([Recipient("soc", "email", EMAIL)], [answer]) == [None]
