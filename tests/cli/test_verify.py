"""The command on an emulated account; moto lacks CreateSampleFindings, so that is answered here."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from conftest import CommandResult, RunCommand
from examples import EMAIL, SUBNET
from stack_in_account import CHANNELS, HEALTH, StackInAccount, show_commands, stack_file, stack_in_account

from threatmon.cli.verify import PERMISSIONS
from threatmon.errors import UsageError
from threatmon.model.alarms import METRIC_NAMESPACE, PLAIN_MESSAGES_METRIC
from threatmon.model.finding_types import catalogue
from threatmon.stacks.files import settings_of
from threatmon.verify import delivery_test, rendering, stack_checks
from threatmon.verify.delivery_test import MetricSum
from threatmon.verify.sample_events import sample_events

Deploy = Callable[..., StackInAccount]


@pytest.fixture
def deploy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deploy]:
    with ExitStack() as deployments:
        monkeypatch.setattr("threatmon.cli.verify.time.sleep", lambda _: None)
        # For the other families see tests/verify/test_rendering.py.
        monkeypatch.setattr(rendering, "sample_events", lambda place: {"ec2": sample_events(place)["ec2"]})

        def build(**changes: Any) -> StackInAccount:
            stack = deployments.enter_context(stack_in_account(stack_file(**changes)))
            show_commands(stack, tmp_path, monkeypatch)
            return stack

        yield build


# -- the checks -------------------------------------------------------------------------------------------------------


def test_a_person_sees_a_line_for_each_check_what_to_do_below_it_and_a_sum(
    deploy: Deploy, threatmon: RunCommand
) -> None:
    deploy().unconfirm()
    code, out, err = threatmon("verify")
    lines = out.splitlines()
    assert lines[0] == "Stack dev in account 111122223333, eu-west-1"
    assert any(line.startswith("ok      detector ") and "Status ENABLED" in line for line in lines)
    [failed] = [number for number, line in enumerate(lines) if line.startswith("failed")]
    assert lines[failed].startswith(f"failed  topic subscription {EMAIL}")
    assert lines[failed].endswith("  is not confirmed, so nothing arrives")
    assert lines[failed + 1].startswith("        -> Confirm it within 48 hours: aws sns confirm-")
    assert lines[-1] == "23 checks: 1 failed, 22 ok."
    assert (code, err) == (1, "")
    assert "\x1b[" not in out


def test_the_document_has_every_check(deploy: Deploy, threatmon: RunCommand) -> None:
    deploy()
    code, out, _ = threatmon("verify", "-o", "json")
    document = json.loads(out)
    assert code == 0
    assert (document["stack"], document["account"], document["passed"]) == ("dev", "111122223333", True)
    assert document["checks"][2] == {
        "state": "ok",
        "subject": f"flow log {SUBNET}",
        "found": "FlowLogStatus ACTIVE, DeliverLogsStatus SUCCESS, TrafficType ALL, MaxAggregationInterval 60, "
        "format extended",
        "todo": "",
    }
    assert "sent" not in document


def test_a_warning_is_no_failure_and_what_is_unknown_is_one(deploy: Deploy, threatmon: RunCommand) -> None:
    stack = deploy()
    stack.confirm(authenticated=False)
    code, out, _ = threatmon("verify")
    assert (code, out.splitlines()[-1]) == (0, "23 checks: 1 warning, 22 ok.")
    with stack.aws.refuse("guardduty:GetDetector"):
        code, out, _ = threatmon("verify")
    assert (code, out.splitlines()[-1]) == (1, "23 checks: 2 unknown, 1 warning, 20 ok.")


def test_another_place_than_the_stacks_is_refused_before_anything_is_checked(
    deploy: Deploy, threatmon: RunCommand
) -> None:
    stack = deploy()
    stack.outputs["topicArn"] = stack.topic.replace("eu-west-1", "us-east-1")
    assert threatmon("verify") == (
        2,
        "",
        "Stack dev is deployed to account 111122223333, us-east-1, but this is account 111122223333, eu-west-1. "
        "Use another profile, or fix aws:region.\n",
    )


def test_a_stack_that_is_not_deployed_says_so(
    deploy: Deploy, threatmon: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(stack: str) -> dict[str, Any]:
        raise UsageError(f"Stack {stack} is not deployed")

    deploy()
    monkeypatch.setattr("threatmon.cli.verify.stack_outputs", nothing)
    assert threatmon("verify") == (2, "", "Stack dev is not deployed\n")


# -- sending ----------------------------------------------------------------------------------------------------------


class Sending:
    """A stack in which sample findings can be made, and a clock that only sleeping moves.

    ``types`` are those asked for; ``due`` is what CloudWatch has counted after some seconds.
    """

    def __init__(self, stack: StackInAccount, run: RunCommand, monkeypatch: pytest.MonkeyPatch) -> None:
        self.stack, self.run = stack, run
        self.start = self.now = 1_790_000_000.0
        self.slept: list[float] = []
        self.due: list[tuple[float, MetricSum, float]] = []
        self.types: list[str] = []
        self.refused = ""
        monkeypatch.setattr(delivery_test, "time", SimpleNamespace(time=lambda: self.now, sleep=self.sleep))
        stack.aws.answer("guardduty:CreateSampleFindings", self.create)

    def create(self, asked: dict[str, Any]) -> dict[str, Any]:
        assert asked["DetectorId"] == self.stack.outputs["detectorId"]
        if self.refused in asked["FindingTypes"]:
            code, message = "BadRequestException", "The request is rejected."
            raise ClientError({"Error": {"Code": code, "Message": message}}, "CreateSampleFindings")
        self.types += asked["FindingTypes"]
        return {}

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.slept.append(seconds)
        self.now += seconds
        for entry in [entry for entry in self.due if self.start + entry[0] <= self.now]:
            self.due.remove(entry)
            self.count(*entry)

    def count(self, after: float, metric: MetricSum, value: float) -> None:
        [dimension] = metric.query(0)["MetricStat"]["Metric"]["Dimensions"]
        at = datetime.fromtimestamp(self.start + after, UTC)
        self.stack.client("cloudwatch").put_metric_data(
            Namespace=metric.namespace,
            MetricData=[{"MetricName": metric.name, "Dimensions": [dimension], "Timestamp": at, "Value": value}],
        )

    def rule(self, metric: str, key: str = "findings") -> MetricSum:
        return MetricSum("AWS/Events", metric, self.stack.rule(key))

    def machine(self, metric: str) -> MetricSum:
        return MetricSum("AWS/States", metric, self.stack.machine)

    def topic(self, metric: str, suffix: str = "") -> MetricSum:
        return MetricSum("AWS/SNS", metric, self.stack.topic_like(suffix).split(":")[-1])

    def plan(self, after: float, value: float, *metrics: MetricSum) -> None:
        """Have CloudWatch count something after some seconds."""
        self.due += [(after, metric, value) for metric in metrics]

    def __call__(self, *arguments: str) -> CommandResult:
        return self.run("verify", "--send", *arguments)

    def sent(self, *arguments: str) -> dict[str, Any]:
        return json.loads(self("-o", "json", *arguments).out)["sent"]


Send = Callable[..., Sending]
PORT_SCAN = {"findingTypes": ["Recon:EC2/Portscan"]}
PUBLISHED, DELIVERED = "NumberOfMessagesPublished", "NumberOfNotificationsDelivered"


@pytest.fixture
def sending(deploy: Deploy, threatmon: RunCommand, monkeypatch: pytest.MonkeyPatch) -> Send:
    return lambda **changes: Sending(deploy(**changes), threatmon, monkeypatch)


def lines(out: str) -> list[str]:
    return [" ".join(line.split()) for line in out.splitlines()]


def test_a_sample_is_followed_until_it_is_delivered_and_each_step_says_how_long_it_took(sending: Send) -> None:
    send = sending(**PORT_SCAN)
    send.plan(60, 1, send.rule("TriggeredRules"))
    send.plan(75, 1, send.rule("Invocations"))
    send.plan(120, 1, send.machine("ExecutionsSucceeded"))
    send.plan(300, 1, send.topic(PUBLISHED), send.topic(DELIVERED))
    code, out, _ = send()
    assert send.types == ["Recon:EC2/Portscan"]
    shown = lines(out)
    assert shown[shown.index("Sample findings") + 2 :] == [
        "ok sample for rule findings Recon:EC2/Portscan was sent",
        "ok rule findings matched counted 1 after 1:00",
        "ok rule findings handed over counted 1 after 1:15",
        "ok state machine finished counted 1 after 2:00",
        "ok topic received counted 1 after 5:00",
        "ok topic delivered counted 1 after 5:00",
        "",
        "Every sample was delivered, and counted by CloudWatch 5:00 after it was sent.",
    ]
    assert (code, sum(send.slept)) == (0, 300)


def test_the_document_holds_types_steps_and_what_could_not_be_tried(sending: Send) -> None:
    send = sending(**PORT_SCAN)
    send.plan(30, 1, send.rule("TriggeredRules"), send.rule("Invocations"), send.machine("ExecutionsSucceeded"))
    send.plan(45, 1, send.topic(PUBLISHED), send.topic(DELIVERED))
    assert send.sent() == {
        "arrived": True,
        "error": "",
        "types": {"findings": "Recon:EC2/Portscan"},
        "notTried": {},
        "seconds": {
            "rule findings matched": 30,
            "rule findings handed over": 30,
            "state machine finished": 30,
            "topic received": 45,
            "topic delivered": 45,
        },
        "missing": [],
        "failures": [],
    }


def test_the_gravest_type_is_sent_so_that_every_subscriber_and_channel_is_counted(sending: Send) -> None:
    send = sending(**CHANNELS)
    send.plan(15, 1, send.rule("TriggeredRules"), send.machine("ExecutionsSucceeded"))
    send.plan(15, 2, send.rule("Invocations"), send.topic(DELIVERED))
    for suffix in ("-raw", "-slack"):
        send.plan(15, 1, send.topic(DELIVERED, suffix))
    send.plan(15, 1, *(send.topic(PUBLISHED, suffix) for suffix in ("", "-raw", "-slack")))
    sent = send.sent()
    assert sent["types"]["findings"].startswith("AttackSequence:")
    assert (sent["arrived"], len(sent["seconds"])) == (True, 9)


def test_who_does_not_get_so_harmless_a_sample_is_not_waited_for(sending: Send) -> None:
    send = sending(**PORT_SCAN, **CHANNELS)
    send.plan(15, 1, send.rule("TriggeredRules"), send.machine("ExecutionsSucceeded"))
    send.plan(15, 2, send.rule("Invocations"))
    send.plan(15, 1, *(send.topic(metric, suffix) for suffix in ("", "-slack") for metric in (PUBLISHED, DELIVERED)))
    sent = send.sent()
    assert sent["arrived"]
    assert not [step for step in sent["seconds"] if step.startswith("topic-raw")]


def test_each_of_two_rules_gets_a_sample_of_its_own(sending: Send) -> None:
    types = [row.name for row in catalogue().values() if not row.retired][:80]
    send = sending(findingTypes=types)
    for key in ("findings", "findings-2"):
        send.plan(15, 1, send.rule("TriggeredRules", key), send.rule("Invocations", key))
    send.plan(15, 2, send.machine("ExecutionsSucceeded"), send.topic(PUBLISHED), send.topic(DELIVERED))
    sent = send.sent()
    assert sent["arrived"]
    assert list(sent["types"]) == ["findings", "findings-2"]
    assert len(set(sent["types"].values())) == 2


def test_what_is_not_counted_in_time_is_missing_and_a_repeat_is_the_likely_reason(sending: Send) -> None:
    send = sending(**PORT_SCAN)
    code, out, _ = send("--timeout", "2")
    assert "failed rule findings matched not counted within 2:00" in lines(out)
    assert "archive the old samples and try again" in out
    assert (code, sum(send.slept)) == (1, 120)


def test_what_is_lost_after_the_rule_is_not_called_a_repeat(sending: Send) -> None:
    send = sending(**PORT_SCAN)
    send.plan(30, 1, send.rule("TriggeredRules"), send.rule("Invocations"))
    code, out, _ = send("--timeout", "1")
    assert "failed state machine finished not counted within 1:00" in lines(out)
    assert "The rules matched: fix the checks above that fail" in out
    assert "archive" not in out
    assert code == 1


@pytest.mark.parametrize(
    ("metric", "failure"),
    [
        ("rule FailedInvocations", "rule findings failed to hand over"),
        ("rule InvocationsSentToDlq", "rule findings wrote to the dead-letter queue"),
        ("machine ExecutionsFailed", "state machine failed"),
        ("machine ExecutionsTimedOut", "state machine timed out"),
        ("machine ExecutionsAborted", "state machine was stopped"),
        ("topic NumberOfNotificationsFailed", "topic failed to deliver"),
    ],
)
def test_a_failed_delivery_ends_the_waiting(sending: Send, metric: str, failure: str) -> None:
    send = sending(**PORT_SCAN)
    of, _, name = metric.partition(" ")
    send.plan(60, 1, getattr(send, of)(name))
    code, out, _ = send()
    assert f"failed {failure} counted by CloudWatch" in lines(out)
    assert "-> `threatmon redrive` shows what could not be delivered, and why." in out
    assert (code, sum(send.slept)) == (1, 60)


def test_a_sample_that_arrives_unformatted_is_a_failure_of_the_text(sending: Send) -> None:
    send = sending(**PORT_SCAN)
    send.plan(30, 1, MetricSum(METRIC_NAMESPACE, PLAIN_MESSAGES_METRIC, "threat-monitor-dev"))
    code, out, _ = send()
    assert "failed state machine could not format counted by CloudWatch" in lines(out)
    assert "-> The finding arrived, but unformatted: see the checks above of what AWS writes." in out
    assert code == 1


def test_what_was_counted_before_the_samples_does_not_count(sending: Send) -> None:
    send = sending(**PORT_SCAN)
    for metric in ("TriggeredRules", "Invocations", "FailedInvocations"):
        send.count(-1, send.rule(metric), 3)
    send.count(-1, send.machine("ExecutionsSucceeded"), 3)
    send.count(-1, send.topic(DELIVERED), 3)
    sent = send.sent("--timeout", "1")
    assert (sent["seconds"], sent["failures"], len(sent["missing"])) == ({}, [], 5)


def test_a_type_guardduty_makes_no_sample_of_is_said_and_the_others_are_followed(sending: Send) -> None:
    types = [row.name for row in catalogue().values() if not row.retired][:80]
    send = sending(findingTypes=types)
    send.refused = delivery_test.plan(settings_of(send.stack.file)).types["findings"]
    send.plan(15, 1, send.rule("TriggeredRules", "findings-2"), send.rule("Invocations", "findings-2"))
    send.plan(15, 1, send.machine("ExecutionsSucceeded"), send.topic(PUBLISHED), send.topic(DELIVERED))
    sent = send.sent()
    assert sent["notTried"]["findings"].startswith(f"GuardDuty makes no sample of {send.refused}: The request is")
    assert (list(sent["types"]), sent["arrived"]) == (["findings-2"], True)


def test_nothing_is_sent_if_nobody_would_get_it(sending: Send) -> None:
    send = sending()
    send.stack.unconfirm()
    sent = send.sent()
    assert (sent["arrived"], send.types, send.slept) == (False, [], [])
    assert set(sent["notTried"].values()) == {"nobody it reaches has confirmed a subscription"}


def test_a_rule_that_is_gone_is_not_tried(sending: Send) -> None:
    send = sending()
    send.stack.delete_rule()
    assert send.sent("--timeout", "1")["notTried"] == {"findings": "it is not deployed"}
    assert send.types == []


@pytest.mark.parametrize("action", ["guardduty:CreateSampleFindings", "cloudwatch:GetMetricData"])
def test_the_checks_are_shown_even_if_sending_is_refused(sending: Send, action: str) -> None:
    send = sending()
    send.stack.aws.refuse(action)
    code, out, _ = send()
    assert "23 checks: 23 ok." in out
    assert out.endswith(f"\nPermission {action} is missing: no\n")
    assert code == 1


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
def test_sending_is_refused_if_no_sample_can_pass(sending: Send, changes: Mapping[str, Any], said: str) -> None:
    send = sending(**changes)
    code, out, err = send()
    assert said in err
    assert (code, out, send.types) == (2, "", [])


def test_the_permissions_are_those_of_the_calls_and_of_what_fleet_coverage_lists(sending: Send) -> None:
    send = sending(**HEALTH)
    send("--timeout", "1")
    failed = {"states:DescribeExecution", "states:GetExecutionHistory"}
    # To ask who one is needs no permission.
    assert set(send.stack.aws.calls) - {"sts:GetCallerIdentity"} == set(PERMISSIONS) - {"ec2:DescribeSubnets"} - failed
    assert set(PERMISSIONS) == {
        *stack_checks.PERMISSIONS,
        *rendering.PERMISSIONS,
        "guardduty:CreateSampleFindings",
    }
    assert list(PERMISSIONS) == sorted(PERMISSIONS)
