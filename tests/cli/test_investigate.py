import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import RunCommand
from examples import ACCOUNT, DETECTOR_ID, OTHER_ACCOUNT, REGION
from findings import finding_shape, recorded
from scripted_account import ScriptedAccount

from threatmon.cli import investigate
from threatmon.emulator.account import EmulatedAccount
from threatmon.project import ROOT as PROJECT_ROOT

Json = dict[str, Any]
OTHER = "2" * 32
LOG_GROUP = "/threat-monitor/dev/flow-logs"
SCAN = recorded("ec2_portscan")
OWN = SCAN["detail"]["id"]
ANYONE = [{"CidrIp": "0.0.0.0/0"}]


class Incident:
    """An account with an instance that is open to the world and scans another one, and recorded answers about it.

    moto knows no findings, neither counts nor parses records in Logs Insights, and cannot stop a query.
    """

    def __init__(self, account: EmulatedAccount) -> None:
        self.account = account
        self.scripted = ScriptedAccount(account)
        self._build()

    def begin(self) -> None:
        """Make the account what it is before a test."""
        self.stopped: list[str] = []
        self.status = "Complete"
        self.rows = ROWS
        self.findings = {
            OWN: self.finding(OWN),
            OTHER: self.finding(OTHER, Type="UnauthorizedAccess:EC2/SSHBruteForce", Severity=8),
        }
        self.scripted.calls.clear()
        self.scripted.answer("guardduty:ListFindings", lambda _: {"FindingIds": list(self.findings)})
        self.scripted.answer("guardduty:GetFindings", self._get_findings)
        self.scripted.answer("logs:GetQueryResults", self._results)
        self.scripted.answer("logs:StopQuery", self._stop)
        logs = self.account.backend("logs")
        logs.queries.clear()
        if LOG_GROUP not in logs.groups:
            self.account.client("logs").create_log_group(logGroupName=LOG_GROUP)
        self.account.seed_detector(DETECTOR_ID)

    def _build(self) -> None:
        ec2, elbv2, elb, iam = (self.account.client(name) for name in ("ec2", "elbv2", "elb", "iam"))
        vpc = ec2.create_vpc(CidrBlock="10.20.0.0/16")["Vpc"]["VpcId"]
        subnets = [
            ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.20.{n}.0/24", AvailabilityZone=f"eu-west-1{zone}")["Subnet"]
            for n, zone in ((1, "a"), (2, "b"))
        ]
        subnet_ids = [subnet["SubnetId"] for subnet in subnets]
        gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
        (table,) = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["RouteTables"]
        ec2.create_route(RouteTableId=table["RouteTableId"], DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
        created = ec2.create_managed_prefix_list(
            PrefixListName="office", MaxEntries=2, AddressFamily="IPv4", Entries=[{"Cidr": "198.51.100.0/24"}]
        )
        office = {"PrefixListId": created["PrefixList"]["PrefixListId"]}
        app = ec2.create_security_group(GroupName="app", Description="app", VpcId=vpc)["GroupId"]
        ec2.authorize_security_group_ingress(
            GroupId=app,
            IpPermissions=[
                {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": ANYONE},
                {"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432, "PrefixListIds": [office]},
            ],
        )
        web = ec2.create_security_group(GroupName="web", Description="web", VpcId=vpc)["GroupId"]
        ec2.authorize_security_group_ingress(
            GroupId=web, IpPermissions=[{"IpProtocol": "tcp", "FromPort": 80, "ToPort": 443, "IpRanges": ANYONE}]
        )
        iam.create_instance_profile(InstanceProfileName="example-app")
        iam.create_role(RoleName="app-role", AssumeRolePolicyDocument="{}")
        iam.add_role_to_instance_profile(InstanceProfileName="example-app", RoleName="app-role")
        interface = {
            "DeviceIndex": 0,
            "SubnetId": subnet_ids[0],
            "AssociatePublicIpAddress": True,
            "Groups": [app],
            "PrivateIpAddress": "10.20.1.25",
        }
        image = ec2.register_image(Name="example", RootDeviceName="/dev/sda1")
        (instance,) = ec2.run_instances(
            ImageId=image["ImageId"],
            MinCount=1,
            MaxCount=1,
            NetworkInterfaces=[interface],
            IamInstanceProfile={"Name": "example-app"},
            TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "example-app-1"}]}],
        )["Instances"]
        self.instance_id = instance["InstanceId"]
        created = elbv2.create_load_balancer(
            Name="web", Subnets=subnet_ids, SecurityGroups=[web], Scheme="internet-facing"
        )
        group = elbv2.create_target_group(Name="web", Protocol="HTTP", Port=8080, VpcId=vpc)["TargetGroups"][0]
        elbv2.register_targets(TargetGroupArn=group["TargetGroupArn"], Targets=[{"Id": self.instance_id}])
        elbv2.create_listener(
            LoadBalancerArn=created["LoadBalancers"][0]["LoadBalancerArn"],
            Protocol="HTTP",
            Port=80,
            DefaultActions=[{"Type": "forward", "TargetGroupArn": group["TargetGroupArn"]}],
        )
        elb.create_load_balancer(
            LoadBalancerName="old",
            Listeners=[{"Protocol": "tcp", "LoadBalancerPort": 22, "InstancePort": 22}],
            Subnets=subnet_ids[:1],
            SecurityGroups=[app],
        )
        elb.register_instances_with_load_balancer(LoadBalancerName="old", Instances=[{"InstanceId": self.instance_id}])

    def finding(self, finding_id: str, **changes: Any) -> Json:
        """Return a finding on the instance, as GetFindings answers it."""
        detail = json.loads(json.dumps(SCAN["detail"]).replace("i-0abcd1234ef567890", self.instance_id))
        return as_answered(detail, finding_shape()) | {"Id": finding_id} | changes

    def _get_findings(self, asked: Json) -> Json:
        return {"Findings": [self.findings[name] for name in asked["FindingIds"] if name in self.findings]}

    def _results(self, asked: Json) -> Json:
        queries = list(self.account.backend("logs").queries)
        rows = self.rows[list(ROWS)[queries.index(asked["queryId"]) % len(ROWS)]]
        return {
            "status": self.status,
            "statistics": {"bytesScanned": 2e8, "recordsMatched": 1000.0, "recordsScanned": 2e6},
            "results": [[{"field": field, "value": value} for field, value in row.items()] for row in rows],
        }

    def _stop(self, asked: Json) -> Json:
        self.stopped.append(asked["queryId"])
        return {"success": True}

    @property
    def queries(self) -> list[str]:
        """The queries that were started."""
        return [query.query for query in self.account.backend("logs").queries.values()]


