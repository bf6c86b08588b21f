"""The roles of CI: who may assume them, and that they allow what deploying asks of AWS, and nothing else."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import Any, NamedTuple
from unittest.mock import patch

import pytest
import role_policies
import yaml
from botocore.client import BaseClient
from emulator.test_resources import CASES
from examples import ACCOUNT, OTHER_ACCOUNT, REGION, SLACK, SUBNET, TEAMS, VPC
from hypothesis import given
from hypothesis import strategies as st
from pulumi.runtime import MockResourceArgs
from role_policies import AwsAccount, deploy_policy, github, gitlab, preview_policy, state_policy, trust

from threatmon.emulator.account import EmulatedAccount
from threatmon.emulator.mocks import EmulatedMocks
from threatmon.emulator.program import plain, run_project
from threatmon.emulator.resources import emulated
from threatmon.evaluation.policy_evaluator import allows, statements
from threatmon.fleet import made
from threatmon.project import ROOT as PROJECT_ROOT

HERE = AwsAccount(ACCOUNT)
PREVIEW, DEPLOY = preview_policy(HERE), deploy_policy(HERE)
TAGS = {"project": "threat-monitor", "stack": "prod"}
READS = re.compile(r"(Get|List|Describe|Validate)[A-Z]\w*")
# What reads settings, but also what must stay unread: logs, messages, findings, what is encrypted.
CONTENTS = [
    "guardduty:GetFindings",
    "kms:Decrypt",
    "logs:FilterLogEvents",
    "logs:GetLogEvents",
    "logs:GetQueryResults",
    "logs:StartQuery",
    "logs:Unmask",
    "sns:ListSubscriptionsByTopic",
    "sqs:ReceiveMessage",
    "ssm:GetParameter",
    "secretsmanager:GetSecretValue",
    "s3:GetObject",
]
# The services that IAM names otherwise than botocore signs for them.
SERVICES = {"monitoring": "cloudwatch"}
# The emulated account finds a target among all rules and asks for a flow log's tags; the provider knows the rule and
# has the tags: https://github.com/hashicorp/terraform-provider-aws
EMULATION_ALONE = {"ec2:DescribeTags", "events:ListRules"}
# It needs no permission: https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html
FREE = {"sts:GetCallerIdentity"}
# What switches something off again, which no change of the emulated account's own tests does.
SWITCHED_OFF: Mapping[str, Mapping[str, Any]] = {
    "aws:kms/key:Key": {"enableKeyRotation": False},
    "aws:cloudwatch/logGroup:LogGroup": {"retentionInDays": 0},
}
# Allowed, though the emulated account never asks.
PROVIDER_ASKS = {
    "iam:ListAttachedRolePolicies": "a refresh reads the managed policies of a role (internal/service/iam/role.go)",
    "iam:ListInstanceProfilesForRole": "before deleting a role the provider looks for instance profiles (the same)",
    "iam:UpdateRoleDescription": "the provider changes a description by it (the same)",
    "iam:PassRole": "CreateFlowLogs hands the role to the service (docs.aws.amazon.com/vpc: flow-logs-iam-role); so do"
    " PutTargets, CreateStateMachine and the chat configurations",
    "iam:CreateServiceLinkedRole": "CreateDetector makes it (docs.aws.amazon.com/guardduty: slr-permissions), and the "
    "first chat configuration (docs.aws.amazon.com/chatbot: slr-permissions)",
    "kms:ListKeys": "`threatmon fleet up` looks for a key that an interrupted run made (threatmon/fleet/made.py)",
    "kms:DisableKey": "the provider sets the state of a key by it (internal/service/kms/key.go)",
    "states:ListStateMachineVersions": "a refresh looks for the newest version (internal/service/sfn/state_machine.go)",
    "states:ValidateStateMachineDefinition": "a preview has a changed definition validated (the same)",
}


class Call(NamedTuple):
    action: str
    parameters: Mapping[str, Any]


def recording(calls: list[Call]) -> Any:
    """Notes every call of botocore's clients down."""
    carry_out: Callable[..., Any] = BaseClient._make_api_call  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue]

    def note(client: Any, operation: str, parameters: Mapping[str, Any]) -> Any:
        service = client.meta.service_model.signing_name
        calls.append(Call(f"{SERVICES.get(service, service)}:{operation}", dict(parameters)))
        return carry_out(client, operation, parameters)

    return patch.object(BaseClient, "_make_api_call", note)


