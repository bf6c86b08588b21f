"""Pulumi's official mocks, which carry out each registration in the emulated account."""

from threading import Lock
from typing import Any

from pulumi.runtime import MockCallArgs, MockResourceArgs, Mocks

from threatmon.emulator.account import EmulatedAccount
from threatmon.emulator.emulated import MissingResourceError
from threatmon.emulator.invokes import invoke
from threatmon.emulator.program import plain
from threatmon.emulator.resources import emulated


class EmulatedMocks(Mocks):
    """Create what is registered, and answer as AWS would."""

    def __init__(self, account: EmulatedAccount) -> None:
        self._account = account
        self._lock = Lock()  # moto's stores are not made for threads

    def new_resource(self, args: MockResourceArgs) -> tuple[str | None, dict[Any, Any]]:
        """Create what is registered, or read it if there is an import id; return its id and outputs."""
        if not args.custom:
            return None, {}
        with self._lock:
            resource = emulated(args.typ)
            if not args.resource_id:
                return resource.create(self._account, args.name, plain(args.inputs))
            found = resource.read(self._account, args.resource_id)
            if found is None:
                raise MissingResourceError(f"{args.name}: resource '{args.resource_id}' does not exist")
            return args.resource_id, found

    def call(self, args: MockCallArgs) -> tuple[dict[Any, Any], list[tuple[str, str]]]:
        """Return the answer of a provider function, and no faults of its arguments."""
        with self._lock:
            return invoke(self._account, args.token, args.args), []
