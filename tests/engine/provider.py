"""A stand-in for the AWS provider, for the real Pulumi engine: the emulated account behind the plugin protocol.

Serve it and name its port to the engine in the environment variable PULUMI_DEBUG_PROVIDERS (`aws:<port>`):
https://www.pulumi.com/docs/iac/guides/building-extending/providers/debug-providers/
The protocol: https://github.com/pulumi/pulumi/blob/master/proto/pulumi/provider.proto
"""
# ruff: noqa: ARG002, N802 - the RPCs have their names, parameters and meaning from the protocol

import functools
import hashlib
import json
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from typing import Any, Literal, TypeVar

import grpc
from botocore.exceptions import ClientError
from google.protobuf.empty_pb2 import Empty
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.struct_pb2 import Struct
from pulumi.runtime.proto import plugin_pb2
from pulumi.runtime.proto import provider_pb2 as rpc
from pulumi.runtime.proto.provider_pb2_grpc import ResourceProviderServicer, add_ResourceProviderServicer_to_server
from pulumi.runtime.rpc import UNKNOWN

from threatmon.emulator.account import EmulatedAccount
from threatmon.emulator.constraints import ConstraintError
from threatmon.emulator.emulated import Emulated, NotEmulatedError, Properties, same
from threatmon.emulator.invokes import InvokeError, invoke
from threatmon.emulator.resources import emulated

# The inputs a provider filled in itself; it keeps them from one deployment to the next.
_DEFAULTS = "__defaults"
# Before the account is asked for a resource, and when it has made it.
Moment = Literal["before", "made"]
_Answer = TypeVar("_Answer")
_Provider = TypeVar("_Provider", bound="EmulatedProvider")


class RefusedError(Exception):
    """Refuses in the provider's own name."""


@dataclass(frozen=True)
class _Fault:
    type: str
    name: str | None
    message: str


@contextmanager
def serving(provider: _Provider) -> Generator[tuple[_Provider, int]]:
    """Serve a provider on a free loopback port while the context is open; yield both."""
    # One worker: the resources of an emulated account are made one after the other.
    server = grpc.server(ThreadPoolExecutor(max_workers=1))
    add_ResourceProviderServicer_to_server(provider, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield provider, port
    finally:
        server.stop(grace=None).wait()


def _rpc(method: Callable[..., _Answer]) -> Callable[..., _Answer]:
    """Return an RPC whose expected errors reach the engine as their message alone."""

    @functools.wraps(method)
    def answering(self: "EmulatedProvider", request: Any, context: grpc.ServicerContext) -> _Answer:
        try:
            return method(self, request, context)
        except (ClientError, ConstraintError, InvokeError, RefusedError) as error:
            context.abort(grpc.StatusCode.UNKNOWN, str(error))
        except NotEmulatedError as error:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, str(error))

    return answering


