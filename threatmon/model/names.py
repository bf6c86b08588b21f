"""The names that are fixed before a resource exists: log groups, dashboard, state machine, stack."""

import hashlib
import re

_LONGEST_NAME = 80


def is_stack_name(name: str) -> bool:
    """Say whether a name is valid as a stack and in a file name.

    https://www.pulumi.com/docs/iac/concepts/stacks/; on a command line, a hyphen in front would make it an option.
    """
    return re.fullmatch(r"(?!-)[A-Za-z0-9_.-]{1,100}", name) is not None


def log_group(stack: str) -> str:
    """Return the name of a stack's log group, which the key's policy needs before the group exists."""
    return f"/threat-monitor/{stack}/flow-logs"


def dashboard(stack: str) -> str:
    """Return the name of a stack's dashboard and of the folder of its saved queries.

    CloudWatch takes no period: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutDashboard.html
    """
    return f"threat-monitor-{stack.replace('.', '-')}"


def state_machine(stack: str) -> str:
    """Return the name of a stack's state machine, which its role's trust policy needs before the machine exists.

    Step Functions takes 80 characters, and no period:
    https://docs.aws.amazon.com/step-functions/latest/apireference/API_CreateStateMachine.html
    """
    name = dashboard(stack)
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 8]}-{_digest(name)}"


def state_machine_log_group(stack: str) -> str:
    """Return the name of the log group of the state machine's errors.

    The prefix keeps CloudWatch's resource policy for it within its size:
    https://docs.aws.amazon.com/step-functions/latest/dg/cw-logs.html
    """
    return f"/aws/vendedlogs/states/{state_machine(stack)}"


def log_groups(stack: str) -> list[str]:
    """Return the names of all log groups of a stack, which its key encrypts."""
    return [log_group(stack), state_machine_log_group(stack)]


def chat_configuration(stack: str, application: str) -> str:
    """Return the name of a stack's configuration of a chat channel, unique in the account."""
    return f"{dashboard(stack)}-{application}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:7]
