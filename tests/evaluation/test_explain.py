import copy
from typing import Any

import pytest
from examples import EMAIL, SUBNET
from findings import recorded

from threatmon.evaluation.explain import Explanation, explain, rules_of
from threatmon.model.settings import Settings, parse

MINIMAL = {"subnetIds": [SUBNET], "alertEmails": [EMAIL]}
EVENT = recorded("ec2_portscan")


def settings(**changes: object) -> Settings:
    return parse(MINIMAL | changes)[0]


def explained(event: dict[str, Any], **changes: object) -> Explanation:
    [explanation] = explain([event], settings(**changes), "aws", "/group")
    return explanation


def test_one_rule_alerts_and_the_others_say_what_stops_them() -> None:
    explanation = explained(EVENT)
    assert {verdict.rule: verdict.stopped_by for verdict in explanation.verdicts} == {
        "medium": None,
        "high": "detail.severity: 5 is not >= 7 and < 9",
        "critical": "detail.severity: 5 is not >= 9",
    }
    assert explanation.alerts
    [mail] = [verdict.mail for verdict in explanation.verdicts if verdict.mail]
    assert mail.startswith('"MEDIUM: Recon:EC2/Portscan"\n')
    assert all(verdict.dead_letter is None for verdict in explanation.verdicts)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"minimumSeverity": "high"}, "detail.severity: 5 is not >= 7 and < 9"),
        ({"findingTypes": ["Policy:S3/*"]}, 'detail.type: "Recon:EC2/Portscan" is not prefix "Policy:S3/"'),
        ({"alerts": {"includeSamples": False}}, "detail.service.additionalInfo.sample: true is not false or absent"),
    ],
)
def test_each_setting_can_stop_a_finding(changes: dict[str, object], reason: str) -> None:
    explanation = explained(recorded("ec2_portscan_sample"), **changes)
    assert reason in [verdict.stopped_by for verdict in explanation.verdicts]
    assert not explanation.alerts


def test_archived_findings_alert_if_they_are_included() -> None:
    event = copy.deepcopy(EVENT)
    event["detail"]["service"]["archived"] = True
    assert not explained(event).alerts
    assert explained(event, alerts={"includeArchived": True}).alerts


def test_there_is_a_rule_for_each_band_from_the_floor() -> None:
    assert [rule.key for rule in rules_of(settings(minimumSeverity="high"))] == ["high", "critical"]
