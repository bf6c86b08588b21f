import json
from collections.abc import Sequence

import pytest
from fleet.previews import FLOW_LOG, RULE, TOPIC, create, fleets, hostile, preview, same, update
from hypothesis import given

from threatmon.fleet.changes import ResourceChange, StackPreview
from threatmon.fleet.grouping import fold
from threatmon.fleet.preview_report import DRIFT, first_few, headline, short, short_type, text


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


def test_the_report_of_a_fleet() -> None:
    assert text(fold(fleet())) == (
        "50 stacks: 47 would change, 1 would be created, 1 stays the same, 1 failed; 1 dangerous change\n"
        "\n"
        "The same change in 47 stacks: acme-01, acme-02, acme-03 and 44 more\n"
        "  ~ update aws:cloudwatch:EventRule threat-monitor-alerts-high\n"
        '  +     eventPattern.detail.type: + "Recon:EC2/Portscan"\n'
        "\n"
        "1 change only in 1 stack: acme-07\n"
        "  ~ replace aws:ec2:FlowLog threat-monitor-flow-logs-subnet-0123456789abcdef0\n"
        '  ~     trafficType: "ALL" -> "REJECT" (replaces it)\n'
        "\n"
        "Dangerous: 1 change in 1 stack: acme-07\n"
        "  A flow log is made anew, with a gap in the record. Allowed by --allow flow-log-replaced\n"
        f"  - {fold(fleet()).dangers[0].resource}: {fold(fleet()).dangers[0].text}\n"
        "\n"
        "Failed: 1 stack: broken\n"
        "    Pulumi.broken.yaml: 2 faults\n"
        "      subnetIds: is empty\n"
        "      alertEmails: is empty\n"
        "\n"
        "Creates 1 new stack, with 3 resources: fresh\n"
        "  + 2 aws:sns:Topic\n"
        "  + 1 aws:cloudwatch:EventRule\n"
        "\n"
        "No changes in 1 stack: quiet\n"
        "\n"
        "Note on 1 stack: quiet\n"
        "    an earlier run was interrupted while updating topic\n"
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
    assert headline(fold(previews)) == expected


def test_a_drift_says_so_and_nothing_can_be_allowed() -> None:
    shown = text(fold([preview("a", FLOW_LOG_REPLACED)]), DRIFT)
    assert shown.startswith("1 stack: 1 drifted; 1 dangerous change\n")
    assert "--allow" not in shown


def test_a_change_that_a_stack_has_several_times_says_how_often() -> None:
    logs = [create(FLOW_LOG, f"log-subnet-0000000{it}") for it in range(3)]
    assert "  + create aws:ec2:FlowLog log-<subnet> (5 resources)\n" in text(
        fold([preview("a", *logs), preview("b", *logs[:2])])
    ).replace("0000000", "")


def test_a_resource_that_is_kept_says_so() -> None:
    gone = ResourceChange("delete", TOPIC, "topic", {"a": 1}, {}, {}, retained=True)
    assert "  - delete aws:sns:Topic topic (left in the account)\n" in text(fold([preview("a", gone)]))


def test_of_many_properties_the_first_are_shown_and_the_others_counted() -> None:
    change = create(TOPIC, "topic", **{f"p{number:02}": number for number in range(25)})
    shown = text(fold([preview("a", change)]))
    assert "p19: + 19\n        ... and 5 lines more\n" in shown
    assert "p20" not in shown


@pytest.mark.parametrize(
    ("names", "expected"),
    [([], ""), (["a"], "a"), (["a", "b", "c"], "a, b, c"), (["a", "b", "c", "d"], "a, b, c and 1 more")],
)
def test_long_lists_of_stacks_are_cut_and_counted(names: list[str], expected: str) -> None:
    assert first_few(names) == expected


@pytest.mark.parametrize(
    ("token", "shown"),
    [("aws:sns/topic:Topic", "aws:sns:Topic"), ("random:RandomId", "random:RandomId"), ("x", "x"), ("", "")],
)
def test_types_read_as_the_engine_prints_them(token: str, shown: str) -> None:
    assert short_type(token) == shown


@given(hostile)
def test_a_short_text_is_one_line_that_says_where_it_is_cut(value: str) -> None:
    shown = short(value, 10)
    assert len(shown) <= 10
    assert shown.isprintable()
    assert len(short(value, 10_000)) <= 10 or shown.endswith("…")


@given(fleets)
def test_a_terminal_only_shows_the_report(previews: list[StackPreview]) -> None:
    shown = text(fold(previews))
    assert all(line.isprintable() for line in shown.split("\n"))
    assert shown.startswith(headline(fold(previews)))
