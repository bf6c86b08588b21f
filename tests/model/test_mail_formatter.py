import json
import re
from pathlib import Path
from typing import Any

import pytest
from examples import ACCOUNT, REGION
from findings import RECORDED, Event, recorded
from mail_examples import ALIAS, EXAMPLES, INSTANCE, api_call, event
from mail_findings import hostile_findings, whole_findings

from threatmon.evaluation.mail import FormattedMail, FormattingError, render
from threatmon.model import console_urls
from threatmon.model.mail_formatter import MailOptions, chat, formatter

GROUP = "/threat-monitor/dev/flow-logs"
OPTIONS = MailOptions(
    account=ACCOUNT,
    region=REGION,
    partition="aws",
    account_aliases={ACCOUNT: ALIAS},
    log_group_name=GROUP,
    dashboard_name="threat-monitor-dev",
    runbooks={
        "*": "https://wiki.example.com/any",
        "Recon:EC2/*": "https://wiki.example.com/recon",
        "Recon:EC2/Portscan": "https://wiki.example.com/portscan",
    },
)
MAIL = formatter(OPTIONS)
CHAT = chat(OPTIONS)
MAILS = Path(__file__).parent / "mails"
FOUR_FAMILIES = re.compile(r"^[A-Za-z]+:(EC2|IAMUser|S3|Kubernetes)/")
# Each line of a mail that no finding may add: a label of ours, a heading, a step, a fact of an unknown type.
LABELS = {
    *re.findall(r'\$(?:line|process_line|parents|volume)\("([^"]+)"', MAIL),
    *("Connected from", "Login from"),
    *(f"More {entries}" for entries in re.findall(r'},"([a-z ]+)"\)', MAIL)),
}
LINKS = ["Finding", "About the type", "Runbook", "Its traffic", "Dashboard"]


def changed(name: str, **service: Any) -> Event:
    """An example, other in some members of its service."""
    detail = EXAMPLES[name]["detail"]
    return {**EXAMPLES[name], "detail": {**detail, "service": {**detail["service"], **service}}}


def links(mail: FormattedMail) -> dict[str, str]:
    """The links by label."""
    return dict(line.split(": ", maxsplit=1) for line in mail.message.split("== Links ==\n")[1].split("\n"))


def steps(mail: FormattedMail) -> list[str]:
    """The first steps."""
    text = mail.message.split("== First steps ==\n")[1].split("\n== Links ==")[0]
    return re.split(r"\n(?=\d\. )", text)


