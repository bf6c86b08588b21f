"""What AWS charges, in USD; other Regions have other prices.

Besides :data:`SOURCE`: https://aws.amazon.com/kms/pricing/, https://aws.amazon.com/sns/pricing/,
https://aws.amazon.com/step-functions/pricing/.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import inf

DATED = "2026-09"
REGION = "us-east-1"
SOURCE = "https://aws.amazon.com/cloudwatch/pricing/"
CAVEAT = "taken from secondary sources, not from the price list itself; check them there"

Tiers = Sequence[tuple[float, float]]
"""Ascending: the quantity of a month from which on a price holds, and that price of a unit."""

# A GB, by the class of the log group.
LOGS_DELIVERY: Mapping[str, Tiers] = {
    "STANDARD": ((0, 0.50), (10_240, 0.25), (30_720, 0.10), (51_200, 0.05)),
    "INFREQUENT_ACCESS": ((0, 0.25), (10_240, 0.15), (30_720, 0.075), (51_200, 0.05)),
}
LOGS_STORAGE = 0.03  # a GB and month, as stored, in either class
LOGS_INSIGHTS_SCAN = 0.005  # a GB that a query reads
KMS_KEY = 1.00  # a customer-managed key and month
# A piece, and how many of a month are free in each account.
DASHBOARD = (3.00, 3)
ALARM_METRIC = (0.10, 10)
MAIL = (2.00 / 100_000, 1_000)
HTTPS = (0.60 / 1_000_000, 100_000)
STATE_TRANSITION = (0.025 / 1_000, 4_000)  # of a standard workflow: each state that an execution enters


def tiered(quantity: float, tiers: Tiers) -> float:
    """Return the price of a quantity, each part at the price of its tier."""
    return sum(
        max(0.0, min(quantity, upper) - lower) * price for (lower, price), (upper, _) in pairwise([*tiers, (inf, 0)])
    )
