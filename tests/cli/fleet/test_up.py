import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from conftest import CommandResult, RunCommand
from fleet.fake_engine import LOG_GROUP, TOPIC, Asked, FakeEngine, locked, pre, prepared, project, says, write_stack
from fleet.turnstile import PATIENCE
from scripted_account import ScriptedAccount

from threatmon.cli.fleet import up as command
from threatmon.fleet.dangers import KINDS
from threatmon.fleet.processes import ProcessRecords

STACKS = tuple(f"s{number}" for number in range(8))
MADE = pre("create", TOPIC, "threat-monitor-topic", None, {"displayName": "a"})
KEPT = pre("same", TOPIC, "threat-monitor-topic", {"displayName": "a"}, {"displayName": "a"})
SHORTENED = pre("update", LOG_GROUP, "threat-monitor", {"retentionInDays": 365}, {"retentionInDays": 7})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return project(tmp_path, STACKS)


@pytest.fixture(autouse=True)
def engine(folder: Path, monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    """Eight stacks, each with one change: a canary, and waves of two, four and one."""
    return prepared(folder, monkeypatch, STACKS, [MADE, KEPT])


Events = list[dict[str, Any]]
Up = Callable[..., CommandResult]
RunEvents = Callable[..., Events]


@pytest.fixture
def up(threatmon: RunCommand) -> Up:
    """`threatmon fleet up --yes` with further options."""
    return lambda *options: threatmon("fleet", "up", "--yes", *options)


@pytest.fixture
def events(up: Up) -> RunEvents:
    """The events of a rollout."""

    def run(*options: str, code: int = 0) -> Events:
        done = up("-o", "json", *options)
        assert done.code == code, done
        return [json.loads(line) for line in done.out.splitlines()]

    return run


def states(events: Events) -> dict[str, str]:
    return {event["stack"]: event["state"] for event in events if event["event"] == "ended"}


def planned(events: Events) -> list[list[str]]:
    return next(event["waves"] for event in events if event["event"] == "planned")


# -- order ------------------------------------------------------------------------------------------------------------


def test_every_stack_is_previewed_and_then_each_wave_waits_for_the_one_before(
    engine: FakeEngine, events: RunEvents
) -> None:
    happened = events("--canary", "s5")
    waves = planned(happened)
    assert waves == [["s5"], ["s0", "s1"], ["s2", "s3", "s4", "s6"], ["s7"]]
    wave_of = {stack: number for number, wave in enumerate(waves) for stack in wave}
    assert engine.touched() == sorted(engine.touched(), key=wave_of.__getitem__)
    assert states(happened) == dict.fromkeys(STACKS, "updated")
    order = [wave_of[event["stack"]] for event in happened if event["event"] in ("started", "ended")]
    assert order == sorted(order)
    verbs = [asked.verb for asked in engine.asked if asked.verb in ("preview", "up")]
    assert verbs == ["preview"] * 8 + ["up"] * 8


def test_without_a_canary_the_first_by_name_is_it_and_growth_says_how_waves_grow(events: RunEvents) -> None:
    assert planned(events("--growth", "3")) == [["s0"], ["s1", "s2", "s3"], ["s4", "s5", "s6", "s7"]]


def test_a_canary_that_is_up_to_date_is_replaced_by_the_first_that_is_not(
    engine: FakeEngine, events: RunEvents
) -> None:
    engine.would("s5", KEPT)
    assert planned(events("--canary", "s5"))[0] == ["s0"]
    assert "s5" not in engine.touched()


def test_a_new_stack_is_created_and_updated_even_if_it_would_have_nothing(
    engine: FakeEngine, events: RunEvents
) -> None:
    engine.stacks.remove("s3")
    engine.would("s3")
    assert states(events("--stacks", "s3")) == {"s3": "updated"}
    assert "s3" in engine.stacks


# -- what blocks ------------------------------------------------------------------------------------------------------


def test_every_kind_of_danger_blocks_before_anything_is_touched_until_it_is_allowed(engine: FakeEngine, up: Up) -> None:
    engine.would("s6", SHORTENED)
    engine.would("s7", pre("delete", "aws:guardduty/detector:Detector", "threat-monitor", {"enable": True}))
    done = up()
    assert done.code == 1
    assert done.err.endswith(
        "Nothing was changed: dangerous changes. "
        "To let them through: --allow detector-deleted --allow retention-shortened\n"
    )
    assert "records are deleted after 7 days, instead of 365 days" in done.out
    done = up("--allow", "retention-shortened")
    assert (done.code, engine.touched(), engine.named("stack init")) == (1, [], [])
    assert done.err.endswith("To let them through: --allow detector-deleted\n")
    assert up("--allow", "retention-shortened", "--allow", "detector-deleted").code == 0
    assert sorted(engine.touched()) == list(STACKS)


def test_a_preview_that_fails_stops_everything(engine: FakeEngine, up: Up) -> None:
    engine.fails("preview", "s6", "error: preview failed", says("error", "account 1 is not allowed"))
    done = up()
    assert done.code == 1
    assert "account 1 is not allowed" in done.out
    assert done.err.endswith("Nothing was changed: 1 of 8 previews failed.\n")
    assert engine.touched() == []


def test_json_says_why_nothing_was_done(engine: FakeEngine, events: RunEvents) -> None:
    engine.would("s6", SHORTENED)
    happened = events(code=1)
    assert [event["reason"] for event in happened if event["event"] == "stopped"] == [
        "Nothing was changed: dangerous changes. To let them through: --allow retention-shortened"
    ]
    [previewed] = [event for event in happened if event["event"] == "previewed" and event["dangers"]]
    [danger] = previewed["dangers"]
    assert (previewed["stack"], danger["kind"], danger["resource"]) == ("s6", "retention-shortened", "threat-monitor")
    assert not {"planned", "started", "ended", "finished"} & {event["event"] for event in happened}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--allow", "everything"], f"--allow everything: no such danger; there are {', '.join(KINDS)}."),
        (["--canary", "nobody"], f"--canary nobody: not among the stacks to update ({', '.join(STACKS)})."),
        (["--canary", "s5", "--stacks", "s[01]"], "--canary s5: not among the stacks to update (s0, s1)."),
    ],
)
def test_unknown_words_are_refused_before_the_engine_is_asked(
    engine: FakeEngine, up: Up, options: list[str], message: str
) -> None:
    assert up(*options) == (2, "", f"{message}\n")
    assert engine.asked == []


