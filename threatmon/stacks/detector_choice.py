"""How a new stack should get its detector, by GuardDuty's ListDetectors, GetDetector, GetAdministratorAccount."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from threatmon.aws.errors import AwsError
from threatmon.model.one_line import one_line
from threatmon.model.protection_plans import FEATURES
from threatmon.model.settings import NAMESPACE

Answer = Mapping[str, Any]

# Always on, and no plans: https://docs.aws.amazon.com/guardduty/latest/ug/guardduty_data-sources.html
_FOUNDATIONAL = frozenset({"CLOUD_TRAIL", "DNS_LOGS", "FLOW_LOGS"})


class DetectorChoice(NamedTuple):
    """How a stack should come to its detector, and why."""

    mode: Literal["create", "import", "lookup"]
    remarks: tuple[str, ...]
    """sentences that name no user, for a file that is shared"""
    id: str | None = None
    plans: Mapping[str, bool] = {}
    """the protection plans it has now, for a stack that adopts it"""
    frequency: str | None = None
    """how often it publishes repeats now, for a stack that adopts it"""


def detector_choice(
    stack: str,
    ids: Sequence[str] | AwsError,
    detector: Answer | AwsError | None = None,
    administrator: Answer | AwsError | None = None,
) -> DetectorChoice:
    """Return how the stack should come to its detector.

    The account's own is adopted as it is. One that somebody else manages, or that could not be read, is only looked up,
    which changes nothing. If nothing is known, `create` is safe: it fails if there is one.

    https://docs.aws.amazon.com/guardduty/latest/APIReference/API_GetAdministratorAccount.html
    """
    if isinstance(ids, AwsError):
        unknown = f"Whether there is one is not known: {_missing(ids)}"
        return DetectorChoice("create", (unknown, "If there is one, the deployment fails and says what to write here."))
    if not ids:
        return DetectorChoice("create", ("There is none in this account and Region.",))
    refused = [_missing(answer) for answer in (detector, administrator) if isinstance(answer, AwsError)]
    if refused:
        remarks = ("Looked up, which leaves it as it is, because not all of it could be read:", *refused)
        return DetectorChoice("lookup", remarks, ids[0])
    found: Any = detector or {}
    suspended = found.get("Status") == "DISABLED"
    if manager := _manager(stack, found, administrator):
        remarks = (f"{manager}, so it is only looked up.",)
        remarks += ("It is suspended: nothing is found until it is enabled there.",) if suspended else ()
        return DetectorChoice("lookup", remarks, ids[0])
    features = {feature["Name"]: feature for feature in found.get("Features", ())}
    plans = {plan: _is_on(features[name]) for plan, name in FEATURES.items() if name in features}
    remarks = ("It is this account's own, and adopted with the plans and the frequency it has.",)
    remarks += ("It is suspended: deploying this stack enables it.",) if suspended else ()
    if further := ", ".join(_further(features)):
        remarks += (f"Also on, and no setting of this stack: {further}.",)
    return DetectorChoice("import", remarks, ids[0], plans, found.get("FindingPublishingFrequency"))


def _missing(refused: AwsError) -> str:
    return f"Permission {refused.action} is missing."


def _manager(stack: str, detector: Answer, administrator: Any) -> str | None:
    """Return who other than this stack manages a detector, as the beginning of a sentence."""
    account = ((administrator or {}).get("Administrator") or {}).get("AccountId")
    if account:
        return f"GuardDuty's administrator account {account} manages it"
    if any(feature.get("ManagedBy") for feature in detector.get("Features", ())):
        return "A policy of the organisation manages it"
    tags: Mapping[str, str] = detector.get("Tags") or {}
    other = tags.get("stack")
    if tags.get("project") == NAMESPACE and other and other != stack:
        return f"The stack {one_line(other)} manages it, as its tags say"
    return None


def _is_on(feature: Answer) -> bool:
    return feature["Status"] == "ENABLED"


def _further(features: Mapping[str, Answer]) -> Iterator[str]:
    """Yield what is on and no setting is about."""
    for name, feature in features.items():
        if name not in (*FEATURES.values(), *_FOUNDATIONAL) and _is_on(feature):
            yield name
        for part in feature.get("AdditionalConfiguration", ()):
            if _is_on(part):
                yield f"{part['Name']} of {name}"
