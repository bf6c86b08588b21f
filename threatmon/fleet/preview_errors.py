"""The important lines in the output of a failed preview."""

import re
from textwrap import dedent

# The frames of a traceback: where, not what.
_NOISE = re.compile(r'\s*(?:Traceback \(most recent call last\):|File ".*", line \d+.*|[\^~]+)?')
_FRAME = re.compile(r'\s*File ".*", line \d+')


def important_lines(error: str) -> tuple[str, ...]:
    """Return the lines that say why, without tracebacks and duplicates; always at least one."""
    lines = error.splitlines()
    # The line under a frame is its source code.
    kept = [
        line.rstrip()
        for above, line in zip(["", *lines], lines, strict=False)
        if not _NOISE.fullmatch(line) and not _FRAME.match(above)
    ]
    return tuple(dict.fromkeys(dedent("\n".join(kept)).splitlines())) or (" ".join(error.split()) or "no reason given",)
