from pathlib import Path

import pytest

from threatmon.fleet.folder_backend import remove_empty_attributes


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    stacks = tmp_path / "my state" / ".pulumi" / "stacks" / "threat-monitor"
    stacks.mkdir(parents=True)
    for name, text in {"a.json": "{}", "a.json.attrs": "", "b.json": "", "b.json.attrs": '{"md5": "x"}'}.items():
        (stacks / name).write_text(text)
    return stacks


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("query", ["", "?no_tmp_dir=true"])
def test_only_empty_attributes_are_removed(folder: Path, query: str) -> None:
    assert remove_empty_attributes(folder.parents[2].as_uri() + query) == [folder / "a.json.attrs"]
    assert left(folder) == ["a.json", "b.json", "b.json.attrs"]


def test_a_folder_in_the_home_is_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder.parents[3]))
    assert remove_empty_attributes("file://~/my%20state") == [folder / "a.json.attrs"]


@pytest.mark.parametrize("url", ["s3://state", "https://app.pulumi.com/acme", "", "file:///no/such/folder"])
def test_any_other_backend_is_left_alone(folder: Path, url: str) -> None:
    assert remove_empty_attributes(url) == []
    assert len(left(folder)) == 4
