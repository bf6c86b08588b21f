"""How a resource type is created, read, updated and deleted in the emulated account."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from threatmon.emulator.account import EmulatedAccount
from threatmon.emulator.tagging import Tagging

Properties = dict[str, Any]
Fields = Mapping[str, str]

_GONE = frozenset(
    [
        "AWS.SimpleQueueService.NonExistentQueue",
        "InvalidFlowLogId.NotFound",
        "NoSuchEntity",
        "NotFound",
        "NotFoundException",
        "QueueDoesNotExist",
        "ResourceNotFound",
        "ResourceNotFoundException",
    ]
)


class UnknownPropertyError(LookupError):
    """A property the emulated type would silently ignore."""

    def __init__(self, type_token: str, names: Iterable[str]) -> None:
        super().__init__(
            f"{type_token}: {', '.join(sorted(names))} not emulated; add it to the type's entry "
            "in threatmon.emulator.services"
        )


class NotThereError(LookupError):
    """The account does not hold the resource."""


@dataclass(frozen=True, kw_only=True)
class Emulated:
    """One resource type. Properties are camelCase, as on the wire; whole numbers may arrive as floats.

    `inputs` are all the properties carried out. `make` carries out a creation and gives the physical id, `look` reads
    every property back (raising `NotThereError` or AWS's own error where the resource is gone), `change` carries out
    new inputs in place, `remove` is given the last known properties. `replaced_by` are the inputs whose change forces
    a replacement, `computed` the outputs known only once the resource exists, `defaults` what the provider fills in,
    `named` the input that gets an automatic name.
    """

    type: str
    inputs: frozenset[str]
    make: Callable[[EmulatedAccount, Properties], str]
    look: Callable[[EmulatedAccount, str], Properties]
    change: Callable[[EmulatedAccount, str, Properties], None] | None
    remove: Callable[[EmulatedAccount, str, Properties], None]
    replaced_by: frozenset[str] = frozenset()
    computed: frozenset[str] = frozenset()
    defaults: Properties = field(default_factory=dict[str, Any])
    named: str | None = None
    name_prefix: str = ""
    tagging: Tagging | None = None

    def unknown(self, inputs: Mapping[str, Any]) -> frozenset[str]:
        """The inputs that would be ignored."""
        return frozenset(inputs.keys() - self.inputs - {"__defaults"})

    def automatic_name(self, name: str) -> str:
        """A drawn name as the type wants it."""
        return name if name.startswith(self.name_prefix) else self.name_prefix + name

    def create(self, account: EmulatedAccount, name: str, inputs: Mapping[str, Any]) -> tuple[str, Properties]:
        """Create the resource of this logical name: its physical id and outputs.

        Raises `ConstraintError` and botocore's `ClientError` as AWS refuses, `UnknownPropertyError`.
        """
        self._refuse_unknown(inputs)
        wanted: Properties = {**self.defaults, **whole(inputs)}
        if self.named and not wanted.get(self.named):
            wanted[self.named] = self.automatic_name(account.automatic_name(name))
        if self.tagging:
            wanted["tags"] = {**account.default_tags, **wanted.get("tags", {})}
        physical_id = self.make(account, wanted)
        self._tag(account, physical_id, wanted)
        return physical_id, self._outputs(account, physical_id, wanted)

    def read(self, account: EmulatedAccount, physical_id: str) -> Properties | None:
        """The resource's properties as the account holds them; None where it is gone."""
        try:
            found = self.look(account, physical_id)
        except NotThereError:
            return None
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in _GONE:
                return None
            raise
        if self.tagging:
            handle = physical_id if self.tagging.handle == "id" else found["arn"]
            tags = self.tagging.read(account, handle)
            found |= {"tags": tags, "tagsAll": tags}
        return found

    def exists(self, account: EmulatedAccount, physical_id: str) -> bool:
        """Whether the account holds the resource."""
        return self.read(account, physical_id) is not None

    def update(self, account: EmulatedAccount, physical_id: str, inputs: Mapping[str, Any]) -> Properties:
        """Carry out new inputs in place; the outputs afterwards. Raises as `create` does."""
        self._refuse_unknown(inputs)
        wanted: Properties = {**self.defaults, **whole(inputs)}
        if self.named and not wanted.get(self.named):
            wanted[self.named] = self.look(account, physical_id)[self.named]
        if self.tagging:
            wanted["tags"] = {**account.default_tags, **wanted.get("tags", {})}
        if self.change:
            self.change(account, physical_id, wanted)
        self._tag(account, physical_id, wanted)
        return self._outputs(account, physical_id, wanted)

    def delete(self, account: EmulatedAccount, physical_id: str, outputs: Mapping[str, Any]) -> None:
        """Delete the resource; one already gone is fine."""
        if self.exists(account, physical_id):
            self.remove(account, physical_id, whole(outputs))

    def _refuse_unknown(self, inputs: Mapping[str, Any]) -> None:
        if unknown := self.unknown(inputs):
            raise UnknownPropertyError(self.type, unknown)

    def _tag(self, account: EmulatedAccount, physical_id: str, wanted: Properties) -> None:
        if self.tagging:
            handle = physical_id if self.tagging.handle == "id" else self.look(account, physical_id)["arn"]
            self.tagging.write(account, handle, wanted["tags"])

    def _outputs(self, account: EmulatedAccount, physical_id: str, wanted: Properties) -> Properties:
        found = self.read(account, physical_id) or {}
        as_given = {name: value for name, value in wanted.items() if same(value, found.get(name))}
        return {**wanted, **found, **as_given, "id": physical_id, "region": account.region}


def whole(value: Any) -> Any:
    """Numbers travel as floats; AWS wants whole ones."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {key: whole(entry) for key, entry in value.items()}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, list):
        return [whole(entry) for entry in value]  # pyright: ignore[reportUnknownVariableType]
    return value


def same(one: Any, other: Any) -> bool:
    """Whether two values of a property mean the same: AWS lays JSON texts out anew."""
    if one == other:
        return True
    try:
        return isinstance(one, str) and isinstance(other, str) and json.loads(one) == json.loads(other)
    except ValueError:
        return False


def to_api(properties: Mapping[str, Any], fields: Fields) -> dict[str, Any]:
    """Properties as API parameters; `fields` maps property names to parameter names."""
    return {api: properties[name] for name, api in fields.items() if properties.get(name) is not None}


def from_api(answer: Mapping[str, Any], fields: Fields) -> Properties:
    """An API answer as properties, by the same map."""
    return {name: answer[api] for name, api in fields.items() if answer.get(api) is not None}


def names(*maps: Iterable[str]) -> frozenset[str]:
    """The property names of several maps together."""
    return frozenset(name for keys in maps for name in keys)


def found(entries: Iterable[Properties]) -> Properties:
    """The one entry of a filtered list. Raises `NotThereError`."""
    for entry in entries:
        return entry
    raise NotThereError


def forget(*_: object) -> None:
    """A resource whose deletion changes nothing on AWS."""


def attributes(inputs: Properties, fields: Fields) -> dict[str, str]:
    """Properties as attributes of the API, which are texts."""
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in to_api(inputs, fields).items()
    }


def is_true(attribute: str) -> bool:
    """A switch among the attributes of the API."""
    return attribute.lower() == "true"
