from pathlib import Path

import pytest
from conftest import RunCommand
from fleet.fake_engine import LOG_GROUP, TOPIC, FakeEngine, done, pre, prepared, project, says

STACKS = ("dev", "prod")
OLD, NEW = {"retentionInDays": 365}, {"retentionInDays": 7}
BY_HAND = (
    pre("refresh", LOG_GROUP, "threat-monitor", OLD, OLD),
    done("update", LOG_GROUP, "threat-monitor", OLD, NEW, diff={"retentionInDays": "update"}),
)
UNTOUCHED = (pre("refresh", TOPIC, "topic", {}, {}), done("same", TOPIC, "topic", {}, {}))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return project(tmp_path, STACKS)


@pytest.fixture(autouse=True)
def engine(folder: Path, monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    """Two stacks whose accounts are as they remember them."""
    return prepared(folder, monkeypatch, STACKS, UNTOUCHED)


@pytest.fixture
def run(threatmon: RunCommand) -> RunCommand:
    return lambda *arguments, **options: threatmon("fleet", "drift", *arguments, **options)


def test_without_drift_all_is_well(run: RunCommand, engine: FakeEngine) -> None:
    found = run("--parallel", "1")
    assert found.code == 0
    assert found.out.startswith("2 stacks: 2 stay the same\n")
    assert found.err.splitlines() == ["Compared 1 of 2: dev", "Compared 2 of 2: prod"]
    assert [asked.verb for asked in engine.asked] == ["stack ls", "refresh", "refresh"]
    assert all("--preview-only" in asked.arguments for asked in engine.named("refresh"))


def test_what_was_changed_by_hand_is_shown_and_is_an_exit_code(run: RunCommand, engine: FakeEngine) -> None:
    engine.would("prod", *BY_HAND)
    found = run()
    assert found.code == 1
    assert found.out.startswith("2 stacks: 1 drifted, 1 stays the same")
    assert "retentionInDays: 365 -> 7" in found.out
    assert "--allow" not in found.out  # there is nothing to allow


@pytest.mark.parametrize("output", ["text", "markdown", "json", "html"])
def test_what_cannot_be_compared_is_no_all_clear(run: RunCommand, engine: FakeEngine, output: str) -> None:
    engine.fails("refresh", "prod", "error: refresh failed", says("error", "AccessDenied: no"))
    found = run("--output", output)
    assert found.code == 1
    assert "1 failed" in found.out
    assert "AccessDenied: no" in found.out


def test_an_empty_fleet_has_not_drifted_and_needs_no_engine(
    run: RunCommand, engine: FakeEngine, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in folder.iterdir():
        path.unlink()
    monkeypatch.setattr("threatmon.cli.fleet.previews.Engine", lambda: pytest.fail("an engine is looked for"))
    assert run() == (0, "0 stacks\n", "")
    assert engine.asked == []
