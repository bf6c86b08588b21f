"""An update from the program before this one, whose resources were named by Pulumi, with seven random digits."""

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple
from unittest.mock import patch

import pytest
from engine import previous
from engine.checkout import inventory
from engine.stacks import Stack, new_stack
from examples import ACCOUNT, REGION
from recordings.configs import CONFIGS

from threatmon.emulator.account import EmulatedAccount
from threatmon.emulator.emulated import Emulated

Subscriptions = Mapping[str, Mapping[str, str]]


class Upgrade(NamedTuple):
    """A stack, its custom resources and its readers' subscriptions before and after an update, and its plan."""

    stack: Stack
    planned: Mapping[str, str]
    before: Mapping[str, Mapping[str, Any]]
    after: Mapping[str, Mapping[str, Any]]
    subscribed: Subscriptions
    still_subscribed: Subscriptions
    fewest_targets: int
    """how few enabled rules with a target there were while it was under way"""

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


def sending_rules(account: EmulatedAccount) -> int:
    """Return how many rules have a target."""
    events = account.client("events")
    rules = [rule["Name"] for rule in events.list_rules()["Rules"] if rule["State"] == "ENABLED"]
    return sum(bool(events.list_targets_by_rule(Rule=rule)["Targets"]) for rule in rules)


@contextmanager
def during_each_deletion(action: Callable[[], object]) -> Generator[None]:
    """Do something after each deletion that the engine asks for."""
    delete = Emulated.delete

    def deleting(entry: Emulated, *arguments: Any) -> None:
        delete(entry, *arguments)
        action()

    with patch.object(Emulated, "delete", deleting):
        yield


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
        targets: list[int] = []
        with during_each_deletion(lambda: targets.append(sending_rules(stack.account))):
            stack.up().succeeded()
        now = subscriptions(stack.account)
        yield Upgrade(stack, planned, before, stack.resources(), subscribed, now, min(targets))


def test_what_holds_records_findings_or_a_place_in_the_account_stays(upgrade: Upgrade) -> None:
    kinds = ("LogGroup", "Key", "Detector", "StateMachine", "Dashboard", "QueryDefinition", "SlackChannel")
    kept = {name for name in upgrade.before if name.startswith(kinds)}
    assert len(kept) > len(kinds)
    assert {name: upgrade.before[name]["id"] for name in kept} == {name: upgrade.after[name]["id"] for name in kept}
    assert not upgrade.names("create", "delete")


def test_the_rest_gets_the_names_of_the_stack_and_there_is_one_of_each(upgrade: Upgrade) -> None:
    found = inventory(upgrade.stack.account)
    assert found["rules"] == ["threat-monitor-dev-alerts-findings"]
    assert found["aliases"] == ["alias/threat-monitor-dev-encryption"]
    assert found["roles"] == [
        f"threat-monitor-dev-{word}-role-{REGION}"
        for word in ("alerts-chat", "alerts-formatter", "alerts-start", "flow-logs")
    ]
    assert [topic.rpartition(":")[2] for topic in found["topics"]] == [
        f"threat-monitor-dev-{word}"
        for word in (
            *("alerts-chat-topic-slack", "alerts-chat-topic-teams", "alerts-topic", "alerts-topic-raw"),
            "health-topic",
        )
    ]
    assert [queue.rpartition("/")[2] for queue in found["queues"]] == ["threat-monitor-dev-alerts-dead-letters"]
    assert all(alarm.startswith("threat-monitor-dev-health-") for alarm in found["alarms"])
    assert len(found["flow logs"]) == 1


def test_every_reader_is_subscribed_once_more_and_people_have_to_confirm(upgrade: Upgrade) -> None:
    assert upgrade.still_subscribed.keys() == upgrade.subscribed.keys()
    pending = {reader for reader, now in upgrade.still_subscribed.items() if now["PendingConfirmation"] == "true"}
    assert pending == {reader for reader in upgrade.subscribed if reader.startswith(("email", "https"))}


def test_at_each_moment_a_rule_sends_findings_somewhere(upgrade: Upgrade) -> None:
    assert upgrade.fewest_targets == 1


def test_then_there_is_nothing_left_to_do(upgrade: Upgrade) -> None:
    assert upgrade.stack.preview() == {}
    upgrade.stack.drift().succeeded()