def test_a_fault_in_a_stack_file_that_was_not_chosen_stops_everything(engine: FakeEngine, folder: Path, up: Up) -> None:
    write_stack(folder, "s8", 0)
    done = up("--stacks", "s1")
    assert done.code == 2
    assert "is claimed by 2 stacks" in done.err
    assert engine.asked == []


# -- asking -----------------------------------------------------------------------------------------------------------


def test_without_a_terminal_nothing_happens_without_yes(engine: FakeEngine, threatmon: RunCommand) -> None:
    message = "There is no terminal for the confirmation; use --yes to update without it.\n"
    assert threatmon("fleet", "up", stdin="y\n") == (2, "", message)
    assert engine.asked == []


@pytest.mark.parametrize(("answer", "touched"), [("y\n", 8), ("n\n", 0), ("\n", 0)])
def test_on_a_terminal_it_asks(engine: FakeEngine, threatmon: RunCommand, answer: str, touched: int) -> None:
    done = threatmon("fleet", "up", stdin=answer, terminal=True)
    assert done.code == (0 if touched else 1)
    assert "Update 8 stack(s)? [y/N]" in done.err  # stdout may be JSON
    assert done.err.endswith("Nothing was changed.\n") is not bool(touched)
    assert len(engine.touched()) == touched


def test_if_there_is_nothing_to_do_nobody_is_asked(engine: FakeEngine, threatmon: RunCommand) -> None:
    for stack in STACKS:
        engine.would(stack, KEPT)
    done = threatmon("fleet", "up", terminal=True)
    assert done.code == 0
    assert done.out.endswith("\n8 unchanged.\n")
    assert engine.touched() == []


