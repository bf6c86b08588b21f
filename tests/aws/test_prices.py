from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from threatmon.aws.prices import LOGS_DELIVERY, Tiers, tiered

TB = 1024
CLASSES = st.sampled_from(list(LOGS_DELIVERY))


@pytest.mark.parametrize(
    ("gb", "standard", "infrequent"),
    [
        (0, 0, 0),
        (1, 0.50, 0.25),
        (10 * TB, 5_120, 2_560),
        (10 * TB + 1, 5_120.25, 2_560.15),
        (30 * TB + 1, 10_240.10, 5_632.075),
        (50 * TB + 1, 12_288.05, 7_168.05),
        (100 * TB, 14_848, 9_728),
    ],
)
def test_each_part_of_a_volume_is_billed_at_the_price_of_its_tier(
    gb: float, standard: float, infrequent: float
) -> None:
    assert tiered(gb, LOGS_DELIVERY["STANDARD"]) == pytest.approx(standard)
    assert tiered(gb, LOGS_DELIVERY["INFREQUENT_ACCESS"]) == pytest.approx(infrequent)


@pytest.mark.parametrize("tiers", LOGS_DELIVERY.values(), ids=LOGS_DELIVERY)
def test_tiers_ascend_from_nothing_and_the_price_falls(tiers: Tiers) -> None:
    assert tiers[0][0] == 0
    assert all(lower[0] < upper[0] and lower[1] > upper[1] for lower, upper in pairwise(tiers))


@given(CLASSES, st.integers(0, 200_000), st.integers(0, 200_000))
def test_more_never_costs_less_and_never_more_than_apart(group_class: str, one: int, other: int) -> None:
    together, first, second = (tiered(gb, LOGS_DELIVERY[group_class]) for gb in (one + other, one, other))
    assert max(first, second) <= together * (1 + 1e-9)
    assert together <= (first + second) * (1 + 1e-9)
