"""``threatmon fleet``: many stacks at a time; one module for each command."""

import typer

from threatmon.cli.fleet import coverage, drift, list, matrix, preview, up  # noqa: A004 - the command's name

app = typer.Typer(no_args_is_help=True, help="Many stacks at a time, each from its stack file.")
app.command("list")(list.list_stacks)
app.command("preview")(preview.preview)
app.command("up")(up.up)
app.command("drift")(drift.drift)
app.command("coverage")(coverage.coverage)
app.command("matrix")(matrix.matrix)