# -- how mails look ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_mail_is_the_committed_one(name: str, request: pytest.FixtureRequest) -> None:
    mail = render(MAIL, EXAMPLES[name])
    text = f"Subject: {mail.subject}\n\n{mail.message}\n"
    if request.config.getoption("--record"):
        (MAILS / f"{name}.txt").write_text(text, encoding="utf-8")
    assert text == (MAILS / f"{name}.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_findings_become_complete_mails(name: str) -> None:
    mail = render(MAIL, recorded(name))
    assert_well_formed(mail)
    assert mail.message.startswith("SAMPLE, not a real finding. ") == (mail.attributes["sample"] == "true")


@pytest.mark.parametrize(
    "name", [name for name, item in EXAMPLES.items() if FOUR_FAMILIES.match(item["detail"]["type"])]
)
def test_a_common_family_needs_at_most_25_lines_before_the_links(name: str) -> None:
    assert len(render(MAIL, EXAMPLES[name]).message.split("== Links ==")[0].strip().split("\n")) <= 25


def test_many_interfaces_and_probes_fit_as_well() -> None:
    interfaces = INSTANCE["networkInterfaces"] * 4
    resource = {"resourceType": "Instance", "instanceDetails": {**INSTANCE, "networkInterfaces": interfaces}}
    probes = [
        {"localPortDetails": {"port": port}, "remoteIpDetails": {"ipAddressV4": "198.51.100.7"}} for port in range(1, 9)
    ]
    evidence = {"threatIntelligenceDetails": [{"threatListName": "Amazon"}]}
    service = {"action": {"portProbeAction": {"portProbeDetails": probes}}, "evidence": evidence, "archived": True}
    item = event("Recon:EC2/PortProbeUnprotectedPort", 2, "Probed.", resource, service, description="Ports are probed.")
    message = render(MAIL, item).message
    assert "\nProbe: port 4 from 198.51.100.7\nMore probes: 4\n" in message
    assert len(message.split("== Links ==")[0].strip().split("\n")) <= 25


# -- what the mail says ------------------------------------------------------------------------------------------------


def at(path: str, value: Any) -> Any:
    """A document that holds a value at a path such as ``networkInterfaces[].publicIp``, and nothing else."""
    for name in reversed(path.split(".")):
        value = {name.removesuffix("[]"): [value] if name.endswith("[]") else value}
    return value


def merged(documents: list[Any]) -> Any:
    """One document that holds what all of them hold."""
    if isinstance(documents[0], dict):
        names = dict.fromkeys(name for document in documents for name in document)
        return {name: merged([document[name] for document in documents if name in document]) for name in names}
    if isinstance(documents[0], list) and isinstance(documents[0][0], dict):
        return [merged([document[0] for document in documents])]
    return documents[0]


def shown_paths() -> list[tuple[str, Any, str]]:
    """Path, value and text in the mail, of each fact that a mail has to show if the finding has it."""
    rows = (Path(__file__).parent / "mail_paths.txt").read_text(encoding="utf-8").splitlines()
    split = [row.split(" | ") for row in rows if row and not row.startswith("#")]
    return [(path, json.loads(value), text[0] if text else str(json.loads(value))) for path, value, *text in split]


def test_every_fact_that_is_worth_saying_is_said() -> None:
    base = {"type": "Recon:EC2/Portscan", "severity": 5, "accountId": ACCOUNT, "region": REGION}
    whole = merged([base, *(at(path, value) for path, value, _ in shown_paths())])
    message = render(MAIL, {"detail": whole}).message
    assert [path for path, _, text in shown_paths() if text not in message] == []


@pytest.mark.parametrize(("path", "value", "text"), shown_paths()[::9])
def test_a_fact_is_said_whatever_else_is_missing(path: str, value: Any, text: str) -> None:
    assert text in render(MAIL, {"detail": at(path, value)}).message


def test_a_type_that_nobody_knows_gets_every_scalar_of_its_resource_and_action() -> None:
    message = render(MAIL, EXAMPLES["unknown_type"]).message
    assert "- quantumTaskDetails.device.qubits: 25" in message
    assert "- quantumCallAction.allowed: true" in message


def test_a_new_member_of_a_known_type_is_said_as_it_is() -> None:
    message = render(MAIL, changed("rds_login", brandNewDetails={"verdict": "odd"})).message
    assert "\n== More ==\n- brandNewDetails.verdict: odd\n" in message


def test_only_the_resource_that_the_finding_is_about_comes_first() -> None:
    resource = {**EXAMPLES["s3_public"]["detail"]["resource"], "instanceDetails": INSTANCE}
    item = event("Policy:S3/BucketAnonymousAccessGranted", 8, "t", resource, {})
    mail = render(MAIL, item)
    assert mail.subject == "[HIGH] Policy:S3/BucketAnonymousAccessGranted customer-data in prod eu-west-1"
    assert mail.message.index("Bucket: ") < mail.message.index("Principal: ") < mail.message.index("Instance: ")
    assert mail.message.count("Network: ") == 1
    assert "Its traffic" not in links(mail)


def test_a_description_that_says_no_more_than_the_title_is_left_out() -> None:
    item = event("Recon:EC2/Portscan", 5, "A port scan.", {}, {}, description="A port scan.")
    assert "Description" not in render(MAIL, item).message


@pytest.mark.parametrize(
    ("first", "last", "count", "seen"),
    [
        ("2026-09-14T09:31:02.000Z", "2026-09-14T09:44:57.000Z", 3, "2026-09-14 09:31-09:44 UTC, 3 times"),
        ("2026-09-14T09:31:02Z", "2026-09-14T09:31:57Z", 1, "2026-09-14 09:31 UTC"),
        ("2026-09-12T09:31:02Z", "2026-09-14T09:44:57Z", 1, "2026-09-12 09:31 to 2026-09-14 09:44 UTC"),
        ("2024-02-29T09:31:02Z", "yesterday", 1, "2024-02-29 09:31 UTC"),
        ("some time ago", "yesterday", 1, "some time ago"),
    ],
)
def test_times_are_short(first: str, last: str, count: int, seen: str) -> None:
    item = changed("ec2_portscan", eventFirstSeen=first, eventLastSeen=last, count=count)
    assert f"\nSeen: {seen}\n" in render(MAIL, item).message


def test_signals_stand_in_the_order_in_which_they_happened() -> None:
    detection = EXAMPLES["attack_sequence"]["detail"]["service"]["detection"]
    backwards = {"sequence": {**detection["sequence"], "signals": detection["sequence"]["signals"][::-1]}}
    mail = render(MAIL, changed("attack_sequence", detection=backwards))
    assert mail == render(MAIL, EXAMPLES["attack_sequence"])
    assert re.findall(r"\n- (\d\d:\d\d) ", mail.message) == ["09:31", "09:33", "09:34", "09:44"]


def test_long_lists_end_in_a_count() -> None:
    interfaces = [{"networkInterfaceId": f"eni-{number}"} for number in range(9)]
    resource = {"resourceType": "Instance", "instanceDetails": {**INSTANCE, "networkInterfaces": interfaces}}
    message = render(MAIL, event("Recon:EC2/Portscan", 5, "t", resource, {})).message
    assert "\nNetwork: eni-3\nMore network interfaces: 5\n" in message


# -- first steps -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("ec2_portscan", "--network-interface-id eni-0123456789abcdef0 --groups ISOLATION_GROUP"),
        ("iam_anomalous", "update-access-key --user-name alice --access-key-id AKIAEXAMPLEEXAMPLE00 --status Inactive"),
        ("s3_anomalous", "Revoke the sessions of role etl"),
        ("s3_public", "put-public-access-block --bucket customer-data"),
        ("kubernetes_admin", "kubectl delete clusterrolebinding default-admin"),
        ("ecs_malware", "stop-task --region eu-west-1 --cluster shop"),
        ("lambda_command_and_control", "--function-name resize --reserved-concurrent-executions 0"),
        ("attack_sequence", "update-access-key --user-name john_doe --access-key-id AKIAEXAMPLEEXAMPLE01"),
    ],
)
def test_the_ids_of_the_finding_are_filled_in(name: str, command: str) -> None:
    assert command in "\n".join(steps(render(MAIL, EXAMPLES[name])))


