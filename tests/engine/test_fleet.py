"""A rollout over many stacks on the real engine: waves, what stops them, and how the next run goes on."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from engine.checkout import FLOW_LOG, inventory, when_made
from engine.fleets import Fleet, new_fleet

from threatmon.emulator.account import EmulatedAccount

RULE = "aws:cloudwatch/eventRule:EventRule"


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """Four stacks that do not exist yet: a canary, and waves of two and one."""
    with new_fleet(tmp_path, [f"s{number}" for number in range(4)]) as fleet:
        yield fleet


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Twenty deployed stacks that the tests of this module share, and an account for a new one."""
    names = [*(f"s{number:02}" for number in range(20)), "new"]
    with new_fleet(tmp_path_factory.mktemp("fleet"), names) as fleet:
        (fleet.folder / "Pulumi.new.yaml").unlink()
        fleet.run("up", "--yes")
        yield fleet


@pytest.fixture
def unchanged(deployed: Fleet) -> Iterator[Fleet]:
    """The deployed stacks; what a test writes into their files is undone."""
    files = {file: file.read_text() for file in deployed.folder.glob("Pulumi.*.yaml")}
    yield deployed
    for file in set(deployed.folder.glob("Pulumi.*.yaml")) - files.keys():
        file.unlink()
    for file, text in files.items():
        file.write_text(text)


def up(fleet: Fleet, *arguments: str, ok: bool) -> list[dict[str, Any]]:
    """The events of a rollout, in their order."""
    return [json.loads(line) for line in fleet.run("up", "--yes", "-o", "json", *arguments, ok=ok).stdout.splitlines()]


def states(events: list[dict[str, Any]]) -> dict[str, str]:
    """What became of each stack that was to be updated."""
    return {event["stack"]: event["state"] for event in events if event["event"] == "ended"}


def flow_log_group(account: EmulatedAccount) -> dict[str, Any]:
    """The log group of the flow logs."""
    [group] = account.client("logs").describe_log_groups(logGroupNamePrefix="/threat-monitor/")["logGroups"]
    return group


def complete(fleet: Fleet) -> bool:
    """Whether every account has all it should have, and once."""
    found = {stack: inventory(fleet.accounts[stack]) for stack in fleet.stacks}
    return all(
        made.get("flow logs") == list(fleet.subnets[stack])
        and len(made["detectors"]) == len(made["state machines"]) == 1
        for stack, made in found.items()
    )


# -- all goes well ----------------------------------------------------------------------------------------------------


def test_twenty_stacks_are_deployed_and_then_there_is_nothing_left_to_do(deployed: Fleet) -> None:
    assert deployed.deployed() == deployed.stacks
    assert complete(deployed)
    assert deployed.locks() == []
    events = up(deployed, ok=True)
    assert [event for event in events if event["event"] in ("started", "ended")] == []
    assert events[-1] | {"time": ""} == {
        "time": "",
        "event": "finished",
        "updated": 0,
        "unchanged": 20,
        "failed": 0,
        "not_started": 0,
    }


def test_comments_in_stack_files_outlive_the_creation_of_the_stacks(fleet: Fleet) -> None:
    file = fleet.folder / "Pulumi.s0.yaml"
    file.write_text(f"# why this account\n{file.read_text()}")
    up(fleet, "--stacks", "s0", ok=True)
    assert file.read_text().startswith("# why this account\n")
    assert "encryptionsalt" in file.read_text()


def test_a_secret_of_a_stack_file_stays_secret(fleet: Fleet) -> None:
    endpoint = "https://example.com/hook/t0k3n"
    fleet.pulumi("stack", "init", "s0")
    fleet.configure("s0", alerts={"subscribers": [{"protocol": "https", "endpoint": "", "format": "raw"}]})
    key = "threat-monitor:alerts.subscribers[0].endpoint"
    fleet.pulumi("config", "set", "--stack", "s0", "--secret", "--path", key, endpoint)
    assert "t0k3n" not in (fleet.folder / "Pulumi.s0.yaml").read_text()

    run = fleet.run("up", "--yes", "--stacks", "s0")
    assert endpoint in inventory(fleet.accounts["s0"])["subscriptions"]
    state = (fleet.folder / "state" / ".pulumi" / "stacks" / "threat-monitor" / "s0.json").read_text()
    assert "t0k3n" not in run.stdout + run.stderr + state


def test_what_all_stacks_share_is_written_once(fleet: Fleet) -> None:
    project = fleet.folder / "Pulumi.yaml"
    shared = {"threat-monitor:alertEmails": ["soc@example.com"], "threat-monitor:findingTypes": ["Recon:EC2/*"]}
    read = yaml.safe_load(project.read_text())
    project.write_text(yaml.safe_dump({**read, "config": read["config"] | shared}))
    for stack in fleet.stacks:
        fleet.configure(stack, alertEmails=None, findingTypes=None)
    assert fleet.run("list").stdout.count("soc@example.com") == len(fleet.stacks)
    [first, *_] = json.loads(fleet.run("preview", "-o", "json", "--stacks", "s0").stdout)["stacks"]
    made = {(change["type"], change["name"]): change["new"] for change in first["changes"]}
    subscription = made["aws:sns/topicSubscription:TopicSubscription", "threat-monitor-alerts-soc@example.com"]
    assert subscription["endpoint"] == "soc@example.com"
    pattern = json.loads(made[RULE, "threat-monitor-alerts-findings"]["eventPattern"])
    assert pattern["detail"]["type"] == [{"prefix": "Recon:EC2/"}]


