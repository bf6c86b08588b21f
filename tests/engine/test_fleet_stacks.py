"""What the backend knows of stacks and the files do not, or the other way round, on the real engine."""

import json
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

import pytest
from engine.checkout import inventory
from engine.fleets import Fleet, new_fleet


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """Two deployed stacks, and an account for a third."""
    with new_fleet(tmp_path, ["s0", "s1", "new"]) as fleet:
        (fleet.folder / "Pulumi.new.yaml").unlink()
        fleet.run("up", "--yes")
        yield fleet


def file(fleet: Fleet, stack: str) -> Path:
    return fleet.folder / f"Pulumi.{stack}.yaml"


def state(fleet: Fleet, stack: str) -> Path:
    return fleet.folder / "state" / ".pulumi" / "stacks" / "threat-monitor" / f"{stack}.json"


def rows(fleet: Fleet) -> dict[str, dict[str, Any]]:
    return {row["stack"]: row for row in json.loads(fleet.run("list", "-o", "json").stdout)["stacks"]}


def test_a_stack_whose_file_is_deleted_is_spoken_of_until_it_is_taken_down(fleet: Fleet) -> None:
    kept = inventory(fleet.accounts["s1"])
    file(fleet, "s1").unlink()
    row = rows(fleet)["s1"]
    assert (row["status"], row["account"], row["region"]) == (
        "deployed, without a file",
        fleet.accounts["s1"].account_id,
        "eu-west-1",
    )
    advice = "pulumi destroy --stack s1 && pulumi stack rm s1"
    for shown in (fleet.run("preview").stdout, fleet.run("up", "--yes").stdout):
        assert "2 stacks: 1 stays the same, 1 without a stack file" in shown
        assert advice in " ".join(shown.split())
    assert inventory(fleet.accounts["s1"]) == kept

    fleet.pulumi("destroy", "--yes", "--skip-preview", "--stack", "s1")
    file(fleet, "s1").unlink()  # the engine writes one for its salt
    assert rows(fleet)["s1"]["status"] == "empty, without a file"
    fleet.pulumi("stack", "rm", "--yes", "s1")
    assert "s1" not in rows(fleet)


def test_a_renamed_file_deploys_nothing_a_second_time(fleet: Fleet) -> None:
    file(fleet, "s1").rename(file(fleet, "renamed"))
    (fleet.folder / "ports" / "renamed").write_text((fleet.folder / "ports" / "s1").read_text())
    before = inventory(fleet.accounts["s1"])
    assert rows(fleet)["renamed"]["status"] == "renamed from s1"
    run = fleet.run("up", "--yes", ok=False)
    assert "Rename the file back: mv Pulumi.renamed.yaml Pulumi.s1.yaml" in run.stdout
    assert "Nothing was changed: 1 of 2 previews failed." in run.stderr
    assert inventory(fleet.accounts["s1"]) == before
    assert not state(fleet, "renamed").exists()

    file(fleet, "renamed").rename(file(fleet, "s1"))
    assert "2 stacks: 2 stay the same" in fleet.run("preview").stdout


@pytest.mark.parametrize("changes", [{"aws:region": "us-east-1"}, {"aws:allowedAccountIds": ["999999999999"]}])
def test_a_stack_does_not_move(fleet: Fleet, changes: dict[str, Any]) -> None:
    before = inventory(fleet.accounts["s1"])
    fleet.configure("s1", **changes)
    run = fleet.run("up", "--yes", ok=False)
    where = f"The stack is deployed in {fleet.accounts['s1'].account_id} eu-west-1, and Pulumi.s1.yaml now names"
    assert where in " ".join(run.stdout.split())
    assert "Nothing was changed: 1 of 2 previews failed." in run.stderr
    assert inventory(fleet.accounts["s1"]) == before


def test_stacks_of_another_project_in_the_same_backend_are_not_ours(fleet: Fleet) -> None:
    other = state(fleet, "foreign").parents[1] / "other" / "foreign.json"
    other.parent.mkdir()
    other.write_text(state(fleet, "s0").read_text().replace("threat-monitor::", "other::"))
    assert sorted(rows(fleet)) == ["s0", "s1"]
    assert "2 stacks: 2 stay the same\n" in fleet.run("preview").stdout


# -- a state that cannot be read --------------------------------------------------------------------------------------


