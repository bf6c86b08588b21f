"""On the emulated account; answered by recorded responses, because moto has them not: CreateSampleFindings."""

import json
import re
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
import typer
import yaml
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.session import get_session
from typer.testing import CliRunner

from threatmon.cli import verify
from threatmon.emulator.account import EmulatedAccount
from threatmon.emulator.deployment import deployed
from threatmon.errors import UsageError
from threatmon.evaluation.explain import rules_of
from threatmon.model import names
from threatmon.model.email import mail
from threatmon.model.event_patterns import compact
from threatmon.model.policies import topic_policy
from threatmon.model.settings import parse
from threatmon.model.severity import BANDS
from threatmon.stacks import old_aws as session
from threatmon.stacks.files import load
from threatmon.verify import delivery_test
from threatmon.verify.checks import Verdict

SUBNET = "subnet-0123456789abcdef0"
ACCOUNT = "111122223333"
TOKEN = "https://hooks.example.com/T0KEN"
SETTINGS: dict[str, Any] = {"subnetIds": [SUBNET], "alertEmails": ["soc@example.com"], "minimumSeverity": "high"}
NOTHING: Mapping[str, Any] = MappingProxyType({})
APP = typer.Typer()
APP.command()(verify.verify)


class Outcome(NamedTuple):
    code: int
    lines: dict[str, Verdict]
    document: dict[str, Any]

    def not_ok(self) -> dict[str, str]:
        return {subject: verdict.state for subject, verdict in self.lines.items() if verdict.state != "ok"}


class World:
    """A stack, deployed and confirmed, and the command that looks at it."""

    def __init__(self, account: EmulatedAccount, outputs: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
        self.account, self.outputs = account, outputs
        monkeypatch.setattr(session, "new_session", lambda _profile, _region: account.boto3_session())
        monkeypatch.setattr(verify, "stack_outputs", lambda _stack: self.outputs)
        monkeypatch.setenv("COLUMNS", "100")
        self.events = account.boto3_session().events

    def client(self, service: str) -> Any:
        return self.account.client(service)

    def confirm(self, *, authenticated: bool = True) -> None:
        for arn, subscription in self.account.backend("sns").subscriptions.items():
            self.account.confirm_subscription(arn)
            subscription.attributes["ConfirmationWasAuthenticated"] = authenticated

    @property
    def topic(self) -> str:
        return self.outputs["topicArn"]

    @property
    def queue(self) -> str:
        return self.outputs["deadLetterQueueUrl"]

    @property
    def queue_arn(self) -> str:
        return self.account.arn("sqs", self.queue.rpartition("/")[2])

    @property
    def group(self) -> str:
        return self.outputs["logGroupName"]

    @property
    def key(self) -> str:
        return self.client("sns").get_topic_attributes(TopicArn=self.topic)["Attributes"]["KmsMasterKeyId"]

    def rule(self, key: str = "high") -> str:
        return next(name for name in self.outputs["ruleNames"] if f"-{key}-" in name)

    def topic_like(self, suffix: str) -> str:
        topics = self.client("sns").list_topics()["Topics"]
        return next(it["TopicArn"] for it in topics if it["TopicArn"].rpartition("-")[0].endswith(f"-topic{suffix}"))

    def target(self, topic: str | None = None) -> dict[str, Any]:
        targets = self.client("events").list_targets_by_rule(Rule=self.rule())["Targets"]
        return next(target for target in targets if target["Arn"] == (topic or self.topic))

    def put_target(self, topic: str | None = None, *, without: str = "", **changes: Any) -> None:
        target = {key: value for key, value in (self.target(topic) | changes).items() if key != without}
        self.client("events").put_targets(Rule=self.rule(), Targets=[target])

    def run(self, *arguments: str) -> Any:
        return CliRunner().invoke(APP, ["--stack", "dev", *arguments])

    def verify(self, *arguments: str) -> Outcome:
        result = self.run("--json", *arguments)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        document = json.loads(result.stdout)
        lines = {it.pop("subject"): Verdict(**it) for it in document["checks"]}
        assert len(lines) == len(document["checks"])
        return Outcome(result.exit_code, lines, document)

    @contextmanager
    def answering(self, operation: str, code: str, message: str = "") -> Generator[None]:
        """While the context is open, AWS refuses an operation (``events.DescribeRule``)."""

        def refuse(**_: Any) -> tuple[AWSResponse, dict[str, Any]]:
            error = {"Code": code, "Message": message or code}
            return answer(400, {"Error": error})

        with self.hooked(f"before-call.{operation}", refuse):
            yield

    @contextmanager
    def hooked(self, event: str, handler: Callable[..., Any]) -> Generator[None]:
        self.events.register(event, handler)
        try:
            yield
        finally:
            self.events.unregister(event, handler)


def answer(status: int, body: dict[str, Any]) -> tuple[AWSResponse, dict[str, Any]]:
    return AWSResponse("", status, HTTPHeaders(), None), {**body, "ResponseMetadata": {"HTTPStatusCode": status}}


@contextmanager
def world_of(folder: Path, monkeypatch: pytest.MonkeyPatch, changes: Mapping[str, Any]) -> Generator[World]:
    settings = {key: value for key, value in {**SETTINGS, **changes}.items() if value is not None}
    config = {"aws:region": "eu-west-1", "aws:allowedAccountIds": [ACCOUNT]}
    config |= {f"threat-monitor:{key}": value for key, value in settings.items()}
    (folder / "Pulumi.dev.yaml").write_text(yaml.safe_dump({"config": config}), encoding="utf-8")
    monkeypatch.setattr("threatmon.project.ROOT", folder)
    with deployed(load(folder, "dev")) as (account, run):
        world = World(account, run.outputs, monkeypatch)
        world.confirm()
        yield world


Deploy = Callable[..., World]


@pytest.fixture
def deploy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deploy]:
    with ExitStack() as stack:
        yield lambda **changes: stack.enter_context(world_of(tmp_path, monkeypatch, changes))


