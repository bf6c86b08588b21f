"""Pulumi's official mocks, each answer carried out in the emulated account."""

from threading import Lock
from typing import Any

from pulumi.runtime import MockCallArgs, MockResourceArgs, Mocks

from threatmon.emulator.account import EmulatedAccount
from threatmon.emulator.invokes import invoke
from threatmon.emulator.program import plain
from threatmon.emulator.resources import emulated


class NothingToImportError(RuntimeError):
    """The resource to import does not exist."""


class EmulatedMocks(Mocks):
    """Creates what is registered, and answers as AWS would."""

    def __init__(self, account: EmulatedAccount) -> None:
        self._account = account
        self._lock = Lock()  # moto's stores are not made for threads

    def new_resource(self, args: MockResourceArgs) -> tuple[str | None, dict[Any, Any]]:
        """A registration, created; one with an import id, read."""
        if not args.custom:
            return None, {}
        with self._lock:
            resource = emulated(args.typ)
            if not args.resource_id:
                return resource.create(self._account, args.name, plain(args.inputs))
            found = resource.read(self._account, args.resource_id)
            if found is None:
                raise NothingToImportError(f"{args.name}: resource '{args.resource_id}' does not exist")
            return args.resource_id, found

    def call(self, args: MockCallArgs) -> tuple[dict[Any, Any], list[tuple[str, str]]]:
        """A lookup, and the faults of its arguments, of which there are none."""
        with self._lock:
            return invoke(self._account, args.token, args.args), []
