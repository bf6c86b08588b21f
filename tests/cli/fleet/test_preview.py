import json
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import boto3
import pytest
from conftest import RunCommand
from fleet.fake_engine import LOG_GROUP, TOPIC, FakeEngine, pre, prepared, project, says
from moto import mock_aws

STACKS = ("dev", "prod", "test")
OUTPUTS = ("text", "markdown", "json", "html")
RENAMED = pre("update", TOPIC, "threat-monitor-topic", {"displayName": "a"}, {"displayName": "b"})
KEPT = pre("same", TOPIC, "threat-monitor-topic", {"displayName": "a"}, {"displayName": "a"})
SHORTENED = pre("update", LOG_GROUP, "threat-monitor", {"retentionInDays": 365}, {"retentionInDays": 7})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return project(tmp_path, STACKS)


@pytest.fixture(autouse=True)
def engine(folder: Path, monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    """Three stacks without changes."""
    return prepared(folder, monkeypatch, STACKS, [KEPT])


@pytest.fixture
def run(threatmon: RunCommand) -> RunCommand:
    return lambda *arguments, **options: threatmon("fleet", "preview", *arguments, **options)


def test_equal_changes_are_shown_once_with_the_stacks_that_have_them(run: RunCommand, engine: FakeEngine) -> None:
    for stack in ("dev", "test"):
        engine.would(stack, RENAMED)
    done = run()
    assert done.code == 0
    assert done.out.startswith("3 stacks: 2 would change, 1 stays the same\n")
    assert "The same change in 2 stacks\n---------------------------\ndev, test\n" in done.out
    assert done.out.count('displayName: "a" -> "b"') == 1
    assert sorted(asked.stack for asked in engine.named("preview")) == ["dev", "prod", "test"]


def test_nothing_is_changed_by_it(run: RunCommand, engine: FakeEngine, folder: Path) -> None:
    engine.stacks.remove("test")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert "1 would be created" in run().out
    assert {asked.verb for asked in engine.asked if asked.folder == folder} == {"stack ls", "preview"}
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("output", OUTPUTS)
def test_a_preview_that_fails_is_in_the_report_and_in_the_exit_code(
    run: RunCommand, engine: FakeEngine, output: str
) -> None:
    engine.would("dev", RENAMED)
    engine.fails("preview", "prod", "error: preview failed", says("error", "no such subnet: subnet-1"))
    done = run("--output", output)
    assert done.code == 1
    assert "3 stacks: 1 would change, 1 stays the same, 1 failed" in done.out
    assert "no such subnet: subnet-1" in done.out
    assert "displayName" in done.out


@pytest.mark.parametrize("output", OUTPUTS)
def test_stacks_without_a_file_are_named_whichever_are_chosen(
    run: RunCommand, folder: Path, tmp_path: Path, output: str
) -> None:
    (folder / "Pulumi.prod.yaml").unlink()
    done = run("--stacks", "dev", "--output", output)
    assert done.code == 0
    assert "2 stacks: 1 stays the same, 1 without a stack file" in done.out
    assert "There is no Pulumi." in done.out
    first, second = shard(run, tmp_path / "1.json", "dev"), shard(run, tmp_path / "2.json", "test")
    together = run("--from", first, "--from", second, "--output", output)
    assert "3 stacks: 2 stay the same, 1 without a stack file" in together.out


def test_only_the_chosen_stacks_are_previewed(run: RunCommand, engine: FakeEngine) -> None:
    assert run("--stacks", "prod,de*").out.startswith("2 stacks: 2 stay the same")
    assert sorted(asked.stack for asked in engine.named("preview")) == ["dev", "prod"]


def test_without_stacks_there_is_nothing_to_preview_and_no_engine_is_needed(
    run: RunCommand, folder: Path, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in folder.glob("Pulumi.*.yaml"):
        path.unlink()
    monkeypatch.setattr("threatmon.cli.fleet.previews.Engine", lambda: pytest.fail("an engine is looked for"))
    assert run() == (0, "0 stacks\n", "")
    assert json.loads(run("--output", "json").out)["stacks"] == []
    assert engine.asked == []


def test_progress_is_apart_from_the_report(run: RunCommand, engine: FakeEngine) -> None:
    engine.fails("preview", "prod")
    done = run("--parallel", "1")
    assert done.err.splitlines() == [
        "Previewed 1 of 3: dev",
        "Previewed 2 of 3: prod: failed",
        "Previewed 3 of 3: test",
    ]
    assert "Previewed" not in done.out


@pytest.mark.parametrize(("times", "interrupted"), [(1, 0), (2, 1)])
def test_interrupted_it_begins_no_more_and_interrupted_again_it_interrupts_the_engines(
    run: RunCommand, engine: FakeEngine, times: int, interrupted: int
) -> None:
    def interrupt(_: object) -> None:
        # Python runs the handler in the main thread, whichever thread gets the signal.
        handler: Any = signal.getsignal(signal.SIGINT)
        for _ in range(times):
            handler(signal.SIGINT, None)

    engine.when("preview", interrupt)
    done = run("--parallel", "1")
    assert (done.code, done.out) == (2, "")
    assert "Interrupted; nothing was changed." in done.err
    assert [asked.stack for asked in engine.named("preview")] == ["dev"]
    assert engine.interrupted == interrupted


def test_a_backend_that_cannot_be_asked_is_named_once(run: RunCommand, engine: FakeEngine) -> None:
    for _ in STACKS:
        engine.fails("stack ls", "", "error: no credentials for s3://state")
    done = run("--parallel", "1")
    assert done.code == 2
    assert done.err.count("The stacks cannot be listed: no credentials for s3://state") == 1
    assert engine.named("preview") == []


# -- roles ------------------------------------------------------------------------------------------------------------


def test_with_a_role_each_engine_gets_the_role_s_credentials_of_its_account(
    run: RunCommand, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ambient")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "ambient")
    with mock_aws():
        assert run("--role", "preview").code == 0
        identities: dict[str, str] = {}
        for asked in engine.named("preview"):
            assert asked.environment["AWS_PROFILE"] == ""
            session = boto3.Session(
                aws_access_key_id=asked.environment["AWS_ACCESS_KEY_ID"],
                aws_secret_access_key=asked.environment["AWS_SECRET_ACCESS_KEY"],
                aws_session_token=asked.environment["AWS_SESSION_TOKEN"],
                region_name="eu-west-1",
            )
            identities[asked.stack] = session.client("sts").get_caller_identity()["Arn"]
    assert identities == {
        stack: f"arn:aws:sts::10000000000{number}:assumed-role/preview/threatmon" for number, stack in enumerate(STACKS)
    }


def test_without_a_role_the_engine_has_the_run_s_own_credentials(run: RunCommand, engine: FakeEngine) -> None:
    run()
    names = {name for asked in engine.named("preview") for name in asked.environment}
    assert not {name for name in names if name.startswith("AWS_")}


# -- putting shards together ------------------------------------------------------------------------------------------


def shard(run: RunCommand, file: Path, *stacks: str) -> str:
    file.write_text(run("--output", "json", "--stacks", ",".join(stacks)).out, encoding="utf-8")
    return str(file)


def test_shards_are_put_together_as_if_one_run_had_made_them(
    run: RunCommand, engine: FakeEngine, tmp_path: Path
) -> None:
    engine.would("dev", RENAMED, says("warning", "careful"))
    engine.would("test", RENAMED, SHORTENED)
    whole = [run("--output", output).out for output in OUTPUTS]
    first, second = shard(run, tmp_path / "1.json", "dev", "prod"), shard(run, tmp_path / "2.json", "test")
    asked = len(engine.asked)
    together = [run("--output", output, "--from", second, "--from", first) for output in OUTPUTS]
    assert together == [(0, out, "") for out in whole]
    assert len(engine.asked) == asked


def test_a_failure_in_a_shard_fails_the_whole(run: RunCommand, engine: FakeEngine, tmp_path: Path) -> None:
    first = shard(run, tmp_path / "1.json", "dev")
    engine.fails("preview", "prod", "error: it fails")
    second = shard(run, tmp_path / "2.json", "prod")
    done = run("--output", "markdown", "--from", first, "--from", second)
    assert done.code == 1
    assert "it fails" in done.out


@pytest.mark.parametrize("output", OUTPUTS)
def test_a_missing_shard_fails_the_whole_and_its_stacks_are_named(
    run: RunCommand, threatmon: RunCommand, tmp_path: Path, output: str
) -> None:
    matrix = tmp_path / "matrix.json"
    matrix.write_text(threatmon("fleet", "matrix", "--shards", "2").out, encoding="utf-8")
    first, second = shard(run, tmp_path / "1.json", "dev", "test"), shard(run, tmp_path / "2.json", "prod")
    done = run("--from", second, "--expect", str(matrix), "--output", output)
    assert done.code == 1
    assert "3 stacks: 1 stays the same, 2 failed" in done.out
    assert "There is no report on it" in done.out
    assert "dev" in done.out
    assert run("--from", first, "--from", second, "--expect", str(matrix)).code == 0


@pytest.mark.parametrize("content", ["", "[]", '{"include": [{}]}', '{"include": [{"stacks": 1}]}'])
def test_what_is_no_matrix_is_refused_by_name(run: RunCommand, tmp_path: Path, content: str) -> None:
    first, matrix = shard(run, tmp_path / "1.json", "dev"), tmp_path / "matrix.json"
    matrix.write_text(content, encoding="utf-8")
    done = run("--from", first, "--expect", str(matrix))
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"--expect {matrix}: not what `threatmon fleet matrix` prints: ")
    assert run("--expect", str(matrix)).err == "--expect needs the reports that it is compared with: --from FILE.\n"


def test_a_shard_given_twice_counts_once_and_another_preview_of_its_stack_is_refused(
    run: RunCommand, engine: FakeEngine, tmp_path: Path
) -> None:
    first = shard(run, tmp_path / "1.json", "dev")
    assert run("--from", first, "--from", first).out.startswith("1 stack: ")
    engine.would("dev", RENAMED)
    second = shard(run, tmp_path / "2.json", "dev")
    message = f"--from {second}: a preview of stack dev was already given; give only one of them.\n"
    assert run("--from", first, "--from", second) == (2, "", message)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "3 stacks: 3 stay the same",
        "[]",
        "[" * 100_000,
        '{"version": 1, "stacks": []}',
        '{"version": 2, "stacks": 3}',
        '{"version": 2, "stacks": [{"stack": "dev"}]}',
    ],
)
def test_other_files_are_refused_by_name(run: RunCommand, tmp_path: Path, content: str) -> None:
    file = tmp_path / "report.json"
    file.write_text(content, encoding="utf-8")
    done = run("--from", str(file))
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"--from {file}: not what `threatmon fleet preview --output json` prints: ")


def test_a_file_that_is_not_there_is_named(run: RunCommand, tmp_path: Path) -> None:
    done = run("--from", str(tmp_path / "nothing.json"))
    assert done.code == 2
    assert f"--from {tmp_path / 'nothing.json'}: " in done.err
    assert "No such file" in done.err


@pytest.mark.parametrize(
    ("options", "whole"),
    [
        (("--pointer", "https://ci.example.com/run/7"), "<https://ci.example.com/run/7>"),
        ((), "`threatmon fleet preview --output json`"),
    ],
)
def test_a_comment_that_is_cut_points_to_the_whole_report(
    run: RunCommand, engine: FakeEngine, options: tuple[str, ...], whole: str
) -> None:
    many: Mapping[str, Any] = {f"k{number}": f"{number}{'x' * 250}" for number in range(3)}
    engine.would("prod", *(pre("update", TOPIC, f"topic-{number}", {}, many) for number in range(350)))
    done = run("--output", "markdown", *options)
    assert done.out.startswith("<!-- threatmon fleet preview -->\n## 3 stacks: 1 would change, 2 stay the same\n")
    assert len(done.out) <= 65_536
    assert f"the whole report: {whole}\n" in done.out
