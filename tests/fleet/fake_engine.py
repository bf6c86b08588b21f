"""A stand-in for the engine: it answers as scripted, reports events as the engine does, and records the commands.

https://github.com/pulumi/pulumi/blob/master/sdk/go/common/apitype/events.go
"""

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import grpc
import pytest
import yaml
from pulumi.automation import CommandResult, OnOutput
from pulumi.automation.errors import create_command_error
from pulumi.runtime.proto.events_pb2 import EventRequest
from pulumi.runtime.proto.events_pb2_grpc import EventsStub
from semver import VersionInfo

from threatmon.cli.fleet import previews
from threatmon.fleet.engine import Engine
from threatmon.fleet.processes import ProcessRecords
from threatmon.fleet.targets import Target, read
from threatmon.fleet.workspaces import Workspaces
from threatmon.stacks.engine import ENGINE_VERSION

Event = Mapping[str, Any]

PREFIX = "threat-monitor:index:ThreatMonitor$"
LOG_GROUP = "aws:cloudwatch/logGroup:LogGroup"
TOPIC = "aws:sns/topic:Topic"


class Asked(NamedTuple):
    """A command as the engine got it; ``environment`` is what was given in addition to this process's own."""

    arguments: tuple[str, ...]
    folder: Path
    environment: Mapping[str, str]

    @property
    def verb(self) -> str:
        """`preview`, `stack init` and so on."""
        first, second = self.arguments[:2] if self.arguments[1:] else (self.arguments[0], "")
        return f"{first} {second}" if first == "stack" and not second.startswith("-") else first

    @property
    def stack(self) -> str:
        """The stack that the command names; none if empty."""
        if self.verb == "stack init":
            return self.arguments[2]
        words = list(self.arguments)
        return words[words.index("--stack") + 1] if "--stack" in words else ""


class FakeEngine(Engine):
    """Stacks that exist, what a preview of each reports (an update does it), and what is refused."""

    def __init__(self, *stacks: str) -> None:  # pyright: ignore[reportMissingSuperCall] - there is no executable
        self.command = "pulumi"
        self.version = VersionInfo.parse(ENGINE_VERSION)
        self.stacks = list(stacks)
        self.asked: list[Asked] = []
        self.records = ProcessRecords()
        self.interrupted = 0
        self.pending: dict[str, list[Mapping[str, Any]]] = {}
        self.recorded: dict[str, list[str]] = {}
        """what the state of a stack says of operations that a killed engine had begun"""
        self._events: defaultdict[str, list[Event]] = defaultdict(list)
        self._failures: defaultdict[tuple[str, str], list[tuple[str, Sequence[Event]]]] = defaultdict(list)
        self.listeners: defaultdict[str, list[Callable[[Asked], object]]] = defaultdict(list)
        self._recording = Lock()

    def would(self, stack: str, *events: Event) -> None:
        """Let a preview of the stack report these events."""
        self._events[stack] = list(events)

    def fails(self, verb: str, stack: str = "", stderr: str = "error: it fails", *events: Event) -> None:
        """Let the command fail the next time, after reporting these events."""
        self._failures[verb, stack].append((stderr, events))

    def when(self, verb: str, action: Callable[[Asked], object]) -> None:
        """Do something while such a command runs."""
        self.listeners[verb].append(action)

    def named(self, verb: str) -> list[Asked]:
        """The commands of one kind, in their order."""
        return [asked for asked in self.asked if asked.verb == verb]

    def touched(self) -> list[str]:
        """The stacks that were updated, or tried to be, in that order."""
        return [asked.stack for asked in self.named("up")]

    def run(
        self,
        args: list[str],
        cwd: str,
        additional_env: Mapping[str, str],
        on_output: OnOutput | None = None,
        on_error: OnOutput | None = None,
    ) -> CommandResult:
        del on_output, on_error
        asked = Asked(tuple(args), Path(cwd), dict(additional_env))
        with self._recording:
            self.asked.append(asked)
            failures = self._failures[asked.verb, asked.stack]
            failure = failures.pop(0) if failures else None
        for listener in self.listeners[asked.verb]:
            listener(asked)
        stderr, events = failure or ("", self._answer(asked))
        if "--event-log" in args:
            report(args[args.index("--event-log") + 1], events)
        result = CommandResult(self._stdout(asked), stderr, 255 if failure else 0)
        if failure:
            raise create_command_error(result)
        return result

    def interrupt(self) -> None:
        self.interrupted += 1

    def _answer(self, asked: Asked) -> list[Event]:
        if asked.verb == "stack init" and "PULUMI_BACKEND_URL" not in asked.environment:
            self.stacks.append(asked.stack)
        events = list(self._events[asked.stack]) if asked.verb in ("preview", "up", "refresh") else []
        steps = [event["resourcePreEvent"]["metadata"] for event in events if "resourcePreEvent" in event]
        if asked.verb == "up":
            self._events[asked.stack] = [
                pre("same", step["type"], step["urn"].split("::")[3], step["new"]["inputs"], step["new"]["inputs"])
                for step in steps
                if step["new"]
            ]
        ops = [step["op"] for step in steps]
        return [*events, {"summaryEvent": {"resourceChanges": {op: ops.count(op) for op in sorted(set(ops))}}}]

    def _stdout(self, asked: Asked) -> str:
        if asked.verb == "stack ls":
            return json.dumps(
                [{"name": f"organization/threat-monitor/{name}", "current": False} for name in self.stacks]
            )
        if asked.verb == "stack export":
            pending, urns = self.pending.get(asked.stack, []), self.recorded.get(asked.stack, [])
            resources = [{"urn": urn, "type": urn.split("::")[2]} for urn in urns]
            return json.dumps({"version": 3, "deployment": {"pending_operations": pending, "resources": resources}})
        if asked.verb == "stack history":
            times = dict.fromkeys(("startTime", "endTime"), "2026-09-14T09:30:00.000Z")
            update = {"kind": "update", "message": "", "environment": {}, "config": {}, "result": "succeeded", **times}
            return json.dumps([update])
        return "{}"


