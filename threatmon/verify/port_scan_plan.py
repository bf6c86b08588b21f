"""A real port scan in a stack's subnet, as a plan to paste: two instances made for it, nmap between them, clean-up."""

import json
from collections.abc import Sequence
from shlex import quote
from typing import NamedTuple

from threatmon.evaluation.explain import rules_of
from threatmon.model import names, queries
from threatmon.model.location import Location
from threatmon.model.settings import Settings
from threatmon.verify.sample_findings import expectation

FINDING_TYPE = "Recon:EC2/Portscan"
POLICY = "https://aws.amazon.com/security/penetration-testing/"

# Names and tags everything the plan makes, so that the clean-up finds it and nothing else.
_NAME = "threat-monitor-port-scan-test"
_TAG = f"Key=Name,Value={_NAME}"
_FINE_AGGREGATION = 60


class Step(NamedTuple):
    """Commands for bash; the variables of a step are used in the next."""

    title: str
    commands: Sequence[str]


class Moment(NamedTuple):
    """What to expect, and when, counted from the end of the scan."""

    when: str
    what: str


class Plan(NamedTuple):
    """The plan, in the order in which to read it."""

    before: Sequence[str]
    safety: Sequence[str]
    stop: Sequence[str]
    steps: Sequence[Step]
    expect: Sequence[Moment]


def plan(stack: str, settings: Settings, account: Location, profile: str | None = None) -> Plan:
    """The plan for a stack. ``account.id`` is empty where the stack file allows any account; ``profile`` is the AWS
    profile that the stack file names."""
    return Plan(_before(account), _SAFETY, _STOP, _steps(stack, settings, account, profile), _expect(stack, settings))


def _before(account: Location) -> list[str]:
    whose = f"account {account.id}" if account.id else "the account"
    return [
        f"The owner of {whose} has agreed in writing, and whoever gets the alerts knows when the scan runs.",
        "The stack is deployed and its subscriptions are confirmed.",
        "AWS CLI 2 and its Session Manager plugin are installed: "
        "https://docs.aws.amazon.com/systems-manager/latest/userguide/session-manager-working-with-install-plugin.html",
        "The credentials may make and delete instances, a security group and a role.",
        "The subnet reaches Systems Manager and Amazon Linux's packages (through a NAT or internet gateway): without "
        "the one no session opens, without the other nmap cannot be installed.",
    ]


_SAFETY = (
    f"Read AWS's policy first: {POLICY}",
    "Scan only your own instances: the two made here, in one subnet of one VPC, by private address.",
    "Prefer an account that is not production; https://github.com/awslabs/amazon-guardduty-tester makes one ready.",
    "The finding is real and alerts whoever is on call. It costs two small instances for an hour or two.",
    "The rate stays low: 100 packets a second, no service or script probes.",
)
_STOP = (
    "the account check of step 1 prints STOP",
    "the target's address is not the private address of the instance made in step 2",
    "anybody asks, or anything other than this scan raises an alarm",
    "two scans and an hour have brought no finding: look into the detector instead of scanning harder",
)


def _steps(stack: str, settings: Settings, account: Location, profile: str | None) -> list[Step]:
    return [
        Step("Choose account, Region and subnet", [*_environment(account, profile), *_subnet(settings)]),
        Step("Make two instances, closed to everything but each other", _instances(account)),
        Step(
            "Scan, from the one to the other (again with -p 1-10000 if half an hour brings no finding)",
            [_in_session("sudo dnf install -y nmap"), _in_session("nmap -Pn -sT --max-rate 100 -p 1-1000 $TARGET_IP")],
        ),
        Step("Look: the flow logs, then the finding", [*_flow_logs(stack, settings), *_finding(stack, settings)]),
        Step("Clean up; finds everything by its name, in a new shell too", [*_environment(account, profile), *_REMOVE]),
    ]


