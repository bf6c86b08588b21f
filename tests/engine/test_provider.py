"""The stand-in provider, asked as the engine asks it: over gRPC."""

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from engine.provider import EmulatedProvider, serving
from examples import ACCOUNT, DETECTOR_ID, REGION
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.struct_pb2 import Struct
from pulumi.runtime.proto import provider_pb2 as rpc
from pulumi.runtime.proto.provider_pb2_grpc import ResourceProviderStub
from pulumi.runtime.rpc import UNKNOWN

from threatmon.emulator.account import EmulatedAccount

DETECTOR = "aws:guardduty/detector:Detector"
LOG_GROUP = "aws:cloudwatch/logGroup:LogGroup"
TOPIC = "aws:sns/topic:Topic"
TOPIC_POLICY = "aws:sns/topicPolicy:TopicPolicy"
Properties = dict[str, Any]


def struct(properties: Properties) -> Struct:
    return ParseDict(properties, Struct())


class Engine:
    """The engine's side of the protocol, as far as these tests need it."""

    def __init__(self, provider: EmulatedProvider, stub: ResourceProviderStub) -> None:
        self.provider = provider
        self.stub = stub

    def configure(self, **config: str) -> None:
        self.stub.Configure(rpc.ConfigureRequest(args=struct({**config})))

    def check(self, type_: str, news: Properties, olds: Properties | None = None, seed: bytes = b"1") -> Properties:
        response = self.stub.Check(
            rpc.CheckRequest(type=type_, name="alerts", news=struct(news), olds=struct(olds or {}), randomSeed=seed)
        )
        assert not response.failures
        return MessageToDict(response.inputs)

    def diff(self, type_: str, olds: Properties, news: Properties, **state: Any) -> rpc.DiffResponse:
        return self.stub.Diff(
            rpc.DiffRequest(type=type_, olds=struct({**olds, **state}), old_inputs=struct(olds), news=struct(news))
        )

    def create(self, type_: str, properties: Properties, *, name: str = "alerts") -> tuple[str, Properties]:
        response = self.stub.Create(rpc.CreateRequest(type=type_, name=name, properties=struct(properties)))
        return response.id, MessageToDict(response.properties)

    def read(self, type_: str, id_: str, inputs: Properties | None = None) -> tuple[Properties, Properties]:
        response = self.stub.Read(rpc.ReadRequest(type=type_, id=id_, inputs=struct(inputs or {})))
        return MessageToDict(response.inputs), MessageToDict(response.properties)


