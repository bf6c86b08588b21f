import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from examples import ACCOUNT, REGION
from hypothesis import given
from hypothesis import strategies as st

from threatmon.fleet.targets import FleetFaults, Target, is_program, read, select
from threatmon.model.settings import Settings
from threatmon.project import ROOT as PROJECT_ROOT
from threatmon.stacks.files import StackFile


def subnet(number: int) -> str:
    return f"subnet-{number:017x}"


def write(folder: Path, stack: str, number: int, **replaced: str) -> None:
    """A stack file without faults, but for the lines replaced; an empty one is left out."""
    lines = {
        "accounts": f'aws:allowedAccountIds: ["{100000000000 + number}"]',
        "region": "aws:region: eu-west-1",
        "subnets": f"threat-monitor:subnetIds: [{subnet(number)}]",
        "emails": "threat-monitor:alertEmails: [security@example.com]",
        **replaced,
    }
    text = "config:\n" + "".join(f"  {line}\n" for line in lines.values() if line)
    (folder / f"Pulumi.{stack}.yaml").write_text(text, encoding="utf-8")


def faults_of(folder: Path) -> tuple[str, ...]:
    with pytest.raises(FleetFaults) as error:
        read(folder)
    head, *lines = str(error.value).splitlines()
    assert head.startswith(f"The fleet has {len(lines)} fault")
    assert [f"  {fault}" for fault in error.value.faults] == lines
    return error.value.faults


def target(stack: str) -> Target:
    return Target(StackFile(stack, {}), Settings(), ACCOUNT, REGION)


def chosen(targets: list[Target], globs: list[str], changed: list[str] | None = None) -> list[str]:
    return [chosen.stack for chosen in select(targets, globs, changed)]


# -- reading ----------------------------------------------------------------------------------------------------------


def test_every_stack_file_becomes_a_target_by_name(tmp_path: Path) -> None:
    write(tmp_path, "prod", 2)
    write(tmp_path, "dev", 1, accounts="aws:allowedAccountIds: '[\"012345670123\"]'")
    found = read(tmp_path)
    assert [(target.stack, target.account_id, target.region) for target in found] == [
        ("dev", "012345670123", "eu-west-1"),
        ("prod", "100000000002", "eu-west-1"),
    ]
    assert found[1].settings.subnet_ids == (subnet(2),)


def test_a_folder_without_stack_files_is_an_empty_fleet(tmp_path: Path) -> None:
    assert read(tmp_path) == []


def test_the_repositorys_own_stack_files_have_no_fault() -> None:
    assert "dev" in [target.stack for target in read(PROJECT_ROOT)]


def test_account_and_region_may_be_shared_or_differ_by_one_of_them(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.yaml").write_text(
        f'name: threat-monitor\nconfig:\n  aws:allowedAccountIds: {{value: ["{ACCOUNT}"]}}\n', encoding="utf-8"
    )
    write(tmp_path, "a", 1, accounts="")
    write(tmp_path, "b", 2, accounts="", region="aws:region: us-east-1")
    assert [(target.account_id, target.region) for target in read(tmp_path)] == [
        (ACCOUNT, REGION),
        (ACCOUNT, "us-east-1"),
    ]


@pytest.mark.parametrize(
    ("line", "text", "fault"),
    [
        (
            "accounts",
            "",
            'aws:allowedAccountIds: is not set; name the one account the stack may touch, such as ["111122223333"]',
        ),
        (
            "accounts",
            "aws:allowedAccountIds: ['111122223333', '444455556666']",
            'aws:allowedAccountIds: ["111122223333", "444455556666"] are 2; '
            "keep one, and give each other account a stack of its own",
        ),
        (
            "accounts",
            "aws:allowedAccountIds: ['1234']",
            'aws:allowedAccountIds[0]: "1234" is not an account id (expected 12 digits, in quotes)',
        ),
        (
            "accounts",
            "aws:allowedAccountIds: [012345670123]",
            'aws:allowedAccountIds[0]: "1402433619" is not an account id (expected 12 digits, in quotes)',
        ),
        ("region", "", "aws:region: is not set; name the Region to deploy to, such as eu-west-1"),
        (
            "region",
            "aws:region: Ireland",
            'aws:region: "Ireland" is not a Region (expected a name such as eu-west-1)',
        ),
        ("emails", "", 'threat-monitor:alertEmails: is required, such as ["soc@example.com"]'),
    ],
)
def test_a_fault_names_file_key_value_and_fix(tmp_path: Path, line: str, text: str, fault: str) -> None:
    write(tmp_path, "a", 1, **{line: text})
    write(tmp_path, "b", 2)
    assert faults_of(tmp_path) == (f"Pulumi.a.yaml: {fault}",)


def test_an_encrypted_account_is_a_fault_that_shows_no_ciphertext(tmp_path: Path) -> None:
    write(tmp_path, "a", 1, accounts="aws:allowedAccountIds: {secure: v1:cipher}")
    write(tmp_path, "b", 2, accounts="aws:allowedAccountIds: {secure: v1:cipher}", region="aws:region: eu-west-3")
    found = faults_of(tmp_path)
    assert len(found) == 2
    assert "cipher" not in "".join(found)


