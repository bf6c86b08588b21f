"""A folder with the project and any number of its stacks, beside the stand-in provider, for the bench of fleets."""

import os
import shutil
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
_PROGRAM = ("Pulumi.yaml", "__main__.py", "components", "threatmon")
_STATES = Path("state", ".pulumi", "stacks", "threat-monitor")


@dataclass(frozen=True)
class Stacks:
    """The project in a folder, the environment of its commands, and the stand-in that they share."""

    folder: Path
    environment: Mapping[str, str]
    provider: "subprocess.Popen[str]"

    def provider_cpu(self) -> float:
        """CPU seconds that the stand-in has taken so far."""
        return float(_asked(self.provider))

    def make(self, count: int) -> list[str]:
        """Let there be so many stacks, each of an account and subnet of its own; their names.

        The engine has made the first. The others are copies of its file and its state, under other names and ids.
        """
        first = _words(0)
        for kept, copies in ((self._file(first[0]), "Pulumi.*.yaml"), (self._state(first[0]), "*.json")):
            for copy in set(kept.parent.glob(copies)) - {kept}:
                copy.unlink()
            for number in range(1, count):
                text, path = kept.read_text(), str(kept)
                for old, new in zip(first, _words(number), strict=True):
                    text, path = text.replace(old, new), path.replace(old, new)
                Path(path).write_text(text)
        return [_words(number)[0] for number in range(count)]

    def deploy_first(self) -> None:
        """Deploy the first stack, so that the copies made of it are deployed too."""
        self._pulumi("up", "--stack", _words(0)[0], "--yes", "--skip-preview")

    def init_first(self) -> None:
        """Make the first stack, with nothing in it."""
        first = _words(0)
        self._file(first[0]).write_text(yaml.safe_dump({"config": _config(*first)}))
        self._pulumi("stack", "init", first[0], "--no-select")

    def _file(self, stack: str) -> Path:
        return self.folder / f"Pulumi.{stack}.yaml"

    def _state(self, stack: str) -> Path:
        # https://www.pulumi.com/docs/iac/concepts/state-and-backends/#local-filesystem
        return self.folder / _STATES / f"{stack}.json"

    def _pulumi(self, *arguments: str) -> None:
        command = ["pulumi", *arguments, "--non-interactive"]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            sys.exit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")


@contextmanager
def new_stacks(folder: Path) -> Generator[Stacks]:
    """The project in an empty folder, and a stand-in that answers while the context is open."""
    (folder / "state").mkdir()
    for name in _PROGRAM:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    project = yaml.safe_load((folder / "Pulumi.yaml").read_text())
    # No virtual environment: PULUMI_PYTHON_CMD.
    project["runtime"] = {"name": "python", "options": {"toolchain": "pip"}}
    (folder / "Pulumi.yaml").write_text(yaml.safe_dump(project))

    command = [sys.executable, str(ROOT / "bench" / "fleet_provider.py"), _words(0)[-1]]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True) as provider:
        port = _line(provider)
        kept = {name: it for name, it in os.environ.items() if not name.startswith(("PULUMI_", "AWS_"))}
        stacks = Stacks(
            folder,
            {
                **kept,
                "NO_COLOR": "1",
                "PULUMI_BACKEND_URL": (folder / "state").as_uri(),
                "PULUMI_CONFIG_PASSPHRASE": "bench",
                # Every engine attaches to this one, and starts no plugin:
                # https://www.pulumi.com/docs/iac/guides/building-extending/providers/debug-providers/
                "PULUMI_DEBUG_PROVIDERS": f"aws:{port}",
                "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
                "PULUMI_HOME": str(folder / "home"),
                "PULUMI_PYTHON_CMD": sys.executable,
                "PULUMI_SKIP_UPDATE_CHECK": "true",
            },
            provider,
        )
        stacks.init_first()
        yield stacks


def _words(number: int) -> tuple[str, ...]:
    """What is a stack's own: its name, account and subnet. None is part of another, so that texts can be copied."""
    return f"bench-{number:04}", f"22223333{number:04}", f"subnet-{number:017x}"


def _config(_: str, account: str, subnet: str) -> Mapping[str, Any]:
    return {
        "aws:region": "eu-west-1",
        "aws:allowedAccountIds": [account],
        "threat-monitor:subnetIds": [subnet],
        "threat-monitor:alertEmails": ["security@example.com"],
        "threat-monitor:findingTypes": ["Recon:EC2/Portscan"],
        "threat-monitor:minimumSeverity": "high",
    }


def _asked(provider: "subprocess.Popen[str]") -> str:
    assert provider.stdin  # noqa: S101 - it was opened as a pipe
    provider.stdin.write("\n")
    provider.stdin.flush()
    return _line(provider)


def _line(provider: "subprocess.Popen[str]") -> str:
    assert provider.stdout  # noqa: S101 - it was opened as a pipe
    return provider.stdout.readline().strip() or sys.exit("The stand-in provider ended.")
