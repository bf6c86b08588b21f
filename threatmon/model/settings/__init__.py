"""The settings of one stack: :func:`parse` makes them from its plain config values and reports all faults at once."""

from threatmon.model.settings.faults import ConfigFaults
from threatmon.model.settings.parsing import parse
from threatmon.model.settings.sections import (
    NAMESPACE,
    SECRET_PLACEHOLDER,
    AlertSettings,
    AlertSubscriber,
    DetectorSettings,
    FlowLogSettings,
    HealthSettings,
    Settings,
)

__all__ = [
    "NAMESPACE",
    "SECRET_PLACEHOLDER",
    "AlertSettings",
    "AlertSubscriber",
    "ConfigFaults",
    "DetectorSettings",
    "FlowLogSettings",
    "HealthSettings",
    "Settings",
    "parse",
]
