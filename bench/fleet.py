"""What a preview of many stacks costs: `threatmon fleet preview` beside a loop of `pulumi preview`.

    PYTHONPATH=tests python bench/fleet.py [--stacks N...] [--parallel N] [--loop N]

Both run the real engine against the same stand-in provider, a process of its own that counts to neither: the engines
attach to it instead of starting a plugin. The stacks exist in a local state backend, in two states: not deployed, so
that all is to be created, and deployed as the program wants them, so that nothing is to be done. Needs `pulumi` on
PATH.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from fleet_stacks import ROOT, Stacks, new_stacks
from rich.console import Console

from threatmon.reports.model import Check, Checks, Report, Section, Table
from threatmon.reports.text import print_report

SIZES = (10, 50, 200)
OWN_GOAL = 0.15  # CPU seconds of our own process for a further stack; what met 0.10 saved no wall-clock time
RATIO_GOAL = 0.4  # of the loop's CPU and wall-clock time, at every size
MEMORY_GOAL = 1.1  # of the peak at the smallest size
STATES = ("not deployed, all to be created", "deployed, nothing to be done")
COLUMNS = ("Stacks", "Own s", "A stack", "Engine s", "Wall", "MiB", "Loop s", "Wall", "CPU", "Wall")
_WRONG_USE = 2


class FleetRun(NamedTuple):
    """One `fleet preview`: CPU seconds of its process, the engines and the stand-in; wall-clock seconds; peak MiB."""

    own: float
    engines: float
    provider: float
    wall: float
    memory: float


class ComparisonRow(NamedTuple):
    """Fleet and loop for a number of stacks; CPU and wall-clock seconds of the loop, which ran on ``looped``."""

    stacks: int
    looped: int
    ours: FleetRun
    looped_cpu: float
    looped_wall: float

    @property
    def loop(self) -> tuple[float, float]:
        """CPU and wall-clock seconds of a loop over all stacks: it has nothing that many could share."""
        return self.looped_cpu * self.stacks / self.looped, self.looped_wall * self.stacks / self.looped

    @property
    def ratios(self) -> tuple[float, float]:
        """CPU time of ours, engines included, to the loop's, and wall-clock time."""
        cpu, wall = self.loop
        return (self.ours.own + self.ours.engines) / cpu, self.ours.wall / wall


def run_ours(stacks: Stacks, parallel: int) -> FleetRun:
    """Run `threatmon fleet preview` of all stacks."""
    with tempfile.TemporaryDirectory() as name:
        file = Path(name, "cost.json")
        command = [sys.executable, str(ROOT / "bench" / "fleet_preview.py"), str(file), "fleet", "preview"]
        provider, began = stacks.provider_cpu(), time.perf_counter()
        _run(stacks, [*command, "--parallel", str(parallel)])
        wall = time.perf_counter() - began
        return FleetRun(provider=stacks.provider_cpu() - provider, wall=wall, **json.loads(file.read_text()))


def run_loop(stacks: Stacks, names: Sequence[str], parallel: int) -> tuple[float, float]:
    """Run `pulumi preview` of each of these stacks, as `xargs -P` would; return CPU and wall-clock seconds."""
    began = time.perf_counter()
    with ThreadPoolExecutor(parallel) as pool:
        commands = [["pulumi", "preview", "--stack", name, "--json", "--non-interactive"] for name in names]
        cpu = sum(pool.map(lambda command: _run(stacks, command), commands))
    return cpu, time.perf_counter() - began


def _run(stacks: Stacks, command: Sequence[str]) -> float:
    """Return the CPU seconds of a command and all its children. Ends the bench, with its own message, if it fails."""
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            command, cwd=stacks.folder, env=stacks.environment, stdout=output, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        if process.returncode:
            sys.exit(f"{' '.join(command)} failed:\n{output.read()[-2000:]}")
    return usage.ru_utime + usage.ru_stime


