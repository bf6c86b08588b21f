"""The outputs of deployed stacks, from the Pulumi engine."""

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