@pytest.fixture(scope="class")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One deployment, for tests that change nothing. Of a class: the accounts of others must not be nested in it."""
    with pytest.MonkeyPatch.context() as monkeypatch, ExitStack() as stack:
        folder = tmp_path_factory.mktemp("project")
        yield stack.enter_context(world_of(folder, monkeypatch, HEALTH))


HEALTH: Mapping[str, Any] = {"health": {"enabled": True, "emails": ["ops@example.com"]}}
CHANNELS: Mapping[str, Any] = {
    "alerts": {
        "subscribers": [
            {"protocol": "https", "endpoint": TOKEN, "format": "raw"},
            {"protocol": "email", "endpoint": "boss@example.com", "minimumSeverity": "critical"},
        ]
    }
}


# -- nothing is wrong -------------------------------------------------------------------------------------------------


def test_a_stack_as_deployed_and_confirmed_passes_every_check(deploy: Deploy) -> None:
    outcome = deploy().verify()
    assert outcome.not_ok() == {}
    assert (outcome.code, outcome.document["passed"]) == (0, True)
    assert list(outcome.lines) == [
        "detector",
        "protection plans",
        f"flow log {SUBNET}",
        "log group",
        "rule high",
        "rule critical",
        "further rules",
        "topic target of rule high",
        "topic target of rule critical",
        "topic policy",
        "topic encryption",
        "topic subscription soc@example.com",
        "topic further subscriptions",
        "dead-letter queue policy",
        "dead-letter queue encryption",
        "dead-letter queue",
        "key",
        "alarms",
    ]


def test_that_nothing_watches_the_alert_path_is_said_with_what_would_and_is_no_failure(deploy: Deploy) -> None:
    world = deploy()
    outcome = world.verify()
    assert outcome.lines["alarms"] == (
        "ok",
        "off: nothing watches the alert path",
        "`health: { enabled: true }` in the stack file adds alarms on it.",
    )
    assert (outcome.code, outcome.document["passed"]) == (0, True)
    shown = world.run()
    assert shown.exit_code == 0
    assert "-> `health: { enabled: true }` in the stack file adds alarms on it.\n" in shown.stdout


def test_with_alarms_nothing_is_said_about_having_none(deploy: Deploy) -> None:
    outcome = deploy(**HEALTH).verify()
    assert "alarms" not in outcome.lines
    assert [subject for subject in outcome.lines if subject.startswith("alarm threat-monitor-health-")]


OTHER_STACKS: dict[str, Mapping[str, Any]] = {
    "the default": {"minimumSeverity": None},
    "with alarms": HEALTH,
    "of several channels": CHANNELS,
    "in the default format": {"flowLogs": {"format": "default", "aggregationSeconds": 600, "trafficType": "REJECT"}},
    "with a detector of others": {"detector": {"mode": "lookup"}},
    "with an adopted detector": {"detector": {"mode": "import", "id": "0" * 32}, "protectionPlans": {"s3": True}},
    "with a key of its own": {
        "alerts": {
            "kmsKeyArn": f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/11112222-3333-4444-5555-666677778888",
            "accountAlias": "Prod",
            "includeSamples": False,
            "includeArchived": True,
        }
    },
    "of many types": {"findingTypes": ["Recon:EC2/*", "Backdoor:EC2/*", "Impact:*"]},
}


@pytest.mark.parametrize("changes", OTHER_STACKS.values(), ids=OTHER_STACKS)
def test_any_stack_passes_when_it_is_what_its_file_says(deploy: Deploy, changes: Mapping[str, Any]) -> None:
    outcome = deploy(**changes).verify()
    assert (outcome.code, outcome.not_ok()) == (0, {})


def test_a_detector_of_others_is_asked_for_nothing_but_to_be_enabled(deploy: Deploy) -> None:
    world = deploy(detector={"mode": "lookup"})
    guardduty, detector = world.client("guardduty"), world.outputs["detectorId"]
    guardduty.update_detector(
        DetectorId=detector,
        FindingPublishingFrequency="ONE_HOUR",
        Features=[{"Name": "RDS_LOGIN_EVENTS", "Status": "ENABLED"}],
    )
    outcome = world.verify()
    assert (outcome.code, "protection plans" in outcome.lines) == (0, False)
    guardduty.update_detector(DetectorId=detector, Enable=False)
    assert world.verify().lines["detector"].todo == "Ask whoever manages the detector to enable it."


def test_a_plan_left_unsaid_may_be_on(deploy: Deploy) -> None:
    world = deploy()
    features(world, AI_PROTECTION="ENABLED")
    assert world.verify().not_ok() == {}
    assert "ai" not in world.verify().lines["protection plans"].found


# -- one thing is wrong -----------------------------------------------------------------------------------------------


class Break(NamedTuple):
    do: Callable[[World], object]
    found: str
    """what the line has to say"""
    todo: str
    lines: tuple[str, ...]
    """the lines that fail, the first of which says it"""


REFRESH = "`pulumi up --refresh`"
TARGET = "topic target of rule high"
MAIL_TARGETS = ("topic target of rule high", "topic target of rule critical")
SUBSCRIPTION = "topic subscription soc@example.com"


def features(world: World, **status: str) -> None:
    world.client("guardduty").update_detector(
        DetectorId=world.outputs["detectorId"],
        Features=[{"Name": name, "Status": value} for name, value in status.items()],
    )


def flow_log(world: World) -> Any:
    [found] = world.account.backend("ec2").flow_logs.values()
    return found


def forbid_writing(world: World) -> None:
    role = flow_log(world).deliver_logs_permission_arn.rpartition("/")[2]
    for name in world.client("iam").list_role_policies(RoleName=role)["PolicyNames"]:
        world.client("iam").delete_role_policy(RoleName=role, PolicyName=name)


def add_flow_log(world: World) -> None:
    world.client("ec2").create_flow_logs(
        ResourceIds=[SUBNET],
        ResourceType="Subnet",
        TrafficType="REJECT",
        LogDestination=world.account.arn("logs", f"log-group:{world.group}"),
        DeliverLogsPermissionArn=flow_log(world).deliver_logs_permission_arn,
    )


def key_policy_without(world: World, sid: str) -> None:
    kms = world.client("kms")
    document = json.loads(kms.get_key_policy(KeyId=world.key, PolicyName="default")["Policy"])
    document["Statement"] = [it for it in document["Statement"] if it["Sid"] != sid]
    kms.put_key_policy(KeyId=world.key, PolicyName="default", Policy=json.dumps(document))


def another_key(world: World) -> None:
    arn = world.client("kms").create_key()["KeyMetadata"]["Arn"]
    world.client("logs").associate_kms_key(logGroupName=world.group, kmsKeyId=arn)


def topic_attribute(world: World, name: str, value: str) -> None:
    world.client("sns").set_topic_attributes(TopicArn=world.topic, AttributeName=name, AttributeValue=value)


def queue_attribute(world: World, **attributes: str) -> None:
    world.client("sqs").set_queue_attributes(QueueUrl=world.queue, Attributes=attributes)


def allow_one_rule(world: World) -> None:
    arn = world.account.arn("events", f"rule/{world.rule('critical')}")
    root = f"arn:aws:iam::{ACCOUNT}:root"
    topic_attribute(world, "Policy", json.dumps(topic_policy(world.topic, root, [arn])))


def change_pattern(world: World) -> None:
    events = world.client("events")
    pattern = json.loads(events.describe_rule(Name=world.rule())["EventPattern"])
    pattern["detail"]["severity"] = [{"numeric": [">=", 8, "<", 9]}]
    events.put_rule(Name=world.rule(), EventPattern=compact(pattern))


def delete_rule(world: World) -> None:
    remove_target(world)
    world.client("events").delete_rule(Name=world.rule())


def remove_target(world: World) -> None:
    world.client("events").remove_targets(Rule=world.rule(), Ids=[world.target()["Id"]])


def leave_a_rule_behind(world: World) -> None:
    events = world.client("events")
    events.put_rule(Name="left-over", EventPattern='{"source":["aws.guardduty"]}')
    events.put_targets(Rule="left-over", Targets=[{"Id": "t", "Arn": world.topic}])


def subscription_arn(world: World, endpoint: str) -> str:
    subscriptions = world.account.backend("sns").subscriptions
    return next(arn for arn, it in subscriptions.items() if it.endpoint == endpoint)


def pending(world: World, endpoint: str = "soc@example.com") -> None:
    arn = subscription_arn(world, endpoint)
    world.account.backend("sns").subscriptions[arn].attributes["PendingConfirmation"] = True


def unsubscribe(world: World, endpoint: str = "soc@example.com") -> None:
    world.client("sns").unsubscribe(SubscriptionArn=subscription_arn(world, endpoint))


def change_transformer(world: World) -> None:
    other = mail(BANDS[0], "aws", None, world.group, names.dashboard("dev"))
    transformer = {"InputPathsMap": other.input_paths, "InputTemplate": other.input_template}
    world.put_target(InputTransformer=transformer)


BREAKS: dict[str, Break] = {
    "the detector is suspended": Break(
        lambda w: w.client("guardduty").update_detector(DetectorId=w.outputs["detectorId"], Enable=False),
        "Status is DISABLED, expected ENABLED",
        REFRESH,
        ("detector",),
    ),
    "the detector is gone": Break(
        lambda w: w.client("guardduty").delete_detector(DetectorId=w.outputs["detectorId"]),
        "is not there",
        REFRESH,
        ("detector", "protection plans"),
    ),
    "a plan is switched on": Break(
        lambda w: features(w, RDS_LOGIN_EVENTS="ENABLED"), "rds is on, expected off", "billed", ("protection plans",)
    ),
    "the flow log is gone": Break(
        lambda w: w.client("ec2").delete_flow_logs(FlowLogIds=[flow_log(w).id]),
        "no flow log to /threat-monitor/dev/flow-logs",
        REFRESH,
        (f"flow log {SUBNET}",),
    ),
    "the flow log cannot deliver": Break(
        forbid_writing, "DeliverLogsStatus is FAILED, expected SUCCESS (Access error)", REFRESH, (f"flow log {SUBNET}",)
    ),
    "the subnet is logged twice": Break(
        add_flow_log,
        "2 flow logs to /threat-monitor/dev/flow-logs",
        "aws ec2 delete-flow-logs --flow-log-ids fl-",
        (f"flow log {SUBNET}",),
    ),
    "records are kept for less time": Break(
        lambda w: w.client("logs").put_retention_policy(logGroupName=w.group, retentionInDays=30),
        "retentionInDays is 30, expected 365",
        REFRESH,
        ("log group",),
    ),
    "the log group is gone": Break(
        lambda w: w.client("logs").delete_log_group(logGroupName=w.group),
        "is not there",
        REFRESH,
        ("log group", f"flow log {SUBNET}"),
    ),
    "records are encrypted with another key": Break(another_key, "one key expected for all", REFRESH, ("key",)),
    "the key shuts eventbridge out": Break(
        lambda w: key_policy_without(w, "EventBridgePublishes"),
        "does not let EventBridge use it",
        "Allow events.amazonaws.com kms:Decrypt and kms:GenerateDataKey* in it, without source conditions",
        ("key",),
    ),
    "the key is to be deleted": Break(
        lambda w: w.client("kms").schedule_key_deletion(KeyId=w.key.rpartition("/")[2]),
        "is PendingDeletion",
        "aws kms cancel-key-deletion",
        ("key",),
    ),
    "the topic is not encrypted": Break(
        lambda w: topic_attribute(w, "KmsMasterKeyId", ""),
        "key is not set, expected a key of yours",
        REFRESH,
        ("topic encryption",),
    ),
    "a rule is disabled": Break(
        lambda w: w.client("events").disable_rule(Name=w.rule()),
        "is DISABLED",
        "aws events enable-rule --name threat-monitor-alerts-high-",
        ("rule high",),
    ),
    "a rule's pattern is changed": Break(
        change_pattern, "matches other findings, by detail.severity", REFRESH, ("rule high",)
    ),
    "a rule is gone": Break(delete_rule, "is not there", REFRESH, ("rule high", TARGET)),
    "a rule is left from another time": Break(
        leave_a_rule_behind, "left-over also send", "delete what an interrupted deployment left", ("further rules",)
    ),
    "a target is gone": Break(remove_target, "no target on arn:aws:sns:", REFRESH, (TARGET,)),
    "a mail is worded otherwise": Break(
        change_transformer, "its message is not the configured one", REFRESH, (TARGET,)
    ),
    "a target drops what it cannot deliver": Break(
        lambda w: w.put_target(without="DeadLetterConfig"),
        "what cannot be delivered does not go to arn:aws:sqs:",
        REFRESH,
        (TARGET,),
    ),
    "the topic lets in one rule alone": Break(
        allow_one_rule,
        "sns:Publish is not allowed to threat-monitor-alerts-high-",
        "lost or dead-lettered",
        ("topic policy",),
    ),
    "the topic is gone": Break(
        lambda w: w.client("sns").delete_topic(TopicArn=w.topic),
        "is not there",
        REFRESH,
        ("topic policy", "topic encryption", SUBSCRIPTION, "topic further subscriptions", "key"),
    ),
    "the dead-letter queue lets nothing in": Break(
        lambda w: queue_attribute(w, Policy=""),
        "sqs:SendMessage is not allowed to threat-monitor-alerts-high-",
        "lost or dead-lettered",
        ("dead-letter queue policy",),
    ),
    "the dead-letter queue is gone": Break(
        lambda w: w.client("sqs").delete_queue(QueueUrl=w.queue),
        "is not there",
        REFRESH,
        ("dead-letter queue", "dead-letter queue policy", "dead-letter queue encryption", "key"),
    ),
    "a finding waits in the dead-letter queue": Break(
        lambda w: w.client("sqs").send_message(QueueUrl=w.queue, MessageBody="{}"),
        "not delivered: 1",
        "threatmon redrive",
        ("dead-letter queue",),
    ),
    "a subscription is not confirmed": Break(
        pending,
        "is not confirmed, so nothing arrives",
        "aws sns confirm-subscription --topic-arn arn:aws:sns:eu-west-1:111122223333:threat-monitor-alerts-topic-",
        (SUBSCRIPTION,),
    ),
    "a subscription is gone": Break(
        unsubscribe, "is not there", "`pulumi up --refresh` sends a new invitation", (SUBSCRIPTION,)
    ),
}
ALARM_BREAKS: dict[str, Break] = {
    "an alarm has gone off": Break(
        lambda w: w.client("cloudwatch").set_alarm_state(
            AlarmName=w.outputs["alarmNames"][0], StateValue="ALARM", StateReason="1 datapoint was greater than 0"
        ),
        "ALARM: 1 datapoint was greater than 0",
        ".",
        ("alarm 0",),
    ),
    "an alarm is silenced": Break(
        lambda w: w.client("cloudwatch").disable_alarm_actions(AlarmNames=w.outputs["alarmNames"][:1]),
        "tells nobody: its actions are disabled",
        "aws cloudwatch enable-alarm-actions --alarm-names threat-monitor-health-",
        ("alarm 0",),
    ),
    "an alarm is gone": Break(
        lambda w: w.client("cloudwatch").delete_alarms(AlarmNames=w.outputs["alarmNames"][:1]),
        "is not there",
        REFRESH,
        ("alarm 0",),
    ),
    "whoever hears the alarms has not confirmed": Break(
        lambda w: pending(w, "ops@example.com"),
        "is not confirmed",
        "aws sns confirm-subscription --topic-arn arn:aws:sns:eu-west-1:111122223333:threat-monitor-health-topic-",
        ("alarm subscription ops@example.com",),
    ),
    "no alarm is deployed": Break(
        lambda w: w.outputs.pop("alarmNames"), "the stack has none", "Deploy the stack", ("alarms",)
    ),
}
CHANNEL_BREAKS: dict[str, Break] = {
    "a raw target rewords the event": Break(
        lambda w: w.put_target(w.topic_like("-raw"), InputPath="$.detail"),
        "its message is not the configured one",
        REFRESH,
        ("topic-raw target of rule high",),
    ),
    "nothing is sent to the raw topic": Break(
        lambda w: [
            w.client("events").remove_targets(Rule=name, Ids=[it["Id"]])
            for name in w.outputs["ruleNames"]
            for it in w.client("events").list_targets_by_rule(Rule=name)["Targets"]
            if it["Arn"] == w.topic_like("-raw")
        ],
        "no rule sends to a topic-raw",
        REFRESH,
        (
            "topic-raw target of rule high",
            "topic-raw target of rule critical",
            "topic-raw policy",
            "topic-raw encryption",
            "topic-raw subscription alerts.subscribers[0] (https)",
            "topic-raw further subscriptions",
            "further rules",
            "key",
        ),
    ),
    "a chat tool has not confirmed": Break(
        lambda w: pending(w, TOKEN),
        "is not confirmed",
        "confirm-subscription",
        ("topic-raw subscription alerts.subscribers[0] (https)",),
    ),
    "a subscriber of grave findings is gone": Break(
        lambda w: unsubscribe(w, "boss@example.com"),
        "is not there",
        REFRESH,
        ("topic-critical subscription boss@example.com",),
    ),
}
TABLE = [
    pytest.param(changes, case, id=name)
    for changes, breaks in ((NOTHING, BREAKS), (HEALTH, ALARM_BREAKS), (CHANNELS, CHANNEL_BREAKS))
    for name, case in breaks.items()
]


@pytest.mark.parametrize(("changes", "case"), TABLE)
def test_what_breaks_fails_on_its_own_line_which_says_what_to_do(
    deploy: Deploy, changes: Mapping[str, Any], case: Break
) -> None:
    world = deploy(**changes)
    names = {f"alarm {name}": f"alarm {number}" for number, name in enumerate(world.outputs.get("alarmNames", ()))}
    case.do(world)
    outcome = world.verify()
    failed = {
        names.get(subject, subject): verdict for subject, verdict in outcome.lines.items() if verdict.state != "ok"
    }
    assert {subject: verdict.state for subject, verdict in failed.items()} == dict.fromkeys(case.lines, "failed")
    assert case.found in failed[case.lines[0]].found
    assert case.todo in failed[case.lines[0]].todo
    assert (outcome.code, outcome.document["passed"]) == (1, False)
    assert TOKEN not in json.dumps(outcome.document)


def test_a_stack_file_that_has_changed_since_says_what_is_deployed_and_what_is_not(
    deploy: Deploy, tmp_path: Path
) -> None:
    world = deploy()
    path = tmp_path / "Pulumi.dev.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("minimumSeverity: high", "minimumSeverity: medium"), encoding="utf-8")
    outcome = world.verify()
    assert outcome.lines["rule medium"][:2] == ("failed", "the stack has no rule for it")
    assert "Deploy the stack" in outcome.lines["rule medium"].todo
    assert outcome.lines["rule high"].state == "ok"
    path.write_text(text.replace("minimumSeverity: high", "minimumSeverity: critical"), encoding="utf-8")
    outcome = world.verify()
    assert outcome.not_ok() == {"further rules": "failed"}
    assert outcome.lines["further rules"].found.startswith("threat-monitor-alerts-high-")


def test_a_key_other_than_the_configured_one_is_named(deploy: Deploy, tmp_path: Path) -> None:
    world = deploy()
    arn = f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/11112222-3333-4444-5555-666677778888"
    path = tmp_path / "Pulumi.dev.yaml"
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    config["config"]["threat-monitor:alerts"] = {"kmsKeyArn": arn}
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    outcome = world.verify()
    assert set(outcome.not_ok()) == {"log group", "topic encryption", "dead-letter queue encryption"}
    assert outcome.lines["topic encryption"].found.endswith(f"expected {arn}")


# -- warnings ---------------------------------------------------------------------------------------------------------


def test_a_subscription_that_a_scanner_can_end_is_a_warning_and_no_failure(deploy: Deploy) -> None:
    world = deploy(**HEALTH)
    world.confirm(authenticated=False)
    outcome = world.verify()
    assert outcome.not_ok() == {SUBSCRIPTION: "warning", "alarm subscription ops@example.com": "warning"}
    assert "--authenticate-on-unsubscribe true" in outcome.lines[SUBSCRIPTION].todo
    assert outcome.code == 0


def test_a_subscriber_nobody_configured_is_a_warning_that_hides_the_endpoint(deploy: Deploy) -> None:
    world = deploy()
    world.client("sns").subscribe(TopicArn=world.topic, Protocol="https", Endpoint=TOKEN)
    outcome = world.verify()
    assert outcome.not_ok() == {"topic further subscriptions": "warning"}
    assert outcome.lines["topic further subscriptions"].found == "1 that the stack file does not have (https)"
    assert TOKEN not in json.dumps(outcome.document)


def test_an_alarm_without_data_yet_is_a_warning_and_one_whose_data_stopped_fails(deploy: Deploy) -> None:
    world = deploy(**HEALTH)
    name = next(name for name in world.outputs["alarmNames"] if "no-flow-logs" in name)
    alarm = world.account.backend("cloudwatch").alarms[name]
    alarm.state_value = "INSUFFICIENT_DATA"
    assert world.verify().not_ok() == {f"alarm {name}": "warning"}
    alarm.state_reason = "Insufficient Data: 1 datapoint was unknown."
    outcome = world.verify()
    assert outcome.not_ok() == {f"alarm {name}": "failed"}
    assert "No flow-log record has arrived" in outcome.lines[f"alarm {name}"].todo


# -- AWS says no ------------------------------------------------------------------------------------------------------

TARGETS = [f"topic target of rule {key}" for key in ("high", "critical")]
RULES = ["rule high", "rule critical"]
# permission -> the operation as botocore names it, and the lines that need it
READINGS: dict[str, tuple[str, list[str]]] = {
    "cloudwatch:DescribeAlarms": ("cloudwatch.DescribeAlarms", [r"alarm .*"]),
    "ec2:DescribeFlowLogs": ("ec2.DescribeFlowLogs", [f"flow log {SUBNET}"]),
    "events:DescribeRule": ("eventbridge.DescribeRule", [*RULES, "further rules", *TARGETS]),
    "events:ListRuleNamesByTarget": ("eventbridge.ListRuleNamesByTarget", ["further rules"]),
    "events:ListTargetsByRule": ("eventbridge.ListTargetsByRule", TARGETS),
    "guardduty:GetDetector": ("guardduty.GetDetector", ["detector", "protection plans"]),
    "kms:DescribeKey": ("kms.DescribeKey", ["key"]),
    "kms:GetKeyPolicy": ("kms.GetKeyPolicy", ["key"]),
    "logs:DescribeLogGroups": ("cloudwatch-logs.DescribeLogGroups", ["log group", "key"]),
    "sns:GetSubscriptionAttributes": (
        "sns.GetSubscriptionAttributes",
        [SUBSCRIPTION, "alarm subscription ops@example.com"],
    ),
    "sns:GetTopicAttributes": ("sns.GetTopicAttributes", ["topic policy", "topic encryption", "key"]),
    "sns:ListSubscriptionsByTopic": (
        "sns.ListSubscriptionsByTopic",
        [SUBSCRIPTION, "topic further subscriptions", "alarm subscription .*", "alarm further subscriptions"],
    ),
    "sqs:GetQueueAttributes": (
        "sqs.GetQueueAttributes",
        ["dead-letter queue", "dead-letter queue policy", "dead-letter queue encryption", "key"],
    ),
}


def is_one_of(subject: str, patterns: list[str]) -> bool:
    return any(subject == pattern or re.fullmatch(pattern, subject) for pattern in patterns)


class TestRefusals:
    @pytest.mark.parametrize("permission", READINGS)
    def test_without_a_permission_its_lines_are_unknown_and_name_it_and_the_rest_is_checked(
        self, shared: World, permission: str
    ) -> None:
        operation, needing = READINGS[permission]
        with shared.answering(operation, "AccessDeniedException", "no"):
            outcome = shared.verify()
        expected = {subject: "unknown" for subject in outcome.lines if is_one_of(subject, needing)}
        assert expected
        assert outcome.not_ok() == expected
        for subject in expected:
            assert outcome.lines[subject].found == f"Permission {permission} is missing: no"
        assert outcome.code == 1

    @pytest.mark.parametrize(
        ("code", "said"),
        [
            ("ThrottlingException", "AWS still throttles guardduty:GetDetector after 8 attempts; try again later."),
            ("ExpiredTokenException", "The AWS credentials have expired"),
            ("InternalServerErrorException", "guardduty:GetDetector failed: InternalServerErrorException"),
        ],
    )
    def test_a_call_that_fails_is_said_in_a_line_and_the_rest_is_checked(
        self, shared: World, code: str, said: str
    ) -> None:
        with shared.answering("guardduty.GetDetector", code):
            outcome = shared.verify()
        assert outcome.not_ok() == {"detector": "unknown", "protection plans": "unknown"}
        assert said in outcome.lines["detector"].found
        assert outcome.code == 1

    def test_an_answer_is_asked_for_once_however_many_lines_need_it(self, shared: World) -> None:
        calls: list[str] = []
        with shared.hooked("before-call", lambda model, **_: calls.append(model.name)):
            shared.verify()
        once = ["GetDetector", "DescribeFlowLogs", "GetQueueAttributes", "GetTopicAttributes", "DescribeAlarms"]
        assert {name: calls.count(name) for name in once} == dict.fromkeys(once, 1)


def test_every_reading_is_covered_above() -> None:
    assert {*READINGS, "cloudwatch:GetMetricData", "guardduty:CreateSampleFindings"} == set(verify.PERMISSIONS)


def test_another_place_than_the_stacks_is_refused_before_anything_is_looked_at(deploy: Deploy) -> None:
    world = deploy()
    world.outputs = world.outputs | {"topicArn": world.topic.replace("eu-west-1", "us-east-1")}
    refused = world.run().exception
    assert isinstance(refused, UsageError)
    assert str(refused) == (
        "Stack dev is deployed to account 111122223333, us-east-1, but this is account 111122223333, eu-west-1. "
        "Use another profile, or mend aws:region."
    )


def test_credentials_of_another_account_are_refused(deploy: Deploy, tmp_path: Path) -> None:
    world = deploy()
    path = tmp_path / "Pulumi.dev.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace(ACCOUNT, "444455556666"), encoding="utf-8")
    assert "allows 444455556666" in str(world.run().exception)


def test_expired_credentials_end_the_command_before_a_line(deploy: Deploy) -> None:
    world = deploy()
    with world.answering("sts.GetCallerIdentity", "ExpiredToken"):
        result = world.run()
    assert isinstance(result.exception, session.ClientError)
    assert "have expired" in session.explained(result.exception)
    assert result.stdout == ""


def test_a_stack_that_is_not_deployed_says_so(deploy: Deploy, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(stack: str) -> dict[str, Any]:
        raise UsageError(f"Stack {stack} is not deployed")

    world = deploy()
    monkeypatch.setattr(verify, "stack_outputs", nothing)
    assert str(world.run().exception) == "Stack dev is not deployed"


def test_a_half_deployed_stack_fails_where_an_output_is_missing(deploy: Deploy) -> None:
    world = deploy()
    world.outputs = {name: value for name, value in world.outputs.items() if name not in ("topicArn", "detectorId")}
    outcome = world.verify()
    assert outcome.lines["detector"][:2] == ("failed", "the stack has no output detectorId")
    assert outcome.lines["topic policy"][:2] == ("failed", "the stack has no output topicArn")
    assert outcome.lines["rule high"].state == "ok"
    assert outcome.code == 1


# -- as people see it -------------------------------------------------------------------------------------------------


def test_a_person_sees_a_line_for_each_check_what_to_do_below_it_and_a_sum(deploy: Deploy) -> None:
    world = deploy()
    pending(world)
    result = world.run()
    lines = result.stdout.splitlines()
    assert lines[0] == "Stack dev in account 111122223333, eu-west-1"
    assert "ok      detector                            Status ENABLED, FindingPublishingFrequency SIX_HOURS" in lines
    failed = f"failed  {SUBSCRIPTION}  is not confirmed, so nothing arrives"
    assert lines[lines.index(failed) + 1].startswith("        -> Confirm it within 48 hours: aws sns confirm-")
    assert re.fullmatch(r"18 checks: 17 ok, 1 failed\. Took \d+\.\d s\.", lines[-1])
    assert result.exit_code == 1
    assert "\x1b[" not in result.stdout


def test_the_help_has_an_example() -> None:
    result = CliRunner().invoke(APP, ["--help"])
    assert "Example: threatmon verify --stack prod --send" in result.stdout


# -- sending ----------------------------------------------------------------------------------------------------------


class Time:
    """A clock that only sleeping moves; ``counted`` puts into CloudWatch what is due by then."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.start = self.now = 1_790_000_000.0
        self.slept: list[float] = []
        self.due: list[tuple[float, str, str, str, float]] = []

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.slept.append(seconds)
        self.now += seconds
        for entry in [entry for entry in self.due if self.start + entry[0] <= self.now]:
            self.due.remove(entry)
            self.put(*entry)

    def put(self, after: float, namespace: str, metric: str, of: str, value: float) -> None:
        dimension = {"Name": "RuleName" if namespace == "AWS/Events" else "TopicName", "Value": of}
        at = datetime.fromtimestamp(self.start + after, UTC)
        self.world.client("cloudwatch").put_metric_data(
            Namespace=namespace,
            MetricData=[{"MetricName": metric, "Dimensions": [dimension], "Timestamp": at, "Value": value}],
        )

    def rule(self, key: str, after: float, metric: str = "TriggeredRules", value: float = 1) -> None:
        self.due.append((after, "AWS/Events", metric, self.world.rule(key), value))

    def topic(self, suffix: str, after: float, value: float, metric: str = "NumberOfNotificationsDelivered") -> None:
        self.due.append((after, "AWS/SNS", metric, self.world.topic_like(suffix).split(":")[-1], value))


