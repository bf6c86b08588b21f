"""A thousand findings made to break the mail, on their way through a deployed stack: each is mailed, if need be by
`threatmon redrive` from the dead-letter queue.
"""

import copy
import json
import random
from collections.abc import Callable, Iterator
from itertools import count, pairwise
from operator import itemgetter
from typing import Any, NamedTuple

import boto3
import pytest
from findings import RECORDED, Event, recorded

from threatmon.aws.reader import Aws
from threatmon.emulator.delivery import Journey, deliver
from threatmon.emulator.deployment import Deployment, deployed
from threatmon.evaluation.explain import verdicts
from threatmon.model import names
from threatmon.model.alarms import DEAD_LETTERS, OLD_DEAD_LETTERS
from threatmon.model.email import mail
from threatmon.model.settings import NAMESPACE, parse
from threatmon.model.severity import BANDS
from threatmon.project import ROOT as PROJECT_ROOT
from threatmon.redrive.dead_letters import harmless
from threatmon.redrive.publisher import publisher_of
from threatmon.redrive.queue import Queue
from threatmon.redrive.redrive import RedriveStatus, send_again
from threatmon.stacks.files import StackFile, load

SEED = 20260914
SELECTED = 1_000
SNS_BYTES = 256 * 1024  # https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
SQS_BYTES = 1024 * 1024  # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
REDRIVEN_AT_ONCE = 25  # more than SQS hands out at once; moto is slow on deep queues
ANOTHER_ACCOUNT = "444455556666"  # accounts that are open at the same time share nothing if their ids differ

FAMILIES = ("Recon:", "Persistence:", "Discovery:")
CONFIG = {"findingTypes": [f"{family}*" for family in FAMILIES], "minimumSeverity": "low"}
RAW = {"protocol": "sqs", "endpoint": "arn:aws:sqs:eu-west-1:111122223333:siem", "format": "raw"}

# Every path that a mail reads, as keys and indexes below `detail`.
READ = [
    [int(step) if step.isdigit() else step for step in path.removeprefix("$.detail.").replace("[0]", ".0").split(".")]
    for path in mail(BANDS[1], "aws", None, "/group").input_paths.values()
]


def stack(**changes: object) -> StackFile:
    config = load(PROJECT_ROOT, "dev").config
    return StackFile("dev", {**config, **{f"{NAMESPACE}:{key}": value for key, value in (CONFIG | changes).items()}})


def confirmed(deployment: Deployment) -> Deployment:
    for arn in deployment.account.backend("sns").subscriptions:
        deployment.account.confirm_subscription(arn)
    return deployment


# -- the findings -----------------------------------------------------------------------------------------------------

ALPHABETS = (
    "\"'`",
    "\\/un0",
    "\n\r\t\v\f\u0085\u2028\u2029",
    "".join(map(chr, [*range(32), *range(127, 160)])),
    "äß漢字🙂\u202e\u200b\ufeff\ufffe\uffff\U0010ffff",
    "\ud800\udbff\udc00\udfff",  # halves of surrogate pairs, as JSON can escape them
    "<>{}[]$%,:",
)
SNIPPETS = (
    "<title>",
    "<aws.events.event.json>",
    '"\n"',
    '"\n5\n"',
    '", "',
    "\\u0041",
    "\\",
    "{{7*7}}",
    "${HOME}",
    "",
)
OTHERS: tuple[Any, ...] = (None, True, False, 0, -1, 3.7, 10**30, "", "5", [], [5], ["x", 1], {}, {"a": {"b": '"'}})


def text(rng: random.Random) -> str:
    parts = [
        rng.choice(SNIPPETS) if rng.random() < 0.3 else rng.choice(rng.choice(ALPHABETS))
        for _ in range(rng.randint(1, 6))
    ]
    return "".join(["a finding ", *parts][rng.randint(0, 1) :])


