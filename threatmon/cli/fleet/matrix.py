"""``threatmon fleet matrix``: the stacks as a job matrix for CI."""

import json
from collections.abc import Sequence
from typing import Annotated

import typer

from threatmon.cli.fleet.options import ChangedSince, Stacks, selected
from threatmon.errors import UsageError

# https://docs.github.com/en/actions/how-tos/write-workflows/choose-what-workflows-do/run-job-variations
_MOST_JOBS = 256


def matrix(
    stacks: Stacks = None,
    changed_since: ChangedSince = None,
    shards: Annotated[
        int | None,
        typer.Option(min=1, max=_MOST_JOBS, help="Divide the stacks among at most this many jobs."),
    ] = None,
) -> None:
    """Print the stacks as a job matrix for CI.

    One line of JSON: a job for each stack (`stack`, `account`, `region`), or with --shards for each group of stacks
    (`shard` such as 1/3, and `stacks`, which --stacks of the other commands takes). The same stacks always make the
    same groups.

    GitHub: `strategy: {matrix: "${{ fromJSON(needs.plan.outputs.matrix) }}"}`. No stack gives `{"include":[]}`, which
    GitHub refuses as a matrix, so that job also needs `if: needs.plan.outputs.matrix != '{"include":[]}'`. Artifacts
    cannot have the slash of `shard` in their names; `strategy.job-index` can be used instead. The job that combines the
    reports finds those that are missing by what is printed here: `fleet preview --from ... --expect matrix.json`.

    GitLab: write the entries of `include` to `parallel: matrix:` of a generated child pipeline (at most 200, and at
    least one).

    Example: threatmon fleet matrix --changed-since origin/main --shards 20
    """
    targets = selected(stacks, changed_since)
    if shards is None and len(targets) > _MOST_JOBS:
        raise UsageError(
            f"{len(targets)} stacks are more than the {_MOST_JOBS} jobs of a matrix; group them, such as --shards 50."
        )
    entries = (
        [{"stack": target.stack, "account": target.account_id, "region": target.region} for target in targets]
        if shards is None
        else groups([target.stack for target in targets], shards)
    )
    # Without blanks, so that a workflow can compare it with the empty matrix.
    typer.echo(json.dumps({"include": entries}, separators=(",", ":")))


def groups(stacks: Sequence[str], shards: int) -> list[dict[str, str]]:
    """Return the stacks in at most ``shards`` groups, none empty, whose sizes differ by one at most.

    Neighbours by name (prod-a, prod-b) tend to take equally long, so they go to different groups.
    """
    ordered, count = sorted(stacks), min(shards, len(stacks))
    return [{"shard": f"{first + 1}/{count}", "stacks": ",".join(ordered[first::count])} for first in range(count)]
