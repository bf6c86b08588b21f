import pytest
from hypothesis import given
from hypothesis import strategies as st

from threatmon.cli.ranges import as_ranges, indexes_of


@given(st.sets(st.integers(0, 60)))
def test_ranges_say_what_was_chosen(indexes: set[int]) -> None:
    assert indexes_of(as_ranges(indexes), 61) == sorted(indexes)


def test_neighbours_are_written_as_a_range() -> None:
    assert as_ranges([4, 0, 2, 3]) == "1,3-5"


@pytest.mark.parametrize(
    ("answer", "indexes"), [("1,3-5", [0, 2, 3, 4]), ("2 1, 2", [1, 0]), ("", []), (" , ", []), ("5-5", [4])]
)
def test_numbers_and_ranges_are_read_with_commas_or_spaces(answer: str, indexes: list[int]) -> None:
    assert indexes_of(answer, 5) == indexes


@pytest.mark.parametrize("answer", ["0", "6", "1-6", "3-1", "x", "1-", "-1", "1--2", "1.5", "\u0661", "9" * 10])
def test_what_is_no_number_of_the_list_is_refused(answer: str) -> None:
    with pytest.raises(ValueError, match=r"is neither a number from 1 to 5"):
        indexes_of(answer, 5)