def report(title: str, rows: Sequence[ComparisonRow]) -> Report:
    """Report the rows and the goals."""
    last = rows[-1]
    note = (
        "CPU seconds, wall-clock seconds, MiB at the peak of our own process; ratios. Not counted: the stand-in, "
        f"{last.ours.provider / last.stacks:.2f} CPU seconds a stack for either. ~ the loop ran on {last.looped} "
        "stacks, and is taken to cost each further one the same."
    )
    table = Table("", COLUMNS, [_cells(row) for row in rows])
    return Report(title, [Section("", [table, note, Checks(list(goals(rows)))])])


def _cells(row: ComparisonRow) -> list[str]:
    ours, about = row.ours, "~" if row.looped < row.stacks else ""
    numbers = [ours.own, ours.own / row.stacks, ours.engines, ours.wall, ours.memory]
    cells = [f"{number:{form}}" for number, form in zip(numbers, (".1f", ".3f", ".1f", ".1f", ".0f"), strict=True)]
    return [str(row.stacks), *cells, *(f"{about}{value:.1f}" for value in row.loop), *(f"{r:.2f}" for r in row.ratios)]


def goals(rows: Sequence[ComparisonRow]) -> Iterator[Check]:
    """Yield each goal, what was measured, and whether it is met."""
    least, most = rows[0], rows[-1]
    if most.stacks > least.stacks:
        # Imports and the engine's version are paid once, whatever the number: the goal is about the stacks.
        further = (most.ours.own - least.ours.own) / (most.stacks - least.stacks)
        between = f"from {least.stacks} to {most.stacks}"
        yield _goal(f"own CPU seconds for a further stack, {between}", further, OWN_GOAL)
        yield _goal(f"growth of the peak memory, {between}", most.ours.memory / least.ours.memory, MEMORY_GOAL)
    else:
        yield _goal("own CPU seconds a stack, start included", most.ours.own / most.stacks, OWN_GOAL)
    yield _goal("CPU to the loop's, the worst size", max(row.ratios[0] for row in rows), RATIO_GOAL)
    yield _goal("wall clock to the loop's, the worst size", max(row.ratios[1] for row in rows), RATIO_GOAL)


def _goal(what: str, found: float, goal: float) -> Check:
    return Check("ok" if found <= goal else "failed", what, f"{found:.3f} (goal: at most {goal})")


def main() -> None:
    """Compare the two for each number of stacks and each state of them, and print a table and the goals."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stacks", type=int, nargs="+", default=SIZES, metavar="N", help="sizes")
    parser.add_argument("--parallel", type=int, default=4, metavar="N", help="stacks under way at a time, of both")
    parser.add_argument("--loop", type=int, default=30, metavar="N", help="stacks the loop runs on at most")
    options = parser.parse_args()
    if not shutil.which("pulumi"):
        print("pulumi is not on PATH: https://www.pulumi.com/docs/iac/download-install/", file=sys.stderr)
        sys.exit(_WRONG_USE)

    console = Console()
    # What else ran makes the wall-clock times longer, and on shared cores CPU times too.
    load = os.getloadavg()[0]
    circumstances = f"{options.parallel} at a time, {os.cpu_count()} cores, load {load:.1f} before"
    with tempfile.TemporaryDirectory() as name, new_stacks(Path(name)) as stacks:
        for state in STATES:
            if state.startswith("deployed"):
                stacks.deploy_first()
            rows: list[ComparisonRow] = []
            for size in sorted(set(options.stacks)):
                with console.status(f"{size} stacks, {state}"):
                    looped = stacks.make(size)[: options.loop]
                    ours = run_ours(stacks, options.parallel)
                    rows.append(ComparisonRow(size, len(looped), ours, *run_loop(stacks, looped, options.parallel)))
            print_report(report(f"Stacks {state}; {circumstances}", rows), console)


if __name__ == "__main__":
    main()
