"""A folder with the project and any number of its stacks, beside the stand-in provider, for the bench of fleets."""

import os
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from engine.checkout import copy_project, write_config

from threatmon.project import ROOT

_STATES = Path("state", ".pulumi", "stacks", "threat-monitor")


@dataclass(frozen=True)
class Stacks:
    """The project in a folder, the environment of its commands, and the stand-in that they share."""

    folder: Path
    environment: Mapping[str, str]
    provider: "subprocess.Popen[str]"

    def provider_cpu(self) -> float:
        """Return the CPU seconds that the stand-in has taken so far."""
        assert self.provider.stdin  # noqa: S101 - it was opened as a pipe
        self.provider.stdin.write("\n")
        self.provider.stdin.flush()
        return float(_line(self.provider))

    def make(self, count: int) -> list[str]:
        """Make so many stacks, each of an account and subnet of its own; return their names.

        The engine has made the first. The others are copies of its file and its state, under other names and ids.
        """
        first = _words(0)
        # https://www.pulumi.com/docs/iac/concepts/state-and-backends/#local-filesystem
        for kept in (self.folder / f"Pulumi.{first[0]}.yaml", self.folder / _STATES / f"{first[0]}.json"):
            for copy in set(kept.parent.glob(kept.name.replace(first[0], "bench-*"))) - {kept}:
                copy.unlink()
            for number in range(1, count):
                text, path = kept.read_text(), str(kept)
                for old, new in zip(first, _words(number), strict=True):
                    text, path = text.replace(old, new), path.replace(old, new)
                Path(path).write_text(text)
        return [_words(number)[0] for number in range(count)]

    def deploy_first(self) -> None:
        """Deploy the first stack, so that the copies made of it are deployed too."""
        self.pulumi("up", "--stack", _words(0)[0], "--yes", "--skip-preview")

    def pulumi(self, *arguments: str) -> None:
        """Run the engine. Ends the bench, with the engine's own message, if it fails."""
        command = ["pulumi", *arguments, "--non-interactive"]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            sys.exit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")


@contextmanager
def new_stacks(folder: Path) -> Generator[Stacks]:
    """Make the project in an empty folder, and a stand-in that answers while the context is open."""
    environment = copy_project(folder)
    stack, account_id, subnet = _words(0)
    command = [sys.executable, str(ROOT / "bench" / "fleet_provider.py"), subnet]
    paths = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "tests")))}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=paths, stdin=pipe, stdout=pipe, text=True) as provider:
        # Every engine attaches to this one, and starts no plugin:
        # https://www.pulumi.com/docs/iac/guides/building-extending/providers/debug-providers/
        environment["PULUMI_DEBUG_PROVIDERS"] = f"aws:{_line(provider)}"
        write_config(folder, stack, account_id, [subnet], {"aws:defaultTags": None})
        stacks = Stacks(folder, environment, provider)
        stacks.pulumi("stack", "init", stack, "--no-select")
        yield stacks


def _words(number: int) -> tuple[str, str, str]:
    """Return a stack's name, account and subnet. None is part of another, so that they can be replaced in texts."""
    return f"bench-{number:04}", f"22223333{number:04}", f"subnet-{number:017x}"


def _line(provider: "subprocess.Popen[str]") -> str:
    assert provider.stdout  # noqa: S101 - it was opened as a pipe
    return provider.stdout.readline().strip() or sys.exit("The stand-in provider ended.")
