import os
from collections.abc import Callable
from pathlib import Path

import pytest

from threatmon.errors import UsageError
from threatmon.stacks import engine
from threatmon.stacks.outputs import stack_outputs

Engine = Callable[[str], None]


@pytest.fixture
def pulumi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """Puts an executable `pulumi` on PATH that runs a script."""
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/usr/bin{os.pathsep}/bin")

    def script(text: str) -> None:
        path = tmp_path / "pulumi"
        path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        path.chmod(0o755)

    return script


def test_the_outputs_are_those_the_engine_prints(pulumi: Engine) -> None:
    pulumi('[ "$1 $2 $3 $4" = "stack output --stack prod" ] && echo warning >&2 && echo \'{"ruleNames": ["a"]}\'')
    assert stack_outputs("prod") == {"ruleNames": ["a"]}


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo \"error: no stack named 'prod' found\" >&2; exit 255", "cannot be read: no stack named 'prod' found"),
        ("exit 3", "cannot be read: `pulumi stack output` ended with 3"),
        ("echo '{'", "cannot be read: `pulumi stack output` did not work: "),
        ("echo '{}'", "Stack prod is not deployed: it has no outputs. Run `make up STACK=prod`."),
        ("true", "Stack prod is not deployed"),
    ],
)
def test_a_stack_without_outputs_says_why(pulumi: Engine, script: str, said: str) -> None:
    pulumi(script)
    with pytest.raises(UsageError) as error:
        stack_outputs("prod")
    assert said in str(error.value)


def test_a_backend_that_does_not_answer_is_not_waited_for(pulumi: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "_PATIENCE", 0.05)
    pulumi("exec /bin/sleep 60")
    with pytest.raises(
        UsageError, match=r"^The outputs of stack prod cannot be read: the backend did not answer within 0\.05 sec"
    ):
        stack_outputs("prod")
