"""Hints for the user if AWS refuses to create a resource because it exists already."""

import re
from collections.abc import Callable

import pulumi


def import_command(failure: pulumi.ErrorHookArgs, parent_name: str, physical_id: str) -> str:
    """Return the command that imports what exists into the stack, as the resource whose creation failed.

    https://www.pulumi.com/docs/iac/cli/commands/pulumi_import/
    """
    place, types, _ = failure.urn.rsplit("::", 2)
    parent_urn = f"{place}::{types.rpartition('$')[0]}::{parent_name}"
    return (
        f"pulumi import --stack {pulumi.get_stack()} --yes --protect=false --generate-code=false "
        f"{failure.type} {failure.name} {physical_id} --parent 'parent={parent_urn}'"
    )


def explain(
    name: str, component: pulumi.Resource, hint: Callable[[pulumi.ErrorHookArgs], str]
) -> pulumi.ResourceHookBinding:
    """Return hooks that print ``hint``'s text beside AWS's error if a resource exists already.

    ``name`` has to be unique in the program.
    https://www.pulumi.com/docs/iac/concepts/resources/options/hooks/
    """

    def on_error(failure: pulumi.ErrorHookArgs) -> bool:
        if any(re.search("already ?exist", error, re.IGNORECASE) for error in failure.errors):
            pulumi.log.error(hint(failure), resource=component)
        return False  # no retry

    return pulumi.ResourceHookBinding(on_error=[pulumi.ErrorHook(f"{name}-already-exists", on_error)])
