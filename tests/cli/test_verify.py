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
from threatmon.evaluation.explain import rules_of
from threatmon.stacks.files import settings_of
from threatmon.verify import delivery_test, stack_checks

Deploy = Callable[..., StackInAccount]


@pytest.fixture
def deploy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deploy]:
    with ExitStack() as deployments:

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
    assert lines[-1] == "18 checks: 1 failed, 17 ok."
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
    assert (code, out.splitlines()[-1]) == (0, "18 checks: 1 warning, 17 ok.")
    with stack.aws.refuse("guardduty:GetDetector"):
        code, out, _ = threatmon("verify")
    assert (code, out.splitlines()[-1]) == (1, "18 checks: 2 unknown, 1 warning, 15 ok.")


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
        self.due: list[tuple[float, str, str, str, float]] = []
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

    def count(self, after: float, namespace: str, metric: str, of: str, value: float) -> None:
        dimension = {"Name": "RuleName" if namespace == "AWS/Events" else "TopicName", "Value": of}
        at = datetime.fromtimestamp(self.start + after, UTC)
        self.stack.client("cloudwatch").put_metric_data(
            Namespace=namespace,
            MetricData=[{"MetricName": metric, "Dimensions": [dimension], "Timestamp": at, "Value": value}],
        )

    def rule(self, key: str, after: float, *metrics: str, value: float = 1) -> None:
        self.due += [(after, "AWS/Events", metric, self.stack.rule(key), value) for metric in metrics]

    def topic(self, suffix: str, after: float, value: float, metric: str = "NumberOfNotificationsDelivered") -> None:
        self.due.append((after, "AWS/SNS", metric, self.stack.topic_like(suffix).split(":")[-1], value))

    def __call__(self, *arguments: str) -> CommandResult:
        return self.run("verify", "--send", *arguments)

    def sent(self, *arguments: str) -> dict[str, Any]:
        return json.loads(self("-o", "json", *arguments).out)["sent"]


Send = Callable[..., Sending]
PORT_SCAN = {"findingTypes": ["Recon:EC2/Portscan"], "minimumSeverity": None}
MATCHED = ("TriggeredRules", "Invocations")


@pytest.fixture
def sending(deploy: Deploy, threatmon: RunCommand, monkeypatch: pytest.MonkeyPatch) -> Send:
    return lambda **changes: Sending(deploy(**changes), threatmon, monkeypatch)


def lines(out: str) -> list[str]:
    return [" ".join(line.split()) for line in out.splitlines()]


def test_a_sample_is_followed_until_it_is_delivered_and_each_step_says_how_long_it_took(sending: Send) -> None:
    send = sending(**PORT_SCAN)
    send.rule("medium", 60, "TriggeredRules")
    send.rule("medium", 75, "Invocations")
    send.topic("", 300, 1)
    code, out, _ = send()
    assert send.types == ["Recon:EC2/Portscan"]
    shown = lines(out)
    assert shown[shown.index("Sample findings") + 2 :] == [
        "ok sample for rule medium Recon:EC2/Portscan was sent",
        *(
            f"warning sample for rule {key} not sent: no type of the selection is usually of that severity"
            for key in ("low", "high", "critical")
        ),
        "ok rule medium matched counted 1 after 1:00",
        "ok rule medium handed over counted 1 after 1:15",
        "ok topic delivered counted 1 after 5:00",
        "",
        "Every sample was delivered, and counted by CloudWatch 5:00 after it was sent.",
    ]
    assert (code, sum(send.slept)) == (0, 300)


def test_the_document_holds_types_steps_and_what_could_not_be_tried(sending: Send) -> None:
    send = sending(**PORT_SCAN)
    send.rule("medium", 30, *MATCHED)
    send.topic("", 45, 1)
    sent = send.sent()
    assert set(sent.pop("notTried")) == {"low", "high", "critical"}
    assert sent == {
        "arrived": True,
        "error": "",
        "types": {"medium": "Recon:EC2/Portscan"},
        "seconds": {"rule medium matched": 30, "rule medium handed over": 30, "topic delivered": 45},
        "missing": [],
        "failures": [],
    }


def test_each_band_has_a_sample_of_its_usual_severity_and_every_subscriber_is_counted(sending: Send) -> None:
    send = sending(**CHANNELS)
    for key, targets in (("high", 2), ("critical", 3)):
        send.rule(key, 15, "TriggeredRules")
        send.rule(key, 15, "Invocations", value=targets)
    send.topic("", 15, 2)
    send.topic("-raw", 15, 2)
    send.topic("-critical", 15, 1)
    sent = send.sent()
    assert (sent["arrived"], len(sent["seconds"])) == (True, 7)
    assert list(sent["types"]) == [rule.key for rule in rules_of(settings_of(send.stack.file))]
    assert [name.split(":")[0] for name in send.types] == ["Backdoor", "AttackSequence"]


