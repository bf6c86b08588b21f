import os
from pathlib import Path

import pytest

from threatmon.errors import UsageError
from threatmon.stacks.outputs import stack_outputs


def engine(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """An executable `pulumi` on PATH that runs ``script``."""
    path = folder / "pulumi"
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin")


def test_the_outputs_are_those_the_engine_prints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine(tmp_path, monkeypatch, 'echo "$@" >&2; echo \'{"topicArn": "arn:x", "ruleNames": ["a"]}\'')
    assert stack_outputs("prod") == {"topicArn": "arn:x", "ruleNames": ["a"]}


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo \"error: no stack named 'prod' found\" >&2; exit 255", "cannot be read: no stack named 'prod' found"),
        ("exit 3", "cannot be read: `pulumi stack output` ended with 3"),
        ("echo '{}'", "Stack prod is not deployed: it has no outputs. Run `make up STACK=prod`."),
        ("true", "Stack prod is not deployed"),
    ],
)
def test_a_stack_without_outputs_says_why(
    script: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine(tmp_path, monkeypatch, script)
    with pytest.raises(UsageError) as error:
        stack_outputs("prod")
    assert said in str(error.value)
    assert "Traceback" not in str(error.value)
