import shutil
import subprocess
from pathlib import Path

import pytest

from threatmon.errors import UsageError
from threatmon.fleet.changed_files import changed_files

git = shutil.which("git")
with_git = pytest.mark.skipif(git is None, reason="git is not on PATH")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder in a repository, with one file that is committed."""
    folder = tmp_path / "repository" / "monitoring"
    folder.mkdir(parents=True)
    if git:
        call(folder, "init", "--quiet", "..")
        write(folder, "same")
        commit(folder)
    return folder


def call(folder: Path, *arguments: str) -> str:
    author = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"]
    command = [str(git), *author, *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def commit(folder: Path) -> str:
    call(folder, "add", "--all", "..")
    call(folder, "commit", "--quiet", "--allow-empty", "--message", "work")
    return call(folder, "rev-parse", "HEAD").strip()


def write(folder: Path, *files: str, text: str = "1") -> None:
    for file in files:
        (folder / file).write_text(text, encoding="utf-8")


@with_git
def test_files_that_differ_count_committed_or_not(folder: Path) -> None:
    write(folder, "committed", "staged", "edited")
    base = commit(folder)
    write(folder, "committed", text="2")
    commit(folder)
    write(folder, "staged", text="2")
    call(folder, "add", ".")
    write(folder, "edited", "untracked", text="2")
    assert changed_files(folder, base) == {"committed", "staged", "edited", "untracked"}
    assert changed_files(folder, "HEAD") == {"staged", "edited", "untracked"}


@with_git
def test_what_only_the_other_branch_changed_does_not_count(folder: Path) -> None:
    call(folder, "branch", "ours")
    write(folder, "theirs")
    theirs = commit(folder)
    call(folder, "checkout", "--quiet", "ours")
    assert changed_files(folder, theirs) == set()


@with_git
def test_files_outside_the_folder_do_not_count_and_both_names_of_a_moved_one_do(folder: Path) -> None:
    write(folder, "old")
    base = commit(folder)
    write(folder.parent, "Pulumi.yaml")
    (folder / "old").rename(folder / "new")
    commit(folder)
    write(folder.parent, "__main__.py")
    assert changed_files(folder, base) == {"old", "new"}


@with_git
@pytest.mark.parametrize("revision", ["nope", "0" * 40, "HEAD~9", "HEAD..HEAD", "a b", "HEAD\nx", ":/x"])
def test_a_revision_that_git_does_not_know_says_what_to_do(folder: Path, revision: str) -> None:
    with pytest.raises(UsageError, match=r"--changed-since '.*': git knows no such revision.*fetch-depth: 0"):
        changed_files(folder, revision)


@with_git
def test_a_folder_outside_any_repository_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(UsageError, match="--changed-since 'main': not a git repository"):
        changed_files(tmp_path, "main")


@with_git
def test_branches_without_a_common_commit_say_so(folder: Path) -> None:
    base = commit(folder)
    call(folder, "checkout", "--quiet", "--orphan", "alone")
    write(folder, "other")
    commit(folder)
    with pytest.raises(UsageError, match="no merge base"):
        changed_files(folder, base)


@pytest.mark.parametrize("revision", ["", "--output=stolen", "-p", "--"])
def test_a_revision_never_becomes_an_option(folder: Path, revision: str) -> None:
    with pytest.raises(UsageError, match="not a revision"):
        changed_files(folder, revision)
    assert not (folder / "stolen").exists()


def test_without_git_the_message_offers_the_other_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match=r"needs git, which is not on PATH.*--stacks"):
        changed_files(tmp_path, "main")


@with_git
def test_a_stack_file_that_is_a_link_changes_with_what_it_leads_to(folder: Path) -> None:
    shared = folder.parent / "shared"
    shared.mkdir()
    write(shared, "near.yaml", "far.yaml", "same.yaml")
    (folder / "Pulumi.near.yaml").symlink_to("../shared/near.yaml")
    (shared / "link.yaml").symlink_to("far.yaml")
    (folder / "Pulumi.far.yaml").symlink_to(shared / "link.yaml")
    (folder / "Pulumi.same.yaml").symlink_to("../shared/same.yaml")
    base = commit(folder)
    assert changed_files(folder, base) == set()
    write(shared, "near.yaml", "far.yaml", text="2")
    assert changed_files(folder, base) == {"Pulumi.near.yaml", "Pulumi.far.yaml"}


@with_git
def test_a_link_out_of_the_repository_counts_as_changed(folder: Path, tmp_path: Path) -> None:
    write(tmp_path, "elsewhere.yaml")
    (folder / "Pulumi.out.yaml").symlink_to(tmp_path / "elsewhere.yaml")
    assert changed_files(folder, commit(folder)) == {"Pulumi.out.yaml"}
