"""Explains which rules of a stack alert on a finding, which condition stops the others, and the mail."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from threatmon.evaluation.event_matcher import mismatch
from threatmon.evaluation.mail import FormattedMail, FormattingError, render
from threatmon.model.event_patterns import AlertRule, alert_rules
from threatmon.model.location import Location
from threatmon.model.mail_formatter import formatter
from threatmon.model.settings import Settings
from threatmon.model.state_machine import mail_options
from threatmon.reports.model import Block, Facts, Report, Section, counted, short, verbatim


class RuleVerdict(NamedTuple):
    """What one rule does with an event."""

    rule: str
    """key of the rule (``findings``, or ``findings-2`` if the types need several patterns)"""
    stopped_by: str | None = None
    """the first condition that the event fails; None if all hold"""

    def __str__(self) -> str:
        """Return the verdict in words."""
        return f"does not match: {self.stopped_by}" if self.stopped_by else "matches: every condition holds"


class Explanation(NamedTuple):
    """An event, the verdict of each rule on it, and the mail if one lets it through."""

    event: Mapping[str, Any]
    verdicts: Sequence[RuleVerdict]
    mail: FormattedMail | None = None
    plain: str | None = None
    """why the mail cannot be formatted, so that the event is sent as it is"""

    @property
    def alerts(self) -> bool:
        """Whether somebody gets a mail."""
        return any(verdict.stopped_by is None for verdict in self.verdicts)


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
    location: Location,
    log_group_name: str | None = None,
    dashboard_name: str | None = None,
) -> list[Explanation]:
    """Return the verdicts on each event, and its mail; it links to the log group and dashboard given.

    A ``location`` without an account takes that of the first event.
    """
    here = replace(location, id=location.id or next((str(event["detail"].get("accountId")) for event in events), ""))
    expression = formatter(mail_options(here, settings.alerts, log_group_name, dashboard_name))
    rules = rules_of(settings)
    return [_explained(event, rules, expression) for event in events]


def _explained(event: Mapping[str, Any], rules: Sequence[AlertRule], expression: str) -> Explanation:
    verdicts = [RuleVerdict(rule.key, mismatch(rule.pattern, event)) for rule in rules]
    explanation = Explanation(event, verdicts)
    if not explanation.alerts:
        return explanation
    try:
        return explanation._replace(mail=render(expression, event))
    except FormattingError as error:
        return explanation._replace(plain=str(error))


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


def mail_text(subject: str, message: str) -> str:
    """Return a mail as its reader sees it."""
    return f"Subject: {subject}\n\n{message}"


def _blocks(stack: str, region: str, explanation: Explanation) -> Iterator[Block]:
    if (of := explanation.event.get("region")) != region:
        yield f"The finding is of Region {short(str(of))}; stack {stack} only sees those of {region}."
    yield Facts([(f"rule {verdict.rule}", short(str(verdict))) for verdict in explanation.verdicts])
    if explanation.mail:
        yield "It would alert. The mail:"
        yield verbatim(mail_text(explanation.mail.subject or "", explanation.mail.message))
    elif explanation.plain:
        yield f"It would alert, by a plain mail of the whole event: {short(explanation.plain)}"
    else:
        yield "It would not alert."


def _data(explanation: Explanation) -> dict[str, Any]:
    detail, mail = explanation.event["detail"], explanation.mail
    return {
        **{name: detail.get(name) for name in ("id", "type", "severity", "accountId", "region")},
        "alerts": explanation.alerts,
        "rules": [{"rule": verdict.rule, "stoppedBy": verdict.stopped_by} for verdict in explanation.verdicts],
        "mail": {"subject": mail.subject, "message": mail.message} if mail else None,
        "plain": explanation.plain,
    }
