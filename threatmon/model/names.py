"""The names of what a stack deploys, all of which are fixed before anything exists.

A creation that is repeated, as after a crash between AWS's answer and the record of it, comes to the same resource or
is refused; with random names there would be two. What has no name carries a tag. A resource that is replaced under the
same name is deleted first, by the provider; if its name changes, after the new one is there:
https://github.com/pulumi/pulumi-terraform-bridge
"""

import hashlib
import re
from collections.abc import Mapping

# https://docs.aws.amazon.com/step-functions/latest/apireference/API_CreateStateMachine.html
_LONGEST_MACHINE = 80
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
_LONGEST_ROLE = 64
# A rule's name has 64 characters at most, which is the least but for roles:
# https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutRule.html
_LONGEST_STACK = 30

PREFIX = "threat-monitor-"
"""What every name in the account begins with."""
STACK_TAG, RESOURCE_TAG = f"{PREFIX[:-1]}:stack", f"{PREFIX[:-1]}:resource"
"""The tags by which a key, a detector or a flow log is found again, as they have no names."""


def is_stack_name(name: str) -> bool:
    """Say whether a name is valid as a stack and in a file name.

    https://www.pulumi.com/docs/iac/concepts/stacks/; on a command line, a hyphen in front would make it an option.
    """
    return re.fullmatch(r"(?!-)[A-Za-z0-9_.-]{1,100}", name) is not None


def prefix(stack: str) -> str:
    """Return what the names of a stack's resources begin with: ``threat-monitor-prod-``, unless that is too long."""
    return f"{PREFIX}{_fitted(stack, _LONGEST_STACK)}-"


def physical(stack: str, logical: str) -> str:
    """Return the name in the account of what the program calls ``logical`` (``threat-monitor-alerts-topic``).

    That is ``threat-monitor-prod-alerts-topic`` in a stack ``prod``.
    """
    return f"{prefix(stack)}{logical.removeprefix(PREFIX)}"


def alert_rule(stack: str, key: str) -> str:
    """Return the name of a rule of the settings (``findings-2``)."""
    return physical(stack, f"alerts-{key}")


def role(stack: str, logical: str, region: str) -> str:
    """Return the name of a role, which an account has for all Regions; see :func:`physical`."""
    word = f"{logical.removeprefix(PREFIX)}-{region}"
    return f"{PREFIX}{_fitted(stack, _LONGEST_ROLE - len(f'{PREFIX}-{word}'))}-{word}"


def dead_letter_queue(stack: str) -> str:
    """Return the name of the dead-letter queue."""
    return physical(stack, "alerts-dead-letters")


def alias(stack: str, logical: str) -> str:
    """Return the alias of a key; see :func:`physical`."""
    return f"alias/{physical(stack, logical)}"


def tags(stack: str, logical: str) -> Mapping[str, str]:
    """Return the tags of what has no name."""
    return {STACK_TAG: stack, RESOURCE_TAG: logical}


def log_group(stack: str) -> str:
    """Return the name of a stack's log group, which the key's policy needs before the group exists."""
    return f"/threat-monitor/{stack}/flow-logs"


def dashboard(stack: str) -> str:
    """Return the name of a stack's dashboard and of the folder of its saved queries.

    CloudWatch takes no period: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutDashboard.html
    """
    return f"{PREFIX}{stack.replace('.', '-')}"


def state_machine(stack: str) -> str:
    """Return the name of a stack's state machine, which its role's trust policy needs before the machine exists.

    Step Functions takes 80 characters, and no period:
    https://docs.aws.amazon.com/step-functions/latest/apireference/API_CreateStateMachine.html
    """
    name = dashboard(stack)
    return name if len(name) <= _LONGEST_MACHINE else f"{name[: _LONGEST_MACHINE - 8]}-{_digest(name)}"


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


def _fitted(stack: str, longest: int) -> str:
    """Return a stack's name, or if it is too long or has a period, which some services refuse, one of its own."""
    if len(stack) <= longest and "." not in stack:
        return stack
    return f"{stack.replace('.', '-')[: longest - 8]}-{_digest(stack)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:7]