_INSIDE, _REMOTE, _INSTANCE = "10.20.2.30", "198.51.100.7", "10.20.1.25"


def row(names: str, *values: str) -> dict[str, str]:
    return dict(zip(names.split(), values, strict=True))


_PORTS = "dstport protocol action flows hosts size"
_PEERS = "srcaddr dstaddr flow_direction flows size"
_REACHED = "dstaddr dstport protocol flows size"
ROWS: Mapping[str, list[dict[str, str]]] = {
    "ports_out": [
        row(_PORTS, "443", "6", "ACCEPT", "120", "3", "2400000"),
        row(_PORTS, "53", "17", "ACCEPT", "40", "1", "5200"),
    ],
    "ports_in": [row(_PORTS, "22", "6", "ACCEPT", "2", "1", "9000")],
    "peers": [
        row(_PEERS, _INSTANCE, _INSIDE, "egress", "2004", "1.2E5"),
        row(_PEERS, _REMOTE, _INSTANCE, "ingress", "9", "700"),
        row(_PEERS, _INSTANCE, _REMOTE, "egress", "9", "4300"),
    ],
    "rejected": [row("srcaddr dstaddr dstport protocol flows", "203.0.113.77", _INSTANCE, "3389", "6", "31")],
    "bursts": [
        row("dstaddr protocol bin(5m) ports packetsSent", _INSIDE, "6", "2026-09-14 09:30:00.000", "998", "1004")
    ],
    "inside": [row(_REACHED, _INSIDE, "5432", "6", "9", "9000"), row(_REACHED, _INSIDE, "22", "6", "3", "4000")],
    "remote": [],
}


