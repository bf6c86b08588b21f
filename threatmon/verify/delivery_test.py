"""The part of ``threatmon verify`` that tries it: sample findings, followed until CloudWatch has counted each step.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-monitoring.html and
https://docs.aws.amazon.com/sns/latest/dg/sns-monitoring-using-cloudwatch.html
"""

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from rich.console import Console

from threatmon.errors import UsageError
from threatmon.evaluation.explain import rules_of
from threatmon.model.event_patterns import AlertRule
from threatmon.model.finding_types import catalogue
from threatmon.model.settings import NAMESPACE, Settings
from threatmon.model.severity import bands_from
from threatmon.verify import checks
from threatmon.verify.checks import Channel
from threatmon.verify.deployed_stack import Account
from threatmon.verify.sample_findings import expectation, select

# SNS reports every five minutes, and CloudWatch files a count under the start of its period.
_PERIOD = 300
_POLL = 15  # seconds


class Clock(NamedTuple):
    """Time: ``now`` in seconds since the epoch, ``sleep`` for some seconds."""

    now: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep


CLOCK = Clock()


class Plan(NamedTuple):
    """Which samples to make: rule key -> finding type; and the rules that cannot be tried, by key."""

    types: dict[str, str]
    untried: list[str]


class Metric(NamedTuple):
    """A CloudWatch metric of a rule or topic, by its name."""

    namespace: Literal["AWS/Events", "AWS/SNS"]
    name: str
    of: str

    def query(self, number: int) -> dict[str, Any]:
        """The question GetMetricData takes."""
        dimension = {"Name": "RuleName" if self.namespace == "AWS/Events" else "TopicName", "Value": self.of}
        metric = {"Namespace": self.namespace, "MetricName": self.name, "Dimensions": [dimension]}
        return {"Id": f"m{number}", "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Sum"}}


class Step(NamedTuple):
    """A step of the samples' way. ``wanted`` is how much of the metric they make; of a failure, none."""

    what: str
    metric: Metric
    wanted: int


@dataclass
class Sent:
    """What came of the samples. Seconds are from the sending until CloudWatch showed the count."""

    types: dict[str, str]
    not_tried: dict[str, str]
    seconds: dict[Step, float] = field(default_factory=dict[Step, float])
    missing: list[Step] = field(default_factory=list[Step])
    failures: list[Step] = field(default_factory=list[Step])

    @property
    def arrived(self) -> bool:
        """Whether every sample did all of its way."""
        return bool(self.types) and not self.missing and not self.failures

    def document(self) -> dict[str, Any]:
        """The same for ``--json``."""
        return {
            "arrived": self.arrived,
            "types": self.types,
            "notTried": self.not_tried,
            "steps": [{"step": it.what, "count": it.wanted, "seconds": round(s)} for it, s in self.seconds.items()],
            "missing": [it.what for it in self.missing],
            "failures": [it.what for it in self.failures],
        }


def plan(settings: Settings) -> Plan:
    """One type for each rule: samples have the usual severity of their type, so it has to lie in the rule's band.

    Raises :class:`UsageError` where no sample can pass.
    """
    if not settings.alerts.include_samples:
        raise UsageError(
            f"--send: {NAMESPACE}:alerts.includeSamples is false, so the rules let no sample through. Set it to true "
            "and deploy, or make a real finding: `threatmon simulate --plan`."
        )
    rules = rules_of(settings)
    # A type without a plan first: samples of it are made wherever there is a detector.
    usable = sorted(select(["*"]).types, key=lambda name: catalogue()[name].plan is not None)
    by_rule = expectation(usable, rules).by_rule
    if not by_rule:
        raise UsageError("--send: no finding type of the selection has a usual severity that passes a rule.")
    types = {rule.key: by_rule[rule.key][0] for rule in rules if rule.key in by_rule}
    return Plan(types, [rule.key for rule in rules if rule.key not in by_rule])


def send(account: Account, wanted: Plan, timeout: float, *, quiet: bool) -> Sent:
    """Makes the samples and follows them for at most ``timeout`` seconds; prints what happens unless ``quiet``.

    Raises what :class:`Account` raises.
    """
    console = Console(quiet=quiet)
    types, not_tried = _deployed(account, wanted)
    started = CLOCK.now()
    # What was counted before the first sample does not count.
    before = _read(account, (step.metric for step in _steps(account, types)), started)
    types, refused = _create(account, types)
    sent = Sent(types, not_tried | refused)
    console.print()
    for key, name in sent.types.items():
        _line(console, f"Sample sent for rule {key}: {name}")
    for key, reason in sent.not_tried.items():
        _line(console, f"Not tried, rule {key}: {reason}")
    if sent.types:
        _follow(account, sent, before, started, timeout, console)
    _say_the_end(sent, account, console, timeout)
    return sent


def _deployed(account: Account, wanted: Plan) -> tuple[dict[str, str], dict[str, str]]:
    """The plan's types for rules that are there and reach anybody; and why the other rules cannot be tried, by key."""
    not_tried = dict.fromkeys(wanted.untried, "no type of the selection is usually of that severity")
    listeners = [channel for channel in checks.subscribers(account.settings) if _confirmed(account, channel)]
    rules = {rule.key: rule for rule in rules_of(account.settings)}
    for key in wanted.types:
        name = account.rule_name(key)
        if not name or not account.rules()[name].state:
            not_tried[key] = "it is not deployed"
        elif not any(_takes(channel, rules[key]) for channel in listeners):
            not_tried[key] = "nobody it reaches has confirmed a subscription"
    return {key: name for key, name in wanted.types.items() if key not in not_tried}, not_tried


