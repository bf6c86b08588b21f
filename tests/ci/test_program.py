"""The program of ci/roles: the roles of CI in one account."""

import json
import runpy
from typing import Any

import pulumi
import pytest
import role_policies
import yaml
from examples import ACCOUNT
from harness import ROLE, ROLE_POLICY, AwsMocks
from role_policies import AwsAccount, github, gitlab, trust

from threatmon.emulator.program import ProgramRun, run_program
from threatmon.evaluation.policy_evaluator import statements
from threatmon.project import ROOT as PROJECT_ROOT

FOLDER = PROJECT_ROOT / "ci/roles"
PROVIDER = "aws:iam/openIdConnectProvider:OpenIdConnectProvider"
POLICY = "aws:iam/policy:Policy"
HERE = AwsAccount(ACCOUNT)
REPOSITORY = "octo-org@123456/octo-repo@456789"


def run(mocks: AwsMocks | None = None, /, **config: Any) -> ProgramRun:
    """The program, with these keys of its namespace."""
    given = {f"threat-monitor-ci:{key}": value for key, value in config.items()}
    return run_program(
        lambda: runpy.run_path(str(FOLDER / "__main__.py"), run_name="__main__"), given, mocks or AwsMocks()
    )


def trusted(found: ProgramRun) -> dict[str, Any]:
    return {resource.name: json.loads(resource.inputs["assumeRolePolicy"]) for resource in found.of_type(ROLE)}


def allowed(found: ProgramRun) -> dict[str, Any]:
    return {resource.name: json.loads(resource.inputs["policy"]) for resource in found.of_type(ROLE_POLICY)}


def test_an_account_gets_a_provider_and_two_roles() -> None:
    found, jobs = run(repository=REPOSITORY), github(REPOSITORY)
    [provider] = found.of_type(PROVIDER)
    assert provider.inputs["url"] == "https://token.actions.githubusercontent.com"
    assert provider.inputs["clientIdLists"] == ["sts.amazonaws.com"]
    assert trusted(found) == {
        "threat-monitor-preview": trust(HERE, jobs, jobs.previews),
        "threat-monitor-deploy": trust(HERE, jobs, jobs.deploys),
    }
    assert allowed(found) == {
        "threat-monitor-preview": role_policies.preview_policy(HERE),
        "threat-monitor-deploy": role_policies.deploy_policy(HERE),
    }
    assert found.of_type(POLICY) == []


def test_the_roles_have_the_names_that_the_commands_ask_for() -> None:
    found = run(repository=REPOSITORY)
    assert {resource.name: resource.inputs["name"] for resource in found.of_type(ROLE)} == {
        name: name for name in trusted(found)
    }
    assert {resource.inputs["maxSessionDuration"] for resource in found.of_type(ROLE)} == {
        role_policies.LONGEST_SESSION
    }
    assert found.outputs["threat-monitor-preview"] == f"arn:aws:iam::{ACCOUNT}:role/threat-monitor-preview"


def test_a_role_is_made_after_the_provider_that_it_trusts() -> None:
    found = run(repository=REPOSITORY)
    [provider] = found.of_type(PROVIDER)
    assert all(provider.urn in role.depends_on for role in found.of_type(ROLE))


def test_a_provider_that_is_there_is_used() -> None:
    found = run(repository=REPOSITORY, createProvider="false")
    assert found.of_type(PROVIDER) == []
    assert trusted(found) == trusted(run(repository=REPOSITORY))


def test_the_account_with_the_state_gets_its_roles_too() -> None:
    key = f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/1234abcd"
    found, jobs = run(repository=REPOSITORY, stateBucket="state", stateKeyArn=key), github(REPOSITORY)
    assert len(trusted(found)) == 4
    assert trusted(found)["threat-monitor-state-read"] == trust(HERE, jobs, jobs.previews)
    assert trusted(found)["threat-monitor-state-write"] == trust(HERE, jobs, jobs.deploys)
    assert allowed(found)["threat-monitor-state-read"] == role_policies.state_policy(HERE, "state", key)
    assert allowed(found)["threat-monitor-state-write"] == role_policies.state_policy(HERE, "state", key, write=True)


def test_gitlab_has_a_provider_of_its_own() -> None:
    found, jobs = (
        run(gitlabProject="group/project", gitlabHost="gitlab.example.com"),
        gitlab("group/project", "gitlab.example.com"),
    )
    [provider] = found.of_type(PROVIDER)
    assert provider.inputs["url"] == "https://gitlab.example.com"
    assert provider.inputs["clientIdLists"] == ["https://gitlab.example.com"]
    assert trusted(found)["threat-monitor-deploy"] == trust(HERE, jobs, jobs.deploys)


def test_a_boundary_is_made_if_roles_have_to_have_it() -> None:
    found = run(repository=REPOSITORY, boundary="true")
    [boundary] = found.of_type(POLICY)
    assert boundary.inputs["name"] == "threat-monitor-boundary"
    assert json.loads(boundary.inputs["policy"]) == role_policies.boundary_policy(HERE)
    assert allowed(found)["threat-monitor-deploy"] == role_policies.deploy_policy(HERE, bounded=True)


def test_other_partitions_have_arns_of_their_own() -> None:
    found = run(AwsMocks("us-gov-west-1", "aws-us-gov"), repository=REPOSITORY)
    [statement] = statements(trusted(found)["threat-monitor-deploy"])
    assert statement["Principal"]["Federated"].startswith(f"arn:aws-us-gov:iam::{ACCOUNT}:oidc-provider/")


@pytest.mark.parametrize("config", [{}, {"repository": "o/r", "gitlabProject": "g/p"}])
def test_one_of_the_two_systems_has_to_be_named(config: dict[str, str]) -> None:
    with pytest.raises(pulumi.RunError, match=r"set either repository \(GitHub\) or gitlabProject"):
        run(**config)


def test_a_repository_that_is_none_is_refused_in_one_sentence() -> None:
    with pytest.raises(pulumi.RunError, match=r'^threat-monitor-ci: repository: "octo-org/\*" is neither'):
        run(repository="octo-org/*")


def test_the_example_is_one_that_runs() -> None:
    example = yaml.safe_load((FOLDER / "Pulumi.example.yaml").read_text(encoding="utf-8"))["config"]
    own = {key.partition(":")[2]: value for key, value in example.items() if key.startswith("threat-monitor-ci:")}
    assert len(trusted(run(**{key: str(value).lower() if value is True else value for key, value in own.items()}))) == 2
    assert all(len(account) == 12 for account in example["aws:allowedAccountIds"])


def test_the_project_has_the_name_of_its_config() -> None:
    project = yaml.safe_load((FOLDER / "Pulumi.yaml").read_text(encoding="utf-8"))
    assert project["name"] == "threat-monitor-ci"
    assert (FOLDER / project["runtime"]["options"]["virtualenv"]).resolve() == (PROJECT_ROOT / ".venv").resolve()
