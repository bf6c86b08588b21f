import json
import re
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from threatmon.cli.fleet import list as listing
from threatmon.fleet.targets import FleetFaults
from threatmon.stacks import engine

app = typer.Typer()
app.command()(listing.list)

TOKEN = "https://hooks.example.com/v1-cipher"


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two stacks, and nowhere an engine."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.setattr("threatmon.project.ROOT", folder)
    monkeypatch.setattr("threatmon.project.ROOT", folder)
    monkeypatch.setattr(engine, "_INSTALL_ROOT", tmp_path / "installed")
    monkeypatch.setattr(engine, "_install", refuse)
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    (folder / "Pulumi.prod.yaml").write_text(
        'config:\n  aws:allowedAccountIds: ["111122223333"]\n  aws:region: eu-west-1\n'
        "  threat-monitor:subnetIds: [subnet-0123456789abcdef0, subnet-0123456789abcdef1]\n"
        "  threat-monitor:alertEmails: [soc@example.com, o'neil|x@example.com]\n"
        "  threat-monitor:alerts:\n    subscribers:\n"
        f"      - {{protocol: https, endpoint: {TOKEN}}}\n"
        "      - {protocol: https, endpoint: {secure: v1:cipher}}\n",
        encoding="utf-8",
    )
    (folder / "Pulumi.dev.yaml").write_text(
        'config:\n  aws:allowedAccountIds: ["444455556666"]\n  aws:region: us-east-1\n'
        "  threat-monitor:vpcIds: [vpc-0123456789abcdef0]\n  threat-monitor:alertEmail: dev@example.com\n"
        "  threat-monitor:detector: {mode: lookup}\n",
        encoding="utf-8",
    )
    return folder


def refuse(_: Path) -> None:
    raise OSError("no such host")


def with_engine(folder: Path, script: str) -> None:
    path = folder / "path" / "pulumi"
    path.parent.mkdir()
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)


def answering(folder: Path, *stacks: dict[str, Any]) -> None:
    with_engine(folder, f"pwd >&2\necho \"$@\" > '{folder}/asked'\necho '{json.dumps(stacks)}'")


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(app, arguments)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result


PROD = {"name": "prod", "lastUpdate": "2026-03-01T12:30:45.123Z", "resourceCount": 16}


def test_the_table_says_where_each_stack_is_what_it_watches_and_whom_it_tells(tmp_path: Path) -> None:
    answering(tmp_path, PROD)
    head, dev, prod = (line.split() for line in run().stdout.splitlines() if re.match(" *(Stack|dev|prod)", line))
    assert head == [*("Stack", "Account", "Region", "Subnets", "VPCs", "Addresses", "Detector"), "Last", "update"]
    assert dev == ["dev", "444455556666", "us-east-1", "0", "1", "dev@example.com", "lookup", "never"]
    assert prod == [
        *("prod", "111122223333", "eu-west-1", "2", "0", "soc@example.com,", "o'neil|x@example.com", "create"),
        *("2026-03-01", "12:30", "UTC"),
    ]


def test_the_engine_is_asked_once_for_all_stacks_without_a_terminal(tmp_path: Path) -> None:
    answering(tmp_path, PROD)
    run()
    assert (tmp_path / "asked").read_text(encoding="utf-8") == "stack ls --json --non-interactive\n"


def test_markdown_is_one_table_whose_cells_stay_whole(tmp_path: Path) -> None:
    answering(tmp_path, PROD)
    assert run("--format", "markdown").stdout == (
        "| Stack | Account | Region | Subnets | VPCs | Addresses | Detector | Last update |\n"
        "| --- | --- | --- | --- | --- | --- | --- | --- |\n"
        "| dev | 444455556666 | us-east-1 | 0 | 1 | dev@example.com | lookup | never |\n"
        "| prod | 111122223333 | eu-west-1 | 2 | 0 | soc@example.com, o'neil\\|x@example.com | create "
        "| 2026-03-01 12:30 UTC |\n"
    )


