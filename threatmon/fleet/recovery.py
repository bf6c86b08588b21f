"""The recovery of resources that a killed engine created but could not record; :mod:`threatmon.fleet.made` finds them.

https://www.pulumi.com/docs/support/troubleshooting/common-issues/pending-operations/
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

from threatmon.errors import ThreatmonError


class InterruptedOperation(NamedTuple):
    """An operation whose end the engine did not record."""

    urn: str
    doing: Literal["creating", "updating", "deleting", "reading", "importing"]
    parent: str = ""
    """URN of the resource's parent"""

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


def interrupted_operations(exported: str) -> list[InterruptedOperation]:
    """Return the operations that a state has under way, of what `pulumi stack export` prints.

    They were interrupted, unless an update of the stack is under way.
    """
    # Not the Automation API's export, which decrypts secrets.
    state = json.loads(exported)["deployment"] or {}
    return [
        InterruptedOperation(operation["resource"]["urn"], operation["type"], operation["resource"].get("parent", ""))
        for operation in state.get("pending_operations") or []
    ]


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


def repair(run: Callable[..., str], found: Mapping[InterruptedOperation, LookupResult]) -> None:
    """Record the created resources in a stack's state; ``run`` runs an engine command on it and returns its output.

    Safe whatever else happens at the same time: each command holds the stack's lock while it works, and is refused
    while somebody else does; a resource that another run has recorded meanwhile is left alone; what was found bears
    this stack's own name or tags, so that nobody else's is taken. A kill in between leaves what is then refused by
    AWS as existing, with the command that imports it.
    """
    # `--import-pending-creates` records nothing: the engine forgets the operation and the id.
    run("refresh", "--yes", "--skip-preview", "--clear-pending-creates")
    state = json.loads(run("stack", "export"))["deployment"] or {}
    recorded = {resource["urn"] for resource in state.get("resources") or []}
    options = ["--yes", "--skip-preview", "--protect=false", "--generate-code=false"]
    for operation, result in found.items():
        if result.made and operation.urn not in recorded:
            parent = f"parent={operation.parent}"
            run("import", *options, operation.type, operation.name, result.made, "--parent", parent)
