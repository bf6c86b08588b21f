import pytest

from threatmon.aws.regions import known_regions, location_in_region
from threatmon.errors import UsageError
from threatmon.model.location import Location


@pytest.mark.parametrize(
    ("region", "partition", "suffix"),
    [
        ("eu-west-1", "aws", "amazonaws.com"),
        ("us-gov-west-1", "aws-us-gov", "amazonaws.com"),
        ("cn-north-1", "aws-cn", "amazonaws.com.cn"),
    ],
)
def test_a_region_has_a_partition_and_a_dns_suffix(region: str, partition: str, suffix: str) -> None:
    assert location_in_region(region, "Pulumi.dev.yaml", "1") == Location("1", region, partition, suffix)
    assert region in known_regions()


def test_a_region_that_is_missing_or_nowhere_is_a_fault_of_the_file() -> None:
    with pytest.raises(UsageError, match=r"^Pulumi\.dev\.yaml: aws:region is not set; run `pulumi config set aws:reg"):
        location_in_region("", "Pulumi.dev.yaml")
    with pytest.raises(UsageError, match=r"^Pulumi\.dev\.yaml: aws:region: nonsense is not a Region of AWS$"):
        location_in_region("nonsense", "Pulumi.dev.yaml")
