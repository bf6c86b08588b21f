import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from threatmon.evaluation.iam_wildcards import arn_covers, arn_matches, covers, matches

PATTERNS = st.text("ab*?", max_size=6)
VALUES = st.text("ab", max_size=6)


@given(PATTERNS, VALUES)
def test_a_star_is_any_characters_and_a_question_mark_is_one(pattern: str, value: str) -> None:
    assert matches(pattern, value) is bool(re.fullmatch(pattern.replace("*", ".*").replace("?", "."), value))


@given(PATTERNS, PATTERNS, VALUES)
def test_what_a_pattern_covers_matches_nothing_that_the_pattern_does_not_match(
    pattern: str, other: str, value: str
) -> None:
    assert not (covers(pattern, other) and matches(other, value)) or matches(pattern, value)


@pytest.mark.parametrize(
    ("pattern", "other", "covered"),
    [
        ("*", "?*", True),
        ("a?*", "ab*", True),
        ("a*", "a?", True),
        ("a?", "a*", False),
        ("a?", "a${x}", False),
        ("a*", "a${x}", True),
        ("*x}", "a${x}", False),
        ("${x}/*", "${x}/b", True),
        ("${x}/*", "${y}/b", False),
        ("${x}", "a", False),
        ("[ab]", "a", False),
        ("[ab]*", "[ab]c", True),
        ("a", "A", False),
    ],
)
def test_one_pattern_covers_another(pattern: str, other: str, covered: bool) -> None:
    assert covers(pattern, other) is covered


@pytest.mark.parametrize(
    ("pattern", "matched"),
    [
        ("arn:aws:sns:*:111122223333:alerts", True),
        ("arn:*:alerts", False),
        ("arn:aws:sns:*:alerts", False),
        ("arn:aws:sns:eu-*:*:a*s", True),
        ("*", False),
    ],
)
def test_each_part_of_an_arn_is_matched_separately(pattern: str, matched: bool) -> None:
    arn = "arn:aws:sns:eu-west-1:111122223333:alerts"
    assert arn_matches(pattern, arn) is matched
    assert arn_covers(pattern, arn) is matched
