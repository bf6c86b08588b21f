from typing import get_args

import pytest

from threatmon.model.severity import BANDS, SeverityName, band_of, is_below, lowest


@pytest.mark.parametrize(
    ("lowest", "highest", "name"),
    [(-1.0, 3.9, "low"), (4, 6.9, "medium"), (7, 8.9, "high"), (9, 10.0, "critical"), (11, 100, "critical")],
)
def test_a_severity_belongs_to_the_one_band_aws_names(lowest: float, highest: float, name: str) -> None:
    for severity in (lowest, highest):
        assert [band.name for band in BANDS if severity in band] == [name]
        assert band_of(severity) in [band for band in BANDS if band.name == name]


def test_every_severity_up_to_ten_belongs_to_one_band() -> None:
    assert {sum(tenths / 10 in band for band in BANDS) for tenths in range(101)} == {1}


@pytest.mark.parametrize("value", [None, "5", True, [5]])
def test_only_a_number_belongs_to_a_band(value: object) -> None:
    assert not any(value in band for band in BANDS)
    assert band_of(value) is None


def test_a_floor_lets_through_what_is_in_its_band_or_above_and_no_floor_everything() -> None:
    assert get_args(SeverityName) == ("low", "medium", "high", "critical")
    assert [lowest(name) for name in get_args(SeverityName)] == [None, 4, 7, 9]
    assert lowest(None) is None


@pytest.mark.parametrize(
    ("severity", "below"),
    [
        ("Low", ["medium", "high", "critical"]),
        ("Medium", ["high", "critical"]),
        ("High", ["critical"]),
        ("Critical", []),
        ("Variable", []),
    ],
)
def test_a_catalogue_severity_is_below_the_floors_above_it_and_a_variable_one_below_none(
    severity: str, below: list[str]
) -> None:
    assert [floor for floor in get_args(SeverityName) if is_below(severity, floor)] == below
