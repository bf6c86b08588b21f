"""The program on the real Pulumi engine, with the emulated account as its provider.

https://www.pulumi.com/docs/iac/concepts/how-pulumi-works/
"""

import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import yaml
from engine.provider import EmulatedProvider, serving

from threatmon.emulator.account import EmulatedAccount

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ("Pulumi.yaml", "__main__.py", "components", "threatmon")
REGION = "eu-west-1"
_ACCOUNTS = itertools.count(111122223333)  # what several stacks make at a time must not meet
SUBNETS = ("subnet-0123456789abcdef0", "subnet-0fedcba9876543210")
VPC = "vpc-0123456789abcdef0"
CONFIG: Mapping[str, Any] = {
    "aws:region": REGION,
    "aws:defaultTags": {"tags": {"project": "threat-monitor", "stack": "dev"}},
    "threat-monitor:subnetIds": list(SUBNETS),
    "threat-monitor:alertEmails": ["security@example.com"],
    "threat-monitor:findingTypes": ["Recon:EC2/Portscan"],
    "threat-monitor:minimumSeverity": "high",
}


@dataclass(frozen=True)
class Run:
    """How a command of the engine ended, and what it printed."""

    ok: bool
    output: str

    def succeeded(self) -> Self:
        """The run itself; fails the test with what the engine printed, where it did not succeed."""
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
        """Write the stack file: the usual config with these keys changed, those that are None left out.

        Keys of the project go without its namespace.
        """
        allowed = {"aws:allowedAccountIds": [self.account.account_id]}
        config = {
            **CONFIG,
            **allowed,
            **{key if ":" in key else f"threat-monitor:{key}": it for key, it in changes.items()},
        }
        file = self.folder / "Pulumi.dev.yaml"
        kept = yaml.safe_load(file.read_text()) if file.exists() else {}
        kept["config"] = {key: value for key, value in config.items() if value is not None}
        file.write_text(yaml.safe_dump(kept))

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
        """What an update would do: `type name` of each custom resource -> operation, unless it stays the same."""
        run = self.run("preview", "--json", *arguments).succeeded()
        steps = json.loads(run.output[run.output.index("{") :])["steps"]
        return dict(_operation(step) for step in steps if step["op"] not in ("same", "read") and _is_custom(step))

    def up(self, *arguments: str) -> Run:
        """Deploy."""
        return self.run("up", "--yes", "--skip-preview", *arguments)

    def drift(self) -> Run:
        """Compare the account with the stack; ends in an error where they differ."""
        return self.run("refresh", "--preview-only", "--expect-no-changes")

    def destroy(self) -> Run:
        """Take down."""
        return self.run("destroy", "--yes", "--skip-preview")

    def resources(self) -> dict[str, dict[str, Any]]:
        """The custom resources in the stack's state, by `type name`."""
        state = json.loads(self.run("stack", "export").output)
        return {
            _name(resource["urn"]): resource
            for resource in state["deployment"].get("resources", [])
            if resource["custom"] and not resource["type"].startswith("pulumi:")
        }


def inventory(account: EmulatedAccount) -> dict[str, list[str]]:
    """What a stack has made in the account and not yet deleted: kind -> names or ids, kinds without any left out."""
    client = account.client
    keys = [client("kms").describe_key(KeyId=key["KeyId"])["KeyMetadata"] for key in client("kms").list_keys()["Keys"]]
    aliases = client("kms").list_aliases()["Aliases"]
    found = {
        "alarms": [it["AlarmName"] for it in client("cloudwatch").describe_alarms()["MetricAlarms"]],
        "aliases": [it["AliasName"] for it in aliases if not it["AliasName"].startswith("alias/aws/")],
        "dashboards": [it["DashboardName"] for it in client("cloudwatch").list_dashboards()["DashboardEntries"]],
        "detectors": client("guardduty").list_detectors()["DetectorIds"],
        "flow logs": [it["ResourceId"] for it in client("ec2").describe_flow_logs()["FlowLogs"]],
        "keys": [key["Arn"] for key in keys if key["KeyState"] != "PendingDeletion"],
        "log groups": [it["logGroupName"] for it in client("logs").describe_log_groups()["logGroups"]],
        "queries": [it["name"] for it in client("logs").describe_query_definitions()["queryDefinitions"]],
        "queues": client("sqs").list_queues().get("QueueUrls", []),
        "roles": [it["RoleName"] for it in client("iam").list_roles()["Roles"]],
        "rules": [it["Name"] for it in client("events").list_rules()["Rules"]],
        "subscriptions": [it["Endpoint"] for it in client("sns").list_subscriptions()["Subscriptions"]],
        "topics": [it["TopicArn"] for it in client("sns").list_topics()["Topics"]],
    }
    return {kind: sorted(names) for kind, names in found.items() if names}


def _name(urn: str) -> str:
    """`FlowLog threat-monitor-flow-logs-subnet-1` of urn:pulumi:dev::project::parent$aws:ec2/flowLog:FlowLog::..."""
    _, _, type_, name = urn.split("::", 3)
    return f"{type_.rpartition(':')[2]} {name.removeprefix('threat-monitor-')}"


def _operation(step: Mapping[str, Any]) -> tuple[str, str]:
    return _name(step["urn"]), step["op"]


def _is_custom(step: Mapping[str, Any]) -> bool:
    state = step.get("newState") or step["oldState"]
    return state["custom"] and not state["type"].startswith("pulumi:")


@contextmanager
def new_stack(folder: Path) -> Generator[Stack]:
    """A stack that is configured but not deployed, in an account of its own that has its subnets and VPC."""
    folder.joinpath("state").mkdir()
    for name in PROGRAM:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    project = yaml.safe_load((folder / "Pulumi.yaml").read_text())
    project["runtime"] = {
        "name": "python",
        "options": {"toolchain": "pip"},
    }  # no virtual environment: PULUMI_PYTHON_CMD
    (folder / "Pulumi.yaml").write_text(yaml.safe_dump(project))
    with EmulatedAccount(str(next(_ACCOUNTS)), REGION) as account:
        for subnet in SUBNETS:
            account.seed_subnet(subnet)
        account.seed_vpc(VPC)
        provider = EmulatedProvider(account)
        with serving(provider) as port:
            environment = {
                **{name: value for name, value in os.environ.items() if not name.startswith("PULUMI_")},
                "NO_COLOR": "1",
                # Without attributes, which a killed engine may leave half written.
                "PULUMI_BACKEND_URL": f"{(folder / 'state').as_uri()}?metadata=skip",
                "PULUMI_CONFIG_PASSPHRASE": "test",
                "PULUMI_DEBUG_PROVIDERS": f"aws:{port}",
                "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
                "PULUMI_HOME": str(folder / "home"),
                "PULUMI_PYTHON_CMD": sys.executable,
                "PULUMI_SKIP_UPDATE_CHECK": "true",
            }
            stack = Stack(folder, environment, account, provider)
            stack.run("stack", "init", "dev").succeeded()
            stack.configure()
            yield stack
