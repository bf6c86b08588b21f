"""Previews to fold: those of examples, and any others."""

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from threatmon.fleet.changes import UNKNOWN, ResourceChange, StackPreview

RULE = "aws:cloudwatch/eventRule:EventRule"
FLOW_LOG = "aws:ec2/flowLog:FlowLog"
LOG_GROUP = "aws:cloudwatch/logGroup:LogGroup"
TOPIC = "aws:sns/topic:Topic"
DASHBOARD = "aws:cloudwatch/dashboard:Dashboard"
POLICY = "aws:sns/topicPolicy:TopicPolicy"


def preview(
    stack: str, *changes: ResourceChange, account: str = "111122223333", region: str = "eu-west-1"
) -> StackPreview:
    return StackPreview(stack, account, region, changes)


def update(
    kind: str, name: str, old: Mapping[str, Any], new: Mapping[str, Any], diff: Mapping[str, str] | None = None
) -> ResourceChange:
    """An update of what differs at the top."""
    changed = {key: "update" for key in new if old.get(key) != new[key]} if diff is None else diff
    return ResourceChange("update", kind, name, old, new, changed)


def create(kind: str, name: str, /, **inputs: Any) -> ResourceChange:
    return ResourceChange("create", kind, name, {}, inputs, {})


def same(kind: str, name: str, /, **inputs: Any) -> ResourceChange:
    return ResourceChange("same", kind, name, inputs, inputs, {})


# What a comment or a terminal might take for markup, and a stack for its own words, in any mixture.
_TOKENS = [
    *("`", "```", "````", "~~~", "\n", "\r\n", "</details>", "<details>", "<!--", "-->", "@octocat", "|", "[a](b)"),
    *("![a](b)", "#1", " ", "\n# a", "\n- a", "\x1b[31m", "\u202e", "https://a.example", "&lt;", "\\", "*a*", "\x00"),
    *("prod", "eu-west-1", "111122223333", "subnet-0123456789abcdef0", "-", "/", "{", "}", '"', "error: no", "Grüße"),
]
hostile = st.lists(st.sampled_from(_TOKENS), max_size=4).map("".join) | st.text(max_size=8)

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
    type=st.sampled_from([DASHBOARD, "aws:cloudwatch/queryDefinition:QueryDefinition"]) | hostile,
    name=st.sampled_from(["threat-monitor-alerts-high", "threat-monitor-prod"]) | hostile,
    old=_inputs,
    new=_inputs,
    diff=_diffs,
    retained=st.booleans(),
)
_dangerous = st.builds(
    lambda name, days: update(LOG_GROUP, name, {"retentionInDays": 365}, {"retentionInDays": days}),
    st.sampled_from(["a", "b"]) | hostile,
    st.sampled_from([90, 30]),
)
fleets = st.lists(
    st.builds(
        StackPreview,
        stack=st.sampled_from(["a", "prod", "prod-eu", "eu-west-1", "dev"]) | hostile,
        account_id=st.sampled_from(["111122223333", "444455556666"]),
        region=st.sampled_from(["eu-west-1", "us-east-1"]),
        changes=st.lists(_changes | _dangerous, max_size=3).map(tuple),
        error=st.none() | st.none() | hostile,
        is_new=st.sampled_from([False, False, True]),
        notes=st.lists(hostile, max_size=1).map(tuple),
    ),
    max_size=5,
    unique_by=lambda it: it.stack,
)
"""Any previews, each of another stack."""