def _environment(account: Location, profile: str | None) -> list[str]:
    lines = [f"export AWS_REGION={quote(account.region)}"]
    if profile:
        lines.append(f"export AWS_PROFILE={quote(profile)}")
    if account.id:
        caller = "$(aws sts get-caller-identity --query Account --output text)"
        # A profile that does not exist makes every later command fail, however much was pasted at once.
        stop = '{ echo "STOP: another account. Open a new shell."; export AWS_PROFILE=another-account; }'
        lines.append(f'[ "{caller}" = {quote(account.id)} ] || {stop}')
    return lines


def _subnet(settings: Settings) -> list[str]:
    if settings.subnet_ids:
        subnet = settings.subnet_ids[0]
    else:
        vpc = f"--filters Name=vpc-id,Values={settings.vpc_ids[0]}"
        subnet = f"$(aws ec2 describe-subnets {vpc} --query 'Subnets[0].SubnetId' --output text)"
    vpc = "$(aws ec2 describe-subnets --subnet-ids \"$SUBNET\" --query 'Subnets[0].VpcId' --output text)"
    return [f"SUBNET={subnet}", f"VPC={vpc}"]


def _instances(account: Location) -> list[str]:
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": f"ec2.{account.dns_suffix}"},
                "Action": "sts:AssumeRole",
            }
        ],
    }
    # Lets Session Manager in; https://docs.aws.amazon.com/systems-manager/latest/userguide/setup-instance-permissions.html
    policy = f"arn:{account.partition}:iam::aws:policy/AmazonSSMManagedInstanceCore"
    # https://docs.aws.amazon.com/linux/al2023/ug/ec2.html
    image = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
    return [
        f"aws iam create-role --role-name {_NAME} --assume-role-policy-document {quote(json.dumps(trust))}",
        f"aws iam attach-role-policy --role-name {_NAME} --policy-arn {policy}",
        f"aws iam create-instance-profile --instance-profile-name {_NAME}",
        f"aws iam add-role-to-instance-profile --instance-profile-name {_NAME} --role-name {_NAME}",
        f'SG=$(aws ec2 create-security-group --group-name {_NAME} --description {_NAME} --vpc-id "$VPC"'
        f" --tag-specifications 'ResourceType=security-group,Tags=[{{{_TAG}}}]' --query GroupId --output text)",
        'aws ec2 authorize-security-group-ingress --group-id "$SG" --protocol tcp --port 0-65535 --source-group "$SG"',
        f"AMI=$(aws ssm get-parameter --name {image} --query Parameter.Value --output text)",
        "sleep 15  # until EC2 knows the instance profile",
        'IDS=$(aws ec2 run-instances --count 2 --image-id "$AMI" --instance-type t3.micro --subnet-id "$SUBNET"'
        f' --security-group-ids "$SG" --iam-instance-profile Name={_NAME} --metadata-options HttpTokens=required'
        f" --tag-specifications 'ResourceType=instance,Tags=[{{{_TAG}}}]'"
        " --query 'Instances[].InstanceId' --output text)",
        "SCANNER=$(echo $IDS | cut -d' ' -f1) TARGET=$(echo $IDS | cut -d' ' -f2)",
        'aws ec2 wait instance-status-ok --instance-ids "$SCANNER" "$TARGET"',
        'TARGET_IP=$(aws ec2 describe-instances --instance-ids "$TARGET"'
        " --query 'Reservations[0].Instances[0].PrivateIpAddress' --output text)",
        'echo "$SCANNER scans $TARGET at $TARGET_IP"',
    ]


def _in_session(command: str) -> str:
    # https://docs.aws.amazon.com/systems-manager/latest/userguide/session-manager-working-with-sessions-start.html
    document = "--document-name AWS-StartInteractiveCommand"
    return f'aws ssm start-session --target "$SCANNER" {document} --parameters "{{\\"command\\":[\\"{command}\\"]}}"'


