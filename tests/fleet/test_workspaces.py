from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fleet.fake_engine import Asked, FakeEngine, target, write_stack
from fleet.turnstile import PATIENCE, Turnstile

from threatmon.errors import UsageError
from threatmon.fleet.workspaces import Workspaces

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "s3cr3t", "AWS_SESSION_TOKEN": "t0k3n"}


def workspaces(engine: FakeEngine, folder: Path, **options: Any) -> Workspaces:
    return Workspaces(engine, folder=folder, program=lambda: None, **options)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_stacks_are_listed_once_and_without_credentials(engine: FakeEngine, folder: Path) -> None:
    stacks = workspaces(engine, folder, environment_of=lambda _: CREDENTIALS)
    assert set(stacks.known) == set(stacks.known) == {"dev", "prod", "test"}
    [listing] = engine.asked
    assert not CREDENTIALS.keys() & listing.environment.keys()


def test_if_the_stacks_cannot_be_listed_the_engine_says_why(engine: FakeEngine, folder: Path) -> None:
    engine.fails("stack ls", "", "error: could not open postgres://ada:hunter2@db/state: refused")
    with pytest.raises(UsageError) as error:
        _ = workspaces(engine, folder).known
    assert str(error.value) == (
        "The stacks cannot be listed: could not open postgres://***@db/state: refused"
    )  # the URL of a backend may hold a password
    assert [asked.verb for asked in engine.asked] == ["stack ls", "whoami"]


# -- creating ---------------------------------------------------------------------------------------------------------


def test_two_stacks_are_not_created_at_a_time(engine: FakeEngine, folder: Path) -> None:
    turnstile = Turnstile()
    events: list[str] = []
    engine.stacks.clear()

    def create(asked: Asked) -> None:
        events.append(f"{asked.stack} begins")
        assert turnstile.taken.wait(PATIENCE)  # until another wants to create one
        events.append(f"{asked.stack} ends")

    engine.when("stack init", create)
    stacks = workspaces(engine, folder, _creating=turnstile)
    with ThreadPoolExecutor() as pool:
        list(pool.map(stacks.create, [target(folder, "dev"), target(folder, "prod")]))
    first, second = (asked.stack for asked in engine.named("stack init"))
    assert events == [f"{first} begins", f"{first} ends", f"{second} begins", f"{second} ends"]
    assert {first, second} == {"dev", "prod"}


@pytest.mark.parametrize("provider", ["awskms://alias/pulumi?region=eu-west-1", None])
def test_a_stack_is_created_with_the_secrets_provider_of_its_file(
    engine: FakeEngine, folder: Path, provider: str | None
) -> None:
    engine.stacks.remove("prod")
    write_stack(folder, "prod", 1, {"secretsprovider": provider} if provider else None)
    workspaces(engine, folder).create(target(folder))
    expected = ("stack", "init", "prod", *(("--secrets-provider", provider) if provider else ()))
    assert [(asked.arguments, asked.folder) for asked in engine.named("stack init")] == [(expected, folder)]


# -- throwaway stacks -------------------------------------------------------------------------------------------------


def test_a_throwaway_stack_is_in_a_state_that_nobody_else_sees(engine: FakeEngine, folder: Path) -> None:
    before = files(folder)
    with workspaces(engine, folder).throwaway(target(folder)) as stack:
        stack.preview()
        [preview] = engine.named("preview")
        assert {file: before[file] for file in ("Pulumi.yaml", "Pulumi.prod.yaml")} == files(preview.folder)
    for asked in engine.asked:
        assert asked.folder == preview.folder != folder
        assert asked.environment["PULUMI_BACKEND_URL"] == (preview.folder / "state").as_uri()
        assert asked.environment["PULUMI_CONFIG_PASSPHRASE"] not in asked.arguments
    assert not preview.folder.exists()
    assert files(folder) == before


@pytest.mark.parametrize(
    "further", [{"secretsprovider": "awskms://alias/pulumi"}, {"encryptionsalt": "v1:c2FsdA==:v1:x:y"}]
)
def test_secrets_of_a_throwaway_stack_are_read_as_its_file_says(
    engine: FakeEngine, folder: Path, further: Mapping[str, str]
) -> None:
    write_stack(folder, "prod", 1, further)
    with workspaces(engine, folder).throwaway(target(folder)):
        [init] = engine.named("stack init")
    assert "PULUMI_CONFIG_PASSPHRASE" not in init.environment
    assert ("--secrets-provider" in init.arguments) is ("secretsprovider" in further)
