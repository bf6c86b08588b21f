import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from fleet.fake_engine import (
    LOG_GROUP,
    TOPIC,
    Asked,
    FakeEngine,
    Ran,
    pre,
    prepared,
    project,
    ran,
    says,
    write_stack,
)
from moto import mock_aws

from threatmon.cli.fleet import up as command
from threatmon.cli.fleet.up import up
from threatmon.errors import UsageError
from threatmon.fleet.dangers import KINDS
from threatmon.fleet.targets import FleetFaults

STACKS = tuple(f"s{number}" for number in range(8))
MADE = pre("create", TOPIC, "threat-monitor-topic", None, {"displayName": "a"})
KEPT = pre("same", TOPIC, "threat-monitor-topic", {"displayName": "a"}, {"displayName": "a"})
SHORTENED = pre("update", LOG_GROUP, "threat-monitor", {"retentionInDays": 365}, {"retentionInDays": 7})
PATIENCE = 30  # seconds; only a failing test takes as long


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return project(tmp_path, STACKS)


@pytest.fixture(autouse=True)
def engine(folder: Path, monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    """Eight stacks, each with one change: a canary, and waves of two, four and one."""
    return prepared(folder, monkeypatch, STACKS, [MADE, KEPT])


def run(*arguments: str, input: str | None = None) -> Ran:  # noqa: A002 - as CliRunner has it
    return ran(up, *arguments, input=input)


def told(*arguments: str, code: int = 0) -> list[dict[str, Any]]:
    """What a rollout tells, one thing after the other."""
    done = run("--yes", "--json", *arguments)
    assert done.code == code, done
    return [json.loads(line) for line in done.out.splitlines()]


def states(events: list[dict[str, Any]]) -> dict[str, str]:
    return {it["stack"]: it["state"] for it in events if it["event"] == "ended"}


# -- order ------------------------------------------------------------------------------------------------------------


def test_the_canary_goes_first_and_each_wave_waits_for_the_one_before(engine: FakeEngine) -> None:
    events = told("--canary", "s5")
    [planned] = [it["waves"] for it in events if it["event"] == "planned"]
    assert planned == [["s5"], ["s0", "s1"], ["s2", "s3", "s4", "s6"], ["s7"]]
    wave_of = {stack: number for number, wave in enumerate(planned) for stack in wave}
    assert engine.touched() == sorted(engine.touched(), key=wave_of.__getitem__)
    assert states(events) == dict.fromkeys(STACKS, "updated")
    order = [(it["event"], wave_of[it["stack"]]) for it in events if it["event"] in ("started", "ended")]
    assert [wave for _, wave in order] == sorted(wave for _, wave in order)


def test_every_stack_is_previewed_before_the_first_is_touched(engine: FakeEngine) -> None:
    run("--yes")
    verbs = [it.verb for it in engine.asked if it.verb in ("preview", "up")]
    assert verbs == ["preview"] * 8 + ["up"] * 8


def test_without_a_canary_the_first_by_name_is_it_and_growth_says_how_waves_grow(engine: FakeEngine) -> None:
    events = told("--growth", "3")
    assert [it["waves"] for it in events if it["event"] == "planned"] == [
        [["s0"], ["s1", "s2", "s3"], ["s4", "s5", "s6", "s7"]]
    ]
    assert engine.touched()[0] == "s0"


def test_as_many_as_allowed_are_under_way_at_a_time(engine: FakeEngine) -> None:
    together = Barrier(2)

    def meet(asked: Asked) -> None:
        if asked.stack in ("s1", "s2"):  # the first wave after the canary
            together.wait(PATIENCE)

    engine.when("up", meet)
    assert run("--yes", "--parallel", "2").code == 0
    assert not together.broken


# -- what blocks ------------------------------------------------------------------------------------------------------


def test_a_danger_blocks_before_anything_is_touched_and_names_what_allows_it(engine: FakeEngine) -> None:
    engine.would("s6", SHORTENED)
    done = run("--yes")
    assert done.code == 1
    assert engine.touched() == []
    assert engine.named("stack init") == []
    blocked = "Nothing was changed: dangerous changes. To let them through: --allow retention-shortened\n"
    assert done.err.endswith(blocked)
    assert "records are deleted after 7 days, instead of 365 days" in done.out
    assert run("--yes", "--allow", "retention-shortened").code == 0
    assert sorted(engine.touched()) == list(STACKS)


def test_every_kind_of_danger_is_to_be_allowed(engine: FakeEngine) -> None:
    engine.would("s6", SHORTENED)
    engine.would("s7", pre("delete", "aws:guardduty/detector:Detector", "threat-monitor", {"enable": True}))
    assert "--allow detector-deleted --allow retention-shortened\n" in run("--yes").err
    done = run("--yes", "--allow", "retention-shortened")
    assert done.code == 1
    assert done.err.endswith("To let them through: --allow detector-deleted\n")
    assert engine.touched() == []


def test_a_preview_that_fails_stops_everything(engine: FakeEngine) -> None:
    engine.fails("preview", "s6", "error: preview failed", says("error", "account 1 is not allowed"))
    done = run("--yes")
    assert done.code == 1
    assert "account 1 is not allowed" in done.out
    assert done.err.endswith("Nothing was changed: 1 of 8 previews failed.\n")
    assert engine.touched() == []


def test_json_says_why_nothing_was_done(engine: FakeEngine) -> None:
    engine.would("s6", SHORTENED)
    events = told(code=1)
    assert [it["reason"] for it in events if it["event"] == "stopped"] == [
        "Nothing was changed: dangerous changes. To let them through: --allow retention-shortened"
    ]
    [previewed] = [it for it in events if it["event"] == "previewed" and it["dangers"]]
    assert previewed["stack"] == "s6"
    assert [(it["kind"], it["resource"]) for it in previewed["dangers"]] == [("retention-shortened", "threat-monitor")]
    assert not {"planned", "started", "ended", "finished"} & {it["event"] for it in events}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--allow", "everything"], f"--allow everything: no such danger; there are {', '.join(KINDS)}."),
        (["--canary", "nobody"], f"--canary nobody: not among the stacks to update ({', '.join(STACKS)})."),
        (["--canary", "s5", "--stacks", "s[01]"], "--canary s5: not among the stacks to update (s0, s1)."),
    ],
)
def test_unknown_words_are_refused_before_the_engine_is_asked(
    engine: FakeEngine, arguments: list[str], message: str
) -> None:
    with pytest.raises(UsageError) as error:
        run("--yes", *arguments)
    assert str(error.value) == message
    assert engine.asked == []


