"""``threatmon fleet``: many stacks at a time; one module for each command."""

from threatmon.cli.lazy import lazy_group

COMMANDS = {
    "list": "List the stacks of the fleet.",
    "preview": "Preview stacks side by side, and group the results: equal changes once, and what is dangerous.",
    "up": "Update stacks: the canary first, then waves of growing size; the first failure stops the rest.",
    "drift": "Compare every account with what its stack remembers of it; change nothing.",
    "coverage": "Show which accounts, Regions and subnets are watched, and what is missing.",
    "matrix": "Print the stacks as a job matrix for CI.",
}

app = lazy_group(__name__, COMMANDS, "Work on many stacks at a time, each from its stack file.")
