"""Stack files (``Pulumi.<stack>.yaml``) as plain data.

https://www.pulumi.com/docs/iac/concepts/projects/stack-settings-file/
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from threatmon.settings import NAMESPACE, SECRET_PLACEHOLDER


class StackFileError(Exception):
    """A stack file is missing or is no YAML mapping; ``str()`` of it is the message for the user."""


class StackFile(NamedTuple):
    """One stack: ``config`` maps full keys (``aws:region``) to values, secrets replaced by a placeholder."""

    name: str
    config: Mapping[str, Any]

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
        return [str(account_id) for account_id in self.config.get("aws:allowedAccountIds") or []]


def names(folder: Path) -> list[str]:
    """The stacks that have a file in the project's folder."""
    return sorted(path.name.removeprefix("Pulumi.").removesuffix(".yaml") for path in folder.glob("Pulumi.*.yaml"))


def load(folder: Path, stack: str) -> StackFile:
    """The stack's file. Raises :class:`StackFileError`."""
    path = folder / f"Pulumi.{stack}.yaml"
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except FileNotFoundError:
        known = ", ".join(names(folder)) or "none"
        raise StackFileError(f"{path.name}: no such stack file (there are: {known})") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise StackFileError(f"{path.name}: cannot be read: {' '.join(str(error).split())}") from None
    config = (content.get("config") or {}) if isinstance(content, Mapping) else None
    if not isinstance(config, Mapping):
        raise StackFileError(f"{path.name}: expected a mapping with a mapping under `config`")
    return StackFile(stack, {str(key): _readable(value) for key, value in config.items()})


def _readable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return SECRET_PLACEHOLDER if set(value) == {"secure"} else {str(k): _readable(v) for k, v in value.items()}
    return [_readable(entry) for entry in value] if isinstance(value, list) else value
