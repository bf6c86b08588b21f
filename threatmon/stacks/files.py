"""Stack files (``Pulumi.<stack>.yaml``) as plain data, over the defaults in Pulumi.yaml.

https://www.pulumi.com/docs/iac/concepts/projects/stack-settings-file/
https://www.pulumi.com/docs/iac/concepts/config/#project-level-configuration
"""

import json
import secrets
import shutil
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from threatmon.errors import ThreatmonError
from threatmon.model import settings
from threatmon.model.settings import NAMESPACE, SECRET_PLACEHOLDER
from threatmon.project import PROJECT_FILE
from threatmon.stacks import yaml


class StackFileError(ThreatmonError):
    """Says that a stack file, or Pulumi.yaml, is missing or not what the engine takes."""


class StackFile(NamedTuple):
    """One stack: ``config`` maps full keys (``aws:region``) to values, secrets replaced by a placeholder."""

    name: str
    config: Mapping[str, Any]
    shared: frozenset[str] = frozenset()
    """keys of ``config`` that the stack's file leaves to Pulumi.yaml"""

    @property
    def region(self) -> str | None:
        """The Region the stack is deployed to, if the file says so."""
        region = self.config.get("aws:region")
        return str(region) if region else None

    @property
    def own_config(self) -> dict[str, Any]:
        """The keys that are ours, without the namespace, as ``threatmon.model.settings.parse`` takes them."""
        prefix = f"{NAMESPACE}:"
        return {key.removeprefix(prefix): value for key, value in self.config.items() if key.startswith(prefix)}

    @property
    def account_ids(self) -> list[str]:
        """The accounts the stack may touch."""
        return [str(account_id) for account_id in self.list_of("aws:allowedAccountIds")]

    def list_of(self, key: str) -> list[Any]:
        """Return the list under a full key, or in its JSON text (``pulumi config set``), or of the one value there."""
        value = self.config.get(key)
        try:
            decoded = json.loads(value) if isinstance(value, str) else value
        except ValueError:
            decoded = value
        return decoded if isinstance(decoded, list) else [] if value in (None, "") else [value]


def file_name(stack: str) -> str:
    """Return the name of a stack's file."""
    return f"Pulumi.{stack}.yaml"


def names(folder: Path) -> list[str]:
    """Return the stacks that have a file in the project's folder, sorted."""
    return sorted(path.name.removeprefix("Pulumi.").removesuffix(".yaml") for path in folder.glob(file_name("*")))


def unread(folder: Path) -> list[str]:
    """Return the names of files that look like stack files and that the engine ignores, sorted.

    It takes the ending of the project's file: https://github.com/pulumi/pulumi/blob/master/sdk/go/common/workspace/paths.go
    """
    return sorted(path.name for ending in ("yml", "json") for path in folder.glob(f"Pulumi.*.{ending}"))


def project_name(folder: Path) -> str:
    """Return the name of the project in a folder. Raises :class:`StackFileError`."""
    return _project_in(folder)[0]


def load(folder: Path, stack: str) -> StackFile:
    """Return the config that the engine hands to the stack's program. Raises :class:`StackFileError`.

    A key that the stack's file does not have comes from the ``config`` of Pulumi.yaml, whole: nothing is merged, unless
    Pulumi.yaml names a single entry (``flowLogs.retentionDays``). So does
    https://github.com/pulumi/pulumi/blob/master/pkg/workspace/config.go, with two differences: the engine also refuses
    a stack that lacks a key declared without a default, or has one of another type than declared; and if a single entry
    does not fit into the stack's value, the engine drops the value, while this is an error here.
    """
    path = folder / file_name(stack)
    project, defaults = _project_in(folder)
    if not path.is_file():
        raise StackFileError(f"{path.name}: no such stack file (there are: {', '.join(names(folder)) or 'none'})")
    config = {
        # An empty value is an empty text, as the engine warns.
        _full_key(key, project): "" if value is None else _readable(value)
        for key, value in _config(path.name, _content(path.name, _text(path))).items()
    }
    own = frozenset(config)
    for key, value in defaults.items():
        _fill(config, key.split("."), value, f"{path.name}: {PROJECT_FILE} sets {key}, which needs a map there")
    return StackFile(stack, config, frozenset(config) - own)


def settings_of(stack: StackFile) -> settings.Settings:
    """Return the stack's settings. Raises :class:`settings.ConfigFaults`."""
    return settings.parse(stack.own_config, stack.name, stack.region)[0]


def save(folder: Path, stack: str, text: str) -> None:
    """Write all of a stack file or nothing; it keeps its mode, a link stays one. Raises :class:`StackFileError`."""
    path = (folder / file_name(stack)).resolve()
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with unfinished.open("x", encoding="utf-8") as file:
            file.write(text)
        if path.exists():
            shutil.copymode(path, unfinished)
        unfinished.replace(path)
    except OSError as error:
        raise StackFileError(f"{file_name(stack)} cannot be written: {error.strerror}") from None
    finally:
        unfinished.unlink(missing_ok=True)


def _project_in(folder: Path) -> tuple[str, Mapping[str, Any]]:
    file = folder / PROJECT_FILE
    # The text and not the path: a file may change while we run, and 500 stacks share this one.
    return _project(_text(file)) if file.is_file() else (NAMESPACE, {})


@lru_cache(maxsize=1)
def _project(text: str) -> tuple[str, Mapping[str, Any]]:
    """Return the project's name, and the values Pulumi.yaml has for keys that a stack does not set."""
    content = _content(PROJECT_FILE, text)
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
    """Return the value of ``key: value``, ``key: {value: ...}`` or ``key: {type: ..., default: ...}``, or None."""
    return entry.get("default", entry.get("value")) if isinstance(entry, Mapping) else entry


def _fill(config: dict[str, Any], path: Sequence[str], value: Any, fault: str) -> None:
    """Set the entry that a path of keys leads to, if it is not set; copy maps on the way, which stacks share."""
    key, *rest = path
    if not rest:
        config.setdefault(key, value)
        return
    entries = config.get(key, {})
    if not isinstance(entries, Mapping):
        raise StackFileError(f"{fault}; found something else")
    config[key] = {**entries}
    _fill(config[key], rest, value, fault)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise StackFileError(f"{path.name}: cannot be read: {error}") from None


def _content(file: str, text: str) -> Mapping[str, Any]:
    try:
        content = yaml.read(text) or {}
    except ValueError as error:
        raise StackFileError(f"{file}: cannot be read: {error}") from None
    return content if isinstance(content, Mapping) else {"config": content}


def _config(file: str, content: Mapping[str, Any]) -> dict[str, Any]:
    config = content.get("config") or {}
    if not isinstance(config, Mapping):
        raise StackFileError(f"{file}: expected a mapping with a mapping under `config`")
    return {str(key): value for key, value in config.items()}


def _full_key(key: str, project: str) -> str:
    """Put the project in front of a key of its own; ``aws:config:region`` is how ``aws:region`` once was written."""
    namespace, _, name = key.rpartition(":")
    return f"{namespace.removesuffix(':config') or project}:{name}"


def _readable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return SECRET_PLACEHOLDER if set(value) == {"secure"} else {str(k): _readable(v) for k, v in value.items()}
    return [_readable(entry) for entry in value] if isinstance(value, list) else value
