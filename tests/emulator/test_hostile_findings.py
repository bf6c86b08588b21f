"""A thousand findings made to break the mail: each is mailed, if need be from the dead-letter queue by a redrive."""

import copy
import json
import random
from collections.abc import Callable, Iterator, Mapping
from itertools import count, pairwise
from operator import itemgetter
from typing import Any, NamedTuple

import pytest
from examples import OTHER_ACCOUNT
from findings import RECORDED, Event, recorded
from redrive.dead_letter_stack import answer_at_once
from scripted_account import ScriptedAccount

from threatmon.emulator.delivery import EventDelivery, deliver, deliver_all
from threatmon.emulator.deployment import Deployment, deployed
from threatmon.evaluation.explain import explain
from threatmon.model import names
from threatmon.model.email import mail
from threatmon.model.one_line import one_line
from threatmon.model.settings import NAMESPACE, parse
from threatmon.model.severity import BANDS
from threatmon.project import ROOT as PROJECT_ROOT
from threatmon.redrive.publisher import publisher_of
from threatmon.redrive.queue import Queue
from threatmon.redrive.redrive import RESENT, RedriveStatus, send_again
from threatmon.stacks.files import StackFile, load

SEED = 20260914
SELECTED = 1_000
SNS_BYTES = 256 * 1024  # https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
SQS_BYTES = 1024 * 1024  # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
REDRIVEN_AT_ONCE = 25  # more than SQS hands out at once; moto is slow on deep queues

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
SNIPPETS = ("<title>", "<aws.events.event.json>", '"\n"', '"\n5\n"', '", "', "\\u0041", "\\", "{{7*7}}", "${HOME}", "")
OTHERS: tuple[Any, ...] = (None, True, False, 0, -1, 3.7, 10**30, "", "5", [], [5], ["x", 1], {}, {"a": {"b": '"'}})


def text(rng: random.Random) -> str:
    length = rng.randint(1, 6)
    parts = [rng.choice(SNIPPETS if rng.random() < 0.3 else rng.choice(ALPHABETS)) for _ in range(length)]
    return "".join(["a finding ", *parts][rng.randint(0, 1) :])


