"""The choice of stacks, as every command on a fleet offers it."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from threatmon import project
from threatmon.errors import UsageError
from threatmon.fleet.targets import Target, read, select

Stacks = Annotated[
    list[str] | None,
    typer.Option("--stacks", metavar="GLOB", help="Only these stacks, such as 'prod-*' or a,b; may be repeated."),
]
ChangedSince = Annotated[
    str | None,
    typer.Option(
        "--changed-since",
        metavar="REV",
        help="Only the stacks that may differ from where this branch left REV, such as origin/main.",
    ),
]
Output = Literal["text", "markdown", "json"]
Format = Annotated[Output, typer.Option("--format", help="How to print the result.")]


def selected(stacks: Sequence[str] | None, changed_since: str | None) -> list[Target]:
    """The stacks that the options choose; all where both are None.

    Raises :class:`threatmon.fleet.targets.FleetFaults` with the faults of all stack files, chosen or not (two stacks
    may claim the same), or of the choice; :class:`UsageError` where an option makes no sense.
    """
    globs = (
        ["*"] if stacks is None else [glob for given in stacks for part in given.split(",") if (glob := part.strip())]
    )
    if not globs:
        raise UsageError("--stacks is empty; leave it out for every stack, or name some: --stacks 'prod-*'.")
    targets = read(project.ROOT)
    if not targets and stacks is None:
        return []
    return select(targets, globs, None if changed_since is None else changed_files(project.ROOT, changed_since))


def changed_files(folder: Path, revision: str) -> set[str]:
    """Paths, relative to ``folder`` and none outside it, that differ from the commit where this branch left
    ``revision``. Uncommitted and untracked files count, as the working tree is what the commands preview.

    Raises :class:`UsageError` where git is missing, ``folder`` is not in a repository, or it has no such revision.
    """
    # A name that git refuses for branches and tags, and would take for an option.
    if not revision or revision.startswith("-"):
        raise UsageError(f"--changed-since {revision!r}: not a revision; name a branch, a tag or a commit.")
    commit = _git(
        folder, revision, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"
    ).strip()
    # https://git-scm.com/docs/git-diff: --merge-base compares the working tree with what both have in common.
    diff = _git(folder, revision, "diff", "--merge-base", "--name-only", "--no-renames", "--relative", "-z", commit)
    new = _git(folder, revision, "ls-files", "--others", "--exclude-standard", "-z")
    return {path for path in f"{diff}{new}".split("\0") if path}


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
