"""Explains which rules of a stack alert on a finding, which condition stops the others, and the mail."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from threatmon.evaluation.event_matcher import mismatch
from threatmon.model.email import InvalidMessageError, Transformer, mail, render
from threatmon.model.event_patterns import AlertRule, alert_rules
from threatmon.model.settings import Settings
from threatmon.reports.model import Block, Facts, Report, Section, counted, short, verbatim


class RuleVerdict(NamedTuple):
    """What one rule does with an event: one of the three is given."""

    rule: str
    """key of the rule (``medium``, or ``medium-2`` if a band needs several patterns)"""
    stopped_by: str | None = None
    """the first condition that the event fails"""
    mail: str | None = None
    """the mail, if all conditions hold and it can be sent"""
    dead_letter: str | None = None
    """why it cannot be sent, and the event lands in the dead-letter queue instead"""

    def __str__(self) -> str:
        """Return the verdict in words."""
        if self.stopped_by:
            return f"does not match: {self.stopped_by}"
        if self.dead_letter:
            return f"matches, but its mail cannot be sent: {self.dead_letter}"
        return "matches: every condition holds"


class Explanation(NamedTuple):
    """An event, and the verdict of each rule on it."""

    event: Mapping[str, Any]
    verdicts: Sequence[RuleVerdict]

    @property
    def alerts(self) -> bool:
        """Whether somebody gets a mail."""
        return any(verdict.mail is not None for verdict in self.verdicts)


def rules_of(settings: Settings) -> list[AlertRule]:
    """Return the rules that a stack of these settings deploys."""
    return alert_rules(
        settings.finding_types,
        settings.severity_floor,
        include_samples=settings.alerts.include_samples,
        include_archived=settings.alerts.include_archived,
    )


def explain(
    events: Sequence[Mapping[str, Any]],
    settings: Settings,
    partition: str,
    log_group_name: str | None = None,
    dashboard_name: str | None = None,
) -> list[Explanation]:
    """Return the verdicts on each event, lowest severity first; the mail links to the log group and dashboard given."""
    links = partition, settings.alerts.account_alias, log_group_name, dashboard_name
    rules = [(rule, mail(rule.band, *links)) for rule in rules_of(settings)]
    return [Explanation(event, [_verdict(event, *rule) for rule in rules]) for event in events]


def _verdict(event: Mapping[str, Any], rule: AlertRule, transformer: Transformer) -> RuleVerdict:
    stopped_by = mismatch(rule.pattern, event)
    if stopped_by:
        return RuleVerdict(rule.key, stopped_by=stopped_by)
    try:
        return RuleVerdict(rule.key, mail=render(transformer, event))
    except InvalidMessageError as error:
        return RuleVerdict(rule.key, dead_letter=str(error))


def report(stack: str, region: str, explanations: Sequence[Explanation]) -> Report:
    """Return a section for each finding, with the mail whole and the finding's other texts cut."""
    alerting = sum(explanation.alerts for explanation in explanations)
    return Report(
        f"{alerting} of {counted(len(explanations), 'finding')} would alert, by the rules of stack {stack}",
        [Section(summary(found.event), list(_blocks(stack, region, found))) for found in explanations],
        {
            "stack": stack,
            "region": region,
            "alerts": alerting == len(explanations),
            "findings": [_data(explanation) for explanation in explanations],
        },
    )


def summary(event: Mapping[str, Any]) -> str:
    """Return an event in one line: its kind, and the finding's type, severity and id."""
    type_, severity, id_ = (short(str(event["detail"].get(name))) for name in ("type", "severity", "id"))
    return f"{short(str(event.get('detail-type')))}: {type_}, severity {severity}, id {id_}"


def _blocks(stack: str, region: str, explanation: Explanation) -> Iterator[Block]:
    if (of := explanation.event.get("region")) != region:
        yield f"The finding is of Region {short(str(of))}; stack {stack} only sees those of {region}."
    yield Facts([(f"rule {verdict.rule}", short(str(verdict))) for verdict in explanation.verdicts])
    for verdict in explanation.verdicts:
        if verdict.mail is not None:
            yield f"It would alert, by the rule {verdict.rule}. The mail:"
            yield verbatim(verdict.mail)
    if not explanation.alerts:
        queued = any(verdict.dead_letter for verdict in explanation.verdicts)
        yield "It would land in the dead-letter queue." if queued else "It would not alert."


def _data(explanation: Explanation) -> dict[str, Any]:
    detail = explanation.event["detail"]
    return {
        **{name: detail.get(name) for name in ("id", "type", "severity", "accountId", "region")},
        "alerts": explanation.alerts,
        "rules": [
            dict(zip(("rule", "stoppedBy", "mail", "deadLetter"), verdict, strict=True))
            for verdict in explanation.verdicts
        ],
    }