@pytest.mark.parametrize(
    ("finding_type", "step"),
    [
        ("Stealth:IAMUser/CloudTrailLoggingDisabled", "(aws cloudtrail start-logging --name audit) or create it again"),
        ("DefenseEvasion:IAMUser/BedrockLoggingDisabled", "Switch the model invocation logging on again"),
        ("Stealth:S3/ServerAccessLoggingDisabled", "Switch the server access logging of customer-data on again"),
        ("Stealth:IAMUser/PasswordPolicyChange", "aws iam update-account-password-policy"),
    ],
)
def test_what_was_switched_off_is_switched_on_again(finding_type: str, step: str) -> None:
    trail = {"AWS::CloudTrail::Trail": f"arn:aws:cloudtrail:{REGION}:{ACCOUNT}:trail/audit"}
    call = api_call("cloudtrail", "StopLogging", {}, affectedResources=trail)
    resource = EXAMPLES["s3_public"]["detail"]["resource"]
    assert step in steps(render(MAIL, event(finding_type, 2, "t", resource, {"action": call})))[2]


def test_the_instance_whose_credentials_were_stolen_is_named_by_their_session() -> None:
    key = {"userType": "AssumedRole", "userName": "app", "principalId": "AROAEXAMPLE:i-0abcd1234ef567890"}
    finding_type = "UnauthorizedAccess:IAMUser/InstanceCredentialExfiltration.OutsideAWS"
    item = event(finding_type, 8, "t", {"resourceType": "AccessKey", "accessKeyDetails": key}, {})
    assert steps(render(MAIL, item))[1].startswith(
        "2. Isolate the instance it belongs to: i-0abcd1234ef567890. Revoke the sessions of role app"
    )


