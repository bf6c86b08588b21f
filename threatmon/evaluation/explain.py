"""What the rules of a stack make of an event: by which it alerts, what stops it at the others, and the mail."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from threatmon.evaluation.event_matcher import mismatch
from threatmon.model.email import InvalidMessageError, Transformer, mail, render
from threatmon.model.event_patterns import AlertRule, alert_rules
from threatmon.model.settings import Settings


@dataclass(frozen=True)
class Verdict:
    """One rule's verdict on an event."""

    rule: str
    """key of the rule (``medium``, or ``medium-2`` where the patterns of a band are several)"""
    stopped_by: str | None = None
    """the first condition that the event fails; None where all hold"""
    mail: str | None = None
    """the mail, where the rule lets the event through and it can be sent"""
    dead_letter: str | None = None
    """why it cannot be sent, and the event lands in the dead-letter queue instead"""


def rules_of(settings: Settings) -> list[AlertRule]:
    """The rules that a stack of these settings deploys."""
    return alert_rules(
        settings.finding_types,
        settings.severity_floor,
        include_samples=settings.alerts.include_samples,
        include_archived=settings.alerts.include_archived,
    )


def verdicts(
    event: Mapping[str, Any],
    settings: Settings,
    partition: str,
    log_group_name: str | None = None,
    dashboard_name: str | None = None,
) -> list[Verdict]:
    """The verdict of each rule, lowest severity first; the mail links to what is named."""
    alias = settings.alerts.account_alias
    return [
        _verdict(event, rule, mail(rule.band, partition, alias, log_group_name, dashboard_name))
        for rule in rules_of(settings)
    ]


def alerts(given: Sequence[Verdict]) -> bool:
    """Whether somebody gets a mail."""
    return any(verdict.mail is not None for verdict in given)


def _verdict(event: Mapping[str, Any], rule: AlertRule, transformer: Transformer) -> Verdict:
    stopped_by = mismatch(rule.pattern, event)
    if stopped_by:
        return Verdict(rule.key, stopped_by=stopped_by)
    try:
        text = render(transformer, event)
    except InvalidMessageError as error:
        return Verdict(rule.key, dead_letter=str(error))
    return Verdict(rule.key, mail=text)
