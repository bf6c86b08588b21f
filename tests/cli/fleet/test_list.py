import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import CommandResult, RunCommand
from examples import ACCOUNT, OTHER_ACCOUNT

from threatmon.stacks import engine

TOKEN = "https://hooks.example.com/v1-cipher"
PROD = {"name": "prod", "lastUpdate": "2026-03-01T12:30:45.123Z", "resourceCount": 16}

List = Callable[..., CommandResult]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two stacks, and nowhere an engine."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.setattr("threatmon.project.ROOT", folder)
    monkeypatch.setattr(engine, "_INSTALL_ROOT", tmp_path / "installed")
    monkeypatch.setattr(engine, "_install", refuse)
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    (folder / "Pulumi.prod.yaml").write_text(
        f'config:\n  aws:allowedAccountIds: ["{ACCOUNT}"]\n  aws:region: eu-west-1\n'
        "  threat-monitor:subnetIds: [subnet-0123456789abcdef0, subnet-0123456789abcdef1]\n"
        "  threat-monitor:alertEmails: [soc@example.com, o'neil|x@example.com]\n"
        "  threat-monitor:alerts:\n    subscribers:\n"
        f"      - {{protocol: https, endpoint: {TOKEN}}}\n"
        "      - {protocol: https, endpoint: {secure: v1:cipher}}\n",
        encoding="utf-8",
    )
    (folder / "Pulumi.dev.yaml").write_text(
        f'config:\n  aws:allowedAccountIds: ["{OTHER_ACCOUNT}"]\n  aws:region: us-east-1\n'
        "  threat-monitor:vpcIds: [vpc-0123456789abcdef0]\n  threat-monitor:alertEmail: dev@example.com\n"
        "  threat-monitor:detector: {mode: lookup}\n",
        encoding="utf-8",
    )
    return folder


def refuse(_: Path) -> None:
    raise OSError("no such host")


@pytest.fixture
def list_(threatmon: RunCommand, project: Path) -> List:
    """`threatmon fleet list`."""
    assert len(list(project.iterdir())) == 2
    return lambda *arguments: threatmon("fleet", "list", *arguments)


def with_engine(folder: Path, script: str) -> None:
    path = folder / "path" / "pulumi"
    path.parent.mkdir()
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)


def answering(folder: Path, *stacks: dict[str, Any]) -> None:
    with_engine(folder, f"echo \"$@\" >> '{folder}/asked'\necho '{json.dumps(stacks)}'")


def last_update(result: CommandResult, stack: str) -> str:
    """The last cell of the stack's row."""
    (row,) = (line for line in result.out.splitlines() if line.startswith(f"| {stack} |"))
    return row.removesuffix(" |").rpartition("| ")[2]


def test_each_stack_has_a_row_of_where_it_is_what_it_watches_and_who_gets_its_alerts(
    list_: List, tmp_path: Path
) -> None:
    answering(tmp_path, PROD)
    rows = [" ".join(line.split()) for line in list_().out.splitlines()]
    assert rows[-4:] == [
        f"dev {OTHER_ACCOUNT} us-east-1 0 1 dev@example.com lookup new never",
        f"prod {ACCOUNT} eu-west-1 2 0 soc@example.com, o'neil|x@example.com create deployed 2026-03-01 12:30 UTC",
        "",
        "2 stacks",
    ]
    # One question for all stacks, without a terminal.
    assert (tmp_path / "asked").read_text(encoding="utf-8") == "stack ls --json --non-interactive\n"