def as_answered(node: Any, shape: Any) -> Any:
    """Return a finding under the names of the SDK's model, which GetFindings answers with."""
    if shape.type_name == "structure":
        names = {member.serialization.get("name", key): key for key, member in shape.members.items()}
        return {
            names[key]: as_answered(value, shape.members[names[key]])
            for key, value in node.items()
            if value is not None and key in names
        }
    return [as_answered(entry, shape.member) for entry in node] if shape.type_name == "list" else node


@pytest.fixture(scope="module")
def built() -> Iterator[Incident]:
    with EmulatedAccount(ACCOUNT, REGION) as account:
        yield Incident(account)


@pytest.fixture
def incident(built: Incident, monkeypatch: pytest.MonkeyPatch) -> Iterator[Incident]:
    monkeypatch.setattr("threatmon.aws.session.new_session", lambda _profile, _region: built.scripted.session)
    with built.scripted.answer("sts:GetCallerIdentity", lambda _: None):  # ends what a test scripts further
        built.begin()
        yield built


@pytest.fixture
def command(threatmon: RunCommand) -> RunCommand:
    return lambda *arguments, **given: threatmon("investigate", *arguments, **given)


def document(command: RunCommand, *arguments: str) -> Json:
    code, out, err = command(*arguments, "-o", "json")
    assert (code, err) == (0, "")
    return json.loads(out)


def event_file(folder: Path, detail: Mapping[str, Any]) -> str:
    path = folder / "event.json"
    path.write_text(json.dumps(SCAN | {"detail": detail}), encoding="utf-8")
    return str(path)


# -- what it shows ----------------------------------------------------------------------------------------------------


def test_one_screen_shows_the_finding_the_exposure_the_traffic_and_the_other_findings(
    incident: Incident, command: RunCommand
) -> None:
    code, out, err = command(OWN)
    assert (code, err) == (0, "")
    lines = " ".join(out.split())
    assert out.startswith("Recon:EC2/Portscan\n\nThe finding\n-----------\n")
    for line in (
        "Severity MEDIUM (5)",
        "Seen 2026-09-14 09:31 to 09:44 UTC",
        "Count 3",
        "Reachable from the internet: tcp 22 (SSH), tcp 5432 (PostgreSQL) from 198.51.100.0/24 at",
        "tcp 80 (HTTP) through load balancer web; tcp 22 (SSH) through load balancer old.",
        "Profile example-app (role app-role)",
        "└─> 198.51.100.7 [sent 4.3 kB, received 700 B]",
        "A port scan: 998 tcp ports of 10.20.2.30 in the 5 minutes from 2026-09-14 09:30:00 UTC.",
        "tcp 443 HTTPS ACCEPT 120 3 2.4 MB",
        "udp 53 DNS ACCEPT 40 1 5.2 kB",
        "10.20.2.30 tcp 22 SSH 3 4.0 kB administration 10.20.2.30 tcp 5432 PostgreSQL 9 9.0 kB",
        "203.0.113.77 10.20.1.25 tcp 3389 RDP 31",
        "HIGH UnauthorizedAccess:EC2/SSHBruteForce 2026-09-14 09:44 3 22222222222222222222222222222222",
        "1.4 GB scanned in 7 queries, 7,000 records matched",
        "about USD 0.0070: USD 0.005 per GB scanned (https://aws.amazon.com/cloudwatch/pricing",
        "No records of: the finding's remote address, in the whole log group.",
    ):
        assert line in lines
    assert incident.stopped == []


