import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from threatmon.cli.fleet.matrix import groups, matrix
from threatmon.errors import UsageError
from threatmon.fleet.targets import FleetFaults

app = typer.Typer()
app.command()(matrix)

git = shutil.which("git")
with_git = pytest.mark.skipif(git is None, reason="git is not on PATH")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project in a folder of a repository, with nothing in it yet."""
    folder = tmp_path / "repository" / "monitoring"
    folder.mkdir(parents=True)
    monkeypatch.setattr("threatmon.project.ROOT", folder)
    return folder


def write(folder: Path, *stacks: str) -> None:
    for stack in stacks:
        number = len(list(folder.glob("Pulumi.*.yaml")))
        (folder / f"Pulumi.{stack}.yaml").write_text(
            "config:\n"
            f'  aws:allowedAccountIds: ["{100000000000 + number}"]\n'
            "  aws:region: eu-west-1\n"
            f"  threat-monitor:subnetIds: [subnet-{number:017x}]\n"
            "  threat-monitor:alertEmails: [security@example.com]\n",
            encoding="utf-8",
        )


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, arguments)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def included(*arguments: str) -> list[dict[str, Any]]:
    text = run(*arguments)
    assert text.count("\n") == 1  # a line of $GITHUB_OUTPUT
    document = json.loads(text)
    assert document.keys() == {"include"}  # any other key would be a dimension of the matrix
    return document["include"]


def names(*arguments: str) -> list[str]:
    return [entry["stack"] for entry in included(*arguments)]


def commit(folder: Path) -> str:
    def call(*arguments: str) -> str:
        author = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"]
        return subprocess.run(
            [str(git), *author, *arguments], cwd=folder, check=True, capture_output=True, text=True
        ).stdout

    if not (folder.parent / ".git").exists():
        call("init", "--quiet", "..")
    call("add", "--all", "..")
    call("commit", "--quiet", "--allow-empty", "--message", "work")
    return call("rev-parse", "HEAD").strip()


# -- the entries ------------------------------------------------------------------------------------------------------


def test_there_is_a_job_for_each_stack_with_its_account_and_region(project: Path) -> None:
    write(project, "prod", "dev")
    assert included() == [
        {"stack": "dev", "account": "100000000001", "region": "eu-west-1"},
        {"stack": "prod", "account": "100000000000", "region": "eu-west-1"},
    ]


def test_shards_are_groups_that_the_other_commands_take_as_their_stacks(project: Path) -> None:
    write(project, "e", "d", "c", "b", "a")
    entries = included("--shards", "2")
    assert entries == [{"shard": "1/2", "stacks": "a,c,e"}, {"shard": "2/2", "stacks": "b,d"}]
    assert names("--stacks", entries[0]["stacks"]) == ["a", "c", "e"]


def test_no_stack_is_an_empty_matrix_that_a_workflow_can_compare(project: Path) -> None:
    assert run() == run("--shards", "3") == '{"include":[]}\n'
    assert not list(project.iterdir())


def test_more_stacks_than_a_matrix_may_have_jobs_ask_for_shards(project: Path) -> None:
    write(project, *(f"s{number}" for number in range(257)))
    with pytest.raises(UsageError, match=r"257 stacks are more than the 256 jobs of a matrix.*--shards 50"):
        run()
    assert len(names("--stacks", "s1*,s2*")) < 256
    assert len(included("--shards", "256")) == 256


@pytest.mark.parametrize("shards", ["0", "257", "many"])
def test_an_impossible_number_of_shards_is_wrong_use(project: Path, shards: str) -> None:
    write(project, "dev")
    assert CliRunner().invoke(app, ["--shards", shards]).exit_code == 2


def test_help_has_an_example() -> None:
    assert "threatmon fleet matrix --changed-since origin/main --shards 20" in " ".join(run("--help").split())


STACKS = st.lists(st.from_regex(r"[a-z]{1,4}", fullmatch=True), unique=True, max_size=40)


@given(STACKS, st.integers(1, 12), st.randoms())
def test_every_stack_is_in_one_of_the_balanced_groups_whatever_their_order(
    stacks: list[str], shards: int, random: Any
) -> None:
    made = groups(stacks, shards)
    parts = [group["stacks"].split(",") for group in made]
    assert sorted(stack for part in parts for stack in part) == sorted(stacks)
    assert len(made) == min(shards, len(stacks))
    assert [group["shard"] for group in made] == [f"{it}/{len(made)}" for it in range(1, len(made) + 1)]
    assert max(map(len, parts), default=0) - min(map(len, parts), default=0) <= 1
    random.shuffle(stacks)
    assert groups(stacks, shards) == made


# -- the choice of stacks ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ["--stacks", "dev,prod-*"],
        ["--stacks", "dev", "--stacks", "prod-*"],
        ["--stacks", " dev, prod-eu,", "--stacks", "prod-*"],
    ],
)
def test_stacks_are_given_with_commas_or_one_by_one(project: Path, arguments: list[str]) -> None:
    write(project, "dev", "prod-eu", "prod-us", "staging")
    assert names(*arguments) == ["dev", "prod-eu", "prod-us"]


@pytest.mark.parametrize("empty", ["", ",", " "])
def test_an_empty_choice_is_never_every_stack(project: Path, empty: str) -> None:
    write(project, "dev")
    with pytest.raises(UsageError, match="--stacks is empty"):
        run("--stacks", empty)


def test_a_glob_without_a_stack_is_a_fault(project: Path) -> None:
    with pytest.raises(FleetFaults, match='"prod" matches no stack; there is no stack file'):
        run("--stacks", "prod")
    write(project, "dev")
    with pytest.raises(FleetFaults, match='"prod" matches no stack'):
        run("--stacks", "prod")


def test_faults_of_files_that_are_not_chosen_are_told_too(project: Path) -> None:
    write(project, "dev", "prod")
    (project / "Pulumi.broken.yaml").write_text("config: [", encoding="utf-8")
    with pytest.raises(FleetFaults, match=r"Pulumi\.broken\.yaml: cannot be read"):
        run("--stacks", "dev")


@with_git
def test_the_stacks_whose_files_differ_are_chosen_committed_or_not(project: Path) -> None:
    write(project, "committed", "staged", "edited", "same")
    base = commit(project)
    for stack in ("committed", "staged", "edited"):
        path = project / f"Pulumi.{stack}.yaml"
        path.write_text(path.read_text(encoding="utf-8") + "  threat-monitor:protect: true\n", encoding="utf-8")
        if stack == "committed":
            commit(project)
        if stack == "staged":
            subprocess.run([str(git), "add", "."], cwd=project, check=True)
    write(project, "untracked")
    assert names("--changed-since", base) == ["committed", "edited", "staged", "untracked"]
    assert names("--changed-since", base, "--stacks", "*ed") == ["committed", "edited", "staged", "untracked"]
    assert names("--changed-since", "HEAD", "--stacks", "s*") == ["staged"]


@with_git
def test_what_only_the_other_branch_changed_does_not_count(project: Path) -> None:
    write(project, "dev", "prod")
    base = commit(project)
    write(project, "theirs")
    subprocess.run([str(git), "branch", "ours"], cwd=project, check=True)
    theirs = commit(project)
    subprocess.run([str(git), "checkout", "--quiet", "ours"], cwd=project, check=True)
    assert names("--changed-since", theirs) == []
    assert names("--changed-since", base) == []


@with_git
def test_files_outside_the_projects_folder_do_not_count(project: Path) -> None:
    write(project, "dev")
    base = commit(project)
    (project.parent / "Pulumi.yaml").write_text("name: another\n", encoding="utf-8")
    (project.parent / "Pulumi.dev.yaml").write_text("config: {}\n", encoding="utf-8")
    commit(project)
    (project.parent / "__main__.py").write_text("", encoding="utf-8")
    assert names("--changed-since", base) == []


@with_git
def test_a_moved_part_of_the_program_affects_every_stack(project: Path) -> None:
    write(project, "dev", "prod")
    (project / "components").mkdir()
    (project / "components" / "old.py").write_text("VALUE = 1\n", encoding="utf-8")
    base = commit(project)
    (project / "components" / "old.py").rename(project / "old.py")
    commit(project)
    assert names("--changed-since", base) == ["dev", "prod"]


@with_git
@pytest.mark.parametrize("revision", ["nope", "0" * 40, "HEAD~9", "HEAD..HEAD", "a b", "HEAD\nx", ":/x"])
def test_a_revision_that_git_does_not_know_says_what_to_do(project: Path, revision: str) -> None:
    write(project, "dev")
    commit(project)
    with pytest.raises(UsageError, match=r"--changed-since '.*': git knows no such revision.*fetch-depth: 0") as error:
        run("--changed-since", revision)
    assert "Traceback" not in str(error.value)


@with_git
def test_a_folder_outside_any_repository_says_so(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(project.parent))
    write(project, "dev")
    with pytest.raises(UsageError, match="--changed-since 'main': not a git repository"):
        run("--changed-since", "main")


@with_git
def test_branches_without_a_common_commit_say_so(project: Path) -> None:
    write(project, "dev")
    base = commit(project)
    subprocess.run([str(git), "checkout", "--quiet", "--orphan", "alone"], cwd=project, check=True)
    write(project, "prod")
    commit(project)
    with pytest.raises(UsageError, match="no merge base"):
        run("--changed-since", base)


@pytest.mark.parametrize("revision", ["", "--output=stolen", "-p", "--"])
def test_a_revision_never_becomes_an_option(project: Path, revision: str) -> None:
    write(project, "dev")
    with pytest.raises(UsageError, match="not a revision"):
        run(f"--changed-since={revision}")
    assert [path.name for path in project.iterdir()] == ["Pulumi.dev.yaml"]


def test_without_git_the_message_offers_the_other_way(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(project, "dev")
    monkeypatch.setenv("PATH", str(project))
    with pytest.raises(UsageError, match=r"needs git, which is not on PATH.*--stacks"):
        run("--changed-since", "main")
