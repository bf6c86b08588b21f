"""What the state backend knows of the project's stacks, also of those that have no file any more."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from threatmon.errors import UsageError
from threatmon.fleet import folder_backend
from threatmon.fleet.known_stack import KnownStack, Leftover
from threatmon.fleet.targets import Target, claims
from threatmon.stacks import files as stack_files
from threatmon.stacks.files import StackFile

Ask = Callable[..., Any]
"""Returns what a command of the engine prints as JSON; raises :class:`UsageError` if it fails."""


def known_stacks(ask: Ask, folder: Path) -> dict[str, KnownStack]:
    """Return the project's stacks by name.

    Where one state that cannot be read keeps the engine from listing any, they are read from the backend's folder:
    https://github.com/pulumi/pulumi/blob/master/pkg/backend/diy/backend.go (`ListStacks`)
    """
    try:
        return _listed(ask)
    except UsageError:
        url = _url(ask)
        was_repaired = folder_backend.remove_empty_attributes(url)
        states = folder_backend.states(url, stack_files.project_name(folder))
        if not any(state.fault for state in states):
            if was_repaired:
                return _listed(ask)
            raise
        return {state.name: state for state in states}


def leftovers(ask: Ask, known: Mapping[str, KnownStack], names: Collection[str]) -> list[Leftover]:
    """Return the stacks that are not among ``names``, which have a file. Asks the engine once for each."""
    return [Leftover(stack, _last_config(ask, stack)) for name, stack in sorted(known.items()) if name not in names]


def renamed_from(target: Target, left: Collection[Leftover]) -> str | None:
    """Return the deployed stack without a file that has what a new stack claims; it was renamed."""
    wanted = {claim[:2] for claim in claims(target.file)}
    return next(
        (old.known.name for old in left if old.known.resources and wanted & {claim[:2] for claim in claims(old.file)}),
        None,
    )


def _listed(ask: Ask) -> dict[str, KnownStack]:
    """Return what `pulumi stack ls` says: https://www.pulumi.com/docs/iac/cli/commands/pulumi_stack_ls/."""
    found = [
        KnownStack(
            entry["name"].rpartition("/")[2],  # an organisation may stand before the name: acme/prod
            entry.get("lastUpdate"),
            entry.get("updateInProgress", False),
            entry.get("resourceCount"),
        )
        for entry in ask("stack", "ls") or []
    ]
    return {stack.name: stack for stack in found}


def _url(ask: Ask) -> str:
    try:
        return (ask("whoami", "--verbose") or {}).get("url", "")
    except UsageError:
        return ""


def _last_config(ask: Ask, stack: KnownStack) -> StackFile:
    updates: Sequence[Mapping[str, Any]] = ()
    if stack.resources and not stack.fault:
        with suppress(UsageError):  # its history says where it is, and nothing that an update needs
            updates = ask("stack", "history", "--stack", stack.name, "--page-size", "1") or ()
    config = updates[0].get("config") or {} if updates else {}
    return StackFile(stack.name, {key: entry.get("objectValue", entry.get("value")) for key, entry in config.items()})
