import json
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import boto3
import pytest
from fleet.fake_engine import LOG_GROUP, TOPIC, FakeEngine, Ran, pre, prepared, project, ran, says
from moto import mock_aws

from threatmon.cli.fleet.preview import preview
from threatmon.errors import UsageError
from threatmon.fleet.targets import FleetFaults

STACKS = ("dev", "prod", "test")
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


def run(*arguments: str) -> Ran:
    return ran(preview, *arguments)


def test_the_same_change_is_told_once_with_the_stacks_that_have_it(engine: FakeEngine) -> None:
    for stack in ("dev", "test"):
        engine.would(stack, RENAMED)
    done = run()
    assert done.code == 0
    assert done.out.startswith("3 stacks: 2 would change, 1 stays the same\n")
    assert "The same change in 2 stacks: dev, test\n" in done.out
    assert done.out.count('displayName: "a" -> "b"') == 1
    assert sorted(it.stack for it in engine.named("preview")) == ["dev", "prod", "test"]


def test_nothing_is_changed_by_it(engine: FakeEngine, folder: Path) -> None:
    engine.stacks.remove("test")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert "1 would be created" in run().out
    assert {it.verb for it in engine.asked if it.folder == folder} == {"stack ls", "preview"}
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_markdown_is_one_comment(engine: FakeEngine) -> None:
    engine.would("prod", RENAMED)
    done = run("--format", "markdown")
    assert done.code == 0
    assert done.out.startswith(
        "<!-- threatmon fleet preview -->\n## 3 stacks: 1 would change, 2 stay the same\n\n### 1 change in 1 stack\n"
    )
    assert '!     displayName: "a" -> "b"' in done.out


def test_json_has_every_stack_uncut(engine: FakeEngine) -> None:
    engine.would("prod", RENAMED, says("warning", "careful"))
    document = json.loads(run("--format", "json").out)
    assert document["headline"] == "3 stacks: 1 would change, 2 stay the same"
    assert [(it["stack"], it["status"], it["account_id"]) for it in document["stacks"]] == [
        ("dev", "unchanged", "100000000000"),
        ("prod", "changed", "100000000001"),
        ("test", "unchanged", "100000000002"),
    ]
    prod = document["stacks"][1]
    assert prod["notes"] == ["careful"]
    assert [(it["op"], it["name"], it["new"]) for it in prod["changes"]] == [
        ("update", "threat-monitor-topic", {"displayName": "b"})
    ]


@pytest.mark.parametrize("format_", ["text", "markdown", "json"])
def test_a_preview_that_fails_is_in_the_report_and_in_the_exit_code(engine: FakeEngine, format_: str) -> None:
    engine.would("dev", RENAMED)
    engine.fails("preview", "prod", "error: preview failed", says("error", "no such subnet: subnet-1"))
    done = run("--format", format_)
    assert done.code == 1
    assert "3 stacks: 1 would change, 1 stays the same, 1 failed" in done.out
    assert "no such subnet: subnet-1" in done.out
    assert "displayName" in done.out


def test_dangers_are_named_with_what_allows_them(engine: FakeEngine) -> None:
    engine.would("prod", SHORTENED)
    done = run()
    assert done.code == 0
    assert "1 dangerous change" in done.out.splitlines()[0]
    assert "--allow retention-shortened" in done.out


def test_only_the_chosen_stacks_are_previewed(engine: FakeEngine) -> None:
    assert run("--stacks", "prod,de*").out.startswith("2 stacks: 2 stay the same")
    assert sorted(it.stack for it in engine.named("preview")) == ["dev", "prod"]


def test_no_stack_of_that_name_is_wrong_use(engine: FakeEngine) -> None:
    with pytest.raises(FleetFaults, match='"nobody" matches no stack'):
        run("--stacks", "nobody")
    assert engine.asked == []