def test_the_faults_of_all_files_are_reported_at_once(tmp_path: Path) -> None:
    write(tmp_path, "a", 1, accounts="", region="", emails="")
    write(tmp_path, "b", 2)
    (tmp_path / "Pulumi.c.yaml").write_text("config: [", encoding="utf-8")
    write(tmp_path, "d", 2, emails="")
    found = faults_of(tmp_path)
    assert [fault.split(": ")[:2] for fault in found] == [
        ["Pulumi.a.yaml", "aws:allowedAccountIds"],
        ["Pulumi.a.yaml", "aws:region"],
        ["Pulumi.a.yaml", "threat-monitor:alertEmails"],
        ["Pulumi.c.yaml", "cannot be read"],
        ["Pulumi.d.yaml", "threat-monitor:alertEmails"],
        ["Pulumi.b.yaml, Pulumi.d.yaml", "aws:allowedAccountIds and aws:region"],
        ["Pulumi.b.yaml, Pulumi.d.yaml", "threat-monitor:subnetIds"],
    ]


def test_two_stacks_of_one_account_and_region_are_a_fault(tmp_path: Path) -> None:
    for number, stack in enumerate("ab"):
        write(tmp_path, stack, number, accounts=f'aws:allowedAccountIds: ["{ACCOUNT}"]')
    assert faults_of(tmp_path) == (
        "Pulumi.a.yaml, Pulumi.b.yaml: aws:allowedAccountIds and aws:region: 111122223333 in eu-west-1 is claimed by "
        "2 stacks; an account has one detector for each Region, so keep one of the stacks, with the subnets of both",
    )


@pytest.mark.parametrize(("key", "value"), [("subnetIds", subnet(7)), ("vpcIds", "vpc-0123456789abcdef0")])
@pytest.mark.parametrize("form", ["[{}]", "'[\"{}\"]'"])
def test_two_stacks_of_one_subnet_or_vpc_are_a_fault(tmp_path: Path, key: str, value: str, form: str) -> None:
    for number, stack in enumerate("ab"):
        write(tmp_path, stack, number, subnets=f"threat-monitor:{key}: {form.format(value)}")
    assert faults_of(tmp_path) == (
        f'Pulumi.a.yaml, Pulumi.b.yaml: threat-monitor:{key}: "{value}" is claimed by 2 stacks; '
        "its traffic would be recorded twice; keep it in one of them",
    )


def test_a_subnet_twice_in_one_file_is_no_fault_between_files(tmp_path: Path) -> None:
    write(tmp_path, "a", 1, subnets=f"threat-monitor:subnetIds: [{subnet(1)}, {subnet(1)}]")
    assert [fault.partition(": ")[0] for fault in faults_of(tmp_path)] == ["Pulumi.a.yaml"]


def test_a_faulty_value_that_all_stacks_share_is_one_fault_of_pulumi_yaml(tmp_path: Path) -> None:
    project = "name: threat-monitor\nconfig:\n  aws:region: Ireland\n  flowLogs: {default: {retentionDays: 13}}\n"
    (tmp_path / "Pulumi.yaml").write_text(project, encoding="utf-8")
    for number, stack in enumerate("abcde"):
        write(tmp_path, stack, number, region="")
    region, retention = faults_of(tmp_path)
    assert region == (
        "Pulumi.yaml, as it reaches a, b, c and 2 more: "
        'aws:region: "Ireland" is not a Region (expected a name such as eu-west-1)'
    )
    assert retention.startswith(
        "Pulumi.yaml, as it reaches a, b, c and 2 more: threat-monitor:flowLogs.retentionDays: 13"
    )


