"""What the engine would plan when a stack's config changes, from two runs of the real program under mocks."""

from collections.abc import Mapping
from typing import Any

from harness import CONFIG, AwsMocks, custom
from pulumi.output import Unknown
from pulumi.runtime.mocks import MockResourceArgs

from threatmon.emulator.emulated import same
from threatmon.emulator.program import ProgramRun, Registration, plain, run_project
from threatmon.emulator.resources import emulated
from threatmon.fleet.changes import UNKNOWN, Op, ResourceChange

Inputs = Mapping[str, Any]


def changes_between(old_config: Inputs | None, new_config: Inputs) -> list[ResourceChange]:
    """Every resource of the stack, and what an update from one config to the other would do to it.

    The configs are what a stack file has over ``harness.CONFIG``; keys of the project go without its namespace, those
    that are None are left out. ``old_config`` is None if there is no stack yet. As in a preview, what AWS would
    assign to a new or replaced resource is ``UNKNOWN``.
    """
    run = ProgramRun() if old_config is None else run_project(_full(old_config), AwsMocks())
    keys = {(resource.type, resource.name): resource for resource in custom(run)}
    olds = {key: (old, _checked(*key, old.inputs, old_config or {})) for key, old in keys.items()}
    mocks = _Previewing({key: inputs for key, (_, inputs) in olds.items()}, new_config)
    run = run_project(_full(new_config), mocks, preview=True)
    news = {(resource.type, resource.name): resource for resource in custom(run)}
    changed = [_change(new, _checked(*key, new.inputs, new_config), olds.get(key)) for key, new in news.items()]
    gone = [
        ResourceChange("delete", old.type, old.name, inputs, {}, {}, old.retain_on_delete)
        for key, (old, inputs) in olds.items()
        if key not in news
    ]
    return sorted(changed + gone, key=lambda change: (change.type, change.name))


class _Previewing(AwsMocks):
    """Answers as in a preview: of what is there and stays with all it has, of anything else with what is planned."""

    def __init__(self, olds: Mapping[tuple[str, str], Inputs], config: Inputs) -> None:
        super().__init__()
        self._olds, self._config = olds, config

    def new_resource(self, args: MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        if not args.custom or not args.typ.startswith("aws:"):
            return super().new_resource(args)
        inputs = _checked(args.typ, args.name, args.inputs, self._config)
        old = self._olds.get((args.typ, args.name))
        if args.resource_id or (old is not None and _op(args.typ, _diff(args.typ, old, inputs)) != "replace"):
            return super().new_resource(args)
        return None, {**emulated(args.typ).defaults, **inputs}


def _full(config: Inputs) -> dict[str, Any]:
    full = {key if ":" in key else f"threat-monitor:{key}": value for key, value in {**CONFIG, **config}.items()}
    return {key: value for key, value in full.items() if value is not None}


def _checked(type_: str, name: str, inputs: Inputs, config: Inputs) -> dict[str, Any]:
    """The inputs as the provider has them checked: with an automatic name, and with the stack's default tags."""
    entry, checked = emulated(type_), _known(plain(inputs))
    if entry.named and entry.named not in checked:
        checked[entry.named] = AwsMocks().state(type_, name, checked)[1].get(entry.named, name)
    if entry.tagging and (tags := config.get("aws:defaultTags", {}).get("tags")):
        checked["tags"] = {**tags, **checked.get("tags", {})}
    return checked


def _known(value: Any) -> Any:
    if isinstance(value, Unknown):
        return UNKNOWN
    if isinstance(value, Mapping):
        return {key: _known(entry) for key, entry in value.items()}
    return [_known(entry) for entry in value] if isinstance(value, list) else value


def _change(registration: Registration, new: Inputs, known: tuple[Registration, Inputs] | None) -> ResourceChange:
    if known is None:
        op: Op = "import" if registration.import_id else "create"
        return ResourceChange(op, registration.type, registration.name, {}, new, {}, registration.retain_on_delete)
    before, old = known
    diff = _diff(registration.type, old, new)
    op = _op(registration.type, diff)
    # What is replaced is deleted as the state has it.
    retained = (before if op == "replace" else registration).retain_on_delete
    return ResourceChange(op, registration.type, registration.name, old, new, diff, retained)


def _diff(type_: str, old: Inputs, new: Inputs) -> dict[str, str]:
    entry = emulated(type_)
    diff: dict[str, str] = {}
    for key in sorted(old.keys() | new.keys()):
        if not same(old.get(key, entry.defaults.get(key)), new.get(key, entry.defaults.get(key))):
            kind = "add" if key not in old else "update" if key in new else "delete"
            diff[key] = f"{kind}-replace" if key in entry.replaced_by else kind
    return diff


def _op(type_: str, diff: Mapping[str, str]) -> Op:
    if any(key in emulated(type_).replaced_by for key in diff):
        return "replace"
    return "update" if diff else "same"
