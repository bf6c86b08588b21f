import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from conftest import RunCommand
from examples import EMAIL, SUBNET
from scripted_account import ScriptedAccount

from threatmon.cli import cost
from threatmon.stacks import yaml


def received(scripted: ScriptedAccount, days: int) -> None:
    """The log group received a GB on each of so many days."""
    now = datetime.now(UTC)
    points = [{"Timestamp": now - timedelta(days=day + 1), "Sum": 2**30} for day in range(days)]
    scripted.answer("cloudwatch:GetMetricStatistics", {"Datapoints": points})


def test_a_given_volume_is_billed_and_each_saving_priced(threatmon: RunCommand) -> None:
    code, out, err = threatmon("cost", "--gb-per-day", "5")
    assert (code, err) == (0, "")
    rows = [" ".join(line.split()) for line in out.splitlines()]
    assert rows[0] == "Stack dev, 5.00 GB of flow logs a day, as given"
    assert "flow-log delivery 152.1 GB, class STANDARD 76.04" in rows
    assert "total less 3.12 if the account's free tiers are unused 88.92" in rows
    assert "flowLogs.format: default records half as long as extended ones 46.55 -42.38" in rows
    assert "flowLogs.retentionDays: 90 nothing; the volume stays the same 82.74 -6.19" in rows


def test_the_source_of_the_prices_and_what_is_left_out_is_said(threatmon: RunCommand) -> None:
    out = threatmon("cost", "--gb-per-day", "5").out
    assert "Prices: us-east-1, 2026-09, https://aws.amazon.com/cloudwatch/pricing/ (taken from secondary sources" in out
    assert "This stack is in eu-west-1, where prices differ; by how much is not known here.\n" in out
    assert (
        "Not estimated: GuardDuty itself, billed by what it analyses: https://aws.amazon.com/guardduty/pricing/" in out
    )
    assert "Assumed: records are stored at 15% of their size" in out
    assert "extrapolated" not in out


def test_the_stack_files_own_settings_count(
    threatmon: RunCommand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = {
        "aws:region": "us-east-1",
        "threat-monitor:subnetIds": [SUBNET],
        "threat-monitor:alertEmails": [EMAIL],
        "threat-monitor:flowLogs": {"logGroupClass": "INFREQUENT_ACCESS"},
    }
    (tmp_path / "Pulumi.own.yaml").write_text(yaml.write({"config": config}), encoding="utf-8")
    monkeypatch.setattr("threatmon.project.ROOT", tmp_path)
    document = json.loads(threatmon("cost", "--stack", "own", "--gb-per-day", "1", "-o", "json").out)
    assert (document["stack"], document["region"], document["gbPerDay"]) == ("own", "us-east-1", 1)
    assert document["measuredDays"] is None
    usd = {item["what"]: round(item["usd"], 2) for item in document["items"]}
    assert usd["flow-log delivery"] == 7.6  # 30.4 GB x 0.25
    assert sum(item["usd"] for item in document["items"]) == pytest.approx(document["totalUsd"])
    assert document["savings"][0].keys() == {"setting", "assumption", "usd", "change"}
    assert not [note for note in document["notes"] if "where prices differ" in note]


@pytest.mark.parametrize("arguments", [[], ["--measure", "--gb-per-day", "5"]])
def test_the_volume_is_given_or_measured(threatmon: RunCommand, arguments: list[str]) -> None:
    said = "Give the volume, --gb-per-day 5, or have it measured: --measure.\n"
    assert threatmon("cost", *arguments) == (2, "", said)


@pytest.mark.parametrize("volume", ["-1", "much", "nan", "inf"])
def test_a_volume_is_a_number_that_can_be(threatmon: RunCommand, volume: str) -> None:
    code, out, err = threatmon("cost", "--gb-per-day", volume)
    assert (code, out) == (2, "")
    assert "--gb-per-day" in err


def test_a_week_of_records_is_measured(threatmon: RunCommand, scripted: ScriptedAccount) -> None:
    received(scripted, 7)
    code, out, err = threatmon("cost", "--measure")
    assert (code, err) == (0, "")
    assert out.startswith("Stack dev, 1.00 GB of flow logs a day, measured over 7.0 days\n")
    assert "extrapolated" not in out
    assert scripted.calls == ["sts:GetCallerIdentity", *cost.PERMISSIONS]  # every caller may ask who it is


def test_fewer_days_are_extrapolated_and_it_says_so(threatmon: RunCommand, scripted: ScriptedAccount) -> None:
    received(scripted, 2)
    document = json.loads(threatmon("cost", "--measure", "-o", "json").out)
    assert (document["gbPerDay"], document["measuredDays"]) == pytest.approx((1, 2), rel=1e-3)
    assert "Records go back only 2.0 days, and the rest is extrapolated from them." in document["notes"]


def test_what_cannot_be_measured_says_why(threatmon: RunCommand, scripted: ScriptedAccount) -> None:
    received(scripted, 0)
    assert "has received nothing for 7 days" in threatmon("cost", "--measure").err
    scripted.refuse("cloudwatch:GetMetricStatistics")
    missing = "Permission cloudwatch:GetMetricStatistics is missing: no\n"
    assert threatmon("cost", "--measure") == (1, "", missing)
