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


def bands_let_through(rules: Sequence[AlertRule], event: Event) -> list[str]:
    return [rule.band.name for rule in rules if matches(rule.pattern, event)]


def band_of(severity: float) -> SeverityName:
    return "low" if severity < 4 else "medium" if severity < 7 else "high" if severity < 9 else "critical"


@pytest.mark.parametrize("form", FORMS)
def test_every_active_type_passes_one_rule_of_the_right_band_at_the_ends_of_every_band(form: str) -> None:
    for name in ACTIVE:
        for severity in (1.0, 3.9, 4.0, 6.9, 7.0, 8.9, 9.0, 10.0):
            passed = bands_let_through(cached_rules(FORMS[form](name)), finding(name, severity))
            assert passed == [band_of(severity)], (name, severity)


@pytest.mark.parametrize("form", FORMS)
def test_a_type_that_is_not_selected_passes_no_rule(form: str) -> None:
    events = {name: finding(name, 9.5) for name in ACTIVE}
    for entry in {FORMS[form](name) for name in ACTIVE}:
        [rule] = alert_rules([entry], "critical", include_archived=True)
        passed = [name for name, event in events.items() if matches(rule.pattern, event)]
        assert passed == [
            name for name in ACTIVE if name == entry or (entry[-1] == "*" and name.startswith(entry[:-1]))
        ]


@pytest.mark.parametrize("floor", FLOORS)
def test_below_the_floor_nothing_passes_and_from_it_up_everything_does(floor: SeverityName) -> None:
    rules = alert_rules(["Recon:EC2/Portscan"], floor)
    least = {"low": 1.0, "medium": 4.0, "high": 7.0, "critical": 9.0}[floor]
    for severity in SEVERITIES:
        expected = [band_of(severity)] if severity >= least else []
        assert bands_let_through(rules, finding("Recon:EC2/Portscan", severity)) == expected


@pytest.mark.parametrize("selection", [["*"], ["Recon:EC2/*"], ACTIVE])
def test_a_floor_leaves_out_the_rules_below_it_and_changes_none_above(selection: list[str]) -> None:
    every = alert_rules(selection, "low")
    for index, floor in enumerate(FLOORS):
        assert alert_rules(selection, floor) == [rule for rule in every if rule.band.name in FLOORS[index:]]


@pytest.mark.parametrize("severity", [None, "5", True])
def test_a_severity_that_is_no_number_passes_no_rule(severity: Any) -> None:
    assert bands_let_through(alert_rules(["*"], "low"), finding("Recon:EC2/Portscan", severity)) == []


def test_a_severity_outside_the_documented_range_is_not_lost() -> None:
    rules = alert_rules(["*"], "low")
    assert [bands_let_through(rules, finding("Recon:EC2/Portscan", severity)) for severity in (0, 0.5, 10.1, 99)] == [
        ["low"],
        ["low"],
        ["critical"],
        ["critical"],
    ]


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
    assert len(bands_let_through(rules, event)) == 1
    assert bands_let_through(rules, event | {key: value}) == []
    del event[key]
    assert bands_let_through(rules, event) == []


@pytest.mark.parametrize("selection", [["*"], ["Recon:EC2/*"], ["Recon:EC2/Portscan"], ACTIVE])
def test_samples_and_archived_findings_pass_as_configured_and_an_absent_field_hides_none(selection: list[str]) -> None:
    for include_samples, include_archived in product([True, False], repeat=2):
        rules = alert_rules(selection, "medium", include_samples=include_samples, include_archived=include_archived)
        for sample, archived in product([ABSENT, False, True], repeat=2):
            event = finding("Recon:EC2/Portscan", 5, sample=sample, archived=archived)
            hidden = (sample is True and not include_samples) or (archived is True and not include_archived)
            assert bands_let_through(rules, event) == ([] if hidden else ["medium"]), (sample, archived)


@pytest.mark.parametrize("remove", [("service",), ("service", "additionalInfo"), ("service", "archived")])
def test_a_finding_without_optional_parts_passes(remove: tuple[str, ...]) -> None:
    event = recorded("ec2_portscan")
    node = event["detail"]
    for key in remove[:-1]:
        node = node[key]
    del node[remove[-1]]
    rules = alert_rules(["Recon:EC2/Portscan"], "low", include_samples=False, include_archived=False)
    assert bands_let_through(rules, event) == ["medium"]


def test_samples_pass_and_archived_findings_do_not_by_default() -> None:
    rules = alert_rules(["*"], "low")
    assert bands_let_through(rules, recorded("ec2_portscan_sample")) == ["medium"]
    archived = deepcopy(recorded("ec2_portscan"))
    archived["detail"]["service"]["archived"] = True
    assert bands_let_through(rules, archived) == []


def test_a_selection_of_any_size_keeps_within_the_quota_and_names_each_type_once() -> None:
    for count in range(1, len(ACTIVE) + 1, 5):
        rules = alert_rules(ACTIVE[:count], "critical", include_samples=False)
        assert all(len(compact(rule.pattern)) <= PATTERN_QUOTA == 2048 for rule in rules)
        assert sorted(entry for rule in rules for entry in rule.pattern["detail"]["type"]) == sorted(ACTIVE[:count])


def test_a_split_selection_lets_each_type_through_once_and_no_other() -> None:
    rules = alert_rules(ACTIVE, "high")
    assert len(rules) > len(["high", "critical"])
    assert len({rule.key for rule in rules}) == len(rules)
    for name in ACTIVE:
        assert bands_let_through(rules, finding(name, 7)) == ["high"], name
        assert bands_let_through(rules, finding(f"{name}X", 7)) == []


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
        assert len(bands_let_through(rules, finding(entry.removesuffix("*"), 9))) == 1


@pytest.mark.parametrize(
    "selection",
    [["Recon:EC2/Portscan", "Recon:EC2/*"], ["Recon:EC2/*", "Recon:*"], ["*", "Recon:EC2/Portscan", "Recon:EC2/*"]],
)
def test_a_type_that_several_entries_cover_is_mailed_once(selection: list[str]) -> None:
    for entries in (selection, selection[::-1], selection * 2):
        assert bands_let_through(alert_rules(entries, "low"), finding("Recon:EC2/Portscan", 5)) == ["medium"]


def test_a_type_is_mailed_once_if_it_and_its_families_would_fall_into_different_rules() -> None:
    rules = alert_rules([*ACTIVE, "Backdoor:EC2/*", "UnauthorizedAccess:*", "Una*"], "critical")
    assert len(rules) > 1
    for name in ACTIVE:
        assert bands_let_through(rules, finding(name, 9)) == ["critical"], name


def test_a_family_is_a_prefix_and_an_ampersand_is_stored_as_it_is() -> None:
    [rule] = alert_rules(["Backdoor:EC2/C&CActivity.B", "Recon:EC2/*"], "critical")
    assert '"type":["Backdoor:EC2/C&CActivity.B",{"prefix":"Recon:EC2/"}]' in compact(rule.pattern)


def test_a_rule_of_the_default_selection_is_this_pattern() -> None:
    rules = alert_rules(["*"], "medium")
    assert [rule.key for rule in rules] == ["medium", "high", "critical"]
    assert rules[0].pattern == {
        "source": ["aws.guardduty"],
        "detail-type": ["GuardDuty Finding"],
        "detail": {
            "severity": [{"numeric": [">=", 4, "<", 7]}],
            "service": {"archived": [False, {"exists": False}]},
        },
    }