def parent(detail: Event, path: list[Any]) -> Any:
    """Return what holds the end of a path, made if it is missing; None if another kind of value is in the way."""
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
    """Put up to 100 KiB; if the mail has the text several times, that is more than SNS takes."""
    char = rng.choice("aaaa漢")
    path = rng.choice([["title"], ["region"], ["id"], *READ])
    put(detail, path, char * (rng.randint(90, 100) * 1024 // len(char.encode())))


def missing_branch(rng: random.Random, detail: Event) -> None:
    path = rng.choice(READ)
    path = path[: rng.randint(1, len(path))]
    holder = parent(detail, path)
    if isinstance(holder, dict):
        holder.pop(path[-1], None)


def unknown_resource(rng: random.Random, detail: Event) -> None:
    details = {"name": text(rng), "more": [text(rng)]}
    detail["resource"] = {"resourceType": "Quantum" + text(rng), "quantumDetails": details}


def wrong_type(rng: random.Random, detail: Event) -> None:
    others = (["severity"], ["service", "archived"], ["resource", "instanceDetails", "networkInterfaces"])
    path = rng.choice([*READ, *others])
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
    """Yield the same endless row of events each time."""
    rng = random.Random(SEED)  # noqa: S311 - repeatable, not secret
    for number in count():
        event: Event = copy.deepcopy(recorded(RECORDED[number % len(RECORDED)])) | {"id": str(number)}
        for hostility in rng.choices(HOSTILITIES, k=rng.randint(1, 3)):
            hostility(rng, event["detail"])
        yield json.loads(json.dumps(event))


def at(detail: Event, *path: str) -> list[Any]:
    """Return the values at a path, as EventBridge compares them: each of a list, none of a branch."""
    node: Any = detail
    for key in path:
        node = node.get(key, []) if isinstance(node, dict) else []
    return node if isinstance(node, list) else [] if isinstance(node, dict) else [node]


def is_selected(event: Mapping[str, Any]) -> bool:
    detail = event["detail"]
    archived_at = at(detail, "service", "archived")
    return (
        any(isinstance(name, str) and name.startswith(FAMILIES) for name in at(detail, "type"))
        and any(isinstance(value, int | float) and not isinstance(value, bool) for value in at(detail, "severity"))
        and (not archived_at or any(value is False for value in archived_at))
    )


# -- what becomes of them ---------------------------------------------------------------------------------------------


class HostileRun(NamedTuple):
    """What became of the thousand findings that a rule selects, and of those between them that none does."""

    deployment: Deployment
    queue: Queue
    delivered: list[EventDelivery]
    redriven: list[RedriveStatus]
    """what became of each message in the dead-letter queue"""
    sent_again: list[dict[str, str]]
    """what the topic then got for its subscribers, as parameters of Publish"""

    @property
    def mailed(self) -> int:
        return sum(len(delivery.notifications) for delivery in self.delivered)

    @property
    def queued(self) -> list[Event]:
        return [dict(delivery.event) for delivery in self.delivered for _ in delivery.dead_letters]


@pytest.fixture(scope="module")
def run() -> Iterator[HostileRun]:
    config = {**stack().config, "aws:allowedAccountIds": [OTHER_ACCOUNT]}
    with deployed(StackFile("dev", config)) as deployment:
        deployment.confirm_subscriptions()
        sent: list[dict[str, str]] = []
        queue = dead_letter_queue(deployment, sent)
        publisher = publisher_of(queue.aws, StackFile("dev", config), deployment.run.outputs)
        run = HostileRun(deployment, queue, [], [], sent)
        selected = waiting = 0
        for delivery in deliver_all(deployment.account, hostile_events()):
            run.delivered.append(delivery)
            selected += is_selected(delivery.event)
            waiting += len(delivery.dead_letters)
            if selected == SELECTED or waiting >= REDRIVEN_AT_ONCE:
                run.redriven.extend(send_again(queue, publisher, {}))
                waiting = 0
            if selected == SELECTED:
                break
        yield run


def dead_letter_queue(deployment: Deployment, sent: list[dict[str, str]]) -> Queue:
    """Return the queue; what is sent again from it is added to ``sent``, which is cheaper than moto's SNS."""

    def publish(asked: dict[str, Any]) -> dict[str, str]:
        sent.append(asked)
        return {"MessageId": str(len(sent))}

    scripted = ScriptedAccount(deployment.account)
    scripted.answer("sns:Publish", publish)
    answer_at_once(scripted)
    return Queue(scripted.aws, deployment.run.outputs["deadLetterQueueUrl"])


def test_a_thousand_hostile_findings_are_mailed_or_queued_and_none_is_lost(run: HostileRun) -> None:
    settings, _ = parse(stack().own_config)
    links = names.log_group("dev"), names.dashboard("dev")
    rule_names = run.deployment.run.outputs["ruleNames"]
    explanations = explain([delivery.event for delivery in run.delivered], settings, "aws", *links)
    for delivery, (event, verdicts) in zip(run.delivered, explanations, strict=True):
        matched = [rule for rule, stopped_by in delivery.stopped_by.items() if stopped_by is None]
        explained = [verdict for verdict in verdicts if not verdict.stopped_by]
        assert [verdict.stopped_by for verdict in verdicts] == [delivery.stopped_by[name] for name in rule_names]
        assert len(matched) == len(explained) == is_selected(event), event["id"]
        assert len(delivery.notifications) + len(delivery.dead_letters) == len(matched), event["id"]
        assert delivery.lost == []
        bodies = [notification.body for notification in delivery.notifications]
        assert bodies == [verdict.mail for verdict in explained if verdict.mail]
        for body in bodies:
            assert all(isinstance(json.loads(line), str) for line in body.split("\n")), event["id"]
            assert len(body.encode()) <= SNS_BYTES
    found = [json.loads(status.message.dead_letter.body) for status in run.redriven]
    assert sorted(found, key=itemgetter("id")) == sorted(run.queued, key=itemgetter("id"))
    assert run.mailed + len(run.queued) == SELECTED
    assert min(run.mailed, len(run.queued), len(run.delivered) - SELECTED) > SELECTED // 10


def test_all_that_is_queued_is_sent_again_as_plain_text_that_names_its_finding(run: HostileRun) -> None:
    left = [status.reason for status in run.redriven if status.state != RESENT]
    lost = SELECTED - run.mailed - len(run.sent_again) - len(left)
    print(  # noqa: T201 - the count is what `pytest -s` is run for
        f"\n1,000 hostile findings: {run.mailed} mailed, {len(run.queued)} in the dead-letter queue; of these"
        f" {len(run.sent_again)} redriven and mailed, {len(left)} left in the queue; {lost} lost"
        f" (beside {len(run.delivered) - SELECTED} that no rule selects)"
    )
    assert left == []
    assert lost == 0
    assert len(run.redriven) == len(run.queued)
    assert (run.queue.peek(), run.queue.hidden_count()) == ([], 0)
    for status, sent in zip(run.redriven, run.sent_again, strict=True):
        subject, body = sent["Subject"], sent["Message"]
        assert sent["TopicArn"] == status.message.dead_letter.target_arn
        event = json.loads(status.message.dead_letter.body)
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
    """Return JSON as EventBridge writes it, with what is not printable escaped."""
    return one_line(json.dumps(value, separators=(",", ":"), ensure_ascii=False))


def test_what_is_sent_again_reaches_who_gets_the_mail(run: HostileRun) -> None:
    account, program = run.deployment
    topic = program.outputs["topicArn"]
    [subscription] = account.client("sns").list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    assert subscription["SubscriptionArn"] != "PendingConfirmation"
    assert {status.message.dead_letter.target_arn for status in run.redriven} == {topic}
    readers = {(sent.protocol, sent.endpoint) for delivery in run.delivered for sent in delivery.notifications}
    assert readers == {(subscription["Protocol"], subscription["Endpoint"])} == {("email", "security@example.com")}


def test_the_findings_are_the_same_each_time_and_hold_every_hostility() -> None:
    first, second = hostile_events(), hostile_events()
    events = [next(first) for _ in range(300)]
    assert events == [next(second) for _ in range(300)]
    written = [json.dumps(event) for event in events]
    for wanted in ('\\"', "\\\\", "\\n", "\\u0000", "\\u009f", "\\ud800", "\\ud83d\\ude42", "Quantum", "<title>"):
        assert any(wanted in text for text in written), wanted
    assert sum(len(text.encode()) > 90_000 for text in written) > 20
    assert any("resource" not in event["detail"] for event in events)
    assert any(isinstance(event["detail"].get("service"), str | int | list) for event in events)


# -- sizes ------------------------------------------------------------------------------------------------------------


def sized(size: int, **detail: object) -> Event:
    """Return a port scan whose event has this many bytes, as EventBridge writes it."""
    event = recorded("ec2_portscan")
    event["detail"] |= {**detail, "description": ""}
    written = json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode()
    event["detail"]["description"] = "x" * (size - len(written))
    return event


@pytest.fixture(scope="module")
def with_siem() -> Iterator[Deployment]:
    with deployed(stack(alerts={"subscribers": [RAW]})) as deployment:
        deployment.confirm_subscriptions()
        yield deployment


def test_a_mail_that_grows_over_what_sns_takes_is_queued(with_siem: Deployment) -> None:
    # The mail has the Region in several places; the event itself is well below.
    delivery = deliver(with_siem.account, sized(150_000, region="x" * 100_000))
    assert [letter.error_code for letter in delivery.dead_letters] == ["INVALID_PARAMETER"]
    assert [notification.protocol for notification in delivery.notifications] == ["sqs"]
    assert delivery.lost == []


def test_the_limit_of_sns_is_of_bytes_not_of_characters(with_siem: Deployment) -> None:
    # 100,000 characters of three bytes each.
    delivery = deliver(with_siem.account, sized(310_000, title="漢" * 100_000))
    assert [letter.error_code for letter in delivery.dead_letters] == ["INVALID_PARAMETER"] * 2
    assert delivery.lost == delivery.notifications == []


@pytest.mark.parametrize(
    ("size", "raw_is_sent"), [(SNS_BYTES, True), (SNS_BYTES + 1, False), (SQS_BYTES - 2_048, False)]
)
def test_an_event_over_what_sns_takes_still_makes_a_mail_and_its_raw_form_is_queued(
    with_siem: Deployment, size: int, raw_is_sent: bool
) -> None:
    delivery = deliver(with_siem.account, sized(size))
    protocols = {notification.protocol for notification in delivery.notifications}
    assert protocols == ({"email", "sqs"} if raw_is_sent else {"email"})
    assert len(delivery.dead_letters) == (not raw_is_sent)
    assert delivery.lost == []


def test_half_a_surrogate_pair_cannot_be_mailed_and_is_kept_whole_in_the_queue(with_siem: Deployment) -> None:
    event = recorded("ec2_portscan")
    event["detail"]["title"] = "a\udc00b\ud800"
    delivery = deliver(with_siem.account, event)
    assert [letter.error_code for letter in delivery.dead_letters] == ["INVALID_PARAMETER"]
    assert [json.loads(notification.body) for notification in delivery.notifications] == [event]
    assert event in [json.loads(message.dead_letter.body) for message in dead_letter_queue(with_siem, []).peek()]
