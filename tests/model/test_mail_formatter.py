import json
import re
from pathlib import Path
from typing import Any

import pytest
from examples import ACCOUNT, REGION
from findings import RECORDED, Event, recorded
from mail_examples import ALIAS, EXAMPLES, INSTANCE, event
from mail_findings import hostile_findings, whole_findings

from threatmon.evaluation.mail import FormattedMail, render
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
    *(
        "AMI; API call; API calls; Account; Actor; Affected; Also; Bucket; Called from; Changed by; Connected from; "
        "Connection; Container; Context; DNS request; Database; Database user; Description; ECS cluster; "
        "EKS cluster; Endpoint; Function; Guardrail; Image; Indicator; Instance; Kubernetes call; Kubernetes user; "
        "Login from; Logins; Malware; Models; Network; Object; Parents; Parents of that; Part of; Permission; "
        "Ports scanned; Principal; Probe; Process; Recovery point; Resource; Role; Role binding; Rule; Scan; Seen; "
        "Shard group; Signals; Snapshot; Tags; Target process; Task; Threat list; Unusual; User agent; Usual; "
        "Volume; Volume not scanned; Workload; Worst threat"
    ).split("; "),
    *(
        f"More {name}"
        for name in (
            "actors",
            "buckets",
            "containers",
            "endpoints",
            "indicators",
            "logins",
            "network interfaces",
            "objects",
            "probes",
            "resources",
            "signals",
            "threats",
            "values",
            "volumes",
        )
    ),
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
    return mail.message.split("== First steps ==\n")[1].split("\n== Links ==")[0].split("\n")


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
    assert "Network: " not in mail.message
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
    assert "\nNetwork: eni-2\nMore network interfaces: 6\n" in message


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
    assert [step[:3] for step in first_steps.split("\n")] == ["1. ", "2. ", "3. "]
    assert all(re.match(rf"({'|'.join(LINKS)}): https://[!-~]+$", line) for line in addresses.split("\n"))
    assert not re.search(
        r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202f\u2060-\u206f\ud800-\uffff]", mail.message
    )


def test_each_type_gets_a_well_formed_mail_with_three_first_steps() -> None:
    for item in whole_findings():
        assert_well_formed(render(MAIL, item))


def test_no_hostile_finding_fails_or_adds_a_line() -> None:
    for item in hostile_findings(seed=1, count=100):
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
    assert document["content"]["nextSteps"] == steps(mail)
    assert document["metadata"]["threadId"] == EXAMPLES["ec2_portscan"]["detail"]["id"]


def test_no_hostile_finding_breaks_the_limits_of_chat_or_its_code_block() -> None:
    for item in hostile_findings(seed=2, count=30):
        content = json.loads(render(CHAT, item).message)["content"]
        assert 0 < len(content["title"]) <= 250
        assert len(content["description"]) <= 8000
        assert content["description"].count("`") == 6
        assert all(0 < len(step) <= 350 for step in content["nextSteps"])
        assert all(0 < len(keyword) <= 75 for keyword in content["keywords"])
        assert not re.search(r"[<>`]", content["title"] + "".join(content["nextSteps"]))
