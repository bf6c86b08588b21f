"""What to do where AWS refuses to create a resource because there is one already."""

from collections.abc import Callable

import pulumi


def explain(
    name: str, component: pulumi.Resource, hint: Callable[[pulumi.ErrorHookArgs], str]
) -> pulumi.ResourceHookBinding:
    """Binds a resource to ``hint``, whose text is printed beside AWS's own error when its creation fails so.

    ``name`` has to be unique in the program.
    https://www.pulumi.com/docs/iac/concepts/resources/options/hooks/
    """

    def on_error(failure: pulumi.ErrorHookArgs) -> bool:
        if any("already exist" in error for error in failure.errors):
            pulumi.log.error(hint(failure), resource=component)
        return False  # no retry

    return pulumi.ResourceHookBinding(on_error=[pulumi.ErrorHook(f"{name}-already-exists", on_error)])
