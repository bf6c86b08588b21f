"""The prices of AWS, in USD; other Regions have other ones.

Also from https://aws.amazon.com/kms/pricing/ and https://aws.amazon.com/sns/pricing/.
"""

from collections.abc import Mapping, Sequence
from math import inf

DATED = "2026-09"
REGION = "us-east-1"
SOURCE = "https://aws.amazon.com/cloudwatch/pricing/"
CAVEAT = "taken from secondary sources, not from the price list itself; check them there"

Tiers = Sequence[tuple[float, float]]
"""Ascending: up to which quantity of a month, and the price of a unit of that part."""

# A GB, by the class of the log group.
LOGS_DELIVERY: Mapping[str, Tiers] = {
    "STANDARD": ((10_240, 0.50), (30_720, 0.25), (51_200, 0.10), (inf, 0.05)),
    "INFREQUENT_ACCESS": ((10_240, 0.25), (30_720, 0.15), (51_200, 0.075), (inf, 0.05)),
}
LOGS_STORAGE = 0.03  # a GB and month, as stored, in either class
LOGS_INSIGHTS_SCAN = 0.005  # a GB that a query reads
KMS_KEY = 1.00  # a customer-managed key and month
DASHBOARD, FREE_DASHBOARDS = 3.00, 3
ALARM_METRIC, FREE_ALARM_METRICS = 0.10, 10
MAIL, FREE_MAILS = 2.00 / 100_000, 1_000
HTTPS, FREE_HTTPS = 0.60 / 1_000_000, 100_000


def tiered(quantity: float, tiers: Tiers) -> float:
    """Return the price of a quantity whose parts have different prices."""
    lower_ends = [0.0, *(upper for upper, _ in tiers)]
    return sum(
        max(0.0, min(quantity, upper) - lower) * price for lower, (upper, price) in zip(lower_ends, tiers, strict=False)
    )
