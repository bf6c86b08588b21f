"""``threatmon verify``: whether a deployed stack can do what it is for, a line for each thing that has to be right."""

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Annotated, Any, NamedTuple

import typer
from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console
from rich.text import Text

from threatmon import project
from threatmon.errors import CHECK_FAILED, UsageError
from threatmon.evaluation.explain import rules_of
from threatmon.model.email import mail
from threatmon.model.event_patterns import AlertRule
from threatmon.model.severity import bands_from
from threatmon.stacks.facts import settings_of
from threatmon.stacks.files import load
from threatmon.stacks.old_aws import Aws, connect, explained
from threatmon.stacks.outputs import stack_outputs
from threatmon.verify import checks, delivery_test
from threatmon.verify.checks import Channel, Verdict
from threatmon.verify.deployed_stack import Account, NotDeployedError, Rule

# What the command asks of AWS; guardduty:CreateSampleFindings and cloudwatch:GetMetricData for --send alone.
PERMISSIONS = (
    "cloudwatch:DescribeAlarms",
    "cloudwatch:GetMetricData",
    "ec2:DescribeFlowLogs",
    "events:DescribeRule",
    "events:ListRuleNamesByTarget",
    "events:ListTargetsByRule",
    "guardduty:CreateSampleFindings",
    "guardduty:GetDetector",
    "kms:DescribeKey",
    "kms:GetKeyPolicy",
    "logs:DescribeLogGroups",
    "sns:GetSubscriptionAttributes",
    "sns:GetTopicAttributes",
    "sns:ListSubscriptionsByTopic",
    "sqs:GetQueueAttributes",
)

_AT_ONCE = 8  # readings side by side
_STYLES = {"ok": "green", "warning": "yellow", "failed": "bold red", "unknown": "bold magenta"}
_GONE = frozenset(
    [
        "AWS.SimpleQueueService.NonExistentQueue",
        "NotFound",
        "NotFoundException",
        "QueueDoesNotExist",
        "ResourceNotFoundException",
    ]
)

Judge = Callable[[], Verdict]


class Check(NamedTuple):
    """A line of the result: what was looked at, and how it stands."""

    subject: str
    verdict: Verdict