@pytest.mark.parametrize("left", ["half", "nothing"])
def test_a_state_that_a_full_disk_cut_stops_its_stack_and_no_other(fleet: Fleet, left: str) -> None:
    whole = state(fleet, "s0").read_text()
    state(fleet, "s0").write_text(whole[: len(whole) // 2] if left == "half" else "")
    assert rows(fleet)["s0"]["status"] == "its state cannot be read"
    assert rows(fleet)["s1"]["status"] == "deployed"
    for command in ("preview", "drift"):
        shown = fleet.run(command, ok=False).stdout
        assert "2 stacks: 1 stays the same, 1 failed" in shown
        assert f"Its state {state(fleet, 's0')} cannot be read" in shown
        assert f"cp {state(fleet, 's0')}.bak {state(fleet, 's0')}" in shown

    fleet.configure("s1", flowLogs={"retentionDays": 400})
    fleet.configure("new")
    events = [json.loads(line) for line in fleet.run("up", "--yes", "-o", "json", ok=False).stdout.splitlines()]
    ended = {event["stack"]: (event["state"], event["error"]) for event in events if event["event"] == "ended"}
    assert ended["s1"] == ended["new"] == ("updated", None)
    assert ended["s0"][0] == "failed"
    assert "cannot be read" in ended["s0"][1]
    assert inventory(fleet.accounts["new"])["flow logs"] == list(fleet.subnets["new"])

    before = inventory(fleet.accounts["s0"])
    state(fleet, "s0").write_text(state(fleet, "s0").with_name("s0.json.bak").read_text())
    fleet.run("up", "--yes")
    assert "3 stacks: 3 stay the same" in fleet.run("preview").stdout
    assert inventory(fleet.accounts["s0"]) == before


# -- what was previewed is what is deployed ---------------------------------------------------------------------------


@contextmanager
def confirming(fleet: Fleet) -> Generator[Popen[str]]:
    """A rollout that has previewed everything and waits for its confirmation."""
    # `--yes` is not given, and there is no terminal; so the confirmation is answered by a line of the standard input.
    asking = "import sys; sys.stdin.isatty = lambda: True; from threatmon.cli import main; main()"
    command = [sys.executable, "-u", "-c", asking, "fleet", "up"]
    with Popen(
        command, cwd=fleet.folder, env=fleet.environment, stdin=PIPE, stdout=PIPE, stderr=PIPE, text=True
    ) as running:
        assert running.stderr
        read = ""
        while "Update " not in read:
            character = running.stderr.read(1)
            assert character, read
            read += character
        yield running


def retention(fleet: Fleet, stack: str) -> list[int]:
    groups = (
        fleet.accounts[stack].client("logs").describe_log_groups(logGroupNamePrefix="/threat-monitor/")["logGroups"]
    )
    return [group["retentionInDays"] for group in groups]


def test_a_file_that_is_edited_after_the_preview_is_not_deployed_unseen(fleet: Fleet) -> None:
    fleet.configure("s0", flowLogs={"retentionDays": 400})
    with confirming(fleet) as running:
        fleet.configure("s0", flowLogs={"retentionDays": 1})
        output, _ = running.communicate("y\n")
    assert running.returncode == 1
    assert "Pulumi.s0.yaml or Pulumi.yaml was edited after the preview. Nothing was changed" in output
    assert retention(fleet, "s0") == [365]
    assert "--allow retention-shortened" in fleet.run("up", "--yes", ok=False).stderr


@pytest.mark.parametrize(("days", "becomes"), [(180, 365), (400, 400)])
def test_a_stack_that_somebody_else_updates_after_the_preview_is_previewed_and_judged_again(
    fleet: Fleet, days: int, becomes: int
) -> None:
    fleet.configure("s0", flowLogs={"retentionDays": days})
    theirs = file(fleet, "s0").read_text()
    fleet.configure("s0", findingTypes=["Recon:EC2/Portscan", "UnauthorizedAccess:EC2/SSHBruteForce"])
    ours = file(fleet, "s0").read_text()
    with confirming(fleet) as running:
        file(fleet, "s0").write_text(theirs)
        fleet.pulumi("up", "--yes", "--skip-preview", "--stack", "s0")
        file(fleet, "s0").write_text(ours)
        output, _ = running.communicate("y\n")
    assert running.returncode == (0 if days < becomes else 1)  # to shorten what they have set would be a danger
    assert ("Somebody else updated the stack after the preview. Nothing was changed" in output) == (days == becomes)
    assert retention(fleet, "s0") == [becomes]


def test_what_the_engine_keeps_as_secret_or_only_reads_is_no_other_state(fleet: Fleet) -> None:
    detector = fleet.accounts["new"].client("guardduty").create_detector(Enable=True)["DetectorId"]
    fleet.pulumi("stack", "init", "new")
    subscribers = [{"protocol": "https", "endpoint": "", "format": "raw"}]
    for days in (365, 400):
        fleet.configure(
            "new",
            detector={"mode": "lookup", "id": detector},
            alerts={"subscribers": subscribers},
            flowLogs={"retentionDays": days},
        )
        key = "threat-monitor:alerts.subscribers[0].endpoint"
        fleet.pulumi("config", "set", "--stack", "new", "--secret", "--path", key, "https://example.com/hook/t0k3n")
        assert "1 updated, 2 unchanged." in fleet.run("up", "--yes").stdout
    assert retention(fleet, "new") == [400]


def test_a_program_that_is_edited_after_the_preview_waits_for_the_next_run(fleet: Fleet) -> None:
    fleet.configure("s0", flowLogs={"retentionDays": 400})
    program = fleet.folder / "components" / "flow_logs.py"
    text = program.read_text()
    with confirming(fleet) as running:
        program.write_text(text.replace("retention_in_days=", "retention_in_days=7 or "))
        assert program.read_text() != text
        running.communicate("y\n")
    assert running.returncode == 0
    assert retention(fleet, "s0") == [400]
