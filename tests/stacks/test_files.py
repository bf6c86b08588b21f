import json
import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from threatmon.errors import UsageError
from threatmon.stacks import files, yaml
from threatmon.stacks.location import location_of


def write(folder: Path, text: str, name: str = "dev") -> Path:
    (folder / f"Pulumi.{name}.yaml").write_text(text, encoding="utf-8")
    return folder


def test_a_stack_file_gives_its_config_region_and_accounts(tmp_path: Path) -> None:
    write(tmp_path, "config:\n  aws:region: eu-west-1\n  aws:allowedAccountIds: [111122223333]\n  a:b: [1, {c: d}]\n")
    stack = files.load(tmp_path, "dev")
    assert (stack.name, stack.region, stack.account_ids) == ("dev", "eu-west-1", ["111122223333"])
    assert stack.config["a:b"] == [1, {"c": "d"}]


def test_encrypted_values_become_a_placeholder_at_any_depth(tmp_path: Path) -> None:
    write(tmp_path, "config:\n  a:b: {secure: v1:x}\n  a:c: [{d: {secure: v1:y}}]\n")
    assert files.load(tmp_path, "dev").config == {"a:b": "secret", "a:c": [{"d": "secret"}]}


@pytest.mark.parametrize("text", ["", "config:\n", "encryptionsalt: v1:x\n"])
def test_a_stack_file_without_config_is_an_empty_stack(tmp_path: Path, text: str) -> None:
    stack = files.load(write(tmp_path, text), "dev")
    assert (stack.config, stack.region, stack.account_ids) == ({}, None, [])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n", "Pulumi.dev.yaml: expected a mapping with a mapping under `config`"),
        ("config: [a]\n", "Pulumi.dev.yaml: expected a mapping with a mapping under `config`"),
        ("config: {a: [\n", "Pulumi.dev.yaml: cannot be read: "),
        ("config:\n  a:b: 1\n  a:b: T0KEN\n", "Pulumi.dev.yaml: cannot be read: a:b is given twice (line 3)"),
        ("config: {a:b: {c: 1, c: T0KEN}}\n", "Pulumi.dev.yaml: cannot be read: c is given twice (line 1)"),
        ("config: {a:b: !x T0KEN}\n", "Pulumi.dev.yaml: cannot be read: could not determine a constructor"),
        ("config: {a:b: !!bool x}\n", "Pulumi.dev.yaml: cannot be read: "),
        ("config: \x01\n", "Pulumi.dev.yaml: cannot be read: "),
        ("%YAML 1.3\n---\nconfig: {a:b: T0KEN}\n", "Pulumi.dev.yaml: cannot be read: "),
        ("config: &all\n  a:b: [T0KEN, *all]\n", "Pulumi.dev.yaml: cannot be read: "),
        (f"config: {'[' * 700}\n", "Pulumi.dev.yaml: cannot be read: "),
    ],
)
def test_a_broken_stack_file_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(files.StackFileError) as error:
        files.load(write(tmp_path, text), "dev")
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)
    assert "T0KEN" not in str(error.value)


def test_a_missing_stack_names_those_there_are(tmp_path: Path) -> None:
    write(write(tmp_path, ""), "", "prod")
    with pytest.raises(files.StackFileError, match=r"there are: dev, prod"):
        files.load(tmp_path, "staging")


# -- the defaults of Pulumi.yaml; each expectation is what `pulumi config --json` prints -----

ACCOUNTS = "aws:allowedAccountIds"


def shared(folder: Path, config: str, name: str = "threat-monitor") -> Path:
    text = f"name: {name}\nruntime: python\nconfig:\n" + "".join(f"  {line}\n" for line in config.splitlines())
    (folder / "Pulumi.yaml").write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("declared", "config"),
    [
        ("a: text", {"threat-monitor:a": "text"}),
        ("a: false", {"threat-monitor:a": False}),
        ("a: 1", {"threat-monitor:a": 1}),
        ("a: [x, {y: z}]", {"threat-monitor:a": ["x", {"y": "z"}]}),
        ("a: {value: {b: c}}", {"threat-monitor:a": {"b": "c"}}),
        ("a: {type: string, default: x}", {"threat-monitor:a": "x"}),
        ("a: {type: boolean, description: of use, default: false}", {"threat-monitor:a": False}),
        ("a: {default: []}", {"threat-monitor:a": []}),
        ("a: {type: object, default: {}}", {"threat-monitor:a": {}}),
        ("a: {default: 0}", {"threat-monitor:a": 0}),
        ("a: {default: ''}", {"threat-monitor:a": ""}),
        ("a: {type: string}", {}),
        ("threat-monitor:a: {default: x}", {"threat-monitor:a": "x"}),
        ("aws:region: eu-west-1", {"aws:region": "eu-west-1"}),
        ("aws:defaultTags: {value: {tags: {a: b}}}", {"aws:defaultTags": {"tags": {"a": "b"}}}),
        ("a.b: {default: 5}", {"threat-monitor:a": {"b": 5}}),
        ("a: {default: {}}\na.b.c: 5", {"threat-monitor:a": {"b": {"c": 5}}}),
        ("a: {value: [{secure: v1:x}]}", {"threat-monitor:a": ["secret"]}),
    ],
)
def test_every_form_in_which_the_project_declares_a_value_reaches_the_stack(
    tmp_path: Path, declared: str, config: dict[str, Any]
) -> None:
    loaded = files.load(shared(write(tmp_path, ""), declared), "dev")
    assert loaded.config == config
    assert loaded.shared == config.keys()