class Phases(NamedTuple):
    """Calls by what they were for."""

    reads: list[Call]
    changes: list[Call]


@pytest.fixture(scope="module")
def by_type() -> Phases:
    """Every resource type, created, read, updated and deleted."""
    phases = Phases([], [])
    for case in CASES:
        with EmulatedAccount(ACCOUNT, REGION, TAGS) as account:
            entry, inputs = emulated(case.type), case.inputs(account)
            with recording(phases.changes):
                physical_id, _ = entry.create(account, "logical", inputs)
            with recording(phases.reads):
                entry.read(account, physical_id)
            with recording(phases.changes):
                entry.update(account, physical_id, {**inputs, "tags": {"team": "a"}} if entry.tagging else inputs)
                outputs = entry.update(account, physical_id, {**inputs, **case.changes})
                account.default_tags = {}
                entry.update(account, physical_id, {**inputs, **SWITCHED_OFF.get(case.type, {})})
                entry.delete(account, physical_id, outputs)
    return phases


class Remembering(EmulatedMocks):
    """Keeps what was made: type, id, inputs and properties."""

    def __init__(self, account: EmulatedAccount) -> None:
        super().__init__(account)
        self.made: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = []

    def new_resource(self, args: MockResourceArgs) -> tuple[str | None, dict[Any, Any]]:
        id_, state = super().new_resource(args)
        if id_:
            self.made.append((args.typ, id_, plain(args.inputs), plain(state)))
        return id_, state


@pytest.fixture(scope="module")
def by_stack() -> Phases:
    """A stack with everything, under the names that its resources have: deployed, read, updated and destroyed."""
    phases = Phases([], [])
    subscriber = {"protocol": "sqs", "endpoint": f"arn:aws:sqs:eu-west-1:{ACCOUNT}:siem", "format": "raw"}
    config = {
        "threat-monitor:subnetIds": [SUBNET],
        "threat-monitor:vpcIds": [VPC],
        "threat-monitor:alertEmails": ["a@example.com"],
        "threat-monitor:alerts": {"subscribers": [subscriber], "slack": SLACK, "teams": TEAMS},
        "threat-monitor:health": {"enabled": True},
    }
    with EmulatedAccount(ACCOUNT, REGION, TAGS) as account:
        account.seed_vpc(VPC)
        account.seed_subnet(SUBNET)
        mocks = Remembering(account)
        with recording(phases.changes):
            run_project(config, mocks, stack="prod")
        with recording(phases.reads):
            for type_, id_, _, _ in mocks.made:
                emulated(type_).read(account, id_)
        with recording(phases.changes):
            for type_, id_, inputs, _ in mocks.made:
                emulated(type_).update(account, id_, inputs)
            for type_, id_, _, outputs in reversed(mocks.made):
                emulated(type_).delete(account, id_, outputs)
    return phases


def actions(document: Mapping[str, Any]) -> set[str]:
    return {action for statement in statements(document) for action in statement["Action"]}


def asked(phases: Phases) -> set[str]:
    return {call.action for calls in phases for call in calls} - EMULATION_ALONE - FREE


