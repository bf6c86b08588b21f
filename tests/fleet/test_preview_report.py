import json
import re
from collections.abc import Sequence

import pytest
from fleet.previews import create, fleets, preview, same, shortened, update
from harness import FLOW_LOG, RULE, TOPIC
from hypothesis import given
from hypothesis import strategies as st

from threatmon.fleet.changes import ResourceChange, StackPreview
from threatmon.fleet.grouping import group
from threatmon.fleet.preview_report import DRIFT, report, short_type
from threatmon.reports.rendering import Output, render


def pattern(*types: str) -> dict[str, str]:
    return {"eventPattern": json.dumps({"source": ["aws.guardduty"], "detail": {"type": types}})}


FINDING_TYPE = update(
    RULE, "threat-monitor-alerts-high", pattern("Trojan:EC2/*"), pattern("Trojan:EC2/*", "Recon:EC2/Portscan")
)
FLOW_LOG_REPLACED = ResourceChange(
    "replace",
    FLOW_LOG,
    "threat-monitor-flow-logs-subnet-0123456789abcdef0",
    {"subnetId": "subnet-0123456789abcdef0", "trafficType": "ALL"},
    {"subnetId": "subnet-0123456789abcdef0", "trafficType": "REJECT"},
    {"trafficType": "update-replace"},
)
UNCHANGED = same(TOPIC, "threat-monitor-alerts-topic")


def fleet() -> list[StackPreview]:
    """Fifty stacks: 47 get a finding type, one of them a flow log besides; one fails, one is new, one stays."""
    stacks = [
        preview(f"acme-{number:02}", FINDING_TYPE, UNCHANGED, account=f"{111122223300 + number}")
        for number in range(1, 48)
    ]
    stacks[6] = stacks[6]._replace(changes=(*stacks[6].changes, FLOW_LOG_REPLACED))
    error = "Pulumi.broken.yaml: 2 faults\n  subnetIds: is empty\n  alertEmails: is empty"
    new = [create(TOPIC, "topic"), create(TOPIC, "health"), create(RULE, "rule")]
    return [
        *stacks,
        preview("broken")._replace(error=error),
        preview("fresh", *new)._replace(is_new=True),
        preview("quiet", UNCHANGED)._replace(notes=("an earlier run was interrupted while updating topic",)),
    ]


def shown(*previews: StackPreview, output: Output = "text") -> str:
    return render(report(previews), output)


def headline(*previews: StackPreview) -> str:
    return shown(*previews).split("\n")[0]


def test_the_report_of_a_fleet_begins_with_what_matters() -> None:
    assert shown(*fleet()) == (
        "50 stacks: 47 would change, 1 would be created, 1 stays the same, 1 failed; 1 dangerous change\n"
        "\n"
        "Dangerous: 1 change in 1 stack\n"
        "------------------------------\n"
        "A flow log is replaced, with a gap in the record. Allowed by --allow flow-log-replaced.\n"
        "acme-07\n"
        "  - threat-monitor-flow-logs-subnet-0123456789abcdef0: "
        "nothing is recorded for some minutes, until the new one delivers (changed: trafficType)\n"
        "\n"
        "Failed: 1 stack\n"
        "---------------\n"
        "broken\n"
        "  Pulumi.broken.yaml: 2 faults\n"
        "    subnetIds: is empty\n"
        "    alertEmails: is empty\n"
        "\n"
        "The same change in 47 stacks\n"
        "----------------------------\n"
        "acme-01, acme-02, acme-03 and 44 more\n"
        "  ~ update aws:cloudwatch:EventRule threat-monitor-alerts-high\n"
        '  +     eventPattern.detail.type: "Recon:EC2/Portscan"\n'
        "\n"
        "1 change in 1 stack\n"
        "-------------------\n"
        "acme-07\n"
        "  ~ replace aws:ec2:FlowLog threat-monitor-flow-logs-subnet-0123456789abcdef0\n"
        '  ~     trafficType: "ALL" -> "REJECT" (replaces it)\n'
        "\n"
        "Creates 1 new stack, with 3 resources\n"
        "-------------------------------------\n"
        "fresh\n"
        "  + 2 aws:sns:Topic\n"
        "  + 1 aws:cloudwatch:EventRule\n"
        "\n"
        "No changes in 1 stack\n"
        "---------------------\n"
        "quiet\n"
        "\n"
        "Notes\n"
        "-----\n"
        "quiet\n"
        "  an earlier run was interrupted while updating topic\n"
    )


@pytest.mark.parametrize(
    ("previews", "expected"),
    [
        ([], "0 stacks"),
        ([preview("a", UNCHANGED)], "1 stack: 1 stays the same"),
        (
            [preview("a", FINDING_TYPE), preview("b", UNCHANGED), preview("c")],
            "3 stacks: 1 would change, 2 stay the same",
        ),
        ([preview("a")._replace(error="")], "1 stack: 1 failed"),
        ([preview("a", FLOW_LOG_REPLACED)], "1 stack: 1 would change; 1 dangerous change"),
    ],
)
def test_the_headline_counts(previews: Sequence[StackPreview], expected: str) -> None:
    assert headline(*previews) == expected