def parent(detail: Event, path: list[Any]) -> Any:
    """What holds the end of a path, made where it is missing; None where another kind of value is in the way."""
    node: Any = detail
    for step, following in pairwise(path):
        empty: Any = [{}] if following == 0 else {}
        if isinstance(step, int):
            if not isinstance(node, list) or not node:
                return None
            node = node[step]
        elif isinstance(node, dict):
            node = node.setdefault(step, empty)
        else:
            return None
    return node if isinstance(node, dict) else None


def put(detail: Event, path: list[Any], value: Any) -> None:
    holder = parent(detail, path)
    if holder is not None:
        holder[path[-1]] = value


def hostile_text(rng: random.Random, detail: Event) -> None:
    put(detail, rng.choice(READ), text(rng))


def hostile_title(rng: random.Random, detail: Event) -> None:
    detail["title"] = text(rng)


def hostile_type(rng: random.Random, detail: Event) -> None:
    detail["type"] = rng.choice([*FAMILIES, "Policy:"]) + text(rng)


def long_text(rng: random.Random, detail: Event) -> None:
    """Up to 100 KiB; where the mail has it several times, more than SNS takes."""
    char = rng.choice("aaaa漢")
    put(
        detail,
        rng.choice([["title"], ["region"], ["id"], *READ]),
        char * (rng.randint(90, 100) * 1024 // len(char.encode())),
    )


def missing_branch(rng: random.Random, detail: Event) -> None:
    path = rng.choice(READ)
    path = path[: rng.randint(1, len(path))]
    holder = parent(detail, path)
    if isinstance(holder, dict):
        holder.pop(path[-1], None)


def unknown_resource(rng: random.Random, detail: Event) -> None:
    detail["resource"] = {
        "resourceType": "Quantum" + text(rng),
        "quantumDetails": {"name": text(rng), "more": [text(rng)]},
    }


def wrong_type(rng: random.Random, detail: Event) -> None:
    path = rng.choice(
        [*READ, ["severity"], ["service", "archived"], ["resource", "instanceDetails", "networkInterfaces"]]
    )
    put(detail, path[: rng.randint(1, len(path))], copy.deepcopy(rng.choice(OTHERS)))


def severity(rng: random.Random, detail: Event) -> None:
    detail["severity"] = rng.choice([rng.randint(10, 100) / 10, 0, -1, 3.999, 4, 7, 9, 10, 11, 1e300])


def archived(rng: random.Random, detail: Event) -> None:
    put(detail, ["service", "archived"], rng.choice([True, False, "false", None]))


HOSTILITIES: tuple[Callable[[random.Random, Event], None], ...] = (
    *(hostile_text, hostile_title, hostile_type, missing_branch, unknown_resource, wrong_type) * 2,
    *(long_text, severity, archived),
)


def hostile_events() -> Iterator[Event]:
    """The same endless row of events each time."""
    rng = random.Random(SEED)  # noqa: S311 - repeatable, not secret
    for number in count():
        event: Event = copy.deepcopy(recorded(RECORDED[number % len(RECORDED)])) | {"id": str(number)}
        for hostility in rng.choices(HOSTILITIES, k=rng.randint(1, 3)):
            hostility(rng, event["detail"])
        yield json.loads(json.dumps(event))


def at(detail: Event, *path: str) -> list[Any]:
    """The values at a path, as EventBridge compares them: each of a list, none of a branch or of what is missing."""
    node: Any = detail
    for key in path:
        node = node.get(key, []) if isinstance(node, dict) else []
    return node if isinstance(node, list) else [] if isinstance(node, dict) else [node]


def is_selected(event: Event) -> bool:
    detail = event["detail"]
    archived_at = at(detail, "service", "archived")
    return (
        any(isinstance(name, str) and name.startswith(FAMILIES) for name in at(detail, "type"))
        and any(isinstance(it, int | float) and not isinstance(it, bool) for it in at(detail, "severity"))
        and (not archived_at or any(it is False for it in archived_at))
    )


# -- their way --------------------------------------------------------------------------------------------------------


class Way(NamedTuple):
    """What became of the thousand findings that a rule selects, and of those between them that none does."""

    deployment: Deployment
    journeys: list[tuple[Event, Journey]]
    """each event, up to a mail or the dead-letter queue"""
    queued: list[Event]
    """what `threatmon redrive` found in the queue"""
    statuses: list[RedriveStatus]
    """what became of each"""
    sent_again: list[tuple[str, str]]
    """subject and body of what the topic then had for its subscribers"""


@pytest.fixture(scope="module")
def way() -> Iterator[Way]:
    given = stack(health={"enabled": True})
    given = given._replace(config={**given.config, "aws:allowedAccountIds": [ANOTHER_ACCOUNT]})
    with deployed(given) as deployment:
        way = Way(confirmed(deployment), [], [], [], [])
        selected = waiting = 0
        for event in hostile_events():
            journey = deliver(deployment.account, event)
            way.journeys.append((event, journey))
            selected += is_selected(event)
            waiting += len(journey.dead_letters)
            if selected == SELECTED or waiting >= REDRIVEN_AT_ONCE:
                redrive_into(way, given)
                waiting = 0
            if selected == SELECTED:
                break
        yield way


def redrive_into(way: Way, given: StackFile) -> None:
    """Redrives the queue, and notes what was in it, what became of it and what was sent."""
    outputs = way.deployment.run.outputs
    queue = dead_letter_queue(way.deployment)
    way.queued.extend(json.loads(message.dead_letter.body) for message in queue.peek())
    sent = way.deployment.account.backend("sns").topics[outputs["topicArn"]].sent_notifications
    sent_before = len(sent)
    way.statuses.extend(send_again(queue, publisher_of(queue.aws, given, outputs), {}))
    way.sent_again.extend((subject, body) for _, body, subject, *_ in sent[sent_before:])


def dead_letter_queue(deployment: Deployment) -> Queue:
    return Queue(Aws(without_waiting(deployment)), deployment.run.outputs["deadLetterQueueUrl"])


def without_waiting(deployment: Deployment) -> boto3.Session:
    """A session of the account in which an empty queue says so at once; moto waits for messages in earnest."""
    session = deployment.account.boto3_session()
    session.events.register("before-parameter-build.sqs.ReceiveMessage", _ask_once, unique_id="without waiting")
    return session


def _ask_once(params: dict[str, Any], **_: object) -> None:
    params["WaitTimeSeconds"] = 0


def test_a_thousand_hostile_findings_are_mailed_or_queued_and_none_is_lost(way: Way) -> None:
    settings, _ = parse(stack().own_config)
    links = names.log_group("dev"), names.dashboard("dev")
    for event, journey in way.journeys:
        matched = [verdict.rule for verdict in journey.verdicts if verdict.reason is None]
        explained = [it for it in verdicts(event, settings, "aws", *links) if not it.stopped_by]
        assert len(matched) == len(explained) == is_selected(event), event["id"]
        assert len(journey.notifications) + len(journey.dead_letters) == len(matched), event["id"]
        assert journey.lost == []
        assert [it.mail for it in explained if it.mail] == [it.body for it in journey.notifications]
        for notification in journey.notifications:
            assert all(isinstance(json.loads(line), str) for line in notification.body.split("\n")), event["id"]
            assert len(notification.body.encode()) <= SNS_BYTES
    mailed, dead_letters = arrived(way)
    assert sorted(way.queued, key=itemgetter("id")) == sorted(dead_letters, key=itemgetter("id"))
    assert mailed + len(dead_letters) == SELECTED
    assert min(mailed, len(dead_letters), len(way.journeys) - SELECTED) > SELECTED // 10


def arrived(way: Way) -> tuple[int, list[Event]]:
    """How many were mailed at once, and which had to be queued."""
    mailed = sum(len(journey.notifications) for _, journey in way.journeys)
    return mailed, [event for event, journey in way.journeys for _ in journey.dead_letters]


def test_all_that_is_queued_is_sent_again_as_plain_text_that_names_its_finding(way: Way) -> None:
    mailed, dead_letters = arrived(way)
    left = [status.reason for status in way.statuses if status.state != "sent again"]
    lost = SELECTED - mailed - len(way.sent_again) - len(left)
    print(  # noqa: T201 - the count is what `pytest -s` is run for
        f"\n1,000 hostile findings: {mailed} mailed, {len(dead_letters)} in the dead-letter queue; of these"
        f" {len(way.sent_again)} redriven and mailed, {len(left)} left in the queue; {lost} lost"
        f" (beside {len(way.journeys) - SELECTED} that no rule selects, in silence)"
    )
    assert left == []
    assert lost == 0
    assert len(way.statuses) == len(dead_letters)
    queue = dead_letter_queue(way.deployment)
    assert (queue.peek(), queue.hidden_count()) == ([], 0)
    for event, (subject, body) in zip(way.queued, way.sent_again, strict=True):
        assert f'"id":{written(event["id"])},' in body
        for key in {"id", "type"} & event["detail"].keys():
            assert f'"{key}":{written(event["detail"][key])}' in body, event["id"]
        assert len(body.encode()) <= SNS_BYTES
        assert all(char.isprintable() or char == "\n" for char in body), event["id"]
        # https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
        assert 0 < len(subject) < 100
        assert subject.isascii()
        assert subject.isprintable()


def written(value: Any) -> str:
    """JSON as EventBridge writes it, and whatever is not printable escaped once more."""
    return harmless(json.dumps(value, separators=(",", ":"), ensure_ascii=False))


def test_what_is_sent_again_reaches_who_gets_the_mail(way: Way) -> None:
    sns, topic = way.deployment.account.client("sns"), way.deployment.run.outputs["topicArn"]
    [subscription] = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    assert subscription["SubscriptionArn"] != "PendingConfirmation"
    assert {status.message.dead_letter.target_arn for status in way.statuses} == {topic}
    readers = {(it.protocol, it.endpoint) for _, journey in way.journeys for it in journey.notifications}
    assert readers == {(subscription["Protocol"], subscription["Endpoint"])} == {("email", "security@example.com")}
    others = [it for arn, it in way.deployment.account.backend("sns").topics.items() if arn != topic]
    assert [it.sent_notifications for it in others] == [[]]  # that of the alarms


def test_alarms_watch_the_queue_and_tell_people_by_a_topic_of_their_own(way: Way) -> None:
    account, outputs = way.deployment.account, way.deployment.run.outputs
    watched = {"Name": "QueueName", "Value": outputs["deadLetterQueueUrl"].rpartition("/")[2]}
    alarms = {
        query["MetricStat"]["Metric"]["MetricName"]: alarm
        for alarm in account.client("cloudwatch").describe_alarms()["MetricAlarms"]
        for query in alarm["Metrics"]
        if "MetricStat" in query and query["MetricStat"]["Metric"]["Dimensions"] == [watched]
    }
    assert alarms.keys() == {*DEAD_LETTERS.metrics, *OLD_DEAD_LETTERS.metrics}
    [health_topic] = account.backend("sns").topics.keys() - {outputs["topicArn"]}
    for alarm in alarms.values():
        assert alarm["ActionsEnabled"] is True
        assert alarm["AlarmActions"] == [health_topic]
    for metric in DEAD_LETTERS.metrics:  # a single message is enough
        assert (alarms[metric]["ComparisonOperator"], alarms[metric]["Threshold"]) == ("GreaterThanThreshold", 0)
    [reader] = account.client("sns").list_subscriptions_by_topic(TopicArn=health_topic)["Subscriptions"]
    assert (reader["Protocol"], reader["Endpoint"]) == ("email", "security@example.com")
    assert reader["SubscriptionArn"] != "PendingConfirmation"


def test_the_findings_are_the_same_each_time_and_hold_every_hostility() -> None:
    first, second = hostile_events(), hostile_events()
    events = [next(first) for _ in range(300)]
    assert events == [next(second) for _ in range(300)]
    written = [json.dumps(event) for event in events]
    for wanted in ('\\"', "\\\\", "\\n", "\\u0000", "\\u009f", "\\ud800", "\\ud83d\\ude42", "Quantum", "<title>"):
        assert any(wanted in it for it in written), wanted
    assert sum(len(it.encode()) > 90_000 for it in written) > 20
    assert any("resource" not in event["detail"] for event in events)
    assert any(isinstance(event["detail"].get("service"), str | int | list) for event in events)


# -- sizes ------------------------------------------------------------------------------------------------------------


def sized(size: int, **detail: object) -> Event:
    """A port scan whose event has this many bytes, as EventBridge writes it."""
    event = recorded("ec2_portscan")
    event["detail"] |= {**detail, "description": ""}
    written = json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode()
    event["detail"]["description"] = "x" * (size - len(written))
    return event


@pytest.fixture(scope="module")
def with_siem() -> Iterator[Deployment]:
    with deployed(stack(alerts={"subscribers": [RAW]})) as deployment:
        yield confirmed(deployment)


def test_a_mail_that_grows_over_what_sns_takes_is_queued(with_siem: Deployment) -> None:
    # The mail has the Region in several places; the event itself is well below.
    journey = deliver(with_siem.account, sized(150_000, region="x" * 100_000))
    assert [delivery.error_code for delivery in journey.dead_letters] == ["INVALID_PARAMETER"]
    assert [notification.protocol for notification in journey.notifications] == ["sqs"]
    assert journey.lost == []


def test_the_limit_of_sns_is_of_bytes_not_of_characters(with_siem: Deployment) -> None:
    # 100,000 characters of three bytes each.
    journey = deliver(with_siem.account, sized(310_000, title="漢" * 100_000))
    assert [delivery.error_code for delivery in journey.dead_letters] == ["INVALID_PARAMETER"] * 2
    assert journey.lost == journey.notifications == []


@pytest.mark.parametrize(
    ("size", "raw_is_sent"), [(SNS_BYTES, True), (SNS_BYTES + 1, False), (SQS_BYTES - 2_048, False)]
)
def test_an_event_over_what_sns_takes_still_makes_a_mail_and_its_raw_form_is_queued(
    with_siem: Deployment, size: int, raw_is_sent: bool
) -> None:
    journey = deliver(with_siem.account, sized(size))
    assert {it.protocol for it in journey.notifications} == {"email", *(["sqs"] if raw_is_sent else [])}
    assert len(journey.dead_letters) == (not raw_is_sent)
    assert journey.lost == []


def test_the_dead_letter_queue_takes_every_event_that_eventbridge_has(with_siem: Deployment) -> None:
    # EventBridge takes events of up to 1 MB:
    # https://aws.amazon.com/blogs/compute/more-room-to-build-serverless-services-now-support-payloads-up-to-1-mb
    queue = with_siem.account.client("sqs").get_queue_attributes(
        QueueUrl=with_siem.run.outputs["deadLetterQueueUrl"], AttributeNames=["MaximumMessageSize"]
    )
    assert int(queue["Attributes"]["MaximumMessageSize"]) == SQS_BYTES


def test_half_a_surrogate_pair_cannot_be_mailed_and_is_kept_whole_in_the_queue(with_siem: Deployment) -> None:
    event = recorded("ec2_portscan")
    event["detail"]["title"] = "a\udc00b\ud800"
    journey = deliver(with_siem.account, event)
    assert [delivery.error_code for delivery in journey.dead_letters] == ["INVALID_PARAMETER"]
    assert [json.loads(notification.body) for notification in journey.notifications] == [event]
    assert event in [json.loads(message.dead_letter.body) for message in dead_letter_queue(with_siem).peek()]