def test_without_stacks_there_is_nothing_to_update_and_no_engine_is_needed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, up: Up, events: RunEvents
) -> None:
    for path in folder.glob("Pulumi.*.yaml"):
        path.unlink()
    monkeypatch.setattr("threatmon.cli.fleet.previews.Engine", lambda: pytest.fail("an engine is looked for"))
    assert up() == (0, "No stack to update.\n", "")
    [finished] = events()
    assert (finished["event"], finished["updated"], finished["not_started"]) == ("finished", 0, 0)


# -- failures and going on --------------------------------------------------------------------------------------------


def test_a_failing_canary_leaves_all_others_untouched(engine: FakeEngine, events: RunEvents) -> None:
    engine.fails("up", "s0", "error: update failed", says("error", "too many rules"))
    happened = events(code=1)
    assert states(happened) == {"s0": "failed"} | dict.fromkeys(STACKS[1:], "not started")
    assert [event["error"] for event in happened if event["event"] == "ended" and event["error"]] == ["too many rules"]
    assert engine.touched() == ["s0"]


def test_a_failure_in_a_wave_leaves_later_waves_untouched_and_the_next_run_goes_on(
    engine: FakeEngine, events: RunEvents
) -> None:
    engine.fails("up", "s1", "error: it fails")
    happened = events("--parallel", "1", code=1)
    assert states(happened) == {"s0": "updated", "s1": "failed"} | dict.fromkeys(STACKS[2:], "not started")
    assert engine.touched() == ["s0", "s1"]
    counts = {"updated": 1, "unchanged": 0, "failed": 1, "not_started": 6}
    assert happened[-1] | {"time": ""} == {"time": "", "event": "finished", **counts}

    engine.asked.clear()
    happened = events("--parallel", "1")
    assert states(happened) == dict.fromkeys(STACKS[1:], "updated")
    assert engine.touched() == list(STACKS[1:])
    assert (happened[-1]["updated"], happened[-1]["unchanged"]) == (7, 1)

    engine.asked.clear()
    assert states(events()) == {}
    assert engine.touched() == []


def test_what_is_under_way_beside_a_failure_is_finished(engine: FakeEngine, events: RunEvents) -> None:
    both = Barrier(2)

    def meet(asked: Asked) -> None:
        if asked.stack in ("s1", "s2"):
            both.wait(PATIENCE)

    engine.when("up", meet)
    engine.fails("up", "s1", "error: it fails")
    found = states(events("--parallel", "2", code=1))
    assert [found[stack] for stack in STACKS[:4]] == ["updated", "failed", "updated", "not started"]


@pytest.mark.parametrize(("times", "interrupted"), [(1, 0), (2, 1)])
def test_ctrl_c_finishes_what_is_under_way_and_a_second_one_interrupts_it(
    engine: FakeEngine, up: Up, times: int, interrupted: int
) -> None:
    def press(asked: Asked) -> None:
        if asked.stack == "s0":
            # Python runs the handler in the main thread, whichever thread gets the signal.
            handler: Any = signal.getsignal(signal.SIGINT)
            for _ in range(times):
                handler(signal.SIGINT, None)

    engine.when("up", press)
    done = up()
    assert done.code == 1
    assert "Stopping after the stacks in progress." in done.err
    assert engine.interrupted == interrupted
    assert ("Interrupting the stacks in progress" in done.err) is bool(interrupted)
    assert engine.touched() == ["s0"]
    assert done.out.endswith("\n1 updated, 7 not started. Run the same command again to continue.\n")
    engine.asked.clear()
    engine.listeners.clear()
    assert up().code == 0
    assert sorted(engine.touched()) == list(STACKS[1:])


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="nothing is proved without /proc")
def test_after_a_killed_run_stacks_that_were_complete_are_looked_at_for_its_locks(
    engine: FakeEngine, events: RunEvents, tmp_path: Path
) -> None:
    for stack in STACKS[1:]:
        engine.would(stack, KEPT)
    engine.records = ProcessRecords(tmp_path / "records")
    for stack in ("s0", "s5"):  # an engine each, as a lock that is cleared is no proof any more
        with subprocess.Popen([sys.executable, "-c", ""]) as process:
            engine.records.add(process.pid)
            process.wait()
        engine.fails("up", stack, locked(socket.gethostname(), process.pid, timedelta()))
    happened = events()
    assert states(happened) == {"s0": "updated", "s5": "unchanged"}
    assert [asked.stack for asked in engine.named("cancel")] == ["s0", "s5"]
    assert (happened[-1]["updated"], happened[-1]["unchanged"]) == (1, 7)


