"""The detection: GuardDuty's detector, and its protection plans."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import pulumi
import pulumi_aws as aws

from components import already_exists
from threatmon.model.protection_plans import FEATURES


@dataclass(frozen=True)
class ThreatDetectionArgs:
    """What :class:`ThreatDetection` takes."""

    mode: Literal["create", "import", "lookup"] = "create"
    """make a detector, adopt the one with ``detector_id``, or only refer to it"""
    detector_id: str | None = None
    """the existing detector; ``lookup`` without it takes the one the account has"""
    protection_plans: Mapping[str, bool] = field(default_factory=dict[str, bool])
    """plan (a key of ``threatmon.model.protection_plans.FEATURES``) -> on or off. Plans left out stay as GuardDuty has
    them: a new detector starts with most of them on"""
    finding_publishing_frequency: str = "SIX_HOURS"
    """FIFTEEN_MINUTES, ONE_HOUR or SIX_HOURS: how often repeats of a known finding are sent"""
    protect: bool = False
    """refuse to delete or replace the detector"""


class ThreatDetection(pulumi.ComponentResource):
    """A GuardDuty detector, of which an account has one for each Region.

    An organisation makes detectors by itself, and to delete one deletes its findings. So a program cannot guess
    whether to make or adopt one; ``mode`` says it. An adopted one stays when the stack is destroyed.

    Creates: a detector and a feature for each protection plan; in mode ``lookup``, nothing.
    Raises :class:`pulumi.RunError` where the detector to adopt or refer to is not there.
    """

    detector_id: pulumi.Output[str]
    """The detector's id."""

    def __init__(self, name: str, args: ThreatDetectionArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        if args.mode == "import" and not args.detector_id:
            raise ValueError('detector_id: is required by mode "import"')
        super().__init__("threat-monitor:index:ThreatDetection", name, None, opts)
        if args.mode == "lookup":
            self.detector_id = pulumi.Output.from_input(self._existing_detector(args.detector_id))
        else:
            self.detector_id = self._managed_detector(name, args)
        self.register_outputs({"detectorId": self.detector_id})

    def _managed_detector(self, name: str, args: ThreatDetectionArgs) -> pulumi.Output[str]:
        adopts = args.mode == "import"
        detector = aws.guardduty.Detector(
            f"{name}-detector",
            enable=True,
            finding_publishing_frequency=args.finding_publishing_frequency,
            opts=pulumi.ResourceOptions(
                parent=self,
                protect=args.protect or None,
                import_=self._existing_detector(args.detector_id) if adopts else None,
                # One that was there before stays when the stack goes, or no longer manages it.
                retain_on_delete=adopts or None,
                hooks=None if adopts else already_exists.explain(name, self, self._how_to_use_it),
            ),
        )
        # One for each plan, on or off: to delete a feature does not switch it off.
        for plan, enabled in args.protection_plans.items():
            aws.guardduty.DetectorFeature(
                f"{name}-{plan}",
                detector_id=detector.id,
                name=FEATURES[plan],
                status="ENABLED" if enabled else "DISABLED",
                opts=pulumi.ResourceOptions(parent=self),
            )
        return detector.id

    def _existing_detector(self, detector_id: str | None) -> str:
        """The id of the detector that is there. Raises :class:`pulumi.RunError` if it is not."""
        try:
            return aws.guardduty.get_detector(id=detector_id, opts=pulumi.InvokeOptions(parent=self)).id
        except Exception as error:  # noqa: BLE001 - the SDK raises nothing more specific
            which = f"GuardDuty detector {detector_id}" if detector_id else "a GuardDuty detector"
            raise pulumi.RunError(
                f"threat-monitor:detector: {which} cannot be found in this account and Region ({error}).\n"
                "Set the id that `aws guardduty list-detectors` prints, or mode create where it prints none."
            ) from None

    def _how_to_use_it(self, _: pulumi.ErrorHookArgs) -> str:
        existing = self._existing_detector(None)
        return (
            f"This account and Region already have the GuardDuty detector {existing}. To manage it here, set\n"
            f"  threat-monitor:detector: {{mode: import, id: {existing}}}\n"
            "or, where an organisation or another stack manages it,\n"
            f"  threat-monitor:detector: {{mode: lookup, id: {existing}}}"
        )