def test_after_the_time_given_what_is_missing_is_named(sending: Send) -> None:
    send = sending(**PORT_SCAN)
    code, out, _ = send("--timeout", "2")
    for step in ("rule medium matched", "rule medium handed over", "topic delivered"):
        assert f"failed {step} not counted within 2:00" in lines(out)
    assert "which GuardDuty sends only every SIX_HOURS: archive the old samples and try again" in out
    assert out.endswith("\nNot every sample arrived.\n")
    assert (code, sum(send.slept)) == (1, 120)


def test_what_was_matched_and_not_delivered_is_looked_for_elsewhere(sending: Send) -> None:
    send = sending(**PORT_SCAN)
    send.rule("medium", 60, *MATCHED)
    code, out, _ = send("--timeout", "2")
    assert "failed topic delivered not counted within 2:00" in lines(out)
    assert "-> The rules matched: fix the checks above that fail" in out
    assert "archive" not in out
    assert code == 1


@pytest.mark.parametrize(
    ("metric", "failure"),
    [
        ("FailedInvocations", "rule medium failed to hand over"),
        ("InvocationsSentToDlq", "rule medium wrote to the dead-letter queue"),
        ("NumberOfNotificationsFailed", "topic failed to deliver"),
    ],
)
def test_a_failed_delivery_ends_the_waiting(sending: Send, metric: str, failure: str) -> None:
    send = sending(**PORT_SCAN)
    if failure.startswith("topic"):
        send.topic("", 60, 1, metric)
    else:
        send.rule("medium", 60, metric)
    code, out, _ = send()
    assert f"failed {failure} counted by CloudWatch" in lines(out)
    assert "-> `threatmon redrive` shows what could not be delivered, and why." in out
    assert (code, sum(send.slept)) == (1, 60)


def test_what_was_counted_before_the_samples_does_not_count(sending: Send) -> None:
    send = sending(**PORT_SCAN)
    for metric in (*MATCHED, "FailedInvocations"):
        send.count(-1, "AWS/Events", metric, send.stack.rule("medium"), 3)
    send.count(-1, "AWS/SNS", "NumberOfNotificationsDelivered", send.stack.topic.split(":")[-1], 3)
    sent = send.sent("--timeout", "1")
    assert (sent["seconds"], sent["failures"], len(sent["missing"])) == ({}, [], 3)


def test_a_type_guardduty_makes_no_sample_of_is_said_and_the_others_are_followed(sending: Send) -> None:
    send = sending()
    send.refused = delivery_test.plan(settings_of(send.stack.file)).types["critical"]
    send.rule("high", 15, *MATCHED)
    send.topic("", 15, 1)
    sent = send.sent()
    assert sent["notTried"]["critical"].startswith(f"GuardDuty makes no sample of {send.refused}: The request is")
    assert (list(sent["types"]), sent["arrived"]) == (["high"], True)


def test_nothing_is_sent_if_nobody_would_get_it(sending: Send) -> None:
    send = sending()
    send.stack.unconfirm()
    sent = send.sent()
    assert (sent["arrived"], send.types, send.slept) == (False, [], [])
    assert set(sent["notTried"].values()) == {"nobody it reaches has confirmed a subscription"}


def test_a_rule_that_is_gone_is_not_tried(sending: Send) -> None:
    send = sending()
    send.stack.delete_rule()
    sent = send.sent("--timeout", "1")
    assert sent["notTried"] == {"high": "it is not deployed"}
    assert list(sent["types"]) == ["critical"]


@pytest.mark.parametrize("action", ["guardduty:CreateSampleFindings", "cloudwatch:GetMetricData"])
def test_the_checks_are_shown_even_if_sending_is_refused(sending: Send, action: str) -> None:
    send = sending()
    send.stack.aws.refuse(action)
    code, out, _ = send()
    assert "18 checks: 18 ok." in out
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


def test_the_permissions_are_those_of_the_calls_and_of_the_search_that_fleet_coverage_makes(sending: Send) -> None:
    send = sending(**HEALTH)
    send("--timeout", "1")
    searched = {"ec2:DescribeSubnets", "events:ListRules", "guardduty:ListDetectors", "sqs:ListQueues"}
    # To ask who one is needs no permission.
    assert set(send.stack.aws.calls) - {"sts:GetCallerIdentity"} == set(PERMISSIONS) - searched
    assert set(PERMISSIONS) == {*stack_checks.PERMISSIONS, "guardduty:CreateSampleFindings"}
    assert list(PERMISSIONS) == sorted(PERMISSIONS)
