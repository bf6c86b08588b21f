"""Every check of a deployed stack, for one stack (``verify``) or many (``fleet coverage``)."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial

from threatmon.aws.errors import AwsError, NotThereError
from threatmon.aws.reader import Answer, attempt, side_by_side
from threatmon.evaluation.explain import rules_of
from threatmon.evaluation.roles import Role
from threatmon.model import alarms, names
from threatmon.model.channels import TOPICS
from threatmon.model.event_patterns import AlertRule
from threatmon.model.state_machine import definition
from threatmon.redrive import executions
from threatmon.reports.model import Check
from threatmon.verify import checks, machine_checks
from threatmon.verify.checks import CheckResult, KmsKey, failed
from threatmon.verify.deployed_stack import DeployedStack, NotDeployedError
from threatmon.verify.recipients import Recipient, by_email, formatted_topics, recipients, subscriptions_of

# What the checks, the search for a stack's resources and the counts of CloudWatch ask of AWS.
PERMISSIONS = (
    "cloudwatch:DescribeAlarms",
    "cloudwatch:GetMetricData",
    "ec2:DescribeFlowLogs",
    "ec2:DescribeSubnets",
    "events:DescribeRule",
    "events:ListRuleNamesByTarget",
    "events:ListRules",
    "events:ListTargetsByRule",
    "guardduty:GetDetector",
    "guardduty:ListDetectors",
    "iam:GetRole",
    "iam:GetRolePolicy",
    "iam:ListRolePolicies",
    "kms:DescribeKey",
    "kms:GetKeyPolicy",
    "logs:DescribeLogGroups",
    "sns:GetSubscriptionAttributes",
    "sns:GetTopicAttributes",
    "sns:ListSubscriptionsByTopic",
    "sqs:GetQueueAttributes",
    "sqs:GetQueueUrl",
    "states:DescribeExecution",
    "states:DescribeStateMachine",
    "states:GetExecutionHistory",
    "states:ListExecutions",
)

Judge = Callable[[], CheckResult]
NamedJudge = tuple[str, Judge]


def run(judges: Mapping[str, Judge]) -> list[Check]:
    """Make checks side by side; one that cannot be made is ``unknown``, and stops no other."""
    return list(side_by_side({subject: partial(judged, subject, judge) for subject, judge in judges.items()}).values())


def judged(subject: str, judge: Judge) -> Check:
    """Make one check; never raises what AWS refuses."""
    try:
        result = judge()
    except NotDeployedError as error:
        result = failed(str(error))
    except NotThereError as error:
        result = failed(f"is not there ({error.message})")
    except AwsError as error:
        result = CheckResult("unknown", str(error))
    return Check(result.state, subject, result.found, result.todo)


def checks_of(stack: DeployedStack) -> dict[str, Judge]:
    """Return what is checked -> what judges it, in the order in which to read it; nothing is asked of AWS yet."""
    topics = recipients(stack.settings)
    return dict(
        [
            *_detection(stack),
            *_evidence(stack),
            *_choice(stack, topics),
            *_machine(stack),
            *(judge for topic, wanted in topics.items() for judge in _delivery(stack, topic, wanted)),
            *_dead_letters(stack),
            (
                "key",
                lambda: checks.keys(
                    _keys(stack, topics), _machine_role(stack), names.log_groups(stack.stack), stack.location
                ),
            ),
            *_alarms(stack, topics),
        ]
    )


def flow_log_subject(resource_id: str) -> str:
    """Return how the check of a subnet's or VPC's flow log is called."""
    return f"flow log {resource_id}"


def _detection(stack: DeployedStack) -> Iterator[NamedJudge]:
    yield "detector", lambda: checks.detector(stack.settings, stack.detector())
    if stack.settings.detector.mode != "lookup":
        yield "protection plans", lambda: checks.protection_plans(stack.settings, stack.detector())


def _evidence(stack: DeployedStack) -> Iterator[NamedJudge]:
    settings = stack.settings

    def flow_log(resource_id: str) -> CheckResult:
        answers = [answer for answer in stack.flow_logs() if answer["ResourceId"] == resource_id]
        if not answers and resource_id in settings.subnet_ids:
            subnets = attempt(stack.subnets)
            if not isinstance(subnets, AwsError) and resource_id not in {subnet["SubnetId"] for subnet in subnets}:
                return failed("the account has no such subnet in this Region", "Fix subnetIds in the stack file.")
        return checks.flow_log(settings, stack.log_group_name, answers)

    for resource_id in (*settings.subnet_ids, *settings.vpc_ids):
        yield flow_log_subject(resource_id), partial(flow_log, resource_id)
    yield "log group", lambda: checks.log_group(settings, stack.log_group(stack.log_group_name))


def _choice(stack: DeployedStack, topics: Iterable[str]) -> Iterator[NamedJudge]:
    wanted = rules_of(stack.settings)

    def rule(rule: AlertRule) -> CheckResult:
        name = stack.rule_name(rule.key)
        return checks.rule(rule, name, stack.rule(name))

    def further() -> CheckResult:
        reached = [stack.machine_arn(), *map(stack.topic_arn, topics)]
        senders = {
            name for arn in reached for name in stack.aws.read_all("events", "list_rule_names_by_target", TargetArn=arn)
        }
        named = stack.aws.read_all("events", "list_rules", NamePrefix=names.PREFIX)
        return checks.further_rules(sorted({*senders, *(rule["Name"] for rule in named)} - {*stack.rule_names()}))

    for alert_rule in wanted:
        yield f"rule {alert_rule.key}", partial(rule, alert_rule)
    yield "further rules", further


def _machine(stack: DeployedStack) -> Iterator[NamedJudge]:
    machine = "state machine"
    sent_to = formatted_topics(stack.settings)

    def state_machine() -> CheckResult:
        name = names.state_machine_log_group(stack.stack)
        machine, arn = stack.machine(), stack.location.arn("logs", f"log-group:{name}")
        return machine_checks.state_machine(machine, arn, log_group_is_there=stack.log_group(name) is not None)

    def text() -> CheckResult:
        deployed = stack.definition()
        wanted = definition(
            stack.location,
            stack.settings.alerts,
            topic_arns={channel: stack.topic_arn(topic) for channel, topic in sent_to.items()},
            queue_url=stack.queue_url(),
            log_group_name=stack.log_group_name,
            dashboard_name=names.dashboard(stack.stack),
        )
        return machine_checks.definition(deployed, wanted)

    def role() -> CheckResult:
        arns = {topic: stack.topic_arn(topic) for topic in sent_to.values()}
        found = stack.role(stack.machine()["roleArn"])
        return machine_checks.machine_role(found, stack.machine_arn(), arns, stack.queue_arn())

    def start_role() -> CheckResult:
        roles = {
            stack.location.arn("events", f"rule/{name}"): stack.role(target["RoleArn"])
            for name in stack.rule_names()
            for target in stack.targets(name)
            if target["Arn"] == stack.machine_arn() and "RoleArn" in target
        }
        if not roles:
            raise NotDeployedError("no rule starts the state machine by a role")
        return machine_checks.start_role(roles, stack.machine_arn())

    yield from _targets(stack, machine, stack.machine_arn)
    yield "start role", start_role
    yield machine, state_machine
    yield f"{machine} definition", text
    yield f"{machine} role", role
    yield "failed executions", lambda: checks.failed_executions(len(executions.unsent(stack.aws, stack.machine_arn())))


def _machine_role(stack: DeployedStack) -> Role | None:
    """Return the state machine's role; None if one of the two is gone."""
    found = attempt(lambda: stack.role(stack.machine()["roleArn"]), NotThereError)
    return None if isinstance(found, AwsError) else found


