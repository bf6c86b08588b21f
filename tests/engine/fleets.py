"""Many stacks of the program on the real engine, each with an emulated account of its own, driven by `threatmon fleet`.

The engine starts a plugin for each stack; the one here is a script that names the port of the stack's provider.
"""

import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml
from engine.endpoint import serving_aws
from engine.provider import EmulatedProvider, serving
from engine.stacks import CONFIG, PROGRAM, REGION, ROOT, inventory

from threatmon.emulator.account import EmulatedAccount

_ACCOUNTS = itertools.count(222233334444)  # what several fleets make at a time must not meet
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
        """Write a stack's file: the usual config with these keys changed, those that are None left out."""
        config = {
            **CONFIG,
            "aws:allowedAccountIds": [self.accounts[stack].account_id],
            "threat-monitor:subnetIds": list(self.subnets[stack]),
            **{key if ":" in key else f"threat-monitor:{key}": it for key, it in changes.items()},
        }
        file = self.folder / f"Pulumi.{stack}.yaml"
        kept = yaml.safe_load(file.read_text()) if file.exists() else {}
        kept["config"] = {key: value for key, value in config.items() if value is not None}
        file.write_text(yaml.safe_dump(kept))

    def command(self, *arguments: str) -> list[str]:
        """The command line that runs `threatmon fleet` on these stacks, in :attr:`folder` and :attr:`environment`."""
        return [sys.executable, "-c", "from threatmon.cli import main; main()", "fleet", *arguments]

    def run(self, *arguments: str, ok: bool = True) -> subprocess.CompletedProcess[str]:
        """Run `threatmon fleet` with these arguments; fails the test where it does not end as ``ok`` says."""
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
        """The stacks that have flow logs in their accounts."""
        return [stack for stack, account in self.accounts.items() if "flow logs" in inventory(account)]

    def locks(self) -> list[Path]:
        """The lock files of the state backend."""
        return list((self.folder / "state" / ".pulumi" / "locks").rglob("*.json"))


@contextmanager
def new_fleet(folder: Path, stacks: Sequence[str]) -> Generator[Fleet]:
    """Stacks that are configured but do not exist yet, each in an account of its own that has its subnets."""
    (folder / "state").mkdir()
    ports = folder / "ports"
    ports.mkdir()
    for name in PROGRAM:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    plugin = folder / "home" / "plugins" / f"resource-aws-v{metadata.version('pulumi_aws')}" / "pulumi-resource-aws"
    plugin.parent.mkdir(parents=True)
    plugin.write_text(PLUGIN.format(ports=ports))
    plugin.chmod(0o755)
    accounts: dict[str, EmulatedAccount] = {}
    providers: dict[str, EmulatedProvider] = {}
    subnets: dict[str, list[str]] = {}
    with ExitStack() as open_:
        for number, stack in enumerate(stacks):
            account = accounts[stack] = open_.enter_context(EmulatedAccount(str(next(_ACCOUNTS)), REGION))
            subnets[stack] = [f"subnet-{number:016x}{subnet}" for subnet in (1, 2)]
            for subnet in subnets[stack]:
                account.seed_subnet(subnet)
            providers[stack] = EmulatedProvider(account)
            (ports / stack).write_text(f"{open_.enter_context(serving(providers[stack]))}\n")
        environment = {
            **{name: it for name, it in os.environ.items() if not name.startswith(("PULUMI_", "AWS_", "MOTO_"))},
            "AWS_ACCESS_KEY_ID": "emulated",
            "AWS_SECRET_ACCESS_KEY": "emulated",
            "AWS_ENDPOINT_URL": open_.enter_context(serving_aws()),
            "COLUMNS": "120",
            "NO_COLOR": "1",
            "PULUMI_BACKEND_URL": (folder / "state").as_uri(),
            "PULUMI_CONFIG_PASSPHRASE": "test",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "PULUMI_HOME": str(folder / "home"),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
        }
        fleet = Fleet(folder, environment, accounts, providers, subnets)
        for stack in stacks:
            fleet.configure(stack)
        yield fleet