def test_a_drift_says_so_and_nothing_can_be_allowed() -> None:
    text = render(report([preview("a", FLOW_LOG_REPLACED)], DRIFT), "markdown")
    assert text.startswith("<!-- threatmon fleet drift -->\n## 1 stack: 1 drifted; 1 dangerous change\n")
    assert "### Dangerous" in text
    assert "--allow" not in text


def test_each_danger_stands_under_its_kind_and_its_stacks() -> None:
    gone = ResourceChange("delete", FLOW_LOG, "log", {"name": "log"}, {}, {})
    text = shown(preview("a", shortened("g"), gone), preview("b", shortened("g")))
    dangers = text.partition("\nDangerous: 3 changes in 2 stacks\n")[2].partition("\n\n")[0]
    assert re.findall(r"--allow ([\w-]+)|^([ab, ]+)$|^  - (\w+):", dangers, re.MULTILINE) == [
        ("flow-log-deleted", "", ""),
        ("", "a", ""),
        ("", "", "log"),
        ("retention-shortened", "", ""),
        ("", "a, b", ""),
        ("", "", "g"),
    ]


def test_a_change_that_a_stack_has_several_times_says_how_often() -> None:
    logs = [create(FLOW_LOG, f"log-subnet-0000000{number}") for number in range(3)]
    text = shown(preview("a", *logs), preview("b", *logs[:2]))
    assert "  + create aws:ec2:FlowLog log-<subnet> (5 resources)\n" in text


def test_what_is_deleted_comes_first_and_what_is_kept_says_so() -> None:
    gone = ResourceChange("delete", TOPIC, "topic", {"a": 1}, {}, {}, retained=True)
    text = shown(preview("a", create(TOPIC, "b"), gone))
    assert "  - delete aws:sns:Topic topic (left in the account)\n  + create aws:sns:Topic b\n" in text


def test_of_many_properties_and_of_a_long_error_the_first_lines_are_shown_and_the_others_counted() -> None:
    change = create(TOPIC, "topic", **{f"p{number:02}": number for number in range(25)})
    failed = preview("b")._replace(error="\n".join(f"line {number:02}" for number in range(1_020)))
    text = shown(preview("a", change), failed)
    assert "p19: 19\n        ... and 5 more\n" in text
    assert "line 19\n  ... and 1,000 more\n" in text
    assert not re.search("p20|line 20", text)


@pytest.mark.parametrize(
    ("token", "expected"),
    [("aws:sns/topic:Topic", "aws:sns:Topic"), ("random:RandomId", "random:RandomId"), ("x", "x"), ("", "")],
)
def test_types_read_as_the_engine_prints_them(token: str, expected: str) -> None:
    assert short_type(token) == expected


def crowded(errors: int = 3, dangers: int = 3, changes: int = 2000) -> list[StackPreview]:
    """Far more changes than a comment holds."""
    return [
        preview("big", *(create(TOPIC, f"topic-{number}", a="x" * 200) for number in range(changes))),
        preview("risky", *(shortened(f"group-{number}") for number in range(dangers))),
        *(preview(f"broken-{number}")._replace(error=f"reason {number} " * 200) for number in range(errors)),
    ]


@pytest.mark.parametrize(("errors", "dangers"), [(3, 3), (3, 1000), (1000, 3)])
def test_dangers_failures_and_changes_each_have_room_in_a_comment(errors: int, dangers: int) -> None:
    comment = render(report(crowded(errors, dangers)), "markdown", limit=6000, whole="https://ci.example/runs/1")
    assert comment.count("\n- group-") >= 3
    assert comment.count("\nreason ") >= 3
    assert comment.count("\n+ create aws:sns:Topic") >= 3
    assert comment.endswith(" not shown here; the whole report: <https://ci.example/runs/1>\n")


@given(fleets, st.sampled_from([300, 600, 1000, 3000, 65_536]))
def test_no_danger_and_no_failure_is_lost_silently(previews: list[StackPreview], limit: int) -> None:
    complete, found = report(previews), group(previews)
    comment = render(complete, "markdown", limit=limit, whole="x")
    assert len(comment) <= limit
    heading, _, body = comment.removeprefix(f"{complete.marker}\n").partition("\n")
    dangers = sum(danger.number for danger in found.dangers)
    failed = len(found.stacks("failed"))
    assert heading == f"## {complete.title}"
    assert (f"; {dangers} dangerous change" in heading) == bool(dangers)
    assert (f"{failed} failed" in heading) == bool(failed)
    is_cut = "not shown here; the whole report: `x`" in body.rstrip("\n").rpartition("\n")[2]
    assert is_cut == (comment != render(complete, "markdown"))
    assert is_cut or ("### Dangerous: " in body, "### Failed: " in body) == (bool(dangers), bool(failed))


@given(fleets)
def test_a_terminal_only_shows_the_report(previews: list[StackPreview]) -> None:
    assert all(line.isprintable() for line in shown(*previews).split("\n"))
