"""The command line ``threatmon``; one module for each command.

Exit codes: 0 fine, 1 the check failed, 2 wrong use (also a fault in a stack file).
"""

import sys

from threatmon.cli.lazy import lazy_group
from threatmon.errors import ThreatmonError
from threatmon.reports.escape import one_line

COMMANDS = {
    "demo": "Deploy a stack to an emulated AWS account, and show how a finding becomes a mail.",
    "explain": "Say whether a finding would alert, by which rule or why not, and show the mail.",
    "verify": "Check that a deployed stack can detect, record, choose, write and deliver; with --send, try it.",
    "simulate": "Create sample findings of the configured types, and say which rules should mail them.",
    "investigate": "Show what a finding is about, how exposed its instance is, and whom it talked to.",
    "redrive": "List what could not be delivered, and send it again.",
    "cost": "Estimate what a stack costs in a month, and what other settings would change.",
    "init": "Look at an account, and write a complete stack file for it.",
    "fleet": "Work on many stacks at a time, each from its stack file.",
    "pulumi": "Run the Pulumi engine; installs it into the project if it is not on PATH.",
}

app = lazy_group(__name__, COMMANDS, "Monitor AWS accounts for threats, as code.")


def main() -> None:
    """Run the command line; print what a person can fix without a traceback."""
    try:
        app()
    except ThreatmonError as error:
        sys.stderr.writelines(f"{one_line(line)}\n" for line in str(error).split("\n"))
        sys.exit(error.exit_code)
