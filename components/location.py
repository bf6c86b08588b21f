"""The account, Region and partition of a component, and what is named after them."""

import pulumi
import pulumi_aws as aws

from components.outputs import result_of
from threatmon.model import names
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


def arn_of(
    location: pulumi.Output[Location], service: str, name: pulumi.Output[str], kind: str = ""
) -> pulumi.Output[str]:
    """Return the ARN of a resource by its name (``kind`` is what stands before it, such as ``rule/``).

    A preview knows it before the resource exists, so that it shows the whole documents that name it.
    """
    return result_of(lambda place, name: place.arn(service, f"{kind}{name}"), place=location, name=name)


def role_name(location: pulumi.Output[Location], stack: str, logical: str) -> pulumi.Output[str]:
    """Return the name of a role; see :func:`threatmon.model.names.role`."""
    return location.region.apply(lambda region: names.role(stack, logical, region))
