import json
from collections.abc import Iterator
from typing import Any

import pytest

from threatmon.emulator.account import EmulatedAccount
from threatmon.emulator.delivery import deliver
from threatmon.model.location import Location
from threatmon.model.policies import key_policy, queue_policy, topic_policy

EVENT: dict[str, Any] = {
    "source": "aws.guardduty",
    "detail-type": "GuardDuty Finding",
    "detail": {"type": "Recon:EC2/Portscan", "title": "A scan", "severity": 5},
}
PLACE = Location("111122223333", "eu-west-1", "aws", "amazonaws.com")


class Path:
    """A rule, a topic with a subscriber, a dead-letter queue; every permission can be taken away."""

    def __init__(self, account: EmulatedAccount) -> None:
        self.account = account
        self.events, self.sns, self.sqs = (account.client(service) for service in ("events", "sns", "sqs"))
        self.rule = self.events.put_rule(Name="rule", EventPattern='{"source":["aws.guardduty"]}')["RuleArn"]
        key = account.client("kms").create_key(Policy=json.dumps(key_policy(PLACE, "/group")))["KeyMetadata"]["Arn"]
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
        policy = json.dumps(topic_policy(self.topic, PLACE.root, rules))
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
def path() -> Iterator[Path]:
    with EmulatedAccount("111122223333", "eu-west-1") as account:
        yield Path(account)


def test_a_matching_event_reaches_the_subscriber_as_the_template_says(path: Path) -> None:
    journey = deliver(path.account, EVENT)
    assert [(n.endpoint, n.body) for n in journey.notifications] == [("a@example.com", '"Recon:EC2/Portscan: A scan"')]
    assert journey.notifications[0].subject == "AWS Notification Message"
    assert journey.dead_letters == journey.lost == path.dead_letters() == []


def test_an_event_that_matches_nothing_is_neither_sent_nor_queued(path: Path) -> None:
    journey = deliver(path.account, EVENT | {"source": "aws.ec2"})
    assert [v.reason for v in journey.verdicts] == ['source: "aws.ec2" is not "aws.guardduty"']
    assert journey.deliveries == path.dead_letters() == []


def test_a_disabled_rule_lets_nothing_through(path: Path) -> None:
    path.events.disable_rule(Name="rule")
    journey = deliver(path.account, EVENT)
    assert [v.reason for v in journey.verdicts] == ["the rule is disabled"]
    assert journey.notifications == []


def test_whoever_has_not_confirmed_gets_nothing(path: Path) -> None:
    path.sns.subscribe(TopicArn=path.topic, Protocol="email", Endpoint="late@example.com")
    assert [n.endpoint for n in deliver(path.account, EVENT).notifications] == ["a@example.com"]


def test_without_a_transformer_the_event_itself_is_delivered(path: Path) -> None:
    path.events.put_targets(Rule="rule", Targets=[{"Id": "t", "Arn": path.topic}])
    [notification] = deliver(path.account, EVENT).notifications
    assert json.loads(notification.body) == EVENT


def test_a_target_without_permission_ends_in_the_dead_letter_queue(path: Path) -> None:
    path.allow_topic([path.account.arn("events", "rule/another")])
    journey = deliver(path.account, EVENT)
    assert [d.error_code for d in journey.dead_letters] == ["NO_PERMISSIONS"]
    assert journey.notifications == []
    [letter] = path.dead_letters()
    assert json.loads(letter["Body"]) == EVENT
    attributes = {name: value["StringValue"] for name, value in letter["MessageAttributes"].items()}
    assert attributes == {"ERROR_CODE": "NO_PERMISSIONS", "RULE_ARN": path.rule, "TARGET_ARN": path.topic}


def test_a_text_that_breaks_the_template_ends_in_the_dead_letter_queue(path: Path) -> None:
    event = EVENT | {"detail": EVENT["detail"] | {"title": 'say "hi"'}}
    journey = deliver(path.account, event)
    assert [d.error_code for d in journey.dead_letters] == ["INVALID_JSON"]
    assert json.loads(path.dead_letters()[0]["Body"]) == event


def test_a_key_that_shuts_eventbridge_out_loses_mail_and_dead_letter(path: Path) -> None:
    closed = key_policy(PLACE, "/group")
    closed["Statement"] = [s for s in closed["Statement"] if s["Sid"] != "EventBridgePublishes"]
    path.account.client("kms").put_key_policy(KeyId=path.key, PolicyName="default", Policy=json.dumps(closed))
    journey = deliver(path.account, EVENT)
    assert [d.error_code for d in journey.lost] == ["NO_PERMISSIONS"]
    assert journey.notifications == journey.dead_letters == path.dead_letters() == []


def test_a_queue_that_shuts_the_rule_out_loses_the_event(path: Path) -> None:
    path.allow_topic([])
    path.allow_queue([])
    journey = deliver(path.account, EVENT)
    assert len(journey.lost) == 1
    assert path.dead_letters() == []


def test_nothing_is_posted_to_an_endpoint_outside(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a request left the process")

    monkeypatch.setattr("requests.post", refuse)
    arn = path.sns.subscribe(
        TopicArn=path.topic, Protocol="https", Endpoint="https://example.com/hook", ReturnSubscriptionArn=True
    )["SubscriptionArn"]
    path.account.confirm_subscription(arn)
    assert {n.protocol for n in deliver(path.account, EVENT).notifications} == {"email", "https"}
