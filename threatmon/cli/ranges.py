"""The choice of some entries of a numbered list, such as ``1,3-5``."""

import re
from collections.abc import Iterable

from threatmon.model.one_line import one_line


def indexes_of(answer: str, count: int) -> list[int]:
    """Return the indexes that an answer means in a list of ``count``, numbered from 1.

    Raises :class:`ValueError` with what is wrong, for the user.
    """
    chosen: dict[int, None] = {}
    for part in answer.replace(",", " ").split():
        found = re.fullmatch(r"([0-9]{1,9})(?:-([0-9]{1,9}))?", part)
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
        if not 1 <= first <= last <= count:
            raise ValueError(f"{one_line(part)} is neither a number from 1 to {count} nor a range such as 1-{count}")
        chosen |= dict.fromkeys(range(first - 1, last))
    return list(chosen)


def as_ranges(indexes: Iterable[int]) -> str:
    """Return the shortest answer that :func:`indexes_of` reads as these indexes, in order."""
    ranges: list[tuple[int, int]] = []
    for number in sorted(index + 1 for index in indexes):
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1] = (ranges[-1][0], number)
        else:
            ranges.append((number, number))
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)
