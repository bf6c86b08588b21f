"""The files of events or findings that commands read."""

import sys
from pathlib import Path

from threatmon.errors import UsageError
from threatmon.evaluation import findings


def read_events(path: Path) -> list[findings.Event]:
    """Return the events of a file, in any form that :func:`findings.read` knows; ``-`` is standard input.

    Raise :class:`UsageError` with one line for each fault.
    """
    try:
        return findings.read(sys.stdin.buffer.read() if path == Path("-") else path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None
    except findings.FindingError as error:
        raise UsageError("\n".join(f"{path}: {line}" for line in str(error).splitlines())) from None
