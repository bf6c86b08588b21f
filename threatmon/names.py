"""The names that people look for, and that must be known before what they name exists."""


def log_group(stack: str) -> str:
    """The log group of a stack's flow logs; the key's policy names it before it exists."""
    return f"/threat-monitor/{stack}/flow-logs"


def dashboard(stack: str) -> str:
    """A stack's dashboard, and the folder of its saved queries."""
    return f"threat-monitor-{stack}"
