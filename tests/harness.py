"""Run the program, or one component of it, under mocks that answer as AWS would."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from examples import ACCOUNT, DETECTOR_ID, EMAIL, OTHER_SUBNET, SUBNET
from pulumi.runtime.mocks import MockCallArgs, MockResourceArgs, Mocks

from threatmon.emulator.program import ProgramRun, Registration, run_program, run_project

# The config of an ordinary stack file.
CONFIG: Mapping[str, Any] = {
    "subnetIds": [SUBNET, OTHER_SUBNET],
    "alertEmails": [EMAIL],
    "findingTypes": ["Recon:EC2/Portscan"],
}
OUTPUTS = {
    *("topicArn", "stateMachineArn", "detectorId", "logGroupName", "ruleNames", "deadLetterQueueUrl", "dashboardUrl"),
    "nextSteps",
}

ALARM = "aws:cloudwatch/metricAlarm:MetricAlarm"
ALIAS = "aws:kms/alias:Alias"
DASHBOARD = "aws:cloudwatch/dashboard:Dashboard"
DETECTOR = "aws:guardduty/detector:Detector"
FEATURE = "aws:guardduty/detectorFeature:DetectorFeature"
FLOW_LOG = "aws:ec2/flowLog:FlowLog"
KEY = "aws:kms/key:Key"
LOG_GROUP = "aws:cloudwatch/logGroup:LogGroup"
PROVIDER = "pulumi:providers:aws"
QUERY = "aws:cloudwatch/queryDefinition:QueryDefinition"
QUEUE = "aws:sqs/queue:Queue"
QUEUE_POLICY = "aws:sqs/queuePolicy:QueuePolicy"
ROLE = "aws:iam/role:Role"
ROLE_POLICY = "aws:iam/rolePolicy:RolePolicy"
RULE = "aws:cloudwatch/eventRule:EventRule"
SLACK = "aws:chatbot/slackChannelConfiguration:SlackChannelConfiguration"
STATE_MACHINE = "aws:sfn/stateMachine:StateMachine"
SUBSCRIPTION = "aws:sns/topicSubscription:TopicSubscription"
TARGET = "aws:cloudwatch/eventTarget:EventTarget"
TEAMS = "aws:chatbot/teamsChannelConfiguration:TeamsChannelConfiguration"
TOPIC = "aws:sns/topic:Topic"
TOPIC_POLICY = "aws:sns/topicPolicy:TopicPolicy"

_DNS_SUFFIXES = {"aws": "amazonaws.com", "aws-us-gov": "amazonaws.com", "aws-cn": "amazonaws.com.cn"}


class AwsMocks(Mocks):
    """Mocks that answer each creation and each invoke as AWS does in one account, Region and partition.

    ``resources`` and ``calls`` are the requests, in the order they came.
    """

    def __init__(self, region: str = "eu-west-1", partition: str = "aws", account: str = ACCOUNT) -> None:
        self.region, self.partition, self.account = region, partition, account
        self.resources: list[MockResourceArgs] = []
        self.calls: list[MockCallArgs] = []

    def new_resource(self, args: MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        self.resources.append(args)
        if not args.typ.startswith("aws:"):
            return f"{args.name}-id" if args.custom else "", dict(args.inputs)
        id_, state = self.state(args.typ, args.name, args.inputs)
        return args.resource_id or id_, state

    def call(self, args: MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]] | None]:
        self.calls.append(args)
        suffix = _DNS_SUFFIXES[self.partition]
        answers: dict[str, dict[str, Any]] = {
            "aws:index/getCallerIdentity:getCallerIdentity": {"accountId": self.account, "id": self.account},
            "aws:index/getRegion:getRegion": {"region": self.region, "id": self.region},
            "aws:index/getPartition:getPartition": {"partition": self.partition, "dnsSuffix": suffix},
            "aws:guardduty/getDetector:getDetector": {"id": args.args.get("id") or DETECTOR_ID, "status": "ENABLED"},
        }
        if args.token not in answers:
            raise AssertionError(f"no answer for {args.token}")
        return answers[args.token], []

    def state(self, type_: str, name: str, inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Return the id and properties of the resource that AWS makes of these inputs."""
        digest = hashlib.sha256(f"{type_} {name}".encode()).hexdigest()
        physical = str(inputs.get("name", name))
        key_id = "-".join([digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:32]])
        queue_url = f"https://sqs.{self.region}.{_DNS_SUFFIXES[self.partition]}/{self.account}/{physical}"
        machine_arn = self.arn("states", f"stateMachine:{physical}")
        # Type -> id, and the properties AWS adds.
        made: dict[str, tuple[str, dict[str, Any]]] = {
            ALIAS: (physical, {"arn": self.arn("kms", physical)}),
            DASHBOARD: (str(inputs.get("dashboardName")), {}),
            DETECTOR: (digest[:32], {"arn": self.arn("guardduty", f"detector/{digest[:32]}"), "accountId": ACCOUNT}),
            FEATURE: (f"{inputs.get('detectorId')}/{inputs.get('name')}", {}),
            FLOW_LOG: (f"fl-{digest[:17]}", {"arn": self.arn("ec2", f"vpc-flow-log/fl-{digest[:17]}")}),
            KEY: (key_id, {"arn": self.arn("kms", f"key/{key_id}"), "keyId": key_id}),
            LOG_GROUP: (physical, {"arn": self.arn("logs", f"log-group:{physical}"), "name": physical}),
            QUEUE: (queue_url, {"arn": self.arn("sqs", physical), "name": physical, "url": queue_url}),
            ROLE: (physical, {"arn": f"arn:{self.partition}:iam::{self.account}:role/{physical}", "name": physical}),
            RULE: (physical, {"arn": self.arn("events", f"rule/{physical}"), "name": physical}),
            STATE_MACHINE: (machine_arn, {"arn": machine_arn, "name": physical}),
            TOPIC: (self.arn("sns", physical), {"arn": self.arn("sns", physical), "name": physical}),
        }
        service = type_.split(":")[1].split("/", maxsplit=1)[0]
        id_, added = made.get(type_, (physical, {"arn": self.arn(service, physical), "name": physical}))
        return id_, {**added, **inputs}

    def arn(self, service: str, resource: str) -> str:
        """Return an ARN of this account and Region."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"


class PreviewMocks(AwsMocks):
    """Mocks that answer as the engine does if it previews a creation: no id, and no property that AWS would add."""

    def new_resource(self, args: MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        self.resources.append(args)
        return None, dict(args.inputs)


def run(
    config: Mapping[str, Any] | None = None,
    *,
    mocks: AwsMocks | None = None,
    stack: str = "dev",
    preview: bool = False,
    **overrides: Any,
) -> ProgramRun:
    """Run ``__main__.py`` with ``config`` (keys without namespace; :data:`CONFIG` unless given) and ``overrides``.

    An override of None leaves the key out.
    """
    merged = {**(CONFIG if config is None else config), **overrides}
    full = {f"threat-monitor:{key}": value for key, value in merged.items() if value is not None}
    return run_project(full, mocks or (PreviewMocks() if preview else AwsMocks()), stack=stack, preview=preview)


def run_component(
    build: Callable[[], object], *, mocks: AwsMocks | None = None, preview: bool = False, stack: str = "dev"
) -> ProgramRun:
    """Run a program that consists of ``build()``, without any config."""
    return run_program(build, {}, mocks or (PreviewMocks() if preview else AwsMocks()), stack=stack, preview=preview)


def the(run_: ProgramRun, type_: str) -> Registration:
    """Return the one resource of a type."""
    (only,) = run_.of_type(type_)
    return only


def named(run_: ProgramRun, name: str, type_: str = "") -> Registration:
    """Return the one resource of a name, and of a type if several share the name."""
    (only,) = (r for r in run_.resources.values() if r.name == name and r.type.endswith(type_))
    return only


def made(registration: Registration, mocks: AwsMocks | None = None) -> dict[str, Any]:
    """Return the properties the resource has once it is made, ``id`` included."""
    id_, state = (mocks or AwsMocks()).state(registration.type, registration.name, registration.inputs)
    return {"id": id_, **state}


def custom(run_: ProgramRun) -> list[Registration]:
    """Return what reaches AWS: all but components and providers."""
    return [r for r in run_.resources.values() if r.custom and r.type != PROVIDER]


def inputs_by_urn(run_: ProgramRun) -> dict[str, Mapping[str, Any]]:
    """Return the inputs of every resource."""
    return {urn: registration.inputs for urn, registration in run_.resources.items()}


def texts(value: object) -> Iterator[str]:
    """Yield every string within a value, keys of maps included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from texts(key)
            yield from texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from texts(item)


def input_texts(run_: ProgramRun) -> list[str]:
    """Return every string in any input of any resource."""
    return [text for registration in run_.resources.values() for text in texts(dict(registration.inputs))]


def documents(run_: ProgramRun) -> list[tuple[str, dict[str, Any]]]:
    """Return every policy document among the inputs, with the type of its resource before it."""
    found: list[tuple[str, dict[str, Any]]] = []
    for registration in run_.resources.values():
        for text in texts(dict(registration.inputs)):
            if text.startswith("{"):
                document = json.loads(text)
                if "Statement" in document:
                    found.append((registration.type, document))
    return found