def test_json_has_the_lists_themselves(list_: List, tmp_path: Path) -> None:
    answering(tmp_path, PROD)
    assert json.loads(list_("-o", "json", "--stacks", "prod").out) == {
        "stacks": [
            {
                "stack": "prod",
                "account": ACCOUNT,
                "region": "eu-west-1",
                "subnetIds": ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"],
                "vpcIds": [],
                "alertEmails": ["soc@example.com", "o'neil|x@example.com"],
                "detector": "create",
                "status": "deployed",
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
        ({"lastUpdate": "2026-03-01T12:30:00Z", "resourceCount": 0}, "2026-03-01 12:30 UTC, empty"),
        ({"lastUpdate": "2026-03-01T12:30:00Z", "updateInProgress": True}, "under way"),
        ({"resourceCount": 0}, "never"),
    ],
)
@pytest.mark.parametrize("name", ["prod", "acme/threat-monitor/prod"])
def test_the_last_update_is_in_utc_or_says_why_there_is_none(
    list_: List, tmp_path: Path, name: str, known: dict[str, Any], shown: str
) -> None:
    answering(tmp_path, {"name": name, **known})
    assert last_update(list_("-o", "markdown"), "prod") == shown


def test_stacks_that_are_deployed_without_a_file_have_rows_whichever_are_chosen(list_: List, tmp_path: Path) -> None:
    answering(tmp_path, PROD, {**PROD, "name": "gone"}, {"name": "empty", "resourceCount": 0})
    shown = list_("-o", "json", "--stacks", "dev")
    assert {row["stack"]: row["status"] for row in json.loads(shown.out)["stacks"]} == {
        "dev": "new",
        "empty": "empty, without a file",
        "gone": "deployed, without a file",
    }
    assert "gone: There is no Pulumi.gone.yaml, but the stack is deployed, and nobody updates it." in list_().out


@pytest.mark.parametrize("output", ["text", "markdown", "json", "html"])
def test_secrets_are_never_printed(list_: List, tmp_path: Path, output: str) -> None:
    answering(tmp_path, PROD)
    result = list_("-o", output)
    assert "soc@example.com" in result.out
    assert "cipher" not in result.out + result.err


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo 'error: no credentials' >&2; exit 255", "no credentials"),
        ("exit 3", "`pulumi stack ls` ended with 3"),
        ("echo nonsense", "`pulumi stack ls` did not work: "),
        ("echo 'error: postgres://user:hunter2@host/db: refused' >&2; exit 1", "postgres://***@host/db: refused"),
    ],
)
def test_if_the_backend_cannot_be_asked_only_the_last_updates_are_unknown(
    list_: List, tmp_path: Path, script: str, reason: str
) -> None:
    with_engine(tmp_path, script)
    result = list_("-o", "markdown")
    assert (result.code, last_update(result, "dev"), last_update(result, "prod")) == (0, "unknown", "unknown")
    assert f"The last updates are unknown: {reason}" in list_().out
    assert "hunter2" not in result.out


def test_without_an_engine_the_rest_is_listed(list_: List) -> None:
    document = json.loads(list_("-o", "json").out)
    assert [(entry["stack"], entry["lastUpdate"]) for entry in document["stacks"]] == [("dev", None), ("prod", None)]
    assert "not on PATH and could not be downloaded (no such host)" in document["problem"]
    assert "\nInstall it as https://www.pulumi.com/docs/iac/download-install/ says" in list_().out


def test_faults_of_files_are_reported_before_the_engine_is_asked(list_: List, tmp_path: Path, project: Path) -> None:
    answering(tmp_path, PROD)
    (project / "Pulumi.broken.yaml").write_text("config: {}\n", encoding="utf-8")
    result = list_()
    assert result.code == 2
    assert "Pulumi.broken.yaml: aws:region: is not set" in result.err
    assert not (tmp_path / "asked").exists()


def test_an_empty_fleet_asks_nobody(list_: List, tmp_path: Path, project: Path) -> None:
    answering(tmp_path, PROD)
    for path in project.iterdir():
        path.unlink()
    assert list_().out.endswith("\n0 stacks\n")
    assert json.loads(list_("-o", "json").out) == {"stacks": [], "problem": None}
    assert not (tmp_path / "asked").exists()
