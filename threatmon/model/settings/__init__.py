"""The settings of one stack: typed models, made of plain config values with all faults reported at once."""

from collections.abc import Mapping
from typing import Any

from threatmon.model.settings.faults import ConfigFaults, Fault, keys_at, value_faults
from threatmon.model.settings.rules import rule_faults, warnings
from threatmon.model.settings.sections import (
    NAMESPACE,
    SECRET_PLACEHOLDER,
    AlertSettings,
    AlertSubscriber,
    DetectorSettings,
    FlowLogSettings,
    HealthSettings,
    Settings,
    SlackSettings,
    TeamsSettings,
    as_items,
)

__all__ = [
    "NAMESPACE", "SECRET_PLACEHOLDER", "AlertSettings", "AlertSubscriber", "ConfigFaults", "DetectorSettings",
    "FlowLogSettings", "HealthSettings", "Settings", "SlackSettings", "TeamsSettings", "parse",
]  # fmt: skip


def parse(config: Mapping[str, Any], stack: str = "<stack>", region: str | None = None) -> tuple[Settings, list[str]]:
    """Return the settings that ``config`` describes, and warnings about them.

    ``config`` maps keys of the namespace, without it, to plain values, or to the strings the engine passes on;
    ``region`` is where the stack is deployed, if that is known.
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
            faults.append(Fault(("alertEmail",), f"is set and so is {NAMESPACE}:alertEmails; keep one of them"))
    faults += value_faults(config)
    faulty = {str(fault.path[0]) for fault in faults}
    sound = {key: value for key, value in config.items() if key not in faulty}
    # By alias only: the name of an attribute is no config key.
    settings = Settings.model_validate(sound, by_alias=True, by_name=False)
    faults += rule_faults(settings, region, but_for=faulty)
    if shorthand:
        faults = [fault._replace(path=("alertEmail",)) if fault.path[0] == "alertEmails" else fault for fault in faults]
    if faults:
        # In the order of the settings, because the engine passes keys on in no order.
        places = {key: place for place, key in enumerate(keys_at(()))}
        raise ConfigFaults(stack, sorted(faults, key=lambda fault: places.get(str(fault.path[0]), len(places))))
    return settings, warnings(settings)
