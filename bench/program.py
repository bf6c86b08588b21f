"""What the project's code costs on top of Pulumi: CPU time and memory of the program beside a bare one.

    python bench/program.py [--pairs N]

Each measurement is a fresh process; bare and ours take turns, so that a slow minute of the machine hits both. The
ratio is the median over the pairs.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from rich import box
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
BARE, OURS = ROOT / "bench" / "bare.py", ROOT / "__main__.py"
SUBNETS = (1, 10, 100, 1000)
GOAL = 1.10

# Type, names of the inputs, number of dependencies.
Row = tuple[str, tuple[str, ...], int]


class Cost(NamedTuple):
    """One run: CPU seconds (user and system), wall-clock seconds, peak resident memory in MiB."""

    cpu: float
    wall: float
    memory: float


def run(program: Path, subnets: int, *options: str) -> tuple[Cost, str]:
    """The cost and the output of one run. Ends the bench, with the run's own message, where it fails."""
    command = [sys.executable, str(ROOT / "bench" / "mocked.py"), str(program), str(subnets), *options]
    # Both find the project's modules; only ours asks for them.
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    # Files, because wait4 tells what this one process took, and nobody would empty a pipe meanwhile.
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        started = time.perf_counter()
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=errors)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        if process.returncode:
            sys.exit(f"{program} failed:\n{errors.read()}")
        return Cost(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss / 1024), output.read()


def registrations(program: Path, subnets: int) -> list[Row]:
    """What the program registers, components aside, sorted."""
    _, listing = run(program, subnets, "--list")
    return sorted((row[0], tuple(row[1]), row[2]) for row in map(json.loads, listing.splitlines()))


def check_same(subnets: int) -> int:
    """The number of resources both register; ends the bench where they are not the same ones."""
    bare, ours = registrations(BARE, subnets), registrations(OURS, subnets)
    if bare != ours:
        only_bare, only_ours = set(bare) - set(ours), set(ours) - set(bare)
        sys.exit(
            f"bench/bare.py and __main__.py register different resources for {subnets} subnets.\n"
            f"  {len(bare)} in bench/bare.py, of which only there: {sorted(only_bare)}\n"
            f"  {len(ours)} in __main__.py, of which only there: {sorted(only_ours)}"
        )
    return len(ours)


def row(subnets: int, resources: int, pairs: Sequence[tuple[Cost, Cost]]) -> list[str]:
    """One line of the table: medians, and the median of the pairs' ratios."""
    ratio = statistics.median(ours.cpu / bare.cpu for bare, ours in pairs)
    costs = [Cost(*map(statistics.median, zip(*runs, strict=True))) for runs in zip(*pairs, strict=True)]
    cells = [cell for cost in costs for cell in (f"{cost.cpu:.2f}", f"{cost.wall:.2f}", f"{cost.memory:.0f}")]
    return [f"{subnets:,}", f"{resources:,}", *cells, f"[{'green' if ratio <= GOAL else 'red'}]{ratio:.2f}[/]"]


def main() -> None:
    """Compares the two programs for each number of subnets, and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=9, help="runs of each program for each size; a third at 1,000")
    parser.add_argument("--subnets", type=int, nargs="+", default=SUBNETS, help="sizes")
    options = parser.parse_args()

    console = Console()
    table = Table(
        title="The program beside a bare one",
        caption=f"CPU seconds, wall-clock seconds, MiB at the peak: medians of {options.pairs} pairs, of fewer at"
        f" {max(SUBNETS):,}.\nGoal: ratio of CPU at most {GOAL:.2f}",
        box=box.SIMPLE_HEAD,
    )
    for heading in ("subnets", "resources", "bare s", "wall", "MiB", "ours s", "wall", "MiB", "ratio"):
        table.add_column(heading, justify="right")
    for subnets in options.subnets:
        resources = check_same(subnets)
        count = options.pairs if subnets < max(SUBNETS) else max(3, options.pairs // 3)
        pairs: list[tuple[Cost, Cost]] = []
        for number in range(count):
            with console.status(f"{subnets:,} subnets, pair {number + 1} of {count}"):
                pairs.append((run(BARE, subnets)[0], run(OURS, subnets)[0]))
        table.add_row(*row(subnets, resources, pairs))
    console.print(table)


if __name__ == "__main__":
    main()
