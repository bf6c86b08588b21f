"""What of an update is dangerous: evidence, detection or alerts that would be lost, and rights that would be given."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from threatmon.fleet.changes import ResourceChange
from threatmon.fleet.lost_alerts import dropped_findings, dropped_subscribers
from threatmon.fleet.widened_policies import widened_policies
from threatmon.model.protection_plans import FEATURES

KINDS: Mapping[str, str] = MappingProxyType(
    {
        "detector-deleted": "a detector is deleted, and with it its findings",
        "detector-suspended": "a detector stops looking",
        "flow-log-deleted": "a subnet or VPC is no longer recorded by a flow log",
        "flow-log-replaced": "a flow log is made anew, with a gap in the record",
        "log-group-deleted": "a log group is deleted, and with it its records",
        "log-group-replaced": "a log group is made anew, empty",
        "key-deleted": "a key is scheduled for deletion, after which nothing it encrypted can be read",
        "key-replaced": "a key is made anew, and the old one scheduled for deletion",
        "retention-shortened": "records or undelivered alerts are kept for a shorter time",
        "last-subscriber-dropped": "all subscriptions a topic has end; new ones must be confirmed first",
        "finding-type-dropped": "findings of some type or severity alert nobody any more",
        "plan-switched-off": "a protection plan of GuardDuty is switched off",
        "policy-widened": "a policy allows something it did not allow",
    }
)
"""Every kind of danger, and what it means."""


class Danger(NamedTuple):
    """Something an update would do that nobody should find out afterwards."""

    kind: str
    """a key of :data:`KINDS`"""
    resource: str
    """logical name of the resource it comes from; of several, the first by name"""
    text: str
    """what is lost or given; the same for the same change in another stack, names and ARNs in policies aside"""


def dangers(changes: Sequence[ResourceChange]) -> list[Danger]:
    """The dangers of one stack's changes, in the order of :data:`KINDS`, then by resource.

    ``changes`` includes the resources that stay the same. To delete a resource that is retained only forgets it, and is
    no danger; to replace one is, since what takes its place starts empty. A new resource is none either, save for
    policies (:func:`threatmon.fleet.widened_policies.widened_policies`).
    """
    changes = [it._replace(op="same", new=it.old) if it.op == "delete" and it.retained else it for it in changes]
    if all(it.op in ("same", "read", "refresh") for it in changes):
        return []
    found = [
        Danger(kind, change.name, text)
        for change in changes
        if change.op in ("update", "replace", "delete")
        for kind, text in _RULES.get(change.type, _nothing)(change)
    ]
    for kind, rule in _RULES_ON_ALL.items():
        found += [Danger(kind, resource, text) for resource, text in rule(changes)]
    order = list(KINDS)
    return sorted(found, key=lambda it: (order.index(it.kind), it.resource, it.text))


Found = Iterator[tuple[str, str]]  # a kind, or of several resources one's name; and a text


def _nothing(_: ResourceChange) -> Found:
    yield from ()


def _detector(change: ResourceChange) -> Found:
    if change.op == "delete":
        yield "detector-deleted", "GuardDuty stops watching this account and Region, and its findings are deleted"
    elif change.op == "replace" and not change.retained:
        yield "detector-deleted", f"its findings are deleted, and a new detector takes its place{_because(change)}"
    elif change.old.get("enable", True) and not change.new.get("enable", True):
        yield "detector-suspended", "GuardDuty stops watching this account and Region; its findings stay"


def _flow_log(change: ResourceChange) -> Found:
    if change.op == "delete":
        yield "flow-log-deleted", "nothing is recorded by it any more; its records so far stay"
    elif change.op == "replace":
        yield "flow-log-replaced", f"nothing is recorded for some minutes, until the new one delivers{_because(change)}"


def _log_group(change: ResourceChange) -> Found:
    if change.op == "delete":
        yield "log-group-deleted", "all its records are deleted"
    elif change.op == "replace":
        fate = "stay in the old one, which this stack forgets" if change.retained else "are deleted"
        yield "log-group-replaced", f"all its records {fate}; the new one starts empty{_because(change)}"
    yield from _shortened(change, "retentionInDays", 0, "records", "day")


def _key(change: ResourceChange) -> Found:
    window = int(change.old.get("deletionWindowInDays", 30))
    if change.op == "delete":
        yield "key-deleted", f"nothing it encrypted can be read once it is deleted, in {window} days"
    elif change.op == "replace":
        fate = (
            "the old one stays, and this stack forgets it"
            if change.retained
            else f"nothing the old one encrypted can be read once it is deleted, in {window} days"
        )
        yield "key-replaced", f"{fate}{_because(change)}"


def _queue(change: ResourceChange) -> Found:
    # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html
    yield from _shortened(change, "messageRetentionSeconds", 345_600, "undelivered alerts", "second")


def _shortened(change: ResourceChange, property_: str, default: int, what: str, unit: str) -> Found:
    """Whether something is kept for less time; 0 is for ever."""
    old, new = change.old.get(property_, default), change.new.get(property_, default)
    if change.op != "delete" and _is_number(old) and _is_number(new) and (new or float("inf")) < (old or float("inf")):
        before = f"{int(old)} {unit}s" if old else "for ever"
        yield "retention-shortened", f"{what} are deleted after {int(new)} {unit}s, instead of {before}"


def _feature(change: ResourceChange) -> Found:
    # To delete a feature leaves it on: https://www.pulumi.com/registry/packages/aws/api-docs/guardduty/detectorfeature/
    before, after = _statuses(change.old), _statuses(change.new)
    off = sorted(name for name, status in before.items() if status == "ENABLED" and after.get(name) == "DISABLED")
    if off:
        yield "plan-switched-off", f"GuardDuty raises no findings of {', '.join(off)} any more"


def _statuses(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The status of a plan, by the settings' name for it, and of its additional configurations."""
    plan = next((word for word, name in FEATURES.items() if name == inputs.get("name")), str(inputs.get("name")))
    further = {f"{plan} {it.get('name')}": it.get("status") for it in inputs.get("additionalConfigurations") or []}
    return {plan: inputs.get("status"), **further}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float)


def _because(change: ResourceChange) -> str:
    """The properties that make it a replacement."""
    paths = sorted(path for path, kind in change.diff.items() if kind.endswith("-replace"))
    return f" (changed: {', '.join(paths)})" if paths else ""


_RULES: Mapping[str, Callable[[ResourceChange], Found]] = {
    "aws:cloudwatch/logGroup:LogGroup": _log_group,
    "aws:ec2/flowLog:FlowLog": _flow_log,
    "aws:guardduty/detector:Detector": _detector,
    "aws:guardduty/detectorFeature:DetectorFeature": _feature,
    "aws:kms/key:Key": _key,
    "aws:sqs/queue:Queue": _queue,
}
_RULES_ON_ALL: Mapping[str, Callable[[Sequence[ResourceChange]], Found]] = {
    "last-subscriber-dropped": dropped_subscribers,
    "finding-type-dropped": dropped_findings,
    "policy-widened": widened_policies,
}