def test_a_fault_in_a_stack_file_that_was_not_chosen_stops_everything(engine: FakeEngine, folder: Path) -> None:
    write_stack(folder, "s8", 0)
    with pytest.raises(FleetFaults, match="is claimed by 2 stacks"):
        run("--yes", "--stacks", "s1")
    assert engine.asked == []


# -- asking -----------------------------------------------------------------------------------------------------------


def test_without_a_terminal_nothing_happens_unless_it_is_told_to(engine: FakeEngine) -> None:
    with pytest.raises(UsageError, match=r"There is no terminal to ask on; --yes updates without asking\."):
        run(input="y\n")
    assert engine.asked == []


@pytest.mark.parametrize(("answer", "touched"), [("y\n", 8), ("n\n", 0), ("\n", 0)])
def test_on_a_terminal_it_asks(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch, answer: str, touched: int) -> None:
    monkeypatch.setattr(command, "sys", SimpleNamespace(stdin=SimpleNamespace(isatty=lambda: True)))
    if touched:
        done = run(input=answer)
        assert done.code == 0
        assert "Update 8 stack(s)? [y/N]" in done.err  # stdout may be JSON
    else:
        done = run(input=answer)
        assert done.code == 1
        assert done.err.endswith("Nothing was changed.\n")
    assert len(engine.touched()) == touched


def test_where_there_is_nothing_to_do_nobody_is_asked(engine: FakeEngine) -> None:
    for stack in STACKS:
        engine.would(stack, KEPT)
    done = run("--yes")
    assert done.code == 0
    assert done.out.endswith("8 unchanged.\n")
    assert engine.touched() == []


def test_without_stacks_there_is_nothing_to_update_and_no_engine_is_needed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in folder.glob("Pulumi.*.yaml"):
        path.unlink()
    monkeypatch.setattr("threatmon.cli.fleet.previews.Engine", lambda: pytest.fail("an engine is looked for"))
    assert run("--yes") == (0, "No stack to update.\n", "")
    [finished] = told()
    assert (finished["event"], finished["updated"], finished["not_started"]) == ("finished", 0, 0)


def test_after_a_killed_run_stacks_that_were_complete_are_looked_at_for_its_locks(engine: FakeEngine) -> None:
    for stack in STACKS[1:]:
        engine.would(stack, KEPT)
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    locked = (
        "error: the stack is currently locked by 1 lock(s).\n  file:///state/a.json: "
        f"created by ada@{socket.gethostname()} (pid {process.pid}) at 2026-09-14T09:30:00Z"
    )
    engine.fails("up", "s0", locked)
    engine.fails("up", "s5", locked)
    events = told()
    assert states(events) == {"s0": "updated", "s5": "unchanged"}
    assert [it.stack for it in engine.named("cancel")] == ["s0", "s5"]
    assert (events[-1]["updated"], events[-1]["unchanged"]) == (1, 7)