def test_the_document_holds_the_same_for_a_machine(incident: Incident, command: RunCommand) -> None:
    shown = document(command, OWN)
    assert shown["finding"]["id"] == OWN
    assert shown["instanceId"] == incident.instance_id
    assert shown["exposure"]["reachable"] is True
    assert shown["roleName"] == "app-role"
    assert [finding["id"] for finding in shown["otherFindings"]] == [OTHER]
    seen = shown["traffic"]
    assert seen["bursts"][0]["ports"] == 998
    assert [peer["address"] for peer in seen["peers"]] == ["10.20.2.30", "198.51.100.7"]
    assert seen["bytesScanned"] == 7 * 200_000_000
    assert seen["estimatedCostUsd"] == pytest.approx(0.007)
    assert (shown["failures"], shown["notes"], seen["failures"]) == ({}, [], {})


def test_the_markdown_is_for_a_ticket_with_a_drawing_in_mermaid(incident: Incident, command: RunCommand) -> None:
    code, out, _ = command(OWN, "-o", "markdown")
    assert code == 0
    assert out.startswith("# Recon:EC2/Portscan\n\n## The finding\n")
    assert "\n```mermaid\nflowchart LR\n" in out
    assert f'["{incident.instance_id} (10.20.1.25)"]' in out
    assert "| tcp 443 | HTTPS | ACCEPT | 120 | 3 | 2.4 MB |" in out


@pytest.mark.parametrize(
    ("options", "start", "end"), [([], "08:31:02", "10:44:57"), (["--hours", "5"], "04:31:02", "14:44:57")]
)
def test_the_queries_look_from_an_hour_before_the_finding_to_an_hour_after(
    options: list[str], start: str, end: str, incident: Incident, command: RunCommand
) -> None:
    seen = document(command, OWN, *options)["traffic"]
    assert (seen["start"], seen["end"]) == (f"2026-09-14T{start}+00:00", f"2026-09-14T{end}+00:00")
    assert f'instance_id = "{incident.instance_id}"' in incident.queries[0]


def test_an_instance_without_a_finding_is_looked_at_too(incident: Incident, command: RunCommand) -> None:
    code, out, _ = command("--instance", incident.instance_id)
    assert code == 0
    assert out.startswith(f"Instance {incident.instance_id}\n")
    assert "The finding" not in out
    assert "Recon:EC2/Portscan" in out  # among the findings on it
    assert len(incident.queries) == 6  # no remote address to ask for


@pytest.mark.parametrize("form", ["event", "get-findings"])
def test_a_finding_from_standard_input_is_read_in_both_forms(
    form: str, incident: Incident, command: RunCommand
) -> None:
    content = SCAN if form == "event" else {"Findings": [incident.findings[OWN]]}
    code, out, _ = command("--event", "-", stdin=json.dumps(content))
    assert (code, out.partition("\n")[0]) == (0, "Recon:EC2/Portscan")
    assert "guardduty:ListFindings" in incident.scripted.calls


def test_an_instance_that_is_gone_is_shown_as_the_finding_recorded_it(
    incident: Incident, command: RunCommand, tmp_path: Path
) -> None:
    code, out, _ = command("--event", event_file(tmp_path, SCAN["detail"]))
    assert code == 0
    assert "The instance is gone: interfaces, groups and addresses are those of the finding, the rest is of now." in out
    assert "203.0.113.10" in out
    assert "no route from subnet-0123456789abcdef0 to an internet gateway" in out
    assert 'instance_id = "i-0abcd1234ef567890"' in incident.queries[0]


def test_a_finding_without_an_instance_prints_what_applies(
    incident: Incident, command: RunCommand, tmp_path: Path
) -> None:
    detail = recorded("iam_user")["detail"]
    code, out, _ = command("--event", event_file(tmp_path, detail))
    assert code == 0
    assert "The finding names no instance: exposure and other findings do not apply." in out
    assert "Exposure" not in out
    assert len(incident.queries) == 1  # who else met its remote address
    assert "srcaddr" in incident.queries[0]
    assert "guardduty:ListFindings" not in incident.scripted.calls
    detail["service"]["action"] = {}
    assert command("--event", event_file(tmp_path, detail))[0] == 0
    assert len(incident.queries) == 1


