"""From config values to settings, or to all faults at once."""

from collections.abc import Mapping
from typing import Any

from threatmon.model.settings.faults import ConfigFaults, Fault, keys_at, value_faults
from threatmon.model.settings.rules import rule_faults, warnings
from threatmon.model.settings.sections import Settings, as_items


def parse(config: Mapping[str, Any], stack: str = "<stack>") -> tuple[Settings, list[str]]:
    """Return the settings that ``config`` describes, and warnings about them.

    ``config`` maps keys of the namespace, without it, to plain values, or to the strings the engine passes on.
    Raises :class:`ConfigFaults` with every fault of the config.
    """
    config, faults = dict(config), list[Fault]()
    shorthand = "alertEmail" in config
    if shorthand:
        address = config.pop("alertEmail")
        if as_items(config.get("alertEmails", [])) == ():
            config["alertEmails"] = [address]
        else:
            shorthand = False
            faults.append(Fault(("alertEmail",), "is set and so is threat-monitor:alertEmails; keep one of them"))
    faults += value_faults(config)
    faulty = {str(fault.path[0]) for fault in faults}
    sound = {key: value for key, value in config.items() if key not in faulty}
    # The names of attributes are no config keys.
    settings = Settings.model_validate(sound, by_alias=True, by_name=False)
    faults += rule_faults(settings, but_for=faulty)
    if shorthand:
        faults = [
            Fault(("alertEmail",), text) if path[0] == "alertEmails" else Fault(path, text) for path, text in faults
        ]
    if faults:
        raise ConfigFaults(stack, sorted(faults, key=_place))
    return settings, warnings(settings)


def _place(fault: Fault) -> int:
    """Return the place of a fault in the order of the settings; the engine passes keys on in none."""
    keys = keys_at(())
    return keys.index(str(fault.path[0])) if fault.path[0] in keys else len(keys)