def test_the_lock_of_another_machine_fails_its_stack_which_names_the_holder_and_what_clears_it(
    engine: FakeEngine, up: Up
) -> None:
    engine.fails("up", "s0", locked("ci-7", 12, timedelta(hours=2)))
    done = up("--stacks", "s0")
    assert done.code == 1
    assert "    Stack s0 is locked: ada@ci-7 (process 12) since " in done.out
    assert "pulumi cancel --stack s0 --yes" in done.out
    assert engine.named("cancel") == []


# -- what is printed --------------------------------------------------------------------------------------------------


def test_the_summary_is_a_table_of_all_stacks(engine: FakeEngine, up: Up) -> None:
    engine.would("s7", KEPT)
    engine.fails("up", "s1", "error: first line\nsecond line")
    out = up("--parallel", "1").out
    rows = [line.split() for line in out.splitlines()]
    assert ["Wave", "Stack", "State", "Changes", "Seconds"] in rows
    assert ["canary", "s0", "updated", "1"] in [row[:4] for row in rows]
    assert ["1", "s1", "failed"] in rows
    assert ["1", "s2", "not", "started"] in rows
    assert ["-", "s7", "unchanged"] in rows
    assert "    first line\n    second line\n" in out
    assert "Canary: s0\nWave 1: s1, s2\nWave 2: s3, s4, s5, s6\n" in out
    assert out.endswith("\n1 updated, 1 unchanged, 1 failed, 5 not started. Run the same command again to continue.\n")


def test_each_line_of_json_has_a_time_and_an_event(engine: FakeEngine, events: RunEvents) -> None:
    engine.would("s1", KEPT, says("warning", "careful"))
    before = datetime.now(UTC)
    happened = events("--stacks", "s0,s1", "--parallel", "1")
    times = [datetime.fromisoformat(event.pop("time")) for event in happened]
    assert times == sorted(times)
    assert before <= times[0] <= times[-1] <= datetime.now(UTC)
    previewed = {"event": "previewed", "new": False, "dangers": [], "error": None}
    assert happened[4].pop("seconds") > 0
    assert happened == [
        previewed | {"stack": "s0", "changes": 1, "notes": []},
        previewed | {"stack": "s1", "changes": 0, "notes": ["careful"]},
        {"event": "planned", "waves": [["s0"]]},
        {"event": "started", "stack": "s0"},
        {
            "event": "ended",
            "stack": "s0",
            "state": "updated",
            "wave": 0,
            "changed": 1,
            "error": None,
            "notes": [],
        },
        {"event": "finished", "updated": 1, "unchanged": 1, "failed": 0, "not_started": 0},
    ]


def test_markup_in_errors_is_printed_as_it_is(engine: FakeEngine, up: Up) -> None:
    engine.fails("up", "s0", "error: [bold]no[/bold] [/] such thing")
    done = up("--stacks", "s0")
    assert done.code == 1
    assert "    [bold]no[/bold] [/] such thing\n" in done.out


def test_with_a_role_its_credentials_are_in_the_environment_of_every_command_and_in_no_argument(
    engine: FakeEngine, scripted: ScriptedAccount, up: Up
) -> None:
    done = up("--stacks", "s2", "--role", "deployer")
    assert (done.code, set(scripted.calls)) == (0, {"sts:AssumeRole"})
    given = [asked.environment["AWS_SECRET_ACCESS_KEY"] for asked in engine.asked if asked.stack]
    assert len(given) == len([asked for asked in engine.asked if asked.stack]) > 1
    printed = " ".join([done.out, done.err, *(word for asked in engine.asked for word in asked.arguments)])
    assert [secret for secret in given if secret in printed] == []


def test_the_permissions_are_those_to_look_for_what_was_made() -> None:
    assert "logs:DescribeLogGroups" in command.PERMISSIONS
