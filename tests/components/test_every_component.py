"""What holds for each component alike: its place in the tree, its provider, its names."""

from collections.abc import Callable
from functools import cache
from typing import Any

import pulumi
import pulumi_aws as aws
import pytest
from examples import ACCOUNT, KEY_ARN, SUBNET, VPC
from harness import CONFIG, PROVIDER, AwsMocks, custom, run_component

from components.alerts import FindingAlerts, FindingAlertsArgs
from components.chat import ChatNotifications, ChatNotificationsArgs
from components.detection import ThreatDetection, ThreatDetectionArgs
from components.encryption import EncryptionKey, EncryptionKeyArgs
from components.flow_logs import FlowLogs, FlowLogsArgs
from components.formatter import AlertFormatter, AlertFormatterArgs
from components.health import PipelineHealth, PipelineHealthArgs
from components.investigation import Investigation, InvestigationArgs
from components.pipeline import MonitoringPipeline, MonitoringPipelineArgs
from threatmon.emulator.program import ProgramRun, Registration
from threatmon.model.protection_plans import FEATURES
from threatmon.model.settings import (
    AlertSettings,
    AlertSubscriber,
    DetectorSettings,
    SlackSettings,
    TeamsSettings,
    parse,
)

Build = Callable[[str, pulumi.ResourceOptions | None], pulumi.ComponentResource]


SETTINGS, _ = parse(CONFIG)
RAW = AlertSubscriber(protocol="https", endpoint="https://hooks.example.com/token", format="raw")
PLANS = dict.fromkeys(FEATURES, False)
SLACK = SlackSettings(workspace_id="T0123456789", channel_id="C0123456789")
UUID = "01234567-89ab-cdef-0123-456789abcdef"
TEAMS = TeamsSettings(tenant_id=UUID, team_id=UUID, channel_id="19:abc@thread.tacv2")
CHANNELS = AlertSettings(subscribers=(RAW,), slack=SLACK, teams=TEAMS)
DETECTION = ThreatDetectionArgs("dev", protection_plans=PLANS)
LOOKUP = ThreatDetectionArgs("dev", DetectorSettings(mode="lookup"))
MACHINE = f"arn:aws:states:eu-west-1:{ACCOUNT}:stateMachine:machine"
HEALTH = PipelineHealthArgs(
    "dev", ["a@example.com"], {"findings": "rule"}, {"topic": "topic"}, MACHINE, "queue", "/logs"
)


def formatter(name: str, opts: pulumi.ResourceOptions | None) -> AlertFormatter:
    queue_arn, queue_url = f"arn:aws:sqs:eu-west-1:{ACCOUNT}:queue", "https://sqs.eu-west-1.amazonaws.com/queue"
    args = AlertFormatterArgs(name, {"mail": "topic"}, queue_arn, queue_url, KEY_ARN, AlertSettings())
    return AlertFormatter(name, args, opts)


BUILDS: dict[str, Build] = {
    "AlertFormatter": formatter,
    "ChatNotifications": lambda name, opts: ChatNotifications(
        name, ChatNotificationsArgs(name, KEY_ARN, SLACK, TEAMS), opts
    ),
    "FindingAlerts": lambda name, opts: FindingAlerts(
        name, FindingAlertsArgs(name, ["a@example.com"], KEY_ARN, CHANNELS), opts
    ),
    "ThreatDetection": lambda name, opts: ThreatDetection(name, DETECTION, opts),
    "ThreatDetection, lookup": lambda name, opts: ThreatDetection(name, LOOKUP, opts),
    "EncryptionKey": lambda name, opts: EncryptionKey(name, EncryptionKeyArgs(name, [f"/logs/{name}"]), opts),
    "FlowLogs": lambda name, opts: FlowLogs(name, FlowLogsArgs(name, f"/logs/{name}", [SUBNET], [VPC]), opts),
    "Investigation": lambda name, opts: Investigation(
        name, InvestigationArgs(name, f"/logs/{name}", "default", "topic", "queue", ["rule"], MACHINE), opts
    ),
    "PipelineHealth": lambda name, opts: PipelineHealth(name, HEALTH, opts),
    "MonitoringPipeline": lambda name, opts: MonitoringPipeline(name, MonitoringPipelineArgs(SETTINGS, name), opts),
}
every_component = pytest.mark.parametrize("build", BUILDS.values(), ids=BUILDS.keys())


