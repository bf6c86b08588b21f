"""A thousand findings made to break the mail: each reaches people, nearly all as they should look."""

import copy
import json
import random
from collections.abc import Callable, Iterator, Mapping
from itertools import count, pairwise
from typing import Any, NamedTuple

import pytest
from emulator.alerting_account import HOOK, AlertingAccount
from examples import EMAIL, OTHER_ACCOUNT, REGION
from findings import RECORDED, Event, recorded

from threatmon.emulator.account import EmulatedAccount
from threatmon.emulator.delivery import EventDelivery, FailedDelivery, deliver, deliver_all
from threatmon.emulator.deployment import Deployment, deployed
from threatmon.evaluation.explain import explain
from threatmon.model import mail_formatter, names
from threatmon.model.mail_formatter import MailOptions
from threatmon.model.settings import NAMESPACE, parse
from threatmon.model.state_machine import QUOTA
from threatmon.project import ROOT as PROJECT_ROOT
from threatmon.stacks.files import StackFile, load

SEED = 20260914
SELECTED = 1_000
# So many runs share the thousand, for the workers to share the runs.
RUNS = 4
OF_A_RUN = SELECTED // RUNS
EXPLAINED = 20
TO_CHAT = 60
# While one account is open, what others held stays until it closes; so no two tests share one.
CHAT_ACCOUNT, ACCOUNT_WITHOUT_TOPIC = "222233334444", "333344445555"
# Half of a surrogate pair has one byte in a text and six as the escape that EventBridge writes.
MARGIN = 10_000

FAMILIES = ("Recon:", "Persistence:", "Discovery:")
SIEM = "arn:aws:sqs:eu-west-1:111122223333:siem"
RAW = {"protocol": "sqs", "endpoint": SIEM, "format": "raw"}
CONFIG = {
    "findingTypes": [f"{family}*" for family in FAMILIES],
    "minimumSeverity": "low",
    "alerts": {"subscribers": [RAW]},
}
UNFORMATTED = "[UNFORMATTED]"


def paths_of(node: Any) -> Iterator[list[Any]]:
    """Yield the path of every value below a node, as keys and indexes; of a list, those of its first entry."""
    entries = node.items() if isinstance(node, dict) else enumerate(node[:1]) if isinstance(node, list) else ()
    for step, value in entries:
        yield from ([step, *path] for path in ([], *paths_of(value)))


# Every path of a recorded finding, but what comes before a value is broken by another hostility.
READ = sorted({str(path): path for name in RECORDED for path in paths_of(recorded(name)["detail"])}.values(), key=str)


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
    """Put up to 100 KiB."""
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


def hostile_events(seed: int = SEED) -> Iterator[Event]:
    """Yield the same endless row of events each time."""
    rng = random.Random(seed)  # noqa: S311 - repeatable, not secret
    for number in count():
        event: Event = copy.deepcopy(recorded(RECORDED[number % len(RECORDED)])) | {"id": str(number)}
        for hostility in rng.choices(HOSTILITIES, k=rng.randint(1, 3)):
            hostility(rng, event["detail"])
        if len(json.dumps(event, ensure_ascii=False).encode(errors="surrogatepass")) <= QUOTA - MARGIN:
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
    return any(isinstance(name, str) and name.startswith(FAMILIES) for name in at(detail, "type")) and (
        not archived_at or any(value is False for value in archived_at)
    )


# -- what becomes of them ---------------------------------------------------------------------------------------------


class HostileRun(NamedTuple):
    """What became of findings that a rule selects, and of those between them that none does."""

    deployment: Deployment
    delivered: list[EventDelivery]

    @property
    def selected(self) -> list[EventDelivery]:
        return [delivery for delivery in self.delivered if is_selected(delivery.event)]


def until_enough(deliveries: Iterator[EventDelivery]) -> Iterator[EventDelivery]:
    """Yield deliveries until so many of them are of events that the rule selects."""
    left = OF_A_RUN
    while left:
        delivery = next(deliveries)
        left -= is_selected(delivery.event)
        yield delivery


@pytest.fixture(scope="module", params=range(RUNS))
def run(request: pytest.FixtureRequest) -> Iterator[HostileRun]:
    events = hostile_events(SEED + request.param)
    with deployed(StackFile("dev", {**stack().config, "aws:allowedAccountIds": [OTHER_ACCOUNT]})) as deployment:
        deployment.confirm_subscriptions()
        yield HostileRun(deployment, list(until_enough(deliver_all(deployment.account, events))))


def sent_to(delivery: EventDelivery, protocol: str) -> list[tuple[str, str]]:
    return [(sent.subject, sent.body) for sent in delivery.notifications if sent.protocol == protocol]


def test_each_of_a_thousand_hostile_findings_is_mailed_once_and_none_is_lost_or_queued(run: HostileRun) -> None:
    for delivery in run.delivered:
        selected = is_selected(delivery.event)
        assert (delivery.matched, len(delivery.executions)) == (selected, int(selected)), delivery.event["id"]
        assert len(sent_to(delivery, "email")) == len(sent_to(delivery, "sqs")) == selected, delivery.event["id"]
        assert delivery.lost == delivery.dead_letters == [], delivery.event["id"]
    assert len(run.selected) == OF_A_RUN
    assert len(run.delivered) - OF_A_RUN > OF_A_RUN // 10


