"""Try a deployed stack: make sample findings, and follow them until CloudWatch has counted each step.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-monitoring.html and
https://docs.aws.amazon.com/sns/latest/dg/sns-monitoring-using-cloudwatch.html
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from threatmon.errors import ThreatmonError, UsageError
from threatmon.evaluation.explain import rules_of
from threatmon.model.channels import Channel
from threatmon.model.finding_types import catalogue
from threatmon.model.settings import NAMESPACE, Settings
from threatmon.reports.model import Check, Checks, Section, Status
from threatmon.verify.deployed_stack import DeployedStack
from threatmon.verify.recipients import recipients
from threatmon.verify.sample_findings import create, expectation, select
from threatmon.verify.stack_checks import topic_word

# SNS reports every five minutes, and CloudWatch files a count under the start of its period.
_PERIOD = 300
_POLL = 15  # seconds


class Clock(NamedTuple):
    """Time: ``now`` in seconds since the epoch, ``sleep`` for some seconds."""

    now: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep


CLOCK = Clock()


class SamplePlan(NamedTuple):
    """Which samples to make: rule key -> finding type; and why the other rules cannot be tried, by key."""

    types: dict[str, str]
    not_tried: dict[str, str]


class MetricSum(NamedTuple):
    """The sum of a CloudWatch metric of one rule or topic, ``of`` being its name."""

    namespace: Literal["AWS/Events", "AWS/SNS"]
    name: str
    of: str

    def query(self, number: int, period: int = 60) -> dict[str, Any]:
        """Return the query for GetMetricData, for periods of some seconds."""
        dimension = {"Name": "RuleName" if self.namespace == "AWS/Events" else "TopicName", "Value": self.of}
        metric = {"Namespace": self.namespace, "MetricName": self.name, "Dimensions": [dimension]}
        return {"Id": f"m{number}", "MetricStat": {"Metric": metric, "Period": period, "Stat": "Sum"}}


class DeliveryStep(NamedTuple):
    """A step on the way of the samples. ``wanted`` is how much of the metric they make; of a failure, none."""

    what: str
    metric: MetricSum
    wanted: int


@dataclass
class SampleDelivery:
    """What happened to the samples. Seconds are from the sending until CloudWatch showed the count."""

    types: dict[str, str]
    not_tried: dict[str, str]
    timeout: float = 0
    hint: str = ""
    """what to do if a step is missing"""
    error: str = ""
    """why it could not be tried"""
    seconds: dict[DeliveryStep, float] = field(default_factory=dict[DeliveryStep, float])
    missing: list[DeliveryStep] = field(default_factory=list[DeliveryStep])
    failures: list[DeliveryStep] = field(default_factory=list[DeliveryStep])

    @property
    def arrived(self) -> bool:
        """Say whether every sample went all the way."""
        return bool(self.types) and not self.missing and not self.failures

    def section(self) -> Section:
        """Return the samples and their steps for a report."""
        if self.arrived:
            longest = _duration(max(self.seconds.values()))
            end = Status("ok", f"Every sample was delivered, and counted by CloudWatch {longest} after it was sent.")
        else:
            end = Status("failed", self.error or ("Not every sample arrived." if self.types else "No sample was sent."))
        return Section("Sample findings", [Checks(list(self._checks())), end])

    def document(self) -> dict[str, Any]:
        """Return the same for a machine."""
        return {
            "arrived": self.arrived,
            "error": self.error,
            "types": self.types,
            "notTried": self.not_tried,
            "seconds": {step.what: round(seconds) for step, seconds in self.seconds.items()},
            "missing": [step.what for step in self.missing],
            "failures": [step.what for step in self.failures],
        }

    def _checks(self) -> Iterator[Check]:
        for key, name in self.types.items():
            yield Check("ok", f"sample for rule {key}", f"{name} was sent")
        for key, reason in self.not_tried.items():
            yield Check("warning", f"sample for rule {key}", f"not sent: {reason}")
        for step, seconds in self.seconds.items():
            yield Check("ok", step.what, f"counted {step.wanted} after {_duration(seconds)}")
        for step in self.failures:
            todo = "`threatmon redrive` shows what could not be delivered, and why."
            yield Check("failed", step.what, "counted by CloudWatch", todo)
        for step in self.missing:
            yield Check("failed", step.what, f"not counted within {_duration(self.timeout)}", self.hint)


def plan(settings: Settings) -> SamplePlan:
    """Choose one type for each rule: a sample has the usual severity of its type, which has to be the rule's.

    Raises :class:`UsageError` if no sample can pass.
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
    reason = "no type of the selection is usually of that severity"
    return SamplePlan(
        {rule.key: by_rule[rule.key][0] for rule in rules if rule.key in by_rule},
        {rule.key: reason for rule in rules if rule.key not in by_rule},
    )


def send(stack: DeployedStack, wanted: SamplePlan, timeout: float, say: Callable[[str], object]) -> SampleDelivery:
    """Make the samples and follow them for at most ``timeout`` seconds; ``say`` is given the progress."""
    try:
        return _send(stack, _deployed(stack, wanted), timeout, say)
    except ThreatmonError as error:
        return SampleDelivery({}, {}, error=str(error))


