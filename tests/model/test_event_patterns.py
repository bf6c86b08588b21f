from collections.abc import Sequence
from copy import deepcopy
from functools import cache
from itertools import product
from typing import Any, get_args

import pytest
from findings import RECORDED, Event, recorded
from hypothesis import given
from hypothesis import strategies as st

from threatmon.evaluation.event_matcher import matches
from threatmon.model.event_patterns import PATTERN_QUOTA, AlertRule, alert_rules, compact
from threatmon.model.finding_types import catalogue
from threatmon.model.severity import SeverityName

ACTIVE = [row.name for row in catalogue().values() if not row.retired and not row.custom_detection_rule]
SEVERITIES = [tenths / 10 for tenths in range(10, 101)]
FLOORS: tuple[SeverityName, ...] = get_args(SeverityName)
ABSENT = object()

# What a config may write to select a type.
FORMS = {
    "its name": lambda name: name,
    "purpose and resource": lambda name: name[: name.index("/") + 1] + "*",
    "purpose": lambda name: name[: name.index(":") + 1] + "*",
    "everything": lambda _: "*",
}

cached_rules = cache(lambda entry: alert_rules([entry], "low", include_archived=True))


def finding(name: str, severity: float, *, archived: object = False, sample: object = ABSENT) -> Event:
    additional = {} if sample is ABSENT else {"sample": sample}
    service = {"additionalInfo": additional} | ({} if archived is ABSENT else {"archived": archived})
    detail = {"type": name, "severity": severity, "service": service}
    return {"source": "aws.guardduty", "detail-type": "GuardDuty Finding", "detail": detail}


def passed(rules: Sequence[AlertRule], event: Event) -> int:
    """How many rules let the event through."""
    return sum(matches(rule.pattern, event) for rule in rules)


@pytest.mark.parametrize("form", FORMS)
def test_every_active_type_passes_one_rule_whatever_its_severity(form: str) -> None:
    for name in ACTIVE:
        for severity in (1.0, 3.9, 4.0, 6.9, 7.0, 8.9, 9.0, 10.0):
            assert passed(cached_rules(FORMS[form](name)), finding(name, severity)) == 1, (name, severity)


@pytest.mark.parametrize("form", FORMS)
def test_a_type_that_is_not_selected_passes_no_rule(form: str) -> None:
    events = {name: finding(name, 9.5) for name in ACTIVE}
    for entry in {FORMS[form](name) for name in ACTIVE}:
        [rule] = alert_rules([entry], "critical", include_archived=True)
        let_through = [name for name, event in events.items() if matches(rule.pattern, event)]
        assert let_through == [
            name for name in ACTIVE if name == entry or (entry[-1] == "*" and name.startswith(entry[:-1]))
        ]


@pytest.mark.parametrize("floor", FLOORS)
def test_below_the_floor_nothing_passes_and_from_it_up_everything_does(floor: SeverityName) -> None:
    rules = alert_rules(["Recon:EC2/Portscan"], floor)
    least = {"low": 1.0, "medium": 4.0, "high": 7.0, "critical": 9.0}[floor]
    for severity in SEVERITIES:
        assert passed(rules, finding("Recon:EC2/Portscan", severity)) == (severity >= least)


@pytest.mark.parametrize("selection", [["*"], ["Recon:EC2/*"], ["Recon:EC2/Portscan"]])
def test_a_floor_changes_the_severity_of_the_one_rule_and_nothing_else(selection: list[str]) -> None:
    [everything] = alert_rules(selection, "low")
    assert "severity" not in everything.pattern["detail"]
    minimums: dict[SeverityName, int] = {"medium": 4, "high": 7, "critical": 9}
    for floor, minimum in minimums.items():
        [rule] = alert_rules(selection, floor)
        assert rule.pattern["detail"].pop("severity") == [{"numeric": [">=", minimum]}]
        assert rule == everything


@pytest.mark.parametrize("severity", [None, "5", True, ABSENT])
def test_a_severity_that_is_no_number_hides_a_finding_only_if_there_is_a_floor(severity: Any) -> None:
    event = finding("Recon:EC2/Portscan", severity)
    if severity is ABSENT:
        del event["detail"]["severity"]
    assert [passed(alert_rules(["*"], floor), event) for floor in FLOORS] == [1, 0, 0, 0]


def test_a_severity_outside_the_documented_range_is_not_lost() -> None:
    for severity in (-1, 0, 0.5):
        assert passed(alert_rules(["*"], "low"), finding("Recon:EC2/Portscan", severity)) == 1
    for severity in (10.1, 99):
        assert passed(alert_rules(["*"], "critical"), finding("Recon:EC2/Portscan", severity)) == 1


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("source", "aws.guardduty.test"),
        ("source", "my.app"),
        ("source", None),
        ("detail-type", "AWS API Call via CloudTrail"),
        ("detail-type", "guardduty finding"),
        ("detail-type", None),
    ],
)
@pytest.mark.parametrize("name", RECORDED)
def test_an_event_of_another_kind_never_matches(name: str, key: str, value: str | None) -> None:
    event = recorded(name)
    rules = alert_rules(["*"], "low", include_archived=True)
    assert passed(rules, event) == 1
    assert passed(rules, event | {key: value}) == 0
    del event[key]
    assert passed(rules, event) == 0


