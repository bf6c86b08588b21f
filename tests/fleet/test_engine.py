"""The engine here is a script."""

import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import Popen
from threading import Event

import pytest
from pulumi.automation import CommandError
from pulumi.automation.errors import ConcurrentUpdateError, StackNotFoundError

from threatmon.fleet.engine import Engine
from threatmon.stacks.engine import ENGINE_VERSION

LOCKED = (
    "error: the stack is currently locked by 1 lock(s).\n"
    "  file:///state/.pulumi/locks/dev/a.json: created by ada@laptop (pid 4711) at 2026-09-14T09:30:00Z"
)


Make = Callable[..., Engine]


class Announced(set[Popen[bytes]]):
    """The processes under way; says when there is one."""

    def __init__(self) -> None:
        super().__init__()
        self.any = Event()

    def add(self, element: Popen[bytes], /) -> None:
        super().add(element)
        self.any.set()


@pytest.fixture
def engine(tmp_path: Path) -> Make:
    """An engine that is a script, in a shell's language or Python."""

    def make(script: str, *, version: str = "v3.250.1", python: bool = False) -> Engine:
        path = tmp_path / "pulumi"
        if python:
            (tmp_path / "script.py").write_text(script, encoding="utf-8")
            script = f"exec '{sys.executable}' -I '{tmp_path}/script.py' \"$@\""
        answer = f"if [ \"$1\" = version ]; then printf '%s' '{version}'; exit; fi"
        path.write_text(f"#!/bin/sh\n{answer}\n{script}\n", encoding="utf-8")
        path.chmod(0o755)
        return Engine(path)

    return make


@pytest.mark.parametrize(
    ("printed", "version"),
    [
        ("v3.250.1\n", "3.250.1"),
        ("3.250.1", "3.250.1"),
        ("v3.251.0-alpha.1+dirty", "3.251.0-alpha.1+dirty"),
        ("", ENGINE_VERSION),
        ("(devel)", ENGINE_VERSION),
    ],
)
def test_an_engine_without_a_version_is_taken_for_the_one_that_is_tested_with(
    engine: Make, printed: str, version: str
) -> None:
    assert str(engine("exit 1", version=printed).version) == version


def test_a_command_gets_its_arguments_folder_and_environment(
    engine: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINE", "kept")
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    script = 'printf "%s|" "$@" "$PWD" "$MINE" "$GIVEN" "$PULUMI_AUTOMATION_API"; echo oops >&2'
    heard: list[str] = []
    result = engine(script).run(["up", "--stack", "a b"], str(folder), {"GIVEN": "too"}, heard.append, heard.append)
    assert result.stdout == f"--non-interactive|up|--stack|a b|{folder}|kept|too|true|"
    assert (result.stderr, result.code) == ("oops\n", 0)
    assert heard == [result.stdout, result.stderr]


def test_what_is_given_wins_over_this_process_s_own_environment_and_any_output_is_text(
    engine: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "mine")
    script = "printf '<%s> a\\377b' \"$AWS_PROFILE\""
    assert engine(script).run([], str(tmp_path), {"AWS_PROFILE": ""}).stdout == "<> a\ufffdb"


@pytest.mark.parametrize(
    ("stderr", "error"),
    [
        (LOCKED, ConcurrentUpdateError),
        ("error: no stack named 'dev' found", StackNotFoundError),
        ("error: something else", CommandError),
    ],
)
def test_a_failure_raises_what_the_automation_api_would(
    engine: Make, tmp_path: Path, stderr: str, error: type[CommandError]
) -> None:
    (tmp_path / "stderr").write_text(stderr, encoding="utf-8")
    with pytest.raises(CommandError) as raised:
        engine(f"cat '{tmp_path}/stderr' >&2; exit 255").run([], str(tmp_path), {})
    assert type(raised.value) is error
    assert stderr in str(raised.value)
    assert "code: 255" in str(raised.value)


def test_the_terminal_s_ctrl_c_does_not_reach_the_engine(engine: Make, tmp_path: Path) -> None:
    script = "import os; print(os.getpid() == os.getsid(0) == os.getpgid(0), os.getsid(0))"
    own, session = engine(script, python=True).run([], str(tmp_path), {}).stdout.split()
    assert own == "True"
    assert int(session) != os.getsid(0)


def test_should_this_process_be_killed_no_broken_pipe_kills_the_engine(engine: Make, tmp_path: Path) -> None:
    script = "import os, stat; print(*(stat.S_ISFIFO(os.fstat(stream).st_mode) for stream in (1, 2)))"
    assert engine(script, python=True).run([], str(tmp_path), {}).stdout.split() == ["False", "False"]


def test_an_interruption_reaches_all_that_is_under_way_and_lets_it_end(
    engine: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = """
import os, signal, sys
def stop(*_):
    with open(sys.argv[2] + ".saved", "w") as file:
        file.write("all of it")
    sys.exit(3)
signal.signal(signal.SIGINT, stop)
with open(sys.argv[2], "w") as ready:
    ready.write("ready")
while True:
    signal.pause()
"""
    running = engine(script, python=True)
    under_way = Announced()
    monkeypatch.setattr(running, "_running", under_way)
    stacks = [tmp_path / "one", tmp_path / "two"]
    for stack in stacks:
        os.mkfifo(stack)
    with ThreadPoolExecutor() as pool:
        runs = []
        for stack in stacks:
            under_way.any.clear()
            runs.append(pool.submit(running.run, [str(stack)], str(tmp_path), {}))
            assert under_way.any.wait(30)
            assert stack.read_text(encoding="utf-8") == "ready"
        running.interrupt()
        failures = [run.exception(30) for run in runs]
    assert [isinstance(error, CommandError) and "code: 3" in str(error) for error in failures] == [True, True]
    assert [Path(f"{stack}.saved").read_text(encoding="utf-8") for stack in stacks] == ["all of it"] * 2


def test_what_has_ended_is_not_interrupted(engine: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    running = engine("exit 0")
    running.run([], str(tmp_path), {})
    failing = engine("exit 1")
    with pytest.raises(CommandError):
        failing.run([], str(tmp_path), {})
    signalled: list[object] = []
    monkeypatch.setattr(Popen, "send_signal", lambda *arguments: signalled.append(arguments))
    running.interrupt()
    failing.interrupt()
    assert signalled == []
