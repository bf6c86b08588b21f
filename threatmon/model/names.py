"""The names that are fixed before a resource exists: log group, dashboard, stack."""

import re


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
