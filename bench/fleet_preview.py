"""`threatmon fleet`, and what it took: written as JSON to a file when it ends.

    python bench/fleet_preview.py FILE preview [OPTION...]

Runs in the project's folder. `own` are CPU seconds of this process, `engines` those of its children; `memory` is the
peak of this process in MiB.
"""

import atexit
import json
import os
import resource
import sys
from pathlib import Path


def _write(file: Path) -> None:
    times = os.times()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    cost = {
        "own": times.user + times.system,
        "engines": times.children_user + times.children_system,
        "memory": memory,
    }
    file.write_text(json.dumps(cost))


def _main() -> None:
    file = Path(sys.argv[1]).resolve()
    atexit.register(_write, file)
    sys.argv[:2] = ["threatmon", "fleet"]
    sys.path[0] = str(Path.cwd())  # the project, not this file's folder
    from threatmon.cli import main  # noqa: PLC0415 - found by the path above

    main()


if __name__ == "__main__":
    _main()