def test_nothing_of_a_hostile_finding_reaches_the_terminal_or_a_query(
    incident: Incident, command: RunCommand, tmp_path: Path
) -> None:
    detail = recorded("ec2_portscan")["detail"]
    detail["title"] = "\x1b[31mred\x07 [bold]x[/] | `code`\n# heading"
    detail["resource"]["instanceDetails"]["instanceId"] = 'i-1" or 1=1 | filter "'
    detail["resource"]["instanceDetails"]["networkInterfaces"][0]["networkInterfaceId"] = 'eni-1" | limit 1'
    code, out, _ = command("--event", event_file(tmp_path, detail))
    assert code == 0
    assert "\x1b" not in out
    assert "\x07" not in out
    assert "[bold]x[/]" in out
    assert all("1=1" not in query and "| limit 1\n" not in query for query in incident.queries)
    _, ticket, _ = command("--event", event_file(tmp_path, detail), "-o", "markdown")
    assert "\n# heading" not in ticket


def test_a_stack_with_the_default_format_asks_by_interface_and_address(
    incident: Incident, command: RunCommand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = yaml.safe_load((PROJECT_ROOT / "Pulumi.dev.yaml").read_text(encoding="utf-8"))
    content["config"]["threat-monitor:flowLogs"] = {"format": "default"}
    (tmp_path / "Pulumi.dev.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    monkeypatch.setattr("threatmon.project.ROOT", tmp_path)
    assert command("--instance", incident.instance_id)[0] == 0
    assert 'interface_id = "eni-' in incident.queries[0]
    assert 'srcaddr = "10.20.1.25"' in incident.queries[0]
    assert "instance_id" not in incident.queries[0]


# -- what fails -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "part"),
    [
        ("ec2:DescribeInstances", "Instance unknown: "),
        ("ec2:DescribeRouteTables", "Routes unknown: "),
        ("ec2:DescribeNetworkAcls", "Network ACLs unknown: "),
        ("ec2:DescribeSecurityGroups", "Security groups unknown: "),
        ("ec2:GetManagedPrefixListEntries", "Prefix lists taken as empty: "),
        ("elasticloadbalancing:DescribeTargetGroups", "Load balancers unknown: "),
        ("elasticloadbalancing:DescribeTargetHealth", "Load balancers unknown: "),
        ("elasticloadbalancing:DescribeListeners", "Load balancers unknown: "),
        ("elasticloadbalancing:DescribeLoadBalancers", "Load balancers unknown: "),
        ("iam:GetInstanceProfile", "Role unknown: "),
        ("guardduty:ListFindings", "Other findings unknown: "),
        ("logs:StartQuery", "Not known (outbound, by destination port; "),
        ("logs:GetQueryResults", "Not known (outbound, by destination port; "),
    ],
)
def test_what_a_permission_hides_says_so_and_the_rest_still_prints(
    action: str, part: str, incident: Incident, command: RunCommand
) -> None:
    incident.scripted.refuse(action, "UnauthorizedOperation" if action.startswith("ec2") else "AccessDenied")
    code, out, err = command(OWN)
    assert (code, err) == (0, "")
    assert [line for line in out.split("\n") if f"Permission {action} is missing: no" in line and part in line]
    for title in ("The finding", "Exposure", "Traffic", "Other findings on this instance"):
        assert f"\n{title}\n---" in out


@pytest.mark.parametrize("action", ["guardduty:GetFindings", "guardduty:ListDetectors"])
def test_a_finding_that_may_not_be_read_ends_with_the_permission(
    action: str, incident: Incident, command: RunCommand
) -> None:
    incident.scripted.refuse(action)
    assert command(OWN) == (1, "", f"Permission {action} is missing: no\n")


def test_an_unknown_finding_says_where_it_was_looked_for(incident: Incident, command: RunCommand) -> None:
    code, out, err = command("f" * 32)
    assert (code, out) == (1, "")
    assert err.startswith(f"Detector {DETECTOR_ID} in account 111122223333, eu-west-1 has no finding ffff")
    assert incident.queries == []


def test_an_unknown_instance_fails_unless_the_flow_logs_remember_it(incident: Incident, command: RunCommand) -> None:
    code, out, _ = command("--instance", "i-00000000000000000")
    assert code == 0
    assert "A port scan: 998 tcp ports" in out
    incident.findings.clear()
    incident.rows = {question: [] for question in ROWS}
    code, out, _ = command("--instance", "i-00000000000000000")
    assert code == 1
    assert "EC2 in account 111122223333, eu-west-1 does not know i-00000000000000000 (any more)." in out


def test_a_missing_log_group_is_named_once(incident: Incident, command: RunCommand) -> None:
    incident.account.client("logs").delete_log_group(logGroupName=LOG_GROUP)
    code, out, _ = command(OWN)
    assert code == 0
    missing = f"There is no log group {LOG_GROUP} in this account and Region: is the stack deployed?"
    assert out.count(missing) == 1
    assert "Reachable from the internet" in out


def test_without_a_detector_there_are_no_findings(incident: Incident, command: RunCommand) -> None:
    incident.account.backend("guardduty").detectors.clear()
    missing = "GuardDuty has no detector in account 111122223333, eu-west-1: is the stack deployed?\n"
    assert command(OWN) == (1, "", missing)
    code, out, _ = command("--instance", incident.instance_id)
    assert code == 0
    assert f"Other findings unknown: {missing}" in out


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"accountId": OTHER_ACCOUNT}, f"account {OTHER_ACCOUNT}, eu-west-1"), ({"region": "us-east-1"}, "us-east-1")],
)
def test_a_finding_of_another_account_or_region_asks_for_its_stack(
    changes: dict[str, str], said: str, incident: Incident, command: RunCommand, tmp_path: Path
) -> None:
    code, out, _ = command("--event", event_file(tmp_path, SCAN["detail"] | changes))
    assert code == 1
    assert said in out
    assert "name the stack of that account with --stack." in out
    assert "Recon:EC2/Portscan" in out
    assert incident.scripted.calls == ["sts:GetCallerIdentity"]


