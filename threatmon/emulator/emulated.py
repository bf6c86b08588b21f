"""How the resources of one type are created, read, updated and deleted in the emulated account."""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from threatmon.emulator.account import EmulatedAccount
from threatmon.emulator.tagging import Tagging

Properties = dict[str, Any]
ApiNames = Mapping[str, str]
"""Name of a property -> name of the API's parameter for it."""

_GONE = re.compile(
    r"(?:Resource|InvalidFlowLogId\.)?NotFound(?:Exception)?|NoSuchEntity|.*NonExistentQueue|\w*DoesNotExist"
)


class NotEmulatedError(LookupError):
    """Refuses a resource type, a property or a function that would have to be ignored, and says what to add."""


class MissingResourceError(LookupError):
    """Says that the account does not hold the resource."""


@dataclass(frozen=True, kw_only=True)
class Emulated:
    """Carries out one resource type. Properties are in camelCase; whole numbers may arrive as floats."""

    type: str
    inputs: AbstractSet[str]
    """all properties that are carried out; any other is refused"""
    make: Callable[[EmulatedAccount, Properties], str]
    """carries out a creation, and returns the physical id"""
    look: Callable[[EmulatedAccount, str], Properties]
    """reads every property back; raises `MissingResourceError` or AWS's own error if the resource is gone"""
    remove: Callable[[EmulatedAccount, str, Properties], object]
    """deletes the resource, given its last known properties"""
    change: Callable[[EmulatedAccount, str, Properties], object] | None = None
    """carries out new inputs in place; None if a second creation does so"""
    replaced_by: AbstractSet[str] = frozenset()
    """inputs whose change replaces the resource"""
    computed: AbstractSet[str] = frozenset()
    """outputs that are known only once the resource exists"""
    defaults: Properties = field(default_factory=dict[str, Any])
    """what the provider fills in"""
    named: str | None = None
    """the input that gets an automatic name"""
    name_prefix: str = ""
    tagging: Tagging | None = None

    def unknown(self, inputs: Mapping[str, Any]) -> AbstractSet[str]:
        """Return the inputs that would be ignored."""
        return inputs.keys() - self.inputs - {"__defaults"}

    def automatic_name(self, name: str) -> str:
        """Return a drawn name with the prefix that the type demands."""
        return name if name.startswith(self.name_prefix) else self.name_prefix + name

    def create(self, account: EmulatedAccount, name: str, inputs: Mapping[str, Any]) -> tuple[str, Properties]:
        """Create the resource of this logical name, and return its physical id and outputs.

        Raises `ConstraintError` and botocore's `ClientError` as AWS refuses, `NotEmulatedError`.
        """
        wanted = self._wanted(account, inputs, lambda: self.automatic_name(account.automatic_name(name)))
        physical_id = self.make(account, wanted)
        return physical_id, self._tagged_outputs(account, physical_id, wanted)

    def read(self, account: EmulatedAccount, physical_id: str) -> Properties | None:
        """Return the resource's properties as the account holds them; None if it is gone."""
        try:
            found = self.look(account, physical_id)
        except MissingResourceError:
            return None
        except ClientError as error:
            if not _GONE.fullmatch(error.response.get("Error", {}).get("Code", "")):
                raise
            return None
        if self.tagging:
            tags = self.tagging.read(account, self.tagging.target_of(physical_id, found))
            found |= {"tags": tags, "tagsAll": tags}
        return found

    def update(self, account: EmulatedAccount, physical_id: str, inputs: Mapping[str, Any]) -> Properties:
        """Carry out new inputs in place, and return the outputs. Raises as `create` does."""
        wanted = self._wanted(account, inputs, lambda: self.look(account, physical_id)[str(self.named)])
        if self.change:
            self.change(account, physical_id, wanted)
        else:
            self.make(account, wanted)
        return self._tagged_outputs(account, physical_id, wanted)

    def delete(self, account: EmulatedAccount, physical_id: str, outputs: Mapping[str, Any]) -> None:
        """Delete the resource; one already gone is fine."""
        if self.read(account, physical_id) is not None:
            self.remove(account, physical_id, whole(outputs))

    def _wanted(self, account: EmulatedAccount, inputs: Mapping[str, Any], name: Callable[[], str]) -> Properties:
        if unknown := self.unknown(inputs):
            raise NotEmulatedError(
                f"{self.type}: {', '.join(sorted(unknown))} not emulated; add it to the type's entry "
                "in threatmon.emulator.services"
            )
        wanted: Properties = {**self.defaults, **whole(inputs)}
        if self.named and not wanted.get(self.named):
            wanted[self.named] = name()
        if self.tagging:
            wanted["tags"] = {**account.default_tags, **wanted.get("tags", {})}
        return wanted

    def _tagged_outputs(self, account: EmulatedAccount, physical_id: str, wanted: Properties) -> Properties:
        found = self.look(account, physical_id)
        if self.tagging:
            self.tagging.write(account, self.tagging.target_of(physical_id, found), wanted["tags"])
            found |= {"tags": wanted["tags"], "tagsAll": wanted["tags"]}
        as_given = {name: value for name, value in wanted.items() if same(value, found.get(name))}
        return {**wanted, **found, **as_given, "id": physical_id, "region": account.region}


def whole(value: Any) -> Any:
    """Return a value with its whole numbers as integers: the engine sends floats, AWS refuses them."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {key: whole(entry) for key, entry in value.items()}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, list):
        return [whole(entry) for entry in value]  # pyright: ignore[reportUnknownVariableType]
    return value


def same(one: Any, other: Any) -> bool:
    """Return whether two values of a property mean the same: AWS changes the layout of JSON texts."""
    if one == other:
        return True
    try:
        return isinstance(one, str) and isinstance(other, str) and json.loads(one) == json.loads(other)
    except ValueError:
        return False


def capitalised(*names: str) -> dict[str, str]:
    """Return the names of properties whose parameters only begin with a capital."""
    return {name: name[0].upper() + name[1:] for name in names}


def to_api(properties: Mapping[str, Any], names: ApiNames) -> dict[str, Any]:
    """Return properties as parameters of the API."""
    return {api: properties[name] for name, api in names.items() if properties.get(name) is not None}


def from_api(answer: Mapping[str, Any], names: ApiNames) -> Properties:
    """Return an answer of the API as properties."""
    return {name: answer[api] for name, api in names.items() if answer.get(api) is not None}


def first(entries: Iterable[Properties]) -> Properties:
    """Return the first entry of a filtered list. Raises `MissingResourceError`."""
    for entry in entries:
        return entry
    raise MissingResourceError


def nothing(*_: object) -> None:
    """Do nothing: AWS cannot delete, or need not change, such a resource."""
