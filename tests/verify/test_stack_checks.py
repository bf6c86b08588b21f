"""Each way a deployment can be broken, and the check that says so; what the checks ask of AWS."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
from examples import ACCOUNT, EMAIL, KEY_ARN, SUBNET
from stack_in_account import CHANNELS, HEALTH, TOKEN, StackInAccount, stack_file, stack_in_account

from threatmon.model.channels import CHAT_ENDPOINT
from threatmon.model.finding_types import catalogue
from threatmon.reports.model import Check
from threatmon.stacks.files import StackFile
from threatmon.verify.stack_checks import PERMISSIONS

NOTHING: Mapping[str, Any] = MappingProxyType({})
FLOW_LOG, SUBSCRIPTION = f"flow log {SUBNET}", f"topic subscription {EMAIL}"
TARGET, ROLE, DEFINITION = "state machine target of rule findings", "state machine role", "state machine definition"
RAW_SUBSCRIPTION = "topic-raw subscription alerts.subscribers[0] (https)"
BOSS = "boss@example.com"
# Types enough for two patterns.
MANY: Mapping[str, Any] = {"findingTypes": [row.name for row in catalogue().values() if not row.retired][:80]}


def not_ok(checks: Mapping[str, Check]) -> dict[str, str]:
    return {subject: check.state for subject, check in checks.items() if check.state != "ok"}


# -- nothing is wrong -------------------------------------------------------------------------------------------------


def test_a_stack_as_deployed_and_confirmed_passes_every_check() -> None:
    with stack_in_account(stack_file()) as stack:
        checks = stack.checks()
    assert not_ok(checks) == {}
    assert list(checks) == [
        "detector",
        "protection plans",
        FLOW_LOG,
        "log group",
        "rule findings",
        "further rules",
        TARGET,
        "start role",
        "state machine",
        DEFINITION,
        ROLE,
        "failed executions",
        "topic policy",
        "topic encryption",
        SUBSCRIPTION,
        "topic further subscriptions",
        "dead-letter queue policy",
        "dead-letter queue encryption",
        "dead-letter queue",
        "key",
        "alarms",
    ]
    assert checks["alarms"].found == "off: nothing watches the alert path"
    assert checks["alarms"].todo.startswith("`health: { enabled: true }` in the stack file adds alarms")


STACKS: dict[str, Mapping[str, Any]] = {
    "of grave findings": {"minimumSeverity": "high"},
    "with alarms": HEALTH,
    "of several channels": CHANNELS,
    "with alarms on several channels": {**CHANNELS, **HEALTH},
    "in the default format": {"flowLogs": {"format": "default", "aggregationSeconds": 600, "trafficType": "REJECT"}},
    "with a detector of others": {"detector": {"mode": "lookup"}},
    "with an adopted detector": {"detector": {"mode": "import", "id": "0" * 32}, "protectionPlans": {"s3": True}},
    "with a key of its own": {
        "alerts": {"kmsKeyArn": KEY_ARN, "accountAlias": "Prod", "includeSamples": False, "includeArchived": True}
    },
    "of families": {"findingTypes": ["Recon:EC2/*", "Backdoor:EC2/*", "Impact:*"]},
    "of more types than fit in a rule": {**MANY, **CHANNELS},
    "with runbooks": {"alerts": {"runbooks": {"Recon:EC2/*": "https://runbooks.example.com/recon"}}},
    "of a VPC": {"subnetIds": [], "vpcIds": ["vpc-0123456789abcdef0"]},
}


@pytest.mark.parametrize("changes", STACKS.values(), ids=STACKS)
def test_any_stack_passes_if_it_is_what_its_file_says(changes: Mapping[str, Any]) -> None:
    with stack_in_account(stack_file(**changes)) as stack:
        assert not_ok(stack.checks()) == {}


@pytest.mark.parametrize("region", ["us-gov-west-1", "cn-north-1"])
def test_a_stack_in_another_partition_passes_every_check(region: str) -> None:
    file = stack_file(**HEALTH)
    with stack_in_account(StackFile("dev", {**file.config, "aws:region": region})) as stack:
        assert not_ok(stack.checks()) == {}


def test_a_detector_of_others_only_has_to_be_enabled() -> None:
    with stack_in_account(stack_file(detector={"mode": "lookup"})) as stack:
        stack.set_detector(FindingPublishingFrequency="ONE_HOUR")
        stack.set_features(RDS_LOGIN_EVENTS="ENABLED")
        assert not_ok(stack.checks()) == {}
        assert "protection plans" not in stack.checks()
        stack.set_detector(Enable=False)
        assert stack.checks()["detector"].todo == "Ask whoever manages the detector to enable it."


# -- one thing is wrong -----------------------------------------------------------------------------------------------


class Break(NamedTuple):
    do: Callable[[StackInAccount], object]
    found: str
    """what the first of the checks says"""
    checks: Sequence[str]
    """the checks that fail"""
    todo: str = "`pulumi up --refresh`"


def lower_filter(minimum: int) -> Mapping[str, Any]:
    return {"severity": [{"numeric": [">=", minimum]}]}


UNSET_KEY = "key is not set, expected a key of yours"
CONFIRM = f"aws sns confirm-subscription --topic-arn arn:aws:sns:eu-west-1:{ACCOUNT}:threat-monitor-dev-"
QUEUE = ["dead-letter queue", "dead-letter queue policy", "dead-letter queue encryption", "key"]
TOPIC = ["topic policy", "topic encryption", SUBSCRIPTION, "topic further subscriptions", "key"]
MACHINE = ["state machine", DEFINITION, ROLE, "failed executions", "topic policy"]
WORDS = ("undelivered-findings", "undeliverable-topic", "failed-executions", "plain-messages", "dead-letters")
ALARMS = [f"alarm {word}" for word in (*WORDS, "old-dead-letters", "no-flow-logs")]
ALARM_SUBSCRIPTION = "alarm subscription ops@example.com"
LOST = "is lost or dead-lettered"

S = StackInAccount
BREAKS: dict[str, Break] = {
    "the detector is suspended": Break(
        lambda s: s.set_detector(Enable=False), "Status is DISABLED, expected ENABLED", ["detector"]
    ),
    "the detector is gone": Break(
        S.delete_detector, "the account has no detector in this Region", ["detector", "protection plans"]
    ),
    "a plan is switched on": Break(
        lambda s: s.set_features(RDS_LOGIN_EVENTS="ENABLED"), "rds is on, expected off", ["protection plans"], "billed"
    ),
    "the flow log is gone": Break(S.delete_flow_log, "no flow log to /threat-monitor/dev/flow-logs", [FLOW_LOG]),
    "the subnet is gone": Break(
        S.delete_subnet, "the account has no such subnet in this Region", [FLOW_LOG], "Fix subnetIds"
    ),
    "the flow log cannot deliver": Break(
        S.forbid_writing, "DeliverLogsStatus is FAILED, expected SUCCESS (Access error)", [FLOW_LOG]
    ),
    "the subnet is logged twice": Break(
        S.add_flow_log,
        "2 flow logs to /threat-monitor/dev/flow-logs",
        [FLOW_LOG],
        "delete-flow-logs --flow-log-ids fl-",
    ),
    "records are kept for less time": Break(
        lambda s: s.client("logs").put_retention_policy(logGroupName=s.group, retentionInDays=30),
        "retentionInDays is 30, expected 365",
        ["log group"],
    ),
    "the log group is gone": Break(
        lambda s: s.client("logs").delete_log_group(logGroupName=s.group), "is not there", ["log group", FLOW_LOG]
    ),
    "records are encrypted with another key": Break(S.use_another_key, "one key expected for all", ["key"]),
    "the key shuts EventBridge out": Break(
        S.shut_eventbridge_out,
        "does not let EventBridge use it",
        ["key"],
        "Allow events.amazonaws.com kms:Decrypt and kms:GenerateDataKey in it, for this account",
    ),
    "the key is to be deleted": Break(
        lambda s: s.client("kms").schedule_key_deletion(KeyId=s.key.rpartition("/")[2]),
        "is PendingDeletion",
        ["key"],
        "aws kms cancel-key-deletion",
    ),
    "the key shuts CloudWatch Logs out": Break(
        S.shut_logs_out,
        "does not let CloudWatch Logs use it for /threat-monitor/dev/flow-logs",
        ["key"],
    ),
    "the state machine may not use the key": Break(
        lambda s: s.change_permissions("formatter", "kms:GenerateDataKey", "kms:Encrypt"),
        "the state machine's role may not use it",
        ["key"],
    ),
    "the state machine may use the key for topics alone": Break(
        lambda s: s.change_permissions("formatter", "sqs.eu-west-1.amazonaws.com", "s3.eu-west-1.amazonaws.com"),
        "the state machine's role may not use it",
        ["key"],
    ),
    "the topic is not encrypted": Break(lambda s: s.set_topic("KmsMasterKeyId", ""), UNSET_KEY, ["topic encryption"]),
    "the queue is not encrypted": Break(S.decrypt_queue, UNSET_KEY, ["dead-letter queue encryption"]),
    "the rule is disabled": Break(
        lambda s: s.client("events").disable_rule(Name=s.rule()),
        "is DISABLED",
        ["rule findings"],
        "aws events enable-rule --name threat-monitor-dev-alerts-findings",
    ),
    "the rule's pattern is changed": Break(
        S.change_pattern, "matches other findings, by detail.severity", ["rule findings"]
    ),
    "the rule is gone": Break(S.delete_rule, "", ["rule findings", TARGET, "start role"]),
    "a rule is left from another time": Break(
        lambda s: s.add_rule("left-over"), "left-over: not in", ["further rules"], "what an interrupted deployment left"
    ),
    "somebody's rule sends to the topic": Break(
        lambda s: s.add_rule("theirs", s.topic), "theirs: not in the stack file", ["further rules"], "more, or twice"
    ),
    "a rule's replacement was interrupted": Break(
        lambda s: s.add_rule("threat-monitor-dev-alerts-findings-9"),
        "threat-monitor-dev-alerts-findings-9: not in the stack file",
        ["further rules"],
        "what an interrupted deployment left",
    ),
    "the target is gone": Break(
        S.remove_targets, "no target on arn:aws:states:eu-west-1:111122223333:stateMachine:", [TARGET, "start role"]
    ),
    "the target changes the event": Break(
        lambda s: s.put_target(InputPath="$.detail"), "it changes the event", [TARGET]
    ),
    "the target drops what it cannot deliver": Break(
        lambda s: s.put_target(without="DeadLetterConfig"),
        "what cannot be delivered does not go to arn:aws:sqs:",
        [TARGET],
    ),
    "the target gives up early": Break(
        lambda s: s.put_target(RetryPolicy={"MaximumRetryAttempts": 0, "MaximumEventAgeInSeconds": 60}),
        "its retry policy is not the configured one",
        [TARGET],
    ),
    "the start role does not let the rule in": Break(
        lambda s: s.change_trust("start", ":rule/threat-monitor", ":rule/other"),
        "does not let events.amazonaws.com in for threat-monitor-dev-alerts-findings",
        ["start role"],
        LOST,
    ),
    "the start role is another account's": Break(
        lambda s: s.change_trust("start", f'"aws:SourceAccount": "{ACCOUNT}"', '"aws:SourceAccount": "444455556666"'),
        "does not let events.amazonaws.com in",
        ["start role"],
        LOST,
    ),
    "the start role lets anybody's rules in": Break(
        lambda s: s.trust_anybody("start"), "lets events.amazonaws.com in for anybody's", ["start role"]
    ),
    "the start role may start something else": Break(
        lambda s: s.change_permissions("start", "stateMachine:threat-monitor-dev", "stateMachine:other"),
        "may not start the state machine",
        ["start role"],
        LOST,
    ),
    "the start role is gone": Break(lambda s: s.delete_role("start"), "is not there (", ["start role"]),
    "the state machine is gone": Break(
        lambda s: s.client("stepfunctions").delete_state_machine(stateMachineArn=s.machine),
        "is not there (",
        MACHINE,
    ),
    "errors are not logged": Break(
        lambda s: s.change_logging(level="OFF"), "logging is OFF, expected ERROR", ["state machine"]
    ),
    "findings are logged": Break(
        lambda s: s.change_logging(includeExecutionData=True),
        "findings in the log is yes, expected no",
        ["state machine"],
    ),
    "the log group of errors is gone": Break(
        lambda s: s.client("logs").delete_log_group(logGroupName="/aws/vendedlogs/states/threat-monitor-dev"),
        "log group is gone, expected arn:aws:logs:",
        ["state machine"],
    ),
    "the text is an older one": Break(
        lambda s: s.change_definition("First steps", "What to do first"), "by the states Mail", [DEFINITION]
    ),
    "a version of the definition is set": Break(
        lambda s: s.change_definition('"TimeoutSeconds":', '"Version": "1.0", "TimeoutSeconds":'),
        "outside its states",
        [DEFINITION],
    ),
    "the state machine sends to another topic": Break(
        lambda s: s.change_definition(s.topic, s.topic.replace("threat-monitor-dev", "other")),
        "by the states Mail, Mail plain, Mail to queue",
        [DEFINITION],
    ),
    "the state machine's role does not let it in": Break(
        lambda s: s.change_trust("formatter", "stateMachine:threat-monitor-dev", "stateMachine:other"),
        "does not let states.amazonaws.com in for threat-monitor-dev",
        [ROLE],
        LOST,
    ),
    "the state machine's role lets anybody's in": Break(
        lambda s: s.trust_anybody("formatter"), "lets states.amazonaws.com in for anybody's", [ROLE]
    ),
    "the state machine may not publish": Break(
        lambda s: s.change_permissions("formatter", s.topic, "arn:aws:sns:eu-west-1:111122223333:other"),
        "may not publish to topic",
        [ROLE],
        LOST,
    ),
    "the state machine may not queue": Break(
        lambda s: s.change_permissions("formatter", "sqs:SendMessage", "sqs:ReceiveMessage"),
        "may not write to the dead-letter queue",
        [ROLE],
        LOST,
    ),
    "the state machine may count elsewhere alone": Break(
        lambda s: s.change_permissions("formatter", '"ThreatMonitor"', '"Other"'),
        "may not count plain messages",
        [ROLE],
    ),
    "the state machine may not log": Break(
        lambda s: s.change_permissions("formatter", "logs:UpdateLogDelivery", "logs:ListLogDeliveries"),
        "may not log its errors",
        [ROLE],
    ),
    "an execution failed": Break(S.lose_finding, "not sent again: 1", ["failed executions"], "threatmon redrive"),
    "the topic keeps the state machine out": Break(
        S.deny_topic, "sns:Publish is denied to arn:aws:iam::", ["topic policy"], LOST
    ),
    "the topic is gone": Break(lambda s: s.client("sns").delete_topic(TopicArn=s.topic), "is not there (", TOPIC),
    "the dead-letter queue lets nothing in": Break(
        lambda s: s.set_queue(Policy=""),
        "sqs:SendMessage is not allowed to threat-monitor-dev-alerts-",
        ["dead-letter queue policy"],
        LOST,
    ),
    "the dead-letter queue is gone": Break(
        lambda s: s.client("sqs").delete_queue(QueueUrl=s.queue),
        "is not there (",
        [*QUEUE, DEFINITION],
    ),
    "the dead-letter queue forgets after a minute": Break(
        lambda s: s.change_queue(message_retention_period=60),
        "keeps messages of up to 1,048,576 bytes for 60 seconds, expected 1,048,576 for 1,209,600",
        ["dead-letter queue"],
    ),
    "the dead-letter queue takes short messages alone": Break(
        lambda s: s.change_queue(maximum_message_size=1024), "up to 1,024 bytes", ["dead-letter queue"]
    ),
    "a finding waits in the dead-letter queue": Break(
        lambda s: s.client("sqs").send_message(QueueUrl=s.queue, MessageBody="{}"),
        "not delivered: 1",
        ["dead-letter queue"],
        "threatmon redrive",
    ),
    "a subscription is not confirmed": Break(
        S.unconfirm, "is not confirmed, so nothing arrives", [SUBSCRIPTION], f"{CONFIRM}alerts-topic "
    ),
    "a subscription is gone": Break(
        S.unsubscribe, "is not there", [SUBSCRIPTION], "`pulumi up --refresh` sends a new invitation"
    ),
    "somebody filters what they get": Break(
        lambda s: s.filter(EMAIL, lower_filter(7)),
        'its filter policy is {"severity": [{"numeric": [">=", 7]}]}, expected none',
        [SUBSCRIPTION],
    ),
}
ALARM_BREAKS: dict[str, Break] = {
    "an alarm has gone off": Break(
        lambda s: s.client("cloudwatch").set_alarm_state(
            AlarmName=s.alarm("dead-letters"), StateValue="ALARM", StateReason="1 datapoint was greater than 0"
        ),
        "ALARM: 1 datapoint was greater than 0",
        ["alarm dead-letters"],
        "Findings wait in the dead-letter queue.",
    ),
    "messages have arrived unformatted": Break(
        lambda s: s.client("cloudwatch").set_alarm_state(
            AlarmName=s.alarm("plain-messages"), StateValue="ALARM", StateReason="1 datapoint was greater than 0"
        ),
        "ALARM: ",
        ["alarm plain-messages"],
        "because formatting failed. Run `threatmon verify`",
    ),
    "an alarm is silenced": Break(
        lambda s: s.client("cloudwatch").disable_alarm_actions(AlarmNames=[s.alarm("dead-letters")]),
        "notifies nobody: its actions are disabled",
        ["alarm dead-letters"],
        "aws cloudwatch enable-alarm-actions --alarm-names threat-monitor-dev-health-dead-letters",
    ),
    "an alarm is gone": Break(
        lambda s: s.client("cloudwatch").delete_alarms(AlarmNames=[s.alarm("failed-executions")]),
        "is not there",
        ["alarm failed-executions"],
    ),
    "no alarm is left": Break(
        lambda s: s.client("cloudwatch").delete_alarms(AlarmNames=s.outputs["alarmNames"]),
        "is not there",
        ALARMS,
    ),
    "whoever gets the alarms has not confirmed": Break(
        lambda s: s.unconfirm("ops@example.com"),
        "is not confirmed",
        [ALARM_SUBSCRIPTION],
        f"{CONFIRM}health-topic ",
    ),
}
CHANNEL_BREAKS: dict[str, Break] = {
    "a raw target rewords the event": Break(
        lambda s: s.put_target(s.topic_like("-raw"), Input='"a finding"'),
        "it changes the event",
        ["topic-raw target of rule findings"],
    ),
    "the raw topic lets no rule in": Break(
        lambda s: s.client("sns").set_topic_attributes(
            TopicArn=s.topic_like("-raw"),
            AttributeName="Policy",
            AttributeValue=s.client("sns").get_topic_attributes(TopicArn=s.topic)["Attributes"]["Policy"],
        ),
        "sns:Publish is not allowed to threat-monitor-dev-alerts-findings",
        ["topic-raw policy"],
        LOST,
    ),
    "nothing is sent to the raw topic": Break(
        lambda s: s.remove_targets(s.topic_like("-raw")),
        "no target on arn:aws:sns:eu-west-1:111122223333:threat-monitor-dev-alerts-topic-raw",
        ["topic-raw target of rule findings"],
    ),
    "a chat tool has not confirmed": Break(
        lambda s: s.unconfirm(TOKEN), "is not confirmed", [RAW_SUBSCRIPTION], "confirm-subscription"
    ),
    "a pager gets everything": Break(
        lambda s: s.filter(TOKEN, {}),
        'its filter policy is not set, expected {"detail": {"severity": [{"numeric": [">=", 7]}]}}',
        [RAW_SUBSCRIPTION],
    ),
    "a pager gets bare messages": Break(
        lambda s: s.subscription(TOKEN).attributes.update(RawMessageDelivery="true"),
        "RawMessageDelivery",
        [RAW_SUBSCRIPTION],
    ),
    "a filter looks at the body of a mail": Break(
        lambda s: s.filter(BOSS, lower_filter(9), "MessageBody"),
        "its filter policy is on the MessageBody, expected the MessageAttributes",
        [f"topic subscription {BOSS}"],
    ),
    "a subscriber of grave findings gets others": Break(
        lambda s: s.filter(BOSS, lower_filter(4)), '">=", 9]', [f"topic subscription {BOSS}"]
    ),
    "a subscriber of grave findings is gone": Break(
        lambda s: s.unsubscribe(BOSS), "is not there", [f"topic subscription {BOSS}"]
    ),
    "the chat application does not listen": Break(
        lambda s: s.unsubscribe(CHAT_ENDPOINT),
        "Amazon Q Developer in chat applications has not subscribed",
        ["topic-slack subscription chat application"],
    ),
    "the chat is filtered": Break(
        lambda s: s.filter(CHAT_ENDPOINT, lower_filter(9)),
        "expected none",
        ["topic-slack subscription chat application"],
    ),
    "the state machine may not publish to the chat": Break(
        lambda s: s.change_permissions("formatter", s.topic_like("-slack"), s.topic),
        "may not publish to topic-slack",
        [ROLE],
        LOST,
    ),
}
TABLE = [
    pytest.param(changes, case, id=name)
    for changes, breaks in ((NOTHING, BREAKS), (HEALTH, ALARM_BREAKS), (CHANNELS, CHANNEL_BREAKS))
    for name, case in breaks.items()
]


@pytest.mark.parametrize(("changes", "case"), TABLE)
def test_what_breaks_fails_its_own_checks_which_say_what_to_do(changes: Mapping[str, Any], case: Break) -> None:
    with stack_in_account(stack_file(**changes)) as stack:
        case.do(stack)
        checks = stack.checks()
    assert not_ok(checks) == dict.fromkeys(case.checks, "failed")
    assert case.found in checks[case.checks[0]].found
    assert case.todo in checks[case.checks[0]].todo
    assert TOKEN not in str(checks)


def test_a_stack_file_that_has_changed_since_shows_what_is_deployed_and_what_is_not() -> None:
    with stack_in_account(stack_file()) as stack:
        graver = stack.checks(stack_file(minimumSeverity="high"))
        more = stack.checks(stack_file(**MANY))
        other_key = stack.checks(stack_file(alerts={"kmsKeyArn": KEY_ARN}))
        named = stack.checks(stack_file(alerts={"accountAlias": "Prod"}))
        chat = stack.checks(stack_file(alerts={"slack": CHANNELS["alerts"]["slack"]}))
    assert not_ok(graver) == {"rule findings": "failed"}
    assert more["rule findings-2"][::2] == ("failed", "threat-monitor-dev-alerts-findings-2 is not there")
    assert set(not_ok(other_key)) == {"log group", "topic encryption", "dead-letter queue encryption"}
    assert other_key["topic encryption"].found.endswith(f"expected {KEY_ARN}")
    assert not_ok(named) == {DEFINITION: "failed"}
    assert chat[DEFINITION].found.startswith("is not that of the stack file and of this version")
    assert chat["topic-slack policy"].found.startswith("is not there (")


def test_a_rule_of_two_that_is_no_longer_wanted_is_a_further_one() -> None:
    with stack_in_account(stack_file(**MANY)) as stack:
        assert stack.checks()["rule findings-2"].state == "ok"
        fewer = stack.checks(stack_file(findingTypes=MANY["findingTypes"][:3]))
    assert not_ok(fewer) == {"rule findings": "failed", "further rules": "failed"}
    assert fewer["further rules"].found.startswith("threat-monitor-dev-alerts-findings-2:")


def test_a_rule_that_also_calls_a_function_sends_to_no_further_topic() -> None:
    with stack_in_account(stack_file()) as stack:
        function = f"arn:aws:lambda:eu-west-1:{ACCOUNT}:function:threat-monitor-dev-alerts-topicf"
        stack.client("events").put_targets(Rule=stack.rule(), Targets=[{"Id": "f", "Arn": function}])
        assert not_ok(stack.checks()) == {}


# -- warnings ---------------------------------------------------------------------------------------------------------


def test_a_subscription_that_a_scanner_can_end_is_a_warning() -> None:
    with stack_in_account(stack_file(**HEALTH)) as stack:
        stack.confirm(authenticated=False)
        checks = stack.checks()
    assert not_ok(checks) == {SUBSCRIPTION: "warning", "alarm subscription ops@example.com": "warning"}
    assert "--authenticate-on-unsubscribe true" in checks[SUBSCRIPTION].todo


def test_a_subscriber_nobody_configured_is_a_warning_that_hides_the_endpoint() -> None:
    with stack_in_account(stack_file()) as stack:
        stack.client("sns").subscribe(TopicArn=stack.topic, Protocol="https", Endpoint=TOKEN)
        checks = stack.checks()
    assert not_ok(checks) == {"topic further subscriptions": "warning"}
    assert checks["topic further subscriptions"].found == "1 that the stack file does not have (https)"
    assert TOKEN not in str(checks)


def test_an_alarm_without_data_yet_is_a_warning_and_one_whose_data_stopped_fails() -> None:
    with stack_in_account(stack_file(**HEALTH)) as stack:
        alarm = stack.account.backend("cloudwatch").alarms[stack.alarm("no-flow-logs")]
        alarm.state_value = "INSUFFICIENT_DATA"
        assert not_ok(stack.checks()) == {"alarm no-flow-logs": "warning"}
        alarm.state_reason = "Insufficient Data: 1 datapoint was unknown."
        checks = stack.checks()
    assert not_ok(checks) == {"alarm no-flow-logs": "failed"}
    assert "No flow-log record has arrived" in checks["alarm no-flow-logs"].todo


# -- AWS says no ------------------------------------------------------------------------------------------------------

ANY_TOPIC = ["topic .*", "further rules", "key", DEFINITION, ROLE]
OF_MACHINE = ["state machine", DEFINITION, ROLE, "topic policy", "key"]
ROLES = ["start role", ROLE, "key"]
# permission -> patterns of the checks that need it
READINGS: dict[str, list[str]] = {
    "cloudwatch:DescribeAlarms": ["alarm (?!.*subscription).*"],
    "ec2:DescribeFlowLogs": [FLOW_LOG],
    "events:DescribeRule": ["rule .*"],
    "events:ListRuleNamesByTarget": ["further rules"],
    "events:ListRules": ["further rules"],
    "events:ListTargetsByRule": [TARGET, "start role"],
    "guardduty:GetDetector": ["detector", "protection plans"],
    "guardduty:ListDetectors": ["detector", "protection plans"],
    "iam:GetRole": ROLES,
    "iam:GetRolePolicy": ROLES,
    "iam:ListRolePolicies": ROLES,
    "kms:DescribeKey": ["key"],
    "kms:GetKeyPolicy": ["key"],
    "logs:DescribeLogGroups": ["log group", "state machine", "key"],
    "sns:GetSubscriptionAttributes": [".* subscription .*"],
    "sns:GetTopicAttributes": ["topic (policy|encryption)", "key"],
    "sns:ListSubscriptionsByTopic": [".* subscriptions?( .*)?"],
    "sqs:GetQueueAttributes": ["dead-letter queue.*", "key"],
    "sqs:GetQueueUrl": ["dead-letter queue.*", "key", DEFINITION],
    "states:DescribeStateMachine": OF_MACHINE,
    "states:ListExecutions": ["failed executions"],
}


@pytest.fixture
def watched() -> Iterator[StackInAccount]:
    with stack_in_account(stack_file(**HEALTH)) as stack:
        yield stack


@pytest.mark.parametrize("permission", READINGS)
def test_without_a_permission_its_checks_are_unknown_and_name_it(watched: StackInAccount, permission: str) -> None:
    with watched.aws.refuse(permission):
        checks = watched.checks()
    needing = [subject for subject in checks if any(re.fullmatch(pattern, subject) for pattern in READINGS[permission])]
    assert needing
    assert not_ok(checks) == dict.fromkeys(needing, "unknown")
    assert {checks[subject].found for subject in needing} <= {f"Permission {permission} is missing: no"}


def test_nothing_but_readings_is_asked_for_and_each_once(watched: StackInAccount) -> None:
    watched.checks()
    calls = list(watched.aws.calls)
    assert set(calls) - {"sts:GetCallerIdentity"} <= set(PERMISSIONS)
    assert all(action.partition(":")[2].startswith(("Describe", "Get", "List")) for action in PERMISSIONS)
    once = ["guardduty:GetDetector", "ec2:DescribeFlowLogs", "sqs:GetQueueAttributes", "cloudwatch:DescribeAlarms"]
    assert {action: calls.count(action) for action in once} == dict.fromkeys(once, 1)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("ThrottlingException", "AWS still throttles guardduty:GetDetector after 8 attempts; try again later."),
        ("ExpiredTokenException", "The AWS credentials have expired"),
        ("InternalServerErrorException", "guardduty:GetDetector failed: InternalServerErrorException"),
    ],
)
def test_a_call_that_fails_is_said_by_its_checks_and_the_rest_is_checked(
    watched: StackInAccount, code: str, said: str
) -> None:
    with watched.aws.refuse("guardduty:GetDetector", code):
        checks = watched.checks()
    assert not_ok(checks) == {"detector": "unknown", "protection plans": "unknown"}
    assert said in checks["detector"].found


def test_every_reading_is_refused_above() -> None:
    others = {
        *("cloudwatch:GetMetricData", "ec2:DescribeSubnets"),
        *("states:DescribeExecution", "states:GetExecutionHistory"),
    }
    assert READINGS.keys() | others == set(PERMISSIONS)
    assert list(PERMISSIONS) == sorted(PERMISSIONS)


def test_without_a_flow_log_a_subnet_that_may_not_be_looked_up_still_fails() -> None:
    with stack_in_account(stack_file()) as stack:
        stack.client("ec2").delete_flow_logs(FlowLogIds=[stack.flow_log.id])
        with stack.aws.refuse("ec2:DescribeSubnets"):
            assert stack.checks()[FLOW_LOG].found == "no flow log to /threat-monitor/dev/flow-logs"


@pytest.mark.parametrize("permission", ["states:DescribeExecution", "states:GetExecutionHistory"])
def test_a_failed_execution_that_may_not_be_looked_at_is_unknown(permission: str) -> None:
    with stack_in_account(stack_file()) as stack:
        stack.abort_execution()
        assert not_ok(stack.checks()) == {}  # everyone had a message before it was stopped
        with stack.aws.refuse(permission):
            assert not_ok(stack.checks()) == {"failed executions": "unknown"}
