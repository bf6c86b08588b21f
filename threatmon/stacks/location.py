"""Where a stack is deployed, by its stack file alone."""

from threatmon.aws import regions
from threatmon.model.location import Location
from threatmon.stacks.files import StackFile, file_name


def location_of(stack: StackFile) -> Location:
    """Return the stack's account and Region; ``id`` is empty if the file allows any account, or several.

    Raises :class:`UsageError` if the file names no Region of AWS.
    """
    account_id = stack.account_ids[0] if len(stack.account_ids) == 1 else ""
    return regions.location_in_region(stack.region, file_name(stack.name), account_id)
