"""Operations that a killed engine had begun and could not record.

https://www.pulumi.com/docs/support/troubleshooting/common-issues/pending-operations/
"""

import re
from typing import Literal, NamedTuple


class Interrupted(NamedTuple):
    """An operation whose end nobody has seen."""

    urn: str
    doing: Literal["creating", "updating", "deleting", "reading", "importing"]

    @property
    def type(self) -> str:
        """Type token of the resource."""
        return self.urn.split("::")[2].rpartition("$")[2]

    @property
    def name(self) -> str:
        """Logical name of the resource."""
        return self.urn.split("::", 3)[3]

    def __str__(self) -> str:
        """Return the operation as a part of a sentence."""
        return f"{self.doing} {self.type.rpartition(':')[2]} {self.name}"


# https://github.com/pulumi/pulumi/blob/master/pkg/resource/deploy/deployment_executor.go
_INTERRUPTED = re.compile(
    r"^\s*\* (urn:pulumi:.+), interrupted while (creating|updating|deleting|reading|importing)\s*$", re.MULTILINE
)


def interrupted(warning: str) -> list[Interrupted]:
    """Return the operations that the engine's warning names; none if it is another one."""
    if "pending operations from previous deployment" not in warning:
        return []
    return [Interrupted(urn, doing) for urn, doing in _INTERRUPTED.findall(warning)]