def test_an_empty_default_blames_the_stack_that_sets_nothing(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.yaml").write_text("name: threat-monitor\nconfig: {subnetIds: []}\n", encoding="utf-8")
    write(tmp_path, "a", 1, subnets="")
    (fault,) = faults_of(tmp_path)
    assert fault.startswith("Pulumi.a.yaml: threat-monitor:subnetIds: is empty")


def test_a_broken_project_file_is_one_fault(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.yaml").write_text("config: [", encoding="utf-8")
    write(tmp_path, "a", 1)
    write(tmp_path, "b", 2)
    (fault,) = faults_of(tmp_path)
    assert fault.startswith("Pulumi.yaml: cannot be read: ")


@pytest.mark.parametrize("ending", ["yml", "json"])
def test_a_stack_file_that_the_engine_ignores_is_a_fault(tmp_path: Path, ending: str) -> None:
    write(tmp_path, "prod", 1)
    (tmp_path / "Pulumi.prod.yaml").rename(tmp_path / f"Pulumi.prod.{ending}")
    assert faults_of(tmp_path) == (
        f"Pulumi.prod.{ending}: the engine does not read it, as the project's file is Pulumi.yaml; rename it: "
        f"mv Pulumi.prod.{ending} Pulumi.prod.yaml",
    )


@pytest.mark.parametrize("name", ["-x", "a b", "a,b", "$(id)", "a*", "a\nb", "é"])
def test_a_file_whose_name_is_no_stacks_is_a_fault_on_one_line(tmp_path: Path, name: str) -> None:
    write(tmp_path, name, 1)
    (fault,) = faults_of(tmp_path)
    assert "cannot be the name of a stack" in fault


# -- choosing ---------------------------------------------------------------------------------------------------------

FLEET = [target(name) for name in ("dev", "prod-eu", "prod-us", "staging")]


def test_stacks_are_chosen_by_any_of_several_globs_once_and_in_the_fleets_order() -> None:
    assert chosen(FLEET, ["staging", "prod-*", "*eu"]) == ["prod-eu", "prod-us", "staging"]


def test_globs_mind_the_case() -> None:
    with pytest.raises(FleetFaults, match='"DEV" matches no stack'):
        select(FLEET, ["DEV"])


def test_every_glob_that_matches_nothing_is_a_fault_with_a_suggestion() -> None:
    with pytest.raises(FleetFaults) as error:
        select(FLEET, ["prod-e", "dev", "x*"])
    assert error.value.faults == (
        '"prod-e" matches no stack; did you mean "prod-eu"?',
        '"x*" matches no stack (there are: dev, prod-eu, prod-us and 1 more)',
    )


def test_a_changed_stack_file_affects_its_own_stack() -> None:
    assert chosen(FLEET, ["*"], ["Pulumi.dev.yaml", "README.md"]) == ["dev"]
    assert chosen(FLEET, ["prod-*"], ["Pulumi.dev.yaml", "Pulumi.prod-eu.yaml"]) == ["prod-eu"]


@pytest.mark.parametrize("path", ["Pulumi.yaml", "components/deeper/new.json", "threatmon/model/settings.py"])
def test_a_change_to_the_program_affects_every_stack(path: str) -> None:
    assert chosen(FLEET, ["*"], [path]) == ["dev", "prod-eu", "prod-us", "staging"]
    assert chosen(FLEET, ["dev"], [path]) == ["dev"]


@pytest.mark.parametrize(
    "path",
    [
        "components/README.md",
        "tests/components/test_alerts.py",
        "threatmon/fleet/targets.py",
        "requirements-dev.txt",
        "other/Pulumi.dev.yaml",
    ],
)
def test_what_no_program_reads_affects_no_stack(path: str) -> None:
    assert chosen(FLEET, ["*"], [path]) == []


PROGRAM_MODULES = """\
import runpy, sys, pulumi
try: runpy.run_path("__main__.py")
except pulumi.RunError: pass  # it has no config
else: sys.exit("it ran")
print(*(module.__file__ for module in sys.modules.values() if getattr(module, "__file__", None)), sep="\\n")
"""


def test_the_program_is_exactly_what_it_imports_and_reads() -> None:
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM_MODULES]
    listed = subprocess.run(command, cwd=PROJECT_ROOT, check=True, capture_output=True, text=True).stdout
    files = {PROJECT_ROOT / "__main__.py", *map(Path, listed.splitlines())}
    imported = {file for file in files if file.is_relative_to(PROJECT_ROOT) and ".venv" not in file.parts}
    ours = [path for path in PROJECT_ROOT.rglob("*.py") if ".venv" not in path.parts]
    assert {path for path in ours if is_program(path.relative_to(PROJECT_ROOT).as_posix())} == imported
    assert all(map(is_program, ("Pulumi.yaml", "requirements.txt", "threatmon/model/finding_types.json")))


def test_a_deleted_stack_file_affects_every_stack_for_none_is_left_to_speak_of_it() -> None:
    assert chosen(FLEET, ["*"], ["Pulumi.gone.yaml"]) == ["dev", "prod-eu", "prod-us", "staging"]


NAMES = st.from_regex(r"[a-z][a-z0-9.-]{0,5}", fullmatch=True)


@given(st.lists(NAMES, unique=True), st.sets(NAMES))
def test_the_stacks_affected_are_those_whose_files_changed(stacks: list[str], changed: set[str]) -> None:
    files = [f"Pulumi.{name}.yaml" for name in changed if name]
    targets = [target(name) for name in stacks]
    affected = stacks if changed - {*stacks} else [name for name in stacks if name in changed]
    assert chosen(targets, ["*"] if stacks else [], files) == affected


@given(
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["eu-west-1", "us-east-1"]), st.integers(0, 5)), max_size=5)
)
def test_a_fleet_is_refused_exactly_if_two_stacks_share_a_location_or_a_subnet(
    tmp_path_factory: pytest.TempPathFactory, claims: list[tuple[int, str, int]]
) -> None:
    folder = tmp_path_factory.mktemp("fleet")
    for index, (account, region, number) in enumerate(claims):
        accounts = f'aws:allowedAccountIds: ["{100000000000 + account}"]'
        write(folder, f"s{index}", number, accounts=accounts, region=f"aws:region: {region}")
    locations, subnets = [claim[:2] for claim in claims], [claim[2] for claim in claims]
    shared = [claim for claimed in (locations, subnets) for claim, count in Counter(claimed).items() if count > 1]
    if shared:
        assert len(faults_of(folder)) == len(shared)
    else:
        assert len(read(folder)) == len(claims)
