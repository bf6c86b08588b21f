"""Runs `threatmon` in the project's folder; writes what it took to a file as JSON.

    python bench/fleet_preview.py FILE fleet preview [OPTION...]

`own` are CPU seconds of this process, `engines` those of its children; `memory` is the peak of this process in MiB.
"""

import json
import os
import resource
import sys
from pathlib import Path

file = Path(sys.argv.pop(1)).resolve()
sys.path[0] = str(Path.cwd())  # the project, not this file's folder

from threatmon.cli import main  # noqa: E402 - found by the path above

try:
    main()
finally:
    times, peak = os.times(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    own, engines = times.user + times.system, times.children_user + times.children_system
    file.write_text(json.dumps({"own": own, "engines": engines, "memory": peak}))
