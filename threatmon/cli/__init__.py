"""The command line ``threatmon``; one module for each command.

Exit codes: 0 fine, 1 the check failed, 2 wrong use (also a fault in a stack file).
"""

import sys

import typer
from botocore.exceptions import BotoCoreError, ClientError

from threatmon.cli import cost, demo, engine, explain, fleet, init, investigate, redrive, simulate, verify
from threatmon.cli.aws import explained
from threatmon.errors import CHECK_FAILED, ThreatmonError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.command("demo")(demo.demo)
app.command("explain")(explain.explain)
app.command("verify")(verify.verify)
app.command("simulate")(simulate.simulate)
app.command("investigate")(investigate.investigate)
app.command("redrive")(redrive.redrive)
app.command("cost")(cost.cost)
app.command("init")(init.init)
app.add_typer(fleet.app, name="fleet")
# The engine's own options, --help among them, are for the engine.
_FOR_THE_ENGINE = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
app.command("pulumi", context_settings=_FOR_THE_ENGINE)(engine.pulumi)


@app.callback()
def root() -> None:
    """Threat monitoring of AWS accounts as code."""


def main() -> None:
    """Runs the command line; what a user can fix is said without a traceback."""
    try:
        app()
    except ThreatmonError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)
    except (BotoCoreError, ClientError) as error:
        sys.stderr.write(f"{explained(error)}\n")
        sys.exit(CHECK_FAILED)
