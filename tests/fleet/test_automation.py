from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from fleet.fake_engine import LOG_GROUP, PREFIX, TOPIC, FakeEngine, done, pre, says, target, write_stack

from threatmon.aws.errors import AwsError
from threatmon.errors import UsageError
from threatmon.fleet.automation import Fleet
from threatmon.fleet.recovery import InterruptedOperation
from threatmon.fleet.targets import Target
from threatmon.fleet.workspaces import Workspaces

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "s3cr3t", "AWS_SESSION_TOKEN": "t0k3n"}
ENDPOINT = "https://hooks.example.com/v1-hook"
URN = f"urn:pulumi:prod::threat-monitor::{PREFIX}{{}}::threat-monitor"
GROUP_URN, TOPIC_URN = URN.format(LOG_GROUP), URN.format(TOPIC)


def fleet(
    engine: FakeEngine,
    folder: Path,
    environment_of: Callable[[Target], Mapping[str, str]] = lambda _: {},
    find: Callable[[Target, InterruptedOperation], str | None] = lambda _, __: None,
) -> Fleet:
    return Fleet(Workspaces(engine, environment_of, program=lambda: None, folder=folder), find)


# -- commands ---------------------------------------------------------------------------------------------------------


def test_every_command_names_its_stack_and_none_selects_one(engine: FakeEngine, folder: Path) -> None:
    stacks = fleet(engine, folder)
    engine.stacks.remove("test")
    for stack in ("dev", "prod", "test"):
        stacks.preview(target(folder, stack))
        stacks.update(target(folder, stack))
        stacks.drift(target(folder, stack))
    assert [asked.verb for asked in engine.asked if not asked.stack] == ["stack ls"]
    assert {asked.stack for asked in engine.named("preview")} == {"dev", "prod", "test"}
    assert engine.touched() == [asked.stack for asked in engine.named("refresh")] == ["dev", "prod", "test"]
    assert not [asked for asked in engine.asked if "select" in asked.arguments]


def test_credentials_are_given_by_environment_and_no_secret_is_an_argument(engine: FakeEngine, folder: Path) -> None:
    subscriber = {"protocol": "https", "endpoint": ENDPOINT, "format": "raw"}
    write_stack(folder, "prod", 1, alerts={"subscribers": [subscriber]})
    given: list[str] = []

    def environment_of(target: Target) -> Mapping[str, str]:
        given.append(target.stack)
        return CREDENTIALS

    engine.stacks.remove("prod")
    stacks = fleet(engine, folder, environment_of)
    engine.would("prod", pre("create", TOPIC, "threat-monitor", None, {"endpoint": ENDPOINT}))
    stacks.preview(target(folder))
    engine.pending["prod"] = left_behind((TOPIC_URN, "creating"))
    stacks.update(target(folder))
    stacks.drift(target(folder))
    of_stack = [asked for asked in engine.asked if asked.stack]
    assert {asked.verb for asked in of_stack} >= {"stack init", "preview", "up", "refresh", "stack history"}
    assert all(asked.environment.items() >= CREDENTIALS.items() for asked in of_stack)
    assert set(given) == {"prod"}
    words = " ".join(word for asked in engine.asked for word in asked.arguments)
    assert [secret for secret in (*CREDENTIALS.values(), ENDPOINT) if secret in words] == []


def test_no_secret_is_decrypted_for_what_nobody_reads(engine: FakeEngine, folder: Path) -> None:
    fleet(engine, folder).update(target(folder))
    assert [asked.verb for asked in engine.asked] == ["stack ls", "stack export", "up", "stack history"]
    assert [asked for asked in engine.asked if "--show-secrets" in asked.arguments] == []


# -- previews and drift -----------------------------------------------------------------------------------------------


def test_the_folder_of_a_failed_preview_is_gone_too(engine: FakeEngine, folder: Path) -> None:
    engine.stacks.remove("prod")
    engine.fails("preview", "prod", "error: no valid credential sources found")
    preview = fleet(engine, folder).preview(target(folder))
    assert (preview.is_new, preview.error) == (True, "no valid credential sources found")
    assert not engine.named("preview")[0].folder.exists()


