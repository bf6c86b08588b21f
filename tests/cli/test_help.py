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
def test_a_command_is_listed_with_the_first_paragraph_of_its_own_help_which_has_an_example(
    group: Any, name: str
) -> None:
    command = getattr(import_module(f"{group.__name__}.{name}"), name)
    first, _, rest = str(inspect.getdoc(command)).partition("\n\n")
    assert group.COMMANDS[name] == " ".join(first.split())
    assert re.search(f"Example: .*threatmon {f'fleet {name}' if group is fleet else name}", rest)


@pytest.mark.parametrize("group", [cli, fleet], ids=lambda group: group.__name__)
def test_every_module_with_a_command_is_listed(group: Any) -> None:
    modules = [import_module(f"{group.__name__}.{module.name}") for module in pkgutil.iter_modules(group.__path__)]
    commands = [module.__name__ for module in modules if str(module.__doc__).startswith("``threatmon ")]
    assert {name.rpartition(".")[2] for name in commands} == set(group.COMMANDS)
