"""Which files differ from another revision, by git."""

import os
import shutil
import subprocess
from collections.abc import Collection, Iterator
from pathlib import Path

from threatmon.errors import UsageError
from threatmon.stacks.files import file_name


def changed_files(folder: Path, revision: str) -> set[str]:
    """Return the paths that differ from the commit where this branch left ``revision``.

    They are relative to ``folder``, and none is outside it. Uncommitted and untracked files count, as the working tree
    is what the commands preview. A stack file that is a link counts as changed if what it leads to has, or is in no
    repository. Raises :class:`UsageError` if git is missing, ``folder`` is not in a repository, or it has no such
    revision.
    """
    # A name that git refuses for branches and tags, and would take for an option.
    if not revision or revision.startswith("-"):
        raise UsageError(f"--changed-since {revision!r}: not a revision; name a branch, a tag or a commit.")
    commit = _git(folder, revision, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    root = Path(_git(folder, revision, "rev-parse", "--show-toplevel").rstrip("\n"))
    # https://git-scm.com/docs/git-diff: --merge-base compares the working tree with what both have in common.
    options = ("--merge-base", "--name-only", "--no-renames", "-z")
    diff = _git(root, revision, "diff", *options, commit.strip())
    new = _git(root, revision, "ls-files", "--others", "--exclude-standard", "-z")
    changed = {root / path for path in f"{diff}{new}".split("\0") if path}
    here = folder.resolve()
    inside = {path.relative_to(here).as_posix() for path in changed if path.is_relative_to(here)}
    return inside.union(_links(folder, root, changed))


def _links(folder: Path, root: Path, changed: Collection[Path]) -> Iterator[str]:
    """Yield the stack files that are links to what has changed."""
    for path in folder.glob(file_name("*")):
        file = path
        while file.is_symlink():
            file = Path(os.path.normpath(file.parent.resolve() / file.readlink()))
            if file in changed or not file.is_relative_to(root):
                yield path.name
                break


def _git(folder: Path, revision: str, *arguments: str) -> str:
    git = shutil.which("git")
    if git is None:
        raise UsageError("--changed-since needs git, which is not on PATH; install it, or choose by --stacks.")
    done = subprocess.run(  # noqa: S603 - git, and nothing that it could take for an option
        [git, *arguments], cwd=folder, capture_output=True, encoding="utf-8", errors="replace", check=False
    )
    if done.returncode:
        reason = " ".join(done.stderr.removeprefix("fatal: ").split()) or "git knows no such revision"
        raise UsageError(
            f"--changed-since {revision!r}: {reason}. In CI, have the whole history fetched (fetch-depth: 0 on GitHub, "
            "GIT_DEPTH: 0 on GitLab)."
        )
    return done.stdout