# -- failures and going on --------------------------------------------------------------------------------------------


def test_a_failing_canary_leaves_all_others_untouched(engine: FakeEngine) -> None:
    engine.fails("up", "s0", "error: update failed", says("error", "too many rules"))
    events = told(code=1)
    assert states(events) == {"s0": "failed"} | dict.fromkeys(STACKS[1:], "not started")
    assert [it["error"] for it in events if it["event"] == "ended" and it["error"]] == ["too many rules"]
    assert engine.touched() == ["s0"]


def test_a_failure_in_a_wave_leaves_later_waves_untouched_and_the_next_run_goes_on(engine: FakeEngine) -> None:
    engine.fails("up", "s1", "error: it fails")
    events = told("--parallel", "1", code=1)
    assert states(events) == {
        "s0": "updated",
        "s1": "failed",
        **dict.fromkeys(("s2", "s3", "s4", "s5", "s6", "s7"), "not started"),
    }
    assert engine.touched() == ["s0", "s1"]
    assert {k: events[-1][k] for k in ("event", "updated", "unchanged", "failed", "not_started")} == {
        "event": "finished",
        "updated": 1,
        "unchanged": 0,
        "failed": 1,
        "not_started": 6,
    }

    engine.asked.clear()
    events = told("--parallel", "1")
    assert states(events) == dict.fromkeys(STACKS[1:], "updated")
    assert engine.touched() == list(STACKS[1:])
    assert (events[-1]["updated"], events[-1]["unchanged"]) == (7, 1)

    engine.asked.clear()
    assert states(told()) == {}
    assert engine.touched() == []


def test_what_is_under_way_beside_a_failure_is_finished(engine: FakeEngine) -> None:
    both = Barrier(2)

    def meet(asked: Asked) -> None:
        if asked.stack in ("s1", "s2"):
            both.wait(PATIENCE)

    engine.when("up", meet)
    engine.fails("up", "s1", "error: it fails")
    found = states(told("--parallel", "2", code=1))
    assert {it: found[it] for it in ("s0", "s1", "s2", "s3")} == {
        "s0": "updated",
        "s1": "failed",
        "s2": "updated",
        "s3": "not started",
    }


def test_a_canary_that_is_up_to_date_is_replaced_by_the_first_that_is_not(engine: FakeEngine) -> None:
    engine.would("s5", KEPT)
    events = told("--canary", "s5")
    [planned] = [it["waves"] for it in events if it["event"] == "planned"]
    assert planned[0] == ["s0"]
    assert "s5" not in engine.touched()


def test_a_new_stack_is_created_and_updated_even_where_it_would_have_nothing(engine: FakeEngine) -> None:
    engine.stacks.remove("s3")
    engine.would("s3")
    assert states(told("--stacks", "s3")) == {"s3": "updated"}
    assert [it.stack for it in engine.named("stack init") if "PULUMI_BACKEND_URL" not in it.environment] == ["s3"]
    assert "s3" in engine.stacks


def press(times: int) -> Callable[[Asked], None]:
    """Ctrl-C while the canary is under way."""

    def interrupt(asked: Asked) -> None:
        if asked.stack == "s0":
            # Python runs the handler in the main thread, whichever thread gets the signal.
            handler: Any = signal.getsignal(signal.SIGINT)
            for _ in range(times):
                handler(signal.SIGINT, None)

    return interrupt


@pytest.mark.parametrize(("times", "interrupted"), [(1, 0), (2, 1)])
def test_ctrl_c_finishes_what_is_under_way_and_a_second_one_interrupts_it(
    engine: FakeEngine, times: int, interrupted: int
) -> None:
    engine.when("up", press(times))
    done = run("--yes")
    assert done.code == 1
    assert "Stopping: what is under way is finished first." in done.err
    assert engine.interrupted == interrupted
    assert ("Interrupting what is under way" in done.err) is bool(interrupted)
    assert engine.touched() == ["s0"]
    assert done.out.endswith("1 updated, 7 not started. Run the same command again to go on.\n")
    engine.asked.clear()
    engine.listeners.clear()
    assert run("--yes").code == 0
    assert sorted(engine.touched()) == list(STACKS[1:])