# Parameter -> the ARN of what it names, as `service:region:resource`.
_ALARM, _DASHBOARD, _FLOW_LOG = "cloudwatch:*:alarm:{}", "cloudwatch::dashboard/{}", "ec2:*:vpc-flow-log/{}"
_KEY, _MACHINE, _QUEUE = "kms:*:key/{}", "states:*:stateMachine:{}", "sqs:*:{}"
_RULE, _TOPIC = "events:*:rule/{}", "sns:*:{}"
NAMED_BY: Mapping[str, str] = {
    **dict.fromkeys(("cloudwatch AlarmName", "cloudwatch AlarmNames", "cloudwatch ResourceARN"), _ALARM),
    **dict.fromkeys(("cloudwatch DashboardName", "cloudwatch DashboardNames"), _DASHBOARD),
    **dict.fromkeys(("ec2 FlowLogIds", "ec2 Resources"), _FLOW_LOG),
    **dict.fromkeys(("events Name", "events ResourceARN", "events Rule"), _RULE),
    **dict.fromkeys(("kms KeyId", "kms TargetKeyId"), _KEY),
    **dict.fromkeys(("sns Name", "sns ResourceArn", "sns SubscriptionArn", "sns TopicArn"), _TOPIC),
    **dict.fromkeys(("sqs QueueName", "sqs QueueUrl"), _QUEUE),
    **dict.fromkeys(("states name", "states resourceArn", "states stateMachineArn"), _MACHINE),
    **dict.fromkeys(("chatbot ChatConfigurationArn", "chatbot ResourceARN"), "chatbot::{}"),
    "ec2 ResourceIds": "ec2:*:{kind}/{}",
    "guardduty DetectorId": "guardduty:*:detector/{}",
    "guardduty ResourceArn": "guardduty:*:{}",
    "iam RoleName": "iam::role/{}",
    "kms AliasName": "kms:*:{}",
    "logs logGroupName": "logs:*:log-group:{}",
    "logs resourceArn": "logs:*:{}",
}


def resources(call: Call) -> Iterator[str]:
    """ARNs of what a call is about, as IAM sees them."""
    for parameter, value in call.parameters.items():
        form = NAMED_BY.get(f"{call.action.partition(':')[0]} {parameter}")
        for text in (value if isinstance(value, list) else [value]) if form else []:
            name = text.rpartition("/")[2] if text.startswith("https:") else text
            service, region, resource = str(form).replace("*", REGION).split(":", 2)
            arn = HERE.arn(service, resource.format(name, kind=name.partition("-")[0]), region)
            yield name if name.startswith("arn:") else arn


def refused(policy: Mapping[str, Any], calls: list[Call]) -> list[str]:
    """The calls that the policy does not allow, on what they are about."""
    text, tagged = json.dumps(policy), {"aws:ResourceTag/project": "threat-monitor"}
    return sorted(
        {
            f"{call.action} on {arn}"
            for call in calls
            if call.action not in EMULATION_ALONE | FREE
            for arn in (list(resources(call)) or ["*"])
            if not allows(text, call.action, arn, context=tagged)
        }
    )


# -- what they allow ---------------------------------------------------------------------------------------------------


def test_whoever_deploys_may_do_all_that_every_resource_type_asks(by_type: Phases) -> None:
    assert asked(by_type) - actions(DEPLOY) == set()


def test_whoever_previews_may_read_every_resource_type(by_type: Phases) -> None:
    assert {call.action for call in by_type.reads} - EMULATION_ALONE - actions(PREVIEW) == set()


def test_a_whole_stack_can_be_deployed_updated_and_destroyed_under_its_own_names(by_stack: Phases) -> None:
    assert len(by_stack.changes) > 200
    assert refused(DEPLOY, by_stack.changes) == []


def test_a_whole_stack_can_be_read_under_its_own_names(by_stack: Phases) -> None:
    assert len(by_stack.reads) > 50
    assert refused(PREVIEW, by_stack.reads) == []


def test_whoever_deploys_may_look_for_what_an_interrupted_run_has_made() -> None:
    assert set(made.PERMISSIONS) <= actions(DEPLOY)


def test_what_is_allowed_is_asked_or_has_a_reason(by_type: Phases, by_stack: Phases) -> None:
    unasked = actions(DEPLOY) - asked(by_type) - asked(by_stack)
    assert unasked == PROVIDER_ASKS.keys()


def test_what_the_emulation_alone_asks_is_not_allowed(by_type: Phases) -> None:
    assert {call.action for calls in by_type for call in calls} >= EMULATION_ALONE
    assert not EMULATION_ALONE & actions(DEPLOY)


# -- and nothing else --------------------------------------------------------------------------------------------------


def test_whoever_previews_changes_nothing() -> None:
    assert [action for action in actions(PREVIEW) if not READS.fullmatch(action.partition(":")[2])] == []
    assert actions(PREVIEW) < actions(DEPLOY)