def test_queries_that_scan_too_much_are_stopped(incident: Incident, command: RunCommand) -> None:
    incident.status = "Running"
    code, out, _ = command(OWN, "--max-gb", "0.5")
    assert code == 0
    assert "Stopped after 1.0 GB scanned: look at less time (--hours) or allow more (--max-gb)." in out
    assert len(incident.stopped) == len(incident.queries) == 5


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["f" * 32, "--instance", "i-00000000"],
        ["--event", "a.json", "--instance", "i-00000000"],
        ["--event", "nowhere.json"],
        ["--instance", "i-00000000", "--stack", "nowhere"],
        ["--instance", "i-00000000", "--hours", "0"],
    ],
)
def test_wrong_use_ends_with_two(arguments: list[str], command: RunCommand) -> None:
    code, out, err = command(*arguments)
    assert (code, out) == (2, "")
    assert err
    assert "Traceback" not in err


def test_several_findings_are_refused_with_their_ids(command: RunCommand) -> None:
    code, _, err = command("--event", "-", stdin=json.dumps([SCAN, recorded("eks")]))
    assert code == 2
    assert "holds 2 findings" in err
    assert OWN in err


def test_the_permissions_are_those_of_the_calls_it_makes(incident: Incident, command: RunCommand) -> None:
    assert command(OWN)[0] == 0
    incident.status = "Running"
    assert command(OWN, "--max-gb", "0.5")[0] == 0
    needs_no_permission = {"sts:GetCallerIdentity"}
    assert sorted(set(incident.scripted.calls) - needs_no_permission) == list(investigate.PERMISSIONS)