def test_what_a_killed_run_left_is_told(engine: FakeEngine) -> None:
    since = (datetime.now(UTC) - timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M:%SZ")
    lock = f"error: the stack is currently locked by 1 lock(s).\n  a.json: created by ada@ci-7 (pid 12) at {since}"
    for _ in range(2):
        engine.fails("up", "s0", lock)
    note = r"cleared the lock of a run that is gone: ada@ci-7 \(process 12\) since "
    assert re.search(note, run("--yes", "--stacks", "s0").out)
    assert [it.stack for it in engine.named("cancel")] == ["s0", "s0"]


@pytest.mark.parametrize(("minutes", "code"), [("110", 0), ("130", 1)])
def test_how_old_a_lock_must_be_can_be_said(engine: FakeEngine, minutes: str, code: int) -> None:
    since = (datetime.now(UTC) - timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M:%SZ")
    lock = f"error: the stack is currently locked by 1 lock(s).\n  a.json: created by ada@ci-7 (pid 12) at {since}"
    engine.fails("up", "s0", lock)
    done = run("--yes", "--stacks", "s0", "--stale-after", minutes)
    assert done.code == code
    assert ("somebody else is updating the stack: ada@ci-7" in done.out) is bool(code)


# -- what is told -----------------------------------------------------------------------------------------------------


def test_the_summary_is_a_table_of_all_stacks(engine: FakeEngine) -> None:
    engine.would("s7", KEPT)
    engine.fails("up", "s1", "error: first line\nsecond line")
    done = run("--yes", "--parallel", "1")
    rows = [re.sub(r"[│┃|]", " ", line).split() for line in done.out.splitlines()]
    assert ["wave", "stack", "state", "changes", "seconds"] in rows
    assert ["canary", "s0", "updated", "1", "0.0"] in [[*it[:4], "0.0"] for it in rows if len(it) == 5]
    assert ["1", "s1", "failed"] in rows
    assert ["1", "s2", "not", "started"] in rows
    assert ["-", "s7", "unchanged"] in rows
    assert "    first line\n    second line\n" in done.out
    assert "Canary: s0\nWave 1: s1, s2\nWave 2: s3, s4, s5, s6\n" in done.out
    assert done.out.endswith("1 updated, 1 unchanged, 1 failed, 5 not started. Run the same command again to go on.\n")


def test_each_line_of_json_has_a_time_and_an_event(engine: FakeEngine) -> None:
    engine.would("s1", KEPT, says("warning", "careful"))
    before = datetime.now(UTC)
    events = told("--stacks", "s0,s1", "--parallel", "1")
    assert [it["event"] for it in events] == ["previewed", "previewed", "planned", "started", "ended", "finished"]
    times = [datetime.fromisoformat(it["time"]) for it in events]
    assert times == sorted(times)
    assert before <= times[0] <= times[-1] <= datetime.now(UTC)
    first, second, planned, started, ended, finished = ({k: v for k, v in it.items() if k != "time"} for it in events)
    nothing = {"event": "previewed", "new": False, "dangers": [], "error": None}
    assert first == nothing | {"stack": "s0", "changes": 1, "notes": []}
    assert second == nothing | {"stack": "s1", "changes": 0, "notes": ["careful"]}
    assert planned == {"event": "planned", "waves": [["s0"]]}
    assert started == {"event": "started", "stack": "s0"}
    assert ended.pop("seconds") > 0
    assert ended == {
        "event": "ended",
        "stack": "s0",
        "state": "updated",
        "wave": 0,
        "changed": 1,
        "error": None,
        "notes": [],
    }
    counts = {"updated": 1, "unchanged": 1, "failed": 0, "not_started": 0}
    assert finished == {"event": "finished", **counts}


def test_markup_in_names_and_errors_is_printed_as_it_is(engine: FakeEngine) -> None:
    engine.fails("up", "s0", "error: [bold]no[/bold] [/] such thing")
    done = run("--yes", "--stacks", "s0")
    assert done.code == 1
    assert "    [bold]no[/bold] [/] such thing\n" in done.out


def test_the_permissions_are_those_to_look_for_what_was_made() -> None:
    assert "logs:DescribeLogGroups" in command.PERMISSIONS


def test_with_a_role_its_credentials_are_in_the_environment_of_every_command_and_in_no_argument(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ambient")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "ambient")
    with mock_aws():
        done = run("--yes", "--stacks", "s2", "--role", "deployer")
        [updated] = engine.named("up")
        session = boto3.Session(
            aws_access_key_id=updated.environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=updated.environment["AWS_SECRET_ACCESS_KEY"],
            aws_session_token=updated.environment["AWS_SESSION_TOKEN"],
            region_name="eu-west-1",
        )
        arn = session.client("sts").get_caller_identity()["Arn"]
    assert arn == "arn:aws:sts::100000000002:assumed-role/deployer/threatmon"
    given = {it.environment[name] for it in engine.asked if it.stack for name in it.environment if "SECRET" in name}
    assert given
    assert done.code == 0
    printed = " ".join([done.out, done.err, *(word for it in engine.asked for word in it.arguments)])
    assert [it for it in given if it in printed] == []