def verify(
    stack: Annotated[str, typer.Option(help="The stack to look at; it has to be deployed.")] = "dev",
    send: Annotated[
        bool, typer.Option("--send", help="Also make sample findings, and wait until they are counted as delivered.")
    ] = False,
    timeout: Annotated[int, typer.Option(min=1, help="Minutes to wait for what was sent.")] = 15,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Check that a deployed stack can detect, record, choose and deliver; with --send, try it.

    Changes nothing; --send makes sample findings, and whoever is subscribed gets mails about them. Exit code 1 where
    something failed or could not be checked; a warning is none.

    Example: threatmon verify --stack prod --send
    """
    stack_file = load(project.ROOT, stack)
    settings = settings_of(stack_file)
    plan = delivery_test.plan(settings) if send else None
    outputs = stack_outputs(stack)
    aws = connect(stack_file)
    _refuse_another_place(stack, aws, outputs)
    account = Account(aws, settings, outputs)
    started = time.perf_counter()
    with nullcontext() if as_json else Console(stderr=True).status("Reading the account"):
        results = _results(account)
    seconds = time.perf_counter() - started
    passed = all(check.verdict.state in ("ok", "warning") for check in results)
    if not as_json:
        _show(Console(), stack, aws, results, seconds)
    sent = delivery_test.send(account, plan, 60 * timeout, quiet=as_json) if plan else None
    if as_json:
        document = _document(stack, aws, results, passed=passed) | ({"sent": sent.document()} if sent else {})
        typer.echo(json.dumps(document, indent=2))
    if not passed or (sent and not sent.arrived):
        raise typer.Exit(CHECK_FAILED)


def _refuse_another_place(stack: str, aws: Aws, outputs: Mapping[str, Any]) -> None:
    """Nothing of the stack would be found, and every line would say so."""
    *_, region, account_id, _ = str(outputs.get("topicArn", f":{aws.region}:{aws.account_id}:")).split(":")
    if (region, account_id) != (aws.region, aws.account_id):
        raise UsageError(
            f"Stack {stack} is deployed to account {account_id}, {region}, but this is account {aws.account_id}, "
            f"{aws.region}. Use another profile, or mend aws:region."
        )


# -- checks -----------------------------------------------------------------------------------------------------------


def _results(account: Account) -> list[Check]:
    """Every check, side by side; one that cannot be made takes no other with it."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        judged = [(subject, pool.submit(_judged, judge)) for subject, judge in _checks(account)]
        return [Check(subject, future.result()) for subject, future in judged]


def _judged(judge: Judge) -> Verdict:
    try:
        return judge()
    except NotDeployedError as error:
        return Verdict("failed", str(error), checks.REPAIR)
    except (BotoCoreError, ClientError) as error:
        if _is_gone(error):
            return Verdict("failed", f"is not there ({explained(error)})", checks.REPAIR)
        return Verdict("unknown", explained(error), "Once that is mended, verify again.")


def _is_gone(error: Exception) -> bool:
    if not isinstance(error, ClientError):
        return False
    details: Any = error.response.get("Error", {})
    # GuardDuty has no code of its own for it.
    return details.get("Code") in _GONE or re.search("detectorId is not owned", details.get("Message", "")) is not None


def _checks(account: Account) -> Iterator[tuple[str, Judge]]:
    """What is looked at, and how it is judged."""
    channels = checks.subscribers(account.settings)
    yield from _detection(account)
    yield from _evidence(account)
    yield from _choice(account, list(channels))
    for channel, subscribers in channels.items():
        yield from _delivery(account, channel, subscribers)
    yield from _dead_letters(account)
    yield "key", lambda: checks.keys(_keys(account, list(channels)))
    yield from _watch(account)


def _detection(account: Account) -> Iterator[tuple[str, Judge]]:
    settings = account.settings
    yield "detector", lambda: checks.detector(settings, account.detector())
    if settings.detector.mode != "lookup":
        yield "protection plans", lambda: checks.protection_plans(settings, account.detector())


def _evidence(account: Account) -> Iterator[tuple[str, Judge]]:
    settings = account.settings

    def flow_log(resource_id: str) -> Verdict:
        answers = [answer for answer in account.flow_logs() if answer["ResourceId"] == resource_id]
        return checks.flow_log(settings, account.output("logGroupName"), answers)

    for resource_id in (*settings.subnet_ids, *settings.vpc_ids):
        yield f"flow log {resource_id}", lambda resource_id=resource_id: flow_log(resource_id)
    yield "log group", lambda: checks.log_group(settings, account.log_group())


def _choice(account: Account, channels: Sequence[Channel]) -> Iterator[tuple[str, Judge]]:
    wanted = rules_of(account.settings)

    def rule(key: str) -> Verdict:
        name = account.rule_name(key)
        deployed = account.rules()[name] if name else Rule(None, None)
        return checks.rule(next(it for it in wanted if it.key == key), name, deployed.state, deployed.pattern)

    def further() -> Verdict:
        known = {account.rule_name(it.key) for it in wanted}
        senders = {name for channel in channels for name in account.rules_on(account.topic_arn(channel))}
        return checks.further_rules(sorted({*senders, *account.rules()} - known))

    for it in wanted:
        yield f"rule {it.key}", lambda key=it.key: rule(key)
    yield "further rules", further


def _delivery(
    account: Account, channel: Channel, subscribers: Sequence[checks.Subscriber]
) -> Iterator[tuple[str, Judge]]:
    settings = account.settings
    topic = f"topic{channel.suffix(settings.severity_floor)}"

    def arn() -> str:
        return account.topic_arn(channel)

    def target(rule: AlertRule) -> Verdict:
        name = account.rule_name(rule.key)
        links = account.output("logGroupName"), account.dashboard_name
        text = mail(rule.band, account.aws.partition, settings.alerts.account_alias, *links)
        transformer = text if channel.format == "text" else None
        return checks.target(account.targets(name) if name else [], arn(), account.queue_arn, transformer)

    for rule in rules_of(settings):
        if rule.band in bands_from(channel.minimum_severity):
            yield f"{topic} target of rule {rule.key}", lambda rule=rule: target(rule)
    yield (
        f"{topic} policy",
        lambda: checks.policy(account.topic(arn()).get("Policy"), "sns:Publish", arn(), account.rule_arns),
    )
    yield f"{topic} encryption", lambda: checks.encryption(settings, account.topic(arn()).get("KmsMasterKeyId"))
    yield from _subscriptions(account, topic, arn, subscribers)


def _subscriptions(
    account: Account, topic: str, arn: Callable[[], str], subscribers: Sequence[checks.Subscriber]
) -> Iterator[tuple[str, Judge]]:
    def found() -> list[checks.Answer | None]:
        return checks.subscriptions_of(subscribers, account.subscriptions(arn()))

    def subscription(index: int) -> Verdict:
        answer = found()[index]
        if answer is None or checks.is_pending(answer):
            return checks.subscription(answer, {}, arn())
        return checks.subscription(answer, account.subscription(answer["SubscriptionArn"]), arn())

    for index, subscriber in enumerate(subscribers):
        yield f"{topic} subscription {subscriber.name}", lambda index=index: subscription(index)
    yield (
        f"{topic} further subscriptions",
        lambda: checks.further_subscriptions(account.subscriptions(arn()), found(), arn()),
    )


def _dead_letters(account: Account) -> Iterator[tuple[str, Judge]]:
    queue = "dead-letter queue"
    yield (
        f"{queue} policy",
        lambda: checks.policy(account.queue().get("Policy"), "sqs:SendMessage", account.queue_arn, account.rule_arns),
    )
    yield (f"{queue} encryption", lambda: checks.encryption(account.settings, account.queue().get("KmsMasterKeyId")))
    yield queue, lambda: checks.dead_letters(account.queue())


def _keys(account: Account, channels: Sequence[Channel]) -> dict[str, checks.Key]:
    group = account.log_group() or {}
    topics = {f"topic{it.suffix(account.settings.severity_floor)}": account.topic_arn(it) for it in channels}
    ids = {
        "log group": group.get("kmsKeyId"),
        "dead-letter queue": account.queue().get("KmsMasterKeyId"),
        **{name: account.topic(arn).get("KmsMasterKeyId") for name, arn in topics.items()},
    }
    return {user: account.key(key_id) for user, key_id in ids.items() if key_id}


def _watch(account: Account) -> Iterator[tuple[str, Judge]]:
    settings, names = account.settings, account.outputs.get("alarmNames", ())
    for name in names:
        yield f"alarm {name}", lambda name=name: checks.alarm(account.alarms().get(name))
    if settings.health.enabled and names:
        yield from _subscriptions(account, "alarm", account.alarm_topic_arn, checks.emails(settings.health_emails))
    elif settings.health.enabled:
        yield "alarms", lambda: Verdict("failed", "the stack has none", checks.DEPLOY)
    elif not names:
        yield "alarms", lambda: Verdict("ok", "off: nothing watches the alert path", checks.WATCH)


# -- output -----------------------------------------------------------------------------------------------------------


def _show(console: Console, stack: str, aws: Aws, results: Sequence[Check], seconds: float) -> None:
    console.print(f"[bold]Stack {stack}[/] in account {aws.account_id}, {aws.region}\n", highlight=False)
    width = max(len(check.subject) for check in results)
    for subject, (state, found, todo) in results:
        console.print(Text.assemble((f"{state:<8}", _STYLES[state]), f"{subject:<{width}}  ", found), soft_wrap=True)
        if todo:
            console.print(Text(f"{'':8}-> {todo}"), soft_wrap=True)
    states = [check.verdict.state for check in results]
    counts = ", ".join(f"{states.count(state)} {state}" for state in _STYLES if state in states)
    console.print(f"\n{len(results)} checks: {counts}. Took {seconds:.1f} s.", highlight=False)


def _document(stack: str, aws: Aws, results: Sequence[Check], *, passed: bool) -> dict[str, Any]:
    return {
        "stack": stack,
        "account": aws.account_id,
        "region": aws.region,
        "passed": passed,
        "checks": [{"subject": check.subject, **check.verdict._asdict()} for check in results],
    }