# -- what stops a rollout ---------------------------------------------------------------------------------------------


def test_a_failing_canary_stops_everything_and_the_next_run_completes(fleet: Fleet) -> None:
    fleet.providers["s0"].fail_next(FLOW_LOG, "RequestLimitExceeded: try again")
    events = up(fleet, ok=False)
    assert states(events) == {"s0": "failed"} | {f"s{number}": "not started" for number in range(1, 4)}
    [error] = [event["error"] for event in events if event["event"] == "ended" and event["error"]]
    assert "RequestLimitExceeded: try again" in error
    assert [stack for stack, account in fleet.accounts.items() if inventory(account)] == ["s0"]

    assert set(states(up(fleet, ok=True)).values()) == {"updated"}
    assert complete(fleet)


def test_the_wrong_account_is_refused_before_any_change(fleet: Fleet) -> None:
    fleet.configure("s3", **{"aws:allowedAccountIds": ["999999999999"]})
    events = up(fleet, ok=False)
    assert [event["reason"] for event in events if event["event"] == "stopped"] == [
        "Nothing was changed: 1 of 4 previews failed."
    ]
    [error] = [event["error"] for event in events if event["event"] == "previewed" and event["error"]]
    assert fleet.accounts["s3"].account_id in error
    assert states(events) == {}
    assert [inventory(account) for account in fleet.accounts.values()] == [{}] * 4


def test_a_dangerous_change_stops_the_rollout_before_it_begins_unless_it_is_allowed(unchanged: Fleet) -> None:
    for stack in ("s03", "s07"):
        unchanged.configure(stack, flowLogs={"retentionDays": 30})
    run = unchanged.run("up", "--yes", ok=False)
    assert "Nothing was changed: dangerous changes. To let them through: --allow retention-shortened" in run.stderr
    accounts = [unchanged.accounts[stack] for stack in unchanged.stacks]
    assert {flow_log_group(account)["retentionInDays"] for account in accounts} == {365}

    events = up(unchanged, "--stacks", "s03", "--allow", "retention-shortened", ok=True)
    assert states(events) == {"s03": "updated"}
    assert flow_log_group(unchanged.accounts["s03"])["retentionInDays"] == 30
    unchanged.configure("s03")
    up(unchanged, "--stacks", "s03", ok=True)


# -- interruptions ----------------------------------------------------------------------------------------------------


def engines_of(pid: int) -> list[int]:
    """The engine's processes that a rollout has under way."""
    shown = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True)  # noqa: S607
    return [int(child) for child, parent in map(str.split, shown.stdout.splitlines()) if int(parent) == pid]


