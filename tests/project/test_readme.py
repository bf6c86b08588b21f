import json
import re
from pathlib import Path

import pytest
import yaml
from harness import OUTPUTS

from threatmon.cli.demo import demo
from threatmon.model import settings
from threatmon.project import ROOT as PROJECT_ROOT
from tools import schema

README = (PROJECT_ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = [
    PROJECT_ROOT / "README.md",
    PROJECT_ROOT / "CONTRIBUTING.md",
    *sorted((PROJECT_ROOT / "docs").glob("*.md")),
]


def test_the_config_table_is_current() -> None:
    assert schema.with_current_table(README) == README, "run `make schema`"
    assert schema.config_table() in README


def test_the_production_example_parses_and_protects() -> None:
    example = next(block for block in re.findall(r"```yaml\n(.*?)```", README, re.DOTALL) if "soc@example.com" in block)
    config = yaml.safe_load(example)["config"]
    ours = {key.removeprefix("threat-monitor:"): value for key, value in config.items() if key.startswith("threat")}
    parsed, warnings = settings.parse(ours)
    assert parsed.protect
    assert parsed.flow_logs.keep_on_destroy
    assert warnings == []
    assert config["aws:allowedAccountIds"]


def test_the_fault_message_is_what_the_settings_say() -> None:
    config = {
        "subnetIds": ["subnet-0123456789abcdef0", "subnet-12xyz"],
        "alertEmails": ["a@example.com"],
        "findingTypes": ["Recon:EC2/PortScan"],
    }
    with pytest.raises(settings.ConfigFaults) as faults:
        settings.parse(config, "dev")
    assert f"```text\n{faults.value}\n```" in README


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_make_target_and_every_linked_file_exists(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    makefile = (PROJECT_ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    named = {
        word
        for call in re.findall(r"`make ([a-z -]+?)[`A-Z]|\$ make ([a-z]+)", text)
        for word in " ".join(call).split()
    }
    assert named <= targets
    links = [link for link in re.findall(r"\]\(([^)#]+)", text) if "://" not in link]
    assert [link for link in links if not (document.parent / link).exists()] == []


def test_the_demo_shown_is_what_the_demo_prints(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    demo()
    printed = capsys.readouterr().out
    shown = re.search(r"<!-- demo -->\n```text\n(.*?)```\n<!-- end of demo -->", README, re.DOTALL)
    assert shown
    without_seconds = r"\d+\.\d s"
    assert re.sub(without_seconds, "", shown[1].rstrip()) in re.sub(without_seconds, "", printed)


def test_every_output_is_described() -> None:
    text = (PROJECT_ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert {*OUTPUTS, "alarmNames"} <= set(re.findall(r"^\| `(\w+)` \| ", text, re.MULTILINE))


def test_the_json_schema_is_current() -> None:
    assert schema.SCHEMA_FILE.read_text(encoding="utf-8") == schema.schema_text(), "run `make schema`"
    assert json.loads(schema.schema_text())["$defs"]
