import copy
from typing import Any

import pytest
from examples import ACCOUNT, EMAIL, REGION, SUBNET
from findings import recorded

from threatmon.evaluation.explain import Explanation, explain, report, rules_of
from threatmon.model.location import Location
from threatmon.model.settings import Settings, parse

MINIMAL = {"subnetIds": [SUBNET], "alertEmails": [EMAIL]}
EVENT = recorded("ec2_portscan")
LOCATION = Location(ACCOUNT, REGION, "aws", "amazonaws.com")


def settings(**changes: object) -> Settings:
    return parse(MINIMAL | changes)[0]


def explained(event: dict[str, Any], **changes: object) -> Explanation:
    [explanation] = explain([event], settings(**changes), LOCATION, "/group")
    return explanation


def test_a_finding_that_a_rule_lets_through_alerts_with_the_mail_that_is_sent() -> None:
    explanation = explained(EVENT, alerts={"accountAlias": "prod"})
    assert explanation.verdicts == [("findings", None)]
    assert explanation.alerts
    assert explanation.plain is None
    assert explanation.mail
    assert explanation.mail.subject
    assert explanation.mail.subject.startswith("[MEDIUM] Recon:EC2/Portscan ")
    assert explanation.mail.subject.endswith(" in prod eu-west-1")
    assert EVENT["detail"]["title"] in explanation.mail.message
    assert "*2fgroup" in explanation.mail.message


def test_a_mail_that_cannot_be_formatted_still_alerts_and_says_why() -> None:
    explanation = explain([EVENT], settings(), LOCATION)[0]
    broken = explanation._replace(mail=None, plain="the expression fails")
    assert broken.alerts
    assert "by a plain mail of the whole event: the expression fails" in str(report("dev", REGION, [broken]))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"minimumSeverity": "high"}, "detail.severity: 5 is not >= 7"),
        ({"findingTypes": ["Policy:S3/*"]}, 'detail.type: "Recon:EC2/Portscan" is not prefix "Policy:S3/"'),
        ({"alerts": {"includeSamples": False}}, "detail.service.additionalInfo.sample: true is not false or absent"),
    ],
)
def test_each_setting_can_stop_a_finding(changes: dict[str, object], reason: str) -> None:
    explanation = explained(recorded("ec2_portscan_sample"), **changes)
    assert reason in [verdict.stopped_by for verdict in explanation.verdicts]
    assert not explanation.alerts
    assert explanation.mail is None


def test_archived_findings_alert_if_they_are_included() -> None:
    event = copy.deepcopy(EVENT)
    event["detail"]["service"]["archived"] = True
    assert not explained(event).alerts
    assert explained(event, alerts={"includeArchived": True}).alerts


def test_there_is_one_rule_with_the_floor() -> None:
    [rule] = rules_of(settings(minimumSeverity="high"))
    assert (rule.key, rule.pattern["detail"]["severity"]) == ("findings", [{"numeric": [">=", 7]}])
