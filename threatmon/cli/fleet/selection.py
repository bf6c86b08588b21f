"""Former names of options, for modules that still import them."""

from typing import Annotated, Literal

import typer

from threatmon.cli.fleet.options import ChangedSince, Stacks, selected

Output = Literal["text", "markdown", "json"]
Format = Annotated[Output, typer.Option("--format", help="How to print the result.")]

__all__ = ["ChangedSince", "Format", "Output", "Stacks", "selected"]