def _send(stack: DeployedStack, wanted: SamplePlan, timeout: float, say: Callable[[str], object]) -> SampleDelivery:
    started = CLOCK.now()
    # What was counted before the first sample does not count.
    before = _read(stack, (step.metric for step in _steps(stack, wanted.types)), started)
    samples = create(stack.aws, stack.output("detectorId"), list(wanted.types.values()), say)
    refused = {
        key: f"GuardDuty makes no sample of {name}: {samples.refused[name]}"
        for key, name in wanted.types.items()
        if name in samples.refused
    }
    types = {key: name for key, name in wanted.types.items() if key not in refused}
    delivery = SampleDelivery(types, wanted.not_tried | refused, timeout)
    if types:
        _follow(stack, delivery, before, started, say)
    delivery.hint = _hint(stack, delivery)
    return delivery


def _deployed(stack: DeployedStack, wanted: SamplePlan) -> SamplePlan:
    """Leave out the rules that are gone, and those that reach nobody."""
    not_tried = dict(wanted.not_tried)
    confirmed = [channel for channel in recipients(stack.settings) if _confirmed(stack, channel)]
    for rule in rules_of(stack.settings):
        if rule.key not in wanted.types:
            continue
        name = stack.rule_name(rule.key)
        if not name or not stack.rule(name):
            not_tried[rule.key] = "it is not deployed"
        elif not any(channel.takes(rule.band) for channel in confirmed):
            not_tried[rule.key] = "nobody it reaches has confirmed a subscription"
    return SamplePlan({key: name for key, name in wanted.types.items() if key not in not_tried}, not_tried)


def _confirmed(stack: DeployedStack, channel: Channel) -> int:
    subscriptions = stack.subscriptions(stack.topic_arn(channel))
    return sum(answer["SubscriptionArn"].startswith("arn:") for answer in subscriptions)


def _steps(stack: DeployedStack, types: Mapping[str, str]) -> list[DeliveryStep]:
    """Return what has to be counted, and what must not, when each of these rules lets one sample through."""
    rules = [rule for rule in rules_of(stack.settings) if rule.key in types]
    channels = list(recipients(stack.settings))
    steps: list[DeliveryStep] = []
    for rule in rules:
        targets = sum(channel.takes(rule.band) for channel in channels)
        name = str(stack.rule_name(rule.key))
        steps += [
            DeliveryStep(f"rule {rule.key} {what}", MetricSum("AWS/Events", metric, name), count)
            for what, metric, count in (
                ("matched", "TriggeredRules", 1),
                ("handed over", "Invocations", targets),
                ("failed to hand over", "FailedInvocations", 0),
                ("wrote to the dead-letter queue", "InvocationsSentToDlq", 0),
            )
        ]
    for channel in channels:
        expected = _confirmed(stack, channel) * sum(channel.takes(rule.band) for rule in rules)
        if expected:
            name, word = stack.topic_arn(channel).rpartition(":")[2], topic_word(channel, stack.settings)
            steps += [
                DeliveryStep(
                    f"{word} delivered", MetricSum("AWS/SNS", "NumberOfNotificationsDelivered", name), expected
                ),
                DeliveryStep(f"{word} failed to deliver", MetricSum("AWS/SNS", "NumberOfNotificationsFailed", name), 0),
            ]
    return steps


def _read(stack: DeployedStack, metrics: Iterable[MetricSum], since: float) -> dict[MetricSum, float]:
    """Return what CloudWatch has counted since the start of the period that ``since`` is in."""
    asked = list(metrics)
    totals = dict.fromkeys(asked, 0.0)
    if not asked:
        return totals
    results = stack.aws.call_all(
        "cloudwatch",
        "get_metric_data",
        MetricDataQueries=[metric.query(number) for number, metric in enumerate(asked)],
        StartTime=datetime.fromtimestamp(since - since % _PERIOD, UTC),
        EndTime=datetime.fromtimestamp(CLOCK.now() + 60, UTC),
    )
    for result in results:
        totals[asked[int(result["Id"][1:])]] += sum(result["Values"])
    return totals


def _follow(
    stack: DeployedStack,
    delivery: SampleDelivery,
    before: Mapping[MetricSum, float],
    started: float,
    say: Callable[[str], object],
) -> None:
    """Read the counts until every step is done, something failed, or the time is over."""
    steps = _steps(stack, delivery.types)
    while True:
        now = _read(stack, before, started)
        elapsed = CLOCK.now() - started
        counted = {step: now[step.metric] - before[step.metric] for step in steps}
        for step in steps:
            if step.wanted and step not in delivery.seconds and counted[step] >= step.wanted:
                delivery.seconds[step] = elapsed
        delivery.missing = [step for step in steps if step.wanted and step not in delivery.seconds]
        delivery.failures = [step for step in steps if not step.wanted and counted[step] > 0]
        if delivery.failures or not delivery.missing or elapsed >= delivery.timeout:
            return
        say(f"{_duration(elapsed)}: {len(delivery.seconds)} steps done, waiting for: {delivery.missing[0].what}")
        CLOCK.sleep(min(_POLL, delivery.timeout - elapsed))


def _hint(stack: DeployedStack, delivery: SampleDelivery) -> str:
    if all(step.metric.name != "TriggeredRules" for step in delivery.missing):
        cause = "The rules matched: fix the checks above that fail, and see what `threatmon redrive` shows."
    else:
        cause = (
            "A sample that existed already may count as a repeat, which GuardDuty sends only every "
            f"{stack.settings.finding_publishing_frequency}: archive the old samples and try again."
        )
    return f"{cause} CloudWatch may also be late."


def _duration(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"
