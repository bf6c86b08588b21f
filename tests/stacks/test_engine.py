import os
import subprocess
import sys
from pathlib import Path

import pytest
from pulumi.automation import PulumiCommand
from semver import VersionInfo

from threatmon.errors import UsageError
from threatmon.stacks import engine


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(root: str, **_: object) -> None:
        raise AssertionError(f"nothing is to be installed into {root}")

    monkeypatch.setattr(PulumiCommand, "install", refuse)
    monkeypatch.setattr(engine, "_INSTALL_ROOT", tmp_path / "project")
    monkeypatch.setenv("PATH", str(tmp_path / "path"))


def executable(path: Path) -> Path:
    path.parent.mkdir(parents=True)
    path.write_text("#!/bin/sh\nprintf '%s|' \"$@\"\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def test_the_engine_on_path_is_used(tmp_path: Path) -> None:
    on_path = executable(tmp_path / "path" / "pulumi")
    executable(tmp_path / "project" / "bin" / "pulumi")
    assert engine.find_engine() == on_path


def test_an_engine_installed_before_is_used_again(tmp_path: Path) -> None:
    installed = executable(tmp_path / "project" / "bin" / "pulumi")
    assert engine.find_engine() == installed


def test_without_an_engine_one_is_installed_into_the_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def install(root: str, version: VersionInfo, **_: object) -> None:
        assert str(version) == engine.ENGINE_VERSION
        executable(Path(root) / "bin" / "pulumi")

    monkeypatch.setattr(PulumiCommand, "install", install)
    found = engine.find_engine()
    assert found == tmp_path / "project" / "bin" / "pulumi"
    assert found.exists()


@pytest.mark.parametrize(
    "error", [OSError("no such host"), subprocess.CalledProcessError(1, "sh"), RuntimeError("wrong version")]
)
def test_if_it_cannot_be_downloaded_the_message_says_what_to_do(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(PulumiCommand, "install", fail)
    with pytest.raises(UsageError) as usage:
        engine.find_engine()
    assert "could not be downloaded" in str(usage.value)
    assert "https://www.pulumi.com/docs/iac/download-install/" in str(usage.value)


def test_the_engine_gets_the_arguments_as_they_are(tmp_path: Path) -> None:
    executable(tmp_path / "path" / "pulumi")
    command = [Path(sys.executable).parent / "threatmon", "pulumi", "preview", "--stack", "a b", "--help"]
    result = subprocess.run(command, env=os.environ, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (0, "preview|--stack|a b|--help|")
