"""Groups of commands whose modules are imported only when one of them runs, so that ``--help`` answers at once."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import typer
import typer.main
from typer.core import TyperGroup

# The engine's own options, --help among them, are for the engine.
_FOR_THE_ENGINE = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


def lazy_group(package: str, commands: Mapping[str, str], summary: str) -> typer.Typer:
    """Return the group of a package's commands: name -> the first sentence of its help.

    A command is a module of the package by its name, with a function of that name, or a group ``app``, in it.
    """

    class LazyGroup(TyperGroup):
        """Replaces a placeholder by the command itself when it runs."""

        def resolve_command(self, ctx: Any, args: list[str]) -> Any:
            if args and args[0] in commands:
                self.commands[args[0]] = _load(package, args[0])
            return super().resolve_command(ctx, args)

    app = typer.Typer(
        cls=LazyGroup, help=summary, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
    )
    app.callback()(lambda: None)
    for name, sentence in commands.items():
        app.command(name, help=sentence)(lambda: None)
    return app


def _load(package: str, name: str) -> Any:
    module: Any = import_module(f"{package}.{name}")
    if hasattr(module, "app"):
        return typer.main.get_command(module.app)
    single = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    settings: Any = {"context_settings": _FOR_THE_ENGINE} if name == "pulumi" else {}
    single.command(name, **settings)(getattr(module, name))
    return typer.main.get_command(single)
