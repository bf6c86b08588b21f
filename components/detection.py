"""The detection: GuardDuty's detector and its protection plans."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pulumi
import pulumi_aws as aws

from components import already_exists
from threatmon.model import names
from threatmon.model.protection_plans import FEATURES
from threatmon.model.settings import DetectorSettings


@dataclass(frozen=True)
class ThreatDetectionArgs:
    """What :class:`ThreatDetection` takes; ``protect`` is an option of the detector."""

    stack: str
    """the stack's name, which a detector that it creates is tagged with"""
    settings: DetectorSettings = field(default_factory=DetectorSettings)
    """whether to create a detector, adopt (import) one or only refer to it (lookup), and which"""
    protection_plans: Mapping[str, bool] = field(default_factory=dict[str, bool])
    """plan (a key of ``threatmon.model.protection_plans.FEATURES``) -> on or off. Plans left out stay as GuardDuty has
    them: a new detector starts with most of them on"""
    finding_publishing_frequency: str = "SIX_HOURS"
    """FIFTEEN_MINUTES, ONE_HOUR or SIX_HOURS: how often repeats of a known finding are sent"""
    protect: bool = False


class ThreatDetection(pulumi.ComponentResource):
    """A GuardDuty detector, of which an account has one for each Region.

    An organisation creates detectors by itself, and deleting one deletes its findings. So a program cannot guess
    whether to create or adopt one; the settings say it. An adopted one stays when the stack is destroyed.

    Creates: a detector and a feature for each protection plan; in mode ``lookup``, nothing.
    Raises :class:`pulumi.RunError` if the detector to adopt or refer to is not there.
    """

    detector_id: pulumi.Output[str]

    def __init__(self, name: str, args: ThreatDetectionArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        if args.settings.mode == "import" and not args.settings.id:
            raise ValueError('settings.id: is required by mode "import"')
        super().__init__("threat-monitor:index:ThreatDetection", name, None, opts)
        if args.settings.mode == "lookup":
            self.detector_id = pulumi.Output.from_input(self._existing_detector(args.settings.id))
        else:
            self.detector_id = self._managed_detector(name, args)
        self.register_outputs({"detectorId": self.detector_id})

    def _managed_detector(self, name: str, args: ThreatDetectionArgs) -> pulumi.Output[str]:
        adopts = args.settings.mode == "import"
        detector = aws.guardduty.Detector(
            f"{name}-detector",
            enable=True,
            finding_publishing_frequency=args.finding_publishing_frequency,
            tags=None if adopts else names.tags(args.stack, f"{name}-detector"),
            opts=pulumi.ResourceOptions(
                parent=self,
                protect=args.protect or None,
                import_=self._existing_detector(args.settings.id) if adopts else None,
                # What existed before the stack stays when the stack is destroyed or stops managing it.
                retain_on_delete=adopts or None,
                hooks=None if adopts else already_exists.explain(name, self, self._how_to_use_it),
            ),
        )
        # One for each plan, on or off, because deleting a feature does not switch it off.
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
        """Return the id of the detector that exists. Raise :class:`pulumi.RunError` if there is none."""
        try:
            return aws.guardduty.get_detector(id=detector_id, opts=pulumi.InvokeOptions(parent=self)).id
        except Exception as error:  # noqa: BLE001 - the SDK raises nothing more specific
            which = f"GuardDuty detector {detector_id}" if detector_id else "a GuardDuty detector"
            raise pulumi.RunError(
                f"threat-monitor:detector: {which} cannot be found in this account and Region ({error}).\n"
                "Set the id that `aws guardduty list-detectors` prints, or mode create if it prints none."
            ) from None

    def _how_to_use_it(self, _: pulumi.ErrorHookArgs) -> str:
        existing = self._existing_detector(None)
        return (
            f"This account and Region already have the GuardDuty detector {existing}. To manage it here, set\n"
            f"  threat-monitor:detector: {{mode: import, id: {existing}}}\n"
            "or, if an organisation or another stack manages it,\n"
            f"  threat-monitor:detector: {{mode: lookup, id: {existing}}}"
        )