def report(log: str, events: Sequence[Event]) -> None:
    """Send events to whoever listens at an address of the form `tcp://127.0.0.1:1234`; they are heard on return."""
    with grpc.insecure_channel(log.removeprefix("tcp://")) as channel:
        numbered = enumerate([*events, {"cancelEvent": {}}])
        messages = (json.dumps({"sequence": number, "timestamp": 1, **event}) for number, event in numbered)
        EventsStub(channel).StreamEvents(EventRequest(event=message) for message in messages)


def pre(op: str, type_: str, name: str, old: Any = None, new: Any = None, **more: Any) -> Event:
    """The engine is about to do something to a resource with these inputs; ``more`` are facts of the step."""
    return {"resourcePreEvent": {"metadata": step(op, type_, name, old, new, **more), "planning": True}}


def done(op: str, type_: str, name: str, old: Any = None, new: Any = None, **more: Any) -> Event:
    """The engine has done it."""
    return {"resOutputsEvent": {"metadata": step(op, type_, name, old, new, **more), "planning": True}}


def step(op: str, type_: str, name: str, old: Any = None, new: Any = None, **more: Any) -> dict[str, Any]:
    """What the engine says of one step. ``diff`` maps paths to kinds; ``old_state`` and ``new_state`` are more of the
    states than the inputs."""
    urn = f"urn:pulumi:prod::threat-monitor::{PREFIX}{type_}::{name}"
    states = {
        "old": old if old is None else {"inputs": old, "custom": True, **more.pop("old_state", {})},
        "new": new if new is None else {"inputs": new, "custom": True, **more.pop("new_state", {})},
    }
    diff = {path: {"diffKind": kind} for path, kind in more.pop("diff", {}).items()}
    return {"op": op, "urn": urn, "type": type_, **states, "detailedDiff": diff or None, **more}


def says(severity: str, message: str) -> Event:
    """A diagnostic, in the markup that the engine puts colours in."""
    return {"diagnosticEvent": {"severity": severity, "message": f"<{{%reset%}}>{message}<{{%reset%}}>\n"}}


def locked(host: str, pid: int, age: timedelta = timedelta(minutes=1)) -> str:
    """What the engine says of a stack that a process has locked."""
    since = (datetime.now(UTC) - age).strftime("%Y-%m-%dT%H:%M:%SZ")
    return (
        "error: the stack is currently locked by 1 lock(s). Either wait for the other process(es) to end or delete the "
        "lock file with `pulumi cancel`.\n"
        f"  s3://state/.pulumi/locks/prod/a.json: created by ada@{host} (pid {pid}) at {since}"
    )


def write_stack(folder: Path, stack: str, number: int, further: Mapping[str, Any] | None = None, **config: Any) -> None:
    """A stack file without faults, of an account of its own; ``config`` changes keys, ``further`` stands next to it."""
    content: dict[str, Any] = {
        "config": {
            "aws:allowedAccountIds": [str(100000000000 + number)],
            "aws:region": "eu-west-1",
            "threat-monitor:subnetIds": [f"subnet-{number:017x}"],
            "threat-monitor:alertEmails": ["security@example.com"],
            **{f"threat-monitor:{key}": value for key, value in config.items()},
        },
        **(further or {}),
    }
    (folder / f"Pulumi.{stack}.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")


def project(parent: Path, stacks: Sequence[str]) -> Path:
    """A project's folder with a file for each stack."""
    folder = parent / "project"
    folder.mkdir()
    (folder / "Pulumi.yaml").write_text("name: threat-monitor\nruntime: python\n", encoding="utf-8")
    for number, stack in enumerate(stacks):
        write_stack(folder, stack, number)
    return folder


def prepared(
    folder: Path, monkeypatch: pytest.MonkeyPatch, stacks: Sequence[str], events: Sequence[Event]
) -> FakeEngine:
    """An engine that the commands run on the stacks of this folder; a preview of each reports these events."""
    engine = FakeEngine(*stacks)
    monkeypatch.setattr("threatmon.project.ROOT", folder)
    monkeypatch.setattr(previews, "Engine", lambda: engine)
    monkeypatch.setattr(previews, "Workspaces", partial(Workspaces, program=lambda: None))
    for stack in stacks:
        engine.would(stack, *events)
    return engine


def target(folder: Path, stack: str = "prod") -> Target:
    """Return a stack of a project's folder."""
    return next(target for target in read(folder) if target.stack == stack)
