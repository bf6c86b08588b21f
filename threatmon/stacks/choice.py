"""What a new stack file says."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from threatmon.model.finding_types import EVERYTHING
from threatmon.stacks.detector_choice import DetectorChoice
from threatmon.stacks.networks import Network


@dataclass(frozen=True)
class Choice:
    """What was chosen for a new stack."""

    stack: str
    account_id: str
    region: str
    networks: Sequence[Network]
    emails: Sequence[str]
    detector: DetectorChoice
    finding_types: Sequence[str] = ()
    """none for the default: all from medium upwards"""

    @property
    def config(self) -> dict[str, Any]:
        """The keys of the namespace that are set, as ``threatmon.model.settings.parse`` takes them."""
        # Types that are set count from low upwards, so the default is written out as a whole.
        everything = {"findingTypes": [EVERYTHING], "minimumSeverity": "medium"}
        config: dict[str, Any] = {
            "subnetIds": [network.id for network in self.networks if not network.is_vpc],
            "vpcIds": [network.id for network in self.networks if network.is_vpc],
            "alertEmails": list(self.emails),
            **({"findingTypes": list(self.finding_types)} if self.finding_types else everything),
            "detector": {"mode": self.detector.mode, **({"id": self.detector.id} if self.detector.id else {})},
            "protectionPlans": dict(self.detector.plans),
            "findingPublishingFrequency": self.detector.frequency,
            "flowLogs": {"keepOnDestroy": True},
            "health": {"enabled": True},
            "protect": True,
        }
        return {key: value for key, value in config.items() if value}

    @property
    def overlaps(self) -> list[str]:
        """Subnets whose VPC is chosen as a whole, so that their traffic would be recorded twice."""
        vpcs = {network.id for network in self.networks if network.is_vpc}
        return [network.id for network in self.networks if not network.is_vpc and network.vpc_id in vpcs]
