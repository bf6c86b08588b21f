"""One stack of the program on the real engine, with an emulated account as its provider."""

import json
import subprocess
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

from engine.checkout import copy_project, new_account, write_config
from engine.provider import EmulatedProvider, serving
from examples import OTHER_SUBNET, SUBNET, VPC

from threatmon.emulator.account import EmulatedAccount

SUBNETS = (SUBNET, OTHER_SUBNET)


class Run(NamedTuple):
    """How a command of the engine ended, and what it printed."""

    ok: bool
    output: str

    def succeeded(self) -> Self:
        """Return the run itself; fail the test with what the engine printed if it did not succeed."""
        assert self.ok, self.output
        return self


@dataclass(frozen=True)
class Stack:
    """A stack of the program in a folder of its own, and the account it deploys to."""

    folder: Path
    environment: Mapping[str, str]
    account: EmulatedAccount
    provider: EmulatedProvider

    def configure(self, **changes: Any) -> None:
        """Write the stack file; see :func:`write_config`."""
        write_config(self.folder, "dev", self.account.account_id, SUBNETS, changes)

    def run(self, *arguments: str) -> Run:
        """Run `pulumi` with these arguments."""
        done = subprocess.run(
            ["pulumi", *arguments, "--non-interactive"],  # noqa: S607 - wherever the engine is installed
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return Run(done.returncode == 0, done.stdout + done.stderr)

    def preview(self, *arguments: str) -> dict[str, str]:
        """Return what an update would change: `type name` of each custom resource -> operation."""
        run = self.run("preview", "--json", *arguments).succeeded()
        steps = json.loads(run.output[run.output.index("{") :])["steps"]
        return {
            _name(step["urn"]): step["op"]
            for step in steps
            if step["op"] not in ("same", "read") and _is_ours(step.get("newState") or step["oldState"])
        }

    def up(self, *arguments: str) -> Run:
        """Deploy."""
        return self.run("up", "--yes", "--skip-preview", *arguments)

    def drift(self) -> Run:
        """Compare the account with the stack; ends in an error if they differ."""
        return self.run("refresh", "--preview-only", "--expect-no-changes")

    def destroy(self) -> Run:
        """Take down."""
        return self.run("destroy", "--yes", "--skip-preview")

    def resources(self) -> dict[str, dict[str, Any]]:
        """Return the custom resources in the stack's state, by `type name`."""
        state = json.loads(self.run("stack", "export").output)
        resources = state["deployment"].get("resources", [])
        return {_name(resource["urn"]): resource for resource in resources if _is_ours(resource)}


def _name(urn: str) -> str:
    """Return `FlowLog logs-1` of urn:pulumi:dev::project::parent$aws:ec2/flowLog:FlowLog::threat-monitor-logs-1."""
    _, _, type_, name = urn.split("::", 3)
    return f"{type_.rpartition(':')[2]} {name.removeprefix('threat-monitor-')}"


def _is_ours(state: Mapping[str, Any]) -> bool:
    return state["custom"] and not state["type"].startswith("pulumi:")


@contextmanager
def new_stack(folder: Path, own_account: EmulatedAccount | None = None) -> Generator[Stack]:
    """Make a stack that is configured but not deployed, in an account of its own that has its subnets and VPC."""
    environment = copy_project(folder)
    with own_account or new_account() as account, serving(EmulatedProvider(account)) as (provider, port):
        for subnet in SUBNETS:
            account.seed_subnet(subnet)
        account.seed_vpc(VPC)
        environment["PULUMI_DEBUG_PROVIDERS"] = f"aws:{port}"
        # Without attributes, which a killed engine may leave half written.
        environment["PULUMI_BACKEND_URL"] += "?metadata=skip"
        stack = Stack(folder, environment, account, provider)
        stack.run("stack", "init", "dev").succeeded()
        stack.configure()
        yield stack