def test_without_stacks_there_is_nothing_to_preview_and_no_engine_is_needed(
    folder: Path, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in folder.glob("Pulumi.*.yaml"):
        path.unlink()
    monkeypatch.setattr("threatmon.cli.fleet.previews.Engine", lambda: pytest.fail("an engine is looked for"))
    assert run() == (0, "0 stacks\n", "")
    assert json.loads(run("--format", "json").out)["stacks"] == []
    assert engine.asked == []


def test_progress_is_told_apart_from_the_report(engine: FakeEngine) -> None:
    engine.fails("preview", "prod")
    done = run("--parallel", "1")
    assert done.err.splitlines() == [
        "Previewed 1 of 3: dev",
        "Previewed 2 of 3: prod: failed",
        "Previewed 3 of 3: test",
    ]
    assert "Previewed" not in done.out


def test_interrupted_it_begins_no_more_and_gives_no_report(engine: FakeEngine) -> None:
    def interrupt(_: object) -> None:
        # Python runs the handler in the main thread, whichever thread gets the signal.
        handler: Any = signal.getsignal(signal.SIGINT)
        handler(signal.SIGINT, None)

    engine.when("preview", interrupt)
    with pytest.raises(UsageError, match=r"Interrupted; nothing was changed\."):
        run("--parallel", "1")
    assert [it.stack for it in engine.named("preview")] == ["dev"]
    assert engine.interrupted == 0


def test_interrupted_again_it_interrupts_the_engines(engine: FakeEngine) -> None:
    def interrupt(_: object) -> None:
        handler: Any = signal.getsignal(signal.SIGINT)
        handler(signal.SIGINT, None)
        handler(signal.SIGINT, None)

    engine.when("preview", interrupt)
    with pytest.raises(UsageError, match="Interrupted"):
        run("--parallel", "1")
    assert engine.interrupted == 1


def test_where_the_backend_cannot_be_asked_it_says_so_once(engine: FakeEngine) -> None:
    for _ in STACKS:
        engine.fails("stack ls", "", "error: no credentials for s3://state")
    with pytest.raises(UsageError, match="The stacks cannot be listed: no credentials for s3://state"):
        run("--parallel", "1")
    assert engine.named("preview") == []


# -- roles ------------------------------------------------------------------------------------------------------------


def test_with_a_role_each_engine_gets_the_role_s_credentials_of_its_account(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ambient")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "ambient")
    with mock_aws():
        assert run("--role", "preview").code == 0
        identities: dict[str, str] = {}
        for it in engine.named("preview"):
            assert it.environment["AWS_PROFILE"] == ""
            session = boto3.Session(
                aws_access_key_id=it.environment["AWS_ACCESS_KEY_ID"],
                aws_secret_access_key=it.environment["AWS_SECRET_ACCESS_KEY"],
                aws_session_token=it.environment["AWS_SESSION_TOKEN"],
                region_name="eu-west-1",
            )
            identities[it.stack] = session.client("sts").get_caller_identity()["Arn"]
    assert identities == {
        stack: f"arn:aws:sts::10000000000{number}:assumed-role/preview/threatmon" for number, stack in enumerate(STACKS)
    }
    words = {word for it in engine.asked for word in it.arguments}
    secrets = {it.environment["AWS_SECRET_ACCESS_KEY"] for it in engine.named("preview")}
    assert len(secrets) == 3
    assert not secrets & words


def test_without_a_role_the_engine_has_the_run_s_own_credentials(engine: FakeEngine) -> None:
    run()
    assert [it for it in engine.named("preview") if any(name.startswith("AWS_") for name in it.environment)] == []


# -- putting shards together ------------------------------------------------------------------------------------------


def shard(file: Path, *stacks: str) -> str:
    file.write_text(run("--format", "json", "--stacks", ",".join(stacks)).out, encoding="utf-8")
    return str(file)


def test_shards_are_put_together_as_if_one_run_had_made_them(engine: FakeEngine, tmp_path: Path) -> None:
    engine.would("dev", RENAMED, says("warning", "careful"))
    engine.would("test", RENAMED, SHORTENED)
    whole = [run("--format", it).out for it in ("text", "markdown", "json")]
    first, second = shard(tmp_path / "1.json", "dev", "prod"), shard(tmp_path / "2.json", "test")
    asked = len(engine.asked)
    together = [run("--format", it, "--from", second, "--from", first) for it in ("text", "markdown", "json")]
    assert [it.out for it in together] == whole
    assert [it.code for it in together] == [0, 0, 0]
    assert len(engine.asked) == asked


def test_a_failure_in_a_shard_fails_the_whole(engine: FakeEngine, tmp_path: Path) -> None:
    first = shard(tmp_path / "1.json", "dev")
    engine.fails("preview", "prod", "error: it fails")
    second = shard(tmp_path / "2.json", "prod")
    done = run("--format", "markdown", "--from", first, "--from", second)
    assert done.code == 1
    assert "it fails" in done.out


def test_a_shard_given_twice_counts_once_and_another_preview_of_its_stack_is_refused(
    engine: FakeEngine, tmp_path: Path
) -> None:
    first = shard(tmp_path / "1.json", "dev")
    assert run("--from", first, "--from", first).out.startswith("1 stack: ")
    engine.would("dev", RENAMED)
    second = shard(tmp_path / "2.json", "dev")
    with pytest.raises(UsageError, match=r"--from .*2\.json: another preview of stack dev came before"):
        run("--from", first, "--from", second)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "3 stacks: 3 stay the same",
        "[]",
        '{"version": 2, "stacks": []}',
        '{"version": 1, "stacks": 3}',
        '{"version": 1, "stacks": [{"stack": "dev"}]}',
    ],
)
def test_other_files_are_refused_by_name(tmp_path: Path, content: str) -> None:
    file = tmp_path / "report.json"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(UsageError) as error:
        run("--from", str(file))
    assert str(error.value).startswith(f"--from {file}: not what `threatmon fleet preview --format json` prints: ")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--from .*nothing\.json: .*No such file"):
        run("--from", str(tmp_path / "nothing.json"))


def test_a_comment_that_is_cut_points_to_the_whole_report(engine: FakeEngine) -> None:
    many: Mapping[str, Any] = {f"k{number}": f"{number}{'x' * 250}" for number in range(3)}
    names = [f"topic-{number}" for number in range(350)]
    engine.would("prod", *(pre("update", TOPIC, it, {}, many) for it in names))
    done = run("--format", "markdown", "--pointer", "https://ci.example.com/run/7")
    assert len(done.out) <= 65_536
    assert "the whole report: <https://ci.example.com/run/7>" in done.out
