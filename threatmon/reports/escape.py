"""Escape any text, so that GitHub's Markdown shows it and does nothing else."""

import re

from threatmon.model.one_line import one_line

# Anything before a space, pipe, backslash or backtick: what a code span holds in a table, too.
_WORDS = re.compile(r"([ |\\`]+)")
# What GitHub acts on after it has read the Markdown, so that no backslash prevents it: mentions, mail and other
# addresses, references to issues, formulas, emoji. Two digits between colons are a time. A commit is linked only if the
# repository has it. https://docs.github.com/en/get-started/writing-on-github/working-with-advanced-formatting
_LIVE = re.compile(r"@|://|www\.|#\d|gh-\d|\$|:(?!\d\d:)[\w+-]{1,60}:", re.IGNORECASE)
_MARKUP = str.maketrans({char: f"\\{char}" for char in "\\`*_[]<>|~#"} | {"&": "&amp;"})
# What begins a list, rule or underline: not a date, nor a number with its sign.
_LINE_START = re.compile(r"^(\d+(?=[.)](?: |$))|(?=[-+=](?:[-+= ]|$)))")
_BACKTICKS = re.compile("`+")


def markdown(text: object) -> str:
    """Return a text as Markdown for a paragraph, heading or cell; a word that GitHub would act on becomes code.

    Spaces around it are dropped, as Markdown does.
    """
    words = _WORDS.split(one_line(text).strip())
    escaped = "".join(f"`{word}`" if _LIVE.search(word) else word.translate(_MARKUP) for word in words)
    return _LINE_START.sub(r"\1\\", escaped)


def code(text: object) -> str:
    """Return a text as a code span, anywhere but in a table (https://github.github.com/gfm/#code-spans)."""
    line = one_line(text) or " "
    ticks = "`" * (_longest_run(line) + 1)
    padding = " " if line.strip(" `") != line and line.strip() else ""
    return f"{ticks}{padding}{line}{padding}{ticks}"


def fenced(language: str, lines: list[str]) -> list[str]:
    """Return lines as fenced code; the fence is longer than any in them."""
    shown = [one_line(line).rstrip() for line in lines]
    fence = "`" * max(3, _longest_run("\n".join(shown)) + 1)
    return [f"{fence}{language}", *shown, fence]


def _longest_run(text: str) -> int:
    return max(map(len, _BACKTICKS.findall(text)), default=0)