def rollout(fleet: Fleet) -> subprocess.Popen[str]:
    return subprocess.Popen(
        fleet.command("up", "--yes", "--parallel", "2"),
        cwd=fleet.folder,
        env=fleet.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_a_killed_rollout_with_all_its_engines_is_completed_by_the_next_one(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    with rollout(fleet) as running:

        def kill() -> None:
            engines = engines_of(running.pid)
            running.kill()
            for engine in engines:
                os.kill(engine, signal.SIGKILL)

        when_made(monkeypatch, fleet.subnets["s2"][1], kill)
        running.wait()
    monkeypatch.undo()
    assert fleet.locks() != []
    made = {log["ResourceId"] for log in fleet.accounts["s2"].client("ec2").describe_flow_logs()["FlowLogs"]}
    assert fleet.subnets["s2"][1] in made

    events = up(fleet, "--role", "deployer", ok=True)
    assert set(states(events).values()) <= {"updated", "unchanged"}  # the other one may have been complete, but locked
    assert states(events)["s2"] == "updated"
    [notes] = [event["notes"] for event in events if event["event"] == "ended" and event["stack"] == "s2"]
    assert any(note.startswith("cleared the lock of a run that had ended: ") for note in notes)
    assert any("interrupted while creating FlowLog" in note and "took over fl-" in note for note in notes)
    assert complete(fleet)
    assert fleet.locks() == []
    assert states(up(fleet, ok=True)) == {}


def test_a_killed_rollout_leaves_its_engines_time_to_save_and_the_next_one_goes_on(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    with rollout(fleet) as running:
        when_made(monkeypatch, fleet.subnets["s1"][0], running.kill)
        running.wait()
    monkeypatch.undo()
    events = up(fleet, ok=True)
    assert set(states(events).values()) == {"updated"}
    assert complete(fleet)
    assert fleet.locks() == []


def test_ctrl_c_finishes_what_is_under_way_and_starts_nothing_more(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    with rollout(fleet) as running:
        when_made(monkeypatch, fleet.subnets["s1"][0], lambda: running.send_signal(signal.SIGINT))
        output, _ = running.communicate()
    monkeypatch.undo()
    assert running.returncode == 1
    assert "Stopping after the stacks in progress." in output
    assert "not started" in output
    assert "Run the same command again to continue." in output
    assert "Traceback" not in output
    assert inventory(fleet.accounts["s1"])["flow logs"] == list(fleet.subnets["s1"])
    assert inventory(fleet.accounts["s3"]) == {}
    assert fleet.locks() == []

    assert set(states(up(fleet, ok=True)).values()) == {"updated"}
    assert complete(fleet)


def test_a_second_ctrl_c_interrupts_the_engines_and_leaves_no_lock(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    with rollout(fleet) as running:

        def interrupt() -> None:
            for engine in engines_of(running.pid):
                os.kill(engine, signal.SIGINT)
            running.send_signal(signal.SIGINT)

        when_made(monkeypatch, fleet.subnets["s0"][0], interrupt)
        output, _ = running.communicate()
    monkeypatch.undo()
    assert running.returncode == 1
    assert "Traceback" not in output
    assert fleet.locks() == []
    assert set(states(up(fleet, ok=True)).values()) == {"updated"}
    assert complete(fleet)


def test_attributes_that_a_killed_engine_left_empty_hinder_nothing(fleet: Fleet) -> None:
    up(fleet, "--stacks", "s0", ok=True)
    [attributes] = (fleet.folder / "state").rglob("s0.json.attrs")
    attributes.write_text("")
    assert states(up(fleet, "--stacks", "s0", ok=True)) == {}


# -- the comment on a pull request ------------------------------------------------------------------------------------


def comment(fleet: Fleet, *arguments: str, ok: bool = True) -> str:
    shown = fleet.run("preview", "-o", "markdown", *arguments, ok=ok).stdout
    assert shown.startswith("<!-- threatmon fleet preview -->\n")
    return shown


def test_the_comment_shows_a_change_of_finding_types_once_for_all_stacks(unchanged: Fleet) -> None:
    added = "UnauthorizedAccess:EC2/SSHBruteForce"
    for stack in unchanged.stacks[1:]:
        unchanged.configure(stack, findingTypes=["Recon:EC2/Portscan", added])
    shown = comment(unchanged)
    assert "## 20 stacks: 19 would change, 1 stays the same\n" in shown
    assert "### The same change in 19 stacks" in shown
    assert shown.count(f'+     eventPattern.detail.type: "{added}"') == 1
    assert "Dangerous" not in shown


def test_the_comment_names_a_replaced_flow_log_as_dangerous(unchanged: Fleet) -> None:
    unchanged.configure("s11", flowLogs={"aggregationSeconds": 600})
    shown = comment(unchanged, "--stacks", "s1*")
    assert "## 10 stacks: 1 would change, 9 stay the same; 2 dangerous changes\n" in shown
    assert "maxAggregationInterval: 60 -> 600 (replaces it)" in shown
    assert "Allowed by --allow flow-log-replaced." in shown


def test_the_comment_on_a_new_stack_counts_what_it_creates_and_leaves_no_trace(unchanged: Fleet) -> None:
    unchanged.configure("new")
    file = unchanged.folder / "Pulumi.new.yaml"
    written = file.read_text()
    before = sorted((unchanged.folder / "state").rglob("*"))
    shown = comment(unchanged, "--stacks", "new,s01")
    assert "## 2 stacks: 1 would be created, 1 stays the same\n" in shown
    assert "### Creates 1 new stack, with 35 resources" in shown
    assert "+ 2 aws:ec2:FlowLog" in shown
    assert sorted((unchanged.folder / "state").rglob("*")) == before
    assert file.read_text() == written


def test_a_stack_that_cannot_be_previewed_is_in_the_comment_with_its_error(unchanged: Fleet) -> None:
    unchanged.configure("s05", **{"aws:allowedAccountIds": ["999999999999"]})
    shown = comment(unchanged, "--stacks", "s04,s05", ok=False)
    assert "## 2 stacks: 1 stays the same, 1 failed\n" in shown
    assert unchanged.accounts["s05"].account_id in shown
    assert "Traceback" not in shown


# -- drift ------------------------------------------------------------------------------------------------------------


def test_what_somebody_changed_by_hand_is_drift_until_it_is_put_back(unchanged: Fleet) -> None:
    logs = unchanged.accounts["s02"].client("logs")
    group = flow_log_group(unchanged.accounts["s02"])["logGroupName"]
    logs.put_retention_policy(logGroupName=group, retentionInDays=1)
    run = unchanged.run("drift", ok=False)
    assert "20 stacks: 1 drifted, 19 stay the same" in run.stdout
    assert "retentionInDays: 365 -> 1" in run.stdout

    logs.put_retention_policy(logGroupName=group, retentionInDays=365)
    assert "20 stacks: 20 stay the same" in unchanged.run("drift").stdout
