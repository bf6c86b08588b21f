"""Where a component's provider deploys to."""

import pulumi
import pulumi_aws as aws

from threatmon.model.location import Location


def account_of(parent: pulumi.Resource, known: pulumi.Output[Location] | None = None) -> pulumi.Output[Location]:
    """The account, Region and partition of ``parent``'s provider: ``known``, where somebody has asked already.

    Asked of AWS rather than read off the ARN of a resource, so that a preview shows whole policy documents before
    anything exists.
    """
    if known is not None:
        return known
    opts = pulumi.InvokeOutputOptions(parent=parent)
    identity = aws.get_caller_identity_output(opts=opts)
    region = aws.get_region_output(opts=opts)
    partition = aws.get_partition_output(opts=opts)
    return pulumi.Output.all(identity.account_id, region.region, partition.partition, partition.dns_suffix).apply(
        lambda parts: Location(*parts)
    )
