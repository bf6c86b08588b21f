"""The stacks' config as plain data: stack files (``Pulumi.<stack>.yaml``) over the defaults in Pulumi.yaml.

https://www.pulumi.com/docs/iac/concepts/projects/stack-settings-file/
https://www.pulumi.com/docs/iac/concepts/config/#project-level-configuration
"""

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from threatmon.errors import ThreatmonError
from threatmon.settings import NAMESPACE, SECRET_PLACEHOLDER

PROJECT_FILE = "Pulumi.yaml"


class StackFileError(ThreatmonError):
    """A stack file, or Pulumi.yaml, is missing or is no YAML mapping; ``str()`` of it is the message for the user."""


class StackFile(NamedTuple):
    """One stack: ``config`` maps full keys (``aws:region``) to values, secrets replaced by a placeholder."""

    name: str
    config: Mapping[str, Any]
    shared: frozenset[str] = frozenset()
    """keys of ``config`` that the stack's file leaves to Pulumi.yaml"""

    @property
    def region(self) -> str | None:
        """The Region the stack is deployed to, where the file says so."""
        return self.config.get("aws:region")

    @property
    def own_config(self) -> dict[str, Any]:
        """The keys that are ours, without the namespace, as ``threatmon.settings.parse`` takes them."""
        prefix = f"{NAMESPACE}:"
        return {key.removeprefix(prefix): value for key, value in self.config.items() if key.startswith(prefix)}

    @property
    def account_ids(self) -> list[str]:
        """The accounts the stack may touch."""
        return [str(account_id) for account_id in self.list_of("aws:allowedAccountIds")]

    def list_of(self, key: str) -> list[Any]:
        """The list under a full key, given as one or as its JSON text, which is what ``pulumi config set`` stores;
        anything else counts as its only entry."""
        value = self.config.get(key)
        try:
            decoded = json.loads(value) if isinstance(value, str) else value
        except ValueError:
            decoded = value
        return decoded if isinstance(decoded, list) else [] if value in (None, "") else [value]


def names(folder: Path) -> list[str]:
    """The stacks that have a file in the project's folder."""
    return sorted(path.name.removeprefix("Pulumi.").removesuffix(".yaml") for path in folder.glob("Pulumi.*.yaml"))


def load(folder: Path, stack: str) -> StackFile:
    """The config that the engine hands to the stack's program. Raises :class:`StackFileError`.

    A key that the stack's file does not have comes from the ``config`` of Pulumi.yaml, whole: nothing is merged, unless
    Pulumi.yaml names a single entry (``flowLogs.retentionDays``). As
    https://github.com/pulumi/pulumi/blob/master/pkg/workspace/config.go does it, with two differences: the engine also
    refuses a stack that lacks a key declared without a default, or has one of another type than declared; and where
    such an entry does not fit into the stack's value, the engine drops the value, while this is an error here.
    """
    path = folder / f"Pulumi.{stack}.yaml"
    if not path.is_file():
        known = ", ".join(names(folder)) or "none"
        raise StackFileError(f"{path.name}: no such stack file (there are: {known})")
    project_file = folder / PROJECT_FILE
    # The text and not the path: a file may change while we run, and 500 stacks share this one.
    project, defaults = _project(_text(project_file)) if project_file.is_file() else (NAMESPACE, {})
    config = {
        # An empty value is an empty text, as the engine warns.
        _full_key(key, project): "" if value is None else _readable(value)
        for key, value in _config(path.name, _parsed(path.name, _text(path))).items()
    }
    own = frozenset(config)
    for key, value in defaults.items():
        _fill(config, key, value, path.name)
    return StackFile(stack, config, frozenset(config) - own)


# -- Pulumi.yaml ------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _project(text: str) -> tuple[str, Mapping[str, Any]]:
    """The project's name, and the values Pulumi.yaml has for keys that a stack does not set."""
    content = _parsed(PROJECT_FILE, text)
    project = str(content.get("name", NAMESPACE))
    # The engine's order, in which `flowLogs` comes before `flowLogs.retentionDays`.
    values: dict[str, Any] = {}
    for key, value in sorted(_config(PROJECT_FILE, content).items()):
        full = _full_key(key, project)
        if full in values:  # the engine takes the other one, and says nothing
            raise StackFileError(f"{PROJECT_FILE}: {full} is under `config` twice, with its namespace and without")
        values[full] = _declared(value)
    return project, {key: _readable(value) for key, value in values.items() if value is not None}


def _declared(entry: Any) -> Any:
    """What ``key: value``, ``key: {value: ...}`` or ``key: {type: ..., default: ...}`` stands for; None for nothing."""
    return entry.get("default", entry.get("value")) if isinstance(entry, Mapping) else entry


def _fill(config: dict[str, Any], key: str, value: Any, file: str) -> None:
    """Sets ``key``, or the entry that a path such as ``namespace:key.entry`` leads to, where there is none."""
    root, *path = key.split(".")
    if not path:
        config.setdefault(key, value)
        return
    place = config[root] = _copied(config.get(root, {}), key, file)
    for part in path[:-1]:
        place[part] = _copied(place.get(part, {}), key, file)
        place = place[part]
    place.setdefault(path[-1], value)


def _copied(entry: Any, key: str, file: str) -> dict[str, Any]:
    if not isinstance(entry, Mapping):
        raise StackFileError(f"{file}: {PROJECT_FILE} sets {key}, which needs a map there; found something else")
    return dict(entry)


# -- YAML -------------------------------------------------------------------------------------------------------------


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc] - libyaml where there is one
    """Takes plain scalars for what the engine takes them for, by YAML 1.2 (`yes`, `on` and dates are text), and refuses
    a key given twice, as the engine does."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - PyYAML's
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.MarkedYAMLError(problem=f"{key} is given twice", problem_mark=node.start_mark)
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in resolvers if not tag.endswith((":bool", ":timestamp"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("(?:true|True|TRUE|false|False|FALSE)$"), [*"tTfF"])
# An account id without quotes loses its leading zero.
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile("0[0-9]*[89][0-9]*$"), ["0"])


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path.name, error) from None


def _parsed(file: str, text: str) -> Mapping[str, Any]:
    try:
        content = yaml.load(text, _Loader) or {}  # noqa: S506 - a safe loader
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: 99-99-99 where a number belongs
        raise _unreadable(file, error) from None
    return content if isinstance(content, Mapping) else {"config": content}


def _unreadable(file: str, error: Exception) -> StackFileError:
    return StackFileError(f"{file}: cannot be read: {' '.join(str(error).split())}")


def _config(file: str, content: Mapping[str, Any]) -> dict[str, Any]:
    config = content.get("config") or {}
    if not isinstance(config, Mapping):
        raise StackFileError(f"{file}: expected a mapping with a mapping under `config`")
    return {str(key): value for key, value in config.items()}


def _full_key(key: str, project: str) -> str:
    """``subnetIds`` is one of the project's own; ``aws:config:region`` is how ``aws:region`` once was written."""
    namespace, _, name = key.rpartition(":")
    return f"{namespace.removesuffix(':config') or project}:{name}"


def _readable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return SECRET_PLACEHOLDER if set(value) == {"secure"} else {str(k): _readable(v) for k, v in value.items()}
    return [_readable(entry) for entry in value] if isinstance(value, list) else value
