import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from botocore.awsrequest import AWSResponse

from threatmon import cli
from threatmon.cli import cost
from threatmon.emulator.account import EmulatedAccount
from threatmon.model.settings import FlowLogSettings
from threatmon.stacks import monthly_cost
from threatmon.stacks import old_aws as session
from threatmon.stacks.monthly_cost import Resources

GROUP = "/threat-monitor/dev/flow-logs"
COUNTED = Resources(keys=1, dashboards=1, alarm_metrics=0, subscriptions={"email": 1})
GB = 2**30

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Exit code, standard output, standard error of `threatmon cost ...`."""
    monkeypatch.setenv("COLUMNS", "140")

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["threatmon", "cost", *arguments])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        captured = capsys.readouterr()
        return int(stop.value.code or 0), captured.out, captured.err

    return call


@pytest.fixture
def _counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the program makes of the committed stack, without running it for every test."""
    monkeypatch.setattr("threatmon.cli.cost._resources", lambda _stack: COUNTED)


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[EmulatedAccount]:
    with EmulatedAccount("111122223333", "eu-west-1") as account:
        monkeypatch.setattr(session, "new_session", lambda _profile, _region: account.boto3_session())
        yield account


def received(account: EmulatedAccount, days: int, size: float = GB, group: str = GROUP) -> None:
    """The log group's metric has `size` bytes for each of the last so many days."""
    now = datetime.now(UTC)
    data: list[Any] = [
        {
            "MetricName": "IncomingBytes",
            "Dimensions": [{"Name": "LogGroupName", "Value": group}],
            "Timestamp": now - timedelta(days=day + 1) + timedelta(minutes=1),
            "Value": size,
        }
        for day in range(days)
    ]
    account.client("cloudwatch").put_metric_data(Namespace="AWS/Logs", MetricData=data)


def answer(session: boto3.Session, operation: str, code: str) -> None:
    """From now on AWS answers a call with this error."""
    headers: Any = {}
    parsed = {"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": {}}
    handler: Any = lambda **_: (AWSResponse("https://aws", 400, headers, None), parsed)  # noqa: E731 - takes anything
    session.events.register(f"before-call.{operation}", handler)


# -- from a given volume ----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("_counted")
def test_a_given_volume_is_billed_and_each_knob_priced(run: Run) -> None:
    code, out, err = run("--gb-per-day", "5")
    assert (code, err) == (0, "")
    rows = {
        cells[0]: cells[-2:]
        for line in out.splitlines()
        if line.startswith("│") and (cells := [cell.strip() for cell in line.strip("│").split("│")])
    }
    assert rows["flow-log delivery"] == ["152.1 GB, class STANDARD", "76.04"]
    assert rows["total"] == ["less 3.02 where the account's free tiers are unused", "88.77"]
    assert rows["flowLogs.format: default"] == ["46.40", "-42.38"]
    assert rows["flowLogs.retentionDays: 90"] == ["82.59", "-6.19"]
    assert "Stack dev, 5.00 GB of flow logs a day, as given" in out
    assert "\x1b[" not in out


@pytest.mark.usefixtures("_counted")
def test_where_prices_come_from_and_what_is_left_out_is_said(run: Run) -> None:
    _, out, _ = run("--gb-per-day", "5")
    assert "Prices: us-east-1, 2026-09, https://aws.amazon.com/cloudwatch/pricing/ (taken from secondary sources" in out
    assert "This stack is in eu-west-1, where prices differ; by how much is not known here.\n" in out
    assert "Not estimated: GuardDuty itself" in out
    assert "https://aws.amazon.com/guardduty/pricing/" in out
    assert "Assumed: records are stored at 15% of their size" in out
    assert "extrapolated" not in out


@pytest.mark.usefixtures("_counted")
def test_the_document_has_the_same_numbers(run: Run) -> None:
    code, out, _ = run("--gb-per-day", "5", "--json")
    document = json.loads(out)
    assert code == 0
    assert (document["stack"], document["region"], document["gbPerDay"]) == ("dev", "eu-west-1", 5)
    assert document["measuredDays"] is None
    assert document["prices"]["dated"] == "2026-09"
    bill = monthly_cost.estimate(5, FlowLogSettings(), COUNTED)
    assert [(it["what"], it["usd"]) for it in document["items"]] == [(it.what, round(it.usd, 2)) for it in bill]
    assert document["totalUsd"] == 88.77
    assert {"flowLogs.trafficType", "flowLogs.logGroupClass"} <= {it["setting"] for it in document["changes"]}
    assert all(it["differenceUsd"] < 0 for it in document["changes"])


