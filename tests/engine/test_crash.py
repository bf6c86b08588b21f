"""Engines that are killed while they make a resource: the next rollout ends with one of each, in every account."""

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from engine.checkout import inventory
from engine.fleets import Fleet, new_fleet
from engine.provider import Moment

# Alarms and a raw subscriber; moto has no chat channels for other processes.
CONFIG: Mapping[str, Any] = {
    "health": {"enabled": True},
    "alerts": {"subscribers": [{"protocol": "email-json", "endpoint": "raw@example.com", "format": "raw"}]},
}
STACKS = 6  # at a time; more only wait for the cores
RESOURCES = (
    *("encryption-key", "encryption-alias", "flow-logs-log-group", "flow-logs-role", "flow-logs-write"),
    *("flow-logs-subnet", "detection-detector", "detection-s3", "alerts-findings", "alerts-dead-letters"),
    *("alerts-dead-letters-policy", "alerts-topic", "alerts-topic-policy", "alerts-topic-raw"),
    *("alerts-topic-raw-policy", "alerts-security@example.com", "alerts-email-json"),
    *(
        "alerts-formatter-role",
        "alerts-formatter-policy",
        "alerts-formatter-log-group",
        "alerts-formatter-state-machine",
        "alerts-start-role",
    ),
    *("alerts-start-policy", "alerts-findings-raw", "investigation-port-scans", "investigation-dashboard"),
    *("health-key", "health-topic", "health-topic-policy", "health-security@example.com"),
    *("health-undelivered-findings", "health-no-flow-logs"),
)
MOMENTS = ("before", "made", "answered")
"""Before the account makes the resource; when it has, and the engine has not heard of it; when it has, and goes on"""
BATCHES = [RESOURCES[start : start + STACKS] for start in range(0, len(RESOURCES), STACKS)]


def engine_of(stack: str) -> int | None:
    """The process of the engine that updates a stack."""
    shown = subprocess.run(["ps", "-ww", "-A", "-o", "pid=,args="], capture_output=True, text=True, check=True)  # noqa: S607
    lines = [line.split(maxsplit=1) for line in shown.stdout.splitlines()]
    ours = (
        int(pid) for pid, args in lines if "pulumi" in args and " up " in args and f"--stack {stack} " in f"{args} "
    )
    return next(ours, None)


class Killer:
    """Kills the engine of one stack once, at one resource and moment."""

    def __init__(self, fleet: Fleet, stack: str, resource: str, moment: str) -> None:
        self.stack, self.resource, self.moment = stack, f"threat-monitor-{resource}", moment
        self.killed = self._is_made = False
        fleet.providers[stack].at = self.at

    def at(self, moment: Moment, name: str) -> None:
        """Kill the engine if this is the moment; an engine that asks for another resource has heard of the last."""
        if moment == "before" and self._is_made and self.moment == "answered":
            self.kill()
        if name.startswith(self.resource):
            self._is_made = moment == "made"
            if moment == self.moment:
                self.kill()

    def kill(self) -> None:
        """Kill the engine, if that has not been done."""
        engine = None if self.killed else engine_of(self.stack)
        if engine:
            os.kill(engine, signal.SIGKILL)
            self.killed = True


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """Stacks to be killed, and one that nothing happens to."""
    with new_fleet(tmp_path, ["calm", *(f"s{number}" for number in range(STACKS))]) as fleet:
        for stack in fleet.stacks:
            fleet.configure(stack, **CONFIG)
        yield fleet


def counted(fleet: Fleet, stack: str) -> dict[str, int]:
    """How many there are of each kind, rules' targets included."""
    account = fleet.accounts[stack]
    events = account.client("events")
    targets = [
        target["Id"]
        for rule in events.list_rules()["Rules"]
        for target in events.list_targets_by_rule(Rule=rule["Name"])["Targets"]
    ]
    return {kind: len(found) for kind, found in inventory(account).items()} | {"targets": len(targets)}


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("resources", BATCHES, ids=lambda batch: batch[0])
def test_after_a_kill_the_next_rollout_ends_with_one_of_each(
    resources: tuple[str, ...], moment: str, fleet: Fleet
) -> None:
    stacks = [f"s{number}" for number in range(len(resources))]
    killers = [Killer(fleet, stack, resource, moment) for stack, resource in zip(stacks, resources, strict=True)]
    together = [word for stack in ("calm", *stacks) for word in ("--canary", stack)]
    chosen = ["--stacks", ",".join(["calm", *stacks])]
    fleet.run("up", "--role", "deployer", "--yes", "--parallel", str(STACKS + 1), *together, *chosen, ok=False)
    # What is made last is followed by nothing.
    assert [killer.resource for killer in killers if not killer.killed and moment != "answered"] == []

    fleet.run("up", "--role", "deployer", "--yes", "--parallel", str(STACKS + 1), *together, *chosen)
    calm = counted(fleet, "calm")
    assert {stack: counted(fleet, stack) for stack in stacks} == dict.fromkeys(stacks, calm)
    assert fleet.locks() == []