@pytest.mark.parametrize("name", ["$(reboot)", "a;b", "--all", "a b", "a\nb", "`id`", "a'b", "x" * 400])
def test_what_a_shell_could_take_for_more_never_gets_into_a_command(name: str) -> None:
    detail = EXAMPLES["iam_anomalous"]["detail"]
    key = {**detail["resource"]["accessKeyDetails"], "userName": name}
    item = event(detail["type"], 8, "t", {"resourceType": "AccessKey", "accessKeyDetails": key}, {})
    assert "--user-name USER --access-key-id AKIAEXAMPLEEXAMPLE00" in steps(render(MAIL, item))[1]


# -- subject and attributes --------------------------------------------------------------------------------------------


def test_a_subject_drops_what_matters_least_first() -> None:
    long_type = "Persistence:Kubernetes/AnomalousBehavior.WorkloadDeployed!ContainerWithSensitiveMount"

    def subject(finding_type: str, name: str) -> str | None:
        tags = [{"key": "Name", "value": name}]
        resource = {"resourceType": "Instance", "instanceDetails": {"instanceId": "i-1", "tags": tags}}
        return render(MAIL, event(finding_type, 5, "t", resource, {"count": 12})).subject

    assert subject("Recon:EC2/Portscan", "web-1") == "[MEDIUM] Recon:EC2/Portscan (12x) web-1 in prod eu-west-1"
    assert subject("Recon:EC2/Portscan", "w" * 52) == f"[MEDIUM] Recon:EC2/Portscan (12x) {'w' * 52} in prod"
    assert subject("Recon:EC2/Portscan", "w" * 70) == f"[MEDIUM] Recon:EC2/Portscan (12x) {'w' * 55}... in prod"
    assert subject(long_type, "web-1") == f"[MEDIUM] {long_type} (12x)"


def test_a_foreign_account_is_named_by_its_id() -> None:
    item = {**EXAMPLES["rds_login"], "detail": {**EXAMPLES["rds_login"]["detail"], "accountId": "999988887777"}}
    mail = render(MAIL, item)
    assert "\nAccount: 999988887777, eu-west-1\n" in mail.message
    assert mail.subject is not None
    assert " in 999988887777" in mail.subject


@pytest.mark.parametrize(
    ("severity", "word", "number"),
    [(3.99, "LOW", "3.9"), (4, "MEDIUM", "4.0"), (6.95, "MEDIUM", "6.9"), (8.9, "HIGH", "8.9"), (9, "CRITICAL", "9.0")],
)
def test_the_severity_is_never_rounded_into_another_band(severity: float, word: str, number: str) -> None:
    attributes = render(MAIL, event("Recon:EC2/Portscan", severity, "t", {}, {})).attributes
    assert (attributes["severityName"], attributes["severity"]) == (word, number)


def test_punctuation_is_plain() -> None:
    item = event("Recon:EC2/Portscan", 5, "It\u2019s \u201codd\u201d \u2013 in Z\u00fcrich\u2026", {}, {})
    assert render(MAIL, item).message.startswith('It\'s "odd" - in Z\u00fcrich...\n')


@pytest.mark.parametrize("severity", [None, "high", [], {}])
def test_a_finding_without_a_severity_passes_every_minimum(severity: Any) -> None:
    mail = render(MAIL, event("Recon:EC2/Portscan", severity, "t", {}, {}))
    assert (mail.attributes["severityName"], mail.attributes["severity"]) == ("UNKNOWN", "10.0")


def test_a_sample_is_known_by_its_member_and_by_the_text_of_the_api() -> None:
    for information in [{"sample": True}, {"sample": "true"}, {"value": '{"sample": true}'}]:
        mail = render(MAIL, changed("ec2_portscan", additionalInfo=information))
        assert mail.attributes["sample"] == "true"
        assert str(mail.subject).startswith("[MEDIUM] SAMPLE Recon:EC2/Portscan")
    assert render(MAIL, changed("ec2_portscan", additionalInfo={"sample": False})).attributes["sample"] == "false"


# -- links -------------------------------------------------------------------------------------------------------------


def test_the_most_specific_runbook_wins() -> None:
    def runbook(finding_type: str) -> str:
        return links(render(MAIL, event(finding_type, 5, "t", {}, {})))["Runbook"]

    assert runbook("Recon:EC2/Portscan") == "https://wiki.example.com/portscan"
    assert runbook("Recon:EC2/PortProbeUnprotectedPort") == "https://wiki.example.com/recon"
    assert runbook("Trojan:EC2/DropPoint") == "https://wiki.example.com/any"