class Sending:
    """A world in which sample findings can be made: the types asked for are in ``types``."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self.world, self.time = world, Time(world)
        self.types: list[str] = []
        self.refused: set[str] = set()
        monkeypatch.setattr(delivery_test, "CLOCK", delivery_test.Clock(lambda: self.time.now, self.time.sleep))
        create: Any = self.create  # botocore types what a handler may not return
        world.events.register("before-call.guardduty.CreateSampleFindings", create)

    def create(self, context: dict[str, Any], **_: Any) -> tuple[AWSResponse, dict[str, Any]]:
        """https://docs.aws.amazon.com/guardduty/latest/APIReference/API_CreateSampleFindings.html"""
        asked = context["asked"]
        assert asked["DetectorId"] == self.world.outputs["detectorId"]
        if self.refused & set(asked["FindingTypes"]):
            message = (
                "The request is rejected because an invalid or out-of-range value is specified as an input parameter."
            )
            return answer(400, {"Error": {"Code": "BadRequestException", "Message": message}})
        self.types += asked["FindingTypes"]
        return answer(200, {})


@pytest.fixture
def sending(deploy: Deploy, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Sending]:
    return lambda **changes: Sending(deploy(**changes), monkeypatch)


Send = Callable[..., Sending]
PORT_SCAN = {"findingTypes": ["Recon:EC2/Portscan"], "minimumSeverity": None}


