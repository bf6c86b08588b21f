"""``threatmon fleet list``: every stack with its account, Region, networks and recipients."""

from functools import partial

from threatmon import project
from threatmon.cli.fleet.options import ChangedSince, Stacks, selected
from threatmon.cli.output import OutputOption, show
from threatmon.errors import UsageError
from threatmon.fleet.backend import known_stacks, leftovers
from threatmon.fleet.stack_list import stack_list
from threatmon.stacks import files
from threatmon.stacks.engine import ask_engine

PERMISSIONS = ()


def list(  # noqa: A001 - the command's name
    stacks: Stacks = None, changed_since: ChangedSince = None, output: OutputOption = "text"
) -> None:
    """List the stacks of the fleet.

    Faults of all stack files are reported at once, before anything is asked of the engine or the cloud; exit code 2. If
    the engine or its backend cannot be reached, only the status and last updates are unknown. Stacks that are deployed
    without a file are listed too, whichever are chosen. Secrets are never printed.

    Example: threatmon fleet list --stacks 'prod-*' -o markdown
    """
    targets = selected(stacks, changed_since)
    known, left, problem = {}, [], None
    try:
        if targets:
            ask = partial(ask_engine, failure="The last updates are unknown")
            known = known_stacks(ask, project.ROOT)
            left = leftovers(ask, known, files.names(project.ROOT))
    except UsageError as error:
        problem = str(error)
    show(stack_list(targets, known, left, problem), output)