class EmulatedProvider(ResourceProviderServicer):
    """The provider of one emulated account, which outlives the deployments that use it."""

    def __init__(self, account: EmulatedAccount) -> None:
        self.account = account
        self._default_tags: Mapping[str, str] = {}
        self._faults: list[_Fault] = []
        self.at: Callable[[Moment, str], object] = lambda _, __: None
        """called with each moment of a creation, and the resource's logical name"""

    def fail_next(self, type_: str, message: str, *, name: str | None = None) -> None:
        """Let the next creation of this type, and logical name if given, fail once with this message."""
        self._faults.append(_Fault(type_, name, message))

    # The plugin

    def Attach(self, request: plugin_pb2.PluginAttach, context: grpc.ServicerContext) -> Empty:
        return Empty()

    def Handshake(
        self, request: rpc.ProviderHandshakeRequest, context: grpc.ServicerContext
    ) -> rpc.ProviderHandshakeResponse:
        return rpc.ProviderHandshakeResponse()

    def GetPluginInfo(self, request: Empty, context: grpc.ServicerContext) -> plugin_pb2.PluginInfo:
        # The engine warns of a plugin older than the SDK the program uses.
        return plugin_pb2.PluginInfo(version=metadata.version("pulumi_aws"))

    def GetSchema(self, request: rpc.GetSchemaRequest, context: grpc.ServicerContext) -> rpc.GetSchemaResponse:
        return rpc.GetSchemaResponse(schema=json.dumps({"name": "aws"}))

    def Cancel(self, request: Empty, context: grpc.ServicerContext) -> Empty:
        return Empty()

    # The configuration: `aws:region`, `aws:allowedAccountIds` and `aws:defaultTags` of the stack

    def CheckConfig(self, request: rpc.CheckRequest, context: grpc.ServicerContext) -> rpc.CheckResponse:
        faults = _config_faults(self.account, _config(request.news))
        return rpc.CheckResponse(inputs=request.news, failures=[rpc.CheckFailure(reason=fault) for fault in faults])

    def DiffConfig(self, request: rpc.DiffRequest, context: grpc.ServicerContext) -> rpc.DiffResponse:
        changed = MessageToDict(request.old_inputs) != MessageToDict(request.news)
        return rpc.DiffResponse(changes=rpc.DiffResponse.DIFF_SOME if changed else rpc.DiffResponse.DIFF_NONE)

    @_rpc
    def Configure(self, request: rpc.ConfigureRequest, context: grpc.ServicerContext) -> rpc.ConfigureResponse:
        config = _config(request.args)
        for fault in _config_faults(self.account, config):
            raise RefusedError(fault)
        self._default_tags = config.get("defaultTags", {}).get("tags", {})
        # Without acceptSecrets the engine unwraps secrets for us, and marks what comes back under the same name.
        return rpc.ConfigureResponse(supportsPreview=True, supports_autonaming_configuration=True)

    # Resources

    @_rpc
    def Check(self, request: rpc.CheckRequest, context: grpc.ServicerContext) -> rpc.CheckResponse:
        entry = emulated(_type(request))
        inputs, olds = _properties(request.news), _properties(request.olds)
        if unknown := entry.unknown(inputs):
            failures = [rpc.CheckFailure(property=name, reason="not emulated") for name in sorted(unknown)]
            return rpc.CheckResponse(inputs=request.news, failures=failures)
        if entry.named and entry.named not in inputs:
            kept = olds.get(entry.named) if entry.named in olds.get(_DEFAULTS, ()) else None
            inputs |= {entry.named: kept or _automatic_name(entry, request), _DEFAULTS: [entry.named]}
        if entry.tagging and (self._default_tags or "tags" in inputs):
            inputs["tags"] = {**self._default_tags, **inputs.get("tags", {})}
        return rpc.CheckResponse(inputs=_struct(inputs))

    @_rpc
    def Diff(self, request: rpc.DiffRequest, context: grpc.ServicerContext) -> rpc.DiffResponse:
        entry = emulated(_type(request))
        olds, news, state = (_properties(struct) for struct in (request.old_inputs, request.news, request.olds))
        # Like AWS's provider, a value that is what the state has, or that nobody touched, is no change.
        changed = sorted(
            name
            for name in (olds.keys() | news.keys()) - {_DEFAULTS}
            if not any(same(known.get(name), news.get(name, entry.defaults.get(name))) for known in (state, olds))
        )
        replaces = [name for name in changed if name in entry.replaced_by]
        return rpc.DiffResponse(
            changes=rpc.DiffResponse.DIFF_SOME if changed else rpc.DiffResponse.DIFF_NONE,
            diffs=changed,
            replaces=replaces,
            deleteBeforeReplace=bool(replaces) and _keeps_its_name(entry, olds, news),
            hasDetailedDiff=True,
            detailedDiff={name: _property_diff(name, olds, news, replaces) for name in changed},
        )

    @_rpc
    def Create(self, request: rpc.CreateRequest, context: grpc.ServicerContext) -> rpc.CreateResponse:
        entry, inputs = emulated(_type(request)), _properties(request.properties)
        if request.preview:
            computed = dict.fromkeys(entry.computed, UNKNOWN)
            return rpc.CreateResponse(properties=_struct({**entry.defaults, **inputs, **computed}))
        for fault in self._faults:
            if fault.type == entry.type and fault.name in (None, request.name):
                self._faults.remove(fault)
                raise RefusedError(fault.message)
        self.at("before", request.name)
        physical_id, outputs = entry.create(self.account, request.name, inputs)
        self.at("made", request.name)
        return rpc.CreateResponse(id=physical_id, properties=_struct(outputs))

    @_rpc
    def Read(self, request: rpc.ReadRequest, context: grpc.ServicerContext) -> rpc.ReadResponse:
        entry = emulated(_type(request))
        found = entry.read(self.account, request.id)
        if found is None:
            return rpc.ReadResponse()
        known = _properties(request.inputs)
        outputs = {**_properties(request.properties), **found, "id": request.id, "region": self.account.region}
        return rpc.ReadResponse(
            id=request.id, properties=_struct(outputs), inputs=_struct(_inputs_read(entry, known, found))
        )

    @_rpc
    def Update(self, request: rpc.UpdateRequest, context: grpc.ServicerContext) -> rpc.UpdateResponse:
        entry, inputs = emulated(_type(request)), _properties(request.news)
        if request.preview:
            return rpc.UpdateResponse(properties=_struct({**_properties(request.olds), **inputs}))
        return rpc.UpdateResponse(properties=_struct(entry.update(self.account, request.id, inputs)))

    @_rpc
    def Delete(self, request: rpc.DeleteRequest, context: grpc.ServicerContext) -> Empty:
        emulated(_type(request)).delete(self.account, request.id, _properties(request.properties))
        return Empty()

    # Functions

    @_rpc
    def Invoke(self, request: rpc.InvokeRequest, context: grpc.ServicerContext) -> rpc.InvokeResponse:
        response = rpc.InvokeResponse()
        answer: Struct = getattr(response, "return")  # a keyword of Python, not of the protocol
        answer.CopyFrom(_struct(invoke(self.account, request.tok, _properties(request.args))))
        return response


