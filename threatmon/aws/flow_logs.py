"""The destination of a flow log of ``describe_flow_logs``."""

from collections.abc import Mapping
from typing import Any


def log_group_of(flow_log: Mapping[str, Any]) -> str | None:
    """Return the name of the log group, None if the flow log goes elsewhere."""
    by_arn = flow_log.get("LogDestination", "").partition(":log-group:")[2].removesuffix(":*")
    return by_arn or flow_log.get("LogGroupName")


def destination(flow_log: Mapping[str, Any]) -> str:
    """Describe the destination: a log group by its name, anything else by its ARN."""
    group = log_group_of(flow_log)
    return f"log group {group}" if group else flow_log.get("LogDestination", "an unknown destination")
