import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pulumi
import pytest
from fleet.turnstile import PATIENCE, Turnstile

from threatmon.fleet import inline_program as module
from threatmon.fleet.inline_program import inline_program


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("threatmon.project.ROOT", tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(pulumi.log, "debug", pulumi.log.debug)  # a program drops it for the whole process
    return tmp_path


def test_two_programs_never_run_at_a_time(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    turnstile = Turnstile()
    events: list[str] = []

    def run() -> None:
        events.append("begins")
        assert turnstile.taken.wait(PATIENCE)  # until another wants to run
        events.append("ends")

    (project / "__main__.py").write_text(
        "import sys\nassert __name__ == '__main__'\nsys.fleet_test_run()\n", encoding="utf-8"
    )
    monkeypatch.setattr(module, "Lock", lambda: turnstile)
    monkeypatch.setattr(sys, "fleet_test_run", run, raising=False)
    program = inline_program()
    assert sys.path[0] == str(project)
    with ThreadPoolExecutor() as pool:
        for done in [pool.submit(program) for _ in range(2)]:
            done.result(PATIENCE)
    assert events == ["begins", "ends"] * 2


def test_a_program_that_fails_lets_the_next_one_run(project: Path) -> None:
    (project / "__main__.py").write_text("raise ValueError(__file__)\n", encoding="utf-8")
    program = inline_program()
    for _ in range(2):
        with pytest.raises(ValueError, match=r"__main__\.py"):
            program()


def test_the_sdk_s_debug_log_is_dropped(project: Path) -> None:
    assert callable(pulumi.log.debug)  # the SDK still has it
    (project / "__main__.py").write_text("", encoding="utf-8")
    inline_program()
    pulumi.log.debug("nobody reads this, and there is no engine to log it")
