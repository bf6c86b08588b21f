"""The resource types that the emulated account carries out.

Property names and which change replaces a resource follow the provider:
https://www.pulumi.com/registry/packages/aws/api-docs/ and https://github.com/hashicorp/terraform-provider-aws
"""

from collections.abc import Mapping
from types import MappingProxyType

from threatmon.emulator.emulated import Emulated, NotEmulatedError
from threatmon.emulator.services import chatbot, cloudwatch, ec2, events, guardduty, iam, kms, logs, sfn, sns, sqs

RESOURCES: Mapping[str, Emulated] = MappingProxyType(
    {
        entry.type: entry
        for service in (chatbot, cloudwatch, ec2, events, guardduty, iam, kms, logs, sfn, sns, sqs)
        for entry in service.RESOURCES
    }
)


def emulated(type_token: str) -> Emulated:
    """Return the entry of a Pulumi type token. Raises `NotEmulatedError`."""
    if type_token not in RESOURCES:
        raise NotEmulatedError(
            f"{type_token}: not emulated; add an entry to its service in threatmon.emulator.services"
        )
    return RESOURCES[type_token]
