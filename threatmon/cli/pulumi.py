"""``threatmon pulumi``: the engine with its own options."""

import os

import typer

from threatmon import project
from threatmon.stacks.engine import find_engine

PERMISSIONS = ()


def pulumi(context: typer.Context) -> None:
    """Run the Pulumi engine; installs it into the project if it is not on PATH.

    All arguments are the engine's own.

    Example: threatmon pulumi preview --stack dev
    """
    engine = find_engine()
    os.chdir(project.ROOT)
    environment = os.environ | {"PATH": f"{engine.parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    os.execve(engine, [str(engine), *context.args], environment)  # noqa: S606 - the engine takes over the terminal