def test_the_stack_files_own_settings_and_resources_count(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = {
        "aws:region": "us-east-1",
        "aws:allowedAccountIds": ["111122223333"],
        "threat-monitor:subnetIds": ["subnet-0123456789abcdef0"],
        "threat-monitor:alertEmails": ["a@example.com", "b@example.com"],
        "threat-monitor:alerts": {
            "kmsKeyArn": "arn:aws:kms:us-east-1:111122223333:key/11112222-3333-4444-5555-666677778888"
        },
        "threat-monitor:flowLogs": {"retentionDays": 90, "logGroupClass": "INFREQUENT_ACCESS"},
    }
    (tmp_path / "Pulumi.own.yaml").write_text(yaml.safe_dump({"config": config}), encoding="utf-8")
    monkeypatch.setattr("threatmon.project.ROOT", tmp_path)
    code, out, _ = run("--stack", "own", "--gb-per-day", "1", "--json")
    document = json.loads(out)
    assert code == 0
    usd = {it["what"]: it["usd"] for it in document["items"]}
    assert usd["flow-log delivery"] == 7.6  # 30.4 GB x 0.25
    assert usd["KMS keys"] == 0
    assert usd["dashboard"] == 3
    assert usd["SNS, mails"] == 0.04
    settings = [it["setting"] for it in document["changes"]]
    assert settings == ["flowLogs.format", "flowLogs.aggregationSeconds", "flowLogs.trafficType"]
    assert not [note for note in document["notes"] if "where prices differ" in note]


def test_the_committed_stack_is_counted_as_it_deploys(run: Run) -> None:
    code, out, _ = run("--gb-per-day", "0", "--json")
    assert code == 0
    usd = {it["what"]: it["usd"] for it in json.loads(out)["items"]}
    assert (usd["KMS keys"], usd["dashboard"], usd["SNS, mails"]) == (1, 3, 0.02)


@pytest.mark.parametrize("arguments", [[], ["--measure", "--gb-per-day", "5"]])
def test_the_volume_is_given_or_measured(run: Run, arguments: list[str]) -> None:
    assert run(*arguments) == (2, "", "Give the volume, --gb-per-day 5, or have it measured: --measure.\n")


@pytest.mark.parametrize("volume", ["-1", "much", "nan", "inf"])
def test_a_volume_is_a_number_that_can_be(run: Run, volume: str) -> None:
    code, out, err = run("--gb-per-day", volume)
    assert (code, out) == (2, "")
    assert "--gb-per-day" in err


def test_a_stack_that_does_not_exist_is_wrong_use(run: Run) -> None:
    code, _, err = run("--stack", "nowhere", "--gb-per-day", "1")
    assert code == 2
    assert err.startswith("Pulumi.nowhere.yaml: no such stack file")


def test_the_help_has_an_example(run: Run) -> None:
    code, out, _ = run("--help")
    assert code == 0
    assert "Example: threatmon cost --stack prod --gb-per-day 5" in out


# -- measured ---------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("_counted")
def test_a_week_of_records_is_measured(run: Run, account: EmulatedAccount) -> None:
    received(account, 7, 3 * GB)
    code, out, err = run("--measure")
    assert (code, err) == (0, "")
    assert "Stack dev, 3.00 GB of flow logs a day, measured over 7.0 days" in out
    assert "extrapolated" not in out


@pytest.mark.usefixtures("_counted")
def test_fewer_days_are_extrapolated_and_it_says_so(run: Run, account: EmulatedAccount) -> None:
    received(account, 2)
    code, out, _ = run("--measure", "--json")
    document = json.loads(out)
    assert code == 0
    assert document["measuredDays"] == pytest.approx(2, abs=0.05)
    assert document["gbPerDay"] == pytest.approx(1, abs=0.03)
    assert "Records go back only 2.0 days, and the rest is extrapolated from them." in document["notes"]


@pytest.mark.usefixtures("_counted")
def test_other_log_groups_are_none_of_its_business(run: Run, account: EmulatedAccount) -> None:
    received(account, 7, 2 * GB)
    received(account, 7, 50 * GB, "/another")
    assert json.loads(run("--measure", "--json")[1])["gbPerDay"] == pytest.approx(2, abs=0.05)


def test_a_log_group_without_records_or_not_deployed_says_what_to_do(run: Run, account: EmulatedAccount) -> None:
    received(account, 7, group="/another")
    code, out, err = run("--measure")
    assert (code, out) == (2, "")
    assert err.startswith(f"{GROUP} in eu-west-1 has received nothing for 7 days, so there is nothing to measure: ")
    assert "--gb-per-day 5" in err


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("AccessDenied", "Permission cloudwatch:GetMetricStatistics is missing: no\n"),
        ("ExpiredToken", "The AWS credentials have expired"),
        ("UnrecognizedClientException", "check AWS_PROFILE and aws:region"),
        ("Throttling", "AWS still throttles cloudwatch:GetMetricStatistics after 8 attempts"),
    ],
)
def test_what_aws_refuses_is_said_in_one_line(run: Run, account: EmulatedAccount, code: str, said: str) -> None:
    answer(account.boto3_session(), "cloudwatch.GetMetricStatistics", code)
    exit_code, out, err = run("--measure")
    assert (exit_code, out) == (1, "")
    assert said in err
    assert err.count("\n") == 1


def test_credentials_of_another_account_are_refused(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with EmulatedAccount("444455556666", "eu-west-1") as other:
        monkeypatch.setattr(session, "new_session", lambda _profile, _region: other.boto3_session())
        code, out, err = run("--measure")
    assert (code, out) == (2, "")
    assert "but Pulumi.dev.yaml allows 111122223333" in err


@pytest.mark.usefixtures("_counted")
def test_it_calls_what_its_permissions_name_and_nothing_else(run: Run, account: EmulatedAccount) -> None:
    calls: set[str] = set()
    account.boto3_session().events.register("before-call", lambda model, **_: calls.add(model.name))
    received(account, 7)
    calls.clear()
    assert run("--measure")[0] == 0
    assert calls == {"GetCallerIdentity", "GetMetricStatistics"}  # every caller may ask who it is
    assert cost.PERMISSIONS == ("cloudwatch:GetMetricStatistics",)
    calls.clear()
    assert run("--gb-per-day", "1")[0] == 0
    assert calls == set()