def _properties(struct: Struct) -> Properties:
    """Return properties off the wire; an unknown one holds pulumi's sentinel text."""
    return {name: value for name, value in MessageToDict(struct).items() if value is not None}


def _struct(properties: Mapping[str, Any]) -> Struct:
    return ParseDict(dict(properties), Struct())


def _type(request: Any) -> str:
    """Return the resource's type; older engines send the URN alone (urn:pulumi:stack::project::parent$type::name)."""
    return request.type or request.urn.split("::")[2].rpartition("$")[2]


def _config(struct: Struct) -> Properties:
    """Return the provider's configuration: nested values arrive as JSON texts."""
    return {
        name: json.loads(value) if isinstance(value, str) and value[:1] in ("[", "{") else value
        for name, value in _properties(struct).items()
    }


def _config_faults(account: EmulatedAccount, config: Properties) -> Sequence[str]:
    """Return what the provider refuses, in its words: https://github.com/pulumi/pulumi-aws"""
    region, allowed = config.get("region"), config.get("allowedAccountIds", [])
    if not region:
        return [
            "Missing region information\n"
            "Make sure you have set your AWS region, e.g. `pulumi config set aws:region us-west-2`."
        ]
    if allowed and account.account_id not in allowed:
        return [f"AWS account ID not allowed: {account.account_id} (aws:allowedAccountIds: {', '.join(allowed)})"]
    if region != account.region:
        return [f"The emulated account is in {account.region}, aws:region is {region}"]
    return []


def _automatic_name(entry: Emulated, request: rpc.CheckRequest) -> str:
    """Return a name as https://www.pulumi.com/docs/iac/concepts/resources/names/#autonaming says."""
    if request.HasField("autonaming") and request.autonaming.proposed_name:
        return entry.automatic_name(request.autonaming.proposed_name)
    return entry.automatic_name(f"{request.name}-{hashlib.sha256(request.randomSeed).hexdigest()[:7]}")


def _keeps_its_name(entry: Emulated, olds: Properties, news: Properties) -> bool:
    """Say whether old and new would share a name that the program gave, so that they cannot exist at a time."""
    name = entry.named
    return name is not None and name not in news.get(_DEFAULTS, ()) and same(olds.get(name), news.get(name))


def _property_diff(name: str, olds: Properties, news: Properties, replaces: Sequence[str]) -> rpc.PropertyDiff:
    kind = "ADD" if name not in olds else "DELETE" if name not in news else "UPDATE"
    if name in replaces:
        kind += "_REPLACE"
    return rpc.PropertyDiff(kind=rpc.PropertyDiff.Kind.Value(kind), inputDiff=True)


def _inputs_read(entry: Emulated, known: Properties, found: Properties) -> Properties:
    """Return the inputs of a resource as the account has it: those known, or for an import all of them."""
    if not known:
        return {
            name: value
            for name, value in found.items()
            if name in entry.inputs and value not in (entry.defaults.get(name), {}, "")
        }
    return {name: value if same(value, found.get(name, value)) else found[name] for name, value in known.items()}