def _takes(channel: Channel, rule: AlertRule) -> bool:
    return rule.band in bands_from(channel.minimum_severity)


def _confirmed(account: Account, channel: Channel) -> int:
    subscriptions = account.subscriptions(account.topic_arn(channel))
    return sum(answer["SubscriptionArn"].startswith("arn:") for answer in subscriptions)


def _create(account: Account, types: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Rule key -> the type a sample was made of, and -> why there is none."""
    guardduty = account.aws.client("guardduty")
    made: dict[str, str] = {}
    refused: dict[str, str] = {}
    for key, name in types.items():  # one call each: GuardDuty refuses a whole call for one type that it does not know
        try:
            guardduty.create_sample_findings(DetectorId=account.output("detectorId"), FindingTypes=[name])
            made[key] = name
        except guardduty.exceptions.BadRequestException as error:
            refused[key] = f"GuardDuty makes no sample of {name}: {error.response['Error']['Message']}"
    return made, refused


def _steps(account: Account, types: Mapping[str, str]) -> list[Step]:
    """What has to be counted, and what must not, when each of these rules lets one sample through."""
    rules = [rule for rule in rules_of(account.settings) if rule.key in types]
    channels = list(checks.subscribers(account.settings))
    steps: list[Step] = []
    for rule in rules:
        targets = sum(_takes(channel, rule) for channel in channels)
        steps += [
            Step(f"rule {rule.key} {what}", Metric("AWS/Events", metric, str(account.rule_name(rule.key))), count)
            for what, metric, count in (
                ("matched", "TriggeredRules", 1),
                ("handed over", "Invocations", targets),
                ("failed to hand over", "FailedInvocations", 0),
                ("wrote to the dead-letter queue", "InvocationsSentToDlq", 0),
            )
        ]
    for channel in channels:
        expected = _confirmed(account, channel) * sum(_takes(channel, rule) for rule in rules)
        if expected:
            topic = account.topic_arn(channel).rpartition(":")[2]
            label = f"topic{channel.suffix(account.settings.severity_floor)}"
            steps += [
                Step(f"{label} delivered", Metric("AWS/SNS", "NumberOfNotificationsDelivered", topic), expected),
                Step(f"{label} failed to deliver", Metric("AWS/SNS", "NumberOfNotificationsFailed", topic), 0),
            ]
    return steps


def _read(account: Account, metrics: Iterable[Metric], since: float) -> dict[Metric, float]:
    """What CloudWatch has counted since the period in which ``since`` lies began."""
    asked = list(metrics)
    totals = dict.fromkeys(asked, 0.0)
    pages = (
        account.aws.client("cloudwatch")
        .get_paginator("get_metric_data")
        .paginate(
            MetricDataQueries=[metric.query(number) for number, metric in enumerate(asked)],
            StartTime=datetime.fromtimestamp(since - since % _PERIOD, UTC),
            EndTime=datetime.fromtimestamp(CLOCK.now() + 60, UTC),
        )
    )
    for page in pages:
        for result in page["MetricDataResults"]:
            totals[asked[int(result["Id"][1:])]] += sum(result["Values"])
    return totals


def _follow(
    account: Account, sent: Sent, before: Mapping[Metric, float], started: float, timeout: float, console: Console
) -> None:
    """Reads the counts until every step is done, something failed, or the time is over."""
    steps = _steps(account, sent.types)
    progress = nullcontext() if console.quiet else Console(stderr=True).status("Waiting for CloudWatch")
    with progress as status:
        while True:
            now = _read(account, before, started)
            elapsed = CLOCK.now() - started
            counted = {step: now[step.metric] - before[step.metric] for step in steps}
            for step in steps:
                if step.wanted and step not in sent.seconds and counted[step] >= step.wanted:
                    sent.seconds[step] = elapsed
                    _line(console, f"{_duration(elapsed):>8}  {step.what} ({counted[step]:.0f})")
            sent.missing = [step for step in steps if step.wanted and step not in sent.seconds]
            sent.failures = [step for step in steps if not step.wanted and counted[step] > 0]
            if sent.failures or not sent.missing or elapsed >= timeout:
                return
            if status:
                status.update(f"{_duration(elapsed)}: {len(sent.seconds)} steps done, next: {sent.missing[0].what}")
            CLOCK.sleep(min(_POLL, timeout - elapsed))


def _say_the_end(sent: Sent, account: Account, console: Console, timeout: float) -> None:
    if sent.arrived:
        longest = _duration(max(sent.seconds.values()))
        _line(console, f"Every sample was delivered, and counted by CloudWatch {longest} after it was sent.")
    elif sent.failures:
        _line(console, f"FAILED: {'; '.join(step.what for step in sent.failures)}")
        _line(console, "-> `threatmon redrive` shows what could not be delivered, and why.")
    elif sent.missing:
        _line(console, f"FAILED: after {_duration(timeout)} nothing shows: {'; '.join(it.what for it in sent.missing)}")
        _line(console, f"-> {_hint(sent, account)} CloudWatch may also be late.")
    else:
        _line(console, "FAILED: no sample was sent.")


def _hint(sent: Sent, account: Account) -> str:
    if all(step.metric.name != "TriggeredRules" for step in sent.missing):
        return "The rules matched: mend the checks above that fail, and see what `threatmon redrive` shows."
    return (
        "A sample that existed already may count as a repeat, which GuardDuty sends only every "
        f"{account.settings.finding_publishing_frequency}: archive the old samples and try again."
    )


def _line(console: Console, text: str) -> None:
    console.print(text, soft_wrap=True, markup=False, highlight=False)


def _duration(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"
