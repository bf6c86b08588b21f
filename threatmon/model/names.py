"""The names that people look for, and that must be known before what they name exists."""

import re

# `tokens.ParseStackName`, as https://www.pulumi.com/docs/iac/concepts/stacks/ has it in words; a command line takes a
# hyphen in front for an option.
_STACK = r"(?!-)[A-Za-z0-9_.-]{1,100}"


def is_stack_name(name: str) -> bool:
    """Whether Pulumi takes the name of a stack, and a file can have it."""
    return re.fullmatch(_STACK, name) is not None


def log_group(stack: str) -> str:
    """The log group of a stack's flow logs; the key's policy names it before it exists."""
    return f"/threat-monitor/{stack}/flow-logs"


def dashboard(stack: str) -> str:
    """A stack's dashboard, and the folder of its saved queries.

    CloudWatch takes no period: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutDashboard.html
    """
    return f"threat-monitor-{stack.replace('.', '-')}"
