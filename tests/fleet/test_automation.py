import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pulumi
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError
from fleet.fake_engine import LOG_GROUP, PREFIX, TOPIC, Asked, FakeEngine, done, pre, says, write_stack

from threatmon.errors import UsageError
from threatmon.fleet import automation
from threatmon.fleet.automation import Fleet, inline_program
from threatmon.fleet.changes import UNKNOWN, ResourceChange
from threatmon.fleet.interruptions import Interrupted
from threatmon.fleet.targets import Target, read

DETECTOR = "aws:guardduty/detector:Detector"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "s3cr3t", "AWS_SESSION_TOKEN": "t0k3n"}
ENDPOINT = "https://hooks.example.com/v1-hook"
PATIENCE = 30  # seconds; only a failing test takes as long

URN = f"urn:pulumi:prod::threat-monitor::{PREFIX}{{}}::threat-monitor"
GROUP_URN, TOPIC_URN = URN.format(LOG_GROUP), URN.format(TOPIC)
LEFT_BEHIND = (
    "Attempting to deploy or update resources with {} pending operations from previous deployment.\n"
    "{}These resources are in an unknown state because the Pulumi CLI was interrupted."
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project of three stacks."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "Pulumi.yaml").write_text("name: threat-monitor\nruntime: python\n", encoding="utf-8")
    for number, stack in enumerate(("dev", "prod", "test")):
        write_stack(folder, stack, number)
    return folder


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine("dev", "prod", "test")


@pytest.fixture(autouse=True)
def _debug(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fleet silences this for the whole process."""
    monkeypatch.setattr(pulumi.log, "debug", pulumi.log.debug)


def target(folder: Path, stack: str = "prod") -> Target:
    return next(it for it in read(folder) if it.stack == stack)


def fleet(engine: FakeEngine, folder: Path, **options: Any) -> Fleet:
    return Fleet(engine, folder=folder, program=lambda: None, **options)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# -- commands ---------------------------------------------------------------------------------------------------------


def test_every_command_names_its_stack_and_none_selects_one(engine: FakeEngine, folder: Path) -> None:
    stacks = fleet(engine, folder)
    engine.stacks.remove("test")
    for stack in ("dev", "prod", "test"):
        stacks.preview(target(folder, stack))
        stacks.update(target(folder, stack))
        stacks.drift(target(folder, stack))
    assert [(it.verb, it.stack) for it in engine.asked if not it.stack] == [("stack ls", "")]
    assert {it.stack for it in engine.named("preview")} == {"dev", "prod", "test"}
    assert engine.touched() == [it.stack for it in engine.named("refresh")] == ["dev", "prod", "test"]
    assert not [it for it in engine.asked if "select" in it.arguments]


def test_the_stacks_are_listed_once(engine: FakeEngine, folder: Path) -> None:
    stacks = fleet(engine, folder)
    assert stacks.known == {"dev", "prod", "test"}
    stacks.preview(target(folder))
    assert len(engine.named("stack ls")) == 1


def test_where_the_stacks_cannot_be_listed_the_engine_s_own_words_say_why(engine: FakeEngine, folder: Path) -> None:
    engine.fails("stack ls", "", "error: could not open postgres://ada:hunter2@db/state: refused")
    with pytest.raises(UsageError) as error:
        fleet(engine, folder).preview(target(folder))
    assert str(error.value) == (
        "The stacks cannot be listed: could not open postgres://***@db/state: refused"
    )  # the URL of a backend may hold a password
    assert len(engine.asked) == 1


def test_credentials_are_given_by_environment_and_no_secret_is_an_argument(engine: FakeEngine, folder: Path) -> None:
    subscriber = {"protocol": "https", "endpoint": ENDPOINT, "format": "raw"}
    write_stack(folder, "prod", 1, alerts={"subscribers": [subscriber]})
    given: list[str] = []

    def environment_of(it: Target) -> Mapping[str, str]:
        given.append(it.stack)
        return CREDENTIALS

    engine.stacks.remove("prod")
    stacks = fleet(engine, folder, environment_of=environment_of)
    engine.would("prod", pre("create", TOPIC, "threat-monitor", None, {"endpoint": ENDPOINT}))
    stacks.preview(target(folder))
    engine.fails("up", "prod", "error: pending", left_behind((TOPIC_URN, "creating")))
    stacks.update(target(folder))
    stacks.drift(target(folder))
    of_stack = [it for it in engine.asked if it.stack]
    assert {it.verb for it in of_stack} >= {"stack init", "preview", "up", "refresh", "stack history"}
    assert all(it.environment.items() >= CREDENTIALS.items() for it in of_stack)
    assert set(given) == {"prod"}
    words = " ".join(word for it in engine.asked for word in it.arguments)
    assert [it for it in (*CREDENTIALS.values(), ENDPOINT) if it in words] == []
    # The passphrase of a throwaway state, too.
    passphrases = {it.environment.get("PULUMI_CONFIG_PASSPHRASE") for it in engine.asked} - {None}
    assert len(passphrases) == 1
    assert all(it and it not in words for it in passphrases)


def test_what_is_not_of_a_stack_gets_no_credentials(engine: FakeEngine, folder: Path) -> None:
    assert fleet(engine, folder, environment_of=lambda _: CREDENTIALS).known
    [listing] = engine.asked
    assert not CREDENTIALS.keys() & listing.environment.keys()


# -- creating ---------------------------------------------------------------------------------------------------------


class Turnstile:
    """A lock that says when somebody finds it taken."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.taken = threading.Event()

    def __enter__(self) -> None:
        if not self.lock.acquire(blocking=False):
            self.taken.set()
            self.lock.acquire()

    def __exit__(self, *_: object) -> None:
        self.lock.release()


def test_two_stacks_are_not_created_at_a_time(engine: FakeEngine, folder: Path) -> None:
    turnstile = Turnstile()
    log: list[str] = []
    engine.stacks.clear()

    def create(asked: Asked) -> None:
        log.append(f"{asked.stack} begins")
        assert turnstile.taken.wait(PATIENCE)  # until another wants to create one
        log.append(f"{asked.stack} ends")

    engine.when("stack init", create)
    stacks = fleet(engine, folder, _creating=turnstile)
    with ThreadPoolExecutor() as pool:
        outcomes = list(pool.map(stacks.update, [target(folder, "dev"), target(folder, "prod")]))
    assert [it.state for it in outcomes] == ["updated", "updated"]
    first, second = (it.stack for it in engine.named("stack init"))
    assert log == [f"{first} begins", f"{first} ends", f"{second} begins", f"{second} ends"]
    assert {first, second} == {"dev", "prod"}


@pytest.mark.parametrize("provider", ["awskms://alias/pulumi?region=eu-west-1", None])
def test_a_stack_is_created_with_the_secrets_provider_of_its_file(
    engine: FakeEngine, folder: Path, provider: str | None
) -> None:
    engine.stacks.remove("prod")
    write_stack(folder, "prod", 1, {"secretsprovider": provider} if provider else None)
    fleet(engine, folder).update(target(folder))
    expected = ("stack", "init", "prod", *(("--secrets-provider", provider) if provider else ()))
    assert [(it.arguments, it.folder) for it in engine.named("stack init")] == [(expected, folder)]
    assert [it.verb for it in engine.asked if it.verb in ("stack init", "up")] == ["stack init", "up"]


def test_a_stack_that_exists_is_not_created(engine: FakeEngine, folder: Path) -> None:
    assert fleet(engine, folder).update(target(folder)).state == "updated"
    assert engine.named("stack init") == []


# -- previews of new stacks -------------------------------------------------------------------------------------------


def test_a_new_stack_is_previewed_in_a_state_that_nobody_else_sees(engine: FakeEngine, folder: Path) -> None:
    engine.stacks.remove("prod")
    engine.would("prod", pre("create", TOPIC, "threat-monitor", None, {"name": "alerts"}))
    seen: list[dict[str, bytes]] = []
    engine.when("preview", lambda asked: seen.append(files(asked.folder)))
    before = files(folder)
    preview = fleet(engine, folder).preview(target(folder))
    assert (preview.is_new, preview.error, [it.op for it in preview.changes]) == (True, None, ["create"])

    first, *others = [it for it in engine.asked if it.stack]
    assert [it.verb for it in (first, *others)] == ["stack init", "preview"]
    for it in (first, *others):
        assert it.folder != folder
        assert it.environment["PULUMI_BACKEND_URL"] == (it.folder / "state").as_uri()
        assert it.environment["PULUMI_CONFIG_PASSPHRASE"]
    assert not first.folder.exists()
    assert seen == [{name: before[name] for name in ("Pulumi.yaml", "Pulumi.prod.yaml")}]
    assert files(folder) == before
    assert engine.stacks == ["dev", "test"]


def test_its_folder_is_gone_after_a_failure_too(engine: FakeEngine, folder: Path) -> None:
    engine.stacks.remove("prod")
    engine.fails("preview", "prod", "error: no valid credential sources found")
    preview = fleet(engine, folder).preview(target(folder))
    assert (preview.is_new, preview.error) == (True, "no valid credential sources found")
    assert not engine.named("preview")[0].folder.exists()


@pytest.mark.parametrize(
    "further", [{"secretsprovider": "awskms://alias/pulumi"}, {"encryptionsalt": "v1:c2FsdA==:v1:x:y"}]
)
def test_secrets_of_a_new_stack_are_read_as_its_file_says(
    engine: FakeEngine, folder: Path, further: dict[str, str]
) -> None:
    engine.stacks.remove("prod")
    write_stack(folder, "prod", 1, further)
    fleet(engine, folder).preview(target(folder))
    [init] = engine.named("stack init")
    assert "PULUMI_CONFIG_PASSPHRASE" not in init.environment
    assert ("--secrets-provider" in init.arguments) is ("secretsprovider" in further)


def test_a_stack_that_exists_is_previewed_where_it_is(engine: FakeEngine, folder: Path) -> None:
    preview = fleet(engine, folder).preview(target(folder))
    assert not preview.is_new
    [asked] = engine.named("preview")
    assert asked.folder == folder
    assert "PULUMI_BACKEND_URL" not in asked.environment
    assert engine.named("stack init") == []


# -- events -----------------------------------------------------------------------------------------------------------


def changes(engine: FakeEngine, folder: Path, *events: Mapping[str, Any]) -> tuple[ResourceChange, ...]:
    engine.would("prod", *events)
    preview = fleet(engine, folder).preview(target(folder))
    assert preview.error is None
    return preview.changes


def test_a_change_has_the_inputs_before_and_after_and_the_kinds_of_its_differences(
    engine: FakeEngine, folder: Path
) -> None:
    old, new = {"name": "a", "tags": {"team": "x"}}, {"name": "b", "kmsKeyId": UNKNOWN}
    diff = {"name": "update-replace", "tags.team": "delete", "kmsKeyId": "add"}
    found = changes(
        engine,
        folder,
        pre("create", TOPIC, "new", None, {"name": "n"}),
        pre("same", TOPIC, "kept", {"name": "k"}, {"name": "k"}),
        pre("replace", TOPIC, "a :: b", old, new, diff=diff),
        pre("delete", TOPIC, "gone", {"name": "g"}),
        pre("read", TOPIC, "looked-up", None, {}),
        pre("import", DETECTOR, "taken-in", None, {"enable": True}),
    )
    assert found == (
        ResourceChange("create", TOPIC, "new", {}, {"name": "n"}, {}),
        ResourceChange("same", TOPIC, "kept", {"name": "k"}, {"name": "k"}, {}),
        ResourceChange("replace", TOPIC, "a :: b", old, new, diff),
        ResourceChange("delete", TOPIC, "gone", {"name": "g"}, {}, {}),
        ResourceChange("read", TOPIC, "looked-up", {}, {}, {}),
        ResourceChange("import", DETECTOR, "taken-in", {}, {"enable": True}, {}),
    )


def test_components_providers_and_the_stack_itself_are_no_changes(engine: FakeEngine, folder: Path) -> None:
    component = {"custom": False}
    assert changes(
        engine,
        folder,
        pre("create", "pulumi:pulumi:Stack", "threat-monitor-prod", None, {}, new_state=component),
        pre("create", "threat-monitor:index:ThreatMonitor", "threat-monitor", None, {}, new_state=component),
        pre("delete", "threat-monitor:index:Old", "old", {}, None, old_state=component),
        pre("create", "pulumi:providers:aws", "default", None, {"region": "eu-west-1"}),
        pre("create", TOPIC, "threat-monitor", None, {}),
    ) == (ResourceChange("create", TOPIC, "threat-monitor", {}, {}, {}),)


@pytest.mark.parametrize(
    "op", ["create-replacement", "delete-replaced", "discard-replaced", "read-replacement", "remove-pending-replace"]
)
def test_the_halves_of_a_replacement_are_not_told_besides_it(engine: FakeEngine, folder: Path, op: str) -> None:
    replaced = pre("replace", LOG_GROUP, "group", {"name": "a"}, {"name": "b"})
    half = pre(op, LOG_GROUP, "group", {"name": "a"}, {"name": "b"})
    assert [it.op for it in changes(engine, folder, half, replaced, half)] == ["replace"]


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("after", [True, False])
def test_what_stays_in_the_account_is_told_by_the_state_and_not_by_the_program(
    engine: FakeEngine, folder: Path, before: bool, after: bool
) -> None:
    states = {"old_state": {"retainOnDelete": before}, "new_state": {"retainOnDelete": after}}
    [replaced] = changes(engine, folder, pre("replace", LOG_GROUP, "group", {}, {}, **states))
    assert replaced.retained is before
    [deleted] = changes(engine, folder, pre("delete", LOG_GROUP, "group", {}, old_state={"retainOnDelete": before}))
    assert deleted.retained is before
    [made] = changes(engine, folder, pre("create", LOG_GROUP, "group", None, {}, new_state={"retainOnDelete": after}))
    assert made.retained is after


def test_without_detail_the_names_of_what_differs_are_told(engine: FakeEngine, folder: Path) -> None:
    [change] = changes(
        engine, folder, pre("replace", TOPIC, "topic", {}, {}, diffs=["name", "tags"], keys=["name", "policy"])
    )
    assert change.diff == {"name": "update-replace", "tags": "update"}


def test_warnings_are_notes_and_errors_explain_a_failure_without_markup(engine: FakeEngine, folder: Path) -> None:
    engine.fails(
        "preview",
        "prod",
        "error: preview failed",
        says("info", "a line of output"),
        says("warning", "findingTypes: no such type: <{%fg 1%}>Recon<{%reset%}>"),
        says("error", "aws:guardduty/detector:Detector resource 'd' has a problem"),
        says("error", "another one"),
    )
    preview = fleet(engine, folder).preview(target(folder))
    assert preview.error == "aws:guardduty/detector:Detector resource 'd' has a problem\nanother one"
    assert preview.notes == ("findingTypes: no such type: Recon",)


def test_a_preview_that_succeeds_has_its_warnings_and_no_error(engine: FakeEngine, folder: Path) -> None:
    engine.would("prod", says("warning", "careful"), says("info#err", "chatter"))
    preview = fleet(engine, folder).preview(target(folder))
    assert (preview.error, preview.notes) == (None, ("careful",))


def test_drift_is_what_the_refresh_has_found_and_not_what_it_looks_at(engine: FakeEngine, folder: Path) -> None:
    old, new = {"retentionInDays": 365}, {"retentionInDays": 7}
    engine.would(
        "prod",
        pre("refresh", LOG_GROUP, "group", old, old),
        pre("refresh", TOPIC, "topic", {}, {}),
        done("update", LOG_GROUP, "group", old, new, diff={"retentionInDays": "update"}),
        done("same", TOPIC, "topic", {}, {}),
        done("delete", DETECTOR, "detector", {"enable": True}, {"enable": True}),
    )
    drift = fleet(engine, folder).drift(target(folder))
    assert drift.changes == (
        ResourceChange("update", LOG_GROUP, "group", old, new, {"retentionInDays": "update"}),
        ResourceChange("same", TOPIC, "topic", {}, {}, {}),
        ResourceChange("delete", DETECTOR, "detector", {"enable": True}, {}, {}),
    )
    assert (drift.error, drift.is_new) == (None, False)
    [asked] = engine.named("refresh")
    assert "--preview-only" in asked.arguments
    assert "--yes" not in asked.arguments


def test_a_preview_is_of_its_stack_account_and_region(engine: FakeEngine, folder: Path) -> None:
    stacks = fleet(engine, folder)
    for found in (stacks.preview(target(folder)), stacks.drift(target(folder))):
        assert (found.stack, found.account_id, found.region) == ("prod", "100000000001", "eu-west-1")


# -- failures ---------------------------------------------------------------------------------------------------------


Run = Callable[[Fleet, Target], str | None]
RUNS: Mapping[str, Run] = {
    "preview": lambda stacks, it: stacks.preview(it).error,
    "refresh": lambda stacks, it: stacks.drift(it).error,
    "up": lambda stacks, it: stacks.update(it).error,
}


@pytest.mark.parametrize("verb", RUNS)
def test_a_failure_is_told_in_the_engine_s_own_words(engine: FakeEngine, folder: Path, verb: str) -> None:
    engine.fails(verb, "prod", "error: no plugin\n  found")
    assert RUNS[verb](fleet(engine, folder), target(folder)) == "no plugin\n  found"


@pytest.mark.parametrize("verb", RUNS)
def test_a_diagnostic_says_more_than_what_the_engine_prints_at_the_end(
    engine: FakeEngine, folder: Path, verb: str
) -> None:
    engine.fails(verb, "prod", "error: update failed", says("error", "LimitExceededException: too many rules"))
    assert RUNS[verb](fleet(engine, folder), target(folder)) == "LimitExceededException: too many rules"


def refused(_: Target) -> Mapping[str, str]:
    message = "User: a is not authorized to perform: sts:AssumeRole on resource: b"
    raise ClientError({"Error": {"Code": "AccessDenied", "Message": message}}, "AssumeRole")


def unreachable(_: Target) -> Mapping[str, str]:
    raise EndpointConnectionError(endpoint_url="https://sts.eu-west-1.amazonaws.com")


def unprepared(_: Target) -> Mapping[str, str]:
    raise NoCredentialsError


def misused(_: Target) -> Mapping[str, str]:
    raise UsageError("CI's identity token cannot be got: no")


@pytest.mark.parametrize(
    ("environment_of", "told"),
    [
        (refused, "Permission sts:AssumeRole is missing"),
        (unreachable, "AWS cannot be reached"),
        (unprepared, "No AWS credentials"),
        (misused, "CI's identity token cannot be got: no"),
    ],
)
@pytest.mark.parametrize("verb", RUNS)
def test_credentials_that_cannot_be_got_fail_the_stack_and_not_the_run(
    engine: FakeEngine, folder: Path, verb: str, environment_of: Any, told: str
) -> None:
    error = RUNS[verb](fleet(engine, folder, environment_of=environment_of), target(folder))
    assert error is not None
    assert told in error
    assert "Traceback" not in error
    assert engine.named(verb) == []


# -- updates ----------------------------------------------------------------------------------------------------------


def test_an_update_counts_what_it_changed(engine: FakeEngine, folder: Path) -> None:
    engine.would(
        "prod",
        pre("create", TOPIC, "a", None, {}),
        pre("create", TOPIC, "b", None, {}),
        pre("same", TOPIC, "c", {}, {}),
        pre("read", TOPIC, "d", None, {}),
        pre("delete", TOPIC, "e", {}),
    )
    outcome = fleet(engine, folder).update(target(folder))
    assert outcome._replace(seconds=0) == ("prod", "updated", 0, 0, 3, None, ())
    assert outcome.seconds > 0
    [asked] = engine.named("up")
    assert {"--yes", "--skip-preview"} <= set(asked.arguments)
    assert asked.folder == folder


def test_a_failed_update_is_told_with_why(engine: FakeEngine, folder: Path) -> None:
    engine.fails("up", "prod", "error: update failed", says("error", "too many rules"))
    outcome = fleet(engine, folder).update(target(folder))
    assert (outcome.stack, outcome.state, outcome.error, outcome.changed) == ("prod", "failed", "too many rules", 0)
    assert len(engine.named("up")) == 1


def test_an_interruption_reaches_the_engine(engine: FakeEngine, folder: Path) -> None:
    fleet(engine, folder).interrupt()
    assert engine.interrupted == 1


# -- what a killed run leaves: operations -----------------------------------------------------------------------------


def left_behind(*operations: tuple[str, str]) -> Mapping[str, Any]:
    lines = "".join(f"  * {urn}, interrupted while {doing}\n" for urn, doing in operations)
    return says("warning", LEFT_BEHIND.format(len(operations), lines))


def repairs(engine: FakeEngine) -> list[str]:
    return [it.verb for it in engine.asked if it.verb in ("refresh", "import")]


def test_what_an_interrupted_creation_made_is_taken_in_and_what_cannot_be_found_is_forgotten(
    engine: FakeEngine, folder: Path
) -> None:
    looked_for: list[tuple[str, Interrupted]] = []

    def find(it: Target, operation: Interrupted) -> str | None:
        looked_for.append((it.stack, operation))
        return "/threat-monitor/prod/flow-logs" if operation.type == LOG_GROUP else None

    operations = [(GROUP_URN, "creating"), (TOPIC_URN, "creating"), (URN.format(DETECTOR), "updating")]
    engine.pending["prod"] = [{"resource": {"urn": urn, "parent": f"{urn}-parent"}} for urn, _ in operations]
    engine.fails("up", "prod", "error: update failed", left_behind(*operations), says("error", "it exists already"))
    engine.would("prod", pre("create", TOPIC, "a", None, {}), pre("same", TOPIC, "b", {}, {}))
    outcome = fleet(engine, folder, find=find, environment_of=lambda _: CREDENTIALS).update(target(folder))

    done = [it for it in engine.asked if it.verb in ("up", "refresh", "import")]
    assert [it.verb for it in done] == ["up", "refresh", "import", "up"]
    _, refresh, taken_in, _ = done
    assert refresh.arguments == ("refresh", "--yes", "--skip-preview", "--clear-pending-creates", "--stack", "prod")
    # https://www.pulumi.com/docs/iac/cli/commands/pulumi_import/
    assert taken_in.arguments == (
        *("import", "--yes", "--skip-preview", "--protect=false", "--generate-code=false"),
        *(LOG_GROUP, "threat-monitor", "/threat-monitor/prod/flow-logs", "--parent", f"parent={GROUP_URN}-parent"),
        *("--stack", "prod"),
    )
    assert all(it.folder == folder and it.environment.items() >= CREDENTIALS.items() for it in done)
    assert not any("--show-secrets" in it.arguments for it in engine.asked)
    assert looked_for == [("prod", Interrupted(urn, "creating")) for urn in (GROUP_URN, TOPIC_URN)]
    assert (outcome.state, outcome.error, outcome.changed) == ("updated", None, 1)
    assert outcome.notes == (
        "an earlier run was interrupted while creating LogGroup threat-monitor: took in /threat-monitor/prod/flow-logs",
        "an earlier run was interrupted while creating Topic threat-monitor: what it made, if anything, is made anew",
        "an earlier run was interrupted while updating Detector threat-monitor: nothing to do",
    )


def test_an_update_that_succeeds_in_spite_of_it_is_made_again_after_the_repair_and_counted_with_it(
    engine: FakeEngine, folder: Path
) -> None:
    engine.would("prod", pre("create", TOPIC, "a", None, {}), left_behind((GROUP_URN, "creating")))
    outcome = fleet(engine, folder).update(target(folder))
    assert [it.verb for it in engine.asked if it.verb in ("up", "refresh", "import")] == ["up", "refresh", "up"]
    assert (outcome.state, outcome.changed) == ("updated", 1)


def test_a_repair_that_fails_fails_the_stack(engine: FakeEngine, folder: Path) -> None:
    engine.fails("up", "prod", "error: update failed", left_behind((GROUP_URN, "creating")))
    engine.fails("refresh", "prod", "error: no such resource")
    outcome = fleet(engine, folder).update(target(folder))
    assert (outcome.state, outcome.error) == ("failed", "no such resource")
    assert engine.touched() == ["prod"]


def denied(_: Target, __: Interrupted) -> str | None:
    raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "DescribeLogGroups")


CANNOT_BE_LOOKED_UP = (
    "an earlier run was interrupted while creating LogGroup threat-monitor: "
    "what it made, if anything, cannot be looked up: Permission DescribeLogGroups is missing: no"
)


def test_an_update_that_fails_where_the_account_cannot_be_searched_forgets_nothing(
    engine: FakeEngine, folder: Path
) -> None:
    engine.fails("up", "prod", "error: update failed", left_behind((GROUP_URN, "creating")))
    outcome = fleet(engine, folder, find=denied).update(target(folder))
    assert (outcome.state, outcome.notes) == ("failed", (CANNOT_BE_LOOKED_UP,))
    assert repairs(engine) == []
    assert engine.touched() == ["prod"]


def test_an_update_that_succeeds_where_the_account_cannot_be_searched_needs_nothing_of_it(
    engine: FakeEngine, folder: Path
) -> None:
    engine.would("prod", left_behind((GROUP_URN, "creating")))
    outcome = fleet(engine, folder, find=denied).update(target(folder))
    assert (outcome.state, outcome.notes) == ("updated", (CANNOT_BE_LOOKED_UP,))
    assert repairs(engine) == ["refresh"]


def test_an_account_that_cannot_be_searched_is_asked_once(engine: FakeEngine, folder: Path) -> None:
    asked: list[str] = []

    def find(it: Target, operation: Interrupted) -> str | None:
        asked.append(operation.urn)
        return denied(it, operation)

    engine.would("prod", left_behind((GROUP_URN, "creating"), (TOPIC_URN, "creating")))
    assert len(fleet(engine, folder, find=find).update(target(folder)).notes) == 2
    assert asked == [GROUP_URN]


def test_what_the_state_no_longer_has_under_way_is_not_taken_in(engine: FakeEngine, folder: Path) -> None:
    engine.would("prod", left_behind((GROUP_URN, "creating")))
    outcome = fleet(engine, folder, find=lambda _, __: "/group").update(target(folder))
    assert outcome.state == "updated"
    assert repairs(engine) == ["refresh"]


def test_no_secret_is_decrypted_for_what_nobody_reads(engine: FakeEngine, folder: Path) -> None:
    fleet(engine, folder).update(target(folder))
    assert [it.verb for it in engine.asked] == ["stack ls", "up", "stack history"]
    assert [it for it in engine.asked if "--show-secrets" in it.arguments] == []


def test_an_update_of_a_stack_that_nobody_interrupted_repairs_nothing(engine: FakeEngine, folder: Path) -> None:
    engine.would("prod", says("warning", "something else"))
    outcome = fleet(engine, folder).update(target(folder))
    assert (outcome.state, outcome.notes) == ("updated", ())
    assert repairs(engine) == []


# -- what a killed run leaves: locks ----------------------------------------------------------------------------------


class Clock:
    """Time that passes only when somebody waits."""

    def __init__(self) -> None:
        self.waited = 0.0

    def monotonic(self) -> float:
        return self.waited

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.waited += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(automation, "time", clock)
    monkeypatch.setattr(automation, "_POLL_SECONDS", 30.0)
    return clock


def lock(host: str, pid: int, age: timedelta = timedelta(minutes=1)) -> str:
    """What the engine says where a stack is locked."""
    since = (datetime.now(UTC) - age).strftime("%Y-%m-%dT%H:%M:%SZ")
    return (
        "error: the stack is currently locked by 1 lock(s). Either wait for the other process(es) to end or delete the "
        "lock file with `pulumi cancel`.\n"
        f"  s3://state/.pulumi/locks/prod/a.json: created by ada@{host} (pid {pid}) at {since}"
    )


def gone() -> int:
    """The number of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def test_the_lock_of_a_process_that_is_gone_is_cleared_and_noted(
    engine: FakeEngine, folder: Path, clock: Clock
) -> None:
    pid = gone()
    engine.fails("up", "prod", lock(socket.gethostname(), pid))
    outcome = fleet(engine, folder).update(target(folder))
    [cancel] = engine.named("cancel")
    assert (cancel.stack, cancel.folder) == ("prod", folder)
    assert engine.touched() == ["prod", "prod"]
    assert outcome.state == "updated"
    [note] = outcome.notes
    assert note.startswith("cleared the lock of a run that is gone: ada@")
    assert f"(process {pid}) since 20" in note
    assert clock.waited == 0


def test_a_process_of_another_kind_that_has_got_the_number_since_holds_no_lock(
    engine: FakeEngine, folder: Path, clock: Clock
) -> None:
    with subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE) as other:
        engine.fails("up", "prod", lock(socket.gethostname(), other.pid))
        outcome = fleet(engine, folder).update(target(folder))
        other.communicate()
    assert (outcome.state, len(engine.named("cancel")), clock.waited) == ("updated", 1, 0)


def test_the_young_lock_of_another_machine_is_respected_and_its_holder_named(
    engine: FakeEngine, folder: Path, clock: Clock
) -> None:
    engine.fails("up", "prod", lock("ci-7", 12))
    outcome = fleet(engine, folder).update(target(folder))
    assert outcome.state == "failed"
    assert outcome.error is not None
    assert outcome.error.startswith("somebody else is updating the stack: ada@ci-7 (process 12) since 20")
    assert outcome.error.endswith(" UTC")
    assert engine.named("cancel") == []
    assert (engine.touched(), clock.waited) == (["prod"], 0)


@pytest.mark.parametrize(("minutes", "cleared"), [(29, False), (31, True)])
def test_the_old_lock_of_another_machine_is_cleared(
    engine: FakeEngine, folder: Path, clock: Clock, minutes: int, cleared: bool
) -> None:
    engine.fails("up", "prod", lock("ci-7", 12, timedelta(minutes=minutes)))
    outcome = fleet(engine, folder, stale_after=timedelta(minutes=30)).update(target(folder))
    assert outcome.state == ("updated" if cleared else "failed")
    assert [it.stack for it in engine.named("cancel")] == (["prod"] if cleared else [])
    assert len(outcome.notes) == cleared
    assert clock.waited == 0


def test_a_process_that_lives_is_waited_for(
    engine: FakeEngine, folder: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(automation, "_is_engine", lambda pid: pid == 4711)
    for _ in range(3):
        engine.fails("up", "prod", lock(socket.gethostname(), 4711))
    outcome = fleet(engine, folder).update(target(folder))
    assert (outcome.state, outcome.notes) == ("updated", ())
    assert engine.touched() == ["prod"] * 4
    assert clock.waited > 0
    assert engine.named("cancel") == []


def test_it_is_not_waited_for_for_ever(
    engine: FakeEngine, folder: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(automation, "_is_engine", lambda _: True)
    for _ in range(100):
        engine.fails("up", "prod", lock(socket.gethostname(), 4711))
    outcome = fleet(engine, folder).update(target(folder))
    assert outcome.state == "failed"
    assert outcome.error is not None
    assert outcome.error.startswith("somebody else is updating the stack: ada@")
    assert 600 <= clock.waited <= 630  # seconds
    assert engine.named("cancel") == []


def test_a_refusal_that_names_nobody_is_told_as_it_is_and_clears_nothing(
    engine: FakeEngine, folder: Path, clock: Clock
) -> None:
    for _ in range(100):
        engine.fails("up", "prod", "error: [409] Conflict: Another update is currently in progress.")
    outcome = fleet(engine, folder).update(target(folder))
    assert outcome.error == (
        "somebody else is updating the stack: [409] Conflict: Another update is currently in progress."
    )
    assert engine.named("cancel") == []
    assert clock.waited >= 600


def test_a_process_that_lives_is_seen_where_there_is_no_ps(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = tmp_path / "pulumi"
    script.write_text("#!/bin/sh\necho ready\nread it\n", encoding="utf-8")
    script.chmod(0o755)
    if Path("/proc/self").exists():
        monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    is_engine: Callable[[int], bool] = vars(automation)["_is_engine"]
    with subprocess.Popen([script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as living:
        assert living.stdout
        assert living.stdout.readline() == b"ready\n"  # it has its name only when it runs
        assert is_engine(living.pid)
        living.communicate(b"go\n")
    assert not is_engine(living.pid)


# -- the program ------------------------------------------------------------------------------------------------------


def test_two_programs_never_run_their_own_part_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    turnstile = Turnstile()
    log: list[str] = []

    def run() -> None:
        log.append("begins")
        assert turnstile.taken.wait(PATIENCE)  # until another wants to run
        log.append("ends")

    (tmp_path / "__main__.py").write_text(
        "import sys\nassert __name__ == '__main__'\nsys.fleet_test_run()\n", encoding="utf-8"
    )
    monkeypatch.setattr("threatmon.project.ROOT", tmp_path)
    monkeypatch.setattr(automation, "Lock", lambda: turnstile)
    monkeypatch.setattr(sys, "fleet_test_run", run, raising=False)
    monkeypatch.setattr(sys, "path", list(sys.path))
    program = inline_program()
    assert sys.path[0] == str(tmp_path)
    with ThreadPoolExecutor() as pool:
        for done in [pool.submit(program) for _ in range(2)]:
            done.result(PATIENCE)
    assert log == ["begins", "ends"] * 2


def test_a_program_that_fails_lets_the_next_one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "__main__.py").write_text("raise ValueError(__file__)\n", encoding="utf-8")
    monkeypatch.setattr("threatmon.project.ROOT", tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    program = inline_program()
    for _ in range(2):
        with pytest.raises(ValueError, match=r"__main__\.py"):
            program()


def test_the_sdk_still_has_the_log_that_is_silenced(engine: FakeEngine, folder: Path) -> None:
    heard: list[object] = []
    sdk = Path(pulumi.log.__file__).read_text(encoding="utf-8")
    assert "\ndef debug(" in sdk
    pulumi.log.debug = heard.append  # pyright: ignore[reportAttributeAccessIssue]
    assert fleet(engine, folder).known
    pulumi.log.debug("nobody hears this")
    assert heard == []