@pytest.mark.parametrize(
    ("own", "value"),
    [
        ("a: {c: 3}", {"c": 3}),
        ("threat-monitor:a: {}", {}),
        ("a: []", []),
        ("a: false", False),
        ("a:", ""),
        ("a: {secure: v1:x}", "secret"),
    ],
)
def test_a_stacks_own_value_takes_the_place_of_the_shared_one_whole(tmp_path: Path, own: str, value: object) -> None:
    shared(write(tmp_path, f"config:\n  {own}\n"), "a: {default: {c: 1, d: 2}}\nb: 1")
    loaded = files.load(tmp_path, "dev")
    assert loaded.config == {"threat-monitor:a": value, "threat-monitor:b": 1}
    assert loaded.shared == {"threat-monitor:b"}


def test_a_single_shared_entry_joins_the_stacks_own_map(tmp_path: Path) -> None:
    shared(write(tmp_path, "config:\n  a: {d: 2}\n"), "a: {default: {}}\na.c: 1\na.d: 1")
    loaded = files.load(tmp_path, "dev")
    assert loaded.config == {"threat-monitor:a": {"d": 2, "c": 1}}
    assert not loaded.shared


def test_a_single_shared_entry_never_drops_a_stacks_value_that_is_no_map(tmp_path: Path) -> None:
    shared(write(tmp_path, "config:\n  a: '{\"d\": 2}'\n"), "a.c: 1")
    with pytest.raises(files.StackFileError, match=r"Pulumi.dev.yaml: Pulumi.yaml sets threat-monitor:a.c, which"):
        files.load(tmp_path, "dev")


def test_what_one_stack_adds_to_a_shared_map_stays_its_own(tmp_path: Path) -> None:
    shared(write(write(tmp_path, ""), "config: {a: {x: 1}}", "prod"), "a: {default: {e: {}}}\na.e.c: 1")
    assert files.load(tmp_path, "prod").config == {"threat-monitor:a": {"x": 1, "e": {"c": 1}}}
    assert files.load(tmp_path, "dev").config == {"threat-monitor:a": {"e": {"c": 1}}}


def test_a_changed_project_file_counts_at_once(tmp_path: Path) -> None:
    shared(write(tmp_path, ""), "a: 1")
    assert files.load(tmp_path, "dev").config == {"threat-monitor:a": 1}
    shared(tmp_path, "a: 2")
    assert files.load(tmp_path, "dev").config == {"threat-monitor:a": 2}


def test_keys_without_a_namespace_are_the_projects_whatever_its_name(tmp_path: Path) -> None:
    shared(write(tmp_path, "config: {b: 2, 'aws:config:profile': p}"), "a: 1", name="copied")
    assert files.load(tmp_path, "dev").config == {"copied:a": 1, "copied:b": 2, "aws:profile": "p"}