def test_at_most_five_in_a_hundred_are_mailed_plain(run: HostileRun) -> None:
    plain = [delivery for delivery in run.selected if sent_to(delivery, "email")[0][0].startswith(UNFORMATTED)]
    print(  # noqa: T201 - the count is what `pytest -s` is run for
        f"\n{OF_A_RUN} hostile findings: {OF_A_RUN - len(plain)} formatted, {len(plain)} plain, 0 queued, 0 lost"
        f" (beside {len(run.delivered) - OF_A_RUN} that no rule selects)"
    )
    assert len(plain) <= OF_A_RUN // 20


def test_every_mail_is_one_that_sns_takes_and_a_reader_can_trust(run: HostileRun) -> None:
    for delivery in run.selected:
        [(subject, body)] = sent_to(delivery, "email")
        assert 0 < len(subject) <= 100
        assert subject.isascii()
        assert subject.isprintable()
        assert 0 < len(body.encode()) <= QUOTA
        assert all(char.isprintable() or char == "\n" for char in body), delivery.event["id"]


def test_a_machine_gets_every_finding_as_it_was(run: HostileRun) -> None:
    for delivery in run.selected:
        assert [json.loads(body) for _, body in sent_to(delivery, "sqs")] == [delivery.event]


def test_what_is_mailed_is_what_explain_shows(run: HostileRun) -> None:
    settings, _ = parse(stack().own_config)
    deliveries = run.delivered[:EXPLAINED]
    location = run.deployment.account.location
    links = names.log_group("dev"), names.dashboard("dev")
    explained = explain([delivery.event for delivery in deliveries], settings, location, *links)
    for delivery, explanation in zip(deliveries, explained, strict=True):
        assert explanation.alerts == delivery.matched
        if explanation.mail:
            shown = explanation.mail.subject, explanation.mail.message
            assert [shown] == sent_to(delivery, "email")


def test_readers_are_those_of_the_stack(run: HostileRun) -> None:
    readers = {(sent.protocol, sent.endpoint) for delivery in run.delivered for sent in delivery.notifications}
    assert readers == {("email", EMAIL), ("sqs", SIEM)}


def test_hostile_findings_reach_chat_too() -> None:
    with EmulatedAccount(CHAT_ACCOUNT, REGION) as account:
        chat = mail_formatter.chat(MailOptions(CHAT_ACCOUNT, REGION, "aws"))
        bus = AlertingAccount(account, "{'Message': 'm'}", chat)
        bus.subscribe(bus.chat_topic, "https", HOOK)
        events = hostile_events()
        for delivery in deliver_all(account, (next(events) for _ in range(TO_CHAT))):
            assert delivery.lost == delivery.dead_letters == []
            [card] = [sent.body for sent in delivery.notifications if sent.endpoint == HOOK]
            assert json.loads(card)["source"] == "custom"


def test_hostile_findings_wait_in_the_queue_if_the_topic_is_gone() -> None:
    with EmulatedAccount(ACCOUNT_WITHOUT_TOPIC, REGION) as account:
        bus = AlertingAccount(account, "{'Message': 'm'}")
        bus.sns.delete_topic(TopicArn=bus.topic)
        events = hostile_events()
        for delivery in deliver_all(account, (next(events) for _ in range(TO_CHAT))):
            assert delivery.lost == [], delivery.event["id"]
            assert delivery.dead_letters == [FailedDelivery("findings", "SNS.NotFoundException")]


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


@pytest.mark.parametrize("size", [200_000, QUOTA])
def test_an_event_up_to_what_a_machine_takes_is_mailed(run: HostileRun, size: int) -> None:
    delivery = deliver(run.deployment.account, sized(size))
    assert sorted(sent.protocol for sent in delivery.notifications) == ["email", "sqs"]
    assert delivery.dead_letters == delivery.lost == []


@pytest.mark.parametrize("size", [QUOTA + 1, 4 * QUOTA - 2_048])
def test_a_larger_event_waits_whole_in_the_queue_for_each_target(run: HostileRun, size: int) -> None:
    delivery = deliver(run.deployment.account, sized(size))
    assert [letter.error_code for letter in delivery.dead_letters] == ["INVALID_PARAMETER"] * 2
    assert delivery.lost == delivery.notifications == []


def test_the_limit_is_of_bytes_not_of_characters(run: HostileRun) -> None:
    delivery = deliver(run.deployment.account, sized(310_000, title="\N{CJK UNIFIED IDEOGRAPH-6F22}" * 100_000))
    assert [letter.error_code for letter in delivery.dead_letters] == ["INVALID_PARAMETER"] * 2


def test_half_a_surrogate_pair_is_mailed_and_reaches_the_machine_as_it_was(run: HostileRun) -> None:
    event = recorded("ec2_portscan")
    event["detail"]["title"] = "a\udc00b\ud800"
    delivery = deliver(run.deployment.account, event)
    assert [json.loads(body) for _, body in sent_to(delivery, "sqs")] == [event]
    [(_, body)] = sent_to(delivery, "email")
    assert body.isascii()
