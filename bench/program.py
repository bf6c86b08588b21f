"""What the project's code costs on top of Pulumi: CPU time and memory of the program beside a bare one.

    python bench/program.py [--pairs N] [--subnets N...]

The bare program is generated from what ours registers. Each measurement is a fresh process; bare and ours take turns,
so that a slow minute of the machine hits both. The ratio is the median over the pairs.
"""

import argparse
import json
import os
import py_compile
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bare import bare_program
from rich.console import Console

from threatmon.reports.model import Report, Section, Status, Table
from threatmon.reports.text import print_report

ROOT = Path(__file__).resolve().parents[1]
OURS = ROOT / "__main__.py"
SUBNETS = (1, 10, 100, 1000)
GOAL = 1.10
COLUMNS = ("Subnets", "Resources", "Bare s", "Wall", "MiB", "Ours s", "Wall", "MiB", "Ratio")


class RunCost(NamedTuple):
    """One run: CPU seconds (user and system), wall-clock seconds, peak resident memory in MiB."""

    cpu: float
    wall: float
    memory: float


def run(program: Path, subnets: int, *options: str) -> tuple[RunCost, str]:
    """Return the cost and the output of one run. Ends the bench, with the run's own message, if it fails."""
    command = [sys.executable, str(ROOT / "bench" / "mocked.py"), str(program), str(subnets), *options]
    # Files, because wait4 gives what this one process took, and nobody would empty a pipe meanwhile.
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        started = time.perf_counter()
        process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=output, stderr=errors)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        if process.returncode:
            sys.exit(f"{program} failed:\n{errors.read()}")
        return RunCost(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss / 1024), output.read()


def recorded(program: Path, subnets: int) -> list[dict[str, Any]]:
    """Return what the program asks of Pulumi."""
    return [json.loads(line) for line in run(program, subnets, "--record")[1].splitlines()]


def write_bare(folder: Path, subnets: int) -> tuple[Path, int]:
    """Write the bare program; return it and its number of resources. Ends the bench unless it registers the same."""
    ours = recorded(OURS, subnets)
    source, compiled = folder / "bare.py", folder / "bare.pyc"
    source.write_text(bare_program(ours))
    py_compile.compile(str(source), str(compiled), doraise=True)  # to parse so many literals is no part of the cost
    theirs, expected = map(_registrations, (recorded(compiled, subnets), ours))
    if theirs != expected:
        differ = [pair for pair in zip(theirs, expected, strict=False) if pair[0] != pair[1]]
        sys.exit(
            f"The bare program registers something else for {subnets} subnets: {differ[:1] or 'a different number'}"
        )
    return compiled, len(expected)


def _registrations(calls: Sequence[dict[str, Any]]) -> list[list[Any]]:
    rows = [[call["type"], call["name"], call["inputs"], len(call["dependencies"])] for call in calls if "urn" in call]
    return sorted(rows, key=lambda row: row[:2])


def row(subnets: int, resources: int, pairs: Sequence[tuple[RunCost, RunCost]]) -> list[str | Status]:
    """Return one line of the table: medians, and the median of the pairs' ratios."""
    ratio = statistics.median(ours.cpu / bare.cpu for bare, ours in pairs)
    costs = [RunCost(*map(statistics.median, zip(*runs, strict=True))) for runs in zip(*pairs, strict=True)]
    cells = [cell for cost in costs for cell in (f"{cost.cpu:.2f}", f"{cost.wall:.2f}", f"{cost.memory:.0f}")]
    return [f"{subnets:,}", f"{resources:,}", *cells, Status("ok" if ratio <= GOAL else "failed", f"{ratio:.2f}")]


def main() -> None:
    """Compare the two programs for each number of subnets, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=9, help="runs of each program for each size; a third at 1,000")
    parser.add_argument("--subnets", type=int, nargs="+", default=SUBNETS, help="sizes")
    options = parser.parse_args()

    console = Console()
    rows: list[list[str | Status]] = []
    for subnets in options.subnets:
        with tempfile.TemporaryDirectory() as folder, console.status(f"{subnets:,} subnets") as status:
            bare, resources = write_bare(Path(folder), subnets)
            count = options.pairs if subnets < max(SUBNETS) else max(3, options.pairs // 3)
            pairs: list[tuple[RunCost, RunCost]] = []
            for number in range(count):
                status.update(f"{subnets:,} subnets, pair {number + 1} of {count}")
                pairs.append((run(bare, subnets)[0], run(OURS, subnets)[0]))
        rows.append(row(subnets, resources, pairs))
    units = f"CPU seconds, wall-clock seconds, MiB at the peak: medians of {options.pairs} pairs, of fewer at 1,000."
    goal = f"Goal: ratio of CPU at most {GOAL:.2f}."
    print_report(
        Report("The program beside a bare one", [Section("", [Table("", COLUMNS, rows), units, goal])]), console
    )


if __name__ == "__main__":
    main()
