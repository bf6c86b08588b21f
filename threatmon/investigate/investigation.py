"""The investigation of a subject: every part that AWS answered, and the reason for each part that it refused."""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from threatmon.aws.errors import AwsError
from threatmon.aws.reader import Answer, Aws, attempt
from threatmon.errors import ThreatmonError
from threatmon.investigate import guardduty, insights, network_context
from threatmon.investigate.exposure import Exposure, exposure
from threatmon.investigate.finding import Json
from threatmon.investigate.insights import Insights
from threatmon.investigate.instance import find_instance, interfaces_of, recorded_instance
from threatmon.investigate.network_context import read_network_context
from threatmon.investigate.subject import Subject, Window, window
from threatmon.investigate.traffic import Traffic, entries
from threatmon.investigate.traffic_queries import NoEndpointError, endpoint_of, queries
from threatmon.model.queries import FormatName
from threatmon.model.settings import Settings
from threatmon.reports.model import size

PERMISSIONS = tuple(
    sorted({"ec2:DescribeInstances", *guardduty.PERMISSIONS, *insights.PERMISSIONS, *network_context.PERMISSIONS})
)

_UNKNOWN = {
    "instance": "Instance unknown",
    "route_tables": "Routes unknown",
    "network_acls": "Network ACLs unknown",
    "security_groups": "Security groups unknown",
    "balancers": "Load balancers unknown",
    "role_name": "Role unknown",
    "prefix_lists": "Prefix lists taken as empty",
    "others": "Other findings unknown",
    "traffic": "Traffic unknown",
}

Say = Callable[[str], object]


@dataclass(frozen=True)
class InvestigationResult:
    """The results of an investigation. A part that is None has its reason in ``failures``, by the part's name."""

    subject: Subject
    exposure: Exposure | None = None
    role_name: str | None = None
    traffic: Traffic | None = None
    others: Sequence[Json] | None = None
    """``detail`` of the other findings on the instance, the latest first"""
    notes: Sequence[str] = ()
    failures: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def anything(self) -> bool:
        """Whether any part was found; nothing is, for an instance without a finding that AWS does not know."""
        answered = self.traffic.entries if self.traffic else {}
        if self.subject.finding is None:
            return self.exposure is not None or any(answered.values()) or bool(self.others)
        asked = self.subject.instance_id or self.traffic or self.failures
        return not asked or self.exposure is not None or bool(answered) or self.others is not None


def look_into(
    aws: Aws,
    settings: Settings,
    subject: Subject,
    asked: Insights,
    *,
    hours: float | None = None,
    say: Say = lambda _: None,
) -> InvestigationResult:
    """Ask AWS for everything about a subject of the stack's account.

    ``asked`` is Logs Insights on the stack's log group, ``hours`` as in :func:`subject.window`; ``say`` takes a line
    for each step.
    """
    home = (aws.account_id, aws.region)
    if (subject.account_id or home[0], subject.region or home[1]) != home:
        elsewhere = (
            f"The finding is of account {subject.account_id}, {subject.region}, and these credentials are of {home[0]},"
            f" {home[1]}: name the stack of that account with --stack."
        )
        return InvestigationResult(subject, failures=dict.fromkeys(("exposure", "traffic", "others"), elsewhere))
    say("Asking EC2 for the instance")
    instance, notes, failures = _instance(aws, subject)
    with ThreadPoolExecutor() as pool:
        reading = pool.submit(read_network_context, aws, instance) if instance else None
        listing = pool.submit(_others, aws, settings, subject)
        # In this thread, which Ctrl-C interrupts: no query may be left running.
        times = window(subject.finding, datetime.now(UTC), hours)
        traffic = _traffic(asked, settings.flow_logs.format, subject, instance, times, say)
        context = reading.result() if reading else None
        others = listing.result()
    parts = {**(vars(context) if context else {}), "others": others, "traffic": traffic}
    failures |= {name: f"{_UNKNOWN[name]}: {part}" for name, part in parts.items() if isinstance(part, ThreatmonError)}
    return InvestigationResult(
        subject=subject,
        exposure=exposure(instance, context) if instance and context else None,
        role_name=None if context is None or isinstance(context.role_name, AwsError) else context.role_name,
        traffic=None if isinstance(traffic, ThreatmonError) else traffic,
        others=None if isinstance(others, ThreatmonError) else others,
        notes=notes,
        failures=failures,
    )


def _instance(aws: Aws, subject: Subject) -> tuple[Answer | None, list[str], dict[str, str]]:
    """Return the instance as EC2 describes it, or else as the finding recorded it; with notes, and failures."""
    if not subject.instance_id:
        return None, [], {}
    described = attempt(partial(find_instance, aws, subject.instance_id))
    failures = {"instance": f"{_UNKNOWN['instance']}: {described}"} if isinstance(described, AwsError) else {}
    instance = None if isinstance(described, AwsError) else described
    recorded = recorded_instance(subject.finding)
    if not (instance and interfaces_of(instance)) and recorded and interfaces_of(recorded):
        state = "is not described" if failures else "is gone"
        note = f"The instance {state}: interfaces, groups and addresses are those of the finding, the rest is of now."
        return recorded, [note], failures
    if not instance and not failures:
        unknown = f"EC2 in account {aws.account_id}, {aws.region} does not know {subject.instance_id} (any more)."
        return None, [], {"instance": unknown}
    return instance, [], failures


def _others(aws: Aws, settings: Settings, subject: Subject) -> Sequence[Json] | ThreatmonError | None:
    if not subject.instance_id:
        return None
    try:
        own_id = (subject.finding or {}).get("id")
        return guardduty.findings_on(aws, subject.instance_id, settings.detector.id, own_id)
    except ThreatmonError as error:
        return error


def _traffic(
    asked: Insights, log_format: FormatName, subject: Subject, instance: Answer | None, times: Window, say: Say
) -> Traffic | NoEndpointError | None:
    endpoint = endpoint_of(subject.instance_id, instance)
    try:
        questions = queries(log_format, endpoint, subject.remote_addresses)
    except NoEndpointError as error:
        return error if subject.instance_id else None
    started = time.monotonic()

    def show(done: int, scanned: int) -> None:
        say(f"Logs Insights: {done} of {len(questions)} queries done, {size(scanned)} scanned")

    results = asked.run(questions, times.start, times.end, show)
    return Traffic(
        window=times,
        entries={
            question: entries(question, result.rows, endpoint)
            for question, result in results.items()
            if result.failure is None
        },
        failures={question: result.failure for question, result in results.items() if result.failure is not None},
        records=sum(result.records_matched for result in results.values()),
        bytes_scanned=sum(result.bytes_scanned for result in results.values()),
        seconds=time.monotonic() - started,
    )
