"""What the state backend knows of one stack."""

from typing import NamedTuple

from threatmon.stacks.files import StackFile, file_name


class KnownStack(NamedTuple):
    """A stack that the backend has, as far as it says."""

    name: str
    last_update: str | None = None
    """ISO 8601; None if there was none"""
    in_progress: bool = False
    resources: int | None = None
    fault: str | None = None
    """why its state cannot be read, and what there is instead of it, a line each"""


class Leftover(NamedTuple):
    """A stack without a file."""

    known: KnownStack
    file: StackFile
    """the config of its last update; empty if the backend has none"""

    @property
    def account_id(self) -> str:
        """The account, if it is known."""
        return ", ".join(self.file.account_ids)

    @property
    def region(self) -> str:
        """The Region, if it is known."""
        return self.file.region or ""

    @property
    def advice(self) -> str:
        """What is left of it, and what to do."""
        name = self.known.name
        gone = f"There is no {file_name(name)}"
        if self.known.fault:
            return f"{gone}. {self.known.fault}"
        if self.known.resources == 0:
            return f"{gone}, and the stack is empty. To forget it: pulumi stack rm {name}"
        where = f" in {self.account_id} {self.region}" if self.account_id and self.region else ""
        return (
            f"{gone}, but the stack is deployed{where}, and nobody updates it. Put the file back, or take the stack "
            f"down: pulumi destroy --stack {name} && pulumi stack rm {name}"
        )