@cache
def alone(build: Build) -> ProgramRun:
    return run_component(lambda: build("it", None))


def ancestors(run: ProgramRun, registration: Registration) -> list[str]:
    parent = run.resources.get(registration.parent)
    return [parent.urn, *ancestors(run, parent)] if parent else []


@every_component
def test_each_resource_is_the_child_of_its_component_and_each_component_of_its_own_parent(build: Build) -> None:
    def program() -> None:
        build("it", pulumi.ResourceOptions(parent=pulumi.ComponentResource("elsewhere:index:Parent", "outer")))

    run = run_component(program)
    (outer,) = (r for r in run.resources.values() if r.name == "outer")
    (top,) = (r for r in run.resources.values() if r.name == "it")
    components = {r.urn for r in run.resources.values() if not r.custom}
    assert top.parent == outer.urn
    for registration in run.resources.values():
        if registration not in (outer, top):
            assert registration.parent in components - {outer.urn}
            assert top.urn in ancestors(run, registration)


@every_component
def test_each_child_is_named_after_its_parent(build: Build) -> None:
    resources = alone(build).resources
    for registration in resources.values():
        if registration.parent in resources:
            assert registration.name.startswith(f"{resources[registration.parent].name}-")


@pytest.mark.parametrize("option", ["provider", "providers"])
@every_component
def test_the_providers_reach_every_child_and_every_invoke(build: Build, option: str) -> None:
    mocks = AwsMocks()

    def program() -> None:
        elsewhere = aws.Provider("elsewhere", region="us-east-1")
        options: dict[str, Any] = {"provider": elsewhere, "providers": [elsewhere]}
        build("it", pulumi.ResourceOptions(**{option: options[option]}))

    run = run_component(program, mocks=mocks)
    (provider,) = run.of_type(PROVIDER)
    reference = f"{provider.urn}::elsewhere-id"
    assert {r.name: r.provider for r in custom(run)} == {r.name: reference for r in custom(run)}
    assert {call.provider for call in mocks.calls} <= {reference}
    assert custom(run) or mocks.calls


@every_component
def test_two_of_a_kind_live_in_one_program_and_share_no_name_in_the_account(build: Build) -> None:
    both = run_component(lambda: (build("it", None), build("other", None)))
    assert both.resources.keys() > alone(build).resources.keys()
    assert len(both.resources) == 2 * len(alone(build).resources)
    fixed = [
        (r.type, r.inputs[key])
        for r in custom(both)
        for key in ("name", "dashboardName", "configurationName")
        # A feature belongs to its detector, and its name says which feature it is.
        if key in r.inputs and "detectorFeature" not in r.type
    ]
    assert len(fixed) == len(set(fixed))


@every_component
def test_a_component_registers_the_same_resources_in_a_preview(build: Build) -> None:
    preview = run_component(lambda: build("it", None), preview=True)
    assert preview.resources.keys() == alone(build).resources.keys()


@every_component
def test_a_component_needs_no_config_and_asks_only_for_the_account_and_its_detector(build: Build) -> None:
    mocks = AwsMocks()
    run_component(lambda: build("it", None), mocks=mocks)
    assert {call.token.rsplit(":", 1)[-1] for call in mocks.calls} <= {
        "getCallerIdentity",
        "getDetector",
        "getPartition",
        "getRegion",
    }


@every_component
def test_protect_on_a_component_reaches_every_child(build: Build) -> None:
    run = run_component(lambda: build("it", pulumi.ResourceOptions(protect=True)))
    assert [r.name for r in run.resources.values() if not r.protect] == []
