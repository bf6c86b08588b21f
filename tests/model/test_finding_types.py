from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from threatmon.model.finding_types import catalogue, covers, fault, is_known, is_well_formed, simplify
from threatmon.model.protection_plans import PlanName

NAMES = list(catalogue())
ENTRIES = st.sampled_from([*NAMES, *(name[: name.index("/") + 1] + "*" for name in NAMES), "Recon:*", "Re*", "*"])


def test_the_catalogue_has_every_active_custom_and_retired_type_once() -> None:
    rows = catalogue().values()
    retired = [row for row in rows if row.retired]
    custom = [row for row in rows if row.custom_detection_rule]
    active = [row for row in rows if not row.retired and not row.custom_detection_rule]
    assert (len(active), len(custom), len(retired), len(rows)) == (204, 25, 21, 250)


def test_every_row_is_well_formed() -> None:
    for name, row in catalogue().items():
        assert row.name == name
        assert is_well_formed(name), name
        assert row.severity in {"Low", "Medium", "High", "Critical", "Variable"} or row.retired, name
        assert row.plan is None or row.plan in get_args(PlanName), name


def test_each_protection_plan_has_types_that_only_it_raises() -> None:
    assert {row.plan for row in catalogue().values() if row.plan} == set(get_args(PlanName))


@pytest.mark.parametrize(
    ("name", "severity", "plan"),
    [
        ("Recon:EC2/Portscan", "Medium", None),
        ("Discovery:S3/AnomalousBehavior", "Low", "s3"),
        ("Backdoor:Runtime/C&CActivity.B", "High", "runtime"),
        ("AttackSequence:S3/CompromisedData", "Critical", None),
    ],
)
def test_the_catalogue_knows_severity_and_plan(name: str, severity: str, plan: str | None) -> None:
    assert (catalogue()[name].severity, catalogue()[name].plan) == (severity, plan)


@pytest.mark.parametrize("name", NAMES)
def test_every_known_type_is_accepted_by_name_and_by_its_families(name: str) -> None:
    purpose, resource = name.split("/", maxsplit=1)[0].split(":")
    for entry in (name, f"{purpose}:{resource}/*", f"{purpose}:*", f"{name}*", "*"):
        assert fault(entry) is None
        assert is_known(entry)
        assert covers(entry, name)


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        ("Recon:EC2/PortScan", 'is not a GuardDuty finding type; did you mean "Recon:EC2/Portscan"?'),
        ("recon:ec2/portscan", 'is not a GuardDuty finding type; did you mean "Recon:EC2/Portscan"?'),
        ("Recon:EC2/Portscn", 'is not a GuardDuty finding type; did you mean "Recon:EC2/Portscan"?'),
        ("Recon:EC3/*", 'matches no GuardDuty finding type; did you mean "Recon:EC2/*"?'),
        ("recon:*", 'matches no GuardDuty finding type; did you mean "Recon:*"?'),
        ("zzz", "is not a GuardDuty finding type"),
        ("", "is not a GuardDuty finding type"),
        ("Qqq*", "matches no GuardDuty finding type"),
        ("Recon:*/Portscan", 'has a "*" that is not at its end (a family looks like "Recon:EC2/*")'),
        ("*:EC2/*", 'has a "*" that is not at its end (a family looks like "Recon:EC2/*")'),
        ("**", 'has a "*" that is not at its end (a family looks like "Recon:EC2/*")'),
    ],
)
def test_a_fault_says_what_is_wrong_and_what_was_meant(entry: str, text: str) -> None:
    assert fault(entry) == text


def test_a_difference_in_case_alone_is_always_found() -> None:
    for name in NAMES[::10]:  # looking for what is near takes its time
        assert str(fault(name.swapcase())).endswith(f'did you mean "{name}"?')


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("New:EC2/Thing.Mechanism!Artifact", True),
        ("New:*", True),
        ("*", True),
        ("New:EC2/" + "x" * 92, True),
        ("New:EC2/" + "x" * 93, False),
        ("New:EC2/" + "x" * 92 + "*", False),
        ("New EC2", False),
        ("New:EC2/", False),
        ("New:EC2/Thing\n", False),
        ('New:EC2/"', False),
        (":*", False),
    ],
)
def test_what_could_be_a_type_that_the_catalogue_does_not_know_yet(entry: str, expected: bool) -> None:
    assert is_well_formed(entry) is expected


@pytest.mark.parametrize(
    ("entry", "name", "expected"),
    [
        ("Recon:EC2/Portscan", "Recon:EC2/Portscan", True),
        ("Recon:EC2/Portscan", "Recon:EC2/PortscanX", False),
        ("Recon:EC2/*", "Recon:EC2/Portscan", True),
        ("recon:EC2/*", "Recon:EC2/Portscan", False),
        ("Recon:EC2/*", "Recon:IAMUser/TorIPCaller", False),
    ],
)
def test_an_entry_covers_a_type_by_whole_name_or_prefix_and_case_counts(entry: str, name: str, expected: bool) -> None:
    assert covers(entry, name) is expected


@pytest.mark.parametrize(
    ("entries", "simplified"),
    [
        (["Recon:EC2/Portscan", "Recon:EC2/*", "Recon:*"], ["Recon:*"]),
        (["Recon:EC2/Portscan", "*", "Recon:EC2/*"], ["*"]),
        (["Recon:EC2/Portscan", "Recon:EC2/Port*"], ["Recon:EC2/Port*"]),
        (["Recon:EC2/Portscan", "Recon:EC2/Portscan"], ["Recon:EC2/Portscan"]),
        (["Stealth:*", "Recon:EC2/*", "Recon:IAMUser/*"], ["Recon:EC2/*", "Recon:IAMUser/*", "Stealth:*"]),
        ([], []),
    ],
)
def test_an_entry_that_another_covers_is_left_out(entries: list[str], simplified: list[str]) -> None:
    assert simplify(entries) == simplified


@given(st.lists(ENTRIES, max_size=8))
def test_a_simplified_selection_covers_the_same_types_and_each_by_one_entry(entries: list[str]) -> None:
    simplified = simplify(entries)
    assert set(simplified) <= set(entries)
    for name in NAMES:
        assert sum(covers(entry, name) for entry in simplified) == any(covers(entry, name) for entry in entries)
