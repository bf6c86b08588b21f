"""The recovery of resources that a killed engine created but could not record; :mod:`threatmon.fleet.made` finds them.

https://www.pulumi.com/docs/support/troubleshooting/common-issues/pending-operations/
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

from threatmon.errors import ThreatmonError


class InterruptedOperation(NamedTuple):
    """An operation whose end the engine did not record."""

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


def interrupted_operations(warning: str) -> list[InterruptedOperation]:
    """Return the operations that the engine's warning names; none if it is another one."""
    if "pending operations from previous deployment" not in warning:
        return []
    return [InterruptedOperation(urn, doing) for urn, doing in _INTERRUPTED.findall(warning)]


class LookupResult(NamedTuple):
    """The result of an interrupted operation, in words; the id of the resource, and whether AWS answered."""

    summary: str
    made: str | None = None
    answered: bool = True


def look_up(
    operations: Sequence[InterruptedOperation], made_by: Callable[[InterruptedOperation], str | None]
) -> dict[InterruptedOperation, LookupResult]:
    """Look up what interrupted operations created. After an account refuses, it is not asked again."""
    found: dict[InterruptedOperation, LookupResult] = {}
    refused: LookupResult | None = None
    for operation in operations:
        if operation.doing != "creating":
            found[operation] = LookupResult("nothing to do")
            continue
        try:
            made = None if refused else made_by(operation)
        except ThreatmonError as error:
            made, refused = (
                None,
                LookupResult(f"what it made, if anything, cannot be looked up: {error}", answered=False),
            )
        summary = f"took over {made}" if made else "what it made, if anything, is made again"
        found[operation] = refused or LookupResult(summary, made)
    return found


# -- the state --------------------------------------------------------------------------------------------------------


def repair(run: Callable[..., str], found: Mapping[InterruptedOperation, LookupResult]) -> None:
    """Record the created resources in a stack's state; ``run`` runs an engine command on it and returns its output."""
    # Not the Automation API's export, which decrypts secrets.
    state = json.loads(run("stack", "export"))["deployment"] or {}
    pending = [operation["resource"] for operation in state.get("pending_operations") or []]
    parents = {resource["urn"]: resource.get("parent") for resource in pending}
    # `--import-pending-creates` records nothing: the engine forgets the operation and the id.
    run("refresh", "--yes", "--skip-preview", "--clear-pending-creates")
    options = ["--yes", "--skip-preview", "--protect=false", "--generate-code=false"]
    for operation, result in found.items():
        if result.made and (parent := parents.get(operation.urn)):
            run("import", *options, operation.type, operation.name, result.made, "--parent", f"parent={parent}")
