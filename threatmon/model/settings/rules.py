"""The rules between the values of a config, and warnings about valid values."""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from functools import partial

from threatmon.model import finding_types
from threatmon.model.settings.faults import HIDDEN, Fault, shown
from threatmon.model.settings.sections import EMAIL, NAMESPACE, SECRET_PLACEHOLDER, Settings
from threatmon.model.severity import is_below


def rule_faults(settings: Settings, region: str | None = None, but_for: Collection[str] = ()) -> list[Fault]:
    """Return what breaks a rule. A rule on a key of ``but_for``, which has a fault of its own, is left out."""
    rules = {**_RULES, partial(_chat_exists, region=region or ""): {"alerts"}}
    return [fault for rule, keys in rules.items() if not keys & set(but_for) for fault in rule(settings)]


def _names_something_to_log(settings: Settings) -> Iterator[Fault]:
    if not settings.subnet_ids and not settings.vpc_ids:
        text = f"is empty, and so is {NAMESPACE}:vpcIds; name at least one subnet or VPC to log"
        yield Fault(("subnetIds",), text)


def _names_somebody_to_mail(settings: Settings) -> Iterator[Fault]:
    if not settings.alert_emails:
        yield Fault(("alertEmails",), 'is required, such as ["soc@example.com"]')


def _lists_nothing_twice(settings: Settings) -> Iterator[Fault]:
    lists: dict[str, tuple[str, ...]] = {
        "subnetIds": settings.subnet_ids,
        "vpcIds": settings.vpc_ids,
        "alertEmails": tuple(address.lower() for address in settings.alert_emails),
        "health.emails": tuple(address.lower() for address in settings.health.emails),
        "findingTypes": settings.finding_types,
    }
    for key, values in lists.items():
        for value, count in Counter(values).items():
            if count > 1:
                second = values.index(value, values.index(value) + 1)
                yield Fault((*key.split("."), second), f"{shown(value)} is listed {count} times; once is enough")


_ARN = r"arn:aws(-us-gov|-cn)?:{}:[a-z0-9-]+:[0-9]{{12}}:.+"
# What an endpoint looks like, by protocol.
_ENDPOINTS = {
    "email": (EMAIL, "an e-mail address"),
    "email-json": (EMAIL, "an e-mail address"),
    "https": (r"https://\S+", "an https:// URL"),
    "sqs": (_ARN.format("sqs"), "the ARN of a queue"),
    "lambda": (_ARN.format("lambda"), "the ARN of a function"),
    "sms": (r"\+[1-9][0-9]{6,14}", "a phone number in international form (+49...)"),
}


def _endpoints_fit_protocols(settings: Settings) -> Iterator[Fault]:
    for index, subscriber in enumerate(settings.alerts.subscribers):
        pattern, kind = _ENDPOINTS[subscriber.protocol]
        if subscriber.endpoint != SECRET_PLACEHOLDER and not re.fullmatch(pattern, subscriber.endpoint):
            text = f'{HIDDEN} is not {kind}, as protocol "{subscriber.protocol}" needs'
            yield Fault(("alerts", "subscribers", index, "endpoint"), text)


def _nobody_wants_what_is_never_sent(settings: Settings) -> Iterator[Fault]:
    floor, alerts = settings.severity_floor, settings.alerts
    receivers = {
        **{("subscribers", index): subscriber for index, subscriber in enumerate(alerts.subscribers)},
        **{(channel,): chat for channel, chat in alerts.chats.items()},
    }
    for path, receiver in receivers.items():
        wanted = receiver.minimum_severity or floor
        if is_below(wanted, floor):
            text = f'"{wanted}" is below {NAMESPACE}:minimumSeverity {floor}, which nothing passes'
            yield Fault(("alerts", *path, "minimumSeverity"), text)


def _chat_exists(settings: Settings, region: str) -> Iterator[Fault]:
    """Look for chat channels outside the one partition that has them; nothing is known of the Region ``""``."""
    for key in settings.alerts.chats:
        if region.startswith(("cn-", "us-gov-")):
            text = f"is not possible in {region}: AWS has no chat there; use an https or email subscriber"
            yield Fault(("alerts", key), f"{text} ({NAMESPACE}:alerts.subscribers)")


