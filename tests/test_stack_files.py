"""Every stack file of the repository: safe to run in its account, and without faults."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from harness import OUTPUTS, AwsMocks

from threatmon.local.program import PROJECT_ROOT, run_project
from threatmon.settings import NAMESPACE, parse

FILES = sorted(PROJECT_ROOT.glob("Pulumi.*.yaml"))
every_file = pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)


def stack_of(file: Path) -> str:
    return file.name.removeprefix("Pulumi.").removesuffix(".yaml")


def readable(value: Any) -> Any:
    """The value with a placeholder for everything encrypted, which only the stack's own key can read."""
    if isinstance(value, dict):
        return (
            "https://example.com/secret" if value.keys() == {"secure"} else {k: readable(v) for k, v in value.items()}
        )
    return [readable(item) for item in value] if isinstance(value, list) else value


def config_of(file: Path) -> dict[str, Any]:
    """The config as the engine hands it over: the defaults of Pulumi.yaml, then the stack's own."""
    project = yaml.safe_load((PROJECT_ROOT / "Pulumi.yaml").read_text(encoding="utf-8"))
    defaults = {f"{NAMESPACE}:{key}": declared["default"] for key, declared in project["config"].items()}
    return {**defaults, **readable(yaml.safe_load(file.read_text(encoding="utf-8"))["config"])}


def partition_of(region: str) -> str:
    return {"us-gov": "aws-us-gov", "cn": "aws-cn"}.get(region.rsplit("-", 2)[0], "aws")


def test_there_is_an_example() -> None:
    assert "Pulumi.dev.yaml" in [file.name for file in FILES]


@every_file
def test_it_names_the_accounts_it_may_touch(file: Path) -> None:
    accounts = config_of(file).get("aws:allowedAccountIds")
    assert isinstance(accounts, list)
    assert accounts
    # Unquoted, YAML would read 012345670123 as a number.
    assert all(isinstance(account, str) and len(account) == 12 and account.isdigit() for account in accounts)


@every_file
def test_it_names_its_region(file: Path) -> None:
    region = config_of(file).get("aws:region")
    assert isinstance(region, str)
    assert region.count("-") >= 2


@every_file
def test_it_tags_what_it_makes_with_project_and_stack(file: Path) -> None:
    tags = config_of(file)["aws:defaultTags"]["tags"]
    assert tags["project"] == NAMESPACE
    assert tags["stack"] == stack_of(file)


@every_file
def test_it_has_no_fault_and_raises_no_warning(file: Path) -> None:
    prefix = f"{NAMESPACE}:"
    ours = {key.removeprefix(prefix): v for key, v in config_of(file).items() if key.startswith(prefix)}
    assert parse(ours, stack_of(file))[1] == []


@every_file
def test_the_program_runs_with_it_to_the_end(file: Path) -> None:
    config = config_of(file)
    region = config["aws:region"]
    mocks = AwsMocks(region, partition_of(region), config["aws:allowedAccountIds"][0])
    deployed = run_project(config, mocks, stack=stack_of(file))
    assert deployed.outputs.keys() == OUTPUTS
    assert deployed.outputs["logGroupName"] == f"/threat-monitor/{stack_of(file)}/flow-logs"