def test_the_traffic_is_shown_from_ten_minutes_before_to_ten_minutes_after() -> None:
    address = links(render(MAIL, EXAMPLES["ec2_portscan"]))["Its traffic"]
    assert "end~$25272026-09-14T09:54:57.000Z~start~$25272026-09-14T09:21:02.000Z~" in address
    assert "eni-0123456789abcdef0" in address


def test_the_link_to_the_traffic_is_short() -> None:
    assert len(links(render(MAIL, EXAMPLES["ec2_portscan"]))["Its traffic"]) < 800


def test_the_traffic_of_a_long_finding_is_that_of_its_last_day() -> None:
    item = changed("ec2_portscan", eventFirstSeen="2026-09-01T09:31:02Z")
    assert (
        "end~$25272026-09-14T09:54:57.000Z~start~$25272026-09-13T09:54:57.000Z~"
        in links(render(MAIL, item))["Its traffic"]
    )


@pytest.mark.parametrize("name", ["iam_anomalous", "s3_public", "kubernetes_exec", "lambda_command_and_control"])
def test_there_is_no_link_to_traffic_without_an_interface(name: str) -> None:
    assert "Its traffic" not in links(render(MAIL, EXAMPLES[name]))


def test_there_is_no_link_to_the_traffic_of_another_account_or_region() -> None:
    for place in [{"accountId": "999988887777"}, {"region": "us-east-1"}]:
        item = {**EXAMPLES["ec2_portscan"], "detail": {**EXAMPLES["ec2_portscan"]["detail"], **place}}
        assert "Its traffic" not in links(render(MAIL, item))


def test_a_stack_without_flow_logs_dashboard_and_runbooks_links_to_the_finding_and_its_type() -> None:
    plain = formatter(MailOptions(ACCOUNT, "us-gov-west-1", "aws-us-gov"))
    finding_id = EXAMPLES["ec2_portscan"]["detail"]["id"]
    assert links(render(plain, EXAMPLES["ec2_portscan"])) == {
        "Finding": console_urls.finding("aws-us-gov", REGION, finding_id),
        "About the type": console_urls.finding_type("Recon:EC2/Portscan"),
    }


# -- findings of other makes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("detail", [None, "text", 5, [], [{"type": "Recon:EC2/Portscan"}]])
def test_an_event_without_a_finding_is_left_to_the_plain_mail(detail: Any) -> None:
    for item in [{}, {"detail": detail}]:
        with pytest.raises(FormattingError, match="the event has no finding"):
            render(MAIL, item)


def test_a_sequence_that_comes_without_its_signals_lists_what_its_description_lists() -> None:
    description = (
        "4 signals of IAMUser/john_doe\nbetween eventFirstSeen and eventLastSeen with:\n  - 2 tactics\n  - Tor\n"
    )
    title = "Potential credential compromise of IAMUser/john_doe"
    item = event(
        "AttackSequence:IAM/CompromisedCredentials",
        9,
        title,
        {"resourceType": "AttackSequence"},
        {},
        description=description,
    )
    mail = render(MAIL, item)
    assert "\nDescription: 4 signals of IAMUser/john_doe with:\n- 2 tactics\n- Tor\n== First" in mail.message
    assert mail.subject == "[CRITICAL] AttackSequence:IAM/CompromisedCredentials john_doe in prod eu-west-1"
    assert (
        "aws iam attach-user-policy --user-name john_doe --policy-arn arn:aws:iam::aws:policy/AWSDenyAll"
        in steps(mail)[1]
    )


def test_members_of_a_finding_that_nobody_knows_are_said_as_they_are() -> None:
    item = {"detail": {"type": "Recon:EC2/Portscan", "service": {}, "finding": {"action": {"domain": "a.example.net"}}}}
    assert "\n- finding.action.domain: a.example.net\n" in render(MAIL, item).message


def test_a_finding_of_the_first_years_becomes_the_same_mail() -> None:
    detail = dict(EXAMPLES["ec2_portscan"]["detail"])
    detail["finding"] = detail.pop("service")
    assert render(MAIL, {**EXAMPLES["ec2_portscan"], "detail": detail}) == render(MAIL, EXAMPLES["ec2_portscan"])


