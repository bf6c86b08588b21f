"""What matters in the text of a failed preview."""

import re
from textwrap import dedent

# Colours and the like: https://ecma-international.org/publications-and-standards/standards/ecma-48/
_CONTROL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
_START = re.compile(r"^Diagnostics:$", re.MULTILINE)
_END = re.compile(r"^(?:Outputs|Resources|Policies|Duration):?(?:\s|$)", re.MULTILINE)
# Progress, headings, and the frames of a traceback: where, not what.
_NOISE = re.compile(
    r"""\s*(?:
        @\ .* | \.+ | Diagnostics: | code:\ -?\d+ | std(?:out|err):(?:\ Previewing\ update.*)? | Previewing\ update.*
        | View\ (?:Live|in\ Browser).* | Traceback\ \(most\ recent\ call\ last\): | File\ ".*",\ line\ \d+.*
        | [\^~]+ | pulumi:pulumi:Stack\ \(.*\):
    )?""",
    re.VERBOSE,
)
_FRAME = re.compile(r"\s*File \".*\", line \d+")


def important(error: str) -> tuple[str, ...]:
    """The lines that say why: the engine's diagnostics where it gives some, without progress and traceback.

    Never empty, each line once.
    """
    text = _CONTROL.sub("", error)
    start = _START.search(text)
    if start:
        text = text[start.start() :]
        end = _END.search(text)
        text = text[: end.start()] if end else text
    lines = text.splitlines()
    # The line under a frame is its source code.
    kept = [
        line.rstrip()
        for above, line in zip(["", *lines], lines, strict=False)
        if not _NOISE.fullmatch(line) and not _FRAME.match(above)
    ]
    return tuple(dict.fromkeys(dedent("\n".join(kept)).splitlines())) or (" ".join(text.split()) or "no reason given",)
