"""Previews of examples, and any others."""

from collections.abc import Mapping
from typing import Any

from examples import ACCOUNT, REGION
from harness import DASHBOARD, LOG_GROUP, QUERY
from hypothesis import strategies as st
from reports.generated import hostile as markup

from threatmon.fleet.changes import UNKNOWN, ResourceChange, StackPreview

WRAPPED_SECRET = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "value": "hunter2"}


def preview(stack: str, *changes: ResourceChange, account: str = ACCOUNT, region: str = REGION) -> StackPreview:
    return StackPreview(stack, account, region, changes)


def update(
    type_: str, name: str, old: Mapping[str, Any], new: Mapping[str, Any], diff: Mapping[str, str] | None = None
) -> ResourceChange:
    """An update of what differs at the top."""
    changed = {key: "update" for key in new if old.get(key) != new[key]} if diff is None else diff
    return ResourceChange("update", type_, name, old, new, changed)


def create(type_: str, name: str, /, **inputs: Any) -> ResourceChange:
    return ResourceChange("create", type_, name, {}, inputs, {})


def same(type_: str, name: str, /, **inputs: Any) -> ResourceChange:
    return ResourceChange("same", type_, name, inputs, inputs, {})


def shortened(name: str, days: int = 30) -> ResourceChange:
    """A dangerous change."""
    return update(LOG_GROUP, name, {"retentionInDays": 365}, {"retentionInDays": days})


# What a comment or a terminal might take for markup, and a stack for its own words, in any mixture.
_OWN = st.sampled_from(
    ["prod", REGION, ACCOUNT, "subnet-0123456789abcdef0", "-", "/", "{", '"', "error: no", "```", "\n"]
)
hostile = st.lists(_OWN | markup, max_size=3).map("".join)

_values = st.recursive(
    st.none() | st.booleans() | st.integers() | hostile | st.sampled_from([UNKNOWN, "[secret]", '{"a": ["prod"]}']),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("ab") | hostile, inner, max_size=2),
    max_leaves=3,
)
_inputs = st.dictionaries(st.sampled_from(["policy", "tags", "body"]), _values, max_size=2)
_diffs = st.dictionaries(
    st.sampled_from(["policy", "body", "tags.a", "tags[0]", 'tags["a.b"]']) | hostile,
    st.sampled_from(["add", "update", "delete", "add-replace", "update-replace", "delete-replace"]),
    max_size=2,
)
_changes = st.builds(
    ResourceChange,
    op=st.sampled_from(["same", "create", "update", "replace", "delete", "read", "import", "refresh"]),
    type=st.sampled_from([DASHBOARD, QUERY]) | hostile,
    name=st.sampled_from(["threat-monitor-alerts-high", "threat-monitor-prod"]) | hostile,
    old=_inputs,
    new=_inputs,
    diff=_diffs,
    retained=st.booleans(),
    options=st.dictionaries(st.sampled_from(["protect", "retainOnDelete"]), st.tuples(st.booleans(), st.booleans())),
)
_dangerous = st.builds(shortened, st.sampled_from(["a", "b"]) | hostile, st.sampled_from([90, 30]))
fleets = st.lists(
    st.builds(
        StackPreview,
        stack=st.sampled_from(["a", "prod", "prod-eu", REGION, "dev"]) | hostile,
        account_id=st.sampled_from([ACCOUNT, "444455556666"]),
        region=st.sampled_from([REGION, "us-east-1"]),
        changes=st.lists(_changes | _dangerous, max_size=3).map(tuple),
        error=st.none() | st.none() | hostile,
        is_new=st.sampled_from([False, False, True]),
        notes=st.lists(hostile, max_size=1).map(tuple),
    ),
    max_size=5,
    unique_by=lambda preview: preview.stack,
)
"""Any previews, each of another stack."""