@pytest.mark.parametrize("policy", [PREVIEW, DEPLOY], ids=["preview", "deploy"])
def test_every_action_is_named_in_full_and_none_reads_logs_messages_findings_or_secrets(policy: dict[str, Any]) -> None:
    assert actions(policy).isdisjoint(CONTENTS)
    assert [action for action in actions(policy) if "*" in action or "?" in action] == []


@pytest.mark.parametrize("policy", [PREVIEW, DEPLOY], ids=["preview", "deploy"])
def test_a_statement_is_for_everything_only_if_iam_leaves_no_choice(policy: dict[str, Any]) -> None:
    for statement in statements(policy):
        assert (statement["Resource"] == ["*"]) is (statement["Sid"] == "NoResourceToNarrowTo")
        assert all(arn == "*" or f":{ACCOUNT}:" in arn for arn in statement["Resource"])


def test_whole_kinds_of_resources_are_those_that_have_no_names() -> None:
    whole = {arn.split(":", 5)[5] for one in statements(DEPLOY) for arn in one["Resource"] if arn.endswith("/*")}
    assert whole == {
        "detector/*",
        "key/*",
        "log-group:/threat-monitor/*",
        "role/aws-service-role/*",
        "subnet/*",
        "vpc-flow-log/*",
        "vpc/*",
    }


@pytest.mark.parametrize(
    ("action", "service", "resource"),
    [
        ("sns:DeleteTopic", "sns", "orders"),
        ("sqs:DeleteQueue", "sqs", "orders"),
        ("events:DeleteRule", "events", "rule/orders"),
        ("logs:DeleteLogGroup", "logs", "log-group:/aws/lambda/orders"),
        ("logs:DeleteLogGroup", "logs", "log-group:/aws/vendedlogs/states/orders"),
        ("states:UpdateStateMachine", "states", "stateMachine:orders"),
        ("chatbot:UpdateSlackChannelConfiguration", "chatbot", "chat-configuration/slack-channel/orders"),
        ("iam:PutRolePolicy", "iam", "role/orders-role-0f6ea24"),
        ("cloudwatch:DeleteAlarms", "cloudwatch", "alarm:orders"),
        ("kms:DeleteAlias", "kms", "alias/orders"),
        ("kms:ScheduleKeyDeletion", "kms", "key/1234abcd-12ab-34cd-56ef-1234567890ab"),
        ("ec2:CreateTags", "ec2", "instance/i-0123456789abcdef0"),
        ("ec2:CreateFlowLogs", "ec2", "network-interface/eni-0123456789abcdef0"),
    ],
)
def test_what_belongs_to_others_is_out_of_reach(action: str, service: str, resource: str) -> None:
    region = "" if service in {"chatbot", "iam"} else REGION
    assert not allows(json.dumps(DEPLOY), action, HERE.arn(service, resource, region))


@pytest.mark.parametrize("role", [role_policies.DEPLOY_ROLE, role_policies.STATE_WRITE_ROLE, "admin"])
def test_the_roles_of_ci_are_out_of_reach_too(role: str) -> None:
    arn = HERE.arn("iam", f"role/{role}", "")
    assert [
        action for action in actions(DEPLOY) if action.startswith("iam:") and allows(json.dumps(DEPLOY), action, arn)
    ] == []


def test_another_account_is_out_of_reach() -> None:
    others = [
        arn.replace(ACCOUNT, OTHER_ACCOUNT) for one in statements(DEPLOY) for arn in one["Resource"] if arn != "*"
    ]
    narrow = actions(DEPLOY) - set(statements(DEPLOY)[0]["Action"])
    assert [(action, arn) for action in narrow for arn in others if allows(json.dumps(DEPLOY), action, arn)] == []