@pytest.mark.parametrize("selection", [["*"], ["Recon:EC2/*"], ["Recon:EC2/Portscan"], ACTIVE])
def test_samples_and_archived_findings_pass_as_configured_and_an_absent_field_hides_none(selection: list[str]) -> None:
    for include_samples, include_archived in product([True, False], repeat=2):
        rules = alert_rules(selection, "medium", include_samples=include_samples, include_archived=include_archived)
        for sample, archived in product([ABSENT, False, True], repeat=2):
            event = finding("Recon:EC2/Portscan", 5, sample=sample, archived=archived)
            hidden = (sample is True and not include_samples) or (archived is True and not include_archived)
            assert passed(rules, event) == (not hidden), (sample, archived)


@pytest.mark.parametrize("remove", [("service",), ("service", "additionalInfo"), ("service", "archived")])
def test_a_finding_without_optional_parts_passes(remove: tuple[str, ...]) -> None:
    event = recorded("ec2_portscan")
    node = event["detail"]
    for key in remove[:-1]:
        node = node[key]
    del node[remove[-1]]
    rules = alert_rules(["Recon:EC2/Portscan"], "low", include_samples=False, include_archived=False)
    assert passed(rules, event) == 1


def test_samples_pass_and_archived_findings_do_not_by_default() -> None:
    rules = alert_rules(["*"], "low")
    assert passed(rules, recorded("ec2_portscan_sample")) == 1
    archived = deepcopy(recorded("ec2_portscan"))
    archived["detail"]["service"]["archived"] = True
    assert passed(rules, archived) == 0


def test_a_selection_of_any_size_keeps_within_the_quota_and_names_each_type_once() -> None:
    for count in range(1, len(ACTIVE) + 1, 5):
        rules = alert_rules(ACTIVE[:count], "critical", include_samples=False)
        assert all(len(compact(rule.pattern)) <= PATTERN_QUOTA == 2048 for rule in rules)
        assert sorted(entry for rule in rules for entry in rule.pattern["detail"]["type"]) == sorted(ACTIVE[:count])


def test_a_split_selection_lets_each_type_through_once_and_no_other() -> None:
    rules = alert_rules(ACTIVE, "high")
    assert len(rules) > 1
    assert [rule.key for rule in rules] == ["findings", *(f"findings-{n}" for n in range(2, len(rules) + 1))]
    for name in ACTIVE:
        assert passed(rules, finding(name, 7)) == 1, name
        assert passed(rules, finding(f"{name}X", 7)) == 0


def test_no_rule_is_split_before_it_is_full() -> None:
    *full, _ = alert_rules(ACTIVE, "critical")
    longest = max(map(len, ACTIVE)) + len(',""')
    assert full
    assert all(len(compact(rule.pattern)) > PATTERN_QUOTA - longest for rule in full)


# Names that the catalogue does not know (allowUnknownFindingTypes), among them the longest and overlapping families.
UNKNOWN = st.builds(
    "{}:{}/{}{}".format,
    st.text("ABab", min_size=1, max_size=10),
    st.text("EC2", min_size=1, max_size=5),
    st.text("aB&!.-", min_size=1, max_size=82) | st.text("aB&!.-", min_size=80, max_size=82),
    st.sampled_from(["", "*"]),
)


@given(st.lists(UNKNOWN | st.sampled_from(ACTIVE), min_size=1, max_size=80), st.booleans(), st.booleans())
def test_any_selection_keeps_within_the_quota_and_mails_each_finding_once(
    selection: list[str],
    include_samples: bool,
    include_archived: bool,
) -> None:
    rules = alert_rules(selection, "critical", include_samples=include_samples, include_archived=include_archived)
    assert all(len(compact(rule.pattern)) <= PATTERN_QUOTA for rule in rules)
    for entry in selection:
        assert passed(rules, finding(entry.removesuffix("*"), 9)) == 1


@pytest.mark.parametrize(
    "selection",
    [["Recon:EC2/Portscan", "Recon:EC2/*"], ["Recon:EC2/*", "Recon:*"], ["*", "Recon:EC2/Portscan", "Recon:EC2/*"]],
)
def test_a_type_that_several_entries_cover_is_mailed_once(selection: list[str]) -> None:
    for entries in (selection, selection[::-1], selection * 2):
        assert passed(alert_rules(entries, "low"), finding("Recon:EC2/Portscan", 5)) == 1


def test_a_type_is_mailed_once_if_it_and_its_families_would_fall_into_different_rules() -> None:
    rules = alert_rules([*ACTIVE, "Backdoor:EC2/*", "UnauthorizedAccess:*", "Una*"], "critical")
    assert len(rules) > 1
    for name in ACTIVE:
        assert passed(rules, finding(name, 9)) == 1, name


def test_a_family_is_a_prefix_and_an_ampersand_is_stored_as_it_is() -> None:
    [rule] = alert_rules(["Backdoor:EC2/C&CActivity.B", "Recon:EC2/*"], "critical")
    assert '"type":["Backdoor:EC2/C&CActivity.B",{"prefix":"Recon:EC2/"}]' in compact(rule.pattern)


def test_the_rule_of_the_default_selection_is_this_pattern() -> None:
    assert alert_rules(["*"], "medium") == [
        AlertRule(
            "findings",
            {
                "source": ["aws.guardduty"],
                "detail-type": ["GuardDuty Finding"],
                "detail": {
                    "severity": [{"numeric": [">=", 4]}],
                    "service": {"archived": [False, {"exists": False}]},
                },
            },
        )
    ]


def test_a_rule_for_everything_asks_only_for_findings() -> None:
    [rule] = alert_rules(["*"], "low", include_archived=True)
    assert rule.pattern == {"source": ["aws.guardduty"], "detail-type": ["GuardDuty Finding"]}
