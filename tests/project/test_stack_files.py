"""Every stack file of the repository: safe to run in its account, and without faults."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from harness import OUTPUTS, AwsMocks

from threatmon.emulator.program import run_project
from threatmon.model.settings import NAMESPACE, parse
from threatmon.project import ROOT as PROJECT_ROOT
from threatmon.stacks.files import load

FILES = sorted(PROJECT_ROOT.glob("Pulumi.*.yaml"))
every_file = pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)


def stack_of(file: Path) -> str:
    return file.name.removeprefix("Pulumi.").removesuffix(".yaml")


def config_of(file: Path) -> Mapping[str, Any]:
    return load(PROJECT_ROOT, stack_of(file)).config


def partition_of(region: str) -> str:
    return {"us-gov": "aws-us-gov", "cn": "aws-cn"}.get(region.rsplit("-", 2)[0], "aws")


def test_there_is_an_example() -> None:
    assert "Pulumi.dev.yaml" in [file.name for file in FILES]


@every_file
def test_it_names_the_accounts_it_may_touch_its_region_and_its_tags(file: Path) -> None:
    config = config_of(file)
    accounts, tags = config["aws:allowedAccountIds"], config["aws:defaultTags"]["tags"]
    assert accounts
    # Unquoted, YAML would read 012345670123 as a number.
    assert all(isinstance(account, str) and len(account) == 12 and account.isdigit() for account in accounts)
    assert config["aws:region"].count("-") >= 2
    assert (tags["project"], tags["stack"]) == (NAMESPACE, stack_of(file))


@every_file
def test_it_has_no_fault_and_raises_no_warning(file: Path) -> None:
    assert parse(load(PROJECT_ROOT, stack_of(file)).own_config, stack_of(file))[1] == []


@every_file
def test_the_program_runs_with_it_to_the_end(file: Path) -> None:
    config = config_of(file)
    region = config["aws:region"]
    mocks = AwsMocks(region, partition_of(region), config["aws:allowedAccountIds"][0])
    deployed = run_project(config, mocks, stack=stack_of(file))
    assert deployed.outputs.keys() == OUTPUTS
    assert deployed.outputs["logGroupName"] == f"/threat-monitor/{stack_of(file)}/flow-logs"
