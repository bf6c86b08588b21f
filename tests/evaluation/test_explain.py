import json

import pytest
from findings import recorded

from threatmon.evaluation.explain import alerts, rules_of, verdicts
from threatmon.model.settings import Settings, parse

MINIMAL = {"subnetIds": ["subnet-0123456789abcdef0"], "alertEmails": ["a@example.com"]}
EVENT = recorded("ec2_portscan")


def settings(**changes: object) -> Settings:
    return parse(MINIMAL | changes)[0]


def test_one_rule_alerts_and_the_others_say_what_stops_them() -> None:
    given = verdicts(EVENT, settings(), "aws", "/group")
    assert {verdict.rule: verdict.stopped_by for verdict in given} == {
        "medium": None,
        "high": "detail.severity: 5 is not >= 7 and < 9",
        "critical": "detail.severity: 5 is not >= 9",
    }
    assert alerts(given)
    [mail] = [verdict.mail for verdict in given if verdict.mail]
    assert mail.startswith('"MEDIUM: Recon:EC2/Portscan"\n')
    assert all(verdict.dead_letter is None for verdict in given)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"minimumSeverity": "high"}, "detail.severity: 5 is not >= 7 and < 9"),
        ({"findingTypes": ["Policy:S3/*"]}, 'detail.type: "Recon:EC2/Portscan" is not prefix "Policy:S3/"'),
        ({"alerts": {"includeSamples": False}}, "detail.service.additionalInfo.sample: true is not false or absent"),
    ],
)
def test_each_setting_can_stop_a_finding(changes: dict[str, object], said: str) -> None:
    given = verdicts(recorded("ec2_portscan_sample"), settings(**changes), "aws", "/group")
    assert said in [verdict.stopped_by for verdict in given]
    assert not alerts(given)


def test_a_mail_that_cannot_be_sent_alerts_nobody_and_says_why() -> None:
    event = EVENT | {"detail": EVENT["detail"] | {"title": 'a "quoted" title'}}
    [verdict] = [verdict for verdict in verdicts(event, settings(), "aws", "/group") if not verdict.stopped_by]
    assert verdict.mail is None
    assert verdict.dead_letter
    assert "is not a JSON text" in verdict.dead_letter
    assert not alerts([verdict])


def test_the_mail_has_the_alias_the_partitions_links_the_log_group_and_the_dashboard() -> None:
    given = verdicts(EVENT, settings(alerts={"accountAlias": "Prod"}), "aws-us-gov", "/its/group", "its-dashboard")
    [mail] = [verdict.mail for verdict in given if verdict.mail]
    assert '"Account: 111122223333 (Prod)"' in mail
    assert "https://console.amazonaws-us-gov.com/" in mail
    assert "*2fits*2fgroup" in mail
    assert "#dashboards/dashboard/its-dashboard " in mail


def test_archived_findings_alert_where_they_are_included() -> None:
    event = json.loads(json.dumps(EVENT))
    event["detail"]["service"]["archived"] = True
    assert not alerts(verdicts(event, settings(), "aws", "/group"))
    assert alerts(verdicts(event, settings(alerts={"includeArchived": True}), "aws", "/group"))


def test_there_is_a_rule_for_each_band_from_the_floor() -> None:
    assert [rule.key for rule in rules_of(settings(minimumSeverity="high"))] == ["high", "critical"]