@pytest.mark.parametrize(
    ("action", "service", "resource", "key", "allowed", "others"),
    [
        ("kms:ScheduleKeyDeletion", "kms", "key/1234abcd", "aws:ResourceTag/project", "threat-monitor", "payments"),
        (
            "iam:PassRole",
            "iam",
            "role/threat-monitor-prod-flow-logs-role-eu-west-1",
            "iam:PassedToService",
            "vpc-flow-logs.amazonaws.com",
            "lambda.amazonaws.com",
        ),
        *(
            (
                "iam:PassRole",
                "iam",
                f"role/threat-monitor-prod-alerts-{what}-role-eu-west-1",
                "iam:PassedToService",
                f"{name}.amazonaws.com",
                "ec2.amazonaws.com",
            )
            for what, name in (("start", "events"), ("formatter", "states"), ("chat", "chatbot"))
        ),
        (
            "iam:CreateServiceLinkedRole",
            "iam",
            "role/aws-service-role/management.chatbot.amazonaws.com/AWSServiceRoleForAWSChatbot",
            "iam:AWSServiceName",
            "management.chatbot.amazonaws.com",
            "autoscaling.amazonaws.com",
        ),
        (
            "iam:CreateServiceLinkedRole",
            "iam",
            "role/aws-service-role/guardduty.amazonaws.com/AWSServiceRole",
            "iam:AWSServiceName",
            "guardduty.amazonaws.com",
            "spot.amazonaws.com",
        ),
    ],
)
def test_some_rights_hang_on_what_they_are_used_for(
    action: str, service: str, resource: str, key: str, allowed: str, others: str
) -> None:
    arn, text = HERE.arn(service, resource, "" if service == "iam" else REGION), json.dumps(DEPLOY)
    assert allows(text, action, arn, context={key: allowed})
    assert not allows(text, action, arn, context={key: others})
    assert not allows(text, action, arn)


def test_within_a_boundary_no_role_gets_rights_without_it() -> None:
    text, role = (
        json.dumps(deploy_policy(HERE, bounded=True)),
        HERE.arn("iam", "role/threat-monitor-prod-flow-logs-role-eu-west-1", ""),
    )
    boundary = HERE.arn("iam", f"policy/{role_policies.BOUNDARY}", "")
    for action in ("iam:CreateRole", "iam:PutRolePolicy"):
        assert allows(json.dumps(DEPLOY), action, role)
        assert not allows(text, action, role)
        assert allows(text, action, role, context={"iam:PermissionsBoundary": boundary})
        assert not allows(
            text, action, role, context={"iam:PermissionsBoundary": "arn:aws:iam::aws:policy/ReadOnlyAccess"}
        )
    assert not {"iam:DeleteRolePermissionsBoundary", "iam:AttachRolePolicy"} & actions(json.loads(text))
    assert not [
        action for action in actions(json.loads(text)) if action.startswith("iam:") and allows(text, action, boundary)
    ]


def test_the_boundary_allows_what_the_roles_of_a_stack_have_to_do(by_stack: Phases) -> None:
    written = [call.parameters["PolicyDocument"] for call in by_stack.changes if call.action == "iam:PutRolePolicy"]
    needed = set[str]()
    for statement in (statement for document in written for statement in statements(json.loads(document))):
        conditions = [pair for operator in statement.get("Condition", {}).values() for pair in operator.items()]
        for action, arn in product(as_list(statement["Action"]), as_list(statement["Resource"])):
            needed.add(action)
            for values in product(*(as_list(values) for _, values in conditions)):
                context = dict(zip((key for key, _ in conditions), values, strict=True))
                assert allows(BOUNDARY, action, arn, context=context), (action, arn, context)
    assert needed == actions(json.loads(BOUNDARY))


BOUNDARY = json.dumps(role_policies.boundary_policy(HERE))


def arn_of(resource: str) -> str:
    if resource == "*":
        return resource
    name, region, rest = resource.split(":", 2)
    return HERE.arn(name, rest, region.replace("*", REGION))


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def via(name: str) -> dict[str, str]:
    return {"kms:ViaService": f"{name}.{REGION}.amazonaws.com"}


@pytest.mark.parametrize(
    ("action", "resource", "context"),
    [
        ("logs:PutLogEvents", "logs:*:log-group:/aws/x:*", {}),
        ("states:StartExecution", "states:*:stateMachine:orders", {}),
        ("sns:Publish", "sns:*:orders", {}),
        ("sqs:SendMessage", "sqs:*:orders", {}),
        ("kms:Decrypt", "kms:*:key/1234abcd", {}),
        ("kms:Decrypt", "kms:*:key/1234abcd", via("s3")),
        ("cloudwatch:PutMetricData", "*", {}),
        ("cloudwatch:PutMetricData", "*", {"cloudwatch:namespace": "Orders"}),
        ("iam:CreateUser", "iam::user/any", {}),
        ("sts:AssumeRole", "iam::role/admin", {}),
    ],
)
def test_the_boundary_allows_nothing_beside(action: str, resource: str, context: dict[str, str]) -> None:
    assert not allows(BOUNDARY, action, arn_of(resource), context=context)


