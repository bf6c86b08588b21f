import json
from typing import Any

import pytest

from threatmon.emulator.account import EmulatedAccount
from threatmon.emulator.delivery import deliver
from threatmon.model.policies import key_policy, queue_policy, topic_policy

EVENT: dict[str, Any] = {
    "source": "aws.guardduty",
    "detail-type": "GuardDuty Finding",
    "detail": {"type": "Recon:EC2/Portscan", "title": "A scan", "severity": 5},
}


class Bus:
    """A rule, a topic with a subscriber, a dead-letter queue; every permission can be taken away."""

    def __init__(self, account: EmulatedAccount) -> None:
        self.account = account
        self.events, self.sns, self.sqs = (account.client(service) for service in ("events", "sns", "sqs"))
        self.rule = self.events.put_rule(Name="rule", EventPattern='{"source":["aws.guardduty"]}')["RuleArn"]
        key = account.client("kms").create_key(Policy=json.dumps(key_policy(account.location, "/group")))[
            "KeyMetadata"
        ]["Arn"]
        self.key = key
        self.topic = self.sns.create_topic(Name="topic", Attributes={"KmsMasterKeyId": key})["TopicArn"]
        self.queue_url = self.sqs.create_queue(QueueName="queue", Attributes={"KmsMasterKeyId": key})["QueueUrl"]
        self.queue = account.arn("sqs", "queue")
        self.allow_topic([self.rule])
        self.allow_queue([self.rule])
        self.target()
        arn = self.sns.subscribe(
            TopicArn=self.topic, Protocol="email", Endpoint="a@example.com", ReturnSubscriptionArn=True
        )["SubscriptionArn"]
        account.confirm_subscription(arn)

    def allow_topic(self, rules: list[str]) -> None:
        policy = json.dumps(topic_policy(self.topic, self.account.location.root, rules))
        self.sns.set_topic_attributes(TopicArn=self.topic, AttributeName="Policy", AttributeValue=policy)

    def allow_queue(self, rules: list[str]) -> None:
        policy = json.dumps(queue_policy(self.queue, rules))
        self.sqs.set_queue_attributes(QueueUrl=self.queue_url, Attributes={"Policy": policy})

    def target(self, template: str = '"<type>: <title>"') -> None:
        transformer = {"InputPathsMap": {"type": "$.detail.type", "title": "$.detail.title"}, "InputTemplate": template}
        target = {
            "Id": "t",
            "Arn": self.topic,
            "InputTransformer": transformer,
            "DeadLetterConfig": {"Arn": self.queue},
        }
        self.events.put_targets(Rule="rule", Targets=[target])

    def dead_letters(self) -> list[dict[str, Any]]:
        answer = self.sqs.receive_message(
            QueueUrl=self.queue_url, MessageAttributeNames=["All"], MaxNumberOfMessages=10
        )
        return answer.get("Messages", [])


@pytest.fixture
def bus(account: EmulatedAccount) -> Bus:
    return Bus(account)


def test_a_matching_event_reaches_the_subscriber_as_the_template_says(bus: Bus) -> None:
    delivery = deliver(bus.account, EVENT)
    assert [(sent.endpoint, sent.body) for sent in delivery.notifications] == [
        ("a@example.com", '"Recon:EC2/Portscan: A scan"')
    ]
    assert delivery.notifications[0].subject == "AWS Notification Message"
    assert delivery.dead_letters == delivery.lost == bus.dead_letters() == []


def test_an_event_that_matches_nothing_is_neither_sent_nor_queued(bus: Bus) -> None:
    delivery = deliver(bus.account, EVENT | {"source": "aws.ec2"})
    assert delivery.stopped_by == {"rule": 'source: "aws.ec2" is not "aws.guardduty"'}
    assert delivery.notifications == delivery.dead_letters == delivery.lost == bus.dead_letters() == []


def test_a_disabled_rule_lets_nothing_through(bus: Bus) -> None:
    bus.events.disable_rule(Name="rule")
    delivery = deliver(bus.account, EVENT)
    assert delivery.stopped_by == {"rule": "the rule is disabled"}
    assert delivery.notifications == []


def test_whoever_has_not_confirmed_gets_nothing(bus: Bus) -> None:
    bus.sns.subscribe(TopicArn=bus.topic, Protocol="email", Endpoint="late@example.com")
    assert [sent.endpoint for sent in deliver(bus.account, EVENT).notifications] == ["a@example.com"]


def test_without_a_transformer_the_event_itself_is_delivered(bus: Bus) -> None:
    bus.events.put_targets(Rule="rule", Targets=[{"Id": "t", "Arn": bus.topic}])
    [notification] = deliver(bus.account, EVENT).notifications
    assert json.loads(notification.body) == EVENT


def test_a_target_without_permission_ends_in_the_dead_letter_queue(bus: Bus) -> None:
    bus.allow_topic([bus.account.arn("events", "rule/another")])
    delivery = deliver(bus.account, EVENT)
    assert [letter.error_code for letter in delivery.dead_letters] == ["NO_PERMISSIONS"]
    assert delivery.notifications == []
    [letter] = bus.dead_letters()
    assert json.loads(letter["Body"]) == EVENT
    attributes = {name: value["StringValue"] for name, value in letter["MessageAttributes"].items()}
    assert attributes == {"ERROR_CODE": "NO_PERMISSIONS", "RULE_ARN": bus.rule, "TARGET_ARN": bus.topic}


def test_a_text_that_breaks_the_template_ends_in_the_dead_letter_queue(bus: Bus) -> None:
    event = EVENT | {"detail": EVENT["detail"] | {"title": 'say "hi"'}}
    delivery = deliver(bus.account, event)
    assert [letter.error_code for letter in delivery.dead_letters] == ["INVALID_JSON"]
    assert json.loads(bus.dead_letters()[0]["Body"]) == event


def test_a_key_that_shuts_eventbridge_out_loses_mail_and_dead_letter(bus: Bus) -> None:
    closed = key_policy(bus.account.location, "/group")
    closed["Statement"] = [statement for statement in closed["Statement"] if statement["Sid"] != "EventBridgePublishes"]
    bus.account.client("kms").put_key_policy(KeyId=bus.key, PolicyName="default", Policy=json.dumps(closed))
    delivery = deliver(bus.account, EVENT)
    assert [attempt.error_code for attempt in delivery.lost] == ["NO_PERMISSIONS"]
    assert delivery.notifications == delivery.dead_letters == bus.dead_letters() == []


def test_a_queue_that_shuts_the_rule_out_loses_the_event(bus: Bus) -> None:
    bus.allow_topic([])
    bus.allow_queue([])
    delivery = deliver(bus.account, EVENT)
    assert len(delivery.lost) == 1
    assert bus.dead_letters() == []


def test_nothing_is_posted_to_an_endpoint_outside(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a request left the process")

    monkeypatch.setattr("requests.post", refuse)
    arn = bus.sns.subscribe(
        TopicArn=bus.topic, Protocol="https", Endpoint="https://example.com/hook", ReturnSubscriptionArn=True
    )["SubscriptionArn"]
    bus.account.confirm_subscription(arn)
    assert {sent.protocol for sent in deliver(bus.account, EVENT).notifications} == {"email", "https"}
