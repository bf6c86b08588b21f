"""What ``threatmon.model.settings.parse`` makes of a config, and of one value added to a config without faults."""

from typing import Any

import pytest
from examples import SUBNET

from threatmon.model.settings import ConfigFaults, Settings, parse

Config = dict[str, Any]

MINIMAL: Config = {"subnetIds": [SUBNET], "alertEmails": ["soc@example.com"]}


def parsed(config: Config) -> Settings:
    """Return the settings of ``config`` on top of :data:`MINIMAL`."""
    return parse(MINIMAL | config)[0]


def warnings(config: Config) -> list[str]:
    """Return the warnings about ``config`` on top of :data:`MINIMAL`."""
    return parse(MINIMAL | config)[1]


def faults(config: Config) -> list[str]:
    """Return the lines of the message, without the namespace they all begin with."""
    with pytest.raises(ConfigFaults) as refusal:
        parse(config, "dev")
    head, *lines = str(refusal.value).split("\n")
    assert head == f"Pulumi.dev.yaml has {len(lines)} fault{'s' if len(lines) > 1 else ''}:"
    prefix = "  threat-monitor:"
    assert all(line.startswith(prefix) for line in lines)
    return [line.removeprefix(prefix) for line in lines]


def faults_beside(config: Config) -> list[str]:
    """Return the faults that the values of ``config`` add to :data:`MINIMAL`."""
    return faults(MINIMAL | config)


def nested(key: str, value: Any) -> Config:
    """Return a config with ``value`` under a dotted key."""
    first, *rest = key.split(".")
    return {first: nested(".".join(rest), value) if rest else value}
