import subprocess
import sys

SCRIPT = """
import gc
from threatmon.garbage import keep_imports
keep_imports()
first = gc.get_freeze_count()
held = [[] for _ in range(10_000)]
keep_imports()
print(first > 0, gc.get_freeze_count() == first)
"""


def test_what_comes_after_the_imports_is_still_collected_however_often_the_program_runs() -> None:
    # In a process of its own: what is frozen stays so.
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True"]