def test_a_sample_is_followed_until_it_is_delivered_and_each_step_says_how_long_it_took(sending: Send) -> None:
    it = sending(**PORT_SCAN)
    it.time.rule("medium", 60)
    it.time.rule("medium", 75, "Invocations")
    it.time.topic("", 300, 1)
    result = it.world.run("--send")
    assert it.types == ["Recon:EC2/Portscan"]
    assert "Sample sent for rule medium: Recon:EC2/Portscan" in result.stdout
    assert "Not tried, rule low: no type of the selection is usually of that severity" in result.stdout
    assert "    1:00  rule medium matched (1)\n    1:15  rule medium handed over (1)\n" in result.stdout
    assert "    5:00  topic delivered (1)\nEvery sample was delivered" in result.stdout
    assert "counted by CloudWatch 5:00 after it was sent." in result.stdout
    assert result.exit_code == 0
    assert sum(it.time.slept) == 300


def test_the_document_holds_types_steps_and_what_could_not_be_tried(sending: Send) -> None:
    it = sending(**PORT_SCAN)
    for metric in ("TriggeredRules", "Invocations"):
        it.time.rule("medium", 30, metric)
    it.time.topic("", 45, 1)
    outcome = it.world.verify("--send")
    sent = outcome.document["sent"]
    assert (outcome.code, sent["arrived"]) == (0, True)
    assert sent["types"] == {"medium": "Recon:EC2/Portscan"}
    assert set(sent["notTried"]) == {"low", "high", "critical"}
    assert sent["steps"] == [
        {"step": "rule medium matched", "count": 1, "seconds": 30},
        {"step": "rule medium handed over", "count": 1, "seconds": 30},
        {"step": "topic delivered", "count": 1, "seconds": 45},
    ]
    assert sent["missing"] == sent["failures"] == []


