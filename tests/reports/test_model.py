import pytest

from threatmon.reports.model import Check, Checks, Status, Table, counted, first_few, short, size, table, verbatim


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (1_500_000, "1.5 MB"),
        (2 * 10**9, "2.0 GB"),
        (10**16, "10000.0 TB"),
    ],
)
def test_bytes_are_in_the_unit_people_read(count: int, text: str) -> None:
    assert size(count) == text


def test_a_table_has_its_first_rows_and_counts_the_others() -> None:
    made = table("Ports", ("Port", "Name"), [(22, Status("ok")), (4444, None), (1, "x")], 2)
    assert made == Table("Ports", ("Port", "Name"), [("22", Status("ok")), ("4444", "")], 1)


def test_a_status_is_its_state_unless_it_has_a_word() -> None:
    assert (str(Status("failed")), str(Status("ok", "covered"))) == ("failed", "covered")


def test_checks_have_a_column_of_what_to_do_only_if_there_is_anything_to_do() -> None:
    fine, broken = Check("ok", "key", "fine"), Check("failed", "topic", "is gone", "Deploy it.")
    assert Checks([fine]).as_table() == Table(
        "", ("State", "What", "Found"), [(Status("ok"), "key", "fine")], heading="What"
    )
    assert Checks([fine, broken]).as_table().rows[1] == (Status("failed"), "topic", "is gone", "Deploy it.")


def test_long_lists_and_texts_are_cut_and_numbers_have_their_nouns() -> None:
    assert first_few(["a", "b", "c"]) == "a, b, c"
    assert first_few([str(number) for number in range(2003)], most=2) == "0, 1 and 2,001 more"
    assert (counted(1, "change"), counted(1200, "change")) == ("1 change", "1,200 changes")
    assert (short("abc", 3), short("abcd", 3)) == ("abc", "ab…")
    assert verbatim("a\n b").lines() == ["a", " b"]
