"""Each way a deployment can be broken, and the check that says so; what the checks ask of AWS."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
from examples import ACCOUNT, EMAIL, KEY_ARN, SUBNET
from stack_in_account import CHANNELS, HEALTH, TOKEN, StackInAccount, stack_file, stack_in_account

from threatmon.model import names
from threatmon.model.email import mail
from threatmon.model.severity import BANDS
from threatmon.reports.model import Check
from threatmon.verify.stack_checks import PERMISSIONS

NOTHING: Mapping[str, Any] = MappingProxyType({})
FLOW_LOG, TARGET, SUBSCRIPTION = f"flow log {SUBNET}", "topic target of rule high", f"topic subscription {EMAIL}"
RAW_SUBSCRIPTION = "topic-raw subscription alerts.subscribers[0] (https)"


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
        "rule high",
        "rule critical",
        "further rules",
        TARGET,
        "topic target of rule critical",
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
    "the default": {"minimumSeverity": None},
    "with alarms": HEALTH,
    "of several channels": CHANNELS,
    "with alarms on several channels": {**CHANNELS, **HEALTH},
    "in the default format": {"flowLogs": {"format": "default", "aggregationSeconds": 600, "trafficType": "REJECT"}},
    "with a detector of others": {"detector": {"mode": "lookup"}},
    "with an adopted detector": {"detector": {"mode": "import", "id": "0" * 32}, "protectionPlans": {"s3": True}},
    "with a key of its own": {
        "alerts": {"kmsKeyArn": KEY_ARN, "accountAlias": "Prod", "includeSamples": False, "includeArchived": True}
    },
    "of many types": {"findingTypes": ["Recon:EC2/*", "Backdoor:EC2/*", "Impact:*"]},
    "of a VPC": {"subnetIds": [], "vpcIds": ["vpc-0123456789abcdef0"]},
}


@pytest.mark.parametrize("changes", STACKS.values(), ids=STACKS)
def test_any_stack_passes_if_it_is_what_its_file_says_however_it_is_found(changes: Mapping[str, Any]) -> None:
    with stack_in_account(stack_file(**changes)) as stack:
        checks = stack.checks()
        assert not_ok(checks) == {}
        assert stack.checks(found=True) == checks


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
    without_outputs: Sequence[str] = ()
    """the checks that fail if the stack is found by the names of its resources, if they are others"""


def change_transformer(stack: StackInAccount) -> None:
    other = mail(BANDS[0], "aws", None, stack.group, names.dashboard("dev"))
    stack.put_target(InputTransformer={"InputPathsMap": other.input_paths, "InputTemplate": other.input_template})


def empty_topic(stack: StackInAccount, suffix: str) -> None:
    for name in stack.outputs["ruleNames"]:
        targets = stack.client("events").list_targets_by_rule(Rule=name)["Targets"]
        ids = [target["Id"] for target in targets if target["Arn"] == stack.topic_like(suffix)]
        stack.client("events").remove_targets(Rule=name, Ids=ids)


UNSET_KEY = "key is not set, expected a key of yours"
CONFIRM = f"aws sns confirm-subscription --topic-arn arn:aws:sns:eu-west-1:{ACCOUNT}:threat-monitor-"
QUEUE = ["dead-letter queue", "dead-letter queue policy", "dead-letter queue encryption", "key"]
TOPIC = ["topic policy", "topic encryption", SUBSCRIPTION, "topic further subscriptions", "key"]
TARGETS = [TARGET, "topic target of rule critical"]
WORDS = ("undelivered-high", "undelivered-critical", "undeliverable-topic", "dead-letters", "old-dead-letters")
ALARMS = [f"alarm {word}" for word in (*WORDS, "no-flow-logs")]
ALARM_SUBSCRIPTION = "alarm subscription ops@example.com"

S = StackInAccount
BREAKS: dict[str, Break] = {
    "the detector is suspended": Break(
        lambda s: s.set_detector(Enable=False), "Status is DISABLED, expected ENABLED", ["detector"]
    ),
    "the detector is gone": Break(S.delete_detector, "is not there (", ["detector", "protection plans"]),
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
        "Allow events.amazonaws.com kms:Decrypt and kms:GenerateDataKey* in it, without source conditions",
    ),
    "the key is to be deleted": Break(
        lambda s: s.client("kms").schedule_key_deletion(KeyId=s.key.rpartition("/")[2]),
        "is PendingDeletion",
        ["key"],
        "aws kms cancel-key-deletion",
    ),
    "the topic is not encrypted": Break(lambda s: s.set_topic("KmsMasterKeyId", ""), UNSET_KEY, ["topic encryption"]),
    "the queue is not encrypted": Break(S.decrypt_queue, UNSET_KEY, ["dead-letter queue encryption"]),
    "a rule is disabled": Break(
        lambda s: s.client("events").disable_rule(Name=s.rule()),
        "is DISABLED",
        ["rule high"],
        "aws events enable-rule --name threat-monitor-alerts-high-",
    ),
    "a rule's pattern is changed": Break(S.change_pattern, "matches other findings, by detail.severity", ["rule high"]),
    "a rule is gone": Break(S.delete_rule, "", ["rule high", TARGET]),
    "a rule is left from another time": Break(
        lambda s: s.add_rule("left-over"), "left-over: not in", ["further rules"], "what an interrupted deployment left"
    ),
    "a rule's replacement was interrupted": Break(
        lambda s: s.add_rule("threat-monitor-alerts-high-fffffff"),
        "threat-monitor-alerts-high-fffffff: not in the stack file",
        ["further rules"],
        "what an interrupted deployment left",
        ["further rules", "topic policy", "dead-letter queue policy"],  # which do not let it in
    ),
    "a target is gone": Break(S.remove_target, "no target on arn:aws:sns:", [TARGET]),
    "a mail is worded otherwise": Break(change_transformer, "its message is not the configured one", [TARGET]),
    "a target drops what it cannot deliver": Break(
        lambda s: s.put_target(without="DeadLetterConfig"),
        "what cannot be delivered does not go to arn:aws:sqs:",
        [TARGET],
    ),
    "the topic lets in one rule alone": Break(
        S.allow_one_rule,
        "sns:Publish is not allowed to threat-monitor-alerts-high-",
        ["topic policy"],
        "lost or dead-lettered",
    ),
    "the topic is gone": Break(lambda s: s.client("sns").delete_topic(TopicArn=s.topic), "is not there (", TOPIC),
    "the dead-letter queue lets nothing in": Break(
        lambda s: s.set_queue(Policy=""),
        "sqs:SendMessage is not allowed to threat-monitor-alerts-",
        ["dead-letter queue policy"],
        "lost or dead-lettered",
    ),
    "the dead-letter queue is gone": Break(
        lambda s: s.client("sqs").delete_queue(QueueUrl=s.queue),
        "is not there (",
        QUEUE,
        without_outputs=[*QUEUE, *TARGETS],
    ),
    "a finding waits in the dead-letter queue": Break(
        lambda s: s.client("sqs").send_message(QueueUrl=s.queue, MessageBody="{}"),
        "not delivered: 1",
        ["dead-letter queue"],
        "threatmon redrive",
    ),
    "a subscription is not confirmed": Break(
        S.unconfirm, "is not confirmed, so nothing arrives", [SUBSCRIPTION], f"{CONFIRM}alerts-topic-"
    ),
    "a subscription is gone": Break(
        S.unsubscribe, "is not there", [SUBSCRIPTION], "`pulumi up --refresh` sends a new invitation"
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
    "an alarm is silenced": Break(
        lambda s: s.client("cloudwatch").disable_alarm_actions(AlarmNames=[s.alarm("dead-letters")]),
        "notifies nobody: its actions are disabled",
        ["alarm dead-letters"],
        "aws cloudwatch enable-alarm-actions --alarm-names threat-monitor-health-dead-letters-",
    ),
    "an alarm is gone": Break(
        lambda s: s.client("cloudwatch").delete_alarms(AlarmNames=[s.alarm("undelivered-high")]),
        "is not there",
        ["alarm undelivered-high"],
    ),
    "no alarm is left": Break(
        lambda s: s.client("cloudwatch").delete_alarms(AlarmNames=s.outputs["alarmNames"]),
        "is not there",
        [*ALARMS, ALARM_SUBSCRIPTION, "alarm further subscriptions"],
    ),
    "whoever gets the alarms has not confirmed": Break(
        lambda s: s.unconfirm("ops@example.com"),
        "is not confirmed",
        [ALARM_SUBSCRIPTION],
        f"{CONFIRM}health-topic-",
    ),
}
CHANNEL_BREAKS: dict[str, Break] = {
    "a raw target rewords the event": Break(
        lambda s: s.put_target(s.topic_like("-raw"), InputPath="$.detail"),
        "its message is not the configured one",
        ["topic-raw target of rule high"],
    ),
    "nothing is sent to the raw topic": Break(
        lambda s: empty_topic(s, "-raw"),
        "no rule sends to a topic-raw",
        [
            *(subject.replace("topic", "topic-raw", 1) for subject in (*TARGETS, *TOPIC) if subject != SUBSCRIPTION),
            RAW_SUBSCRIPTION,
            "further rules",
        ],
    ),
    "a chat tool has not confirmed": Break(
        lambda s: s.unconfirm(TOKEN), "is not confirmed", [RAW_SUBSCRIPTION], "confirm-subscription"
    ),
    "a subscriber of grave findings is gone": Break(
        lambda s: s.unsubscribe("boss@example.com"), "is not there", ["topic-critical subscription boss@example.com"]
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
        checks, without_outputs = stack.checks(), stack.checks(found=True)
    assert not_ok(checks) == dict.fromkeys(case.checks, "failed")
    assert case.found in checks[case.checks[0]].found
    assert case.todo in checks[case.checks[0]].todo
    assert not_ok(without_outputs) == dict.fromkeys(case.without_outputs or case.checks, "failed")
    assert TOKEN not in str([checks, without_outputs])


def test_a_stack_file_that_has_changed_since_shows_what_is_deployed_and_what_is_not() -> None:
    with stack_in_account(stack_file()) as stack:
        wider = stack.checks(stack_file(minimumSeverity="medium"))
        narrower = stack.checks(stack_file(minimumSeverity="critical"))
        other_key = stack.checks(stack_file(alerts={"kmsKeyArn": KEY_ARN}))
    assert wider["rule medium"][::2] == ("failed", "the stack has no such rule")
    assert wider["rule high"].state == "ok"
    assert not_ok(narrower) == {"further rules": "failed"}
    assert narrower["further rules"].found.startswith("threat-monitor-alerts-high-")
    assert set(not_ok(other_key)) == {"log group", "topic encryption", "dead-letter queue encryption"}
    assert other_key["topic encryption"].found.endswith(f"expected {KEY_ARN}")


def test_a_half_deployed_stack_fails_where_an_output_is_missing() -> None:
    with stack_in_account(stack_file()) as stack:
        for name in ("topicArn", "detectorId", "deadLetterQueueUrl"):
            del stack.outputs[name]
        checks = stack.checks()
    assert checks["detector"].found == "the stack has no detectorId"
    assert checks["dead-letter queue"].found == "the stack has no deadLetterQueueUrl"
    assert checks["topic policy"].state == checks["rule high"].state == "ok"


def test_a_rule_that_also_calls_a_function_sends_to_no_further_topic() -> None:
    with stack_in_account(stack_file()) as stack:
        function = f"arn:aws:lambda:eu-west-1:{ACCOUNT}:function:threat-monitor-alerts-topic-f"
        stack.client("events").put_targets(Rule=stack.rule(), Targets=[{"Id": "f", "Arn": function}])
        assert not_ok(stack.checks(found=True)) == {}


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

ANY_TARGET = "topic target of rule .*"
ANY_TOPIC = ["topic .*", "further rules", "key"]
# permission -> patterns of the checks that need it, if the stack is known by its outputs, and if it is found by names
READINGS: dict[str, tuple[list[str], list[str]]] = {
    "cloudwatch:DescribeAlarms": (["alarm .*"], ["alarm .*"]),
    "ec2:DescribeFlowLogs": ([FLOW_LOG], [FLOW_LOG]),
    "events:DescribeRule": (["rule .*"], ["rule .*"]),
    "events:ListRuleNamesByTarget": (["further rules"], ["further rules"]),
    "events:ListRules": ([], ["rule .*", *ANY_TOPIC, "dead-letter queue policy"]),
    "events:ListTargetsByRule": ([ANY_TARGET], ANY_TOPIC),
    "guardduty:GetDetector": (["detector", "protection plans"], ["detector", "protection plans"]),
    "guardduty:ListDetectors": ([], ["detector", "protection plans"]),
    "kms:DescribeKey": (["key"], ["key"]),
    "kms:GetKeyPolicy": (["key"], ["key"]),
    "logs:DescribeLogGroups": (["log group", "key"], ["log group", "key"]),
    "sns:GetSubscriptionAttributes": ([".* subscription .*"], [".* subscription .*"]),
    "sns:GetTopicAttributes": (["topic (policy|encryption)", "key"], ["topic (policy|encryption)", "key"]),
    "sns:ListSubscriptionsByTopic": ([".* subscriptions?( .*)?"], [".* subscriptions?( .*)?"]),
    "sqs:GetQueueAttributes": (["dead-letter queue.*", "key"], ["dead-letter queue.*", "key"]),
    "sqs:ListQueues": ([], ["dead-letter queue.*", "key", ANY_TARGET]),
}


@pytest.fixture
def watched() -> Iterator[StackInAccount]:
    with stack_in_account(stack_file(**HEALTH)) as stack:
        yield stack


@pytest.mark.parametrize("found", [False, True], ids=["by its outputs", "by names"])
@pytest.mark.parametrize("permission", READINGS)
def test_without_a_permission_its_checks_are_unknown_and_name_it(
    watched: StackInAccount, permission: str, found: bool
) -> None:
    with watched.aws.refuse(permission):
        checks = watched.checks(found=found)
    needing = [
        subject for subject in checks if any(re.fullmatch(pattern, subject) for pattern in READINGS[permission][found])
    ]
    assert bool(needing) is bool(READINGS[permission][found])
    assert not_ok(checks) == dict.fromkeys(needing, "unknown")
    assert {checks[subject].found for subject in needing} <= {f"Permission {permission} is missing: no"}


def test_nothing_but_readings_is_asked_for_and_each_once(watched: StackInAccount) -> None:
    watched.checks(found=True)
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
    others = {"cloudwatch:GetMetricData", "ec2:DescribeSubnets"}
    assert READINGS.keys() | others == set(PERMISSIONS)
    assert list(PERMISSIONS) == sorted(PERMISSIONS)


def test_without_a_flow_log_a_subnet_that_may_not_be_looked_up_still_fails() -> None:
    with stack_in_account(stack_file()) as stack:
        stack.client("ec2").delete_flow_logs(FlowLogIds=[stack.flow_log.id])
        with stack.aws.refuse("ec2:DescribeSubnets"):
            assert stack.checks()[FLOW_LOG].found == "no flow log to /threat-monitor/dev/flow-logs"