@pytest.fixture
def engine() -> Iterator[Engine]:
    with (
        EmulatedAccount(ACCOUNT, REGION) as account,
        serving(EmulatedProvider(account)) as (provider, port),
        grpc.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        yield Engine(provider, ResourceProviderStub(channel))


# Configuration

REFUSED_CONFIG = {
    "no region": ({}, "Missing region information\nMake sure you have set your AWS region"),
    "another account": (
        {"region": "eu-west-1", "allowedAccountIds": '["444455556666"]'},
        f"AWS account ID not allowed: {ACCOUNT} (aws:allowedAccountIds: 444455556666)",
    ),
    "another region": ({"region": "eu-central-1"}, "The emulated account is in eu-west-1, aws:region is eu-central-1"),
}


@pytest.mark.parametrize(("config", "reason"), REFUSED_CONFIG.values(), ids=REFUSED_CONFIG)
def test_a_configuration_is_refused_before_and_when_it_is_used(
    config: dict[str, str], reason: str, engine: Engine
) -> None:
    [failure] = engine.stub.CheckConfig(rpc.CheckRequest(news=struct({**config}))).failures
    assert failure.reason.startswith(reason)
    with pytest.raises(grpc.RpcError) as refused:
        engine.configure(**config)
    assert reason in str(refused.value)


# Check


def test_an_absent_name_is_drawn_from_the_seed_of_the_engine(engine: Engine) -> None:
    inputs = engine.check(TOPIC, {}, seed=b"1")
    assert inputs["name"].startswith("alerts-")
    assert len(inputs["name"]) == len("alerts-") + 7
    assert engine.check(TOPIC, {}, seed=b"1") == inputs
    assert engine.check(TOPIC, {}, seed=b"2")["name"] != inputs["name"]


def test_a_drawn_name_is_kept_from_one_deployment_to_the_next(engine: Engine) -> None:
    olds = engine.check(TOPIC, {}, seed=b"1")
    assert engine.check(TOPIC, {"displayName": "new"}, olds, seed=b"2")["name"] == olds["name"]
    assert engine.check(TOPIC, {}, {"name": "given"})["name"] != "given"


def test_default_tags_go_under_the_tags_of_taggable_resources_alone(engine: Engine) -> None:
    engine.configure(region="eu-west-1", defaultTags='{"tags": {"stack": "dev", "team": "none"}}')
    assert engine.check(TOPIC, {"tags": {"team": "security"}})["tags"] == {"stack": "dev", "team": "security"}
    assert "tags" not in engine.check(TOPIC_POLICY, {"arn": "a", "policy": "{}"})


def test_a_property_that_is_not_emulated_is_a_fault_of_that_property(engine: Engine) -> None:
    request = rpc.CheckRequest(type=TOPIC, name="alerts", news=struct({"tracingConfig": "Active"}))
    [failure] = engine.stub.Check(request).failures
    assert (failure.property, failure.reason) == ("tracingConfig", "not emulated")


def test_what_is_not_emulated_is_named(engine: Engine) -> None:
    with pytest.raises(grpc.RpcError, match="aws:s3/bucket:Bucket: not emulated"):
        engine.check("aws:s3/bucket:Bucket", {})
    with pytest.raises(grpc.RpcError, match="aws:ec2/getVpc:getVpc: not emulated"):
        engine.stub.Invoke(rpc.InvokeRequest(tok="aws:ec2/getVpc:getVpc"))


# Diff


ALIAS = {"name": "alias/a", "targetKeyId": "arn:aws:kms:eu-west-1:111122223333:key/1"}
LOGS = {"name": "/logs", "retentionInDays": 365, "__defaults": []}
NO_DIFFERENCE: dict[str, tuple[str, Properties, Properties, Properties]] = {
    "the same inputs": (LOG_GROUP, LOGS, LOGS, {"arn": "arn:logs"}),
    "a policy in another layout": (
        TOPIC_POLICY,
        {"arn": "a", "policy": '{"a":1}'},
        {"arn": "a", "policy": '{ "a": 1 }'},
        {},
    ),
    "a default written out": (DETECTOR, {}, {"enable": True}, {"enable": True}),
    "a default left out": (DETECTOR, {"enable": True}, {}, {}),
    "a value that the account spells otherwise": ("aws:kms/alias:Alias", ALIAS, ALIAS, {"targetKeyId": "1"}),
}


@pytest.mark.parametrize(("type_", "olds", "news", "state"), NO_DIFFERENCE.values(), ids=NO_DIFFERENCE)
def test_no_difference(type_: str, olds: Properties, news: Properties, state: Properties, engine: Engine) -> None:
    diff = engine.diff(type_, olds, news, **state)
    assert diff.changes == rpc.DiffResponse.DIFF_NONE
    assert list(diff.diffs) == []


def test_each_change_says_its_kind(engine: Engine) -> None:
    diff = engine.diff(
        LOG_GROUP,
        {"name": "/logs", "retentionInDays": 365, "kmsKeyId": "k"},
        {"name": "/logs", "retentionInDays": 30, "skipDestroy": True},
    )
    kind = rpc.PropertyDiff.Kind.Name
    assert {name: kind(change.kind) for name, change in diff.detailedDiff.items()} == {
        "kmsKeyId": "DELETE",
        "retentionInDays": "UPDATE",
        "skipDestroy": "ADD",
    }
    assert list(diff.replaces) == []


def test_a_replaced_resource_with_a_name_of_its_own_is_deleted_first(engine: Engine) -> None:
    diff = engine.diff(
        LOG_GROUP, {"name": "/logs", "logGroupClass": "STANDARD"}, {"name": "/logs", "logGroupClass": "DELIVERY"}
    )
    assert list(diff.replaces) == ["logGroupClass"]
    assert diff.deleteBeforeReplace


def test_a_replaced_resource_without_a_name_of_its_own_is_deleted_last(engine: Engine) -> None:
    olds: Properties = {"subnetId": "subnet-1", "trafficType": "ALL"}
    diff = engine.diff("aws:ec2/flowLog:FlowLog", olds, {**olds, "trafficType": UNKNOWN})
    assert list(diff.replaces) == ["trafficType"]
    assert not diff.deleteBeforeReplace


# Create, read, update, delete


def test_a_resource_is_created_updated_read_and_deleted(engine: Engine) -> None:
    id_, properties = engine.create(LOG_GROUP, {"name": "/logs", "retentionInDays": 365})
    assert (id_, properties["arn"]) == ("/logs", f"arn:aws:logs:eu-west-1:{ACCOUNT}:log-group:/logs")

    news = struct({"name": "/logs", "retentionInDays": 30})
    request = rpc.UpdateRequest(type=LOG_GROUP, id=id_, olds=struct(properties), news=news, preview=True)
    assert MessageToDict(engine.stub.Update(request).properties)["arn"] == properties["arn"]
    assert engine.read(LOG_GROUP, id_)[1]["retentionInDays"] == 365

    request = rpc.UpdateRequest(type=LOG_GROUP, id=id_, olds=struct(properties), news=news)
    assert MessageToDict(engine.stub.Update(request).properties)["retentionInDays"] == 30
    assert engine.read(LOG_GROUP, id_)[1]["retentionInDays"] == 30

    engine.stub.Delete(rpc.DeleteRequest(type=LOG_GROUP, id=id_, properties=struct(properties)))
    assert engine.read(LOG_GROUP, id_) == ({}, {})


def test_a_refresh_brings_the_known_inputs_up_to_date_and_no_others(engine: Engine) -> None:
    id_, _ = engine.create(LOG_GROUP, {"name": "/logs", "retentionInDays": 365})
    engine.provider.account.client("logs").put_retention_policy(logGroupName="/logs", retentionInDays=7)
    inputs, _ = engine.read(LOG_GROUP, id_, {"name": "/logs", "retentionInDays": 365, "skipDestroy": False})
    assert inputs == {"name": "/logs", "retentionInDays": 7, "skipDestroy": False}


def test_an_import_reads_the_inputs_that_are_no_defaults(engine: Engine) -> None:
    engine.provider.account.seed_detector(DETECTOR_ID)
    inputs, properties = engine.read(DETECTOR, DETECTOR_ID)
    assert inputs == {"findingPublishingFrequency": "SIX_HOURS"}
    assert properties["accountId"] == ACCOUNT


def test_a_refusal_of_aws_or_of_a_test_reaches_the_engine_as_its_message(engine: Engine) -> None:
    engine.provider.account.seed_detector(DETECTOR_ID)
    with pytest.raises(grpc.RpcError, match="a detector already exists for the current account"):
        engine.create(DETECTOR, {"enable": True})
    engine.provider.fail_next(TOPIC, "Throttling: try again", name="alerts")
    engine.create(LOG_GROUP, {"name": "/logs"})
    engine.create(TOPIC, {"name": "other"}, name="other")
    with pytest.raises(grpc.RpcError, match="Throttling: try again"):
        engine.create(TOPIC, {"name": "t"})
    assert engine.create(TOPIC, {"name": "t"})[0] == f"arn:aws:sns:eu-west-1:{ACCOUNT}:t"


# Functions


def test_a_function_is_answered_or_says_why_not(engine: Engine) -> None:
    response = engine.stub.Invoke(rpc.InvokeRequest(tok="aws:index/getRegion:getRegion"))
    assert MessageToDict(response)["return"]["name"] == REGION
    with pytest.raises(grpc.RpcError, match="reading this account's single GuardDuty Detector: empty result"):
        engine.stub.Invoke(rpc.InvokeRequest(tok="aws:guardduty/getDetector:getDetector"))
