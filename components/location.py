"""The account, Region and partition of a component."""

import pulumi
import pulumi_aws as aws

from components.outputs import result_of
from threatmon.model.location import Location


def location_of(component: pulumi.Resource, known: pulumi.Output[Location] | None = None) -> pulumi.Output[Location]:
    """Return the account, Region and partition of a component's provider, or ``known``, which saves asking AWS again.

    AWS is asked, instead of the ARN of a resource read, so that a preview shows whole policy documents before anything
    exists.
    """
    if known is not None:
        return known
    opts = pulumi.InvokeOutputOptions(parent=component)
    identity = aws.get_caller_identity_output(opts=opts)
    partition = aws.get_partition_output(opts=opts)
    return result_of(
        Location,
        id=identity.account_id,
        region=aws.get_region_output(opts=opts).region,
        partition=partition.partition,
        dns_suffix=partition.dns_suffix,
    )
