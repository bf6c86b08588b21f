import os
import subprocess
import sys
from pathlib import Path

import pytest

from threatmon.errors import UsageError
from threatmon.stacks import engine


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "_INSTALL_ROOT", tmp_path / "project")
    monkeypatch.setenv("PATH", str(tmp_path / "path"))


def executable(path: Path) -> Path:
    path.parent.mkdir(parents=True)
    path.write_text("#!/bin/sh\nprintf '%s|' \"$@\"\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def refuse(root: Path) -> None:
    raise AssertionError(f"nothing is to be installed into {root}")


def test_the_engine_on_path_is_used(tmp_path: Path) -> None:
    on_path = executable(tmp_path / "path" / "pulumi")
    executable(tmp_path / "project" / "bin" / "pulumi")
    assert engine.find_engine(refuse) == on_path


def test_an_engine_installed_before_is_used_again(tmp_path: Path) -> None:
    installed = executable(tmp_path / "project" / "bin" / "pulumi")
    assert engine.find_engine(refuse) == installed


def test_without_an_engine_one_is_installed_into_the_project(tmp_path: Path) -> None:
    found = engine.find_engine(lambda root: executable(root / "bin" / "pulumi"))
    assert found == tmp_path / "project" / "bin" / "pulumi"
    assert found.exists()


@pytest.mark.parametrize(
    "error", [OSError("no such host"), subprocess.CalledProcessError(1, "sh"), RuntimeError("wrong version")]
)
def test_where_it_cannot_be_downloaded_the_message_says_what_to_do(error: Exception) -> None:
    def fail(_: Path) -> None:
        raise error

    with pytest.raises(UsageError) as usage:
        engine.find_engine(fail)
    assert "could not be downloaded" in str(usage.value)
    assert "https://www.pulumi.com/docs/iac/download-install/" in str(usage.value)


def test_the_engine_gets_the_arguments_as_they_are(tmp_path: Path) -> None:
    executable(tmp_path / "path" / "pulumi")
    command = [Path(sys.executable).parent / "threatmon", "pulumi", "preview", "--stack", "a b", "--help"]
    result = subprocess.run(command, env=os.environ, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (0, "preview|--stack|a b|--help|")