def test_json_has_the_lists_themselves(tmp_path: Path) -> None:
    answering(tmp_path, PROD)
    assert json.loads(run("--format", "json", "--stacks", "prod").stdout) == {
        "stacks": [
            {
                "stack": "prod",
                "account": "111122223333",
                "region": "eu-west-1",
                "subnetIds": ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"],
                "vpcIds": [],
                "alertEmails": ["soc@example.com", "o'neil|x@example.com"],
                "detector": "create",
                "lastUpdate": "2026-03-01T12:30:45.123Z",
                "updateInProgress": False,
            }
        ],
        "problem": None,
    }


@pytest.mark.parametrize(
    ("known", "shown"),
    [
        ({"lastUpdate": "2026-03-01T23:30:00+02:00", "resourceCount": 3}, "2026-03-01 21:30 UTC"),
        ({"lastUpdate": "2026-03-01T12:30:00Z"}, "2026-03-01 12:30 UTC"),
        ({"lastUpdate": "2026-03-01T12:30:00Z", "resourceCount": 0}, "2026-03-01 12:30 UTC, empty"),
        ({"lastUpdate": "2026-03-01T12:30:00Z", "updateInProgress": True}, "under way"),
        ({"resourceCount": 0}, "never"),
    ],
)
@pytest.mark.parametrize("name", ["prod", "acme/prod", "acme/threat-monitor/prod"])
def test_the_last_update_is_told_in_utc_or_why_there_is_none(
    tmp_path: Path, name: str, known: dict[str, Any], shown: str
) -> None:
    answering(tmp_path, {"name": name, **known}, {**PROD, "name": "another"})
    assert run("--stacks", "prod", "--format", "markdown").stdout.endswith(f"| {shown} |\n")


@pytest.mark.parametrize("format_", ["text", "markdown", "json"])
def test_secrets_are_never_printed(tmp_path: Path, format_: str) -> None:
    answering(tmp_path, PROD)
    result = run("--format", format_)
    assert "soc@example.com" in result.output
    assert "cipher" not in result.output


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo 'error: no credentials' >&2; exit 255", "no credentials"),
        ("exit 3", "`pulumi stack ls` ended with 3"),
        ("echo nonsense", "`pulumi stack ls` did not work: "),
        ("echo 'error: postgres://user:hunter2@host/db: refused' >&2; exit 1", "postgres://***@host/db: refused"),
    ],
)
def test_where_the_backend_cannot_be_asked_only_the_last_updates_are_unknown(
    tmp_path: Path, script: str, reason: str
) -> None:
    with_engine(tmp_path, script)
    result = run("--format", "markdown")
    assert [line.rpartition("| ")[2] for line in result.stdout.splitlines()[2:]] == ["unknown |", "unknown |"]
    assert result.stderr.startswith(f"The last updates are unknown: {reason}")
    assert "hunter2" not in result.output


def test_a_backend_that_does_not_answer_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "_PATIENCE", 0.05)
    with_engine(tmp_path, "exec /bin/sleep 60")
    assert "the backend did not answer within 0.05 seconds" in run().stderr


def test_without_an_engine_the_rest_is_listed() -> None:
    result = run("--format", "json")
    document = json.loads(result.stdout)
    assert [it["stack"] for it in document["stacks"]] == ["dev", "prod"]
    assert "not on PATH and could not be downloaded (no such host)" in document["problem"]
    assert {it["lastUpdate"] for it in document["stacks"]} == {None}


def test_faults_of_files_are_told_before_the_engine_is_asked(tmp_path: Path, project: Path) -> None:
    answering(tmp_path, PROD)
    (project / "Pulumi.broken.yaml").write_text("config: {}\n", encoding="utf-8")
    with pytest.raises(FleetFaults, match=r"Pulumi\.broken\.yaml: aws:region: is not set"):
        run()
    assert not (tmp_path / "asked").exists()


def test_an_empty_fleet_asks_nobody(tmp_path: Path, project: Path) -> None:
    answering(tmp_path, PROD)
    for path in project.iterdir():
        path.unlink()
    assert run().stdout.rstrip().endswith("0 stacks")
    assert json.loads(run("--format", "json").stdout) == {"stacks": [], "problem": None}
    assert not (tmp_path / "asked").exists()


def test_help_has_an_example() -> None:
    assert "threatmon fleet list --stacks 'prod-*' --format markdown" in " ".join(run("--help").stdout.split())
