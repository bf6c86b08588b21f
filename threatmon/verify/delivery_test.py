"""Try a deployed stack: make sample findings, and follow them until CloudWatch has counted each step.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-monitoring.html,
https://docs.aws.amazon.com/step-functions/latest/dg/procedure-cw-metrics.html and
https://docs.aws.amazon.com/sns/latest/dg/sns-monitoring-using-cloudwatch.html
"""

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from threatmon.errors import ThreatmonError, UsageError
from threatmon.evaluation.explain import rules_of
from threatmon.model import alarms
from threatmon.model.alarms import METRIC_NAMESPACE, PLAIN_MESSAGES_METRIC
from threatmon.model.channels import TOPICS
from threatmon.model.finding_types import catalogue
from threatmon.model.settings import NAMESPACE, Settings
from threatmon.model.severity import BANDS, lowest
from threatmon.reports.model import Check, Checks, Section, Status
from threatmon.verify.deployed_stack import DeployedStack
from threatmon.verify.recipients import Recipient, recipients, subscriptions_of
from threatmon.verify.sample_findings import create, expectation, select

# SNS reports every five minutes, and CloudWatch files a count under the start of its period.
_PERIOD = 300
_POLL = 15  # seconds
_NOT_DELIVERED = "`threatmon redrive` shows what could not be delivered, and why."
_FORMATTING = "The finding arrived, but unformatted: see the checks above of what AWS writes."


# What a metric of each namespace is of.
_DIMENSIONS = {
    alarm.namespace: alarm.dimension
    for alarm in (alarms.UNDELIVERED, alarms.UNDELIVERABLE, alarms.FAILED_EXECUTIONS, alarms.PLAIN_MESSAGES)
}


class MetricSum(NamedTuple):
    """The sum of a CloudWatch metric; ``of`` is the name of a rule, topic or state machine, or its ARN."""

    namespace: str
    name: str
    of: str

    def query(self, number: int, period: int = 60) -> dict[str, Any]:
        """Return the query for GetMetricData, for periods of some seconds."""
        dimension = {"Name": _DIMENSIONS[self.namespace], "Value": self.of}
        metric = {"Namespace": self.namespace, "MetricName": self.name, "Dimensions": [dimension]}
        return {"Id": f"m{number}", "MetricStat": {"Metric": metric, "Period": period, "Stat": "Sum"}}


class DeliveryStep(NamedTuple):
    """A step on the way of the samples; ``wanted`` is how much of the metric they make, none if it is a failure."""

    what: str
    metric: MetricSum
    wanted: int


@dataclass
class SampleDelivery:
    """The samples to send, and what happened to them; seconds run from the sending until CloudWatch counted."""

    types: dict[str, str]
    """rule key -> the finding type of its sample"""
    not_tried: dict[str, str]
    """rule key -> why it has no sample"""
    timeout: float = 0
    hint: str = ""
    """what to do if a step is missing"""
    error: str = ""
    """why it could not be tried"""
    seconds: dict[DeliveryStep, float] = field(default_factory=dict[DeliveryStep, float])
    """from the sending until CloudWatch showed the count"""
    missing: list[DeliveryStep] = field(default_factory=list[DeliveryStep])
    failures: list[DeliveryStep] = field(default_factory=list[DeliveryStep])

    @property
    def arrived(self) -> bool:
        """Say whether every sample went all the way."""
        return bool(self.types) and not self.missing and not self.failures

    def leave_out(self, key: str, reason: str) -> None:
        """Send no sample for a rule."""
        del self.types[key]
        self.not_tried[key] = reason

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
            todo = _FORMATTING if step.metric.name == PLAIN_MESSAGES_METRIC else _NOT_DELIVERED
            yield Check("failed", step.what, "counted by CloudWatch", todo)
        for step in self.missing:
            yield Check("failed", step.what, f"not counted within {_duration(self.timeout)}", self.hint)