def _flow_logs(stack: str, settings: Settings) -> list[str]:
    query = queries.saved_queries(settings.flow_logs.format)["port scans"]
    return [
        f"QUERY=$(aws logs start-query --log-group-name {quote(names.log_group(stack))}"
        " --start-time $(( $(date +%s) - 7200 )) --end-time $(date +%s)"
        f" --query-string {quote(query)} --query queryId --output text)",
        'sleep 15; aws logs get-query-results --query-id "$QUERY"  # a line of the scanner and the target, by ports',
    ]


def _finding(stack: str, settings: Settings) -> list[str]:
    detector = settings.detector.id or "$(aws guardduty list-detectors --query 'DetectorIds[0]' --output text)"
    criteria = '{\\"Criterion\\":{\\"resource.instanceDetails.instanceId\\":{\\"Eq\\":[\\"$SCANNER\\"]}}}'
    return [
        f"DETECTOR={detector}",
        'FINDINGS=$(aws guardduty list-findings --detector-id "$DETECTOR"'
        f" --finding-criteria \"{criteria}\" --query 'FindingIds' --output text)",
        'aws guardduty get-findings --detector-id "$DETECTOR" --finding-ids $FINDINGS > finding.json',
        f"threatmon explain finding.json --stack {quote(stack)}",
    ]


_REMOVE = (
    f"IDS=$(aws ec2 describe-instances --filters Name=tag:Name,Values={_NAME}"
    " --query 'Reservations[].Instances[].InstanceId' --output text)",
    "aws ec2 terminate-instances --instance-ids $IDS",
    "aws ec2 wait instance-terminated --instance-ids $IDS",
    f"SG=$(aws ec2 describe-security-groups --filters Name=tag:Name,Values={_NAME}"
    " --query 'SecurityGroups[0].GroupId' --output text)",
    'aws ec2 delete-security-group --group-id "$SG"',
    f"aws iam remove-role-from-instance-profile --instance-profile-name {_NAME} --role-name {_NAME}",
    f"aws iam delete-instance-profile --instance-profile-name {_NAME}",
    f"POLICY=$(aws iam list-attached-role-policies --role-name {_NAME}"
    " --query 'AttachedPolicies[0].PolicyArn' --output text)",
    f'aws iam detach-role-policy --role-name {_NAME} --policy-arn "$POLICY"',
    f"aws iam delete-role --role-name {_NAME}",
)


def _expect(stack: str, settings: Settings) -> list[Moment]:
    # https://docs.aws.amazon.com/vpc/latest/userguide/flow-logs.html#flow-logs-basics
    records = "10 minutes" if settings.flow_logs.aggregation_seconds == _FINE_AGGREGATION else "20 minutes"
    every = _EVERY[settings.finding_publishing_frequency]
    kept = "" if settings.flow_logs.traffic_type == "ALL" else f" (only {settings.flow_logs.traffic_type} is recorded)"
    return [
        Moment("at once", "nmap lists the ports, closed: nothing listens on the target"),
        Moment(f"within about {records}", f"flow-log records in {names.log_group(stack)}{kept}"),
        Moment("after 5 to 30 minutes, at times later", f"the finding {FINDING_TYPE}, of medium severity"),
        Moment("within minutes of the finding", _mail(settings)),
        # https://docs.aws.amazon.com/guardduty/latest/ug/guardduty_findings_eventbridge.html
        Moment("on a second scan", f"the same finding, counted up, and mailed at most every {every}"),
    ]


_EVERY = {"FIFTEEN_MINUTES": "fifteen minutes", "ONE_HOUR": "hour", "SIX_HOURS": "six hours"}


def _mail(settings: Settings) -> str:
    expected = expectation([FINDING_TYPE], rules_of(settings), samples=False)
    stopped_by = expected.silent.get(FINDING_TYPE)
    if stopped_by:
        return f"no mail, because this stack does not alert on it: {stopped_by}"
    return f"the mail, by the rule {next(iter(expected.by_rule))}, to {', '.join(settings.alert_emails)}"
