"""An update from the program before this one: alerts by a rule for each severity, without a state machine."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import pytest
from engine import previous
from engine.checkout import inventory
from engine.stacks import Stack, new_stack
from examples import ACCOUNT, REGION
from findings import recorded
from recordings.configs import CONFIGS

from threatmon.emulator.account import EmulatedAccount
from threatmon.emulator.delivery import deliver

# Who takes every alert, by protocol, and who has a minimumSeverity.
EVERYTHING = {
    *("email security@example.com", "email On.Call+aws@example.com", "email raw@example.com"),
    *("https https://hooks.example.com/T0KEN", "lambda arn:aws:lambda:eu-west-1:111122223333:function:findings"),
}
HEALTH = "email watch@example.com"
BY_SEVERITY = {
    *("email chief@example.com", "email-json json@example.com", "sms +41791234567"),
    "sqs arn:aws:sqs:eu-west-1:111122223333:findings",
}

Subscriptions = Mapping[str, Mapping[str, str]]


class Upgrade(NamedTuple):
    """A stack, its custom resources and its readers' subscriptions before and after an update, and its plan."""

    stack: Stack
    planned: Mapping[str, str]
    before: Mapping[str, Mapping[str, Any]]
    after: Mapping[str, Mapping[str, Any]]
    subscribed: Subscriptions
    still_subscribed: Subscriptions

    def names(self, *operations: str) -> set[str]:
        """Return the resources for which these operations were planned."""
        return {name for name, operation in self.planned.items() if operation in operations}


def subscriptions(account: EmulatedAccount) -> dict[str, dict[str, str]]:
    """Return the attributes of the readers' subscriptions, by protocol and endpoint; chat has its own."""
    client = account.client("sns")
    found = [
        client.get_subscription_attributes(SubscriptionArn=arn)["Attributes"]
        for arn in account.backend("sns").subscriptions  # a listing hides the ARN of a pending one
    ]
    return {
        f"{attributes['Protocol']} {attributes['Endpoint']}": attributes
        for attributes in found
        if "chatbot" not in attributes["Endpoint"]
    }


@pytest.fixture(scope="module")
def upgrade(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upgrade]:
    """A stack that the program before deployed, all of whose readers confirmed, and that this one has updated."""
    with new_stack(tmp_path_factory.mktemp("stack"), EmulatedAccount(ACCOUNT, REGION)) as stack:
        stack.configure(**{"minimumSeverity": None, **CONFIGS["subscribers"].config})
        previous.deploy(stack)
        before = stack.resources()
        for subscription in subscriptions(stack.account).values():
            stack.account.confirm_subscription(subscription["SubscriptionArn"])
        subscribed = subscriptions(stack.account)
        planned = stack.preview()
        stack.up().succeeded()
        yield Upgrade(stack, planned, before, stack.resources(), subscribed, subscriptions(stack.account))


def test_nobody_is_left_out(upgrade: Upgrade) -> None:
    assert upgrade.subscribed.keys() == upgrade.still_subscribed.keys() == {*EVERYTHING, *BY_SEVERITY, HEALTH}


@pytest.mark.parametrize("reader", sorted({*EVERYTHING, HEALTH}))
def test_who_takes_everything_keeps_the_confirmed_subscription(reader: str, upgrade: Upgrade) -> None:
    assert upgrade.still_subscribed[reader] == upgrade.subscribed[reader]
    assert upgrade.still_subscribed[reader]["PendingConfirmation"] == "false"


@pytest.mark.parametrize("reader", sorted(BY_SEVERITY))
def test_only_who_has_a_severity_of_their_own_moves_to_the_topic_of_all(reader: str, upgrade: Upgrade) -> None:
    topics = {name: upgrade.after[f"Topic alerts-{name}"]["id"] for name in ("topic", "topic-raw")}
    now = upgrade.still_subscribed[reader]
    assert now["TopicArn"] == topics["topic-raw" if reader.startswith("sqs") else "topic"]
    assert now["SubscriptionArn"] != upgrade.subscribed[reader]["SubscriptionArn"]
    assert json.loads(now["FilterPolicy"])
    # SNS cannot move a subscription, so that people confirm once more.
    assert now["PendingConfirmation"] == str(reader.startswith("email")).lower()


def test_the_update_replaces_these_subscriptions_and_nothing_else(upgrade: Upgrade) -> None:
    replaced = {name for name in upgrade.names("replace") if name.startswith("TopicSubscription alerts-")}
    assert upgrade.names("replace") == replaced
    assert len(replaced) == len(BY_SEVERITY)
    kept = upgrade.before.keys() & upgrade.after.keys() - replaced
    assert {name: upgrade.before[name]["id"] for name in kept} == {name: upgrade.after[name]["id"] for name in kept}


def test_the_update_changes_who_may_use_what_and_what_is_watched(upgrade: Upgrade) -> None:
    assert upgrade.names("update") == {
        "Key health-key",
        "Dashboard investigation-dashboard",
        "Key encryption-key",
        "MetricAlarm health-undeliverable-topic",
        "MetricAlarm health-undeliverable-topic-raw",
        "QueuePolicy alerts-dead-letters-policy",
        "TopicPolicy alerts-topic-policy",
        "TopicPolicy alerts-topic-raw-policy",
    }


def test_rules_targets_and_topics_of_single_severities_are_gone(upgrade: Upgrade) -> None:
    topics = ("topic-critical", "topic-high", "topic-raw-medium")
    assert upgrade.names("delete") == {
        *(name for name in upgrade.before if name.startswith(("EventRule ", "EventTarget "))),
        *(f"Topic alerts-{topic}" for topic in topics),
        *(f"TopicPolicy alerts-{topic}-policy" for topic in topics),
        *(f"MetricAlarm health-undeliverable-{topic}" for topic in topics),
        *(f"MetricAlarm health-undelivered-{severity}" for severity in ("low", "medium", "high", "critical")),
    }
    found = inventory(upgrade.stack.account)
    assert found["rules"] == [upgrade.after["EventRule alerts-findings"]["id"]]
    names = {"alerts-topic", "alerts-topic-raw", "alerts-chat-topic-slack", "alerts-chat-topic-teams", "health-topic"}
    assert found["topics"] == sorted(upgrade.after[f"Topic {name}"]["id"] for name in names)


def test_the_machine_and_the_channels_are_new(upgrade: Upgrade) -> None:
    assert upgrade.names("create") >= {
        *("EventRule alerts-findings", "EventTarget alerts-findings", "EventTarget alerts-findings-raw"),
        *("StateMachine alerts-formatter-state-machine", "LogGroup alerts-formatter-log-group"),
        *("Role alerts-formatter-role", "Role alerts-start-role", "Role alerts-chat-role"),
        *("SlackChannelConfiguration alerts-chat-slack", "TeamsChannelConfiguration alerts-chat-teams"),
    }


def test_then_there_is_nothing_left_to_do(upgrade: Upgrade) -> None:
    assert upgrade.stack.preview() == {}
    upgrade.stack.drift().succeeded()


def test_a_finding_reaches_each_reader_who_had_confirmed_once(upgrade: Upgrade) -> None:
    account = upgrade.stack.account
    delivery = deliver(account, recorded("ec2_portscan"))
    reached = [f"{sent.protocol} {sent.endpoint}" for sent in delivery.notifications]
    readers = sorted(reader for reader in reached if "chatbot" not in reader)
    assert readers == sorted({*EVERYTHING, "sqs arn:aws:sqs:eu-west-1:111122223333:findings"})
    assert delivery.dead_letters == delivery.lost == []