def plan(settings: Settings) -> SampleDelivery:
    """Choose one type for each rule, the gravest: no subscriber's minimum severity should stop its sample.

    A sample has the usual severity of its type. Raises :class:`UsageError` if no sample can pass.
    """
    if not settings.alerts.include_samples:
        raise UsageError(
            f"--send: {NAMESPACE}:alerts.includeSamples is false, so the rules let no sample through. Set it to true "
            "and deploy, or make a real finding: `threatmon simulate --plan`."
        )
    rules = rules_of(settings)
    known = [name for name in select(["*"]).types if _severity(name)]
    # Of these a type without a plan first: samples of it are made wherever there is a detector.
    known.sort(key=lambda name: (-_severity(name), catalogue()[name].plan is not None))
    by_rule = expectation(known, rules).by_rule
    if not by_rule:
        raise UsageError("--send: no finding type of the selection has a usual severity that passes a rule.")
    reason = "no type of its selection usually has a severity that it lets through"
    return SampleDelivery(
        {rule.key: by_rule[rule.key][0] for rule in rules if rule.key in by_rule},
        {rule.key: reason for rule in rules if rule.key not in by_rule},
    )


def _severity(name: str) -> float:
    """Return the least severity that findings of a type usually have; 0 if it varies."""
    usual = catalogue()[name].severity.lower()
    return next((band.minimum or 1 for band in BANDS if band.name == usual), 0)


def send(
    stack: DeployedStack, delivery: SampleDelivery, timeout: float, say: Callable[[str], object]
) -> SampleDelivery:
    """Make the samples and follow them for at most ``timeout`` seconds; ``say`` is given the progress."""
    delivery.timeout = timeout
    try:
        _send(stack, delivery, say)
    except ThreatmonError as error:
        return SampleDelivery({}, {}, error=str(error))
    return delivery


def _send(stack: DeployedStack, delivery: SampleDelivery, say: Callable[[str], object]) -> None:
    _leave_out_unreachable(stack, delivery)
    started = time.time()
    # What was counted before the first sample does not count.
    before = _read(stack, [step.metric for step in _steps(stack, delivery.types)], started)
    samples = create(stack.aws, stack.detector_id(), list(delivery.types.values()), say)
    for key, name in list(delivery.types.items()):
        if name in samples.refused:
            delivery.leave_out(key, f"GuardDuty makes no sample of {name}: {samples.refused[name]}")
    if delivery.types:
        _follow(stack, delivery, before, started, say)
    delivery.hint = _hint(stack, delivery)


def _leave_out_unreachable(stack: DeployedStack, delivery: SampleDelivery) -> None:
    for rule in rules_of(stack.settings):
        if rule.key not in delivery.types:
            continue
        name = stack.rule_name(rule.key)
        if not name or not stack.rule(name):
            delivery.leave_out(rule.key, "it is not deployed")
        elif not any(_notified(stack, topic, [delivery.types[rule.key]]) for topic in recipients(stack.settings)):
            delivery.leave_out(rule.key, "nobody it reaches has confirmed a subscription")


def _notified(stack: DeployedStack, topic: str, types: Iterable[str]) -> int:
    """Return how many notifications samples of these types make, to whom the stack file subscribes to a topic."""
    wanted = recipients(stack.settings)[topic]
    subscribed = subscriptions_of(wanted, stack.subscriptions(stack.topic_arn(topic)))
    return sum(
        _takes(recipient, name)
        for name in types
        for recipient, answer in zip(wanted, subscribed, strict=True)
        if answer and answer["SubscriptionArn"].startswith("arn:")
    )


def _takes(recipient: Recipient, name: str) -> bool:
    return _severity(name) >= (lowest(recipient.minimum_severity) or 0)