def _subscribes_nobody_twice(settings: Settings) -> Iterator[Fault]:
    subscribed = {("email", address.lower(), "text") for address in settings.alert_emails}
    for index, subscriber in enumerate(settings.alerts.subscribers):
        is_address = subscriber.protocol.startswith("email")
        endpoint = subscriber.endpoint.lower() if is_address else subscriber.endpoint
        subscription = (subscriber.protocol, endpoint, subscriber.format)
        if subscription in subscribed:
            text = f"is subscribed already, by {NAMESPACE}:alertEmails or above; once is enough"
            yield Fault(("alerts", "subscribers", index), text)
        subscribed.add(subscription)


def _finding_types_exist(settings: Settings) -> Iterator[Fault]:
    if not settings.finding_types:
        yield Fault(("findingTypes",), 'is empty; leave it out, or write ["*"], for every type')
    for index, entry in enumerate(settings.finding_types):
        if problem := _type_problem(entry, settings):
            yield Fault(("findingTypes", index), f"{shown(entry)} {problem}")


def _runbooks_are_for_finding_types(settings: Settings) -> Iterator[Fault]:
    for entry in settings.alerts.runbooks:
        if problem := _type_problem(entry, settings):
            yield Fault(("alerts", "runbooks", entry), problem)


def _type_problem(entry: str, settings: Settings) -> str | None:
    is_allowed = settings.allow_unknown_finding_types and finding_types.is_well_formed(entry)
    return None if is_allowed else finding_types.fault(entry)


def _detector_mode_and_id_agree(settings: Settings) -> Iterator[Fault]:
    mode, id_ = settings.detector.mode, settings.detector.id
    if mode == "create" and id_:
        yield Fault(("detector", "id"), f'{shown(id_)} contradicts mode "create"; use mode "import" or "lookup"')
    if mode == "import" and not id_:
        yield Fault(("detector", "id"), 'is required by mode "import" (aws guardduty list-detectors prints it)')


def _a_detector_looked_up_is_left_alone(settings: Settings) -> Iterator[Fault]:
    if settings.detector.mode == "lookup":
        text = 'contradicts detector mode "lookup", which manages nothing; remove it, or use mode "import"'
        if settings.protection_plans:
            yield Fault(("protectionPlans",), text)
        if settings.finding_publishing_frequency != "SIX_HOURS":
            yield Fault(("findingPublishingFrequency",), text)


# Rule -> the keys that must be free of faults before it is applied.
_RULES: dict[Callable[[Settings], Iterator[Fault]], set[str]] = {
    _names_something_to_log: {"subnetIds", "vpcIds"},
    _names_somebody_to_mail: {"alertEmails"},
    _lists_nothing_twice: set(),
    _endpoints_fit_protocols: {"alerts"},
    _nobody_wants_what_is_never_sent: {"alerts", "minimumSeverity"},
    _subscribes_nobody_twice: {"alerts"},
    _finding_types_exist: {"findingTypes"},
    _runbooks_are_for_finding_types: {"alerts"},
    _detector_mode_and_id_agree: {"detector"},
    _a_detector_looked_up_is_left_alone: {"detector"},
}


def warnings(settings: Settings) -> list[str]:
    """Return a sentence for each chosen finding type that may never alert, and each runbook that may be for none."""
    problems = {index: _never_alerts(entry, settings) for index, entry in enumerate(settings.finding_types)}
    types = [
        f'{NAMESPACE}:findingTypes[{index}]: "{settings.finding_types[index]}" {problem}'
        for index, problem in problems.items()
        if problem
    ]
    runbooks = [
        f"{NAMESPACE}:alerts.runbooks.{entry}: is unknown to the catalogue; if it is mistyped, nothing links there"
        for entry in settings.alerts.runbooks
        if not finding_types.is_known(entry)
    ]
    return [*types, *runbooks]


def _never_alerts(entry: str, settings: Settings) -> str | None:
    """Return why a chosen finding type or family may never alert, as the end of a sentence; None if it may."""
    if not finding_types.is_known(entry):
        return "is unknown to the catalogue and passed on as it is; if it is mistyped, it matches nothing"
    known = finding_types.catalogue().get(entry)
    if known is None:  # a family
        return None
    if known.retired:
        return "is retired: GuardDuty no longer raises it"
    if is_below(known.severity, settings.severity_floor):
        return (
            f"is usually of {known.severity.lower()} severity, below {NAMESPACE}:minimumSeverity "
            f"{settings.severity_floor}, so it will seldom or never alert"
        )
    is_off = known.plan is not None and not settings.declared_plans.get(known.plan, True)
    if is_off and settings.detector.mode != "lookup":
        return f"is never raised while {NAMESPACE}:protectionPlans.{known.plan} is off"
    return None
