import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from fleet.fake_engine import target, write_stack

from threatmon.errors import UsageError
from threatmon.fleet.backend import known_stacks, leftovers, renamed_from
from threatmon.fleet.known_stack import KnownStack, Leftover
from threatmon.stacks.files import StackFile

LISTED = [
    {"name": "acme/threat-monitor/prod", "lastUpdate": "2026-03-01T12:30:00Z", "resourceCount": 44},
    {"name": "dev", "updateInProgress": True},
]
CONFIG = {
    "aws:region": {"value": "eu-west-1"},
    "aws:allowedAccountIds": {"value": '["100000000001"]', "objectValue": ["100000000001"]},
    "threat-monitor:subnetIds": {"value": '["subnet-00000000000000001"]', "objectValue": ["subnet-00000000000000001"]},
    "threat-monitor:alertEmails": {"secret": True},
}


class Backend:
    """Answers by command, or refuses as the engine does; records what it was asked."""

    def __init__(self, answers: Mapping[str, Any]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def __call__(self, *arguments: str) -> Any:
        self.asked.append(" ".join(arguments))
        answer = self.answers.get(" ".join(arguments[:2]))
        if answer is None:
            raise UsageError("place 1: unexpected end of JSON input")
        return answer


@pytest.fixture
def states(tmp_path: Path) -> Path:
    """A backend in a folder, with one state that is whole and one that is not."""
    folder = tmp_path / "state" / ".pulumi" / "stacks" / "threat-monitor"
    folder.mkdir(parents=True)
    latest = {"manifest": {"time": "2026-03-01T12:30:00Z"}, "resources": [{}, {}]}
    (folder / "prod.json").write_text(json.dumps({"version": 3, "checkpoint": {"latest": latest}}))
    (folder / "dev.json").write_text('{"version": 3, "checkp')
    (folder / "dev.json.bak").write_text("{}")
    (folder / "small.json.gz").write_bytes(b"")
    return folder


def test_stacks_are_known_by_their_own_name(folder: Path) -> None:
    assert known_stacks(Backend({"stack ls": LISTED}), folder) == {
        "prod": KnownStack("prod", "2026-03-01T12:30:00Z", in_progress=False, resources=44),
        "dev": KnownStack("dev", in_progress=True),
    }


def test_a_state_that_cannot_be_read_hides_no_other_stack(folder: Path, states: Path) -> None:
    known = known_stacks(Backend({"whoami --verbose": {"url": states.parents[2].as_uri()}}), folder)
    assert known["prod"] == KnownStack("prod", "2026-03-01T12:30:00Z", resources=2)
    assert known["small"] == KnownStack("small")
    fault = known["dev"].fault or ""
    assert fault.startswith(f"Its state {states / 'dev.json'} cannot be read: ")
    assert f"cp {states / 'dev.json.bak'} {states / 'dev.json'}" in fault


def test_without_an_older_state_nothing_is_proposed_that_does_not_work(folder: Path, states: Path) -> None:
    (states / "dev.json.bak").unlink()
    known = known_stacks(Backend({"whoami --verbose": {"url": states.parents[2].as_uri()}}), folder)
    assert "put back a copy of your own" in (known["dev"].fault or "")


@pytest.mark.parametrize("url", ["s3://state", "https://api.pulumi.com", None])
def test_any_other_refusal_is_the_engines(folder: Path, states: Path, url: str | None) -> None:
    assert states
    with pytest.raises(UsageError, match="place 1: unexpected end of JSON input"):
        known_stacks(Backend({"whoami --verbose": {"url": url}} if url else {}), folder)


def test_only_of_stacks_without_a_file_that_hold_something_the_last_config_is_asked_for() -> None:
    known = {name: KnownStack(name, resources=count) for name, count in {"a": 3, "b": 0, "c": 3}.items()}
    backend = Backend({"stack history": [{"config": CONFIG}]})
    empty, full = leftovers(backend, known, ["a"])
    assert backend.asked == ["stack history --stack c --page-size 1"]
    assert (empty.known.name, empty.account_id, empty.region) == ("b", "", "")
    assert (full.known.name, full.account_id, full.region) == ("c", "100000000001", "eu-west-1")
    assert "pulumi destroy --stack c && pulumi stack rm c" in full.advice
    assert "destroy" not in empty.advice


@pytest.mark.parametrize("history", [None, [], [{}]])
def test_without_a_history_a_stack_without_a_file_is_named_all_the_same(history: Any) -> None:
    answers = {} if history is None else {"stack history": history}
    [left] = leftovers(Backend(answers), {"c": KnownStack("c", resources=3)}, [])
    assert (left.account_id, left.region) == ("", "")
    assert "the stack is deployed, and nobody updates it" in left.advice


@pytest.mark.parametrize(
    ("resources", "config", "renamed"),
    [
        (44, {"aws:region": "eu-west-1", "aws:allowedAccountIds": ["100000000001"]}, "old"),
        (44, {"aws:region": "us-east-1", "threat-monitor:subnetIds": ["subnet-00000000000000001"]}, "old"),
        (44, {"aws:region": "us-east-1", "aws:allowedAccountIds": ["100000000001"]}, None),
        (44, {"threat-monitor:subnetIds": None}, None),
        (0, {"aws:region": "eu-west-1", "aws:allowedAccountIds": ["100000000001"]}, None),
    ],
)
def test_a_new_stack_with_what_a_deployed_one_has_is_that_one_renamed(
    folder: Path, resources: int, config: Mapping[str, Any], renamed: str | None
) -> None:
    write_stack(folder, "prod", 1)
    old = Leftover(KnownStack("old", resources=resources), StackFile("old", config))
    assert renamed_from(target(folder), [old]) == renamed