@pytest.mark.parametrize("text", ["name: x\nconfig: [a]\n", "- a\n", "name: [\n"])
def test_a_broken_project_file_is_one_line(tmp_path: Path, text: str) -> None:
    (write(tmp_path, "") / "Pulumi.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(files.StackFileError, match=r"^Pulumi.yaml: .*$"):
        files.load(tmp_path, "dev")


@pytest.mark.parametrize(
    ("scalar", "value"),
    [
        *((text, text) for text in ("yes", "No", "on", "OFF", "2020-01-01", "99-99-99", "12:30", "x y")),
        *(("true", True), ("False", False), ("12", 12), ("1.5", 1.5), ("1e3", 1000.0), ("0", 0)),
        *(("~", ""), ("null", ""), ("", "")),
        *(("017", 15), ("-017", -15), ("0o17", 15), ("0x1f", 31), ("08", 8.0), ("'017'", "017")),
    ],
)
def test_plain_scalars_are_what_the_engine_takes_them_for(tmp_path: Path, scalar: str, value: object) -> None:
    config = files.load(write(tmp_path, f"config: {{a:b: {scalar}}}"), "dev").config
    assert json.dumps(config["a:b"]) == json.dumps(value)


def test_a_merge_is_no_key_given_twice(tmp_path: Path) -> None:
    config = files.load(write(tmp_path, "config: {a:b: &b {c: 1, d: 2}, a:c: {<<: *b, c: 3}}"), "dev").config
    assert config["a:c"] == {"c": 3, "d": 2}


@pytest.mark.parametrize("text", ["config:\n  a:b:\tc\n", "config:\n  a:b: c\t\n", "config:\n  a:b: c\t# text\n"])
def test_a_tab_beside_a_value_is_a_space(tmp_path: Path, text: str) -> None:
    assert files.load(write(tmp_path, text), "dev").config == {"a:b": "c"}
    assert yaml.round_trip().load(text) == {"config": {"a:b": "c"}}


def test_a_tab_that_indents_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(files.StackFileError, match=r"cannot be read: .* \(line 2\)$"):
        files.load(write(tmp_path, "config:\n\ta:b: c\n"), "dev")


def test_an_anchor_used_twice_is_no_warning(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        text = "config: {a:b: &x 1, a:c: &x 2, a:d: *x}"
        assert files.load(write(tmp_path, text), "dev").config == {"a:b": 1, "a:c": 2, "a:d": 2}
        assert yaml.round_trip().load(text)["config"]["a:d"] == 2


def test_a_document_that_says_it_is_yaml_1_1_has_the_same_values(tmp_path: Path) -> None:
    assert files.load(write(tmp_path, "%YAML 1.1\n---\nconfig: {a:b: yes}\n"), "dev").config == {"a:b": "yes"}


@pytest.mark.parametrize("text", ["a\x85b", "\u2028", "\u2029 x"])
def test_a_written_line_separator_is_read_again(text: str) -> None:
    assert yaml.read(yaml.write({"a": text})) == {"a": text}


@pytest.mark.parametrize("region", ["[a]", "5", "{a: b}"])
def test_a_region_is_a_text_whatever_the_file_has(tmp_path: Path, region: str) -> None:
    with pytest.raises(UsageError, match=r"^Pulumi\.dev\.yaml: aws:region: .* is not a Region of AWS$"):
        location_of(files.load(write(tmp_path, f"config: {{aws:region: {region}}}"), "dev"))


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    assert files.load(write(tmp_path, "\ufeffconfig: {a:b: c}"), "dev").config == {"a:b": "c"}


def test_a_key_that_pulumi_yaml_has_with_its_namespace_and_without_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, "config: {}")
    project = "name: threat-monitor\nconfig: {'threat-monitor:protect': true, protect: {default: false}}"
    (tmp_path / "Pulumi.yaml").write_text(project)
    with pytest.raises(files.StackFileError, match=r"Pulumi\.yaml: threat-monitor:protect is under `config` twice"):
        files.load(tmp_path, "dev")


@pytest.mark.parametrize(
    ("written", "accounts"),
    [
        ('["111122223333"]', ["111122223333"]),
        ('\'["111122223333", "444455556666"]\'', ["111122223333", "444455556666"]),
        ("'012345670123'", ["012345670123"]),
        ("[]", []),
        ("", []),
        ("[012345678901]", ["12345678901.0"]),
    ],
)
def test_accounts_are_read_from_a_list_or_its_json_text(tmp_path: Path, written: str, accounts: list[str]) -> None:
    assert files.load(write(tmp_path, f"config:\n  {ACCOUNTS}: {written}\n"), "dev").account_ids == accounts


KEYS = st.text("abcXYZ", min_size=1, max_size=5)
VALUES = st.recursive(
    st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)


@example({"a": "\x85"}, {"b": "\x85"})
@given(st.dictionaries(KEYS, VALUES), st.dictionaries(KEYS, VALUES))
def test_a_stack_has_every_value_of_its_own_and_the_rest_from_the_project(
    tmp_path_factory: pytest.TempPathFactory, own: dict[str, Any], defaults: dict[str, Any]
) -> None:
    folder = write(tmp_path_factory.mktemp("project"), yaml.write({"config": own}))
    declared = {key: {"default": value} for key, value in defaults.items()}
    (folder / "Pulumi.yaml").write_text(yaml.write({"name": "p", "config": declared}), encoding="utf-8")
    loaded = files.load(folder, "dev")
    assert loaded.config == {f"p:{key}": value for key, value in {**defaults, **own}.items()}
    assert loaded.shared == {f"p:{key}" for key in defaults.keys() - own.keys()}
