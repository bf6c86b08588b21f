"""The dangerous changes of an update: evidence, detection or alerts would be lost, or permissions given."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from threatmon.fleet.changes import ResourceChange
from threatmon.fleet.lost_alerts import dropped_findings, dropped_subscribers
from threatmon.fleet.policy_widening import widened_policies
from threatmon.model.protection_plans import FEATURES

KINDS: Mapping[str, str] = {
    "detector-deleted": "a detector is deleted, and its findings with it",
    "detector-suspended": "a detector is suspended",
    "flow-log-deleted": "a subnet or VPC is no longer recorded by a flow log",
    "flow-log-replaced": "a flow log is replaced, with a gap in the record",
    "log-group-deleted": "a log group is deleted, and its records with it",
    "log-group-replaced": "a log group is replaced by an empty one",
    "key-deleted": "a key is scheduled for deletion, after which nothing it encrypted can be read",
    "key-replaced": "a key is replaced, and the old one scheduled for deletion",
    "retention-shortened": "records or undelivered alerts are kept for a shorter time",
    "last-subscriber-dropped": "all subscriptions of a topic end; new ones must be confirmed first",
    "finding-type-dropped": "findings of some type or severity alert nobody any more",
    "protection-removed": "something is no longer protected from deletion, or no longer kept when its stack goes",
    "plan-switched-off": "a protection plan of GuardDuty is switched off",
    "policy-widened": "a policy allows something it did not allow",
}
"""Every kind of danger, and what it means."""


class Danger(NamedTuple):
    """A change that somebody should approve before the update makes it."""

    kind: str
    """a key of :data:`KINDS`"""
    resource: str
    """logical name of the resource it comes from; of several, the first by name"""
    text: str
    """what is lost or given; the same for the same change in another stack, names and ARNs in policies aside"""


def dangers(changes: Sequence[ResourceChange]) -> list[Danger]:
    """Return the dangers of one stack's changes, in the order of :data:`KINDS`, then by resource.

    ``changes`` includes the resources that stay the same. Deleting a retained resource only forgets it, which is no
    danger; replacing one is, since what takes its place starts empty. A new resource is one for its policies alone.
    """
    changes = [
        change._replace(op="same", new=change.old) if change.op == "delete" and change.retained else change
        for change in changes
    ]
    if all(change.op in ("same", "read", "refresh") for change in changes):
        return []
    found = [Danger(kind, *lost) for kind, rule in _RULES_ON_ALL.items() for lost in rule(changes)]
    for change in changes:
        found += [Danger("protection-removed", change.name, text) for text in _unprotected(change)]
        if change.op in ("update", "replace", "delete") and change.type in _RULES:
            found += [Danger(kind, change.name, text) for kind, text in _RULES[change.type](change)]
    order = list(KINDS)
    return sorted(found, key=lambda danger: (order.index(danger.kind), danger.resource, danger.text))


_Found = Iterator[tuple[str, str]]  # a kind and a text


def _unprotected(change: ResourceChange) -> Iterator[str]:
    lost = {
        "protect": "an update or `pulumi destroy` may delete it",
        "retainOnDelete": "what deletes it in the stack deletes it in the account too",
    }
    yield from (text for option, text in lost.items() if change.options.get(option) == (True, False))


def _detector(change: ResourceChange) -> _Found:
    if change.op == "delete":
        yield "detector-deleted", "GuardDuty stops watching this account and Region, and its findings are deleted"
    elif change.op == "replace" and not change.retained:
        yield "detector-deleted", f"its findings are deleted, and a new detector takes its place{_because(change)}"
    elif change.old.get("enable", True) and not change.new.get("enable", True):
        yield "detector-suspended", "GuardDuty stops watching this account and Region; its findings stay"


def _flow_log(change: ResourceChange) -> _Found:
    if change.op == "delete":
        yield "flow-log-deleted", "it records nothing any more; its records so far stay"
    elif change.op == "replace":
        yield "flow-log-replaced", f"nothing is recorded for some minutes, until the new one delivers{_because(change)}"


def _log_group(change: ResourceChange) -> _Found:
    if change.op == "delete":
        yield "log-group-deleted", "all its records are deleted"
    elif change.op == "replace":
        records = "stay in the old one, which this stack forgets" if change.retained else "are deleted"
        yield "log-group-replaced", f"all its records {records}; the new one starts empty{_because(change)}"
    yield from _shortened(change, "retentionInDays", 0, "records", "day")


def _key(change: ResourceChange) -> _Found:
    window = int(change.old.get("deletionWindowInDays", 30))
    if change.op == "delete":
        yield "key-deleted", f"nothing it encrypted can be read once it is deleted, in {window} days"
    elif change.op == "replace":
        lost = f"nothing the old one encrypted can be read once it is deleted, in {window} days"
        old = "the old one stays, and this stack forgets it" if change.retained else lost
        yield "key-replaced", f"{old}{_because(change)}"


def _queue(change: ResourceChange) -> _Found:
    # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html
    yield from _shortened(change, "messageRetentionSeconds", 345_600, "undelivered alerts", "second")


def _shortened(change: ResourceChange, property_: str, default: int, what: str, unit: str) -> _Found:
    """Yield the danger if something is kept for a shorter time than before; 0 is for ever."""
    old, new = change.old.get(property_, default), change.new.get(property_, default)
    are_known = isinstance(old, int | float) and isinstance(new, int | float)
    if change.op != "delete" and are_known and (new or float("inf")) < (old or float("inf")):
        before = f"{int(old)} {unit}s" if old else "for ever"
        yield "retention-shortened", f"{what} are deleted after {int(new)} {unit}s, instead of {before}"


def _feature(change: ResourceChange) -> _Found:
    # To delete a feature leaves it on: https://www.pulumi.com/registry/packages/aws/api-docs/guardduty/detectorfeature/
    before, after = _statuses(change.old), _statuses(change.new)
    off = sorted(name for name, status in before.items() if status == "ENABLED" and after.get(name) == "DISABLED")
    if off:
        yield "plan-switched-off", f"GuardDuty raises no findings of {', '.join(off)} any more"


def _statuses(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the status of a plan, by its name in the settings, and of its additional configurations."""
    plan = next((word for word, name in FEATURES.items() if name == inputs.get("name")), str(inputs.get("name")))
    additional = inputs.get("additionalConfigurations") or []
    return {
        plan: inputs.get("status"),
        **{f"{plan} {configuration.get('name')}": configuration.get("status") for configuration in additional},
    }


def _because(change: ResourceChange) -> str:
    """Return the properties that cause a replacement."""
    paths = sorted(path for path, kind in change.diff.items() if kind.endswith("-replace"))
    return f" (changed: {', '.join(paths)})" if paths else ""


_RULES: Mapping[str, Callable[[ResourceChange], _Found]] = {
    "aws:cloudwatch/logGroup:LogGroup": _log_group,
    "aws:ec2/flowLog:FlowLog": _flow_log,
    "aws:guardduty/detector:Detector": _detector,
    "aws:guardduty/detectorFeature:DetectorFeature": _feature,
    "aws:kms/key:Key": _key,
    "aws:sqs/queue:Queue": _queue,
}
# Of all changes together: each yields a resource's name and a text.
_RULES_ON_ALL: Mapping[str, Callable[[Sequence[ResourceChange]], Iterator[tuple[str, str]]]] = {
    "last-subscriber-dropped": dropped_subscribers,
    "finding-type-dropped": dropped_findings,
    "policy-widened": widened_policies,
}
