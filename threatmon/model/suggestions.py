"""Suggestions ("did you mean") for mistyped words."""

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """Return a question to end a message with, by the known word nearest to ``word``; nothing if none is near."""
    by_lower_case = {name.lower(): name for name in known}
    near = get_close_matches(str(word).lower(), by_lower_case, n=1)
    return f'; did you mean "{by_lower_case[near[0]]}"?' if near else ""
