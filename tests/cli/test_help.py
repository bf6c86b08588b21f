"""The list of commands that `--help` prints without importing them says what they say themselves."""

import inspect
import pkgutil
import re
from importlib import import_module
from typing import Any

import pytest

from threatmon import cli
from threatmon.cli import fleet

COMMANDS = [(group, name) for group in (cli, fleet) for name in group.COMMANDS if name != "fleet"]


@pytest.mark.parametrize(("group", "name"), COMMANDS, ids=lambda value: getattr(value, "__name__", value))
def test_a_command_is_listed_with_the_first_paragraph_of_its_own_help(group: Any, name: str) -> None:
    command = getattr(import_module(f"{group.__name__}.{name}"), name)
    first, *_ = str(inspect.getdoc(command)).partition("\n\n")
    assert group.COMMANDS[name] == " ".join(first.split())


@pytest.mark.parametrize(("group", "name"), COMMANDS, ids=lambda value: getattr(value, "__name__", value))
def test_the_help_of_a_command_has_an_example(group: Any, name: str) -> None:
    command = getattr(import_module(f"{group.__name__}.{name}"), name)
    path = f"fleet {name}" if group is fleet else name
    assert re.search(f"\nExample: .*threatmon {path}", str(inspect.getdoc(command)))


@pytest.mark.parametrize("group", [cli, fleet], ids=lambda group: group.__name__)
def test_every_module_with_a_command_is_listed(group: Any) -> None:
    modules = [module.name for module in pkgutil.iter_modules(group.__path__)]
    commands = {name for name in modules if hasattr(import_module(f"{group.__name__}.{name}"), name) or name == "fleet"}
    assert commands == set(group.COMMANDS)