def test_a_shortened_event_says_so_and_a_whole_one_does_not() -> None:
    said = "\nShortened: the whole event is too large to be sent. GuardDuty has all of it (link below).\n"
    assert said in render(MAIL, {**changed("ec2_portscan"), "shortened": True}).message
    assert "Shortened" not in render(MAIL, changed("ec2_portscan")).message


def test_threat_lists_that_say_the_same_are_said_together() -> None:
    said = [("One", ["Bot"]), ("Two", ["Bot"]), ("Three", []), ("Four", ["Miner", "Bot"])]
    threats = [{"threatListName": name, "threatNames": names} for name, names in said]
    message = render(MAIL, changed("ec2_portscan", evidence={"threatIntelligenceDetails": threats})).message
    assert "\nThreat list: One, Two (Bot), Three, Four (Miner, Bot)\n" in message


def test_what_is_unusual_for_several_is_said_once() -> None:
    behavior = {
        "unusualAPIsAccountProfiling": "CreateUser , DeleteTrail",
        "unusualAPIsUserIdentityProfiling": "CreateUser , DeleteTrail",
        "unusualBucketsUserIdentityProfiling": "logs",
    }
    message = render(MAIL, changed("iam_anomalous", additionalInfo={"unusualBehavior": behavior})).message
    assert "\nUnusual: APIs (account, user) CreateUser, DeleteTrail; buckets (user) logs\n" in message


def test_an_attack_on_a_cluster_is_named_by_it_and_isolates_what_it_names() -> None:
    sequence = EXAMPLES["attack_sequence"]["detail"]["service"]["detection"]["sequence"]
    cluster = {
        "resourceType": "EKS_CLUSTER",
        "name": "shop",
        "data": {"eksCluster": {"arn": "arn:x", "vpcId": "vpc-1"}},
    }
    resources = [{"resourceType": "ACCESS_KEY", "name": "AKIA1"}, cluster]
    service = {"detection": {"sequence": {**sequence, "resources": resources}}}
    mail = render(MAIL, event("AttackSequence:EKS/CompromisedCluster", 9, "t", {}, service))
    assert mail.subject == "[CRITICAL] AttackSequence:EKS/CompromisedCluster shop in prod eu-west-1"
    assert steps(mail)[1].startswith(
        "2. Isolate the workloads and instances named above; they are evidence. Stop john_doe"
    )
    assert "\nResource: EKS_CLUSTER shop, vpc id vpc-1\n" in mail.message


def test_the_person_behind_a_role_of_identity_center_is_asked_and_stopped() -> None:
    key = {"userType": "AssumedRole", "userName": "AWSReservedSSO_Admin_01", "principalId": "AROA1:bob@example.com"}
    item = event(
        "Discovery:IAMUser/AnomalousBehavior", 5, "t", {"accessKeyDetails": {**key, "accessKeyId": "ASIA1"}}, {}
    )
    first_steps = steps(render(MAIL, item))
    assert first_steps[0].startswith("1. Ask bob@example.com (role AWSReservedSSO_Admin_01) or its owner: ")
    assert first_steps[1].startswith("2. Disable the person in IAM Identity Center.")


def test_a_file_of_a_scanned_object_is_said_once() -> None:
    digest = "275a021bbfb6489e54d471899f7db9d1663fc695ec2fe2a2c4538aabf651fd0f"
    bucket = {"name": "uploads", "s3ObjectDetails": [{"key": "in/a.exe", "hash": digest}]}
    threat = {"name": "EICAR-Test-File", "source": "BITDEFENDER", "itemPaths": [{"nestedItemPath": "", "hash": digest}]}
    resource = {"resourceType": "S3Object", "s3BucketDetails": [bucket]}
    message = render(
        MAIL, event("Object:S3/MaliciousFile", 8, "t", resource, {"malwareScanDetails": {"threats": [threat]}})
    ).message
    assert f"\nObject: in/a.exe, SHA-256 {digest}\nMalware: EICAR-Test-File (BITDEFENDER)\n" in message


@pytest.mark.parametrize("archived", [True, "true"])
def test_an_archived_finding_says_so_wherever_it_says_it(archived: Any) -> None:
    said = "\nArchived: a person or a suppression rule has put this finding away.\n"
    item = EXAMPLES["ec2_portscan"]
    assert said in render(MAIL, changed("ec2_portscan", archived=archived)).message
    assert said in render(MAIL, {**item, "detail": {**item["detail"], "archived": archived}}).message
    assert said not in render(MAIL, item).message