def _steps(stack: DeployedStack, types: Mapping[str, str]) -> list[DeliveryStep]:
    """Return what has to be counted, and what must not, when each of these rules lets one sample through."""
    topics = recipients(stack.settings)
    steps: list[DeliveryStep] = []
    for key in types:
        steps += _counted(
            f"rule {key}",
            MetricSum("AWS/Events", "", str(stack.rule_name(key))),
            {
                "matched": ("TriggeredRules", 1),
                "handed over": ("Invocations", 2 if TOPICS["raw"] in topics else 1),
                "failed to hand over": ("FailedInvocations", 0),
                "wrote to the dead-letter queue": ("InvocationsSentToDlq", 0),
            },
        )
    arn = stack.machine_arn()
    steps += _counted(
        "state machine",
        MetricSum("AWS/States", "", arn),
        {
            "finished": ("ExecutionsSucceeded", len(types)),
            "failed": ("ExecutionsFailed", 0),
            "timed out": ("ExecutionsTimedOut", 0),
            "was stopped": ("ExecutionsAborted", 0),
        },
    )
    plain = MetricSum(METRIC_NAMESPACE, "", arn.rpartition(":")[2])
    steps += _counted("state machine", plain, {"could not format": (PLAIN_MESSAGES_METRIC, 0)})
    for topic, wanted in topics.items():
        published = sum(any(_takes(recipient, name) for recipient in wanted) for name in types.values())
        notified = _notified(stack, topic, types.values())
        counts = {
            "received": ("NumberOfMessagesPublished", published),
            "delivered": ("NumberOfNotificationsDelivered", notified),
        }
        steps += _counted(
            topic,
            MetricSum("AWS/SNS", "", stack.topic_arn(topic).rpartition(":")[2]),
            # What is not wanted is no failure here, but a sample that is not grave enough.
            {verb: step for verb, step in counts.items() if step[1]}
            | {"failed to deliver": ("NumberOfNotificationsFailed", 0)},
        )
    return steps


def _counted(what: str, metric: MetricSum, wanted: Mapping[str, tuple[str, int]]) -> list[DeliveryStep]:
    return [DeliveryStep(f"{what} {verb}", metric._replace(name=name), count) for verb, (name, count) in wanted.items()]


def _read(stack: DeployedStack, metrics: Collection[MetricSum], since: float) -> dict[MetricSum, float]:
    """Return what CloudWatch has counted since the start of the period that ``since`` is in."""
    if not metrics:
        return {}
    totals = dict.fromkeys(metrics, 0.0)
    results = stack.aws.call_all(
        "cloudwatch",
        "get_metric_data",
        MetricDataQueries=[metric.query(number) for number, metric in enumerate(totals)],
        StartTime=datetime.fromtimestamp(since - since % _PERIOD, UTC),
        EndTime=datetime.fromtimestamp(time.time() + 60, UTC),
    )
    for result in results:
        totals[list(totals)[int(result["Id"][1:])]] += sum(result["Values"])
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
        elapsed = time.time() - started
        counted = {step: now[step.metric] - before[step.metric] for step in steps}
        for step in steps:
            if step.wanted and step not in delivery.seconds and counted[step] >= step.wanted:
                delivery.seconds[step] = elapsed
        delivery.missing = [step for step in steps if step.wanted and step not in delivery.seconds]
        delivery.failures = [step for step in steps if not step.wanted and counted[step] > 0]
        if delivery.failures or not delivery.missing or elapsed >= delivery.timeout:
            return
        say(f"{_duration(elapsed)}: {len(delivery.seconds)} steps done, waiting for: {delivery.missing[0].what}")
        time.sleep(min(_POLL, delivery.timeout - elapsed))


def _hint(stack: DeployedStack, delivery: SampleDelivery) -> str:
    cause = "The rules matched: fix the checks above that fail, and see what `threatmon redrive` shows."
    if any(step.metric.name == "TriggeredRules" for step in delivery.missing):
        cause = (
            "A sample that existed already may count as a repeat, which GuardDuty sends only every "
            f"{stack.settings.finding_publishing_frequency}: archive the old samples and try again."
        )
    return f"{cause} CloudWatch may also be late."


def _duration(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"