def test_each_band_has_a_sample_of_its_usual_severity_and_every_subscriber_is_counted(sending: Send) -> None:
    it = sending(**CHANNELS)
    for key, targets in (("high", 2), ("critical", 3)):
        it.time.rule(key, 15)
        it.time.rule(key, 15, "Invocations", targets)
    it.time.topic("", 15, 2)
    it.time.topic("-raw", 15, 2)
    it.time.topic("-critical", 15, 1)
    outcome = it.world.verify("--send")
    assert (outcome.code, len(outcome.document["sent"]["steps"])) == (0, 7)
    settings, _ = parse(SETTINGS)
    assert list(outcome.document["sent"]["types"]) == [rule.key for rule in rules_of(settings)]
    assert [name.split(":")[0] for name in it.types] == ["Backdoor", "AttackSequence"]


def test_after_the_time_given_what_is_missing_is_named(sending: Send) -> None:
    it = sending(**PORT_SCAN)
    result = it.world.run("--send", "--timeout", "2")
    assert (
        "FAILED: after 2:00 nothing shows: rule medium matched; rule medium handed over; topic delivered"
        in result.stdout
    )
    assert "which GuardDuty sends only every SIX_HOURS: archive the old samples and try again" in result.stdout
    assert result.exit_code == 1
    assert sum(it.time.slept) == 120


