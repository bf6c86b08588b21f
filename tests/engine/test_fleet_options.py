"""Changes that a preview has no step for, on the real engine: of options, of the provider, of the stack's outputs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from engine.checkout import inventory
from engine.fleets import Fleet, new_fleet

ROLE = {"aws:assumeRoles": [{"roleArn": "arn:aws:iam::111122223333:role/deployer"}]}
KEPT: dict[str, Any] = {"flowLogs": {"keepOnDestroy": True}}


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """Two deployed stacks."""
    with new_fleet(tmp_path, ["s0", "s1"]) as fleet:
        fleet.run("up", "--yes")
        yield fleet


def test_evidence_that_a_stack_is_told_to_keep_stays_when_it_is_destroyed(fleet: Fleet) -> None:
    for stack in fleet.stacks:
        fleet.configure(stack, **KEPT)
    shown = fleet.run("preview").stdout
    assert "2 stacks: 2 would change\n" in shown
    assert "The same 2 changes in 2 stacks" in shown
    assert shown.count("retainOnDelete: false -> true") == 2  # of the key and the log group, for both stacks
    assert "2 updated" in fleet.run("up", "--yes").stdout
    assert "2 stacks: 2 stay the same\n" in fleet.run("preview").stdout

    before = inventory(fleet.accounts["s0"])
    fleet.pulumi("destroy", "--yes", "--skip-preview", "--stack", "s0")
    left = inventory(fleet.accounts["s0"])
    assert left["keys"] == before["keys"]
    assert "/threat-monitor/s0/flow-logs" in left["log groups"]
    assert "flow logs" not in left


def test_protection_is_not_taken_away_unasked(fleet: Fleet) -> None:
    fleet.configure("s0", protect=True, **KEPT)
    fleet.run("up", "--yes")
    fleet.configure("s0")
    run = fleet.run("up", "--yes", ok=False)
    assert "1 would change, 1 stays the same; 5 dangerous changes" in run.stdout
    assert "To let them through: --allow protection-removed" in run.stderr
    assert "5 dangerous changes" in fleet.run("preview").stdout  # nothing was changed

    fleet.run("up", "--yes", "--allow", "protection-removed")
    assert "2 stacks: 2 stay the same\n" in fleet.run("preview").stdout


def test_another_provider_is_applied(fleet: Fleet) -> None:
    fleet.configure("s1", **ROLE)
    shown = fleet.run("preview").stdout
    assert "2 stacks: 1 would change, 1 stays the same\n" in shown
    assert "update pulumi:providers:aws" in shown
    assert "assumeRoles:" in shown
    assert "1 updated, 1 unchanged." in fleet.run("up", "--yes").stdout
    assert "2 stacks: 2 stay the same\n" in fleet.run("preview").stdout


def test_outputs_alone_are_applied(fleet: Fleet) -> None:
    program = fleet.folder / "__main__.py"
    program.write_text(f"{program.read_text()}pulumi.export('contact', 'soc')\n")
    shown = fleet.run("preview").stdout
    assert "The same change in 2 stacks" in shown
    assert shown.count('+     contact: "soc"') == 1
    assert "2 updated." in fleet.run("up", "--yes").stdout
    assert "2 stacks: 2 stay the same\n" in fleet.run("preview").stdout