# -- quotas ------------------------------------------------------------------------------------------------------------


# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html: of all inline policies of a role together
# it is 10,240, of which each has one.
MANAGED_POLICY = 6_144


@pytest.mark.parametrize("partition", ["aws", "aws-us-gov", "aws-cn"])
@pytest.mark.parametrize("bounded", [False, True])
def test_each_policy_fits_a_managed_and_an_inline_one(partition: str, bounded: bool) -> None:
    account = AwsAccount(ACCOUNT, partition)
    for policy in (
        preview_policy(account),
        deploy_policy(account, bounded=bounded),
        role_policies.boundary_policy(account),
    ):
        assert len("".join(json.dumps(policy).split())) <= MANAGED_POLICY
        assert f"arn:{partition}:" in json.dumps(policy)


@pytest.mark.parametrize(
    "policy", [PREVIEW, DEPLOY, deploy_policy(HERE, bounded=True), role_policies.boundary_policy(HERE)]
)
def test_each_policy_is_one_that_iam_takes(policy: dict[str, Any]) -> None:
    with EmulatedAccount(ACCOUNT, REGION) as account:
        account.client("iam").create_policy(PolicyName="any", PolicyDocument=json.dumps(policy))
    sids = [statement["Sid"] for statement in statements(policy)]
    assert len(sids) == len(set(sids))
    assert all(sid.isalnum() for sid in sids)


def test_the_grants_name_each_action_once_for_each_kind_of_resource() -> None:
    for grant in role_policies.GRANTS:
        reads, writes = grant.reads.split(), grant.writes.split()
        assert [*reads, *writes] == list(dict.fromkeys(reads + writes))
        assert (reads, writes) == (sorted(reads), sorted(writes))


# -- who ---------------------------------------------------------------------------------------------------------------

ISSUER = "token.actions.githubusercontent.com"


def assumes(document: dict[str, Any], subject: str, audience: str = "sts.amazonaws.com", issuer: str = ISSUER) -> bool:
    [statement] = statements(document)
    assert statement["Action"] == "sts:AssumeRoleWithWebIdentity"
    assert statement["Principal"] == {"Federated": f"arn:aws:iam::{ACCOUNT}:oidc-provider/{issuer}"}
    context = {f"{issuer}:aud": audience, f"{issuer}:sub": subject}
    return allows(json.dumps(document), "sts:AssumeRoleWithWebIdentity", "*", context=context)


REPOSITORIES = ["Octo-Org/octo.repo", "octo-org@123456/octo-repo@456789"]


@pytest.mark.parametrize("repository", REPOSITORIES)
def test_pull_requests_and_main_preview_and_the_two_environments_deploy(repository: str) -> None:
    jobs = github(repository)
    ends = ["pull_request", "ref:refs/heads/main", "ref:refs/heads/x", "environment:canary", "environment:production"]
    previews, deploys = trust(HERE, jobs, jobs.previews), trust(HERE, jobs, jobs.deploys)
    assert [end for end in ends if assumes(previews, f"repo:{repository}:{end}")] == ends[:2]
    assert [end for end in ends if assumes(deploys, f"repo:{repository}:{end}")] == ends[3:]


@pytest.mark.parametrize(
    "subject",
    [
        "repo:octo-org/octo-repo-2:pull_request",
        "repo:Octo-Org/octo-repo:pull_request",
        "repo:octo-org/octo-repo:pull_request:x",
        "repo:octo-org@1/octo-repo@2:pull_request",
    ],
)
def test_githubs_subjects_are_compared_exactly(subject: str) -> None:
    jobs = github("octo-org/octo-repo")
    document = trust(HERE, jobs, [*jobs.previews, *jobs.deploys])
    assert not assumes(document, subject)
    [statement] = statements(document)
    assert statement["Condition"].keys() == {"StringEquals"}
    assert "*" not in json.dumps(statement["Condition"])


