import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import RunCommand
from fleet.fake_engine import write_stack
from hypothesis import given
from hypothesis import strategies as st

from threatmon.cli.fleet.matrix import groups

Included = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with no stack yet."""
    monkeypatch.setattr("threatmon.project.ROOT", tmp_path)
    return tmp_path


def write(folder: Path, *stacks: str) -> None:
    for number, stack in enumerate(stacks):
        write_stack(folder, stack, number)


@pytest.fixture
def included(threatmon: RunCommand) -> Included:
    """The entries that `threatmon fleet matrix` prints."""

    def run(*arguments: str) -> list[dict[str, Any]]:
        result = threatmon("fleet", "matrix", *arguments)
        assert (result.code, result.err) == (0, "")
        assert result.out.count("\n") == 1  # a line of $GITHUB_OUTPUT
        document = json.loads(result.out)
        assert document.keys() == {"include"}  # any other key would be a dimension of the matrix
        return document["include"]

    return run


# -- the entries ------------------------------------------------------------------------------------------------------


def test_there_is_a_job_for_each_stack_with_its_account_and_region(included: Included, project: Path) -> None:
    write(project, "prod", "dev")
    assert included() == [
        {"stack": "dev", "account": "100000000001", "region": "eu-west-1"},
        {"stack": "prod", "account": "100000000000", "region": "eu-west-1"},
    ]


def test_shards_are_groups_that_the_other_commands_take_as_their_stacks(included: Included, project: Path) -> None:
    write(project, "e", "d", "c", "b", "a")
    entries = included("--shards", "2")
    assert entries == [{"shard": "1/2", "stacks": "a,c,e"}, {"shard": "2/2", "stacks": "b,d"}]
    assert [entry["stack"] for entry in included("--stacks", entries[0]["stacks"])] == ["a", "c", "e"]


@pytest.mark.usefixtures("project")
def test_no_stack_is_an_empty_matrix_that_a_workflow_can_compare(threatmon: RunCommand) -> None:
    for options in ((), ("--shards", "3")):
        assert threatmon("fleet", "matrix", *options) == (0, '{"include":[]}\n', "")


def test_more_stacks_than_a_matrix_may_have_jobs_ask_for_shards(
    threatmon: RunCommand, included: Included, project: Path
) -> None:
    write(project, *(f"s{number}" for number in range(257)))
    code, _, err = threatmon("fleet", "matrix")
    assert (code, err) == (2, "257 stacks are more than the 256 jobs of a matrix; group them, such as --shards 50.\n")
    assert len(included("--shards", "256")) == 256


@pytest.mark.parametrize("shards", ["0", "257", "many"])
def test_an_impossible_number_of_shards_is_wrong_use(threatmon: RunCommand, project: Path, shards: str) -> None:
    write(project, "dev")
    assert threatmon("fleet", "matrix", "--shards", shards).code == 2


STACKS = st.lists(st.from_regex(r"[a-z]{1,4}", fullmatch=True), unique=True, max_size=40)


@given(STACKS, st.integers(1, 12), st.randoms())
def test_every_stack_is_in_one_of_the_balanced_groups_whatever_their_order(
    stacks: list[str], shards: int, random: Any
) -> None:
    made = groups(stacks, shards)
    parts = [group["stacks"].split(",") for group in made]
    assert sorted(stack for part in parts for stack in part) == sorted(stacks)
    assert len(made) == min(shards, len(stacks))
    assert [group["shard"] for group in made] == [f"{number}/{len(made)}" for number in range(1, len(made) + 1)]
    assert max(map(len, parts), default=0) - min(map(len, parts), default=0) <= 1
    random.shuffle(stacks)
    assert groups(stacks, shards) == made


# -- the choice of stacks, as all commands on a fleet have it ---------------------------------------------------------


@pytest.mark.parametrize(
    "arguments", [["--stacks", "dev,prod-*"], ["--stacks", " dev, prod-eu,", "--stacks", "prod-*"]]
)
def test_stacks_are_given_with_commas_or_one_by_one(included: Included, project: Path, arguments: list[str]) -> None:
    write(project, "dev", "prod-eu", "prod-us", "staging")
    assert [entry["stack"] for entry in included(*arguments)] == ["dev", "prod-eu", "prod-us"]


@pytest.mark.parametrize("empty", ["", ",", " "])
def test_an_empty_choice_is_never_every_stack(threatmon: RunCommand, project: Path, empty: str) -> None:
    write(project, "dev")
    assert threatmon("fleet", "matrix", "--stacks", empty).err.startswith("--stacks is empty; ")


def test_a_choice_without_a_stack_is_a_fault_and_so_is_a_file_that_was_not_chosen(
    threatmon: RunCommand, project: Path
) -> None:
    assert '"prod" matches no stack; there is no stack file\n' in threatmon("fleet", "matrix", "--stacks", "prod").err
    write(project, "dev")
    (project / "Pulumi.broken.yaml").write_text("config: [", encoding="utf-8")
    code, _, err = threatmon("fleet", "matrix", "--stacks", "dev")
    assert code == 2
    assert "Pulumi.broken.yaml: cannot be read" in err


def test_only_stacks_that_differ_from_a_revision_can_be_chosen(
    threatmon: RunCommand, included: Included, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(project, "dev", "prod", "staging")
    asked: list[tuple[Path, str]] = []

    def changed(folder: Path, revision: str) -> set[str]:
        asked.append((folder, revision))
        return {"Pulumi.dev.yaml", "Pulumi.prod.yaml", "README.md"}

    monkeypatch.setattr("threatmon.cli.fleet.options.changed_files", changed)
    choice = "--changed-since", "origin/main", "--stacks", "*o*,dev"
    assert [entry["stack"] for entry in included(*choice)] == ["dev", "prod"]
    assert asked == [(project, "origin/main")]
    assert threatmon("fleet", "matrix", "--changed-since", "main", "--stacks", "s*").out == '{"include":[]}\n'
