"""Texts of IAM policies in which ``*`` stands for any characters and ``?`` for one.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_resource.html#reference_policies_elements_resource_wildcards
A policy variable (``${aws:username}``) matches only itself, because its value is not known here.
"""

import re
from collections.abc import Callable
from fnmatch import fnmatchcase

_VARIABLE = re.compile(r"\$\{[^}]*\}")
_PRIVATE = 0xF0000  # code points without meaning: https://www.unicode.org/faq/private_use.html


def matches(pattern: str, value: str) -> bool:
    """Return whether a pattern matches a text, which has no wildcards. Case matters; IAM ignores it in actions."""
    return fnmatchcase(value, _glob(pattern))


def arn_matches(pattern: str, arn: str) -> bool:
    """Return whether a pattern matches an ARN, each of the six parts separately, as ARN operators of conditions do."""
    return _by_part(matches, pattern, arn)


def covers(pattern: str, other: str) -> bool:
    """Return whether a pattern matches every text that the ``other`` pattern matches."""
    # As one character each, variables are compared as a whole, and `?` can exclude them.
    variables = dict.fromkeys(_VARIABLE.findall(pattern) + _VARIABLE.findall(other))
    for index, variable in enumerate(variables):
        pattern, other = (text.replace(variable, chr(_PRIVATE + index)) for text in (pattern, other))
    return fnmatchcase(other, _glob(pattern).replace("?", f"[!*{chr(_PRIVATE)}-{chr(0xFFFFD)}]"))


def arn_covers(pattern: str, other: str) -> bool:
    """Return whether a pattern of ARNs matches every ARN that the ``other`` matches, by :func:`arn_matches`."""
    return _by_part(covers, pattern, other)


def _glob(pattern: str) -> str:
    return pattern.replace("[", "[[]")  # the one character that has a meaning in fnmatch, and none in IAM


def _by_part(test: Callable[[str, str], bool], one: str, other: str) -> bool:
    ones, others = one.split(":", 5), other.split(":", 5)
    return len(ones) == len(others) and all(map(test, ones, others))