def test_what_was_matched_and_not_delivered_is_looked_for_elsewhere(sending: Send) -> None:
    it = sending(**PORT_SCAN)
    it.time.rule("medium", 60)
    it.time.rule("medium", 60, "Invocations")
    result = it.world.run("--send", "--timeout", "2")
    assert "FAILED: after 2:00 nothing shows: topic delivered\n-> The rules matched: mend" in result.stdout
    assert "archive" not in result.stdout
    assert result.exit_code == 1


@pytest.mark.parametrize("metric", ["FailedInvocations", "InvocationsSentToDlq"])
def test_a_failed_delivery_ends_the_waiting(sending: Send, metric: str) -> None:
    it = sending(**PORT_SCAN)
    it.time.rule("medium", 60)
    it.time.rule("medium", 60, metric)
    outcome = it.world.verify("--send")
    assert outcome.document["sent"]["arrived"] is False
    assert len(outcome.document["sent"]["failures"]) == 1
    assert (outcome.code, sum(it.time.slept)) == (1, 60)


def test_a_subscriber_that_sns_cannot_reach_ends_the_waiting(sending: Send) -> None:
    it = sending(**PORT_SCAN)
    it.time.topic("", 90, 1, "NumberOfNotificationsFailed")
    result = it.world.run("--send")
    assert "FAILED: topic failed to deliver" in result.stdout
    assert "threatmon redrive" in result.stdout
    assert result.exit_code == 1