def test_a_stack_that_exists_is_previewed_where_it_is(engine: FakeEngine, folder: Path) -> None:
    engine.would("prod", says("warning", "careful"), pre("same", TOPIC, "topic", {}, {}))
    preview = fleet(engine, folder).preview(target(folder))
    assert preview[:3] == ("prod", "100000000001", "eu-west-1")
    assert ([change.op for change in preview.changes], preview.error, preview.is_new) == (["same"], None, False)
    assert preview.notes == ("careful",)
    [asked] = engine.named("preview")
    assert asked.folder == folder
    assert "PULUMI_BACKEND_URL" not in asked.environment
    assert engine.named("stack init") == []


def test_drift_is_a_refresh_that_changes_nothing(engine: FakeEngine, folder: Path) -> None:
    engine.would("prod", pre("refresh", TOPIC, "topic", {}, {}), done("delete", TOPIC, "topic", {}, {}))
    drift = fleet(engine, folder).drift(target(folder))
    assert drift[:3] == ("prod", "100000000001", "eu-west-1")
    assert ([change.op for change in drift.changes], drift.error, drift.is_new) == (["delete"], None, False)
    [asked] = engine.named("refresh")
    assert "--preview-only" in asked.arguments
    assert "--yes" not in asked.arguments


# -- failures ---------------------------------------------------------------------------------------------------------


Run = Callable[[Fleet, Target], str | None]
RUNS: Mapping[str, Run] = {
    "preview": lambda stacks, target: stacks.preview(target).error,
    "refresh": lambda stacks, target: stacks.drift(target).error,
    "up": lambda stacks, target: stacks.update(target).error,
}


@pytest.mark.parametrize("verb", RUNS)
def test_a_failure_is_what_the_engine_says(engine: FakeEngine, folder: Path, verb: str) -> None:
    engine.fails(verb, "prod", "error: no plugin\n  found")
    assert RUNS[verb](fleet(engine, folder), target(folder)) == "no plugin\n  found"


@pytest.mark.parametrize("verb", RUNS)
def test_diagnostics_say_more_than_what_the_engine_prints_at_the_end(
    engine: FakeEngine, folder: Path, verb: str
) -> None:
    engine.fails(verb, "prod", "error: update failed", says("error", "too many rules"), says("error", "another"))
    assert RUNS[verb](fleet(engine, folder), target(folder)) == "too many rules\nanother"


@pytest.mark.parametrize(
    "failure",
    [
        AwsError("Permission {action} is missing: no", "sts:AssumeRole", "AccessDenied", "no"),
        UsageError("CI's identity token cannot be read: no"),
    ],
)
@pytest.mark.parametrize("verb", RUNS)
def test_a_stack_without_credentials_fails_and_not_the_run(
    engine: FakeEngine, folder: Path, verb: str, failure: Exception
) -> None:
    def refused(_: Target) -> Mapping[str, str]:
        raise failure

    assert RUNS[verb](fleet(engine, folder, refused), target(folder)) == str(failure)
    assert engine.named(verb) == []


@pytest.mark.parametrize(("region", "ok"), [("eu-west-1", True), ("us-east-1", False)])
def test_a_stack_that_is_deployed_elsewhere_is_refused(engine: FakeEngine, folder: Path, region: str, ok: bool) -> None:
    deployed = {"outputs": {"arn": f"arn:aws:sns:{region}:100000000001:t"}}
    engine.would("prod", pre("same", TOPIC, "t", {}, {}, old_state=deployed))
    error = fleet(engine, folder).preview(target(folder)).error
    assert (error is None) == ok
    assert ok or f"The stack is deployed in 100000000001 {region}" in str(error)


# -- updates ----------------------------------------------------------------------------------------------------------


def test_an_update_counts_what_it_changed(engine: FakeEngine, folder: Path) -> None:
    engine.would(
        "prod",
        pre("create", TOPIC, "a", None, {}),
        pre("same", TOPIC, "b", {}, {}),
        pre("delete", TOPIC, "c", {}),
        says("warning", "something else"),
    )
    update = fleet(engine, folder).update(target(folder))
    assert update._replace(seconds=0) == ("prod", "updated", 0, 0, 2, None, ())
    assert update.seconds > 0
    [asked] = engine.named("up")
    assert {"--yes", "--skip-preview"} <= set(asked.arguments)
    assert asked.folder == folder
    assert repairs(engine) == ["up"]


