"""The folded previews of a fleet as one comment on a pull request.

GitHub takes 65,536 characters and renders its own Markdown: https://github.github.com/gfm/
Text that may come from anywhere stands in code spans and fenced code alone, which render no markup or HTML and mention
nobody.
"""

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

from threatmon.fleet.grouping import Folded
from threatmon.fleet.preview_report import (
    FULL,
    PREVIEW,
    Detail,
    Line,
    Noun,
    Part,
    Wording,
    counted,
    first_few,
    headline,
    is_long,
    meaning,
    parts,
    short,
)

LIMIT = 65_536

# Tried in turn: better to show less of each than to leave some out.
_DETAILS = (FULL, Detail(lines=8, width=160, names=1000), Detail(lines=2, width=100, names=0))
# Who gets room in turn where there is none for all, and how much of what is left: what is dangerous and what failed
# stay longest, neither at the whole cost of the other.
_SHARES: Sequence[tuple[Noun, float]] = (
    ("dangerous change", 2 / 3),
    ("failure", 1),
    ("dangerous change", 1),
    ("change", 1),
    ("new stack", 1),
    ("unchanged stack", 1),
    ("note", 1),
)
_VITAL = ("dangerous change", "failure")
# In fenced `diff`, what is added is green, what goes red, and what changes orange.
_DIFF_SIGNS = {"~": "!"}
_PLAIN_URL = re.compile(r"https?://[\w./:?=&%#~+,-]+", re.ASCII)


def markdown(folded: Folded, wording: Wording = PREVIEW, *, limit: int = LIMIT, pointer: str = "") -> str:
    """The comment, of ``limit`` characters at most.

    What finds no room is counted at the end, with ``pointer``: an address, or words, for where the whole report is.
    Raises :class:`ValueError` where not even the headline finds room.
    """
    top = f"{wording.marker}\n## {headline(folded, wording)}\n"
    hows = [_How(detail, wording, pointer or wording.command) for detail in _DETAILS]
    for how in hows:
        whole = top + "".join(_block(it, len(it.entries), how) for it in parts(folded, how.detail))
        if len(whole) <= limit:
            return whole
    return _cut(top, folded, limit, next((it for it in hows if _vital(folded, it) <= limit // 2), hows[-1]))


class _How(NamedTuple):
    detail: Detail
    wording: Wording
    pointer: str


def _vital(folded: Folded, how: _How) -> int:
    return sum(len(_block(it, len(it.entries), how)) for it in parts(folded, how.detail) if it.noun in _VITAL)


def _cut(top: str, folded: Folded, limit: int, how: _How) -> str:
    """As many entries of each part as there is room for, and how many more there are."""
    found = parts(folded, how.detail)
    kept = [0] * len(found)
    room = limit - len(top) - len(_rest(found, kept, how.pointer))
    if room < 0:
        raise ValueError(f"limit: {limit} characters are too few for the headline and the pointer")
    for noun, share in _SHARES:
        left = int(room * share)
        for place, part in enumerate(found):
            if part.noun == noun:
                before = len(_block(part, kept[place], how))
                kept[place] = _fitting(part, how, before + left)
                grown = len(_block(part, kept[place], how)) - before
                left, room = left - grown, room - grown
    body = "".join(_block(part, shown, how) for part, shown in zip(found, kept, strict=True))
    return f"{top}{body}{_rest(found, kept, how.pointer)}"


def _fitting(part: Part, how: _How, room: int) -> int:
    """How many of the part's entries there is room for."""
    return bisect_right(range(1, len(part.entries) + 1), room, key=lambda it: len(_block(part, it, how)))


def _rest(found: Sequence[Part], kept: Sequence[int], pointer: str) -> str:
    """The sentence on what is not shown."""
    left: Counter[Noun] = Counter()
    for part, shown in zip(found, kept, strict=True):
        left[part.noun] += sum(it.number for it in part.entries[shown:])
    told = [counted(left[noun], noun) for noun in dict(_SHARES) if left[noun]]
    where = f"<{pointer}>" if _PLAIN_URL.fullmatch(pointer) else code(pointer)
    several = " and ".join([", ".join(told[:-1]), told[-1]] if told[1:] else told)
    return f"\n... {several} {'is' if left.total() == 1 else 'are'} not shown here; the whole report: {where}\n"


def _block(part: Part, shown: int, how: _How) -> str:
    """A part with its first entries, complete in itself; nothing without any."""
    if not shown:
        return ""
    allowed = f"Allowed by {code(f'--allow {part.kind}')}." if how.wording.can_allow else ""
    kind = [f"{meaning(part.kind)}{allowed}".rstrip(), ""] if part.kind else []
    lines = [line for entry in part.entries[:shown] for line in entry.lines]
    return "\n".join(
        [
            "",
            f"### {part.title}",
            "",
            *kind,
            *_stacks(part.stacks, how.detail),
            *(["", *_fenced(lines)] if lines else []),
            "",
        ]
    )


def _stacks(names: Sequence[str], detail: Detail) -> list[str]:
    if not is_long(names) or not detail.names:
        return [first_few(names, code)]
    spelt = [code(it) for it in names]
    lengths = accumulate(len(it) + len(", ") for it in spelt)
    listed = spelt[: sum(it <= detail.names for it in lengths)]
    more = f" and {len(names) - len(listed):,} more" if len(listed) < len(names) else ""
    summary = f"<details><summary>All {len(names):,} stacks</summary>"
    return [first_few(names, code), "", summary, "", f"{', '.join(listed)}{more}", "", "</details>"]


def _fenced(lines: Sequence[Line]) -> list[str]:
    """The lines as they are: the fence is longer than any in them."""
    is_diff = any(it.sign.strip() for it in lines)
    shown = [f"{_DIFF_SIGNS.get(it.sign, it.sign)} {it.text}".rstrip() if is_diff else it.text for it in lines]
    fence = "`" * max(3, _longest_run("\n".join(shown)) + 1)
    return [f"{fence}{'diff' if is_diff else 'text'}", *shown, fence]


def code(text: str) -> str:
    """A code span of any text (https://github.github.com/gfm/#code-spans)."""
    line = short(text) or " "
    ticks = "`" * (_longest_run(line) + 1)
    padding = " " if line.strip(" `") != line and line.strip() else ""
    return f"{ticks}{padding}{line}{padding}{ticks}"


def _longest_run(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)