def test_what_was_counted_before_the_samples_does_not_count(sending: Send) -> None:
    it = sending(**PORT_SCAN)
    for metric in ("TriggeredRules", "Invocations", "FailedInvocations"):
        it.time.put(-1, "AWS/Events", metric, it.world.rule("medium"), 3)
    it.time.put(-1, "AWS/SNS", "NumberOfNotificationsDelivered", it.world.topic.split(":")[-1], 3)
    outcome = it.world.verify("--send", "--timeout", "1")
    assert outcome.document["sent"]["steps"] == outcome.document["sent"]["failures"] == []
    assert len(outcome.document["sent"]["missing"]) == 3


def test_a_type_guardduty_makes_no_sample_of_is_said_and_the_others_are_followed(sending: Send) -> None:
    it = sending()
    critical = delivery_test.plan(parse(SETTINGS)[0]).types["critical"]
    it.refused = {critical}
    for metric in ("TriggeredRules", "Invocations"):
        it.time.rule("high", 15, metric)
    it.time.topic("", 15, 1)
    sent = it.world.verify("--send").document["sent"]
    assert sent["notTried"]["critical"].startswith(f"GuardDuty makes no sample of {critical}: The request is rejected")
    assert (list(sent["types"]), sent["arrived"]) == (["high"], True)