# -- what a killed run leaves -----------------------------------------------------------------------------------------


def left_behind(*operations: tuple[str, str]) -> list[Mapping[str, Any]]:
    return [{"resource": {"urn": urn, "parent": f"{urn}-parent"}, "type": doing} for urn, doing in operations]


def repairs(engine: FakeEngine) -> list[str]:
    return [asked.verb for asked in engine.asked if asked.verb in ("up", "refresh", "import")]


def test_what_an_interrupted_creation_made_is_taken_over_and_what_cannot_be_found_is_forgotten(
    engine: FakeEngine, folder: Path
) -> None:
    looked_for: list[tuple[str, InterruptedOperation]] = []

    def find(target: Target, operation: InterruptedOperation) -> str | None:
        looked_for.append((target.stack, operation))
        return "/threat-monitor/prod/flow-logs" if operation.type == LOG_GROUP else None

    engine.pending["prod"] = left_behind((GROUP_URN, "creating"), (TOPIC_URN, "creating"))
    engine.would("prod", pre("create", TOPIC, "a", None, {}), pre("same", TOPIC, "b", {}, {}))
    update = fleet(engine, folder, lambda _: CREDENTIALS, find).update(target(folder))

    assert repairs(engine) == ["refresh", "import", "up"]
    of_stack = [asked for asked in engine.asked if asked.stack]
    assert all(asked.folder == folder and asked.environment.items() >= CREDENTIALS.items() for asked in of_stack)
    assert {asked.stack for asked in of_stack} == {"prod"}
    assert not any("--show-secrets" in asked.arguments for asked in engine.asked)
    assert looked_for == [
        ("prod", InterruptedOperation(urn, "creating", f"{urn}-parent")) for urn in (GROUP_URN, TOPIC_URN)
    ]
    assert (update.state, update.error, update.changed) == ("updated", None, 1)
    assert update.notes == (
        "an earlier run was interrupted while creating LogGroup threat-monitor: "
        "took over /threat-monitor/prod/flow-logs",
        "an earlier run was interrupted while creating Topic threat-monitor: what it made, if anything, is made again",
    )


def test_what_somebody_else_has_recorded_meanwhile_is_left_alone(engine: FakeEngine, folder: Path) -> None:
    engine.pending["prod"] = left_behind((GROUP_URN, "creating"))
    engine.recorded["prod"] = [GROUP_URN]
    update = fleet(engine, folder, find=lambda _, __: "/threat-monitor/prod/flow-logs").update(target(folder))
    assert repairs(engine) == ["refresh", "up"]
    assert update.state == "updated"


def test_a_repair_that_fails_fails_the_stack_before_anything_is_made(engine: FakeEngine, folder: Path) -> None:
    engine.pending["prod"] = left_behind((GROUP_URN, "creating"))
    engine.fails("refresh", "prod", "error: no such resource")
    update = fleet(engine, folder).update(target(folder))
    assert (update.state, update.error) == ("failed", "no such resource")
    assert repairs(engine) == ["refresh"]


def test_what_cannot_be_looked_up_is_not_made_a_second_time(engine: FakeEngine, folder: Path) -> None:
    def denied(_: Target, __: InterruptedOperation) -> str | None:
        raise AwsError("Permission {action} is missing: no", "logs:DescribeLogGroups", "AccessDenied", "no")

    engine.pending["prod"] = left_behind((GROUP_URN, "creating"))
    update = fleet(engine, folder, find=denied).update(target(folder))
    assert repairs(engine) == []
    assert update.state == "failed"
    assert update.error
    assert update.error.startswith("Nothing was changed: ")
    assert update.notes == (
        "an earlier run was interrupted while creating LogGroup threat-monitor: what it made, if anything, cannot be "
        "looked up: Permission logs:DescribeLogGroups is missing: no",
    )
