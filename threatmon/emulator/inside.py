"""An account as the services in it see it, and what they leave there."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from threatmon.emulator.state_machine import Execution
from threatmon.model.location import Location


@dataclass(frozen=True)
class Notification:
    """A message as a subscriber gets it."""

    protocol: str
    endpoint: str
    subject: str
    body: str


@dataclass(frozen=True)
class MachineExecution:
    """An execution of a state machine, and the error codes of what it put into queues."""

    arn: str
    run: Execution
    dead_letters: Sequence[str]


class Account(Protocol):
    """What :class:`threatmon.emulator.account.EmulatedAccount` is to a service."""

    account_id: str
    region: str
    location: Location
    notifications: list[Notification]
    executions: list[MachineExecution]

    def client(self, service: str) -> Any:
        """Return the boto3 client of a service."""
        ...

    def backend(self, service: str) -> Any:
        """Return moto's store of a service."""
        ...

    def confirm_subscription(self, arn: str) -> None:
        """Confirm a pending subscription."""
        ...