def _targets(stack: DeployedStack, on: str, arn: Callable[[], str]) -> Iterator[NamedJudge]:
    def target(rule: AlertRule) -> CheckResult:
        return checks.target(stack.targets(stack.rule_name(rule.key)), arn(), stack.queue_arn())

    for rule in rules_of(stack.settings):
        yield f"{on} target of rule {rule.key}", partial(target, rule)


def _delivery(stack: DeployedStack, topic: str, wanted: Sequence[Recipient]) -> Iterator[NamedJudge]:
    arn = partial(stack.topic_arn, topic)

    def policy() -> CheckResult:
        text = stack.topic(arn()).get("Policy")
        if topic == TOPICS["raw"]:
            return checks.policy(text, "sns:Publish", arn(), stack.rule_arns())
        return checks.open_to_role(text, "sns:Publish", arn(), stack.machine()["roleArn"])

    if topic == TOPICS["raw"]:
        yield from _targets(stack, topic, arn)
    yield f"{topic} policy", policy
    yield f"{topic} encryption", lambda: checks.encryption(stack.settings, stack.topic(arn()).get("KmsMasterKeyId"))
    yield from _subscriptions(stack, topic, arn, wanted)


def _subscriptions(
    stack: DeployedStack, topic: str, arn: Callable[[], str], wanted: Sequence[Recipient]
) -> Iterator[NamedJudge]:
    def found() -> list[Answer | None]:
        return subscriptions_of(wanted, stack.subscriptions(arn()))

    def subscription(index: int) -> CheckResult:
        answer, attributes = found()[index], {}
        if answer and not checks.is_pending(answer):
            arguments = {"SubscriptionArn": answer["SubscriptionArn"]}
            attributes = stack.aws.read("sns", "get_subscription_attributes", **arguments)["Attributes"]
        return checks.subscription(answer, attributes, arn(), wanted[index])

    for index, recipient in enumerate(wanted):
        yield f"{topic} subscription {recipient.name}", partial(subscription, index)
    yield (
        f"{topic} further subscriptions",
        lambda: checks.further_subscriptions(stack.subscriptions(arn()), found(), arn()),
    )