def test_an_unknown_network_is_not_said() -> None:
    behavior = {"unusualASNsAccountProfiling": "asnNumber: -1 asnOrg: Example", "isUnusualUserIdentity": False}
    remote = {"ipAddressV4": "198.51.100.7", "organization": {"asn": "-1", "asnOrg": "Example"}}
    item = changed(
        "iam_anomalous", additionalInfo={"unusualBehavior": behavior}, action=api_call("ec2", "Call", remote)
    )
    message = render(MAIL, item).message
    assert "Called from: 198.51.100.7 (Example)\n" in message
    assert "\nUnusual: ASNs (account) Example\n" in message


@pytest.mark.parametrize(
    ("direction", "step"), [("INBOUND", "1. Must web-1 be reachable"), ("OUTBOUND", "1. Is this expected of web-1")]
)
def test_only_what_comes_in_is_kept_out(direction: str, step: str) -> None:
    """Samples of AWS name every instance the target."""
    action = {"networkConnectionAction": {"connectionDirection": direction, "localPortDetails": {"port": 22}}}
    assert steps(render(MAIL, changed("ec2_portscan", resourceRole="TARGET", action=action)))[0].startswith(step)


def test_nobody_asks_the_anonymous_principal() -> None:
    anonymous = {"userType": "AWSAccount", "userName": "ANONYMOUS_PRINCIPAL", "accessKeyId": "", "principalId": ""}
    resource = {**EXAMPLES["s3_public"]["detail"]["resource"], "accessKeyDetails": anonymous}
    first_steps = steps(render(MAIL, event("Discovery:S3/AnomalousBehavior", 5, "t", resource, {})))
    assert first_steps[0].startswith("1. Is customer-data meant to be public?")
    assert "put-public-access-block --bucket customer-data" in first_steps[1]


@pytest.mark.parametrize(
    ("user_type", "key", "step"),
    [
        ("Root", "AKIA1", "Change the root user's password"),
        ("IAMUser", "AKIA1", "update-access-key --user-name alice --access-key-id AKIA1 --status Inactive"),
        ("IAMUser", "ASIA1", "attach-user-policy --user-name alice --policy-arn arn:aws:iam::aws:policy/AWSDenyAll"),
        ("AssumedRole", "ASIA1", "Revoke the sessions of role alice"),
        ("AWSAccount", "ASIA1", "deny alice in the policies that let it in"),
    ],
)
def test_each_kind_of_principal_is_stopped_in_its_own_way(user_type: str, key: str, step: str) -> None:
    details = {"userType": user_type, "userName": "alice", "accessKeyId": key}
    item = event("Discovery:IAMUser/AnomalousBehavior", 5, "t", {"accessKeyDetails": details}, {})
    assert step in steps(render(MAIL, item))[1]


@pytest.mark.parametrize(
    ("finding_type", "step"),
    [
        ("Discovery:RDS/TorIPCaller", "1. Must orders be reachable from the internet?"),
        ("CredentialAccess:RDS/TorIPCaller.FailedLogin", "1. Is it an application of yours with an old password?"),
        ("CredentialAccess:RDS/TorIPCaller.SuccessfulLogin", "1. Was it report who logged in to orders from"),
    ],
)
def test_a_probe_a_failed_login_and_a_login_are_different_matters(finding_type: str, step: str) -> None:
    item = changed("rds_login")
    mail = render(MAIL, {**item, "detail": {**item["detail"], "type": finding_type}})
    assert steps(mail)[0].startswith(step)


# -- hostile findings --------------------------------------------------------------------------------------------------


