"""What the collector of garbage need not look at."""

import gc
from functools import cache


@cache
def keep_imports() -> None:
    """Takes what the imports have made out of every collection, once in a process.

    It is never garbage, and walking through it costs a run a tenth of a second:
    https://docs.python.org/3/library/gc.html#gc.freeze
    """
    gc.freeze()
