"""The policies of a stack that an update would widen."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from threatmon.fleet.changes import UNKNOWN, ResourceChange
from threatmon.fleet.widening import widened

_ROLE = "aws:iam/role:Role"
_HELD_BY_A_ROLE = ("aws:iam/rolePolicy:RolePolicy", "aws:iam/rolePolicyAttachment:RolePolicyAttachment")
_FEW = 5

Holder = tuple[str, str]  # a type token and a logical name; or for all a role holds, the word role and its name


def widened_policies(changes: Sequence[ResourceChange]) -> Iterator[tuple[str, str]]:
    """Each resource by which somebody may do more than before, and what that is.

    Looks at every input that is a policy document, and at managed policies by their ARN. What a role holds counts
    together: a policy that is added widens it, one that is only renamed does not. Left out are documents known only
    once they are deployed, and what is new as a whole: a new resource's own policy, and the first policy of a role of
    this stack, which an interrupted update may have left without.
    """
    before: dict[Holder, set[str]] = defaultdict(set)
    after: dict[Holder, set[str]] = defaultdict(set)
    changed: dict[Holder, set[str]] = defaultdict(set)
    for change in changes:
        known = {key: change.old.get(key) if it == UNKNOWN else it for key, it in change.new.items()}
        old, new = set(_documents(change.old)), set(_documents(known))
        holder = _holder(change, known)
        before[holder] |= old
        after[holder] |= new
        if old != new:
            changed[holder].add(change.name)
    roles = {("role", it.get("name")) for change in changes if change.type == _ROLE for it in (change.old, change.new)}
    for holder, names in changed.items():
        is_elsewhere = holder[0] == "role" and holder not in roles
        if before[holder] or is_elsewhere:
            texts = widened(frozenset(before[holder]), frozenset(after[holder]))
            if texts:
                more = [f"{len(texts) - _FEW} more"] if len(texts) > _FEW else []
                yield min(names), "; ".join([*texts[:_FEW], *more])


def _holder(change: ResourceChange, known: Mapping[str, Any]) -> Holder:
    """Whose policies count together: the role's, by its name, else those of the resource alone."""
    role = known.get("role") or change.old.get("role")
    return ("role", role) if role and change.type in _HELD_BY_A_ROLE else (change.type, change.name)


def _documents(value: Any) -> Iterator[str]:
    """The policy documents anywhere within inputs; a managed policy as a document that allows what it allows."""
    if isinstance(value, str):
        if '"Statement"' in value and _is_document(value):
            yield value
    elif isinstance(value, Mapping):
        for arn in [value.get("policyArn"), *(value.get("managedPolicyArns") or [])]:
            if arn:
                yield json.dumps({"Statement": [{"Effect": "Allow", "Action": f"what {arn} allows"}]})
        for entry in value.values():
            yield from _documents(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from _documents(entry)


def _is_document(text: str) -> bool:
    try:
        document = json.loads(text)
    except ValueError:
        return False
    return isinstance(document, dict) and "Statement" in document
