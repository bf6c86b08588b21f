"""``threatmon fleet list``: every stack with its account, Region, networks and recipients."""

from threatmon.cli.fleet.options import ChangedSince, Stacks, selected
from threatmon.cli.output import OutputOption, show
from threatmon.errors import UsageError
from threatmon.fleet.stack_list import stack_list
from threatmon.stacks.outputs import last_updates

PERMISSIONS = ()


def list(  # noqa: A001 - the command's name
    stacks: Stacks = None, changed_since: ChangedSince = None, output: OutputOption = "text"
) -> None:
    """List the stacks of the fleet.

    Faults of all stack files are reported at once, before anything is asked of the engine or the cloud; exit code 2. If
    the engine or its backend cannot be reached, only the last updates are unknown. Secrets are never printed.

    Example: threatmon fleet list --stacks 'prod-*' -o markdown
    """
    targets = selected(stacks, changed_since)
    try:
        updates, problem = last_updates() if targets else {}, None
    except UsageError as error:
        updates, problem = {}, str(error)
    show(stack_list(targets, updates, problem), output)