def test_a_token_that_is_not_meant_for_aws_gets_in_nowhere() -> None:
    jobs = github("octo-org/octo-repo")
    document = trust(HERE, jobs, jobs.previews)
    assert assumes(document, "repo:octo-org/octo-repo:pull_request")
    assert not assumes(document, "repo:octo-org/octo-repo:pull_request", audience="https://github.com/octo-org")


@pytest.mark.parametrize("repository", ["", "octo-repo", "octo-org/*", "octo-org/a:ref", "a/b/c", "o@1/r", "o/r@2"])
def test_what_is_no_repository_is_refused(repository: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f'repository: "{repository}" is neither OWNER/NAME nor')):
        github(repository)


@given(st.text())
def test_no_repository_brings_a_wildcard_or_a_second_claim_into_a_subject(repository: str) -> None:
    try:
        jobs = github(repository)
    except ValueError:
        return
    for subject in (*jobs.previews, *jobs.deploys):
        assert re.fullmatch(r"repo:[^:*?/]+/[^:*?/]+:(pull_request|ref:refs/heads/main|environment:\w+)", subject)


@given(st.text(), st.text())
def test_no_gitlab_project_brings_a_wildcard_of_its_own(project: str, host: str) -> None:
    try:
        jobs = gitlab(project, host)
    except ValueError:
        return
    assert not set("*?:$ ") & {*project, *host}
    assert jobs.deploys == [f"project_path:{project}:ref_type:branch:ref:main"]


def test_a_branch_of_the_gitlab_project_previews_and_main_deploys() -> None:
    jobs = gitlab("group/sub/project", "gitlab.example.com")
    previews, deploys = trust(HERE, jobs, jobs.previews), trust(HERE, jobs, jobs.deploys)

    def may(document: dict[str, Any], subject: str) -> bool:
        return assumes(document, f"project_path:{subject}", "https://gitlab.example.com", "gitlab.example.com")

    assert may(previews, "group/sub/project:ref_type:branch:ref:feature")
    assert not may(deploys, "group/sub/project:ref_type:branch:ref:feature")
    assert may(deploys, "group/sub/project:ref_type:branch:ref:main")
    assert not may(deploys, "group/sub/project:ref_type:branch:ref:main2")
    assert not may(previews, "group/sub/project2:ref_type:branch:ref:main")
    assert not may(previews, "fork/project:ref_type:branch:ref:feature")
    assert not may(previews, "group/sub/project:ref_type:tag:ref:v1")


# -- state -------------------------------------------------------------------------------------------------------------


def test_a_preview_reads_the_state_and_cannot_change_it() -> None:
    key = f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/1234abcd"
    assert actions(state_policy(HERE, "state", key)) == {"s3:ListBucket", "s3:GetObject", "kms:Decrypt", "kms:Encrypt"}
    assert actions(state_policy(HERE, "state")) == {"s3:ListBucket", "s3:GetObject"}
    added = actions(state_policy(HERE, "state", key, write=True)) - actions(state_policy(HERE, "state", key))
    assert added == {"s3:DeleteObject", "s3:PutObject"}


def test_the_state_is_one_bucket_and_one_key() -> None:
    key = f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/1234abcd"
    text = json.dumps(state_policy(AwsAccount(ACCOUNT, "aws-cn"), "state", key, write=True))
    assert allows(text, "s3:PutObject", "arn:aws-cn:s3:::state/.pulumi/stacks/threat-monitor/prod.json")
    assert not allows(text, "s3:PutObject", "arn:aws-cn:s3:::state2/.pulumi/stacks/threat-monitor/prod.json")
    assert not allows(text, "s3:PutObject", "arn:aws-cn:s3:::state/other")
    assert not allows(text, "kms:Decrypt", f"{key}9")


def test_the_stack_files_give_keys_the_tag_by_which_ci_knows_them() -> None:
    files = sorted(PROJECT_ROOT.glob("Pulumi.*.yaml"))
    assert files
    key, value = role_policies.KEY_TAG
    for file in files:
        config = yaml.safe_load(file.read_text(encoding="utf-8"))["config"]
        assert config["aws:defaultTags"]["tags"][key] == value, file.name
