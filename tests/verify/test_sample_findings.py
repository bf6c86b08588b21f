import pytest

from threatmon.model.event_patterns import alert_rules
from threatmon.model.finding_types import catalogue, covers
from threatmon.model.severity import SeverityName
from threatmon.verify.sample_findings import expectation, select

RETIRED = next(row.name for row in catalogue().values() if row.retired)
CUSTOM = next(row.name for row in catalogue().values() if row.custom_detection_rule)
ACTIVE = {row.name for row in catalogue().values() if not row.retired and not row.custom_detection_rule}
VARIABLE = next(row.name for row in catalogue().values() if row.severity == "Variable" and row.name in ACTIVE)


def test_everything_means_each_active_type_once() -> None:
    assert sorted(select(["*", "Recon:EC2/Portscan", "Recon:*"]).types) == sorted(ACTIVE)
    assert select(["*"]).left_out == {}


def test_a_family_means_its_active_types() -> None:
    wanted = {name for name in ACTIVE if covers("Recon:EC2/*", name)}
    assert {"Recon:EC2/Portscan", "Recon:EC2/PortProbeUnprotectedPort"} <= wanted
    assert set(select(["Recon:EC2/*"]).types) == wanted


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (RETIRED, "is retired"),
        (CUSTOM, "is raised by custom detection rules only"),
        ("Nothing:*", "has no type that GuardDuty makes samples of"),
        (f"{CUSTOM.partition('/')[0]}/*", "has no type that GuardDuty makes samples of"),
    ],
)
def test_what_guardduty_cannot_sample_is_left_out_with_the_reason(entry: str, reason: str) -> None:
    selection = select([entry, "Recon:EC2/Portscan"])
    assert selection.types == ["Recon:EC2/Portscan"]
    assert selection.left_out[entry].startswith(reason)


def test_a_type_newer_than_the_catalogue_is_tried() -> None:
    assert select(["Recon:EC2/Brandnew"]) == (["Recon:EC2/Brandnew"], {})


def test_each_type_is_expected_by_the_rule_that_lets_its_usual_severity_through() -> None:
    types = ["Recon:EC2/Portscan", "Recon:EC2/PortProbeUnprotectedPort", "AttackSequence:EC2/CompromisedInstanceGroup"]
    everything = expectation(types, alert_rules(["*"], "low"))
    assert everything == ({"findings": types}, [], {})
    grave = expectation(types, alert_rules(["*"], "high"))
    assert grave.by_rule == {"findings": types[2:]}
    assert grave.silent == dict(
        zip(types, ["detail.severity: 4 is not >= 7", "detail.severity: 1 is not >= 7"], strict=False)
    )


@pytest.mark.parametrize(("floor", "is_certain"), [("low", True), ("medium", False), ("critical", False)])
def test_a_type_of_varying_or_unknown_severity_is_promised_if_every_severity_passes(
    floor: SeverityName, *, is_certain: bool
) -> None:
    types = [VARIABLE, "Recon:EC2/Brandnew"]
    expected = expectation(types, alert_rules(["*"], floor))
    assert expected == (({"findings": types}, [], {}) if is_certain else ({}, types, {}))


def test_what_no_rule_lets_through_says_which_condition_stops_it() -> None:
    types = ["Recon:EC2/Portscan", "Recon:EC2/PortProbeUnprotectedPort", "Policy:S3/BucketPublicAccessGranted"]
    expected = expectation(types, alert_rules(["Recon:*"], "medium"))
    assert expected.by_rule == {"findings": ["Recon:EC2/Portscan"]}
    assert expected.silent == {
        "Recon:EC2/PortProbeUnprotectedPort": "detail.severity: 1 is not >= 4",
        "Policy:S3/BucketPublicAccessGranted": (
            'detail.type: "Policy:S3/BucketPublicAccessGranted" is not prefix "Recon:"'
        ),
    }


def test_of_several_rules_the_one_that_has_the_type_says_why() -> None:
    low = [row.name for row in catalogue().values() if row.severity == "Low" and row.name in ACTIVE]
    rules = alert_rules(ACTIVE, "high")
    assert len(rules) > 1
    assert set(expectation(low, rules).silent.values()) == {"detail.severity: 1 is not >= 7"}


def test_rules_that_drop_samples_let_the_real_finding_through() -> None:
    rules = alert_rules(["*"], "medium", include_samples=False)
    assert "sample" in expectation(["Recon:EC2/Portscan"], rules).silent["Recon:EC2/Portscan"]
    assert expectation(["Recon:EC2/Portscan"], rules, samples=False).by_rule == {"findings": ["Recon:EC2/Portscan"]}


def test_a_selection_over_several_patterns_is_found_in_the_second_too() -> None:
    rules = alert_rules(ACTIVE, "low")
    assert "findings-2" in [rule.key for rule in rules]
    expected = expectation(ACTIVE, rules)
    assert expected.silent == {}
    assert expected.by_rule["findings-2"]
