import copy
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import botocore.session
import pytest
import typer
import yaml
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.validate import ParamValidator
from findings import finding_shape, recorded

from threatmon import cli
from threatmon.cli import investigate
from threatmon.emulator.account import EmulatedAccount
from threatmon.project import ROOT as PROJECT_ROOT
from threatmon.stacks import old_aws as session

Json = dict[str, Any]
Answering = Callable[[Json], Json]
QUESTIONS = ["ports_out", "ports_in", "peers", "rejected", "bursts", "inside", "remote"]
OTHER = "2" * 32
LOG_GROUP = "/threat-monitor/dev/flow-logs"
OWN = recorded("ec2_portscan")["detail"]["id"]


class RefusedError(Exception):
    """What AWS answers instead: a code, and a message."""


class Incident:
    """An account with an instance that is open to the world and scans another one, and recorded answers about it.

    moto knows no findings, neither counts nor parses records in Logs Insights, and cannot stop a query; so what
    GetFindings, ListFindings, GetQueryResults and StopQuery answer is recorded, and checked against botocore's model.
    """

    def __init__(self, account: EmulatedAccount) -> None:
        self.account = account
        self.session = account.boto3_session()
        self._build()
        events: Any = self.session.events  # whose types know no handler that answers
        events.register("before-call.*.*", self._answered)

    def begin(self) -> None:
        """The account as it is before a test."""
        self.calls: list[str] = []
        self.stopped: list[str] = []
        self.findings: dict[str, Json] = {}
        self.status = "Complete"
        self.rows = ROWS
        self.answers: dict[str, Answering] = {
            "guardduty.ListFindings": lambda _: {"FindingIds": list(self.findings)},
            "guardduty.GetFindings": self._get_findings,
            "cloudwatch-logs.GetQueryResults": self._results,
            "cloudwatch-logs.StopQuery": self._stop,
        }
        logs = self.account.backend("logs")
        logs.queries.clear()
        if LOG_GROUP not in logs.groups:
            self.account.client("logs").create_log_group(logGroupName=LOG_GROUP)
        self.account.seed_detector("12abc34d567e8fa901bc2d34e56789f0")
        self.add_finding(OWN)
        self.add_finding(OTHER, Type="UnauthorizedAccess:EC2/SSHBruteForce", Severity=8)

    def _build(self) -> None:
        ec2, elbv2, elb, iam = (self.account.client(it) for it in ("ec2", "elbv2", "elb", "iam"))
        vpc = ec2.create_vpc(CidrBlock="10.20.0.0/16")["Vpc"]["VpcId"]
        subnets = [
            ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.20.{n}.0/24", AvailabilityZone=f"eu-west-1{zone}")["Subnet"]
            for n, zone in ((1, "a"), (2, "b"))
        ]
        subnet_ids = [it["SubnetId"] for it in subnets]
        gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
        (table,) = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["RouteTables"]
        ec2.create_route(RouteTableId=table["RouteTableId"], DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
        lists = ec2.create_managed_prefix_list(
            PrefixListName="office", MaxEntries=2, AddressFamily="IPv4", Entries=[{"Cidr": "198.51.100.0/24"}]
        )
        prefix_list = lists["PrefixList"]["PrefixListId"]
        self.group = ec2.create_security_group(GroupName="app", Description="app", VpcId=vpc)["GroupId"]
        anyone = [{"CidrIp": "0.0.0.0/0"}]
        ec2.authorize_security_group_ingress(
            GroupId=self.group,
            IpPermissions=[
                {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": anyone},
                {
                    "IpProtocol": "tcp",
                    "FromPort": 5432,
                    "ToPort": 5432,
                    "PrefixListIds": [{"PrefixListId": prefix_list}],
                },
            ],
        )
        web = ec2.create_security_group(GroupName="web", Description="web", VpcId=vpc)["GroupId"]
        ec2.authorize_security_group_ingress(
            GroupId=web, IpPermissions=[{"IpProtocol": "tcp", "FromPort": 80, "ToPort": 443, "IpRanges": anyone}]
        )
        iam.create_instance_profile(InstanceProfileName="example-app")
        iam.create_role(RoleName="app-role", AssumeRolePolicyDocument="{}")
        iam.add_role_to_instance_profile(InstanceProfileName="example-app", RoleName="app-role")
        interface = {
            "DeviceIndex": 0,
            "SubnetId": subnet_ids[0],
            "AssociatePublicIpAddress": True,
            "Groups": [self.group],
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
        balancer = elbv2.create_load_balancer(
            Name="web", Subnets=subnet_ids, SecurityGroups=[web], Scheme="internet-facing"
        )
        group = elbv2.create_target_group(Name="web", Protocol="HTTP", Port=8080, VpcId=vpc)["TargetGroups"][0]
        self.balancer = balancer["LoadBalancers"][0]
        elbv2.register_targets(TargetGroupArn=group["TargetGroupArn"], Targets=[{"Id": self.instance_id}])
        elbv2.create_listener(
            LoadBalancerArn=self.balancer["LoadBalancerArn"],
            Protocol="HTTP",
            Port=80,
            DefaultActions=[{"Type": "forward", "TargetGroupArn": group["TargetGroupArn"]}],
        )
        elb.create_load_balancer(
            LoadBalancerName="old",
            Listeners=[{"Protocol": "tcp", "LoadBalancerPort": 22, "InstancePort": 22}],
            Subnets=subnet_ids[:1],
            SecurityGroups=[self.group],
        )
        elb.register_instances_with_load_balancer(LoadBalancerName="old", Instances=[{"InstanceId": self.instance_id}])
        self.begin()

    def add_finding(self, finding_id: str, **changes: Any) -> None:
        """A finding on the instance, as GetFindings answers it."""
        event = json.loads(json.dumps(recorded("ec2_portscan")).replace("i-0abcd1234ef567890", self.instance_id))
        self.findings[finding_id] = as_answered(event["detail"]) | {"Id": finding_id} | changes

    def refuse(self, operation: str, code: str = "AccessDeniedException", message: str = "no") -> None:
        """Let AWS refuse an operation from now on."""

        def answering(_: Json) -> Json:
            raise RefusedError(code, message)

        self.answers[operation] = answering

    def _answered(self, model: Any, context: Json, **_: Any) -> tuple[AWSResponse, Json] | None:
        """The recorded answer of an operation that has one; it has the form of botocore's model."""
        self.calls.append(f"{model.service_model.signing_name}:{model.name}")
        answering = self.answers.get(f"{model.service_model.service_id.hyphenize()}.{model.name}")
        if not answering:
            return None
        try:
            status, given = 200, answering(context["asked"])
        except RefusedError as refusal:
            status, given = 400, {"Error": dict(zip(("Code", "Message"), refusal.args, strict=True))}
        else:
            report = ParamValidator().validate(given, model.output_shape)
            assert not report.has_errors(), report.generate_report()
        return AWSResponse("", status, HTTPHeaders(), None), {**given, "ResponseMetadata": {"HTTPStatusCode": status}}

    def _get_findings(self, asked: Json) -> Json:
        return {"Findings": [self.findings[it] for it in asked["FindingIds"] if it in self.findings]}

    def _results(self, asked: Json) -> Json:
        queries = list(self.account.backend("logs").queries)
        rows = self.rows[QUESTIONS[queries.index(asked["queryId"]) % len(QUESTIONS)]]
        pointer = [{"field": "@ptr", "value": "CmEKJgoi"}]
        return {
            "status": self.status,
            "statistics": {"bytesScanned": 2e8, "recordsMatched": 1000.0, "recordsScanned": 2e6},
            "results": [[{"field": k, "value": v} for k, v in row.items()] + pointer for row in rows],
        }

    def _stop(self, asked: Json) -> Json:
        self.stopped.append(asked["queryId"])
        return {"success": True}

    @property
    def queries(self) -> list[Any]:
        return list(self.account.backend("logs").queries.values())


ROWS: Mapping[str, list[dict[str, str]]] = {
    "ports_out": [
        {"dstport": "443", "protocol": "6", "action": "ACCEPT", "flows": "120", "hosts": "3", "size": "2400000"},
        {"dstport": "53", "protocol": "17", "action": "ACCEPT", "flows": "40", "hosts": "1", "size": "5200"},
    ],
    "ports_in": [
        {"dstport": "22", "protocol": "6", "action": "ACCEPT", "flows": "2", "hosts": "1", "size": "9000"},
    ],
    "peers": [
        {
            "srcaddr": "10.20.1.25",
            "dstaddr": "10.20.2.30",
            "flow_direction": "egress",
            "flows": "2004",
            "size": "1.2E5",
        },
        {"srcaddr": "198.51.100.7", "dstaddr": "10.20.1.25", "flow_direction": "ingress", "flows": "9", "size": "700"},
        {"srcaddr": "10.20.1.25", "dstaddr": "198.51.100.7", "flow_direction": "egress", "flows": "9", "size": "4300"},
    ],
    "rejected": [
        {"srcaddr": "203.0.113.77", "dstaddr": "10.20.1.25", "dstport": "3389", "protocol": "6", "flows": "31"},
    ],
    "bursts": [
        {
            "dstaddr": "10.20.2.30",
            "protocol": "6",
            "bin(5m)": "2026-09-14 09:30:00.000",
            "ports": "998",
            "packetsSent": "1004",
        },
    ],
    "inside": [
        {"dstaddr": "10.20.2.30", "dstport": "5432", "protocol": "6", "flows": "9", "size": "9000"},
        {"dstaddr": "10.20.2.30", "dstport": "22", "protocol": "6", "flows": "3", "size": "4000"},
    ],
    "remote": [],
}


def as_answered(detail: Json) -> Json:
    """A finding under the names of the SDK's model, which GetFindings answers with."""

    def renamed(node: Any, shape: Any) -> Any:
        if shape.type_name == "structure":
            names = {member.serialization.get("name", key): key for key, member in shape.members.items()}
            return {
                names[key]: renamed(value, shape.members[names[key]])
                for key, value in node.items()
                if value is not None and key in names
            }
        return [renamed(it, shape.member) for it in node] if shape.type_name == "list" else node

    return renamed(detail, finding_shape())


@pytest.fixture(scope="module")
def built() -> Iterator[Incident]:
    with EmulatedAccount("111122223333", "eu-west-1") as account:
        yield Incident(account)


@pytest.fixture
def incident(built: Incident, monkeypatch: pytest.MonkeyPatch) -> Incident:
    built.begin()
    monkeypatch.setattr(session, "new_session", lambda _profile, _region: built.session)
    return built


class Command:
    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys
        app = typer.Typer()
        app.callback()(lambda: None)
        app.command()(investigate.investigate)
        monkeypatch.setattr(cli, "app", app)

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, standard output, standard error of `threatmon investigate ...`."""
        self._monkeypatch.setattr("sys.argv", ["threatmon", "investigate", *arguments])
        self._monkeypatch.setenv("COLUMNS", "120")
        code: object = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code or 0
        captured = self._capsys.readouterr()
        return int(str(code)), captured.out, captured.err

    def json(self, *arguments: str) -> Json:
        code, out, err = self(*arguments, "--json")
        assert (code, err) == (0, "")
        return json.loads(out)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capsys)


def event_file(folder: Path, detail: Mapping[str, Any], name: str = "event.json") -> str:
    path = folder / name
    path.write_text(json.dumps(recorded("ec2_portscan") | {"detail": detail}), encoding="utf-8")
    return str(path)


# -- what it shows ----------------------------------------------------------------------------------------------------


def test_one_screen_shows_the_finding_the_exposure_the_traffic_and_the_other_findings(
    incident: Incident, command: Command
) -> None:
    code, out, err = command(OWN)
    assert (code, err) == (0, "")
    lines = " ".join(out.split())
    assert out.startswith("Recon:EC2/Portscan\n")
    assert "Severity MEDIUM (5)" in lines
    assert "Seen 2026-09-14 09:31 to 09:44 UTC" in lines
    assert "Count 3" in lines
    assert "Reachable from the internet: tcp 22 (SSH), tcp 5432 (PostgreSQL) from 198.51.100.0/24 at" in lines
    assert "tcp 80 (HTTP) through load balancer web; tcp 22 (SSH) through load balancer old." in lines
    assert "Profile example-app (role app-role)" in lines
    assert "└─> 198.51.100.7  [sent 4.3 kB, received 700 B]" in out
    assert "A port scan: 998 tcp ports of 10.20.2.30 in the 5 minutes from 2026-09-14 09:30:00 UTC." in lines
    assert "tcp 443 HTTPS ACCEPT 120 3 2.4 MB" in lines
    assert "udp 53 DNS ACCEPT 40 1 5.2 kB" in lines
    assert "203.0.113.77 10.20.1.25 tcp 3389 RDP 31" in lines
    assert "HIGH UnauthorizedAccess:EC2/SSHBruteForce 2026-09-14 09:44 3 22222222222222222222222222222222" in lines
    assert "1.4 GB scanned in 7 queries, 7,000 records matched" in lines
    assert "about USD 0.0070: USD 0.005 per GB scanned (aws.amazon.com/cloudwatch/pricing" in lines
    assert "No records of: the finding's remote address, in the whole log group." in lines
    assert "\x1b[" not in out
    assert incident.stopped == []


@pytest.mark.usefixtures("incident")
def test_administration_ports_inside_come_first(command: Command) -> None:
    out = " ".join(command(OWN)[1].split())
    assert "10.20.2.30 tcp 22 SSH 3 4.0 kB administration 10.20.2.30 tcp 5432 PostgreSQL 9 9.0 kB" in out


def test_the_document_holds_the_same_for_a_machine(incident: Incident, command: Command) -> None:
    document = command.json(OWN)
    assert document["finding"]["id"] == OWN
    assert document["instanceId"] == incident.instance_id
    assert document["exposure"]["reachable"] is True
    assert document["roleName"] == "app-role"
    assert [it["id"] for it in document["otherFindings"]] == [OTHER]
    seen = document["traffic"]
    assert seen["bursts"][0]["ports"] == 998
    assert [it["address"] for it in seen["peers"]] == ["10.20.2.30", "198.51.100.7"]
    assert seen["bytesScanned"] == 7 * 200_000_000
    assert seen["estimatedCostUsd"] == pytest.approx(0.007)
    assert (document["failures"], document["notes"], seen["failures"]) == ({}, [], {})


def test_the_markdown_is_for_a_ticket_with_a_drawing_in_mermaid(incident: Incident, command: Command) -> None:
    code, out, _ = command(OWN, "--markdown")
    assert code == 0
    assert out.startswith("# Recon:EC2/Portscan\n\n## The finding\n")
    assert "\n```mermaid\nflowchart LR\n" in out
    assert f'["{incident.instance_id} (10.20.1.25)"]' in out
    assert "| tcp 443 | HTTPS | ACCEPT | 120 | 3 | 2.4 MB |" in out
    assert out.count("```") == 2


def test_the_queries_look_from_an_hour_before_the_finding_to_an_hour_after(
    incident: Incident, command: Command
) -> None:
    document = command.json(OWN)
    assert document["traffic"]["start"] == "2026-09-14T08:31:02+00:00"
    assert document["traffic"]["end"] == "2026-09-14T10:44:57+00:00"
    wider = command.json(OWN, "--hours", "5")
    assert (wider["traffic"]["start"], wider["traffic"]["end"]) == (
        "2026-09-14T04:31:02+00:00",
        "2026-09-14T14:44:57+00:00",
    )
    assert f'instance_id = "{incident.instance_id}"' in incident.queries[0].query


def test_an_instance_without_a_finding_is_looked_at_too(incident: Incident, command: Command) -> None:
    code, out, _ = command("--instance", incident.instance_id)
    assert code == 0
    assert out.startswith(f"Instance {incident.instance_id}\n")
    assert "The finding" not in out
    assert "Recon:EC2/Portscan" in out  # among the findings on it
    assert len(incident.queries) == 6  # no remote address to ask for


@pytest.mark.parametrize("form", ["event", "get-findings"])
def test_a_finding_from_a_file_is_read_in_both_forms(
    form: str, incident: Incident, command: Command, tmp_path: Path
) -> None:
    path = tmp_path / "finding.json"
    content = recorded("ec2_portscan") if form == "event" else {"Findings": [incident.findings[OWN]]}
    path.write_text(json.dumps(content), encoding="utf-8")
    assert command.json("--event", str(path))["finding"]["type"] == "Recon:EC2/Portscan"
    assert "guardduty:ListFindings" in incident.calls


def test_an_instance_that_is_gone_is_shown_as_the_finding_recorded_it(
    incident: Incident, command: Command, tmp_path: Path
) -> None:
    code, out, _ = command("--event", event_file(tmp_path, recorded("ec2_portscan")["detail"]))
    assert code == 0
    assert "The instance is gone: interfaces, groups and addresses are those of the finding, the rest is of now." in out
    assert "203.0.113.10" in out
    assert "no route from subnet-0123456789abcdef0 to an internet gateway" in " ".join(out.split())
    assert 'instance_id = "i-0abcd1234ef567890"' in incident.queries[0].query


def test_a_finding_without_an_instance_prints_what_applies(
    incident: Incident, command: Command, tmp_path: Path
) -> None:
    detail = recorded("iam_user")["detail"]
    code, out, _ = command("--event", event_file(tmp_path, detail))
    assert code == 0
    assert "The finding names no instance: exposure and other findings do not apply." in out
    assert "Exposure" not in out
    assert len(incident.queries) == 1  # whom its remote address met
    assert "srcaddr" in incident.queries[0].query
    assert "guardduty:ListFindings" not in incident.calls


def test_a_finding_with_neither_instance_nor_remote_address_ends_well(
    incident: Incident, command: Command, tmp_path: Path
) -> None:
    detail = recorded("iam_user")["detail"]
    detail["service"]["action"] = {}
    code, out, _ = command("--event", event_file(tmp_path, detail))
    assert code == 0
    assert "names no instance" in out
    assert incident.queries == []


@pytest.mark.usefixtures("incident")
def test_a_sample_finding_is_called_one(command: Command, tmp_path: Path) -> None:
    code, out, _ = command("--event", event_file(tmp_path, recorded("ec2_portscan_sample")["detail"]))
    assert code == 0
    assert "This is a sample finding: GuardDuty made up its resources." in out


def test_nothing_of_a_hostile_finding_reaches_the_terminal_or_a_query(
    incident: Incident, command: Command, tmp_path: Path
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
    assert all("1=1" not in it.query and "| limit 1\n" not in it.query for it in incident.queries)
    _, ticket, _ = command("--event", event_file(tmp_path, detail), "--markdown")
    assert "\n# heading" not in ticket


def test_a_stack_with_the_default_format_asks_by_interface_and_address(
    incident: Incident, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = yaml.safe_load((PROJECT_ROOT / "Pulumi.dev.yaml").read_text(encoding="utf-8"))
    content["config"]["threat-monitor:flowLogs"] = {"format": "default"}
    (tmp_path / "Pulumi.dev.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    monkeypatch.setattr("threatmon.project.ROOT", tmp_path)
    assert command("--instance", incident.instance_id)[0] == 0
    text = incident.queries[0].query
    assert 'interface_id = "eni-' in text
    assert 'srcaddr = "10.20.1.25"' in text
    assert "instance_id" not in text


# -- what fails -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "said"),
    [
        ("ec2.DescribeInstances", "Instance unknown: Permission ec2:DescribeInstances is missing: no"),
        ("ec2.DescribeRouteTables", "Routes unknown: Permission ec2:DescribeRouteTables is missing: no"),
        ("ec2.DescribeNetworkAcls", "Network ACLs unknown: Permission ec2:DescribeNetworkAcls is missing: no"),
        ("ec2.DescribeSecurityGroups", "Security groups unknown: Permission ec2:DescribeSecurityGroups is missing"),
        ("ec2.GetManagedPrefixListEntries", "Permission ec2:GetManagedPrefixListEntries is missing: no"),
        ("elastic-load-balancing-v2.DescribeTargetGroups", "elasticloadbalancing:DescribeTargetGroups is missing"),
        ("elastic-load-balancing-v2.DescribeTargetHealth", "elasticloadbalancing:DescribeTargetHealth is missing"),
        ("elastic-load-balancing-v2.DescribeListeners", "elasticloadbalancing:DescribeListeners is missing"),
        ("elastic-load-balancing.DescribeLoadBalancers", "elasticloadbalancing:DescribeLoadBalancers is missing"),
        ("iam.GetInstanceProfile", "Role unknown: Permission iam:GetInstanceProfile is missing"),
        ("guardduty.ListFindings", "Other findings unknown: Permission guardduty:ListFindings is missing"),
        ("cloudwatch-logs.StartQuery", "Permission logs:StartQuery is missing"),
        ("cloudwatch-logs.GetQueryResults", "Permission logs:GetQueryResults is missing"),
    ],
)
def test_what_a_permission_hides_says_so_and_the_rest_still_prints(
    operation: str, said: str, incident: Incident, command: Command
) -> None:
    incident.refuse(operation, "UnauthorizedOperation" if operation.startswith("ec2") else "AccessDenied")
    code, out, err = command(OWN)
    assert (code, err) == (0, "")
    assert said in out
    assert "Traceback" not in out
    for title in ("The finding", "Exposure", "Traffic", "Other findings on this instance"):
        assert f"\n{title} ---" in out


def test_unknown_routes_leave_the_verdict_open(incident: Incident, command: Command) -> None:
    incident.refuse("ec2.DescribeRouteTables")
    exposed = command.json(OWN)["exposure"]
    assert exposed["reachable"] is None
    assert "the route tables could not be read" in exposed["verdict"]


@pytest.mark.parametrize("operation", ["guardduty.GetFindings", "guardduty.ListDetectors"])
def test_a_finding_that_may_not_be_read_ends_with_the_permission(
    operation: str, incident: Incident, command: Command
) -> None:
    incident.refuse(operation)
    assert command(OWN) == (1, "", f"Permission {operation.replace('.', ':')} is missing: no\n")


def test_an_unknown_finding_says_where_it_was_looked_for(incident: Incident, command: Command) -> None:
    code, out, err = command("f" * 32)
    assert (code, out) == (1, "")
    assert err.startswith("Detector 12abc34d567e8fa901bc2d34e56789f0 in account 111122223333, eu-west-1 has no finding")
    assert incident.queries == []


def test_an_unknown_instance_fails(incident: Incident, command: Command) -> None:
    incident.findings.clear()
    incident.rows = {question: [] for question in QUESTIONS}
    code, out, _ = command("--instance", "i-00000000000000000")
    assert code == 1
    assert "EC2 in account 111122223333, eu-west-1 does not know i-00000000000000000 (any more)." in out


@pytest.mark.usefixtures("incident")
def test_an_instance_that_only_the_flow_logs_remember_is_found(command: Command) -> None:
    code, out, _ = command("--instance", "i-00000000000000000")
    assert code == 0
    assert "A port scan: 998 tcp ports" in out


def test_a_missing_log_group_is_named_once(incident: Incident, command: Command) -> None:
    incident.account.client("logs").delete_log_group(logGroupName=LOG_GROUP)
    code, out, _ = command(OWN)
    assert code == 0
    missing = "There is no log group /threat-monitor/dev/flow-logs in this account and Region: is the stack deployed?"
    assert out.count(missing) == 1
    assert "Reachable from the internet" in out


def test_nothing_deployed_says_so(incident: Incident, command: Command) -> None:
    incident.account.backend("guardduty").detectors.clear()
    code, out, err = command(OWN)
    assert (code, out) == (1, "")
    assert err == "GuardDuty has no detector in account 111122223333, eu-west-1: is the stack deployed?\n"
    code, out, _ = command("--instance", incident.instance_id)
    assert code == 0
    assert "GuardDuty has no detector in account 111122223333, eu-west-1" in out


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"accountId": "444455556666"}, "account 444455556666, eu-west-1"), ({"region": "us-east-1"}, "us-east-1")],
)
def test_a_finding_of_another_account_or_region_asks_for_its_stack(
    changes: dict[str, str], said: str, incident: Incident, command: Command, tmp_path: Path
) -> None:
    code, out, _ = command("--event", event_file(tmp_path, recorded("ec2_portscan")["detail"] | changes))
    assert code == 1
    assert said in out
    assert "name the stack of that account with --stack." in out
    assert "Recon:EC2/Portscan" in out
    assert incident.calls == ["sts:GetCallerIdentity"]


def test_credentials_of_another_account_are_refused(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with EmulatedAccount("444455556666", "eu-west-1") as account:
        monkeypatch.setattr(session, "new_session", lambda _profile, _region: account.boto3_session())
        code, out, err = command("--event", event_file(tmp_path, recorded("ec2_portscan")["detail"]))
    assert (code, out) == (2, "")
    assert "The credentials are of account 444455556666, but Pulumi.dev.yaml allows 111122223333" in err


@pytest.mark.parametrize(
    ("code", "said"),
    [("ExpiredToken", "The AWS credentials have expired"), ("Throttling", "AWS still throttles")],
)
def test_no_way_into_the_account_is_one_line(code: str, said: str, incident: Incident, command: Command) -> None:
    incident.refuse("sts.GetCallerIdentity", code)
    status, out, err = command(OWN)
    assert (status, out) == (1, "")
    assert err.startswith(said)
    assert err.count("\n") == 1


def test_throttled_queries_say_so_and_the_rest_prints(incident: Incident, command: Command) -> None:
    incident.refuse("cloudwatch-logs.StartQuery", "ThrottlingException")
    code, out, _ = command(OWN)
    assert code == 0
    assert out.count("AWS still throttles logs:StartQuery after 8 attempts; try again later.") == 1
    assert "Reachable from the internet" in out


def test_nothing_at_all_found_out_fails(incident: Incident, command: Command, tmp_path: Path) -> None:
    detail = recorded("ec2_portscan")["detail"]
    del detail["resource"]["instanceDetails"]["networkInterfaces"]
    for operation in ("ec2.DescribeInstances", "guardduty.ListFindings", "cloudwatch-logs.StartQuery"):
        incident.refuse(operation)
    code, out, _ = command("--event", event_file(tmp_path, detail))
    assert code == 1
    assert "Recon:EC2/Portscan" in out


def test_queries_that_scan_too_much_are_stopped(incident: Incident, command: Command) -> None:
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
        ["--instance", "i-00000000", "--json", "--markdown"],
        ["--event", "nowhere.json"],
        ["--instance", "i-00000000", "--stack", "nowhere"],
        ["--instance", "i-00000000", "--hours", "0"],
    ],
)
def test_wrong_use_ends_with_two(arguments: list[str], command: Command) -> None:
    code, out, err = command(*arguments)
    assert (code, out) == (2, "")
    assert err
    assert "Traceback" not in err


def test_a_file_of_several_findings_is_refused_with_their_ids(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "many.json"
    path.write_text(json.dumps([recorded("ec2_portscan"), recorded("eks")]), encoding="utf-8")
    code, _, err = command("--event", str(path))
    assert code == 2
    assert "holds 2 findings" in err
    assert OWN in err


def test_the_help_has_an_example(command: Command) -> None:
    code, out, _ = command("--help")
    assert code == 0
    assert f"Example: threatmon investigate {OWN} --stack dev" in out


def test_the_permissions_are_those_of_the_calls_it_makes(incident: Incident, command: Command) -> None:
    assert command(OWN)[0] == 0
    incident.status = "Running"
    assert command(OWN, "--max-gb", "0.5")[0] == 0
    needs_no_permission = {"sts:GetCallerIdentity"}
    assert set(incident.calls) - needs_no_permission == set(investigate.PERMISSIONS)
    assert list(investigate.PERMISSIONS) == sorted(investigate.PERMISSIONS)


def test_the_recorded_findings_have_the_form_of_the_model() -> None:
    shape = botocore.session.get_session().get_service_model("guardduty").operation_model("GetFindings").output_shape
    answered = {"Findings": [as_answered(copy.deepcopy(recorded("ec2_portscan")["detail"]))]}
    assert shape is not None
    report = ParamValidator().validate(answered, shape)
    assert not report.has_errors(), report.generate_report()
    assert answered["Findings"][0]["Service"]["Action"]["NetworkConnectionAction"]["RemoteIpDetails"]["IpAddressV4"]
