"""The outputs of a deployed stack, as the engine knows them."""

import json
import subprocess
from typing import Any

from threatmon import project
from threatmon.errors import UsageError
from threatmon.stacks.engine import find_engine, reason


def stack_outputs(stack: str) -> dict[str, Any]:
    """The stack's outputs by name (`topicArn`, `detectorId`, ...).

    Raises :class:`UsageError` where the stack does not exist or is not deployed, or where the engine is missing.
    """
    command = [str(find_engine()), "stack", "output", "--json", "--non-interactive", "--stack", stack]
    done = subprocess.run(command, cwd=project.ROOT, capture_output=True, text=True, check=False)  # noqa: S603 - our engine
    if done.returncode:
        why = reason(done.stderr) or f"`pulumi stack output` ended with {done.returncode}"
        raise UsageError(f"The outputs of stack {stack} cannot be read: {why}")
    outputs = json.loads(done.stdout or "{}")
    if not outputs:
        raise UsageError(f"Stack {stack} is not deployed: it has no outputs. Run `make up STACK={stack}`.")
    return outputs
