"""The preview of one stack as plain data: its resources and their changes."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

Op = Literal["same", "create", "update", "replace", "delete", "read", "import", "refresh"]

# What the engine writes for a value that is known only after something else is deployed:
# https://github.com/pulumi/pulumi/blob/master/sdk/go/common/resource/plugin/rpc.go
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"


class ResourceChange(NamedTuple):
    """One resource of a stack, and what an update would do to it."""

    op: Op
    type: str
    """type token, such as ``aws:sns/topic:Topic``"""
    name: str
    """logical name"""
    old: Mapping[str, Any]
    """inputs as the state has them; empty for a new resource"""
    new: Mapping[str, Any]
    """inputs as the program gives them, some perhaps :data:`UNKNOWN`; empty for a deleted resource"""
    diff: Mapping[str, str]
    """paths of the properties that change (``policy``, ``tags.team``) -> ``add``, ``update`` or ``delete``, followed by
    ``-replace`` if that replaces the resource"""
    retained: bool = False
    """deleting it leaves it in the account (``retainOnDelete``)"""
    options: Mapping[str, tuple[bool, bool]] = {}
    """the options that change, before and after: ``protect``, ``retainOnDelete``"""


class StackPreview(NamedTuple):
    """What an update would do to one stack, or why the preview failed."""

    stack: str
    account_id: str
    region: str
    changes: tuple[ResourceChange, ...] = ()
    """every resource, those that stay the same included; a provider or the stack itself, with its outputs, only if it
    changes, and no components"""
    error: str | None = None
    """why the preview failed; ``changes`` is incomplete then"""
    is_new: bool = False
    """there is no such stack yet"""
    without_file: bool = False
    """there is only the stack, and nothing that could be previewed"""
    notes: tuple[str, ...] = ()
    """warnings"""

    @property
    def to_do(self) -> tuple[ResourceChange, ...]:
        """The changes that do something."""
        return to_do(self.changes)


def to_do(changes: Iterable[ResourceChange]) -> tuple[ResourceChange, ...]:
    """Return the changes that do something."""
    return tuple(change for change in changes if change.op not in ("same", "read"))