def _dead_letters(stack: DeployedStack) -> Iterator[NamedJudge]:
    queue = "dead-letter queue"
    yield (
        f"{queue} policy",
        lambda: checks.policy(stack.queue().get("Policy"), "sqs:SendMessage", stack.queue_arn(), stack.rule_arns()),
    )
    yield f"{queue} encryption", lambda: checks.encryption(stack.settings, stack.queue().get("KmsMasterKeyId"))
    yield queue, lambda: checks.dead_letters(stack.queue())


def _keys(stack: DeployedStack, topics: Iterable[str]) -> dict[str, KmsKey]:
    ids = {
        "log group": (stack.log_group(stack.log_group_name) or {}).get("kmsKeyId"),
        "dead-letter queue": stack.queue().get("KmsMasterKeyId"),
        **{topic: stack.topic(stack.topic_arn(topic)).get("KmsMasterKeyId") for topic in topics},
    }
    return {user: _key(stack, key_id) for user, key_id in ids.items() if key_id}


def _key(stack: DeployedStack, key_id: str) -> KmsKey:
    metadata = stack.aws.read("kms", "describe_key", KeyId=key_id)["KeyMetadata"]
    policy = stack.aws.read("kms", "get_key_policy", KeyId=metadata["KeyId"], PolicyName="default")
    return KmsKey(metadata, policy["Policy"])


def _alarms(stack: DeployedStack, topics: Iterable[str]) -> Iterator[NamedJudge]:
    settings = stack.settings
    if not settings.health.enabled:
        yield "alarms", lambda: CheckResult("ok", "off: nothing watches the alert path", checks.WATCH)
        return
    for name, _, _ in alarms.of_stack([rule.key for rule in rules_of(settings)], topics):
        yield f"alarm {name}", lambda name=name: checks.alarm(stack.alarms().get(name))
    yield from _subscriptions(stack, "alarm", stack.alarm_topic_arn, by_email(settings.health_emails))
