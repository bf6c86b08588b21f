"""What to do where AWS refuses to create a resource because there is one already."""

import re
from collections.abc import Callable

import pulumi


def parent_urn(failure: pulumi.ErrorHookArgs, parent_name: str) -> str:
    """The URN of the component that the failed resource belongs to, for ``pulumi import --parent``."""
    place, types, _ = failure.urn.rsplit("::", 2)
    return f"{place}::{types.rpartition('$')[0]}::{parent_name}"


def import_command(failure: pulumi.ErrorHookArgs, parent_name: str, physical_id: str) -> str:
    """The command that takes what exists into the stack, in place of the resource whose creation failed.

    https://www.pulumi.com/docs/iac/cli/commands/pulumi_import/
    """
    return (
        f"pulumi import --stack {pulumi.get_stack()} --yes --protect=false --generate-code=false "
        f"{failure.type} {failure.name} {physical_id} --parent 'parent={parent_urn(failure, parent_name)}'"
    )


def explain(
    name: str, component: pulumi.Resource, hint: Callable[[pulumi.ErrorHookArgs], str]
) -> pulumi.ResourceHookBinding:
    """Binds a resource to ``hint``, whose text is printed beside AWS's own error when its creation fails so.

    ``name`` has to be unique in the program.
    https://www.pulumi.com/docs/iac/concepts/resources/options/hooks/
    """

    def on_error(failure: pulumi.ErrorHookArgs) -> bool:
        if any(re.search("already ?exist", error, re.IGNORECASE) for error in failure.errors):
            pulumi.log.error(hint(failure), resource=component)
        return False  # no retry

    return pulumi.ResourceHookBinding(on_error=[pulumi.ErrorHook(f"{name}-already-exists", on_error)])