def test_nothing_is_sent_where_nobody_would_get_it(sending: Send) -> None:
    it = sending()
    pending(it.world)
    outcome = it.world.verify("--send")
    assert (outcome.code, it.types, it.time.slept) == (1, [], [])
    assert set(outcome.document["sent"]["notTried"].values()) == {"nobody it reaches has confirmed a subscription"}


def test_a_rule_that_is_gone_is_not_tried(sending: Send) -> None:
    it = sending()
    delete_rule(it.world)
    sent = it.world.verify("--send", "--timeout", "1").document["sent"]
    assert sent["notTried"] == {"high": "it is not deployed"}
    assert list(sent["types"]) == ["critical"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"alerts": {"includeSamples": False}}, "alerts.includeSamples is false, so the rules let no sample through"),
        (
            {"findingTypes": ["Recon:EC2/Portscan"], "minimumSeverity": "high"},
            "no finding type of the selection has a usual severity that passes a rule",
        ),
    ],
)
def test_sending_is_refused_where_no_sample_can_pass(sending: Send, changes: Mapping[str, Any], said: str) -> None:
    it = sending(**changes)
    result = it.world.run("--send")
    assert isinstance(result.exception, UsageError)
    assert said in str(result.exception)
    assert (result.stdout, it.types) == ("", [])


def test_the_permissions_are_those_of_the_calls(sending: Send) -> None:
    calls: set[str] = set()

    def note(model: Any, **_: Any) -> None:
        service = model.service_model.signing_name
        calls.add(f"{'cloudwatch' if service == 'monitoring' else service}:{model.name}")

    it = sending(**HEALTH)
    with it.world.hooked("before-parameter-build", note):
        it.world.verify("--send", "--timeout", "1")
    # To ask who one is needs no permission.
    assert calls - {"sts:GetCallerIdentity"} == set(verify.PERMISSIONS)
    assert list(verify.PERMISSIONS) == sorted(verify.PERMISSIONS)


def test_the_recorded_answers_have_the_form_of_the_api() -> None:
    operation = get_session().get_service_model("guardduty").operation_model("CreateSampleFindings")
    assert operation.output_shape is not None
    assert operation.output_shape.members == {}
    assert next(shape.name for shape in operation.error_shapes) == "BadRequestException"
