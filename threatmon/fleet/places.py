"""Where a stack is deployed, by the ARNs in its state, and whether its file has moved away from there."""

import re
from collections.abc import Collection, Mapping
from typing import Any

from threatmon.fleet.targets import Target
from threatmon.stacks.files import file_name

# What is global has no Region: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html
_ARN = re.compile(r"arn:[^:]+:[^:]+:(?P<region>[^:]+):(?P<account>\d{12}):")

Place = tuple[str, str]
"""Account and Region."""


def places(outputs: Mapping[str, Any]) -> set[Place]:
    """Return the place that the outputs of a resource name, or those of a stack."""
    found = (_ARN.match(str(outputs.get(name))) for name in ("arn", "topicArn"))
    return {(arn["account"], arn["region"]) for arn in found if arn}


def why_moved(target: Target, deployed: Collection[Place]) -> str | None:
    """Return why a stack may not be updated that is deployed in another account or Region than its file says."""
    if not deployed or (target.account_id, target.region) in deployed:
        return None
    there = ", ".join(map(" ".join, sorted(deployed)))
    return (
        f"The stack is deployed in {there}, and {file_name(target.stack)} now names "
        f"{target.account_id} {target.region}. What is deployed does not move: put the old values back, and give the "
        "new account or Region a stack file of its own. To give up the old one, take the stack down with the old "
        f"values first: pulumi destroy --stack {target.stack}"
    )
