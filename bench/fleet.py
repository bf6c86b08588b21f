"""What a preview of many stacks costs: `threatmon fleet preview` beside a loop of `pulumi preview`.

    python bench/fleet.py [--stacks N...] [--parallel N] [--loop N]

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
from rich import box
from rich.console import Console
from rich.table import Table

SIZES = (10, 50, 200)
OWN_GOAL = 0.10  # CPU seconds of our own process for a further stack
RATIO_GOAL = 0.4  # of the loop's CPU and wall-clock time, at every size
MEMORY_GOAL = 1.1  # of the peak at the smallest size
_WRONG_USE = 2


class Ours(NamedTuple):
    """One run of ours: CPU seconds of its process, of the engines and of the stand-in; wall-clock seconds; peak memory
    of its process in MiB."""

    own: float
    engines: float
    provider: float
    wall: float
    memory: float


class Loop(NamedTuple):
    """One run of the loop: CPU seconds of all its processes and of the stand-in, wall-clock seconds."""

    cpu: float
    provider: float
    wall: float


class Row(NamedTuple):
    """Both for a number of stacks; the loop ran on ``looped`` of them."""

    stacks: int
    looped: int
    ours: Ours
    loop: Loop

    @property
    def whole_loop(self) -> Loop:
        """What the loop would take for all stacks: it has nothing that many could share."""
        return Loop(*(value * self.stacks / self.looped for value in self.loop))

    @property
    def cpu_ratio(self) -> float:
        """CPU time of ours, engines included, to the loop's."""
        return (self.ours.own + self.ours.engines) / self.whole_loop.cpu

    @property
    def wall_ratio(self) -> float:
        """Wall-clock time of ours to the loop's."""
        return self.ours.wall / self.whole_loop.wall


def run_ours(stacks: Stacks, parallel: int) -> Ours:
    """`threatmon fleet preview` of all stacks."""
    with tempfile.TemporaryDirectory() as name:
        file = Path(name, "cost.json")
        command = [sys.executable, str(ROOT / "bench" / "fleet_preview.py"), str(file)]
        provider, began = stacks.provider_cpu(), time.perf_counter()
        _run(stacks, [*command, "preview", "--parallel", str(parallel)])
        wall = time.perf_counter() - began
        return Ours(provider=stacks.provider_cpu() - provider, wall=wall, **json.loads(file.read_text()))


def run_loop(stacks: Stacks, names: Sequence[str], parallel: int) -> Loop:
    """`pulumi preview` of each of these stacks, so many at a time: what `xargs -P` would do."""

    def preview(name: str) -> float:
        return _run(stacks, ["pulumi", "preview", "--stack", name, "--json", "--non-interactive"])

    provider, began = stacks.provider_cpu(), time.perf_counter()
    with ThreadPoolExecutor(parallel) as pool:
        cpu = sum(pool.map(preview, names))
    wall = time.perf_counter() - began
    return Loop(cpu, stacks.provider_cpu() - provider, wall)


def _run(stacks: Stacks, command: Sequence[str]) -> float:
    """CPU seconds of a command and all its children. Ends the bench, with the command's own message, where it fails."""
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


def table(title: str, rows: Sequence[Row], loop_limit: int) -> Table:
    """The rows for people."""
    found = Table(
        title=title,
        caption="CPU seconds, wall-clock seconds, MiB at the peak of our own process; ratios.\n"
        f"Not counted: the stand-in, {rows[-1].ours.provider / rows[-1].stacks:.2f} CPU seconds a stack for either.\n"
        f"~ the loop ran on {loop_limit} stacks, and is taken to cost each further one the same.",
        box=box.SIMPLE_HEAD,
    )
    for heading in ("stacks", "own s", "a stack", "engine s", "wall", "MiB", "loop s", "wall", "CPU", "wall"):
        found.add_column(heading, justify="right")
    for row in rows:
        ours, loop, about = row.ours, row.whole_loop, "~" if row.looped < row.stacks else ""
        found.add_row(
            str(row.stacks),
            f"{ours.own:.1f}",
            f"{ours.own / row.stacks:.3f}",
            f"{ours.engines:.1f}",
            f"{ours.wall:.1f}",
            f"{ours.memory:.0f}",
            f"{about}{loop.cpu:.1f}",
            f"{about}{loop.wall:.1f}",
            f"{row.cpu_ratio:.2f}",
            f"{row.wall_ratio:.2f}",
        )
    return found


def verdicts(rows: Sequence[Row]) -> Iterator[str]:
    """Each goal, what was measured, and whether it is met."""
    least, most = rows[0], rows[-1]
    if most.stacks > least.stacks:
        # Imports and the engine's version are paid once, whatever the number: the goal is about the stacks.
        further = (most.ours.own - least.ours.own) / (most.stacks - least.stacks)
        yield _verdict(
            f"own CPU seconds for a further stack, from {least.stacks} to {most.stacks}", further, OWN_GOAL, ".3f"
        )
        growth = most.ours.memory / least.ours.memory
        yield _verdict(f"peak memory at {most.stacks} stacks to that at {least.stacks}", growth, MEMORY_GOAL, ".2f")
    else:
        yield _verdict("own CPU seconds a stack, start included", most.ours.own / most.stacks, OWN_GOAL, ".3f")
    yield _verdict("CPU to the loop's, the worst size", max(row.cpu_ratio for row in rows), RATIO_GOAL, ".2f")
    yield _verdict("wall clock to the loop's, the worst size", max(row.wall_ratio for row in rows), RATIO_GOAL, ".2f")


def _verdict(what: str, found: float, goal: float, form: str) -> str:
    met = "[green]met[/]" if found <= goal else "[red]missed[/]"
    return f"  {met}: {what}: {found:{form}} (goal: at most {goal:{form}})"


def main() -> None:
    """Compares the two for each number of stacks and each state of them, and prints a table and the goals."""
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
    sizes: list[int] = sorted(set(options.stacks))
    with tempfile.TemporaryDirectory() as name, new_stacks(Path(name)) as stacks:
        for state in ("not deployed, all to be created", "deployed, nothing to be done"):
            if state.startswith("deployed"):
                stacks.deploy_first()
            rows: list[Row] = []
            for size in sizes:
                with console.status(f"{size} stacks, {state}"):
                    names = stacks.make(size)
                    looped = names[: options.loop]
                    rows.append(
                        Row(
                            size,
                            len(looped),
                            run_ours(stacks, options.parallel),
                            run_loop(stacks, looped, options.parallel),
                        )
                    )
            console.print(table(f"Stacks {state}\n{circumstances}", rows, options.loop))
            console.print(*verdicts(rows), sep="\n", highlight=False)


if __name__ == "__main__":
    main()
