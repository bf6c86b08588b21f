"""The Regions that botocore knows, without a call or credentials."""

from functools import cache
from typing import Any

from botocore.exceptions import UnknownRegionError
from botocore.loaders import Loader
from botocore.regions import EndpointResolver

from threatmon.errors import UsageError
from threatmon.model.location import Location


def location_in_region(region: str | None, source: str, account_id: str = "") -> Location:
    """Return the location in a Region, with the Region's partition.

    Raises :class:`UsageError` if it is missing or not a Region; ``source`` is the file that should name it.
    """
    if not region:
        raise UsageError(f"{source}: aws:region is not set; run `pulumi config set aws:region <region>`")
    endpoints = EndpointResolver(_endpoints())
    try:
        partition = endpoints.get_partition_for_region(region)
    except UnknownRegionError:
        raise UsageError(f"{source}: aws:region: {region} is not a Region of AWS") from None
    return Location(account_id, region, partition, str(endpoints.get_partition_dns_suffix(partition)))


def known_regions() -> list[str]:
    """Return the Regions of all partitions that this version of botocore lists."""
    return [region for partition in _endpoints()["partitions"] for region in partition["regions"]]


@cache
def _endpoints() -> dict[str, Any]:
    return Loader().load_data("endpoints")
