"""Many stacks of the program on the real engine, each with an emulated account of its own, driven by `threatmon fleet`.

The engine starts a plugin for each stack; the one here is a script that names the port of the stack's provider.
"""

import subprocess
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from engine.checkout import copy_project, inventory, new_account, write_config
from engine.endpoint import serving_aws
from engine.provider import EmulatedProvider, serving

from threatmon.emulator.account import EmulatedAccount

# Waits for its end, so that the engine does not take the provider for dead.
PLUGIN = """#!/bin/sh
stack=$(ps -ww -o args= -p $PPID | sed -n 's/.*--stack[ =]\\([^ ]*\\).*/\\1/p')
cat "{ports}/$stack"
exec cat
"""


@dataclass(frozen=True)
class Fleet:
    """Stacks of the program in one folder, none of them deployed at first."""

    folder: Path
    environment: Mapping[str, str]
    accounts: Mapping[str, EmulatedAccount]
    providers: Mapping[str, EmulatedProvider]
    subnets: Mapping[str, Sequence[str]]

    @property
    def stacks(self) -> list[str]:
        """The stacks that have a file."""
        return [stack for stack in self.accounts if (self.folder / f"Pulumi.{stack}.yaml").exists()]

    def configure(self, stack: str, **changes: Any) -> None:
        """Write a stack's file; see :func:`write_config`."""
        write_config(self.folder, stack, self.accounts[stack].account_id, self.subnets[stack], changes)

    def command(self, *arguments: str) -> list[str]:
        """Return the command line that runs `threatmon fleet`, in :attr:`folder` and :attr:`environment`."""
        return [sys.executable, "-c", "from threatmon.cli import main; main()", "fleet", *arguments]

    def run(self, *arguments: str, ok: bool = True) -> subprocess.CompletedProcess[str]:
        """Run `threatmon fleet` with these arguments; fail the test unless it ends as ``ok`` says."""
        done = self._run(self.command(*arguments))
        assert (done.returncode == 0) == ok, done.stdout + done.stderr
        return done

    def pulumi(self, *arguments: str) -> None:
        """Run the engine itself."""
        done = self._run(["pulumi", *arguments, "--non-interactive"])
        assert done.returncode == 0, done.stdout + done.stderr

    def _run(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )

    def deployed(self) -> list[str]:
        """Return the stacks that have flow logs in their accounts."""
        return [stack for stack, account in self.accounts.items() if "flow logs" in inventory(account)]

    def locks(self) -> list[Path]:
        """Return the lock files of the state backend."""
        return list((self.folder / "state" / ".pulumi" / "locks").rglob("*.json"))


@contextmanager
def new_fleet(folder: Path, stacks: Sequence[str]) -> Generator[Fleet]:
    """Make stacks that are configured but do not exist yet, each in an account of its own that has its subnets."""
    environment = copy_project(folder)
    ports = folder / "ports"
    ports.mkdir()
    plugin = folder / "home" / "plugins" / f"resource-aws-v{metadata.version('pulumi_aws')}" / "pulumi-resource-aws"
    plugin.parent.mkdir(parents=True)
    plugin.write_text(PLUGIN.format(ports=ports))
    plugin.chmod(0o755)
    subnets = {stack: [f"subnet-{number:016x}{subnet}" for subnet in (1, 2)] for number, stack in enumerate(stacks)}
    accounts: dict[str, EmulatedAccount] = {}
    providers: dict[str, EmulatedProvider] = {}
    with ExitStack() as contexts:
        for stack in stacks:
            account = accounts[stack] = contexts.enter_context(new_account())
            for subnet in subnets[stack]:
                account.seed_subnet(subnet)
            providers[stack], port = contexts.enter_context(serving(EmulatedProvider(account)))
            (ports / stack).write_text(f"{port}\n")
        environment |= {
            "AWS_ACCESS_KEY_ID": "emulated",
            "AWS_SECRET_ACCESS_KEY": "emulated",
            "AWS_ENDPOINT_URL": contexts.enter_context(serving_aws(accounts.values())),
        }
        fleet = Fleet(folder, environment, accounts, providers, subnets)
        for stack in stacks:
            fleet.configure(stack)
        yield fleet
