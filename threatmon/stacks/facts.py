"""What a stack file tells without asking AWS or the engine."""

from botocore.exceptions import UnknownRegionError
from botocore.loaders import Loader
from botocore.regions import EndpointResolver

from threatmon.errors import UsageError
from threatmon.model import settings
from threatmon.model.location import Location
from threatmon.stacks.files import StackFile


def settings_of(stack: StackFile) -> settings.Settings:
    """The stack's settings. Raises :class:`threatmon.model.settings.ConfigFaults`."""
    return settings.parse(stack.own_config, stack.name)[0]


def place_of(stack: StackFile) -> Location:
    """Where the stack is deployed; ``id`` is empty where the file allows any account, or several.

    Raises :class:`UsageError` where the file names no Region of AWS.
    """
    if not stack.region:
        raise UsageError(
            f"Pulumi.{stack.name}.yaml: aws:region is not set; run `pulumi config set aws:region <region>`"
        )
    # Not from a session, which would look for the user's profile.
    regions = EndpointResolver(Loader().load_data("endpoints"))
    try:
        partition = regions.get_partition_for_region(stack.region)
    except UnknownRegionError:
        raise UsageError(f"Pulumi.{stack.name}.yaml: aws:region: {stack.region} is not a Region of AWS") from None
    account_id = stack.account_ids[0] if len(stack.account_ids) == 1 else ""
    return Location(account_id, stack.region, partition, str(regions.get_partition_dns_suffix(partition)))
