"""The outputs and last updates of deployed stacks, from the Pulumi engine."""

from collections.abc import Mapping
from typing import Any

from threatmon.errors import UsageError
from threatmon.stacks.engine import ask_engine


def stack_outputs(stack: str) -> dict[str, Any]:
    """Return the stack's outputs by name (`topicArn`, `detectorId`, ...).

    Raises :class:`UsageError` if the stack does not exist or is not deployed, or the engine is missing.
    """
    outputs = ask_engine("stack", "output", "--stack", stack, failure=f"The outputs of stack {stack} cannot be read")
    if not outputs:
        raise UsageError(f"Stack {stack} is not deployed: it has no outputs. Run `make up STACK={stack}`.")
    return outputs


def last_updates() -> dict[str, Mapping[str, Any]]:
    """Return what the engine knows of each stack of the project, by name.

    ``lastUpdate`` (ISO 8601), ``updateInProgress``, ``resourceCount``, if the backend says so. Raises
    :class:`UsageError` if it cannot be asked.

    https://www.pulumi.com/docs/iac/cli/commands/pulumi_stack_ls/
    """
    stacks = ask_engine("stack", "ls", failure="The last updates are unknown")
    # An organisation may stand before the name: acme/prod.
    return {entry["name"].rpartition("/")[2]: entry for entry in stacks or []}
