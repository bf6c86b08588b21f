"""Each resource type, created, read back through boto3, updated and deleted."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.exceptions import ClientError
from examples import ACCOUNT, DETECTOR_ID, SUBNET

from threatmon.emulator.account import EmulatedAccount
from threatmon.emulator.constraints import ConstraintError
from threatmon.emulator.emulated import NotEmulatedError, same
from threatmon.emulator.resources import RESOURCES, emulated

Properties = dict[str, Any]


def _policy(**statement: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement}]})


ROOT = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
KEY_POLICY = _policy(Principal=ROOT, Action="kms:*", Resource="*")
TRUST = _policy(Principal={"Service": "vpc-flow-logs.amazonaws.com"}, Action="sts:AssumeRole")
WRITE = _policy(Action=["logs:CreateLogStream", "logs:PutLogEvents"], Resource="*")
PATTERN = '{"source":["aws.guardduty"]}'
START = _policy(Principal={"Service": "states.amazonaws.com"}, Action="sts:AssumeRole")
CHAT = _policy(Principal={"Service": "chatbot.amazonaws.com"}, Action="sts:AssumeRole")
MACHINE = json.dumps({"QueryLanguage": "JSONata", "StartAt": "A", "States": {"A": {"Type": "Succeed"}}})
ENDPOINT = "https://global.sns-api.chatbot.amazonaws.com"
SLACK = "aws:chatbot/slackChannelConfiguration:SlackChannelConfiguration"
TEAMS = "aws:chatbot/teamsChannelConfiguration:TeamsChannelConfiguration"
STATE_MACHINE = "aws:sfn/stateMachine:StateMachine"
SUBSCRIPTION = "aws:sns/topicSubscription:TopicSubscription"


HIGH = '{"severity":[{"numeric":[">=",7]}]}'
DETAIL = '{"detail":{"severity":[{"numeric":[">=",9]}]}}'


def make(account: EmulatedAccount, type_: str, **inputs: Any) -> Properties:
    """Create a resource that another one needs, and return its outputs."""
    return emulated(type_).create(account, "needed", inputs)[1]


def a_key(account: EmulatedAccount) -> Properties:
    return make(account, "aws:kms/key:Key", policy=KEY_POLICY)


def a_topic(account: EmulatedAccount) -> Properties:
    return make(account, "aws:sns/topic:Topic")


def a_queue(account: EmulatedAccount) -> Properties:
    return make(account, "aws:sqs/queue:Queue")


def a_role(account: EmulatedAccount, trust: str = TRUST) -> Properties:
    return make(account, "aws:iam/role:Role", assumeRolePolicy=trust)


def a_machine(account: EmulatedAccount) -> Properties:
    return {"name": "formatter", "definition": MACHINE, "roleArn": a_role(account, START)["arn"]}


def a_channel(account: EmulatedAccount) -> Properties:
    return {
        "configurationName": "threats",
        "iamRoleArn": a_role(account, CHAT)["arn"],
        "snsTopicArns": [a_topic(account)["arn"]],
        "guardrailPolicyArns": ["arn:aws:iam::aws:policy/AWSDenyAll"],
    }


def slack(account: EmulatedAccount) -> Properties:
    return {**a_channel(account), "slackTeamId": "T07EA123LEP", "slackChannelId": "C07EZ1ABC23"}


def teams(account: EmulatedAccount) -> Properties:
    ids = {"teamId": "74361522-da01-538d-aa2e-ac7918c6bb92", "tenantId": "74361522-da01-538d-aa2e-ac7918c6bb93"}
    return {**a_channel(account), **ids, "channelId": "19%3aabc%40thread.tacv2"}


def a_log_group(account: EmulatedAccount) -> Properties:
    return make(account, "aws:cloudwatch/logGroup:LogGroup", name="/flow-logs")


def a_rule(account: EmulatedAccount) -> Properties:
    return make(account, "aws:cloudwatch/eventRule:EventRule", eventPattern=PATTERN)


def a_flow_log(account: EmulatedAccount) -> Properties:
    account.seed_subnet(SUBNET)
    return {
        "subnetId": SUBNET,
        "trafficType": "ALL",
        "iamRoleArn": a_role(account)["arn"],
        "logDestination": a_log_group(account)["arn"],
        "maxAggregationInterval": 60.0,
    }


def a_feature(account: EmulatedAccount) -> Properties:
    account.seed_detector(DETECTOR_ID)
    return {"detectorId": DETECTOR_ID, "name": "S3_DATA_EVENTS", "status": "ENABLED"}


def a_target(account: EmulatedAccount) -> Properties:
    return {
        "rule": a_rule(account)["name"],
        "targetId": "mail",
        "arn": a_topic(account)["arn"],
        "deadLetterConfig": {"arn": a_queue(account)["arn"]},
        "roleArn": a_role(account)["arn"],
    }


def an_alarm(_: EmulatedAccount) -> Properties:
    metric = {
        "metricName": "NumberOfMessagesSent",
        "namespace": "AWS/SQS",
        "period": 300.0,
        "stat": "Sum",
        "dimensions": {"QueueName": "lost"},
    }
    return {
        "metricQueries": [
            {"id": "all", "expression": "a+b", "label": "All", "returnData": True},
            {"id": "a", "metric": metric, "returnData": False},
        ],
        "comparisonOperator": "GreaterThanThreshold",
        "evaluationPeriods": 1.0,
        "threshold": 0.0,
    }


def _alarm(account: EmulatedAccount, name: str) -> Properties:
    return account.client("cloudwatch").describe_alarms(AlarmNames=[name])["MetricAlarms"][0]


def _targets(account: EmulatedAccount, _: str) -> Properties:
    events = account.client("events")
    [rule] = events.list_rules()["Rules"]
    return events.list_targets_by_rule(Rule=rule["Name"])["Targets"][0]


def _alias(account: EmulatedAccount, name: str) -> Properties:
    aliases = account.client("kms").list_aliases()["Aliases"]
    return next(alias for alias in aliases if alias["AliasName"] == name)


def _feature(account: EmulatedAccount, physical_id: str) -> Properties:
    detector_id, name = physical_id.split("/")
    features = account.client("guardduty").get_detector(DetectorId=detector_id)["Features"]
    return next(feature for feature in features if feature["Name"] == name)


def _flow_log(account: EmulatedAccount, physical_id: str) -> Properties:
    return account.client("ec2").describe_flow_logs(FlowLogIds=[physical_id])["FlowLogs"][0]


def _query(account: EmulatedAccount, physical_id: str) -> Properties:
    definitions = account.client("logs").describe_query_definitions()["queryDefinitions"]
    return next(definition for definition in definitions if definition["queryDefinitionId"] == physical_id)


def _role_policy(account: EmulatedAccount, physical_id: str) -> Properties:
    role, name = physical_id.split(":")
    return account.client("iam").get_role_policy(RoleName=role, PolicyName=name)


def _queue(account: EmulatedAccount, url: str) -> Properties:
    return account.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]


def _topic(account: EmulatedAccount, arn: str) -> Properties:
    return account.client("sns").get_topic_attributes(TopicArn=arn)["Attributes"]


def _machine(account: EmulatedAccount, arn: str) -> Properties:
    return account.client("stepfunctions").describe_state_machine(stateMachineArn=arn)


def _slack(account: EmulatedAccount, arn: str) -> Properties:
    chatbot = account.client("chatbot")
    return chatbot.describe_slack_channel_configurations(ChatConfigurationArn=arn)["SlackChannelConfigurations"][0]


def _teams(account: EmulatedAccount, team_id: str) -> Properties:
    chatbot = account.client("chatbot")
    return chatbot.list_microsoft_teams_channel_configurations(TeamId=team_id)["TeamChannelConfigurations"][0]


def _subscribed(account: EmulatedAccount) -> list[str]:
    """Return the topics that the chat service is subscribed to, confirmed."""
    subscriptions = account.client("sns").list_subscriptions()["Subscriptions"]
    assert all(entry["SubscriptionArn"] != "PendingConfirmation" for entry in subscriptions)
    return [
        entry["TopicArn"] for entry in subscriptions if (entry["Endpoint"], entry["Protocol"]) == (ENDPOINT, "https")
    ]


@dataclass(frozen=True)
class Case:
    """A type with inputs, what AWS then says, new inputs, and what AWS says after the update."""

    type: str
    inputs: Callable[[EmulatedAccount], Properties]
    read: Callable[[EmulatedAccount, str], Properties]
    created: Properties
    changes: Properties = field(default_factory=dict[str, Any])
    updated: Properties = field(default_factory=dict[str, Any])
    survives: bool = False


CASES = [
    Case(
        "aws:kms/key:Key",
        lambda _: {"description": "old", "policy": KEY_POLICY},
        lambda account, key: account.client("kms").describe_key(KeyId=key)["KeyMetadata"],
        {"Description": "old", "KeyState": "Enabled"},
        {"description": "new", "enableKeyRotation": True},
        {"Description": "new", "KeyState": "Enabled"},
    ),
    Case(
        "aws:kms/alias:Alias",
        lambda account: {"name": "alias/logs", "targetKeyId": a_key(account)["keyId"]},
        _alias,
        {"AliasName": "alias/logs"},
    ),
    Case(
        "aws:cloudwatch/logGroup:LogGroup",
        lambda _: {"name": "/logs", "retentionInDays": 365.0, "logGroupClass": "INFREQUENT_ACCESS"},
        lambda account, name: account.client("logs").describe_log_groups(logGroupNamePrefix=name)["logGroups"][0],
        {"logGroupName": "/logs", "retentionInDays": 365, "logGroupClass": "INFREQUENT_ACCESS"},
        {"retentionInDays": 30},
        {"retentionInDays": 30},
    ),
    Case(
        "aws:cloudwatch/queryDefinition:QueryDefinition",
        lambda _: {"name": "talkers", "queryString": "fields @message", "logGroupNames": ["/logs"]},
        _query,
        {"name": "talkers", "logGroupNames": ["/logs"]},
        {"queryString": "fields @timestamp"},
        {"queryString": "fields @timestamp"},
    ),
    Case(
        "aws:cloudwatch/eventRule:EventRule",
        lambda _: {"name": "high", "eventPattern": PATTERN},
        lambda account, name: account.client("events").describe_rule(Name=name),
        {"Name": "high", "EventPattern": PATTERN, "State": "ENABLED"},
        {"description": "High", "state": "DISABLED"},
        {"Description": "High", "State": "DISABLED"},
    ),
    Case(
        "aws:cloudwatch/eventTarget:EventTarget",
        a_target,
        _targets,
        {"Id": "mail"},
        {"retryPolicy": {"maximumEventAgeInSeconds": 3600.0, "maximumRetryAttempts": 5.0}},
        {"RetryPolicy": {"MaximumEventAgeInSeconds": 3600, "MaximumRetryAttempts": 5}},
    ),
    Case(
        "aws:cloudwatch/dashboard:Dashboard",
        lambda _: {"dashboardName": "threats", "dashboardBody": '{"widgets":[]}'},
        lambda account, name: account.client("cloudwatch").get_dashboard(DashboardName=name),
        {"DashboardName": "threats", "DashboardBody": '{"widgets":[]}'},
        {"dashboardBody": '{"widgets":[],"start":"-PT3H"}'},
        {"DashboardBody": '{"widgets":[],"start":"-PT3H"}'},
    ),
    Case(
        "aws:cloudwatch/metricAlarm:MetricAlarm",
        an_alarm,
        _alarm,
        {"Threshold": 0.0, "EvaluationPeriods": 1},
        {"threshold": 5.0},
        {"Threshold": 5.0},
    ),
    Case(
        "aws:iam/role:Role",
        lambda _: {"name": "writer", "assumeRolePolicy": TRUST},
        lambda account, name: account.client("iam").get_role(RoleName=name)["Role"],
        {"RoleName": "writer", "AssumeRolePolicyDocument": json.loads(TRUST)},
        {"description": "Writes"},
        {"Description": "Writes"},
    ),
    Case(
        "aws:iam/rolePolicy:RolePolicy",
        lambda account: {"name": "write", "role": a_role(account)["name"], "policy": WRITE},
        _role_policy,
        {"PolicyName": "write", "PolicyDocument": json.loads(WRITE)},
        {"policy": WRITE.replace("PutLogEvents", "DescribeLogStreams")},
        {"PolicyDocument": json.loads(WRITE.replace("PutLogEvents", "DescribeLogStreams"))},
    ),
    Case(
        "aws:ec2/flowLog:FlowLog",
        a_flow_log,
        _flow_log,
        {"ResourceId": SUBNET, "TrafficType": "ALL", "MaxAggregationInterval": 60, "LogGroupName": "/flow-logs"},
        {"tags": {"team": "security"}},
        {"Tags": [{"Key": "team", "Value": "security"}]},
    ),
    Case(
        "aws:guardduty/detector:Detector",
        lambda _: {"enable": True, "findingPublishingFrequency": "SIX_HOURS"},
        lambda account, detector: account.client("guardduty").get_detector(DetectorId=detector),
        {"Status": "ENABLED", "FindingPublishingFrequency": "SIX_HOURS"},
        {"enable": False, "tags": {"team": "security"}},
        {"Status": "DISABLED", "Tags": {"team": "security"}},
    ),
    Case(
        "aws:guardduty/detectorFeature:DetectorFeature",
        a_feature,
        _feature,
        {"Name": "S3_DATA_EVENTS", "Status": "ENABLED"},
        {"status": "DISABLED"},
        {"Status": "DISABLED"},
        survives=True,
    ),
    Case(
        "aws:sns/topic:Topic",
        lambda account: {"name": "alerts", "kmsMasterKeyId": a_key(account)["arn"]},
        _topic,
        {"TopicArn": f"arn:aws:sns:eu-west-1:{ACCOUNT}:alerts", "Owner": ACCOUNT},
        {"displayName": "Threats"},
        {"DisplayName": "Threats"},
    ),
    Case(
        "aws:sns/topicPolicy:TopicPolicy",
        lambda account: {
            "arn": a_topic(account)["arn"],
            "policy": _policy(Principal=ROOT, Action="sns:Publish", Resource="*"),
        },
        lambda account, arn: json.loads(_topic(account, arn)["Policy"])["Statement"][0],
        {"Action": "sns:Publish", "Principal": ROOT},
        {"policy": _policy(Principal=ROOT, Action="sns:Subscribe", Resource="*")},
        {"Action": "sns:Subscribe"},
        survives=True,
    ),
    Case(
        SUBSCRIPTION,
        lambda account: {
            "topic": a_topic(account)["arn"],
            "protocol": "email",
            "endpoint": "a@example.com",
            "filterPolicy": HIGH,
        },
        lambda account, arn: account.client("sns").get_subscription_attributes(SubscriptionArn=arn)["Attributes"],
        {"Protocol": "email", "Endpoint": "a@example.com", "FilterPolicy": HIGH},
        {"filterPolicy": DETAIL, "filterPolicyScope": "MessageBody"},
        {"FilterPolicy": DETAIL, "FilterPolicyScope": "MessageBody"},
    ),
    Case(
        STATE_MACHINE,
        a_machine,
        _machine,
        {"name": "formatter", "definition": MACHINE, "type": "STANDARD", "status": "ACTIVE"},
        {"definition": MACHINE.replace('"A"', '"B"')},
        {"definition": MACHINE.replace('"A"', '"B"')},
    ),
    Case(
        SLACK,
        slack,
        _slack,
        {"SlackChannelId": "C07EZ1ABC23", "LoggingLevel": "NONE", "UserAuthorizationRequired": False},
        {"slackChannelId": "C07EZ1ABC24", "loggingLevel": "ERROR"},
        {"SlackChannelId": "C07EZ1ABC24", "LoggingLevel": "ERROR"},
    ),
    Case(
        TEAMS,
        teams,
        _teams,
        {"ChannelId": "19%3aabc%40thread.tacv2", "GuardrailPolicyArns": ["arn:aws:iam::aws:policy/AWSDenyAll"]},
        {"channelId": "19%3adef%40thread.tacv2", "userAuthorizationRequired": True},
        {"ChannelId": "19%3adef%40thread.tacv2", "UserAuthorizationRequired": True},
    ),
    Case(
        "aws:sqs/queue:Queue",
        lambda account: {
            "name": "lost",
            "messageRetentionSeconds": 1209600.0,
            "kmsMasterKeyId": a_key(account)["arn"],
        },
        _queue,
        {"QueueArn": f"arn:aws:sqs:eu-west-1:{ACCOUNT}:lost", "MessageRetentionPeriod": "1209600"},
        {"messageRetentionSeconds": 345600},
        {"MessageRetentionPeriod": "345600"},
    ),
    Case(
        "aws:sqs/queuePolicy:QueuePolicy",
        lambda account: {
            "queueUrl": a_queue(account)["url"],
            "policy": _policy(Principal=ROOT, Action="sqs:SendMessage", Resource="*"),
        },
        lambda account, url: json.loads(_queue(account, url)["Policy"])["Statement"][0],
        {"Action": "sqs:SendMessage"},
        {"policy": _policy(Principal=ROOT, Action="sqs:ReceiveMessage", Resource="*")},
        {"Action": "sqs:ReceiveMessage"},
    ),
]


def _subset(wanted: Properties, answer: Properties) -> Properties:
    return {key: answer[key] for key in wanted}


def test_every_emulated_type_has_a_case() -> None:
    assert {case.type for case in CASES} == RESOURCES.keys()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.type)
def test_a_resource_is_created_read_updated_and_deleted(case: Case, account: EmulatedAccount) -> None:
    entry = emulated(case.type)
    inputs = case.inputs(account)
    physical_id, outputs = entry.create(account, "logical", inputs)
    assert _subset(case.created, case.read(account, physical_id)) == case.created
    assert outputs["id"] == physical_id
    assert entry.computed <= outputs.keys()
    assert _subset(inputs, outputs) == inputs
    found = entry.read(account, physical_id) or {}
    assert [name for name, value in found.items() if not same(value, outputs[name])] == []

    outputs = entry.update(account, physical_id, {**inputs, **case.changes})
    assert _subset(case.updated, case.read(account, physical_id)) == case.updated

    for _ in range(2):  # one already gone is fine
        entry.delete(account, physical_id, outputs)
        assert (entry.read(account, physical_id) is not None) is case.survives


@pytest.mark.parametrize("case", [case for case in CASES if emulated(case.type).tagging], ids=lambda case: case.type)
def test_the_default_tags_are_under_the_tags_of_a_resource(case: Case) -> None:
    with EmulatedAccount(ACCOUNT, "eu-west-1", {"project": "p", "team": "none"}) as account:
        entry = emulated(case.type)
        inputs = {**case.inputs(account), "tags": {"team": "security", "extra": "1"}}
        physical_id, outputs = entry.create(account, "logical", inputs)
        assert outputs["tagsAll"] == {"project": "p", "team": "security", "extra": "1"}

        entry.update(account, physical_id, {**inputs, "tags": {"team": "operations"}})
        assert (entry.read(account, physical_id) or {})["tags"] == {"project": "p", "team": "operations"}


@pytest.mark.parametrize(
    "type_", [entry.type for entry in RESOURCES.values() if entry.named and entry.type != "aws:kms/alias:Alias"]
)
def test_a_resource_without_a_name_is_named_after_its_logical_name_and_seven_digits(
    type_: str, account: EmulatedAccount
) -> None:
    case = next(case for case in CASES if case.type == type_)
    entry = emulated(type_)
    named = str(entry.named)
    inputs = {key: value for key, value in case.inputs(account).items() if key != named}
    names = [entry.create(account, "logical", inputs)[1][named] for _ in range(2)]
    assert all(name.startswith("logical-") and len(name) == len("logical-") + 7 for name in names)
    assert len(set(names)) == 2


def test_an_alias_without_a_name_gets_the_prefix_kms_demands(account: EmulatedAccount) -> None:
    alias, _ = emulated("aws:kms/alias:Alias").create(account, "logs", {"targetKeyId": a_key(account)["keyId"]})
    assert alias.startswith("alias/logs-")


def test_an_unknown_type_is_named_with_what_to_add() -> None:
    with pytest.raises(NotEmulatedError, match="aws:s3/bucket:Bucket: not emulated; add an entry"):
        emulated("aws:s3/bucket:Bucket")


def test_a_property_that_would_be_ignored_is_refused(account: EmulatedAccount) -> None:
    with pytest.raises(NotEmulatedError, match="aws:sns/topic:Topic: tracingConfig not emulated"):
        emulated("aws:sns/topic:Topic").create(account, "t", {"tracingConfig": "Active"})


# What AWS does and moto alone would not


def test_a_second_detector_is_refused(account: EmulatedAccount) -> None:
    account.seed_detector(DETECTOR_ID)
    with pytest.raises(ConstraintError, match="a detector already exists for the current account"):
        make(account, "aws:guardduty/detector:Detector")
    assert account.client("guardduty").list_detectors()["DetectorIds"] == [DETECTOR_ID]


def test_a_new_detector_has_every_plan_on_but_runtime_monitoring(account: EmulatedAccount) -> None:
    detector_id = make(account, "aws:guardduty/detector:Detector")["id"]
    features = account.client("guardduty").get_detector(DetectorId=detector_id)["Features"]
    off = {feature["Name"] for feature in features if feature["Status"] == "DISABLED"}
    assert off == {"RUNTIME_MONITORING", "EKS_RUNTIME_MONITORING"}


def test_one_feature_leaves_the_others_as_they_are(account: EmulatedAccount) -> None:
    detector_id = make(account, "aws:guardduty/detector:Detector")["id"]
    for name, status in (("S3_DATA_EVENTS", "DISABLED"), ("AI_PROTECTION", "ENABLED")):
        feature = {"detectorId": detector_id, "name": name, "status": status}
        make(account, "aws:guardduty/detectorFeature:DetectorFeature", **feature)
    names = ("AI_PROTECTION", "S3_DATA_EVENTS", "DNS_LOGS")
    found = [_feature(account, f"{detector_id}/{name}")["Status"] for name in names]
    assert found == ["ENABLED", "DISABLED", "ENABLED"]


def test_a_mail_subscription_waits_for_its_reader(account: EmulatedAccount) -> None:
    sns = account.client("sns")
    topic = a_topic(account)["arn"]
    outputs = make(
        account, "aws:sns/topicSubscription:TopicSubscription", topic=topic, protocol="email", endpoint="a@example.com"
    )
    assert outputs["pendingConfirmation"] is True
    assert sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"][0]["SubscriptionArn"] == (
        "PendingConfirmation"
    )

    account.confirm_subscription(outputs["arn"])
    assert sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"][0]["SubscriptionArn"] == outputs["arn"]


def test_a_queue_subscription_waits_for_nobody(account: EmulatedAccount) -> None:
    outputs = make(
        account,
        "aws:sns/topicSubscription:TopicSubscription",
        topic=a_topic(account)["arn"],
        protocol="sqs",
        endpoint=a_queue(account)["arn"],
    )
    assert outputs["pendingConfirmation"] is False


def test_a_deleted_key_is_pending_for_the_days_it_was_given(account: EmulatedAccount) -> None:
    entry = emulated("aws:kms/key:Key")
    key_id, outputs = entry.create(account, "key", {"policy": KEY_POLICY, "deletionWindowInDays": 7.0})
    entry.delete(account, key_id, outputs)
    assert account.client("kms").describe_key(KeyId=key_id)["KeyMetadata"]["KeyState"] == "PendingDeletion"


def test_a_flow_log_may_stand_beside_one_that_differs_in_traffic_alone(account: EmulatedAccount) -> None:
    entry = emulated("aws:ec2/flowLog:FlowLog")
    inputs = a_flow_log(account)
    entry.create(account, "all", inputs)
    entry.create(account, "rejected", {**inputs, "trafficType": "REJECT"})
    assert [log["TrafficType"] for log in account.client("ec2").describe_flow_logs()["FlowLogs"]] == ["ALL", "REJECT"]


def test_the_same_flow_log_twice_is_refused(account: EmulatedAccount) -> None:
    entry = emulated("aws:ec2/flowLog:FlowLog")
    inputs = a_flow_log(account)
    entry.create(account, "one", inputs)
    with pytest.raises(ConstraintError, match="FlowLogAlreadyExists"):
        entry.create(account, "two", inputs)


def test_a_flow_log_of_an_unknown_subnet_is_refused(account: EmulatedAccount) -> None:
    inputs = {**a_flow_log(account), "subnetId": "subnet-ffffffff"}
    with pytest.raises(ClientError, match=r"InvalidSubnetID\.NotFound"):
        emulated("aws:ec2/flowLog:FlowLog").create(account, "logs", inputs)


def test_a_flow_log_delivers_once_its_role_may_write(account: EmulatedAccount) -> None:
    inputs = a_flow_log(account)
    flow_log, _ = emulated("aws:ec2/flowLog:FlowLog").create(account, "logs", inputs)
    assert _flow_log(account, flow_log)["DeliverLogsStatus"] == "FAILED"

    role = inputs["iamRoleArn"].rpartition("/")[2]
    make(account, "aws:iam/rolePolicy:RolePolicy", role=role, policy=WRITE)
    assert _flow_log(account, flow_log)["DeliverLogsStatus"] == "SUCCESS"
    assert "DeliverLogsErrorMessage" not in _flow_log(account, flow_log)


def test_a_flow_log_needs_a_role_the_service_may_assume(account: EmulatedAccount) -> None:
    trust = TRUST.replace("vpc-flow-logs", "ec2")
    role = make(account, "aws:iam/role:Role", assumeRolePolicy=trust)
    with pytest.raises(ConstraintError, match="Unable to assume given IAM role"):
        make(account, "aws:ec2/flowLog:FlowLog", **{**a_flow_log(account), "iamRoleArn": role["arn"]})


def test_a_log_group_is_refused_a_key_that_does_not_serve_it(account: EmulatedAccount) -> None:
    with pytest.raises(ConstraintError, match="does not exist or is not allowed to be used"):
        make(account, "aws:cloudwatch/logGroup:LogGroup", name="/logs", kmsKeyId=a_key(account)["arn"])
    assert account.client("logs").describe_log_groups()["logGroups"] == []


def test_a_log_group_is_refused_a_key_that_does_not_exist(account: EmulatedAccount) -> None:
    key = account.arn("kms", "key/00000000-0000-0000-0000-000000000000")
    with pytest.raises(ConstraintError, match="does not exist or is not allowed to be used"):
        make(account, "aws:cloudwatch/logGroup:LogGroup", name="/logs", kmsKeyId=key)


def test_a_boundary_of_a_role_is_set_changed_and_taken_away(account: EmulatedAccount) -> None:
    role, boundary = emulated("aws:iam/role:Role"), f"arn:aws:iam::{ACCOUNT}:policy/boundary"
    inputs = {"assumeRolePolicy": TRUST, "permissionsBoundary": boundary}
    name, outputs = role.create(account, "bounded", inputs)
    assert outputs["permissionsBoundary"] == boundary
    role.update(account, name, {**inputs, "permissionsBoundary": f"{boundary}-2"})
    assert (role.read(account, name) or {})["permissionsBoundary"] == f"{boundary}-2"
    role.update(account, name, {"assumeRolePolicy": TRUST})
    assert "permissionsBoundary" not in (role.read(account, name) or {})


def test_a_filter_that_is_taken_away_filters_nothing(account: EmulatedAccount) -> None:
    entry, topic = emulated(SUBSCRIPTION), a_topic(account)["arn"]
    inputs = {"topic": topic, "protocol": "email", "endpoint": "a@example.com"}
    filtered = {**inputs, "filterPolicy": DETAIL, "filterPolicyScope": "MessageBody"}
    arn, _ = entry.create(account, "mail", filtered)
    entry.update(account, arn, inputs)
    attributes = account.client("sns").get_subscription_attributes(SubscriptionArn=arn)["Attributes"]
    assert (attributes["FilterPolicy"], attributes["FilterPolicyScope"]) == ("{}", "MessageAttributes")
    assert "filterPolicy" not in (entry.read(account, arn) or {})
    assert not {"filterPolicy", "filterPolicyScope"} & entry.replaced_by


def test_a_filter_that_sns_refuses_is_refused_when_made_and_when_changed(account: EmulatedAccount) -> None:
    entry = emulated(SUBSCRIPTION)
    inputs = {"topic": a_topic(account)["arn"], "protocol": "email", "endpoint": "a@example.com"}
    with pytest.raises(ConstraintError, match="unknown operator"):
        entry.create(account, "mail", {**inputs, "filterPolicy": '{"severity":[{"least":7}]}'})
    arn, _ = entry.create(account, "mail", inputs)
    with pytest.raises(ConstraintError, match="unknown operator"):
        entry.update(account, arn, {**inputs, "filterPolicy": '{"severity":[{"least":7}]}'})


def test_a_target_that_is_a_machine_needs_a_role(account: EmulatedAccount) -> None:
    machine = make(account, STATE_MACHINE, **a_machine(account))["arn"]
    target = {**a_target(account), "arn": machine}
    del target["roleArn"]
    with pytest.raises(ConstraintError, match="RoleArn is required"):
        make(account, "aws:cloudwatch/eventTarget:EventTarget", **target)


# State machines


def _logged(account: EmulatedAccount, *actions: str) -> Properties:
    inputs, group = a_machine(account), a_log_group(account)["arn"]
    role = inputs["roleArn"].rpartition("/")[2]
    make(account, "aws:iam/rolePolicy:RolePolicy", role=role, policy=_policy(Action=list(actions), Resource="*"))
    logging = {"level": "ERROR", "includeExecutionData": False, "logDestination": f"{group}:*"}
    return {**inputs, "loggingConfiguration": logging}


def test_a_machine_logs_where_its_role_may_have_logs_delivered(account: EmulatedAccount) -> None:
    inputs = _logged(account, "logs:*")
    outputs = make(account, STATE_MACHINE, **inputs)
    assert outputs["loggingConfiguration"] == inputs["loggingConfiguration"]
    logging = _machine(account, outputs["arn"])["loggingConfiguration"]
    destination = {"cloudWatchLogsLogGroup": {"logGroupArn": inputs["loggingConfiguration"]["logDestination"]}}
    assert logging == {"level": "ERROR", "includeExecutionData": False, "destinations": [destination]}


def test_a_machine_whose_role_may_not_have_logs_delivered_is_refused(account: EmulatedAccount) -> None:
    inputs = _logged(account, "logs:PutLogEvents")
    with pytest.raises(ConstraintError, match="not authorized to access the Log Destination"):
        make(account, STATE_MACHINE, **inputs)
    assert account.client("stepfunctions").list_state_machines()["stateMachines"] == []


def test_a_machine_needs_a_role_that_step_functions_may_assume(account: EmulatedAccount) -> None:
    with pytest.raises(ConstraintError, match="is authorized to assume the provided role"):
        make(account, STATE_MACHINE, definition=MACHINE, roleArn=a_role(account)["arn"])


def test_a_machine_whose_definition_is_not_valid_is_neither_made_nor_changed(account: EmulatedAccount) -> None:
    entry, inputs = emulated(STATE_MACHINE), a_machine(account)
    wrong = {**inputs, "definition": MACHINE.replace('"StartAt": "A"', '"StartAt": "B"')}
    with pytest.raises(ConstraintError, match=r"InvalidDefinition: .*MISSING_TRANSITION_TARGET"):
        entry.create(account, "m", wrong)
    arn, _ = entry.create(account, "m", inputs)
    with pytest.raises(ConstraintError, match="InvalidDefinition"):
        entry.update(account, arn, wrong)
    assert _machine(account, arn)["definition"] == MACHINE


def test_a_second_machine_of_one_name_is_refused_unless_it_is_the_same(account: EmulatedAccount) -> None:
    inputs = a_machine(account)
    arn = make(account, STATE_MACHINE, **inputs)["arn"]
    assert make(account, STATE_MACHINE, **inputs)["arn"] == arn
    with pytest.raises(ConstraintError, match="StateMachineAlreadyExists"):
        make(account, STATE_MACHINE, **{**inputs, "definition": MACHINE.replace('"A"', '"B"')})


def test_a_change_of_the_definition_is_a_new_revision(account: EmulatedAccount) -> None:
    entry, inputs = emulated(STATE_MACHINE), a_machine(account)
    arn, first = entry.create(account, "m", inputs)
    same_again = entry.update(account, arn, inputs)
    changed = entry.update(account, arn, {**inputs, "definition": MACHINE.replace('"A"', '"B"')})
    assert first["revisionId"] == same_again["revisionId"] != changed["revisionId"]
    assert entry.replaced_by == {"name", "type"}


# Chat channels


def test_a_chat_channel_subscribes_itself_to_its_topics_and_leaves_them(account: EmulatedAccount) -> None:
    entry, inputs = emulated(SLACK), slack(account)
    first, second = inputs["snsTopicArns"][0], a_topic(account)["arn"]
    arn, outputs = entry.create(account, "chat", inputs)
    assert _subscribed(account) == [first]
    entry.update(account, arn, {**inputs, "snsTopicArns": [second]})
    assert _subscribed(account) == [second]
    entry.delete(account, arn, outputs)
    assert _subscribed(account) == []


@pytest.mark.parametrize(
    ("type_", "inputs", "error"),
    [
        (SLACK, slack, "C07EZ1ABC23 in Slack team T07EA123LEP has already been configured for AWS account"),
        (TEAMS, teams, "waiting for creation .* too many results: wanted 1, got 2"),
    ],
)
def test_an_account_has_one_configuration_of_a_slack_channel_and_of_a_team(
    account: EmulatedAccount, type_: str, inputs: Callable[[EmulatedAccount], Properties], error: str
) -> None:
    emulated(type_).create(account, "chat", inputs(account))
    with pytest.raises((ConstraintError, ClientError), match=error):
        emulated(type_).create(account, "chat", {**inputs(account), "configurationName": "threats-2"})


def test_a_topic_of_two_channels_keeps_its_subscription_until_both_are_gone(account: EmulatedAccount) -> None:
    one = slack(account)
    other = {**one, "configurationName": "threats-2", "slackChannelId": "C07EZ1ABC99"}
    arns = [emulated(SLACK).create(account, "chat", inputs) for inputs in (one, other)]
    left: list[int] = []
    for arn, outputs in arns:
        emulated(SLACK).delete(account, arn, outputs)
        left.append(len(_subscribed(account)))
    assert left == [1, 0]


@pytest.mark.parametrize(
    ("type_", "changes", "reason"),
    [
        (SLACK, {"slackTeamId": "t07"}, "Value 't07' at 'SlackTeamId' failed to satisfy constraint"),
        (SLACK, {"slackChannelId": "#alerts"}, "at 'SlackChannelId'"),
        (SLACK, {"configurationName": "a.b"}, "at 'ConfigurationName'"),
        (SLACK, {"loggingLevel": "ALL"}, "at 'LoggingLevel'"),
        (SLACK, {"guardrailPolicyArns": ["AWSDenyAll"]}, "Value 'AWSDenyAll' at 'GuardrailPolicyArns'"),
        (TEAMS, {"channelId": "19:abc@thread.tacv2"}, "at 'ChannelId'"),
        (TEAMS, {"teamId": "team"}, "at 'TeamId'"),
        (TEAMS, {"tenantId": "74361522"}, "at 'TenantId'"),
        (SLACK, {"iamRoleArn": f"arn:aws:iam::{ACCOUNT}:role/none"}, "cannot be assumed by chatbot"),
    ],
)
def test_a_chat_channel_that_aws_refuses_is_refused(
    account: EmulatedAccount, type_: str, changes: Properties, reason: str
) -> None:
    inputs = (slack if type_ == SLACK else teams)(account)
    with pytest.raises(ConstraintError, match=reason):
        make(account, type_, **{**inputs, **changes})
    assert _subscribed(account) == []


def test_a_chat_channel_of_a_topic_that_does_not_exist_is_refused(account: EmulatedAccount) -> None:
    inputs = {**slack(account), "snsTopicArns": [f"arn:aws:sns:eu-west-1:{ACCOUNT}:none"]}
    with pytest.raises(ClientError, match=r"InvalidRequestException.*:none does not exist"):
        make(account, SLACK, **inputs)


def test_the_name_of_a_chat_channel_is_used_once_in_an_account(account: EmulatedAccount) -> None:
    make(account, SLACK, **slack(account))
    with pytest.raises(ClientError, match="ConflictException"):
        make(account, TEAMS, **teams(account))


@pytest.mark.parametrize(
    ("type_", "changes"),
    [(SLACK, {"configurationName": "other"}), (SLACK, {"slackTeamId": "T1"}), (TEAMS, {"tenantId": "0" * 36})],
)
def test_what_a_chat_channel_cannot_change_is_refused(
    account: EmulatedAccount, type_: str, changes: Properties
) -> None:
    entry, inputs = emulated(type_), (slack if type_ == SLACK else teams)(account)
    physical_id, _ = entry.create(account, "chat", inputs)
    with pytest.raises(ConstraintError, match="cannot be changed"):
        entry.update(account, physical_id, {**inputs, **changes})
