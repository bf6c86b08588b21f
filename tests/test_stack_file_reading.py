from pathlib import Path

import pytest

from threatmon import stack_files


def write(folder: Path, text: str, name: str = "dev") -> Path:
    (folder / f"Pulumi.{name}.yaml").write_text(text, encoding="utf-8")
    return folder


def test_a_stack_file_gives_its_config_region_and_accounts(tmp_path: Path) -> None:
    write(tmp_path, "config:\n  aws:region: eu-west-1\n  aws:allowedAccountIds: [111122223333]\n  a:b: [1, {c: d}]\n")
    stack = stack_files.load(tmp_path, "dev")
    assert (stack.name, stack.region, stack.account_ids) == ("dev", "eu-west-1", ["111122223333"])
    assert stack.config["a:b"] == [1, {"c": "d"}]


def test_encrypted_values_become_a_placeholder_at_any_depth(tmp_path: Path) -> None:
    write(tmp_path, "config:\n  a:b: {secure: v1:x}\n  a:c: [{d: {secure: v1:y}}]\n")
    assert stack_files.load(tmp_path, "dev").config == {"a:b": "secret", "a:c": [{"d": "secret"}]}


@pytest.mark.parametrize("text", ["", "config:\n", "encryptionsalt: v1:x\n"])
def test_a_stack_file_without_config_is_an_empty_stack(tmp_path: Path, text: str) -> None:
    stack = stack_files.load(write(tmp_path, text), "dev")
    assert (stack.config, stack.region, stack.account_ids) == ({}, None, [])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n", "Pulumi.dev.yaml: expected a mapping with a mapping under `config`"),
        ("config: [a]\n", "Pulumi.dev.yaml: expected a mapping with a mapping under `config`"),
        ("config: {a: [\n", "Pulumi.dev.yaml: cannot be read: "),
    ],
)
def test_a_broken_stack_file_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(stack_files.StackFileError) as error:
        stack_files.load(write(tmp_path, text), "dev")
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_a_missing_stack_names_those_there_are(tmp_path: Path) -> None:
    write(write(tmp_path, ""), "", "prod")
    with pytest.raises(stack_files.StackFileError, match=r"there are: dev, prod"):
        stack_files.load(tmp_path, "staging")