def assert_well_formed(mail: FormattedMail) -> None:
    """Check what SNS demands, and that each line is one of ours."""
    assert mail.subject is not None
    assert re.fullmatch(r"\[[A-Z]+\] [ -~]{1,95}", mail.subject)
    assert len(mail.subject) <= 100
    assert len(mail.message.encode()) < 60_000
    assert re.fullmatch(r"[0-9]+\.[0-9]", mail.attributes["severity"])
    assert all(re.fullmatch(r"[ -~]{1,200}", value) for value in mail.attributes.values())
    facts, rest = mail.message.split("\n== First steps ==\n")
    first_steps, addresses = rest.split("\n== Links ==\n")
    title, *lines = facts.split("\n")
    assert title.strip()
    assert title.split(":")[0] not in {*LABELS, *LINKS}
    for line in lines:
        assert re.match(r"Archived: a person|- \S|== More ==$", line) or line.split(": ")[0] in LABELS, line
        assert re.search(r"[:\-=] *\S", line), line
    step_lines = [line for line in first_steps.split("\n") if not re.match(r"   (aws|kubectl) ", line)]
    assert [line[:3] for line in step_lines] == ["1. ", "2. ", "3. "]
    assert all(re.match(rf"({'|'.join(LINKS)}): https://[!-~]+$", line) for line in addresses.split("\n"))
    assert not re.search(
        r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202f\u2060-\u206f\ud800-\uffff]", mail.message
    )


def test_each_type_gets_a_well_formed_mail_with_three_first_steps() -> None:
    for item in whole_findings():
        assert_well_formed(render(MAIL, item))


def test_no_hostile_finding_fails_or_adds_a_line() -> None:
    for item in hostile_findings(seed=1, count=40):
        assert_well_formed(render(MAIL, item))


def test_a_very_long_text_is_cut() -> None:
    long = {"title": "x" * 200_000, "description": "y" * 200_000}
    message = render(MAIL, {"detail": {**EXAMPLES["ec2_portscan"]["detail"], **long}}).message
    assert len(message) < 10_000
    assert "x..." in message


@pytest.mark.parametrize(
    "title", ["Finding: https://evil.example", "== Links ==", "1. do this", "SAMPLE, not a real finding."]
)
def test_a_title_that_looks_like_a_line_of_ours_is_quoted(title: str) -> None:
    assert render(MAIL, event("Recon:EC2/Portscan", 5, title, {}, {})).message.startswith(f'"{title}"\n')


def test_values_of_the_stack_are_data() -> None:
    odd = '"}; $error("x"); /* %} \\ '
    options = MailOptions(ACCOUNT, REGION, "aws", {ACCOUNT: odd}, GROUP, "d", {"*": f"https://wiki.example.com/{odd}"})
    expression = formatter(options)
    assert "%}" not in expression
    assert r'"}; $error("x"); /* %} \ (' not in expression
    assert f"Account: {ACCOUNT} ({odd.strip()})" in render(expression, EXAMPLES["rds_login"]).message


# -- chat --------------------------------------------------------------------------------------------------------------


def test_the_chat_notification_says_what_the_mail_says() -> None:
    mail = render(MAIL, EXAMPLES["ec2_portscan"])
    notification = render(CHAT, EXAMPLES["ec2_portscan"])
    document = json.loads(notification.message)
    assert notification.subject is None
    assert notification.attributes == mail.attributes
    assert document["content"]["title"] == mail.subject
    assert document["content"]["description"].startswith(
        "```\n" + mail.message.split("\n== First")[0] + "\n```\n[Finding](https://"
    )
    assert document["content"]["nextSteps"] == [step.replace("\n   ", " ") for step in steps(mail)]
    assert document["metadata"]["threadId"] == EXAMPLES["ec2_portscan"]["detail"]["id"]


def test_a_parenthesis_in_an_address_does_not_end_a_link_in_chat() -> None:
    options = MailOptions(ACCOUNT, REGION, "aws", runbooks={"*": "https://wiki.example.com/a_(b)?c=(d)"})
    document = json.loads(render(chat(options), EXAMPLES["ec2_portscan"]).message)
    assert "[Runbook](https://wiki.example.com/a_%28b%29?c=%28d%29)" in document["content"]["description"]


def test_no_hostile_finding_breaks_the_limits_of_chat_or_its_code_block() -> None:
    for item in hostile_findings(seed=2, count=10):
        content = json.loads(render(CHAT, item).message)["content"]
        assert 0 < len(content["title"]) <= 250
        assert len(content["description"]) <= 8000
        assert content["description"].count("`") == 6
        assert all(0 < len(step) <= 350 for step in content["nextSteps"])
        assert all(0 < len(keyword) <= 75 for keyword in content["keywords"])
        assert not re.search(r"[<>`]", content["title"] + "".join(content["nextSteps"]))
