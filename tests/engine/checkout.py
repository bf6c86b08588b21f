"""The project in a folder of its own, as the real engine runs it against emulated accounts."""

import dataclasses
import itertools
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from examples import EMAIL, REGION

from threatmon import project
from threatmon.emulator.account import EmulatedAccount
from threatmon.emulator.emulated import Emulated, Properties
from threatmon.emulator.resources import emulated

FLOW_LOG = "aws:ec2/flowLog:FlowLog"
_PROGRAM = ("Pulumi.yaml", "__main__.py", "components", "threatmon")
CONFIG: Mapping[str, Any] = {
    "aws:region": REGION,
    "aws:defaultTags": {"tags": {"project": "threat-monitor", "stack": "dev"}},
    "threat-monitor:alertEmails": [EMAIL],
    "threat-monitor:findingTypes": ["Recon:EC2/Portscan"],
    "threat-monitor:minimumSeverity": "high",
}
_account_ids = itertools.count(222233334444)  # accounts that are open at a time share nothing if their ids differ


def copy_project(folder: Path) -> dict[str, str]:
    """Copy the program into an empty folder that is also the state's; return the environment of its commands."""
    (folder / "state").mkdir()
    for name in _PROGRAM:
        copy = shutil.copytree if (project.ROOT / name).is_dir() else shutil.copy
        copy(project.ROOT / name, folder / name)
    content = yaml.safe_load((folder / "Pulumi.yaml").read_text())
    content["runtime"] = {
        "name": "python",
        "options": {"toolchain": "pip"},
    }  # no virtual environment: PULUMI_PYTHON_CMD
    (folder / "Pulumi.yaml").write_text(yaml.safe_dump(content))
    foreign = ("PULUMI_", "AWS_", "MOTO_")
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(foreign)},
        "COLUMNS": "120",
        "NO_COLOR": "1",
        "PULUMI_BACKEND_URL": (folder / "state").as_uri(),
        "PULUMI_CONFIG_PASSPHRASE": "test",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        "PULUMI_HOME": str(folder / "home"),
        "PULUMI_PYTHON_CMD": sys.executable,
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "XDG_STATE_HOME": str(folder / "records"),
    }


def new_account() -> EmulatedAccount:
    """Return an account that no other test has, to be opened."""
    return EmulatedAccount(str(next(_account_ids)), REGION)


def write_config(folder: Path, stack: str, account_id: str, subnets: Sequence[str], changes: Mapping[str, Any]) -> None:
    """Write a stack's file: the usual config with these keys changed, those that are None left out.

    Keys of the project go without its namespace. What the engine has written beside the config stays.
    """
    config = {
        **CONFIG,
        "aws:allowedAccountIds": [account_id],
        "threat-monitor:subnetIds": list(subnets),
        **{key if ":" in key else f"threat-monitor:{key}": value for key, value in changes.items()},
    }
    file = folder / f"Pulumi.{stack}.yaml"
    kept = yaml.safe_load(file.read_text()) if file.exists() else {}
    kept["config"] = {key: value for key, value in config.items() if value is not None}
    file.write_text(yaml.safe_dump(kept))


def when_made(monkeypatch: pytest.MonkeyPatch, subnet: str, action: Callable[[], object]) -> None:
    """Do something when the flow log of this subnet is made, and not yet reported to the engine."""

    def with_action(type_: str) -> Emulated:
        entry = emulated(type_)

        def make(account: EmulatedAccount, inputs: Properties) -> str:
            made = entry.make(account, inputs)
            if inputs.get("subnetId") == subnet:
                action()
            return made

        return dataclasses.replace(entry, make=make) if type_ == FLOW_LOG else entry

    monkeypatch.setattr("engine.provider.emulated", with_action)


def inventory(account: EmulatedAccount) -> dict[str, list[str]]:
    """Return what is in the account and not yet deleted: kind -> names or ids, kinds without any left out."""

    def listed(service: str, operation: str, entries: str, name: str) -> list[str]:
        return [entry[name] for entry in getattr(account.client(service), operation)().get(entries, [])]

    kms = account.client("kms")
    keys = [kms.describe_key(KeyId=key)["KeyMetadata"] for key in listed("kms", "list_keys", "Keys", "KeyId")]
    aliases = listed("kms", "list_aliases", "Aliases", "AliasName")
    found = {
        "alarms": listed("cloudwatch", "describe_alarms", "MetricAlarms", "AlarmName"),
        "aliases": [alias for alias in aliases if not alias.startswith("alias/aws/")],
        "dashboards": listed("cloudwatch", "list_dashboards", "DashboardEntries", "DashboardName"),
        "detectors": account.client("guardduty").list_detectors()["DetectorIds"],
        "flow logs": listed("ec2", "describe_flow_logs", "FlowLogs", "ResourceId"),
        "keys": [key["Arn"] for key in keys if key["KeyState"] != "PendingDeletion"],
        "log groups": listed("logs", "describe_log_groups", "logGroups", "logGroupName"),
        "queries": listed("logs", "describe_query_definitions", "queryDefinitions", "name"),
        "queues": account.client("sqs").list_queues().get("QueueUrls", []),
        "roles": listed("iam", "list_roles", "Roles", "RoleName"),
        "rules": listed("events", "list_rules", "Rules", "Name"),
        "slack channels": listed(
            "chatbot", "describe_slack_channel_configurations", "SlackChannelConfigurations", "ConfigurationName"
        ),
        "state machines": listed("stepfunctions", "list_state_machines", "stateMachines", "name"),
        "subscriptions": listed("sns", "list_subscriptions", "Subscriptions", "Endpoint"),
        "topics": listed("sns", "list_topics", "Topics", "TopicArn"),
    }
    return {kind: sorted(names) for kind, names in found.items() if names}
